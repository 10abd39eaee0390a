"""This process, where Python has no function for it: memory policy, the end of the parent, core dumps, the umask."""

from libc.errno cimport errno
from libc.stdint cimport uint64_t

import os

cdef extern from "native.h" nogil:
    int escp_bind_memory(const uint64_t *nodes, unsigned n_words)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_DUMPABLE, PR_SET_PDEATHSIG
    int prctl(int option, ...)

cdef enum:
    N_WORDS = 16  # 1024 nodes: MAX_NUMNODES of the largest kernels


def bind_memory(mask):
    """From now on this thread, and those it starts, take memory from these NUMA nodes only (bits of *mask*).

    What is there already stays where it is. Raises OSError; ENOSYS is a kernel without NUMA.
    """
    cdef uint64_t words[N_WORDS]
    cdef int i
    if mask <= 0 or mask >> 64 * N_WORDS:
        raise ValueError("mask")
    for i in range(N_WORDS):
        words[i] = (mask >> 64 * i) & 0xFFFFFFFFFFFFFFFF
    if escp_bind_memory(words, N_WORDS) < 0:
        raise OSError(errno, "set_mempolicy")


def signal_at_parents_end(int number):
    """From now on the kernel sends this process the signal when its parent ends. A parent that is gone already
    sends nothing: look for it afterwards.
    """
    if prctl(PR_SET_PDEATHSIG, <unsigned long> number) < 0:
        raise OSError(errno, "prctl")


def forbid_dumps():
    """No core dump of this process, and no reading of its memory by the user's other processes: it will hold keys."""
    prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL)


def read_umask():
    """This process's umask, without changing it for a moment under other threads where the kernel tells it."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except FileNotFoundError:
        pass
    umask = os.umask(0o077)  # before Linux 4.7, and without /proc
    os.umask(umask)
    return umask

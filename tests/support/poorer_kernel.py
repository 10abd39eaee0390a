"""Runs a command as under an older kernel or a poorer file system: `poorer_kernel.py WHAT... -- COMMAND...`

O_TMPFILE      no nameless files, as on NFS, FAT or FUSE
AT_EMPTY_PATH  no linkat by a descriptor alone, as without CAP_DAC_READ_SEARCH before Linux 6.10
openat2        no such system call, as before Linux 5.6 or in a sandbox
pidfd_open     the same, before Linux 5.3

A seccomp filter lets the calls fail with the error that the kernel would give.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, JUMP_IF_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06  # of BPF
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000
AT_NUMBER, AT_THIRD_ARGUMENT, AT_FIFTH_ARGUMENT = 0, 32, 48
OPENAT, LINKAT = (257, 265) if platform.machine() == "x86_64" else (56, 37)
NUMBERS = {"openat2": 437, "pidfd_open": 434}
FLAGS = {  # the call, where its flags are, the flag, how the call fails with it
    "O_TMPFILE": (OPENAT, AT_THIRD_ARGUMENT, 0o20000000, errno.EOPNOTSUPP),
    "AT_EMPTY_PATH": (LINKAT, AT_FIFTH_ARGUMENT, 0x1000, errno.ENOENT),
}


def compose_filter(what: list[str]) -> bytes:
    steps = []
    for number in (NUMBERS[name] for name in what if name in NUMBERS):
        steps += [
            (LOAD, 0, 0, AT_NUMBER),
            (JUMP_IF_EQUAL, 0, 1, number),
            (RETURN, 0, 0, FAIL_WITH | errno.ENOSYS),
        ]
    for call, argument, bit, number in (FLAGS[name] for name in what if name in FLAGS):
        steps += [
            (LOAD, 0, 0, AT_NUMBER),
            (JUMP_IF_EQUAL, 0, 3, call),
            (LOAD, 0, 0, argument),
            (JUMP_IF_ANY_BIT, 0, 1, bit),
            (RETURN, 0, 0, FAIL_WITH | number),
        ]
    steps.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def install(what: list[str]) -> None:
    code = ctypes.create_string_buffer(compose_filter(what))
    program = struct.pack("HxxxxxxQ", (len(code) - 1) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no filter can be installed")


if __name__ == "__main__":
    at = sys.argv.index("--")
    install(sys.argv[1:at])
    os.execvp(sys.argv[at + 1], sys.argv[at + 1 :])

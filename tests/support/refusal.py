"""A system call that fails from now on, in this process and its threads: seccomp, on x86-64."""

import ctypes
import struct

IO_SETUP, IO_GETEVENTS, IO_SUBMIT, OPENAT2, FALLOCATE, FCNTL, POLL = 206, 208, 209, 437, 285, 72, 7


def refuse(number: int, errno: int) -> None:
    """It can't be taken back: for a process of its own."""
    # if nr == number: fail with errno; else: allow
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno), (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))

    class Filter(ctypes.Structure):
        _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    filter = Filter(len(code), ctypes.addressof(program))
    assert libc.prctl(22, 2, ctypes.byref(filter)) == 0, ctypes.get_errno()

"""A target that is not a file but the memory of another program: `--ioengine=shmem`, docs/shmem.md."""

import os
import stat

from escp.errors import RefusedError


def open_shared(fd: int, shown: str) -> int:
    """A descriptor for reading and writing. *fd*: what the target names, by O_PATH, or -1.

    Raises RefusedError where that can't be such memory.
    """
    if fd < 0 or not stat.S_ISREG(os.fstat(fd).st_mode):
        raise RefusedError(
            f"option --ioengine=shmem: the target '{shown}' is no memory that a program shares",
            "it is made by that program, before the copy begins: see shmem.md",
        )
    return os.open(b"/proc/self/fd/%d" % fd, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)

"""Files that escp writes over: those that it wrote itself, and no data that somebody named by mistake."""

import os
import stat

WHY_NOT = "it is a file of another kind"


def is_foreign(path: str, start: bytes) -> bool:
    """Whether there is a file with something in it that does not begin with *start*, as escp's own do."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return False
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and os.read(fd, len(start)) not in (b"", start)
    except OSError:
        return True
    finally:
        os.close(fd)

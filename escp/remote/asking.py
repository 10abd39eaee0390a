"""Whether ssh asks its user something at this moment."""

import os

_TERMINALS = ("/dev/tty", "/dev/pts/", "/dev/console")


def is_asking(pid: int) -> bool:
    """Whether *pid*, or a process that it started (a jump host's ssh), has a terminal open.

    ssh opens it to ask, for a password or about a key, and closes it behind the answer. What belongs to
    another user, or is gone, is taken to ask nothing.
    """
    try:
        folder = f"/proc/{pid}/fd"
        if any(os.readlink(f"{folder}/{fd}").startswith(_TERMINALS) for fd in os.listdir(folder)):
            return True
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            children = file.read().split()
    except OSError:
        return False
    return any(is_asking(int(child)) for child in children)

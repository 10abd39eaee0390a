"""What child processes inherit: the user's environment, without what freezing added to it.

The only file that knows how this program was started: from source, or frozen by PyInstaller.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import AnyStr


def is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def unpacked_folder() -> str | None:
    """Where the one-file program has unpacked itself for this run; None for all other ways to start."""
    folder = str(getattr(sys, "_MEIPASS", ""))
    if not is_frozen() or os.path.dirname(folder) == os.path.dirname(os.path.realpath(sys.executable)):
        return None
    return folder


def is_program(pid: int) -> bool:
    """Whether the process runs this very program: true of a one-file program's parent."""
    try:
        return os.readlink(f"/proc/{pid}/exe") == os.path.realpath(sys.executable)
    except OSError:
        return False


def frozen_folder() -> str | None:
    """Where a frozen program has its libraries and modules; None: this one runs from source."""
    return getattr(sys, "_MEIPASS", None) if is_frozen() else None


def find_absolute(path: "AnyStr") -> "AnyStr":
    """As os.path.abspath. Where the working directory was removed a relative path stays: `..` works there."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return path


def find_real(path: "AnyStr") -> "AnyStr":
    """As os.path.realpath, likewise."""
    try:
        return os.path.realpath(path)
    except FileNotFoundError:
        return path


def child_environment() -> dict[bytes, bytes]:
    """The environment for ssh and for an embedded agent.

    A frozen program's loader points LD_LIBRARY_PATH to its own libraries; ssh must not load those. What else
    it notes there would make a child that is escp too believe it is part of this process.
    """
    env = dict(os.environb)
    if is_frozen():
        original = env.pop(b"LD_LIBRARY_PATH_ORIG", None)
        env.pop(b"LD_LIBRARY_PATH", None)
        if original is not None:
            env[b"LD_LIBRARY_PATH"] = original
        env = {name: value for name, value in env.items() if not name.startswith(b"_PYI_")}
    return env


def own_command() -> list[str]:
    """How to start this same escp once more, with no more trust in PYTHON… and the working directory."""
    if is_frozen():
        return [sys.executable]
    flag = "-I" if sys.flags.isolated else "-P" if sys.flags.safe_path else ""
    return [sys.executable, *filter(None, [flag]), "-m", "escp"]

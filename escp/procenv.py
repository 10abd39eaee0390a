"""What child processes inherit: the user's environment, without what freezing added to it.

The only file that knows how this program was started: from source, or frozen by PyInstaller.
"""

import os
import sys


def is_frozen() -> bool:
    return bool(getattr(sys, "frozen", False))


def child_environment() -> dict[bytes, bytes]:
    """The environment for ssh and for an embedded agent.

    A frozen program's loader points LD_LIBRARY_PATH to its own libraries; ssh must not load those.
    """
    env = dict(os.environb)
    if is_frozen():
        original = env.pop(b"LD_LIBRARY_PATH_ORIG", None)
        env.pop(b"LD_LIBRARY_PATH", None)
        if original is not None:
            env[b"LD_LIBRARY_PATH"] = original
    return env


def own_command() -> list[str]:
    """How to start this same escp once more."""
    return [sys.executable] if is_frozen() else [sys.executable, "-m", "escp"]

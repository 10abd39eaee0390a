"""Tests as a user without rights: started by root, where such a user can read this Python and escp."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
ROOT = Path(__file__).parents[2]
_BECOME = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# Arguments: a folder that others may not enter; what they need of it; --; the command. In a mount namespace
# of its own an empty folder takes its place, and what is needed is mounted there, found by descriptors.
_OPEN = """
closed=$1; shift; n=2; paths=
while [ "$1" != -- ]; do n=$((n + 1)); eval "exec $n<\\"\\$1\\""; paths="$paths $1"; shift; done; shift
mount -t tmpfs -o mode=755 none "$closed" || exit; n=2
for path in $paths; do
    n=$((n + 1)); mkdir -p "$path" && mount -c --bind /proc/self/fd/$n "$path" || exit
done
cd "$PWD" 2>/dev/null || cd /
exec "$@"
"""


def _open_folders() -> tuple[str, ...]:
    """The command that runs another one where others may enter what leads to this Python and to escp."""
    command: tuple[str, ...] = ()
    needed = {Path(sys.base_prefix).resolve(), ROOT.resolve()}
    closed = {parent for path in needed for parent in path.parents if not parent.stat().st_mode & 1}
    for folder in sorted(closed):
        if not any(parent in closed for parent in folder.parents):
            paths = sorted(os.fspath(path) for path in needed if folder in path.parents)
            command += ("unshare", "--mount", "sh", "-c", _OPEN, "sh", os.fspath(folder), *paths, "--")
    return command


AS_NOBODY = (*(_open_folders() if os.getuid() == 0 else ()), *_BECOME)


def can_be_nobody() -> bool:
    if os.getuid() != 0:
        return False
    # Twice: the first Python may still have root's right to read everything.
    again = (
        "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', 'import escp']).returncode)"
    )
    try:
        command = [*AS_NOBODY, sys.executable, "-c", again]
        return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


needs_nobody = pytest.mark.skipif(
    not can_be_nobody(), reason="needs root, and a Python and a checkout that others may read"
)

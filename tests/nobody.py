"""Tests as a user without rights: started by root, where such a user can read this Python and escp."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
ROOT = Path(__file__).parents[1]


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

"""What the kernel knows of this process."""

import os
import subprocess
import sys

from escp._fast.base.process import read_umask


def test_process_with_keys_dumps_no_core():
    """Not here: it would also keep a debugger from the other tests."""
    code = "import ctypes; from escp._fast.base.process import forbid_dumps; forbid_dumps(); " \
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=True, env=os.environ
    )
    assert done.stdout.strip() == b"0"


def test_umask_is_the_one_that_is_set():
    before = os.umask(0o037)
    try:
        assert read_umask() == 0o037
    finally:
        os.umask(before)

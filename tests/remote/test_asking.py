"""Whether ssh asks its user something: it has a terminal open while it does."""

import os
import pty
import subprocess
import sys

import pytest

from escp.remote.asking import is_asking

ASK = (
    "import sys; t = open(sys.argv[1]); print(1, flush=True); input(); "
    "t.close(); print(2, flush=True); input()"
)
START = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.mark.parametrize("is_child", [False, True])
def test_process_asks_while_it_has_a_terminal_open(is_child):
    master, slave = pty.openpty()
    words = [START, ASK] if is_child else [ASK]
    with subprocess.Popen(
        [sys.executable, "-c", *words, os.ttyname(slave)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert is_asking(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert not is_asking(process.pid)
        process.stdin.close()
    assert not is_asking(process.pid)
    os.close(master)
    os.close(slave)

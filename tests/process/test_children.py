"""How children have ended, and how that is heard."""

import errno
import os
import resource
import select
import signal
import sys

import pytest

from escp.process.children import exit_code, open_end, open_pipes


def start(code: str) -> int:
    return os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", code], os.environ)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(255)", 255),
        ("import os; os.kill(os.getpid(), 15)", 128 + signal.SIGTERM),
    ],
)
def test_status_is_that_of_a_shell(code, expected):
    assert exit_code(os.waitpid(start(code), 0)[1]) == expected


def test_end_of_a_child_can_be_waited_for():
    pid = start("import time; time.sleep(60)")
    fd = open_end(pid)
    try:
        assert not select.select([fd], [], [], 0)[0]
        os.kill(pid, signal.SIGKILL)
        assert select.select([fd], [], [], 20)[0] == [fd]
    finally:
        os.close(fd)
        os.waitpid(pid, 0)


def test_without_a_descriptor_it_says_so():
    assert open_end(1 << 30) == -1


@pytest.mark.parametrize("n_free", range(6))
def test_pipes_of_a_child_are_all_there_or_none(n_free):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 64, before[1]))
    try:
        with pytest.raises(OSError):
            while True:
                taken.append(os.dup(0))
        free = {taken.pop() for _ in range(n_free)}
        for fd in free:
            os.close(fd)
        with pytest.raises(OSError) as told:
            open_pipes()
        assert told.value.errno == errno.EMFILE
        assert {os.dup(0) for _ in free} == free
        taken += free
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in taken:
            os.close(fd)

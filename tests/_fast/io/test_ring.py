"""Disk I/O where the kernel refuses something: no asynchronous I/O, no O_DIRECT, no space.

Each case runs in a process of its own, with a seccomp filter that makes the system call fail.
"""

import ast
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from escp._fast.planes.plane import FILE_FAILED
from escp.failures import FAST_NET, FAST_SYS
from tests.support.loopback import BLOCK, copy
from tests.support.refusal import FALLOCATE, FCNTL, IO_GETEVENTS, IO_SETUP, IO_SUBMIT, OPENAT2, POLL

ROOT = Path(__file__).parents[3]
EPERM, EAGAIN, EINVAL, ENOSPC, ENOSYS, EOPNOTSUPP = 1, 11, 22, 28, 38, 95
SIZE = 5 * BLOCK + 4097

CHILD = """
import ast, sys
from pathlib import Path
from tests.support.loopback import copy
from tests.support.refusal import refuse

folder = Path(sys.argv[3])
refuse(int(sys.argv[1]), int(sys.argv[2]))
outcome = copy(folder / "x", folder / "target", n_streams=2, **ast.literal_eval(sys.argv[4]))
print([(is_sender, event.code, event.errno, event.where) for is_sender, event in outcome.events])
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "x").write_bytes(os.urandom(SIZE))
    return tmp_path


def copy_without(number, errno, folder, **options):
    """Events of a copy in a process where that system call fails."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(number), str(errno), str(folder), str(options)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(struct.calcsize("P") != 8 or os.uname().machine != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize(
    ("number", "errno"),
    [(IO_SETUP, ENOSYS), (IO_SETUP, EAGAIN), (IO_SUBMIT, EAGAIN), (IO_SUBMIT, EINVAL), (OPENAT2, ENOSYS),
     (OPENAT2, EPERM), (FALLOCATE, EOPNOTSUPP), (FCNTL, EINVAL)],
    ids=["io_setup-ENOSYS", "io_setup-EAGAIN", "io_submit-EAGAIN", "io_submit-EINVAL", "openat2-ENOSYS",
         "openat2-EPERM", "fallocate-EOPNOTSUPP", "O_DIRECT-EINVAL"],
)  # fmt: skip
def test_copy_does_without_what_the_kernel_refuses(folder, number, errno):
    assert copy_without(number, errno, folder) == "[]"
    assert (folder / "target" / "x").read_bytes() == (folder / "x").read_bytes()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
@pytest.mark.parametrize(
    ("number", "errno", "options", "expected"),
    [(IO_GETEVENTS, EPERM, {}, (True, FAST_SYS, EPERM, "io_getevents")),
     (IO_GETEVENTS, EINVAL, {"sending": {"is_direct": False}}, (False, FAST_SYS, EINVAL, "io_getevents")),
     (IO_GETEVENTS, EINVAL, {"is_local": True}, (True, FAST_SYS, EINVAL, "io_getevents")),
     (POLL, EINVAL, {}, (True, FAST_NET, EINVAL, "poll"))],
    ids=["reading", "writing", "local", "poll"],
)  # fmt: skip
def test_wait_that_fails_ends_the_copy(folder, number, errno, options, expected):
    """It used to be tried again for ever."""
    events = copy_without(number, errno, folder, **options)
    if events == "[]" and number == IO_GETEVENTS:
        pytest.skip("the file system has no O_DIRECT: nothing is waited for")
    assert expected in ast.literal_eval(events)
    assert os.listdir(folder / "target") == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_full_disk_names_the_file_and_leaves_nothing(folder):
    events = copy_without(FALLOCATE, ENOSPC, folder)
    if events == "[]":
        pytest.skip("the file system has no O_DIRECT: nothing is allocated beforehand")
    assert sorted(ast.literal_eval(events)) == [
        (False, FAST_SYS, ENOSPC, "allocate"),
        (True, FAST_SYS, ENOSPC, "write"),
    ]
    assert os.listdir(folder / "target") == []


@pytest.mark.parametrize("size", [5000, SIZE])
@pytest.mark.parametrize("is_direct", [True, False])
def test_write_error_fails_that_file_only(folder, size, is_direct):
    """/dev/full takes no byte."""
    os.truncate(folder / "x", size)
    fd = os.open("/dev/full", os.O_WRONLY)
    outcome = copy(folder / "x", folder / "target", receiving={"in_place_fd": fd, "is_direct": is_direct})
    os.close(fd)
    assert {(is_sender, e.kind, e.code, e.errno) for is_sender, e in outcome.events} == {
        (True, FILE_FAILED, FAST_SYS, ENOSPC),
        (False, FILE_FAILED, FAST_SYS, ENOSPC),
    }
    assert len(outcome.events) == 2 and os.listdir(folder / "target") == []
    assert (outcome.sent["failed"], outcome.received["failed"]) == (1, 1)

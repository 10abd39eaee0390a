"""Errors as a program has them: what the system there refuses, paths that are none, and copies of errors."""

import copy
import ctypes
import errno
import inspect
import os
import pickle
import subprocess
import sys

import pytest

import escp as library
from escp import errors
from tests.api.test_copy import login
from tests.support.command import ROOT, Escp
from tests.support.folders import new_folder

MIB = 1 << 20
SMALL, LARGE = 1000, 300_000  # that go through ssh, and over streams


@pytest.fixture(scope="module")
def remote(sshd):
    with new_folder() as folder, Escp(folder, sshd) as one, library.connect("box", **login(one)) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "error", "number"),
    [
        ("absent/a", FileNotFoundError, errno.ENOENT),
        ("file/a", NotADirectoryError, errno.ENOTDIR),
        ("folder", IsADirectoryError, errno.EISDIR),
        ("x" * 300, OSError, errno.ENAMETOOLONG),
    ],
)
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_can_not_be_written_is_what_the_system_says(remote, target, path, error, number, size):
    (target / "folder").mkdir()
    (target / "file").write_text("x")
    with pytest.raises(error) as raised:
        remote.write(target / path, bytes(size))
    assert (raised.value.errno, raised.value.filename) == (number, str(target / path))
    with pytest.raises(error) as raised, remote.open_blocks(target / path, size=size, block=MIB) as w:
        w.write_block(0, bytes(size))
    assert (raised.value.errno, raised.value.filename) == (number, str(target / path))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_file_that_can_not_be_made(remote, size):
    """The directory can be opened, and takes no files."""
    with pytest.raises(OSError, match="nothing") as raised:
        remote.write("/sys/nothing", bytes(size))
    assert raised.value.strerror == os.strerror(raised.value.errno)
    assert raised.value.filename == "/sys/nothing"


@pytest.mark.parametrize("number", [1 << 31, 1 << 40, (1 << 63) - 1])
def test_number_of_an_error_that_is_none(remote, number):
    """A hostile agent may answer with any; it was an OverflowError."""
    with pytest.raises(OSError, match="a") as raised:
        remote._check(number, "a")
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, "a")


def test_full_disk_is_an_answer(remote):
    """Also when it is told after the end of the file was: nothing is unknown then."""
    for _ in range(3):
        with pytest.raises(OSError, match="No space") as raised:
            remote.write("/dev/full", bytes(LARGE))
        assert raised.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match="No space") as raised:
            with remote.open_blocks("/dev/full", size=LARGE, block=MIB) as w:
                w.write_block(0, bytes(LARGE))
        assert raised.value.errno == errno.ENOSPC


def test_what_can_not_be_received_is_named_as_it_was_asked_for(remote, source):
    with pytest.raises(FileNotFoundError) as raised:
        list(remote.receive_blocks(source / "a [x]*"))
    assert raised.value.filename == str(source / "a [x]*")


def test_nul_bytes_are_of_no_path(remote, source, target):
    """The other host is not blamed for it."""
    (source / "a").write_text("a")
    for call in (
        lambda: library.copy("a\0b", target),
        lambda: library.copy(source / "a", "a\0b"),
        lambda: remote.get("a\0b", target),
        lambda: remote.put("a\0b", target),
        lambda: remote.put(source / "a", target / "a\0b"),
        lambda: list(remote.receive_blocks("a\0b")),
    ):
        with pytest.raises(errors.UsageError, match="NUL"):
            call()


def test_no_sources(remote, source, target):
    for call in (library.copy, remote.put, remote.get):
        with pytest.raises(errors.UsageError, match="no sources"):
            call([], target)
    (source / "a").write_text("a")
    (source / "list").write_text(f"{source}/a\n")
    assert library.copy([], target, filelist=source / "list").files == 1


def test_an_empty_array_of_rows_is_no_block(remote, target):
    rows = (ctypes.c_int * 5 * 0)()
    with remote.open_blocks(target / "a") as w, pytest.raises(ValueError, match="not 0"):
        w.write_block(0, rows)
    remote.write(target / "a", rows)
    assert (target / "a").read_bytes() == b""


def test_numbers_that_are_none(remote, target):
    for size in (1 << 63, 1 << 80):
        with pytest.raises(ValueError, match="size"):
            remote.open_blocks(target / "a", size=size)
    with pytest.raises(errors.UsageError, match="timeout"):
        remote.stat(target, timeout=float("nan"))


_WARNS = """
import logging
import sys
import escp
escp.copy(sys.argv[1], sys.argv[2])
logging.getLogger("escp").warning("one")
"""


def test_warnings_are_not_printed(source, target):
    """Python prints those of a logger that has no handler."""
    (source / "a").write_text("a")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _WARNS, source / "a", target],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert (target / "a").exists() and done.stdout + done.stderr == ""


def test_digest_names_the_file_and_waits_for_no_pipe(source):
    os.mkfifo(source / "pipe")
    for path, error in ((source, IsADirectoryError), (source / "absent", FileNotFoundError)):
        with pytest.raises(error) as raised:
            library.digest(path)
        assert raised.value.filename == str(path)
    with pytest.raises(OSError, match="pipe"):
        library.digest(source / "pipe")


def make_errors():
    made = {
        errors.DeletionError: lambda: errors.DeletionError(3, 2, is_listed=True),
        errors.InterruptedBySignal: lambda: errors.InterruptedBySignal(15),
        errors.CancelledError: errors.CancelledError,
        errors.ReaderGoneError: errors.ReaderGoneError,
        errors.TimeUpError: lambda: errors.TimeUpError("late"),
    }
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, errors.EscpError):
            yield made.get(kind, lambda kind=kind: kind("text", "hint", is_retryable=True))()


@pytest.mark.parametrize("error", [*make_errors()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_errors_may_be_copied(error, again):
    one = again(error)
    assert type(one) is type(error) and one.args == error.args
    for name in ("exit_code", "hint", "is_retryable", "may_go_on"):
        assert getattr(one, name) == getattr(error, name)


_POOL = """
from concurrent.futures import ProcessPoolExecutor
import escp

def work():
    raise escp.CancelledError

if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        try:
            pool.submit(work).result(60)
        except escp.CancelledError as e:
            print(type(e).__name__, e.exit_code)
"""


def test_an_error_comes_out_of_another_process(tmp_path):
    (tmp_path / "pool.py").write_text(_POOL)
    done = subprocess.run(
        [sys.executable, tmp_path / "pool.py"], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "CancelledError 130\n", done.stderr

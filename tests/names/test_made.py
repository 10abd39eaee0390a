"""Whose a directory is that a copy found: one that it made, or somebody's to copy into."""

import os
from pathlib import Path

import pytest

from escp.names.made import find, forget, mark, note

JOB = bytes(range(16))


@pytest.fixture
def made(tmp_path):
    (tmp_path / "new").mkdir()
    path = os.fsencode(tmp_path / "new")
    fd = os.open(path, os.O_RDONLY)
    yield path, fd
    os.close(fd)


@pytest.mark.parametrize("slash", [b"", b"/"])
def test_it_is_known_again(made, slash):
    path, fd = made
    name = note(path + slash, fd, JOB)
    assert name == mark(path) and os.stat(name).st_mode & 0o777 == 0o600
    assert find(path + slash, fd, JOB) and not find(path, fd, bytes(16))
    forget(name)
    assert not find(path, fd, JOB) and not os.path.exists(name)


def test_another_directory_of_that_name_is_not(made, tmp_path):
    path, fd = made
    note(path, fd, JOB)
    other = os.open(tmp_path, os.O_RDONLY)
    assert not find(path, other, JOB)
    os.close(other)


def test_what_an_earlier_one_said_is_replaced(made):
    path, fd = made
    note(path, fd, bytes(16))
    assert note(path, fd, JOB) and find(path, fd, JOB)


@pytest.mark.parametrize("what", ["link", "hard link", "fifo", "directory", "writable"])
def test_what_is_none_of_escps_is_neither_believed_nor_removed(made, tmp_path, what):
    path, fd = made
    name = note(path, fd, JOB)
    text = Path(os.fsdecode(name)).read_bytes()
    other = tmp_path / "other"
    other.write_bytes(text)
    if what == "writable":
        os.chmod(name, 0o666)
    else:
        os.unlink(name)
    if what == "link":
        os.symlink(other, name)
    elif what == "hard link":
        os.link(other, name)
    elif what == "fifo":
        os.mkfifo(name)
    elif what == "directory":
        os.mkdir(name)
    assert not find(path, fd, JOB) and note(path, fd, JOB) == b""
    forget(name)
    assert os.path.lexists(name)


def test_where_nothing_can_be_said_nothing_is(made):
    _, fd = made
    assert note(b"/nowhere/" + b"n" * 300, fd, JOB) == b""

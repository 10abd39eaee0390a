"""Whose a directory is that a copy found: one that it made, or somebody's to copy into."""

import os
from pathlib import Path

import pytest

from escp.names.destination import open_destination
from escp.names.made import announce, find, forget, mark
from escp.names.made import note as note_made
from escp.names.pruning import is_unfinished
from tests.support.swapping import swapping

JOB = bytes(range(16))


def note(path: bytes, fd: int, job: bytes) -> bytes:
    """What is said of it from the first to the last; where, b"" where it can't be said."""
    to = announce(path, job)
    if to < 0:
        return b""
    note_made(to, fd, job)
    return mark(path)


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


def open_new(path: bytes, *, resumes: bool):
    return open_destination(path, n_sources=1, is_directory=True, job=JOB, resumes=resumes)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("resumes", [True, False])
def test_a_kill_between_making_it_and_saying_so(tmp_path, monkeypatch, resumes):
    """The next run goes on in it, and the one after that, when there is something in it."""
    path = os.fsencode(tmp_path / "new")
    mkdir = os.mkdir

    def make_and_die(*words, **named):
        mkdir(*words, **named)
        raise Killed

    monkeypatch.setattr(os, "mkdir", make_and_die)
    monkeypatch.setattr("escp.names.made.forget", lambda place: None)  # nobody does that any more
    with pytest.raises(Killed):
        open_new(path, resumes=False)
    monkeypatch.undo()
    found = open_new(path, resumes=resumes)
    found.close()
    assert found.is_directory != resumes and bool(found.made) == resumes
    assert os.path.exists(mark(path)) == resumes
    if resumes:
        (tmp_path / "new" / "a").write_bytes(b"a")
        found = open_new(path, resumes=True)
        found.close()
        assert not found.is_directory
        found.forget()
        assert os.listdir(tmp_path) == ["new"]


def test_what_somebody_has_filled_was_not_made_by_a_run_that_was_about_to(made, tmp_path):
    path, fd = made
    os.close(announce(path, JOB))
    (tmp_path / "new" / "a").write_bytes(b"a")
    assert not find(path, fd, JOB)


def test_one_that_can_not_be_made_leaves_no_word(tmp_path, monkeypatch):
    def fail(*words, **named):
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "mkdir", fail)
    with pytest.raises(Exception, match="can't write to"):
        open_new(os.fsencode(tmp_path / "new"), resumes=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "hard link", "link"])
@pytest.mark.parametrize("after", range(1, 8))
def test_what_takes_the_name_meanwhile_is_not_written_to(made, tmp_path, monkeypatch, kind, after):
    """Who owns the directory above puts a file in the mark's place, perhaps a name of one that is root's."""
    path, fd = made
    name = os.fsdecode(mark(path))
    to = announce(path, JOB)
    os.close(to)
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious" * 20)

    def swap():
        os.unlink(name)
        if kind == "link":
            os.symlink(precious, name)
        elif kind == "file":
            os.rename(precious, name)
        else:
            os.link(precious, name)

    with swapping(monkeypatch, ("open", "fstat", "read", "listdir"), after, swap) as count:
        find(path, fd, JOB)
    n = count()
    assert n >= after or after > 5
    kept = Path(name) if kind == "file" and n >= after else precious
    assert kept.read_bytes() == b"precious" * 20


@pytest.mark.parametrize("n_letters", [244, 245, 255])
def test_a_name_with_no_room_for_more_is_known_too(tmp_path, n_letters):
    paths = [os.fsencode(tmp_path / (letter + (n_letters - 1) * "n")) for letter in "ab"]
    for path in paths:
        os.mkdir(path)
        fd = os.open(path, os.O_RDONLY)
        try:
            assert note(path, fd, JOB) and find(path, fd, JOB) and find(path + b"/", fd, JOB)
        finally:
            os.close(fd)
    assert mark(paths[0]) != mark(paths[1])
    assert all(is_unfinished(os.path.basename(mark(path))) for path in paths)

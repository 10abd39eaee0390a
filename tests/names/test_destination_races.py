"""Somebody changes names while the target is opened: what was found right is written to, or nothing is."""

import errno
import os
import stat

import pytest

from escp.errors import EscpError
from escp.names import newtarget
from escp.names.destination import open_destination
from tests.support.noproc import hide_proc
from tests.support.swapping import swapping

CALLS = ("stat", "lstat", "open", "mkdir", "readlink", "fstat", "scandir", "access")
MAX_CALLS = 12


@pytest.fixture
def folder(tmp_path):
    """Looks the same afterwards where it matters."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"precious")
    (tmp_path / "place").mkdir()
    yield tmp_path
    assert os.listdir(tmp_path / "precious") == ["file"]
    assert (tmp_path / "precious" / "file").read_bytes() == b"precious"


def open_or_refuse(target, **settings):
    settings = {"n_sources": 1, "is_directory": False, **settings}
    try:
        return open_destination(os.fsencode(target), **settings)
    except EscpError:
        return None


def place_of(fd):
    return os.readlink(f"/proc/self/fd/{fd}")


at_each_call = pytest.mark.parametrize("after", range(1, MAX_CALLS + 1))


@at_each_call
@pytest.mark.parametrize("kind", ["link", "moved", "other"])
@pytest.mark.parametrize("settings", [{"is_directory": True}, {"n_sources": 2}], ids=["tree", "several"])
def test_directory_that_was_made_is_the_one_that_is_opened(folder, monkeypatch, after, kind, settings):
    """Not a link, nor a directory with something in it, nor somebody else's, put in its place."""
    new = folder / "place" / "new"
    if kind == "other" and os.geteuid() != 0:
        pytest.skip("only root can give a directory to somebody")

    def swap():
        if not new.exists():
            return  # named before it was made: it is the user's then to be what it is
        new.rename(folder / "place" / "made")
        if kind == "link":
            new.symlink_to(folder / "precious")
        elif kind == "moved":
            (folder / "precious").rename(new)
        else:
            new.mkdir()
            os.chown(new, 12345, 12345)

    with swapping(monkeypatch, CALLS, after, swap):
        found = open_or_refuse(new, **settings)
    if kind == "moved" and new.exists() and not (folder / "precious").exists():
        new.rename(folder / "precious")
    if found is not None:
        place = place_of(found.root_fd)
        assert os.fstat(found.root_fd).st_uid == os.geteuid() and place in (str(new), f"{new.parent}/made"), (
            place
        )
        found.close()


@pytest.fixture(params=[True, False], ids=["", "no /proc"])
def proc(request, monkeypatch):
    if not request.param:
        hide_proc(monkeypatch)


@at_each_call
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_written_in_place_is_no_file(folder, monkeypatch, proc, after, kind):
    """A pipe that was seen is not a file of somebody's by the time it is opened."""
    target = folder / "place" / "pipe"
    if kind == "fifo":
        os.mkfifo(target)
        reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    else:
        target.symlink_to("/dev/null")
        reader = os.open("/dev/null", os.O_RDONLY)

    def swap():
        target.unlink()
        target.symlink_to(folder / "precious" / "file")

    with swapping(monkeypatch, CALLS, after, swap):
        found = open_or_refuse(target)
    os.close(reader)
    if found is not None:
        if found.in_place_fd >= 0:
            assert not stat.S_ISREG(os.fstat(found.in_place_fd).st_mode)
        else:  # the link was there before anything was looked at: it is what the user named
            assert after == 1 and found.name == b"file"
        found.close()


@at_each_call
def test_file_that_was_seen_is_the_one_that_is_replaced(folder, monkeypatch, proc, after):
    """Its directory is not another one by then, in which another file has its name."""
    target = folder / "place" / "file"
    target.write_bytes(b"old")

    def swap():
        (folder / "place").rename(folder / "moved")
        (folder / "place").symlink_to("precious")

    seen = target.stat().st_ino
    with swapping(monkeypatch, CALLS, after, swap):
        found = open_or_refuse(target)
    if found is not None:
        is_seen = os.stat(found.name, dir_fd=found.root_fd, follow_symlinks=False).st_ino == seen
        assert is_seen or after == 1  # behind the first call it is only known that no directory was there
        found.close()


def test_directory_of_a_file_system_with_owners_of_its_own_is_taken(folder, monkeypatch):
    """sshfs, or NFS that squashes root: what is made there belongs to somebody else, and files do, too."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    found = open_or_refuse(folder / "place" / "new", is_directory=True)
    assert found is not None and os.listdir(found.root_fd) == []
    found.close()


def test_swapped_directory_is_told_of(folder, monkeypatch):
    monkeypatch.setattr(newtarget, "_is_ours", lambda _: False)
    with pytest.raises(EscpError) as caught:
        open_destination(os.fsencode(folder / "place" / "new"), n_sources=1, is_directory=True)
    assert caught.value.exit_code == 15 and caught.value.hint
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.ESTALE

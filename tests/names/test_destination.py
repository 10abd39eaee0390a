"""The target as the receiving host finds it: what is opened, created or refused."""

import gc
import os
import stat
from contextlib import contextmanager

import pytest

from escp.errors import LocalFileError, RefusedError, RemoteFileError
from escp.names.destination import expand_home, open_destination
from tests.support.noproc import hide_proc


@contextmanager
def opened(path, *, n_sources=1, is_directory=False):
    destination = open_destination(os.fsencode(path), n_sources=n_sources, is_directory=is_directory)
    try:
        yield destination
    finally:
        destination.close()


def place_of(destination) -> str:
    return os.readlink(f"/proc/self/fd/{destination.root_fd}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "to dir").symlink_to("dir")
    (tmp_path / "dir" / "to file").symlink_to("../file")
    (tmp_path / "dangling").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "dir"))
    return tmp_path


@pytest.mark.parametrize(
    "target", ["dir", "dir/", "to dir", "to dir/", "{}/dir", "dir/.", "dir/../dir", "~", "~/"]
)
@pytest.mark.parametrize(("n_sources", "is_directory"), [(1, False), (1, True), (2, False), (1000, False)])
def test_existing_directory_takes_names_below(folder, target, n_sources, is_directory):
    with opened(target.format(folder), n_sources=n_sources, is_directory=is_directory) as found:
        assert place_of(found) == str(folder / "dir")
        assert (found.name, found.in_place_fd, found.is_directory) == (b"", -1, True)


def test_empty_target_is_where_the_agent_starts(folder):
    with opened("") as found:
        assert place_of(found) == str(folder) and found.is_directory


@pytest.mark.parametrize(
    ("target", "place", "name"),
    [("new", "", b"new"), ("dir/new", "dir", b"new"), ("{}/new", "", b"new"), ("to dir/new", "dir", b"new"),
     ("~/new", "dir", b"new"), ("file", "", b"file"), ("dir/to file", "", b"file")],
)  # fmt: skip
def test_one_file_gets_the_one_name(folder, target, place, name):
    with opened(target.format(folder)) as found:
        assert place_of(found) == str(folder / place).rstrip("/")
        assert (found.name, found.is_directory) == (name, False)
    assert not (folder / "new").exists()


def test_name_of_any_bytes(folder):
    with opened(b"dir/\xff\n") as found:
        assert found.name == b"\xff\n"


def test_directory_for_a_tree_is_made_privately_and_without_its_name(folder):
    with opened("copy", is_directory=True) as found:
        assert place_of(found) == str(folder / "copy")
        assert (found.name, found.is_directory) == (b"", False)
    assert stat.S_IMODE(os.stat("copy").st_mode) == 0o700


def test_directory_for_several_is_made_and_takes_their_names(folder):
    with opened("several", n_sources=2) as found:
        assert place_of(found) == str(folder / "several") and found.is_directory


@pytest.mark.parametrize(
    ("target", "settings"),
    [("new/", {}), ("file/", {}), ("file", {"is_directory": True}), ("file", {"n_sources": 2}), ("new/.", {}),
     ("~no-such-user/x", {})],
)  # fmt: skip
def test_what_the_sources_cannot_use_is_refused(folder, target, settings):
    with pytest.raises((RefusedError, RemoteFileError)) as caught, opened(target, **settings):
        pass
    assert caught.value.exit_code in (15, 16)
    assert (folder / "file").read_bytes() == b"old"
    assert sorted(os.listdir(folder)) == ["dangling", "dir", "file", "to dir"]


@pytest.mark.parametrize(
    ("target", "is_directory"),
    [
        (target, is_directory)
        for target in ("no/such/new", "file/below", "dangling")
        for is_directory in (False, True)
    ]
    + [("dir/" + "n" * 256, True)],
)
def test_what_cannot_be_opened_is_an_error_of_the_remote_file_system(folder, target, is_directory):
    with pytest.raises(RemoteFileError) as caught, opened(target, is_directory=is_directory):
        pass
    assert caught.value.exit_code == 15 and target[:20] in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_on_this_host_it_is_an_error_of_the_local_file_system(folder):
    with pytest.raises(LocalFileError):
        open_destination(b"no/such/new", n_sources=1, is_directory=False, is_remote=False)


def test_nul_in_the_target_is_an_error_and_not_a_crash(folder):
    with pytest.raises((RefusedError, RemoteFileError)), opened(b"a\0b"):
        pass


def test_device_is_written_in_place(folder):
    with opened("/dev/null") as found:
        assert found.in_place_fd >= 0 and not found.is_directory
        assert os.write(found.in_place_fd, b"x") == 1


def test_pipe_is_opened_for_blocking_writes_once_somebody_reads(folder):
    os.mkfifo("pipe")
    with pytest.raises(RemoteFileError) as caught, opened("pipe"):
        pass
    assert "reads the pipe" in caught.value.hint
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    with opened("pipe") as found:
        assert os.get_blocking(found.in_place_fd)
        os.write(found.in_place_fd, b"x")
    os.close(reader)


@pytest.fixture
def no_proc(monkeypatch):
    hide_proc(monkeypatch)


@pytest.mark.parametrize("target", ["file", "dir/to file", "{}/file", "to dir/to file", "dir/../file"])
def test_file_is_replaced_without_proc(folder, no_proc, target):
    with opened(target.format(folder)) as found:
        assert (place_of(found), found.name) == (str(folder), b"file")


def test_pipe_and_device_are_opened_without_proc(folder, no_proc):
    os.mkfifo("pipe")
    os.symlink("pipe", "to pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    for target in ("pipe", "to pipe", "/dev/null"):
        with opened(target) as found:
            assert os.path.samestat(os.fstat(found.in_place_fd), os.stat(target))
    os.close(reader)


def test_no_descriptor_is_left_open(folder):
    os.mkfifo("pipe")
    gc.collect()  # what earlier tests left may close a descriptor meanwhile
    before = sorted(os.listdir("/proc/self/fd"))
    for target in ("dir", "new", "copy/", "file", "pipe", "no/such", "/dev/null"):
        for is_directory in (False, True):
            try:
                with opened(target, is_directory=is_directory):
                    pass
            except (RefusedError, RemoteFileError):
                continue
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        (b"", b"."),
        (b"x", b"x"),
        (b"~", b"HOME"),
        (b"~/x", b"HOME/x"),
        (b"x~", b"x~"),
        (b"./~", b"./~"),
        (b"/~", b"/~"),
    ],
)
def test_home(folder, path, expanded):
    assert expand_home(path) == expanded.replace(b"HOME", os.fsencode(folder / "dir"))

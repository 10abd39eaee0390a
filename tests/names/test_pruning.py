"""What the receiving side of --delete does with pages that may be anybody's."""

import errno
import os

import pytest

from escp.control.deletion import Compare
from escp.errors import ProtocolError
from escp.names.pruning import Pruner
from tests.support.trees import list_tree


def open_directory(top, path):
    """As `_fast/files/beneath` does it, which is tested there."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=top)
    for part in path.split(b"/") if path else ():
        above, fd = fd, os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(above)
    return fd


@pytest.fixture
def root(tmp_path):
    top = tmp_path / "root"
    for name in ("a/x", "a/d/y", "b/z"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    return top


def make(root, roots=None, open_below=open_directory, find_excluded=lambda paths: [False] * len(paths)):
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    return Pruner(fd, roots=roots, open_below=open_below, find_excluded=find_excluded, keeps_times=False,
                  is_durable=False)  # fmt: skip


def page(**names):
    found = [list(map(str.encode, value)) for value in names.values()]
    return Compare([key.replace("_", "/").encode() for key in names], [len(one) for one in found],
                   [name for one in found for name in one], is_last=True)  # fmt: skip


def test_plan_and_removal(root):
    pruner = make(root)
    told = pruner.compare(page(a=["x"]))
    assert told.is_done and told.n_planned == 2 and (root / "a" / "d" / "y").exists()
    done = pruner.prune(is_dry_run=False)
    assert done.paths == [b"a/d/y", b"a/d/"] and done.is_last
    assert set(list_tree(root)) == {b"a", b"a/x", b"b", b"b/z"}


@pytest.mark.parametrize("name", ["..", "a/../..", "/etc", "a//d", "a/.", "a\0b"])
def test_paths_that_lead_out_end_it(root, name):
    pruner = make(root)
    with pytest.raises(ProtocolError):
        pruner.compare(Compare([name.encode()], [0], [], is_last=True))


@pytest.mark.parametrize("name", ["", "b", "ab"])
def test_what_nobody_asked_for_is_refused(root, name):
    """A hostile sender of a pull names another directory than the one that was asked for."""
    pruner = make(root, roots={b"a"})
    with pytest.raises(ProtocolError):
        pruner.compare(Compare([name.encode()], [0], [], is_last=True))
    assert pruner.compare(page(a=["x", "d"])).n_planned == 0


@pytest.mark.parametrize(
    "counts, names", [([1], []), ([], []), ([0], [b"x"]), ([1], [b"../x"]), ([1], [b""])]
)
def test_numbers_and_names_that_do_not_fit(root, counts, names):
    with pytest.raises(ProtocolError):
        make(root).compare(Compare([b"a"], counts, names, is_last=True))


def test_link_in_place_of_a_directory_is_not_followed(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("x")
    (root / "link").symlink_to(outside)
    (root / "a" / "link").symlink_to("../b")
    pruner = make(root)
    told = pruner.compare(Compare([b"link", b"a/link", b"a/d"], [0, 0, 1], [b"y"], is_last=True))
    assert told.n_planned == 0 and told.sys_errno == 0


def test_link_that_comes_between_plan_and_removal_is_not_followed(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "y").write_text("x")
    pruner = make(root)
    assert pruner.compare(page(a=["x"])).n_planned == 2
    (root / "a" / "d").rename(root / "moved")
    (root / "a" / "d").symlink_to(outside)
    done = pruner.prune(is_dry_run=False)
    assert (outside / "y").exists() and done.failed


def test_directory_that_can_not_be_listed_removes_nothing(root):
    def open_below(fd, path):
        if path == b"d":
            raise OSError(errno.EACCES, "no")
        return open_directory(fd, path)

    told = make(root, open_below=open_below).compare(page(a=["x"]))
    assert (told.failed, told.sys_errno) == (b"a/d", errno.EACCES)


def test_directories_in_which_something_stays_are_not_counted(root):
    (root / "a" / "d" / "e").mkdir()
    (root / "a" / "d" / "e" / ".escp-1-2-3-4.part").write_text("x")
    (root / "a" / "d" / "e" / "goes").write_text("x")
    pruner = make(root)
    assert pruner.compare(page(a=["x"])).n_planned == 2  # y and goes
    assert set(pruner.prune(is_dry_run=True).paths) == {b"a/d/y", b"a/d/e/goes"}


def test_name_in_another_spelling_stays(root, monkeypatch):
    """As on a file system that takes two spellings for one: what is listed is the old one."""
    stat = os.stat

    def as_folded(path, **how):
        return stat(path.lower() if isinstance(path, bytes) else path, **how)

    monkeypatch.setattr("escp.names.pruning.os.stat", as_folded)
    assert make(root).compare(page(a=["X", "d"])).n_planned == 0


def test_what_appears_meanwhile_stays(root):
    pruner = make(root)
    pruner.compare(Compare([b"a"], [1], [b"x"], is_last=False))
    (root / "a" / "new").write_text("x")
    assert pruner.compare(Compare([b"a"], [1], [b"d"], is_last=True)).n_planned == 0

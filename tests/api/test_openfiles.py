"""Files of `escp://` that are open: one state of what is read, modes, transactions; shared logins."""

import os
import signal
import subprocess
import threading

import pytest

fsspec = pytest.importorskip("fsspec")

from fsspec.callbacks import Callback  # noqa: E402
from fsspec.implementations.local import LocalFileSystem  # noqa: E402

from escp.api.filesystem import EscpFileSystem  # noqa: E402
from escp.api.openfiles import check_mode  # noqa: E402
from escp.errors import InternalError, RemoteFileError  # noqa: E402
from tests.api.test_copy import login  # noqa: E402
from tests.api.test_ends import in_child  # noqa: E402
from tests.support.waiting import wait_for  # noqa: E402

MIB = 1 << 20


@pytest.fixture
def words(escp):
    """Of a file system that is kept by its arguments, and forgotten afterwards."""
    yield login(escp)
    EscpFileSystem.clear_instance_cache()


@pytest.mark.parametrize("how", ["replaced", "written to"])
def test_file_that_changes_while_it_is_open(files, target, how):
    """A program that reads an index at one place and data at another never has one of each."""
    (target / "a").write_bytes(b"A" * 3 * MIB)
    with files.open(target / "a", block_size=MIB, cache_type="none") as file:
        assert file.read(10) == b"A" * 10
        if how == "replaced":
            (target / "b").write_bytes(b"B" * 3 * MIB)
            (target / "b").rename(target / "a")
        else:
            with open(target / "a", "r+b") as own:
                own.write(b"B" * 3 * MIB)
        file.seek(2 * MIB)
        with pytest.raises(RemoteFileError, match="the source changed") as raised:
            file.read(10)
        assert raised.value.is_retryable
    with files.open(target / "a") as file:
        assert file.read() == b"B" * 3 * MIB


@pytest.mark.parametrize("mode", ["br", "rb", "bw", "+br", "r+b", "rt", "tr", "w+", "xb", "ab", "a+b"])
def test_modes_are_ios(files, target, mode):
    for fs, name in ((files, "there"), (LocalFileSystem(), "here")):
        if "x" not in mode:
            (target / name).write_bytes(b"abc")
        with fs.open(str(target / name), mode) as file:
            if "r" in mode:
                assert file.read() == ("abc" if "b" not in mode else b"abc")
            else:
                file.write("d" if "b" not in mode else b"d")
    assert (target / "there").read_bytes() == (target / "here").read_bytes()


@pytest.mark.parametrize("mode", ["", "b", "rw", "q", "rbt", "rr", "rwb", "++r", "Ub"])
def test_what_is_no_mode(files, target, mode):
    (target / "a").write_bytes(b"abc")
    with pytest.raises(ValueError, match="no mode"):
        files.open(target / "a", mode)
    with pytest.raises(ValueError, match="no mode"):
        check_mode(mode)
    assert (target / "a").read_bytes() == b"abc"


@pytest.mark.parametrize("is_raised", [False, True])
def test_all_of_a_transaction_or_nothing(files, tmp_path, target, is_raised):
    """fsspec's `pipe`, `put` and files that are changed in their place: they came at once, or never."""
    (target / "changed").write_bytes(b"old")
    (tmp_path / "small").write_bytes(b"s")
    (tmp_path / "large").write_bytes(bytes(MIB))

    def work():
        with files.transaction:
            files.pipe(str(target / "piped"), b"new")
            files.put_file(tmp_path / "small", target / "small")
            files.put_file(tmp_path / "large", target / "large")
            with files.open(target / "changed", "r+b") as file:
                file.write(b"n")
            assert os.listdir(target) == ["changed"] and (target / "changed").read_bytes() == b"old"
            if is_raised:
                raise ZeroDivisionError

    if is_raised:
        with pytest.raises(ZeroDivisionError):
            work()
        assert os.listdir(target) == ["changed"] and (target / "changed").read_bytes() == b"old"
    else:
        work()
        assert sorted(os.listdir(target)) == ["changed", "large", "piped", "small"]
        assert (target / "changed").read_bytes() == b"nld" and (target / "large").stat().st_size == MIB
    files.pipe(str(target / "after"), b"x")
    assert (target / "after").read_bytes() == b"x"


def test_links_that_lead_back_have_no_end(files, target, tmp_path):
    """Each way through two of them was gone 40 links deep: more ways than there is time."""
    (target / "a" / "b").mkdir(parents=True)
    (target / "a" / "file").write_text("x")
    (target / "elsewhere").mkdir()
    (target / "elsewhere" / "file").write_text("y")
    for name in ("one", "two", "b/three"):
        os.symlink(target / "a", target / "a" / name)
    os.symlink("../elsewhere", target / "a" / "aside")
    os.symlink("../a", target / "elsewhere" / "back")
    names = [f"a/{name}" for name in ("aside/file", "aside/back", "b/three", "file", "one", "two")]
    found = files.find(str(target / "a"))
    assert [str(target / name) for name in sorted(names)] == found
    assert str(target / "a" / "aside" / "file") in files.glob(f"{target}/a/**")


@pytest.mark.parametrize("size", [0, 1, 2 * MIB])
def test_callback_ends_at_the_size(files, target, size):
    (target / "a").write_bytes(bytes(size))
    for call, ends in ((files.get_file, ("a", "b")), (files.put_file, ("b", "c"))):
        callback = Callback()
        call(str(target / ends[0]), str(target / ends[1]), callback=callback)
        assert (callback.size, callback.value) == (size, size)


def list_logins() -> list[int]:
    said = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,comm="], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in said.stdout.splitlines() if line.split()[1] == "ssh"]


def test_threads_share_a_login(words, target):
    """fsspec keeps an object for each thread, and for as long as the program runs."""
    (target / "a").write_bytes(b"abc")
    before = list_logins()
    seen = []

    def read():
        fs = fsspec.filesystem("escp", host="box", agent=words["escp"], **others)
        seen.append((fs.cat(str(target / "a")), fs.remote))

    fsspec.register_implementation("escp", EscpFileSystem, clobber=True)
    others = {name: value for name, value in words.items() if name != "escp"}
    threads = [threading.Thread(target=read) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [data for data, _ in seen] == [b"abc"] * 5 and len({id(remote) for _, remote in seen}) == 1
    assert len(set(list_logins()) - set(before)) == 1
    seen[0][1].close()


def test_a_lost_login_is_made_anew_and_a_closed_one_is_not(words, target):
    (target / "a").write_bytes(b"abc")
    before = set(list_logins())
    fs = EscpFileSystem("box", **words)
    with fs.open(target / "a") as file:
        (own,) = set(list_logins()) - before
        os.kill(own, signal.SIGKILL)
        wait_for(lambda: not fs._remote.is_open)
        assert file.read() == b"abc" and fs.exists(target / "a")
    assert EscpFileSystem("box", **words) is fs
    fs.close()
    with pytest.raises(InternalError, match="closed"):
        fs.exists(target / "a")
    again = EscpFileSystem("box", **words)
    assert again is not fs and again.exists(target / "a")
    again.close()


def test_a_child_logs_in_on_its_own(words, target):
    (target / "a").write_bytes(b"abc")
    fs = EscpFileSystem("box", **words)
    writer = fs.open(target / "new", "wb")
    writer.write(b"half")

    def work():
        writer.close()  # as when the child ends
        assert fs.cat(str(target / "a")) == b"abc" and not fs.exists(target / "new")
        return 7

    assert in_child(work) == 7
    writer.write(b", and the rest")
    writer.close()
    assert fs.cat(str(target / "new")) == b"half, and the rest"
    fs.close()


def test_a_rename_that_fails_names_both(files, target):
    (target / "a").write_text("x")
    with pytest.raises(FileNotFoundError) as raised:
        files.mv(str(target / "a"), str(target / "absent" / "a"))
    assert (raised.value.filename, raised.value.filename2) == (
        str(target / "a"),
        str(target / "absent" / "a"),
    )

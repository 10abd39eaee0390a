"""What a connection does with files of the other host: list, stat, digest, read, make, rename, remove."""

import errno
import os
import signal
import stat
import threading

import pytest

import escp as library
from escp import errors
from escp.control.questions import MAX_ENTRIES, MAX_READ_BYTES
from tests.api.test_copy import login
from tests.support.leftovers import find_agents, find_processes
from tests.support.trees import write_random
from tests.support.waiting import wait_for


@pytest.fixture
def remote(escp):
    with library.connect("box", **login(escp)) as one:
        yield one
    escp.assert_nothing_left()


def test_stat_is_the_systems(remote, source):
    write_random(source / "a", 12345)
    os.chmod(source / "a", 0o640)
    os.utime(source / "a", ns=(0, -1_500_000_001))
    os.link(source / "a", source / "b")
    os.symlink("a", source / "l")
    own = os.stat(source / "a")
    for name in ("a", "b", "l"):
        one = remote.stat(source / name)
        assert (one.type, one.size, one.mode, one.uid, one.gid) == (
            "file",
            12345,
            0o640,
            own.st_uid,
            own.st_gid,
        )
        assert (one.mtime_ns, one.inode, one.n_links, one.target) == (-1_500_000_001, own.st_ino, 2, None)
        assert one.name == str(source / name) and one.is_file and one.mtime == own.st_mtime
    link = remote.stat(source / "l", follow_symlinks=False)
    assert (link.type, link.target, link.is_file) == ("link", "a", False)
    assert remote.stat(source).is_directory


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (FileNotFoundError, lambda r, p: r.stat(p / "absent")),
        (NotADirectoryError, lambda r, p: r.stat(p / "a" / "b")),
        (FileNotFoundError, lambda r, p: r.list(p / "absent")),
        (NotADirectoryError, lambda r, p: r.list(p / "a")),
        (FileNotFoundError, lambda r, p: r.remove(p / "absent")),
        (FileNotFoundError, lambda r, p: r.remove(p / "absent", recursive=True)),
        (OSError, lambda r, p: r.remove(p / "full")),
        (FileExistsError, lambda r, p: r.mkdir(p / "full")),
        (FileExistsError, lambda r, p: r.mkdir(p / "a", exist_ok=True)),
        (FileNotFoundError, lambda r, p: r.mkdir(p / "absent" / "b")),
        (FileExistsError, lambda r, p: r.rename(p / "a", p / "c")),
        (FileExistsError, lambda r, p: r.rename(p / "full", p / "c")),
        (FileNotFoundError, lambda r, p: r.rename(p / "absent", p / "d")),
        (FileNotFoundError, lambda r, p: r.rename(p / "a", p / "absent" / "d")),
        (FileNotFoundError, lambda r, p: r.digest(p / "absent")),
        (IsADirectoryError, lambda r, p: r.digest(p / "full")),
        (FileNotFoundError, lambda r, p: r.read(p / "absent")),
        (IsADirectoryError, lambda r, p: r.read(p / "full")),
        (OSError, lambda r, p: r.read(p / "pipe")),
        (OSError, lambda r, p: r.digest(p / "pipe")),
        (OSError, lambda r, p: r.read(p / "a\0b")),
        (OSError, lambda r, p: r.stat("x" * 5000)),
        (FileNotFoundError, lambda r, p: r.stat("~nobody-of-that-name/x")),
        (ValueError, lambda r, p: r.read(p / "a", -1)),
    ],
)
def test_errors_are_the_systems_and_name_the_path(remote, source, error, call):
    (source / "a").write_text("a")
    (source / "c").write_text("c")
    (source / "full").mkdir()
    (source / "full" / "x").write_text("x")
    os.mkfifo(source / "pipe")
    with pytest.raises(error) as raised:
        call(remote, source)
    if error not in (ValueError, OSError):
        assert raised.value.filename and raised.value.errno
    assert (source / "a").read_text() == "a" and (source / "c").read_text() == "c"
    assert (source / "full" / "x").exists()
    assert remote.exists(source / "a")  # the connection goes on


def test_lists_of_any_length_with_any_names(remote, source):
    names = {os.fsdecode(b"%d\xff" % n) for n in range(2 * MAX_ENTRIES + 5)} | {"a\nb", "x" * 255, "-", "~"}
    for name in names:
        (source / name).touch()
    (source / "below").mkdir()
    os.symlink("nowhere", source / "link")
    found = remote.list(source)
    assert {one.name for one in found} == names | {"below", "link"} and len(found) == len(names) + 2
    kinds = {one.name: one.type for one in found}
    assert (kinds["below"], kinds["link"], kinds["-"]) == ("directory", "link", "file")
    assert remote.list(source / "below") == []


def test_relative_paths_are_of_the_home_directory(escp, remote):
    (escp.home / "a").write_text("hello")
    assert remote.read("a") == remote.read("~/a") == b"hello"
    assert "a" in [one.name for one in remote.list()]
    assert remote.exists("a") and not remote.exists("b") and not remote.exists("a/b")


def test_changes(remote, source):
    remote.mkdir(source / "a")
    remote.mkdir(source / "a", exist_ok=True)
    remote.mkdir(source / "b/c/d", parents=True)
    remote.mkdir(source / "b/c/d", parents=True, exist_ok=True)
    with pytest.raises(FileExistsError):
        remote.mkdir(source / "b/c/d", parents=True)
    (source / "f").write_text("f")
    (source / "g").write_text("g")
    remote.rename(source / "f", source / "b/c/f")
    remote.rename(source / "g", source / "b/c/f", replace=True)
    assert (source / "b/c/f").read_text() == "g" and os.stat(source / "b/c/f").st_nlink == 1
    remote.rename(source / "b/c", source / "e")
    os.symlink(source / "e", source / "l")
    remote.remove(source / "l", recursive=True)  # the link, and nothing of what it leads to
    assert (source / "e/f").exists()
    remote.remove(source / "e/f")
    remote.remove(source / "e", recursive=True)
    remote.remove(source / "a")
    assert os.listdir(source) == ["b"]


@pytest.mark.parametrize("size", [0, 1, MAX_READ_BYTES, MAX_READ_BYTES + 1, 30 * MAX_READ_BYTES + 7])
def test_read_and_digest(remote, source, size):
    write_random(source / "a", size)
    whole = (source / "a").read_bytes()
    assert remote.digest(source / "a") == library.digest(source / "a")
    assert remote.read(source / "a") == whole
    for offset, length in (
        (0, 10),
        (size // 2, None),
        (size // 3, size // 2),
        (size, 5),
        (size + 9, None),
        (3, 0),
    ):
        end = size if length is None else offset + length
        assert remote.read(source / "a", offset, length) == whole[offset:end]


def test_file_that_changes_while_it_is_read(remote, source, monkeypatch):
    write_random(source / "a", 10 * MAX_READ_BYTES)
    from escp.remote.filelink import FileLink

    send = FileLink.send

    def change(self, question):
        send(self, question)
        (source / "b").write_bytes(bytes(10 * MAX_READ_BYTES))
        os.replace(source / "b", source / "a")

    monkeypatch.setattr(FileLink, "send", change)
    with pytest.raises(errors.RemoteFileError, match="changed"):
        remote.read(source / "a")
    monkeypatch.undo()
    assert remote.read(source / "a") == bytes(10 * MAX_READ_BYTES)


def test_many_threads(escp, remote, source):
    for number in range(12):
        write_random(source / str(number), 1_000_000, seed=number)
    wrong = []

    def ask(number):
        for _ in range(5):
            path = source / str(number)
            if remote.read(path) != path.read_bytes() or remote.digest(path) != library.digest(path):
                wrong.append(number)
            if len(remote.list(source)) != 12:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_cancelled_and_timed_out_questions(remote, source):
    """Of a file system that is slow: a file that is long to read stands for it."""
    with open(source / "large", "wb") as file:
        file.truncate(1 << 42)
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(library.CancelledError):
        remote.digest(source / "large", cancel=cancel)
    with pytest.raises(errors.TimeUpError):
        remote.digest(source / "large", timeout=0.5)
    assert remote.exists(source)
    assert remote.put("/etc/hostname", source / "a").ok


def test_agent_that_was_killed_while_nobody_asked(escp, remote, source):
    remote.list(source)
    (agent,) = find_agents(escp.mark)
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: agent not in find_agents(escp.mark))
    assert remote.list(source) == []


@pytest.mark.parametrize("is_reading", [True, False])
def test_killed_agent_whose_end_is_not_told_yet(escp, remote, source, is_reading):
    """Who started it stands still until the next question is on its way."""
    remote.list(source)
    (agent,) = find_agents(escp.mark)
    (carrier,) = find_processes(escp.mark).keys() - {agent}
    os.kill(carrier, signal.SIGSTOP)
    os.kill(agent, signal.SIGKILL)
    timer = threading.Timer(0.3, os.kill, (carrier, signal.SIGCONT))
    timer.start()
    if is_reading:
        assert remote.list(source) == []
    else:  # it may have been done
        with pytest.raises(errors.EndedError):
            remote.mkdir(source / "new")
        assert remote.list(source) == []
    timer.join()


def test_closed_connection(escp, source):
    remote = library.connect("box", **login(escp))
    remote.list(source)
    remote.close()
    escp.assert_nothing_left()
    with pytest.raises(library.EscpError, match="closed"):
        remote.list(source)


def test_directory_that_may_not_be_read(remote, source):
    (source / "a").mkdir(mode=0)
    if os.getuid():
        with pytest.raises(PermissionError) as raised:
            remote.list(source / "a")
        assert raised.value.errno == errno.EACCES
    assert stat.S_IMODE(remote.stat(source / "a").mode) == 0


@pytest.mark.parametrize("size", [0, 1, MAX_READ_BYTES, MAX_READ_BYTES + 1, 5_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_write(remote, source, size, kind):
    data = os.urandom(size)
    remote.write(source / "a", kind(data))
    assert (source / "a").read_bytes() == data and os.listdir(source) == ["a"]
    with pytest.raises(FileExistsError):
        remote.write(source / "a", kind(b"x" * size), exclusive=True)
    os.chmod(source / "a", 0o640)
    os.symlink("a", source / "l")
    remote.write(source / "l", kind(data[::-1]))
    assert (source / "a").read_bytes() == data[::-1] and stat.S_IMODE(os.stat(source / "a").st_mode) == 0o640
    remote.write(source / "new", kind(data), exclusive=True)
    assert (source / "new").read_bytes() == data and os.stat(source / "new").st_nlink == 1
    assert sorted(os.listdir(source)) == ["a", "l", "new"]


@pytest.mark.parametrize("size", [1, MAX_READ_BYTES + 1])
def test_what_can_not_be_written(remote, source, size):
    (source / "d").mkdir()
    for path, kinds in (
        ("d", (IsADirectoryError, library.EscpError)),
        ("absent/a", (OSError, library.EscpError)),
    ):
        with pytest.raises(kinds):
            remote.write(source / path, bytes(size))
    with pytest.raises(FileExistsError):
        remote.write(source / "d", bytes(size), exclusive=True)
    assert os.listdir(source) == ["d"] and os.listdir(source / "d") == []
    with pytest.raises(TypeError):
        remote.write(source / "a", "text")


def test_result_says_what_kept_a_file_away(remote, source):
    with pytest.raises(FileNotFoundError):
        remote.get([source / "absent", source / "other"], source).check()
    remote.put([source / "absent", "/etc/hostname"], source, timeout=30)
    assert library.copy("/etc/hostname", source).check() is None

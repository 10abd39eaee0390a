"""ENTRY_BEGUN: a directory's mode, told before anything in it comes."""

import os
import stat

import pytest

from escp._fast.planes.plane import FATAL
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_PROTOCOL, FAST_UNSAFE
from tests.support.peers import BEGUN, DIRECTORY, SMALL, Receiver, Sender


def begin(sender, path, mode, stream=0):
    sender.send_entries(encode_entry(kind=BEGUN, id=0, path=path, mode=mode), stream=stream)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("follows_umask", [False, True])
def test_directory_has_its_mode_from_the_start(tmp_path, follows_umask):
    with Sender(tmp_path, follows_umask=follows_umask) as sender:
        for path, mode in ((b"d", 0o777), (b"d/e", 0o750), (b"d/e/f", 0o400)):
            begin(sender, path, mode)
        sender.send_small(b"d/e/f/file", id=1)
        assert sender.receive_results(1)[0][1] == 0
        paths = [tmp_path / "d", tmp_path / "d/e", tmp_path / "d/e/f"]
        assert [mode_of(path) for path in paths] == [0o755, 0o750, 0o700]
    assert [mode_of(path) for path in paths] == [0o755, 0o750, 0o400]


@pytest.mark.parametrize("follows_umask", [False, True])
def test_without_it_nobody_else_may_enter(tmp_path, follows_umask):
    """As with senders that don't know it: what the source's mode is comes with the directory's own entry."""
    with Sender(tmp_path, follows_umask=follows_umask) as sender:
        sender.send_small(b"d/file", id=1)
        assert sender.receive_results(1)[0][1] == 0
        assert mode_of(tmp_path / "d") & 0o777 == 0o700
    assert mode_of(tmp_path / "d") & 0o777 == 0o700


def test_own_entry_counts_in_the_end(tmp_path):
    with Sender(tmp_path, follows_umask=False) as sender:
        begin(sender, b"d", 0o500)
        sender.send_small(b"d/file", id=1)
        sender.send_entries(encode_entry(kind=DIRECTORY, id=2, path=b"d", mode=0o511))
        assert [result[:2] for result in sender.receive_results(2)] == [(1, 0), (2, 0)]
        assert mode_of(tmp_path / "d") == 0o511
    assert mode_of(tmp_path / "d") == 0o511


def test_directory_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "d").mkdir(0o751)
    with Sender(tmp_path, n_streams=2) as sender:
        for stream in (0, 1):
            begin(sender, b"d", 0o700, stream)
            begin(sender, b"d/e", 0o555, stream)
        sender.finish()
    assert mode_of(tmp_path / "d") == 0o751 and mode_of(tmp_path / "d/e") == 0o555


def test_it_is_no_way_around_what_was_asked_for(tmp_path):
    with Sender(tmp_path, has_roots=True, is_recursive=True) as sender:
        sender.plane.allow(b"asked", True)
        begin(sender, b"asked/below", 0o755)
        begin(sender, b"asked", 0o755)
        begin(sender, b"other", 0o755)
        event = sender.wait(FATAL)
        assert (event.code, event.where) == (FAST_UNSAFE, "name")
    assert os.listdir(tmp_path) == ["asked"]


@pytest.mark.parametrize("options", [{"is_dry_run": True}, {"target_name": b"file"}], ids=str)
def test_nothing_is_made_where_none_may_come(tmp_path, options):
    with Sender(tmp_path, **options) as sender:
        begin(sender, b"d", 0o755)
        if "is_dry_run" in options:
            assert sender.wait(FATAL).code == FAST_PROTOCOL
        else:
            sender.finish()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("knows", [False, True])
def test_sender_tells_of_each_directory_before_its_files(tmp_path, knows):
    for path in ("top/a/b", "top/c"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "file").write_text(path)
    (tmp_path / "top/a").chmod(0o750)
    with Receiver((os.fsencode(tmp_path / "top"), b"top"), hears_begun=knows) as receiver:
        seen, modes, n_files = set(), {}, 0
        while n_files < 2:
            for entry in receiver.receive_entries():
                if entry["kind"] == BEGUN:
                    seen.add(entry["path"])
                    modes[entry["path"]] = entry["mode"]
                    continue
                n_files += entry["kind"] == SMALL
                above = entry["path"].split(b"/")[:-1]
                assert not knows or all(b"/".join(above[: i + 1]) in seen for i in range(len(above)))
        assert set(modes) == ({b"top", b"top/a", b"top/a/b", b"top/c"} if knows else set())
        assert modes.get(b"top/a", 0o750) == 0o750

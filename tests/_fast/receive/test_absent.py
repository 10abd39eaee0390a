"""Roots that don't come: the receiver waits for each allowed name, the sender says which stay away."""

import os

import pytest

from escp._fast.planes.plane import FATAL, FILE_FAILED, FINISHED
from escp._fast.wire.payloads import encode_entry, encode_extra
from escp.failures import FAST_ABSENT, FAST_MISSING, FAST_PROTOCOL, FAST_SYS, FAST_UNSAFE
from tests.support.loopback import BLOCK, Loopback
from tests.support.peers import ABSENT, DIRECTORY, HARD_LINK, QUERY, Receiver, Sender

MAX_WAITING = 65536


def absent(path: bytes, id: int = 1, **fields) -> bytes:
    return encode_entry(kind=ABSENT, id=id, path=path, mode=0, **fields)


def allowed(target, *names: bytes, **options) -> Sender:
    sender = Sender(target, has_roots=True, **options)
    for name in names:
        sender.plane.allow(name, False)
    return sender


def test_absent_name_is_waited_for_no_more(target):
    with allowed(target, b"a", b"b") as sender:
        sender.send_entries(absent(b"a"))
        assert sender.receive_results(1)[0][:2] == (1, 0)
        event = sender.wait(FILE_FAILED)
        assert (event.code, event.path) == (FAST_ABSENT, b"a")
        sender.send_small(b"b", id=2)
        sender.send_end()
        assert sender.wait_for_any().kind == FINISHED
        assert sender.plane.counters()["files"] == 1 and sender.plane.counters()["failed"] == 0


@pytest.mark.parametrize("names", [(), (b"b",), (b"a", b"a")], ids=repr)
def test_what_is_not_waited_for_can_not_be_absent(target, names):
    with allowed(target, *names) as sender:
        for _ in range(names.count(b"a")):
            sender.send_entries(absent(b"a"))
            assert sender.wait(FILE_FAILED).code == FAST_ABSENT
        sender.send_entries(absent(b"a"))
        assert sender.wait(FATAL).code == FAST_UNSAFE


def test_absent_name_can_not_come(target):
    with allowed(target, b"a") as sender:
        sender.send_entries(absent(b"a"))
        sender.wait(FILE_FAILED)
        sender.send_small(b"a")
        assert sender.wait(FATAL).code == FAST_UNSAFE
        assert os.listdir(target) == []


def test_receiver_that_waits_for_nothing_refuses_it(target):
    with Sender(target) as sender:
        sender.send_entries(absent(b"a"))
        assert sender.wait(FATAL).code == FAST_UNSAFE


@pytest.mark.parametrize("fields", [{"size": 1}, {"flags": 1}, {"flags": 128}], ids=str)
def test_absent_entry_has_nothing(target, fields):
    with allowed(target, b"a") as sender:
        sender.send_entries(absent(b"a", **fields))
        assert sender.wait(FATAL).code == FAST_PROTOCOL


def test_missing_names_are_told_at_the_end(target):
    names = [b"name%d" % i for i in range(200)]
    with allowed(target, *names, b"name0", n_streams=2) as sender:
        sender.send_small(b"name0")
        sender.send_end(stream=0)
        sender.send_end(stream=1)
        missing = []
        while (event := sender.wait_for_any()).kind != FINISHED:
            assert event.kind == FILE_FAILED and event.code == FAST_MISSING, event
            missing.append(event.path)
        assert sorted(missing) == sorted(names)
        with pytest.raises(ValueError, match="ended"):
            sender.plane.allow(b"late")


@pytest.mark.parametrize("first", [b"", b"dir"])
def test_name_that_a_directory_may_have_brought_is_not_missing(target, first):
    name = os.path.join(first, b"a")
    with Sender(target, has_roots=True) as sender:
        sender.plane.allow(first, True)
        sender.plane.allow(name)
        sender.send_small(name)
        sender.send_entries(encode_entry(kind=DIRECTORY, id=2, path=first, mode=0o755))
        sender.send_end()
        assert sender.wait_for_any().kind == FINISHED


def test_names_that_wait_are_bounded(target):
    with Sender(target, has_roots=True) as sender:
        for i in range(MAX_WAITING):
            sender.plane.allow(b"%d" % i)
        for name in (b"0", b"more"):
            with pytest.raises(OverflowError):
                sender.plane.allow(name)
        sender.send_entries(absent(b"7"))
        sender.wait(FILE_FAILED)
        sender.plane.allow(b"more")


@pytest.mark.parametrize("id", [1, 2])
def test_large_file_comes_once_while_it_is_open(target, id):
    """Not only once it is finished."""
    with allowed(target, b"a") as sender:
        sender.send_large(b"a", 3 * BLOCK)
        sender.send_large(b"a", 3 * BLOCK, id=id)
        if id == 1:
            sender.assert_silent()
        else:
            assert sender.wait(FATAL).code == FAST_UNSAFE


def test_small_file_can_not_come_while_a_large_one_of_that_name_is_open(target):
    with allowed(target, b"a") as sender:
        sender.send_large(b"a", 3 * BLOCK)
        sender.send_small(b"a", id=2)
        assert sender.wait(FATAL).code == FAST_UNSAFE
        assert os.listdir(target) == []


def test_nothing_comes_in_a_dry_run(target):
    (target / "a").write_text("mine")
    with allowed(target, b"a", selection="changed", is_dry_run=True) as sender:
        sender.send_entries(encode_entry(kind=QUERY, id=1, path=b"a", size=4))
        sender.receive_results(1)
        sender.send_small(b"a", id=2)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
        assert (target / "a").read_text() == "mine"


def test_same_file_is_not_absent(target):
    """With digests it is the sender who finds out."""
    (target / "a").write_text("mine")
    with allowed(target, b"a", selection="changed", compares_digests=True) as sender:
        sender.send_entries(encode_entry(kind=QUERY, id=1, path=b"a", size=4))
        sender.receive_results(1)
        sender.send_entries(absent(b"a", id=2))
        sender.receive_results(1)
        sender.send_end()
        assert sender.wait_for_any().kind == FINISHED
        assert sender.plane.counters()["skipped"] == 1


@pytest.mark.parametrize("tells_absent", [False, True])
def test_sender_tells_what_does_not_come(tmp_path, tells_absent):
    (tmp_path / "dir").mkdir()
    sources = [(os.fsencode(tmp_path / "none"), b"none"), (os.fsencode(tmp_path / "dir"), b"dir")]
    with Receiver(*sources, tells_absent=tells_absent) as receiver:
        seen = {}
        event = receiver.wait(FILE_FAILED)
        assert (event.code, event.path) == (FAST_SYS, sources[0][0])
        while len(seen) < 1 + tells_absent:
            for entry in receiver.receive_entries():
                seen[entry["path"]] = entry
                receiver.send_result(entry["id"])
        assert seen[b"dir"]["kind"] == DIRECTORY
        if tells_absent:
            assert (seen[b"none"]["kind"], seen[b"none"]["size"], seen[b"none"]["mode"]) == (ABSENT, 0, 0)
        is_data, payload = receiver.receive_frame()
        assert not is_data and payload[0] == 4 and int.from_bytes(payload[16:24], "big") == len(seen)
        receiver.send_end()
        receiver.wait(FINISHED)
        counts = receiver.plane.counters()
        assert (counts["files"], counts["directories"], counts["failed"]) == (0, 1, 1)


@pytest.mark.parametrize("both", [{}, {"selection": "changed"}], ids=["all", "changed"])
def test_name_in_one_source_and_a_source_by_itself(tmp_path, target, both):
    """What is the same as part of the first is not what the second one brings: it still comes."""
    for name, text, mtime in (
        ("d1/x", "one", 1000),
        ("d2/x", "two, newer", 2000),
        (f"{target.name}/x", "one", 1000),
    ):
        path = target.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (mtime, mtime))
    with Loopback(target, both=both, receiving={"has_roots": True, "keeps_attributes": True}) as planes:
        planes.receiver.allow(b"", True)
        planes.receiver.allow(b"x", False)
        planes.start()
        add = planes.sender.add_source
        add(os.fsencode(target.parent / "d1"), b"", waits=False, tells_absent=True)
        add(os.fsencode(target.parent / "d2/x"), b"x", waits=True, tells_absent=True)
        planes.sender.end_sources()
        planes.run_to_end()
    assert (target / "x").read_text() == "two, newer"


def test_directory_that_fails_keeps_its_files_names(target):
    """A hard link may lead to what came well in a directory that could not get its owner."""
    with Sender(
        target, has_roots=True, keeps_hard_links=True, keeps_owner=True, keeps_attributes=True
    ) as sender:
        sender.plane.allow(b"a", True)
        sender.plane.allow(b"b", True)
        sender.send_small(b"a/x", b"hello", id=1)
        nobody = encode_entry(kind=DIRECTORY, id=2, path=b"a", mode=0o755, uid=0xFFFFFFFF)
        other = encode_entry(kind=HARD_LINK, id=3, path=b"b/y", extras=encode_extra(1, b"a/x"))
        sender.send_entries(nobody)
        # FAST_SYS: this sender did not say that it knows FAST_LACKS.
        assert [code for _, code, *_ in sender.receive_results(2)] == [0, FAST_SYS]
        sender.send_entries(other)
        assert sender.receive_results(1)[0][:2] == (3, 0)
    assert (target / "b/y").read_text() == "hello"

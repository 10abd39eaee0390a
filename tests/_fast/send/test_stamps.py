"""What the sender knows of files that have arrived: what a receiver said, and what it is asked later."""

import os

import pytest

from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.wire.payloads import decode_entries
from escp.failures import FAST_PROTOCOL
from tests.support.peers import ASKS_STAMP, IS_SAME, IS_WANTED, QUERY, SMALL, Receiver, encode_stamps, unpack

STAMP = 0x0123456789ABCDEF
RECORD_BYTES = 16


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(b"contents")
    return tmp_path / "file"


def begin(file, record=b"", **options):
    return Receiver((os.fsencode(file), b"named"), record=record, **options)


def take_file(receiver):
    """The entry of the file that comes, with its contents."""
    _, payload = receiver.receive_frame()
    (entry,) = decode_entries(unpack(payload))
    if entry["kind"] == SMALL:
        receiver.receive_frame()
    return entry


def send_stamp(receiver, id, stamp=STAMP):
    receiver.send(encode_stamps((id, stamp)))


def end(receiver):
    assert receiver.receive_frame()[1][0] == 4
    receiver.send_end()
    receiver.wait(FINISHED)


def make_record(file, stamp=STAMP, **options):
    with begin(file, **options) as receiver:
        entry = take_file(receiver)
        send_stamp(receiver, entry["id"], stamp)
        receiver.send_result(entry["id"], digest=entry["digest"])
        end(receiver)
        record = receiver.plane.take_record()
        assert receiver.plane.take_record() == b""
    return record


def test_a_file_that_arrived_is_asked_about(file):
    record = make_record(file)
    assert len(record) == RECORD_BYTES
    with begin(file, record) as receiver:
        entry = take_file(receiver)
        assert (entry["kind"], entry["flags"]) == (QUERY, ASKS_STAMP)
        assert entry["digest"] == bytes(8) + STAMP.to_bytes(8, "big")
        receiver.send_result(entry["id"], flags=IS_SAME, digest=entry["digest"])
        end(receiver)
        assert receiver.plane.counters()["skipped"] == 1 and receiver.plane.take_record() == b""


def test_what_is_not_there_any_more_is_sent(file):
    with begin(file, make_record(file)) as receiver:
        receiver.send_result(take_file(receiver)["id"], flags=IS_WANTED)
        entry = take_file(receiver)
        assert entry["kind"] == SMALL
        receiver.send_result(entry["id"], digest=entry["digest"])
        end(receiver)


def test_the_last_record_of_a_file_counts(file):
    record = make_record(file, 5) + make_record(file, 9)
    with begin(file, record) as receiver:
        assert take_file(receiver)["digest"][-1] == 9


@pytest.mark.parametrize("change", ["time", "mode", "contents", "inode", "name"])
def test_a_file_that_changed_is_sent_at_once(file, change):
    record = make_record(file)
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    if change == "inode":
        file.with_name("other").write_bytes(b"contents")
        os.replace(file.with_name("other"), file)
    elif change == "contents":
        file.write_bytes(b"CONTENTS")
    elif change == "mode":
        file.chmod(0o600)
    os.utime(file, ns=(times[0], times[1] + (change == "time")))
    if change == "name":
        file = file.rename(file.with_name("other"))
    with begin(file, record) as receiver:
        assert take_file(receiver)["kind"] == SMALL


@pytest.mark.parametrize("damage", ["key", "short", "empty", "noise"])
def test_a_damaged_record_is_of_no_file(file, damage):
    record = make_record(file)
    damaged = {
        "key": bytes([record[0] ^ 1]) + record[1:],
        "short": record[:-1],
        "empty": bytes(RECORD_BYTES),
        "noise": os.urandom(100 * RECORD_BYTES + 3),
    }[damage]
    with begin(file, damaged) as receiver:
        assert take_file(receiver)["kind"] == SMALL


def test_without_a_stamp_nothing_is_recorded(file):
    with begin(file) as receiver:
        entry = take_file(receiver)
        receiver.send_result(entry["id"], digest=entry["digest"])
        end(receiver)
        assert receiver.plane.take_record() == b""


def test_what_did_not_arrive_well_is_not_recorded(file):
    with begin(file) as receiver:
        entry = take_file(receiver)
        send_stamp(receiver, entry["id"])
        receiver.send_result(entry["id"], digest=bytes(16))
        end(receiver)
        assert receiver.plane.take_record() == b"" and receiver.plane.counters()["failed"] == 1


@pytest.mark.parametrize("id", [0, 1, 1 << 40])
def test_a_stamp_of_what_was_not_sent_is_refused(file, id):
    with begin(file) as receiver:
        take_file(receiver)
        send_stamp(receiver, id)
        event = receiver.wait(FATAL)
        assert (event.code, event.where) == (FAST_PROTOCOL, "stamp")


def test_a_stamp_that_nobody_asked_for_is_refused(file):
    with Receiver((os.fsencode(file), b"named")) as receiver:
        send_stamp(receiver, take_file(receiver)["id"])
        event = receiver.wait(FATAL)
        assert (event.code, event.where) == (FAST_PROTOCOL, "stamp")

"""A receiver with the true keys that acknowledges what it did not get, answers twice, or falls silent.

The sender must neither crash nor report success; a file whose digest differs is named.
"""

import os
import random
import select
import socket
import time

import pytest

from escp._fast.planes.plane import CUT, FATAL, FILE_FAILED, FINISHED
from escp._fast.wire.payloads import (
    decode_entries,
    encode_data_header,
    encode_end,
    encode_meta,
    encode_result,
)
from escp.failures import FAST_AUTH, FAST_DIGEST, FAST_HARD_LINK, FAST_NET, FAST_PROTOCOL, FAST_SYS
from tests.support.loopback import BLOCK
from tests.support.peers import END, ENTRIES, LARGE, LARGE_END, RESULTS, SMALL, Receiver, unpack

N_FLIGHTS = 8192
SMALL_BYTES = 1 << 17  # the largest file that travels in a bundle


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 1024 * 3)  # three blocks
    return os.fsencode(path), b"named"


def take_entries(receiver, kind, stream=0):
    """Read frames until an entry of that kind; returns it."""
    while True:
        is_data, payload = receiver.receive_frame(stream)
        if not is_data:
            assert payload[0] == ENTRIES, payload[:8]
            for entry in decode_entries(payload):
                if entry["kind"] == kind:
                    return entry


def expect_fatal(receiver, where, code=FAST_PROTOCOL):
    event = receiver.wait(FATAL)
    assert (event.code, event.where) == (code, where)
    assert receiver.plane.counters()["files"] == 0


def test_honest_receiver_ends_well(small):
    with Receiver(small) as receiver:
        entry = take_entries(receiver, 1)
        assert (entry["path"], entry["size"]) == (b"named", 8)
        is_data, payload = receiver.receive_frame()
        assert is_data and payload == encode_data_header(0, 0, 8, 1) + b"contents"
        receiver.send_result(entry["id"], digest=entry["digest"])
        is_data, payload = receiver.receive_frame()
        assert not is_data and payload == encode_meta(END, 1, encode_end(8, 1))
        receiver.send_end()
        receiver.wait(FINISHED)
        assert receiver.plane.counters()["files"] == 1


@pytest.mark.parametrize("id", [0, 1, N_FLIGHTS - 1, 2 * N_FLIGHTS, (1 << 64) - 1])
@pytest.mark.parametrize("flags", [0, 1])
def test_result_of_a_file_never_sent_is_refused(small, id, flags):
    with Receiver(small) as receiver:
        assert take_entries(receiver, 1)["id"] == N_FLIGHTS
        receiver.send_result(id, code=FAST_SYS, flags=flags)
        expect_fatal(receiver, "result of an unknown file")


def test_failed_files_are_told_by_name_however_long_it_is(tmp_path):
    """A flight has room for a short name (SHORT_NAME_BYTES); longer ones are beside it."""
    wanted = set()
    for n in (1, 37, 38, 39, 40, 254, 255):
        for size in (1, SMALL_BYTES + 1):
            name = f"{size % 10}" + "n" * (n - 1)
            (tmp_path / name).write_bytes(bytes(size))
            wanted.add(b"x/" + name.encode())
    n_failed = 0
    with Receiver((os.fsencode(tmp_path), b"x")) as receiver:
        while n_failed < len(wanted):
            is_data, payload = receiver.receive_frame()
            if is_data:
                continue
            for entry in decode_entries(unpack(payload)):
                if entry["kind"] in (SMALL, LARGE_END):
                    receiver.send_result(entry["id"], code=FAST_SYS)
                    n_failed += 1
        assert {receiver.wait(FILE_FAILED).path for _ in wanted} == wanted


def test_second_result_is_refused(small, large):
    with Receiver(large, small) as receiver:
        id = take_entries(receiver, 1)["id"]
        receiver.send_results(encode_result(id, FAST_SYS), encode_result(id, FAST_SYS))
        expect_fatal(receiver, "result of an unknown file")


def test_early_result_of_a_small_file_is_refused(small):
    with Receiver(small) as receiver:
        receiver.send_result(take_entries(receiver, 1)["id"], code=FAST_SYS, flags=1)
        expect_fatal(receiver, "result of an unknown file")


def test_result_that_is_faster_than_its_entry_does_no_harm(tmp_path):
    """Ids can be guessed. Only what has been sent can be acknowledged: the rest still belongs to a stream."""
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(bytes(5000))
    for seed in range(60):
        pick = random.Random(seed)
        with Receiver((os.fsencode(tmp_path), b"x"), n_streams=2) as receiver:
            for serial in range(1, 1 + pick.randrange(1, 42)):
                id = serial * N_FLIGHTS + serial - 1
                receiver.send_result(id, code=FAST_SYS * (seed % 2), stream=serial % 2)
            receiver.send_result(0)  # refused for sure
            while (event := receiver.wait_for_any()).kind != FATAL:
                assert event.kind == FILE_FAILED
            assert (event.code, event.where) == (FAST_PROTOCOL, "result of an unknown file")
            assert receiver.plane.counters()["files"] == 0


@pytest.mark.parametrize("code", [0, FAST_SYS])
def test_final_result_before_the_end_of_the_file_is_refused(large, code):
    with Receiver(large, buffer_bytes=4096) as receiver:
        receiver.send_result(take_entries(receiver, LARGE)["id"], code=code)
        expect_fatal(receiver, "result of an unknown file")


@pytest.mark.parametrize("kind", [1, LARGE_END])
def test_wrong_digest_names_the_file(small, large, kind):
    with Receiver(small if kind == 1 else large) as receiver:
        entry = take_entries(receiver, kind)
        receiver.send_result(entry["id"], digest=bytes(16))
        event = receiver.wait(FILE_FAILED)
        assert (event.code, event.where, event.path, event.is_remote) == (
            FAST_DIGEST,
            "verify",
            b"named",
            True,
        )
        counters = receiver.plane.counters()
        assert (counters["files"], counters["failed"]) == (0, 1)


@pytest.mark.parametrize("code", range(1, FAST_HARD_LINK + 1))
def test_every_failure_of_the_receiver_names_the_file(small, code):
    with Receiver(small) as receiver:
        receiver.send_result(take_entries(receiver, 1)["id"], code=code, sys_errno=28)
        event = receiver.wait(FILE_FAILED)
        assert (event.code, event.errno, event.path, event.is_remote) == (code, 28, b"named", True)


@pytest.mark.parametrize(
    "result",
    [
        encode_result(N_FLIGHTS, FAST_HARD_LINK + 1),
        encode_result(N_FLIGHTS, 255),
        encode_result(N_FLIGHTS, 0, 1),
        encode_result(N_FLIGHTS, 1, 2),
        encode_result(N_FLIGHTS, 1, 0, 4096),
        encode_result(N_FLIGHTS, 1)[:11] + b"\1" + encode_result(N_FLIGHTS, 1)[12:],
    ],
    ids=["code_21", "code_255", "early_success", "flag_2", "errno_4096", "reserved"],
)
def test_malformed_result_is_refused(small, result):
    with Receiver(small) as receiver:
        take_entries(receiver, 1)
        receiver.send_results(result)
        expect_fatal(receiver, "result fields")


def test_early_result_stops_a_file_and_is_told_once(large):
    with Receiver(large, buffer_bytes=4096) as receiver:
        id = take_entries(receiver, LARGE)["id"]
        receiver.send_result(id, code=FAST_SYS, flags=1, sys_errno=28)
        event = receiver.wait(FILE_FAILED)
        assert (event.code, event.errno, event.path) == (FAST_SYS, 28, b"named")
        receiver.send_result(id, code=FAST_SYS, flags=1, sys_errno=5)
        end = take_entries(receiver, LARGE_END)
        assert end["id"] == id and end["size"] < 3 * BLOCK and end["flags"] == 1
        receiver.send_result(id, code=FAST_SYS, sys_errno=28)
        assert receiver.receive_frame()[1][0] == END
        receiver.send_end()
        receiver.wait(FINISHED)
        assert receiver.plane.counters()["failed"] == 1


def test_early_result_behind_the_final_one_is_harmless(large):
    """Nothing orders two streams: the last block fails on one while the other ends the file."""
    with Receiver(large, n_streams=2) as receiver:
        stream, end = take_from_any(receiver, LARGE_END)
        receiver.send_result(end["id"], code=FAST_SYS, sys_errno=28, stream=stream)
        event = receiver.wait(FILE_FAILED)
        assert (event.code, event.errno) == (FAST_SYS, 28)
        receiver.send_result(end["id"], code=FAST_SYS, sys_errno=28, flags=1, stream=1 - stream)
        for each in (0, 1):
            assert receiver.receive_frame(each)[1][0] == END
            receiver.send_end(stream=each)
        receiver.wait(FINISHED)
        assert receiver.plane.counters()["failed"] == 1


def take_from_any(receiver, kind):
    """Read what the streams send until an entry of that kind: (stream, entry)."""
    socks = {near: stream for stream, (near, _) in enumerate(receiver.pairs)}
    while True:
        ready, _, _ = select.select(list(socks), [], [], 30)
        assert ready
        for near in ready:
            is_data, payload = receiver.receive_frame(socks[near])
            for entry in [] if is_data else decode_entries(payload):
                if entry["kind"] == kind:
                    return socks[near], entry


def test_end_before_the_last_result_is_refused(small):
    with Receiver(small) as receiver:
        take_entries(receiver, 1)
        receiver.send_end()
        expect_fatal(receiver, "end before the last result")


@pytest.mark.parametrize("message", ["end", "result"])
def test_further_connection_begins_with_what_was_taken(small, message):
    """The stream's thread waits for that: it would for ever, if who reads has seen an end before."""
    with Receiver(small, reconnects=True) as receiver:
        entry = take_entries(receiver, SMALL)
        receiver.receive_frame()
        if message == "end":
            receiver.send_result(entry["id"], digest=entry["digest"])
            assert receiver.receive_frame()[1][0] == END
        receiver.pairs[0][0].shutdown(socket.SHUT_RDWR)
        receiver.wait(CUT)
        receiver.join_again(connection=1)
        if message == "end":
            receiver.send_end()
        else:
            receiver.send_result(entry["id"], digest=entry["digest"])
        event = receiver.wait(FATAL)
        assert (event.code, event.where) == (FAST_PROTOCOL, "message")


BAD_FRAMES = {
    "hello_again": encode_meta(1, 1, bytes(8)),
    "entries": encode_meta(ENTRIES, 0, b""),
    "type_9": encode_meta(9, 0, b""),
    "results_cut": encode_meta(RESULTS, 1, bytes(31)),
    "results_count": encode_meta(RESULTS, 2, bytes(32)),
    "end_long": encode_meta(END, 1, bytes(17)),
}


@pytest.mark.parametrize("payload", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_unexpected_message_is_refused(small, payload):
    with Receiver(small) as receiver:
        receiver.send(payload)
        expect_fatal(receiver, "message")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(7),
        encode_meta(RESULTS, 1, bytes(32), 1),
        encode_meta(END, 2, bytes(16)),
        encode_meta(RESULTS, 1025, bytes(32) * 1025),
        encode_meta(RESULTS, 1, b"", raw_bytes=32),
    ],
)
def test_malformed_message_is_refused(small, payload):
    with Receiver(small) as receiver:
        receiver.send(payload)
        expect_fatal(receiver, "metadata header")


def test_data_frame_from_a_receiver_is_refused(small):
    with Receiver(small) as receiver:
        receiver.send(encode_data_header(0, 0, 1) + b"x", is_data=True)
        expect_fatal(receiver, "frame header", FAST_AUTH)


def break_frame(frame, how):
    return {
        "garbage": bytes([0x40]) + os.urandom(63),
        "type": bytes([frame[0] ^ 0x80]) + frame[1:],
        "replayed": frame + frame,
        "tag": frame[:-1] + bytes([frame[-1] ^ 1]),
        "payload": frame[:8] + bytes([frame[8] ^ 1]) + frame[9:],
        "sequence": frame[:7] + bytes([frame[7] ^ 1]) + frame[8:],
        "oversized": ((1 << 18) + 1 << 36).to_bytes(8, "big") + bytes(100),
    }[how]


@pytest.mark.parametrize("how", ["garbage", "type", "replayed", "tag", "payload", "sequence", "oversized"])
def test_frame_that_was_not_sealed_so_is_refused(small, how):
    with Receiver(small) as receiver:
        id = take_entries(receiver, 1)["id"]
        frame = receiver.channels[0].seal(False, encode_meta(RESULTS, 1, encode_result(id, FAST_SYS)))
        receiver.send_raw(break_frame(frame, how))
        if how == "replayed":
            receiver.wait(FILE_FAILED)
        assert receiver.wait(FATAL).code == FAST_AUTH


def test_own_frame_reflected_is_refused(small):
    with Receiver(small) as receiver:
        receiver.send_raw(receiver.receive_raw(8 + 8 + 72 + 5 + 16))
        expect_fatal(receiver, "tag", FAST_AUTH)


@pytest.mark.parametrize("n", [0, 4, 8, 30])
def test_silence_then_close_is_a_network_error(small, n):
    with Receiver(small) as receiver:
        frame = receiver.channels[0].seal(False, encode_meta(RESULTS, 1, encode_result(5, FAST_SYS)))
        receiver.send_raw(frame[:n])
        while not receiver.receive_frame()[0]:
            pass
        receiver.pairs[0][0].close()
        assert receiver.wait(FATAL).code == FAST_NET


def test_file_given_up_is_ended_on_no_stream_that_has_not_introduced_it(tmp_path):
    """No stream waits for another, so the receiver may see that stream's frames first.

    Stream 1 reads ahead: three blocks of x and one of y. Stream 0 sends the other block of y, which fails;
    stream 1 has then nothing of y to send but its end.
    """
    sizes = {
        "0": SMALL_BYTES,
        "1": SMALL_BYTES,
        "2": SMALL_BYTES,
        "3": SMALL_BYTES,
        "x": 3 * BLOCK,
        "y": 2 * BLOCK,
    }
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    sources = [(os.fsencode(tmp_path / name), name.encode()) for name in sizes]
    with Receiver(*sources, n_streams=2, n_walkers=1, buffer_bytes=4096) as receiver:
        for near, _ in receiver.pairs:
            near.recv(1, socket.MSG_PEEK)  # both streams stand: each has a bundle that nobody takes
        deadline_s = time.monotonic() + 10
        while receiver.plane.counters()["found_files"] < 6:
            assert time.monotonic() < deadline_s
        assert take_entries(receiver, LARGE, stream=1)["path"] == b"x"
        y = take_entries(receiver, LARGE, stream=0)
        if y["path"] != b"y":
            pytest.skip("without O_DIRECT nothing is read ahead")
        assert receiver.receive_frame(stream=0)[0]
        receiver.send_result(y["id"], code=FAST_SYS, flags=1)
        assert receiver.wait(FILE_FAILED).path == b"y"
        introduced = take_entries(receiver, LARGE, stream=1)
        assert introduced["path"] == b"y"
        receiver.send_result(y["id"], code=FAST_SYS)

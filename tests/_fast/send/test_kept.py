"""What a receiver says that it has of a large file saves sending what is the same, and nothing else."""

import os
import socket
import subprocess
import time

import pytest

from escp._fast.planes.plane import FATAL, FILE_FAILED, FINISHED
from escp._fast.wire.payloads import decode_entries, encode_result
from escp.failures import FAST_PROTOCOL, FAST_SYS
from tests.support.loopback import BLOCK
from tests.support.peers import (
    ASKS_PART,
    END,
    IS_ABANDONED,
    IS_EARLY,
    IS_WANTED,
    LARGE,
    LARGE_END,
    Receiver,
    encode_kept,
    unpack,
)

N_BLOCKS = 5
ZEROES = bytes(16)  # the digest of a block of zeroes
WRONG = bytes(15) + b"\1"
FIRST_ID = 8192  # of the first file that a plane sends


@pytest.fixture
def zeroes(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(N_BLOCKS * BLOCK))
    return os.fsencode(path), b"named"


def ask(receiver):
    """The entry of the file that asks."""
    is_data, payload = receiver.receive_frame()
    assert not is_data
    (entry,) = decode_entries(unpack(payload))
    assert entry["kind"] == LARGE and entry["flags"] & ASKS_PART and entry["extras"][0] == 6
    return entry


def take_rest(receiver):
    """Offsets of the blocks that come, and the end's entry."""
    offsets = []
    while True:
        is_data, payload = receiver.receive_frame()
        if is_data:
            offsets.append(int.from_bytes(payload[8:16], "big"))
            continue
        for entry in decode_entries(unpack(payload)):
            if entry["kind"] == LARGE_END:
                return offsets, entry


def begin(zeroes, *, resumes=True, **options):
    return Receiver(zeroes, partial_min=1 << 20, resumes=resumes, **options)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([], [0, 1, 2, 3, 4]),
        ([(0, ZEROES), (3, ZEROES)], [1, 2, 4]),
        ([(0, ZEROES), (3, WRONG)], [1, 2, 3, 4]),
        ([(number, ZEROES) for number in range(N_BLOCKS)], []),
    ],
    ids=["nothing", "two", "a wrong one", "all"],
)
def test_blocks_with_the_right_digest_are_not_sent(zeroes, told, left):
    with begin(zeroes) as receiver:
        entry = ask(receiver)
        for block in told:
            receiver.send(encode_kept(entry["id"], block))
        receiver.send_result(entry["id"], flags=IS_WANTED)
        offsets, end = take_rest(receiver)
        assert sorted(offsets) == [number * BLOCK for number in left]
        assert end["size"] == len(left) * BLOCK and end["flags"] & ASKS_PART
        receiver.send_result(entry["id"], digest=end["digest"])
        is_data, payload = receiver.receive_frame()
        assert not is_data and payload[0] == END
        receiver.send_end()
        receiver.wait(FINISHED)
        assert receiver.plane.counters()["files"] == 1


def test_no_block_is_sent_before_the_answer(zeroes):
    with begin(zeroes) as receiver:
        ask(receiver)
        receiver.pairs[0][0].settimeout(0.3)
        with pytest.raises(TimeoutError):
            receiver.receive_frame()


@pytest.mark.parametrize(
    "blocks",
    [[], [(N_BLOCKS, ZEROES)], [((1 << 64) - 1, ZEROES)], [(0, ZEROES)] * (N_BLOCKS + 1)],
    ids=["none", "behind the end", "far behind it", "more than there are"],
)
def test_kept_blocks_that_can_not_be_are_refused(zeroes, blocks):
    with begin(zeroes) as receiver:
        receiver.send(encode_kept(ask(receiver)["id"], *blocks))
        expect_refused(receiver, "kept blocks")


@pytest.mark.parametrize("id", [0, 1, 1 << 40])
def test_kept_blocks_of_another_file_are_refused(zeroes, id):
    with begin(zeroes) as receiver:
        ask(receiver)
        receiver.send(encode_kept(id, (0, ZEROES)))
        expect_refused(receiver, "kept blocks")


def test_kept_blocks_behind_the_answer_are_refused(zeroes):
    with begin(zeroes) as receiver:
        id = ask(receiver)["id"]
        receiver.send_result(id, flags=IS_WANTED)
        receiver.send(encode_kept(id, (0, ZEROES)))
        expect_refused(receiver, "kept blocks")


def test_second_answer_is_refused(zeroes):
    with begin(zeroes) as receiver:
        id = ask(receiver)["id"]
        receiver.send_results(encode_result(id, flags=IS_WANTED), encode_result(id, flags=IS_WANTED))
        expect_refused(receiver, "answer")


@pytest.mark.parametrize("is_answer", [True, False])
def test_answer_that_nobody_asked_for_is_refused(zeroes, is_answer):
    with begin(zeroes, resumes=False, buffer_bytes=4096) as receiver:
        _, payload = receiver.receive_frame()
        (entry,) = decode_entries(unpack(payload))
        assert entry["kind"] == LARGE and not entry["flags"] & ASKS_PART
        if is_answer:
            receiver.send_result(entry["id"], flags=IS_WANTED)
            expect_refused(receiver, "answer")
        else:
            receiver.send(encode_kept(entry["id"], (0, ZEROES)))
            expect_refused(receiver, "kept blocks")


@pytest.fixture
def deep(tmp_path):
    """A large file in so many directories that a stream tells of them in several messages."""
    at = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(1300):
        os.mkdir(f"{number % 100}", dir_fd=at)
        below = os.open(f"{number % 100}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    with open(os.open("large", os.O_WRONLY | os.O_CREAT, dir_fd=at), "wb") as file:
        file.truncate(N_BLOCKS * BLOCK)
    os.close(at)
    yield os.fsencode(tmp_path / "0"), b"0"
    subprocess.run(["rm", "-rf", tmp_path / "0"], check=True)  # too deep for shutil


@pytest.mark.parametrize(
    ("result", "where"),
    [(encode_result(FIRST_ID, flags=IS_WANTED), "answer"),
     (encode_result(FIRST_ID, FAST_SYS, IS_EARLY), "result of an unknown file")],
    ids=["wanted", "failed"],
)  # fmt: skip
def test_answer_before_the_question_is_refused(deep, result, where):
    """Ids can be guessed. What is being composed belongs to its stream: others would end it meanwhile."""
    with begin(deep, hears_begun=True, buffer_bytes=4096) as receiver:
        receiver.pairs[0][0].recv(1, socket.MSG_PEEK)
        time.sleep(0.5)  # the stream stands: nobody takes what it says
        receiver.send_results(result)
        expect_refused(receiver, where)


def test_a_file_that_fails_when_its_turn_has_not_come_takes_no_other_with_it(tmp_path):
    """It waits with others for the stream, which stands."""
    names = [b"before", b"one", b"two", b"three"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(bytes((40 if name == b"before" else 2) * BLOCK))
    sources = [(os.fsencode(tmp_path) + b"/" + name, name) for name in names]
    with Receiver(*sources, partial_min=1 << 18, resumes=True, buffer_bytes=4096) as receiver:
        before, *others = (ask(receiver) for _ in names)
        receiver.send_result(before["id"], flags=IS_WANTED)
        receiver.pairs[0][0].recv(1, socket.MSG_PEEK)
        answers = [encode_result(one["id"], flags=IS_WANTED) for one in others]
        failed = others[-1]
        receiver.send_results(*answers, encode_result(failed["id"], FAST_SYS, IS_EARLY))
        assert receiver.wait(FILE_FAILED).path == failed["path"]
        blocks = dict.fromkeys((one["id"] for one in (before, *others)), 0)
        ends = {}
        while len(ends) < len(names):
            is_data, payload = receiver.receive_frame()
            if is_data:
                blocks[int.from_bytes(payload[:8], "big")] += 1
            else:
                ends |= {
                    one["id"]: one for one in decode_entries(unpack(payload)) if one["kind"] == LARGE_END
                }
        assert [*blocks.values()] == [40, 2, 2, 0]
        assert [one["path"] for one in ends.values() if one["flags"] & IS_ABANDONED] == [failed["path"]]
        for one in ends.values():
            code = FAST_SYS if one["flags"] & IS_ABANDONED else 0
            receiver.send_result(one["id"], code=code, digest=one["digest"])
        assert receiver.receive_frame()[1][0] == END
        receiver.send_end()
        receiver.wait(FINISHED)
        assert (receiver.plane.counters()["files"], receiver.plane.counters()["failed"]) == (3, 1)


def expect_refused(receiver, where):
    event = receiver.wait(FATAL)
    assert (event.code, event.where) == (FAST_PROTOCOL, where)

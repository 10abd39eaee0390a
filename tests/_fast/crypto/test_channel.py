"""What is not exactly the next frame of its stream is refused, on every backend alike."""

import copy
import pickle

import pytest

from escp._fast.crypto.channel import Channel
from escp._fast.errors import FastError
from escp.failures import FAST_AUTH, FAST_KEY_LIMIT

SECRET = bytes(range(32))
BLOCK = 1 << 18


def pair(backend, stream=0, **options):
    """Both ends of a stream."""
    return [
        Channel(SECRET, stream, is_sender=is_sender, block_bytes=BLOCK, backend=backend, **options)
        for is_sender in (True, False)
    ]


def refuse(channel, frame, where=None):
    with pytest.raises(FastError) as caught:
        channel.open(frame)
    assert caught.value.code == FAST_AUTH
    assert where is None or caught.value.where == where


def test_frames_arrive_in_both_directions(backend):
    sender, receiver = pair(backend)
    for number in range(5):
        assert receiver.open(sender.seal(True, b"to %d" % number)) == (True, b"to %d" % number)
        assert sender.open(receiver.seal(False, b"back %d" % number)) == (False, b"back %d" % number)


def test_replayed_frame_is_refused(backend):
    sender, receiver = pair(backend)
    first = sender.seal(False, b"x")
    receiver.open(first)
    refuse(receiver, first, "sequence number")


def test_reordered_frame_is_refused(backend):
    sender, receiver = pair(backend)
    sender.seal(False, b"first")
    refuse(receiver, sender.seal(False, b"second"), "sequence number")


def test_dropped_frame_is_noticed(backend):
    sender, receiver = pair(backend)
    receiver.open(sender.seal(False, b"0"))
    sender.seal(False, b"1")
    refuse(receiver, sender.seal(False, b"2"), "sequence number")


def test_reflected_frame_is_refused(backend):
    sender, receiver = pair(backend)
    refuse(sender, sender.seal(False, b"x"), "tag")
    refuse(receiver, receiver.seal(False, b"x"), "tag")


def test_frame_of_another_stream_is_refused(backend):
    sender, _ = pair(backend, stream=1)
    _, receiver = pair(backend, stream=2)
    refuse(receiver, sender.seal(False, b"x"), "tag")


def test_frame_of_another_connection_of_the_stream_is_refused(backend):
    sender, _ = pair(backend, connection=0)
    _, receiver = pair(backend, connection=1)
    refuse(receiver, sender.seal(False, b"x"), "tag")


def test_frame_under_another_key_is_refused(backend):
    sender = Channel(bytes(32), 0, is_sender=True, block_bytes=BLOCK, backend=backend)
    refuse(pair(backend)[1], sender.seal(False, b"x"), "tag")


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 23, 24, 27])
def test_truncated_frame_is_refused(backend, n):
    sender, receiver = pair(backend)
    frame = sender.seal(False, b"abcd")
    if n < 8:
        with pytest.raises(ValueError):
            receiver.open(frame[:n])
    else:
        refuse(receiver, frame[:n], "frame length")
    assert receiver.open(frame) == (False, b"abcd")  # nothing was consumed


def test_frame_with_something_behind_it_is_refused(backend):
    sender, receiver = pair(backend)
    refuse(receiver, sender.seal(False, b"abcd") + b"\0", "frame length")


@pytest.mark.parametrize("is_data", [False, True])
def test_every_flipped_bit_is_refused(backend, is_data):
    sender, receiver = pair(backend)
    frame = sender.seal(is_data, b"sixteen bytes...")
    for at in range(len(frame)):
        for bit in range(8):
            broken = bytearray(frame)
            broken[at] ^= 1 << bit
            refuse(receiver, bytes(broken))
    assert receiver.open(frame) == (is_data, b"sixteen bytes...")


def test_frame_cut_short_with_its_length_put_right_is_refused(backend):
    sender, receiver = pair(backend)
    frame = sender.seal(False, bytes(100))
    word = int.from_bytes(frame[:8], "big") & ((1 << 36) - 1) | 50 << 36
    refuse(receiver, word.to_bytes(8, "big") + frame[8:58] + frame[-16:], "tag")


@pytest.mark.parametrize(
    ("is_data", "n", "is_allowed"),
    [
        (False, BLOCK, True),
        (False, BLOCK + 1, False),
        (True, BLOCK + 64, True),
        (True, BLOCK + 65, False),
        (True, (1 << 26) - 1, False),
    ],
)
def test_length_is_bounded_before_anything_is_read(backend, is_data, n, is_allowed):
    _, receiver = pair(backend)
    iv = (is_data << 63 | n << 36).to_bytes(8, "big")
    if is_allowed:
        assert receiver.expect(iv) == (is_data, n)
        return
    with pytest.raises(FastError) as caught:
        receiver.expect(iv)
    assert (caught.value.code, caught.value.where) == (FAST_AUTH, "frame header")


def test_longest_data_frame_of_a_session_is_its_block_and_header(backend):
    for block_bytes in (1 << 18, 1 << 20, 1 << 25):
        sender = Channel(SECRET, 0, is_sender=True, block_bytes=block_bytes, backend=backend)
        receiver = Channel(SECRET, 0, is_sender=False, block_bytes=block_bytes, backend=backend)
        payload = bytes(block_bytes + 64)
        assert receiver.open(sender.seal(True, payload)) == (True, payload)


def test_payload_beyond_the_length_field_is_refused(backend):
    with pytest.raises(ValueError, match="too long"):
        pair(backend)[0].seal(True, bytes(1 << 26))


# ---- Epochs -------------------------------------------------------------------------------------------


def test_epochs_change_at_the_same_frame_on_both_ends(backend):
    sender, receiver = pair(backend, epoch_limit=100)
    sequences = []
    for n in (60, 40, 1, 99, 100, 0, 101, 0, 50, 50):
        frame = sender.seal(True, bytes(n))
        sequences.append(int.from_bytes(frame[:8], "big") & ((1 << 36) - 1))
        assert receiver.open(frame) == (True, bytes(n))
    assert sequences == [0, 1, 0, 1, 0, 1, 0, 0, 1, 2]


def test_epochs_of_the_two_directions_are_counted_apart(backend):
    sender, receiver = pair(backend, epoch_limit=100)
    for _ in range(5):
        receiver.open(sender.seal(True, bytes(90)))
    assert sender.open(receiver.seal(False, b"x")) == (False, b"x")


def test_same_payload_looks_different_in_every_epoch(backend):
    sender, _ = pair(backend, epoch_limit=16)
    assert len({sender.seal(False, bytes(16))[8:] for _ in range(50)}) == 50


def test_frame_of_the_epoch_before_is_refused(backend):
    sender, receiver = pair(backend, epoch_limit=100)
    first = sender.seal(False, bytes(100))
    receiver.open(first)
    receiver.open(sender.seal(False, bytes(100)))
    refuse(receiver, first, "tag")


def test_receiver_with_another_limit_is_left_behind(backend):
    sender, _ = pair(backend, epoch_limit=100)
    _, receiver = pair(backend, epoch_limit=1000)
    receiver.open(sender.seal(False, bytes(100)))
    refuse(receiver, sender.seal(False, bytes(100)), "sequence number")


def test_epochs_of_a_connection_run_out_before_they_reach_the_next(backend):
    sender, _ = pair(backend, epoch_limit=0)  # every frame with a payload needs a new key
    for _ in range(65535):
        sender.seal(False, b"x")
    with pytest.raises(FastError) as caught:
        sender.seal(False, b"x")
    assert caught.value.code == FAST_KEY_LIMIT


# ---- The class ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"secret": bytes(31)}, {"stream": 64}, {"connection": 65536}, {"block_bytes": (1 << 25) + 1}],
)
def test_arguments_out_of_range_are_refused(backend, wrong):
    options = {"secret": SECRET, "stream": 0, "block_bytes": BLOCK, **wrong}
    with pytest.raises(ValueError):
        Channel(is_sender=True, backend=backend, **options)


def test_keys_are_neither_copied_nor_shown(backend):
    channel, _ = pair(backend)
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(channel)
    assert SECRET.hex() not in repr(channel) and repr(SECRET) not in repr(channel)

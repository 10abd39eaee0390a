"""Large files whose streams overtake one another: who creates, who ends, who finishes. And the end itself."""

import os
import time

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.wire.payloads import encode_end, encode_entry
from escp.failures import FAST_STOPPED
from tests.support.loopback import BLOCK
from tests.support.nothing_left import describe_process
from tests.support.peers import END, IS_ABANDONED, LARGE, LARGE_END, Sender

HAS_HOLES = 4
N_OPEN = 128
in_both_ways = pytest.mark.parametrize("has_tmpfile", [True, False], ids=["nameless", "temporary"])


def encode_begin(id, size=BLOCK, flags=0):
    return encode_entry(kind=LARGE, id=id, path=b"d/%d" % id, size=size, flags=flags)


def encode_finish(id, flags, **fields):
    return encode_entry(kind=LARGE_END, id=id, path=b"d/%d" % id, size=0, flags=flags, **fields)


def list_left(target):
    return [name for _, _, names in os.walk(target) for name in names]


@in_both_ways
@pytest.mark.parametrize("flags", [IS_ABANDONED, HAS_HOLES], ids=["abandoned", "hole"])
def test_file_ends_on_one_stream_while_another_creates_it(target, flags, has_tmpfile):
    """Whichever is first: nothing of it stays, neither a descriptor nor a temporary name."""
    large = {"flags": flags & HAS_HOLES}
    _, before = describe_process()
    for _ in range(12):
        with Sender(target, n_streams=4, has_tmpfile=has_tmpfile) as sender:
            for first in range(1, N_OPEN, 8):
                ids = range(first, first + 8)
                for stream in (1, 2, 3):
                    sender.send_entries(*(encode_begin(id, **large) for id in ids), stream=stream)
                ends = [encode_finish(id, flags, digest=digest_of(bytes(BLOCK))) for id in ids]
                entries = [encode_begin(id, **large) for id in ids]
                sender.send_entries(*(e for pair in zip(entries, ends, strict=True) for e in pair))
            time.sleep(0.01)
        _, after = describe_process()
        assert len(after) <= len(before), sorted(after - before)[:5]
        left = list_left(target)
        assert not [name for name in left if name.endswith(".part")]
        if flags == IS_ABANDONED:
            assert left == []


@in_both_ways
def test_each_file_that_is_ended_while_it_is_created_has_one_result(target, has_tmpfile):
    """A stream that announces it when it is over already opens it again: that many may be open."""
    with Sender(target, n_streams=2, has_tmpfile=has_tmpfile) as sender:
        for id in range(1, 60):
            sender.send_entries(encode_begin(id), stream=1)
            sender.send_entries(encode_begin(id), encode_finish(id, IS_ABANDONED), encode_begin(id + 1000))
            sender.send_entries(encode_begin(id + 1000), encode_finish(id + 1000, IS_ABANDONED), stream=1)
            results, end_s = [], time.monotonic() + 20
            while len(results) < 2 and time.monotonic() < end_s:
                for stream in (0, 1):
                    sender.pairs[stream][0].settimeout(0.01)
                    try:
                        results += sender.receive_results(1, stream)
                    except TimeoutError:
                        continue
            assert sorted(result[:3] for result in results) == [
                (id, FAST_STOPPED, 0),
                (id + 1000, FAST_STOPPED, 0),
            ]
    assert list_left(target) == []


@pytest.mark.parametrize("n_blocks", [1, 4])
def test_end_that_overtakes_writes_is_answered_whole(target, n_blocks):
    """Their results come first, and the answer is the one that was meant: nothing shares its memory."""
    data = os.urandom(n_blocks * BLOCK)
    for turn in range(8):
        with Sender(target) as sender:
            sender.send_large(b"x", len(data))
            for i in range(n_blocks):
                sender.send_data(data[i * BLOCK : (i + 1) * BLOCK], id=1, offset=i * BLOCK)
            sender.send_large_end(b"x", len(data), digest=digest_of(data))
            sender.send_end()
            assert sender.receive_results(1)[0][:3] == (1, 0, 0), turn
            is_data, payload = sender.receive_frame()
            assert not is_data and payload[0] == END
            assert payload[8:] == encode_end(0, 2)

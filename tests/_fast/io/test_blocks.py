"""A program's memory at either end of two planes: every block once, in any order, lent where it can be."""

import gc
import mmap
import os
import random
import threading
import time
from array import array

import pytest

from escp._fast.io.block_grid import BlockGrid
from escp._fast.io.block_sink import BlockSink
from escp._fast.io.block_source import BlockSource
from escp._fast.planes.plane import FILE_FAILED
from tests.support.loopback import LIMIT_S, Loopback

KIB, MIB = 1 << 10, 1 << 20
DONE, LATE, STOPPED, FULL = range(4)


@pytest.fixture
def stand_in(tmp_path):
    """Makes the file that stands for memory: it has the size, and holds nothing."""

    def make(size):
        path = tmp_path / "stand-in"
        with path.open("wb") as file:
            file.truncate(size)
        return os.fsencode(path), b"x"

    return make


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def send(loopback, pair):
    """Start, and end in another thread; what joins that gives the events."""
    loopback.start()
    loopback.add(pair)
    events = []
    thread = threading.Thread(target=lambda: events.extend(loopback.run_to_end().events))
    thread.start()
    return thread, events


@pytest.mark.parametrize("size", [0, 1, 131072, 131073, 5 * MIB, 3 * MIB + 12345])
@pytest.mark.parametrize("has_compression", [False, True])
def test_whole_buffer_is_the_source(stand_in, target, size, has_compression, backend):
    data = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    source = BlockSource(size, 0, MIB, data)
    with Loopback(
        target, n_streams=3, block_bytes=MIB, backend=backend, both={"has_compression": has_compression},
        sending={"memory": source},
    ) as loopback:  # fmt: skip
        thread, events = send(loopback, stand_in(size))
        thread.join(LIMIT_S)
        assert events == []
    assert (target / "x").read_bytes() == data
    assert source.is_past
    assert source.n_copied == (size if size <= 131072 else 0)


def test_nothing_behind_a_whole_buffer_is_read(stand_in, target):
    """Whatever size the file has by now that stands for it."""
    source = BlockSource(3 * MIB, 0, MIB, bytes(3 * MIB))
    with Loopback(target, block_bytes=MIB, sending={"memory": source}) as loopback:
        thread, events = send(loopback, stand_in(3 * MIB + 1))
        thread.join(LIMIT_S)
    assert [(event.kind, event.where) for _, event in events] == [(FILE_FAILED, "block")]
    assert not list(target.iterdir())


@pytest.mark.parametrize(
    ("block", "stream_block"),
    [(4 * KIB, 256 * KIB), (100_000, 256 * KIB), (256 * KIB, 256 * KIB), (768 * KIB, 768 * KIB),
     (4 * MIB, MIB), (32 * MIB, MIB)],
)  # fmt: skip
@pytest.mark.parametrize("n_threads", [1, 4])
@pytest.mark.parametrize("at_a_time", [1, 7, 200])
def test_blocks_in_any_order_from_threads(stand_in, target, block, stream_block, n_threads, at_a_time):
    """What is written at a time is lent as far as it has whole blocks of the streams; its ends are copied."""
    size = max(3 * block, 5 * MIB) + 4321
    data = (os.urandom(MIB + 1) * (size // MIB + 1))[:size]
    run = min(block * at_a_time, 32 * MIB // block * block)
    offsets = list(range(0, size, run))
    random.Random(1).shuffle(offsets)
    n_lent = 0
    for offset in offsets:
        end = min(offset + run, size)
        first = -(-offset // stream_block) * stream_block
        last = size if end == size else end // stream_block * stream_block
        n_lent += max(0, last - first)
    source = BlockSource(size, block, stream_block)
    with Loopback(target, n_streams=3, block_bytes=stream_block, sending={"memory": source}) as loopback:
        thread, events = send(loopback, stand_in(size))

        def write(part):
            for offset in part:
                piece = bytearray(data[offset : offset + run])
                while source.write(offset, piece, 1000) == LATE:
                    pass
                piece[:] = bytes(len(piece))  # it is the program's again

        writers = [threading.Thread(target=write, args=(offsets[i::n_threads],)) for i in range(n_threads)]
        for one in writers:
            one.start()
        for one in writers:
            one.join(LIMIT_S)
        source.finish()
        time.sleep(0.1)
        assert thread.is_alive() and not list(target.iterdir()) and not source.is_past
        source.commit()
        thread.join(LIMIT_S)
        assert events == []
    assert (target / "x").read_bytes() == data
    assert source.n_copied == size - n_lent


def test_stopped_before_the_commit_nothing_gets_the_name(stand_in, target):
    (target / "x").write_text("old")
    source = BlockSource(MIB, 256 * KIB, 256 * KIB)
    with Loopback(target, sending={"memory": source}) as loopback:
        thread, events = send(loopback, stand_in(MIB))
        for offset in range(0, MIB, 256 * KIB):
            assert source.write(offset, bytes(256 * KIB), 10_000) == DONE
        source.stop()
        thread.join(LIMIT_S)
        assert [(event.kind, event.where) for _, event in events] == [(FILE_FAILED, "commit")]
        source.commit()
        assert not source.is_past
    assert {path.name: path.read_text() for path in target.iterdir()} == {"x": "old"}


def test_write_waits_for_the_sender_and_goes_on_where_it_was(stand_in, target):
    block = 2 * MIB
    source = BlockSource(4 * block, block, 256 * KIB)
    piece = os.urandom(block)
    assert source.write(0, piece, 50) == LATE  # nothing takes it: it is not lent any more
    with Loopback(target, block_bytes=256 * KIB, sending={"memory": source}) as loopback:
        thread, events = send(loopback, stand_in(4 * block))
        for offset in range(0, 4 * block, block):
            assert source.write(offset, piece, 10_000) == DONE
        source.commit()
        thread.join(LIMIT_S)
        assert events == []
    assert (target / "x").read_bytes() == 4 * piece


def test_blocks_that_are_put_together_are_kept_until_there_is_no_room():
    source = BlockSource(1 << 30, 4 * KIB, 32 * MIB)
    piece = bytes(4 * KIB)
    n = 0
    while source.write(n * 32 * MIB, piece, 20) == DONE:
        n += 1
    assert n == 16
    assert source.write(n * 32 * MIB, piece, 20) == FULL
    assert source.write(4 * KIB, piece, 20) == DONE  # of one that is begun
    source.stop()
    assert source.write(8 * KIB, piece, 20) == STOPPED
    assert source.n_copied == 17 * 4 * KIB


@pytest.mark.parametrize(
    ("offset", "n", "reason"),
    [(-4096, 4096, "no block begins"), (100, 4096, "no block begins"), (0, 4095, "has 4,096 bytes, not"),
     (0, 0, "has 4,096 bytes, not 0"), (8192, 4096, "has 10 bytes, not 4,096"),
     (12288, 1, "beyond the end"), (4096, 4096, "has been written already"), (1 << 80, 1, "lies beyond"),
     (0, 8192, "offset 4,096 has been written already"), (0, 8202, "offset 4,096 has been written already"),
     (0, 5000, "no whole blocks of 4,096 bytes"), (0, 12288, "beyond the end"),
     (4096, 4107, "beyond the end")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(offset, n, reason):
    source = BlockSource(8202, 4096, 256 * KIB)
    assert source.write(4096, bytes(4096), 0) == DONE
    with pytest.raises(ValueError, match=reason):
        source.write(offset, bytes(n), 0)
    with pytest.raises(ValueError, match="2 of 3 blocks are missing, the first of them at offset 0"):
        source.finish()


def test_what_has_been_taken_of_several_blocks_is_not_taken_again(stand_in, target):
    """They come too late together, and only together they go on: the first of them are on their way."""
    size, block = 66 * MIB, 4 * KIB
    data = os.urandom(size)
    source = BlockSource(size, block, 256 * KIB)
    for start in range(0, 64 * MIB, 256 * KIB):  # all places are filled, but for the last block of each
        n = 252 * KIB if start else 244 * KIB
        assert source.write(start, data[start : start + n], 0) == DONE
    run = slice(244 * KIB, 256 * KIB), slice(64 * MIB - 4 * KIB, 64 * MIB + 8 * KIB)
    assert source.write(run[1].start, data[run[1]], 10) in (LATE, FULL)
    for offset, n in ((64 * MIB, block), (64 * MIB, 8 * KIB), (64 * MIB - block, block)):
        with pytest.raises(ValueError, match="write all of them again"):
            source.write(offset, data[offset : offset + n], 0)
        with pytest.raises(ValueError, match="write all of them again"):
            source.write(64 * MIB - block, data[: 16 * KIB], 0)
    with pytest.raises(ValueError, match="missing"):
        source.finish()
    with Loopback(target, sending={"memory": source}) as loopback:
        thread, events = send(loopback, stand_in(size))
        for part in run:
            assert source.write(part.start, data[part], 10_000) == DONE
        for start in range(256 * KIB, 64 * MIB, 256 * KIB):
            at = start + 252 * KIB
            if at != run[1].start:
                assert source.write_at_once(at, data[at : at + block])
        at = run[1].stop
        assert source.write(at, data[at:], 10_000) == DONE
        source.finish()
        source.commit()
        thread.join(LIMIT_S)
        assert events == []
    assert (target / "x").read_bytes() == data


def test_small_blocks_are_written_at_once_where_nothing_is_waited_for():
    source = BlockSource(66 * MIB, 4 * KIB, 256 * KIB)
    piece = bytes(4 * KIB)
    assert source.write_at_once(0, piece)
    with pytest.raises(ValueError, match="written already"):
        source.write_at_once(0, piece)
    with pytest.raises(TypeError):
        source.write_at_once(4096.0, piece)
    assert not source.write_at_once(4 * KIB, bytes(32 * KIB))  # another thread may have the interpreter
    for number in range(1, 256):
        assert source.write_at_once(number * 256 * KIB, piece)
    assert not source.write_at_once(256 * 256 * KIB, piece)  # there is no room
    assert source.write(256 * 256 * KIB, piece, 0) == FULL
    # None of these was taken, so they may come in other pieces.
    assert source.write(256 * 256 * KIB, bytes(32 * KIB), 0) == FULL
    assert source.write(256 * 256 * KIB, piece, 0) == FULL
    source.stop()
    assert not source.write_at_once(4 * KIB, piece)
    assert source.write(4 * KIB, piece, 0) == STOPPED


def test_all_kinds_of_buffers_but_scattered_ones():
    source = BlockSource(5 * 4096, 4096, 256 * KIB)
    with mmap.mmap(-1, 4096) as mapped:
        for number, data in enumerate(
            [
                bytes(4096),
                bytearray(4096),
                memoryview(bytes(8192))[::1][:4096],
                array("d", bytes(4096)),
                mapped,
            ]
        ):
            assert source.write(4096 * number, data, 0) == DONE
    with pytest.raises(ValueError, match="not contiguous"):
        source.write(0, memoryview(bytes(8192))[::2], 0)
    with pytest.raises(TypeError):
        source.write(0, "text", 0)


def test_grid_of_unknown_size():
    grid = BlockGrid(None, 1000)
    for offset in (2000, 0, 1000):
        grid.add(offset, 1000)
    with pytest.raises(ValueError, match="not the last one"):
        grid.add(1000, 999)
    for n, reason in ((1999, "already"), (0, "not 0"), (999, "not the last one")):
        with pytest.raises(ValueError, match=reason):
            grid.add(1000, n)
    grid.add(4000, 7)
    assert grid.size == 4007
    with pytest.raises(ValueError, match="beyond the end of the file, which has 4,007 bytes"):
        grid.add(5000, 1)
    with pytest.raises(ValueError, match="1 of 5 blocks are missing, the first of them at offset 3,000"):
        grid.finish()
    grid.add(3000, 1000)
    assert grid.finish() == 4007
    assert BlockGrid(None, 1000).finish() == 0
    grid = BlockGrid(None, 1000)
    grid.add(3000, 2001)
    grid.add(0, 3000)
    assert grid.finish() == 5001
    with pytest.raises(ValueError, match="choose a larger block"):
        BlockGrid(1 << 50, 4096)


@pytest.mark.parametrize("size", [0, 1, 131072, 131073, 9 * MIB + 77])
def test_blocks_are_handed_over_as_they_come(tmp_path, target, size, backend):
    data = random.Random(size).randbytes(size)
    (tmp_path / "x").write_bytes(data)
    sink = BlockSink()
    with Loopback(target, n_streams=3, backend=backend, receiving={"memory": sink}) as loopback:
        thread, events = send(loopback, (os.fsencode(tmp_path / "x"), b"x"))
        found = bytearray(size)
        n = 0
        while n < size:
            with sink.take(10_000) as block:
                assert block.data.readonly and len(block) == block.data.nbytes
                found[block.offset : block.offset + len(block)] = block.data
                n += len(block)
        thread.join(LIMIT_S)
        sink.end()
        assert sink.take(10_000) is None
        assert events == []
    assert found == data
    assert not list(target.iterdir())


def test_streams_wait_while_the_program_keeps_blocks(tmp_path, target):
    size = 200 * MIB
    with (tmp_path / "x").open("wb") as file:
        file.truncate(size)
    sink = BlockSink()
    with Loopback(target, n_streams=2, block_bytes=MIB, receiving={"memory": sink}) as loopback:
        thread, events = send(loopback, (os.fsencode(tmp_path / "x"), b"x"))
        kept = []
        while (block := sink.take(500)) is not None:
            kept.append(block)
        assert len(kept) == 32  # AHEAD_BYTES; the streams' own buffers are full as well
        assert thread.is_alive()
        kept.pop().release()
        assert len(sink.take(10_000)) == MIB  # and collected
        n = len(kept) + 2
        kept.clear()
        while n < 200:
            sink.take(10_000).release()
            n += 1
        thread.join(LIMIT_S)
        assert events == []


def test_block_that_nobody_has_any_more_is_room_again_at_once(tmp_path, target):
    """Not when the collector comes: it counts objects, and streams wait. A ring around it does no harm."""
    with (tmp_path / "x").open("wb") as file:
        file.truncate(200 * MIB)
    sink = BlockSink()
    gc.disable()
    try:
        with Loopback(target, n_streams=2, block_bytes=MIB, receiving={"memory": sink}) as loopback:
            thread, events = send(loopback, (os.fsencode(tmp_path / "x"), b"x"))
            for _ in range(100):
                block = sink.take(10_000)
                assert block.data[:1] == memoryview(block)[:1] == b"\0"
                del block
            for _ in range(32):
                ring = [sink.take(10_000)]
                ring += [ring[0].data, ring]
            del ring
            assert sink.take(500) is None
            gc.collect()
            for _ in range(68):
                sink.take(10_000).release()
            thread.join(LIMIT_S)
            assert events == []
    finally:
        gc.enable()


def test_memory_stays_while_anybody_looks_at_it(tmp_path, target):
    data = os.urandom(3 * MIB)
    (tmp_path / "x").write_bytes(data)
    sink = BlockSink()
    with Loopback(target, receiving={"memory": sink}) as loopback:
        thread, _ = send(loopback, (os.fsencode(tmp_path / "x"), b"x"))
        block = sink.take(10_000)
        view = memoryview(block.data)
        with pytest.raises(BufferError):
            block.release()
        while sink.take(200) is not None:
            pass
        thread.join(LIMIT_S)
    offset, n = block.offset, len(block)
    del sink, loopback
    assert view == data[offset : offset + n]
    view.release()
    block.release()
    block.release()
    with pytest.raises(ValueError, match="released"):
        memoryview(block)
    with pytest.raises(ValueError, match="released"):
        block.data  # noqa: B018


def test_stopped_sink_ends_who_waits_for_room(tmp_path, target):
    with (tmp_path / "x").open("wb") as file:
        file.truncate(200 * MIB)
    sink = BlockSink()
    with Loopback(target, n_streams=2, block_bytes=MIB, receiving={"memory": sink}) as loopback:
        thread, events = send(loopback, (os.fsencode(tmp_path / "x"), b"x"))
        time.sleep(0.5)
        sink.stop()
        assert sink.take(10_000) is None
        thread.join(LIMIT_S)
        assert {event.kind for _, event in events} == {FILE_FAILED}

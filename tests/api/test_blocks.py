"""Blocks over a real ssh: memory becomes a file there, whole or not at all; a file there becomes blocks."""

import array
import asyncio
import gc
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import escp as library
from escp import aio, errors
from tests.api.test_copy import OwnError, login
from tests.support.command import ROOT
from tests.support.leftovers import find_agents, find_processes
from tests.support.waiting import wait_for

KIB, MIB = 1 << 10, 1 << 20
OLD = b"what was there"


@pytest.fixture
def remote(escp):
    with library.connect("box", timeout=60, **login(escp)) as one:
        escp.carriers = set(find_agents(escp.mark))
        yield one
    escp.assert_nothing_left()


@pytest.fixture
def old(target):
    """A file that must stay when nothing is committed."""
    (target / "a").write_bytes(OLD)
    return target / "a"


def make_data(size):
    return (random.Random(size).randbytes(MIB + 1) * (size // MIB + 1))[:size]


def cut(size, block):
    offsets = list(range(0, size, block))
    random.Random(1).shuffle(offsets)
    return offsets


def copy_agents(escp):
    """Those that copy: not the one that carries, which was there first."""
    return sorted(set(find_agents(escp.mark)) - escp.carriers)


def wait_for_agent(escp):
    """The one that copies, looked for once it is there: while it becomes another program it is not seen."""
    return wait_for(lambda: copy_agents(escp))[-1]


def assert_old_is_all(old):
    wait_for(lambda: os.listdir(old.parent) == ["a"])
    assert old.read_bytes() == OLD


@pytest.mark.parametrize(
    ("size", "block"),
    [(0, 4 * KIB), (1, 4 * KIB), (128 * KIB + 1, 4 * KIB), (3 * MIB + 5, 4 * KIB), (3 * MIB, 100_000),
     (5 * MIB + 5, 256 * KIB), (8 * MIB + 1, MIB), (33 * MIB, 4 * MIB), (65 * MIB + 7, 32 * MIB)],
)  # fmt: skip
@pytest.mark.parametrize("is_known", [True, False])
def test_blocks_in_any_order(remote, old, size, block, is_known):
    data = make_data(size)
    with remote.open_blocks(old, size=size if is_known else None, block=block) as w:
        for offset in cut(size, block):
            w.write_block(offset, data[offset : offset + block])
        assert old.read_bytes() == OLD
    assert old.read_bytes() == data and os.listdir(old.parent) == ["a"]
    assert w.size == size
    done = w.commit()
    assert done.ok and done.verified and done.files == 1 and done.bytes == size
    w.abort()
    assert old.read_bytes() == data


def test_several_threads(remote, target):
    size, block = 40 * MIB + 123, 256 * KIB
    data = make_data(size)
    offsets = cut(size, block)
    with remote.open_blocks(target / "a", size=size, block=block) as w:

        def write(part):
            piece = bytearray(block)
            for offset in part:
                n = min(block, size - offset)
                piece[:n] = data[offset : offset + n]
                w.write_block(offset, memoryview(piece)[:n])
                piece[:] = bytes(block)  # the memory is the program's again

        threads = [threading.Thread(target=write, args=(offsets[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (target / "a").read_bytes() == data


def test_any_buffer(remote, target):
    data = make_data(MIB)
    with mmap.mmap(-1, MIB) as mapped:
        mapped[:] = data
        numbers = array.array("d", data)
        for kind in (data, bytearray(data), memoryview(numbers), numbers, mapped):
            with remote.open_blocks(target / "a", size=MIB, block=MIB) as w:
                w.write_block(0, kind)
            assert (target / "a").read_bytes() == data
            remote.write(target / "b", kind)
            assert (target / "b").read_bytes() == data


@pytest.mark.parametrize("size", [100, MIB])
def test_what_is_no_buffer_of_bytes_in_a_row(remote, old, size):
    with pytest.raises(ValueError, match="contiguous"):
        remote.write(old, memoryview(bytes(2 * size))[::2])
    with pytest.raises(TypeError):
        remote.write(old, 17)
    with (
        pytest.raises(ValueError, match="contiguous"),
        remote.open_blocks(old, size=4 * size, block=4 * KIB) as w,
    ):
        w.write_block(0, memoryview(bytes(8 * KIB))[::2])
    assert_old_is_all(old)


@pytest.mark.parametrize("size", [100_000, 3 * MIB + 10])
@pytest.mark.parametrize("is_known", [False, True])
def test_several_blocks_at_a_time(remote, old, size, is_known):
    data = make_data(size)
    with remote.open_blocks(old, size=size if is_known else None, block=4 * KIB) as w:
        for start, end in ((8, 15), (0, 8), (15, None)):
            piece = slice(start * 4 * KIB, end and end * 4 * KIB)
            w.write_block(piece.start, data[piece])
    assert old.read_bytes() == data


@pytest.mark.parametrize("size", [None, 8202, 3 * MIB + 10])
def test_blocks_that_must_not_come(remote, old, size):
    w = remote.open_blocks(old, size=size, block=4 * KIB)
    w.write_block(4096, bytes(4096))
    for offset, n, reason in (
        (4096, 4096, "written already"),
        (100, 4096, "no block begins"),
        (-4096, 4096, "no block begins"),
        (8192, 0, "bytes"),
        (0, 5000, "bytes" if size else "at offset 4,096 has been written already"),
        (0, 8192, "at offset 4,096 has been written already"),
        (1 << 62, 1, "beyond the end"),
    ):
        with pytest.raises(ValueError, match=reason):
            w.write_block(offset, bytes(n))
    with pytest.raises(ValueError, match="missing, the first of them at offset 0"):
        w.commit()
    with pytest.raises(ValueError, match="missing"):
        w.close()
    w.abort()
    with pytest.raises(ValueError, match="given up"):
        w.write_block(0, bytes(4096))
    with pytest.raises(ValueError, match="given up"):
        w.commit()
    assert_old_is_all(old)


def test_arguments_that_can_not_be(remote, target):
    for named in ({"block": 4095}, {"block": (32 << 20) + 1}, {"size": -1}, {"size": 1 << 60, "block": 4096}):
        with pytest.raises(ValueError):
            remote.open_blocks(target / "a", **named)
    for call in (remote.open_blocks, remote.receive_blocks):
        with pytest.raises(errors.UsageError, match="recursive"):
            call(target / "a", recursive=True)
        with pytest.raises(errors.UsageError, match="paralel"):
            call(target / "a", paralel=2)


class Number:
    """As numpy's integers: no int, and used as one."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def __float__(self):
        return float(self.value)


@pytest.mark.parametrize("size", [3 * MIB, 100_000, None])
def test_numbers_that_are_no_int(remote, target, size):
    data = make_data(size or 3 * MIB)
    known = None if size is None else Number(size)
    with remote.open_blocks(target / "a", size=known, block=Number(64 * KIB), timeout=Number(60)) as w:
        for offset in cut(len(data), 64 * KIB):
            w.write_block(Number(offset), data[offset : offset + 64 * KIB], timeout=Number(60))
    assert (target / "a").read_bytes() == data
    assert remote.read(target / "a", Number(10), Number(20), timeout=Number(60)) == data[10:30]
    for wrong in (4096.0, "4096"):
        with pytest.raises(TypeError):
            remote.open_blocks(target / "b", size=wrong)
        with pytest.raises(TypeError):
            remote.open_blocks(target / "b", size=MIB, block=wrong)
        with pytest.raises(TypeError):
            remote.read(target / "a", wrong)
        with pytest.raises(TypeError), remote.open_blocks(target / "b", block=4 * KIB) as w:
            w.write_block(wrong, bytes(4 * KIB))
    with pytest.raises(errors.UsageError):
        remote.open_blocks(target / "b", timeout="60")
    assert os.listdir(target) == ["a"]


def test_closed_is_not_published(remote, old):
    w = remote.open_blocks(old, size=MIB, block=MIB)
    w.write_block(0, make_data(MIB))
    w.close()
    w.close()
    with pytest.raises(ValueError, match="closed"):
        w.write_block(0, make_data(MIB))
    time.sleep(0.5)
    assert old.read_bytes() == OLD
    w.commit()
    assert old.read_bytes() == make_data(MIB)


@pytest.mark.parametrize("size", [None, 2 * MIB])
@pytest.mark.parametrize("way", ["exception", "abort", "collected", "abort in with", "missing"])
def test_what_is_given_up_leaves_the_old_file(escp, remote, old, size, way):
    w = remote.open_blocks(old, size=size, block=MIB)
    w.write_block(0, make_data(MIB))
    if way != "missing":
        w.write_block(MIB, make_data(MIB))
    if way == "exception":
        with pytest.raises(OwnError), w:
            raise OwnError
    elif way == "abort":
        w.abort()
        w.abort()
    elif way == "abort in with":
        with w:
            w.abort()
    elif way == "missing" and size:
        with pytest.raises(ValueError, match="missing"), w:
            pass
    else:
        del w
        gc.collect()
    assert_old_is_all(old)
    wait_for(lambda: not copy_agents(escp))
    remote.write(old, b"new")
    assert old.read_bytes() == b"new"


def test_what_is_left_open_when_the_program_ends(escp, old):
    code = f"""
import escp
remote = escp.connect("box", **{ {name: str(value) for name, value in login(escp).items()}!r})
w = remote.open_blocks({str(old)!r}, size=2 << 20, block=1 << 20)
w.write_block(0, bytes(1 << 20))
w.write_block(1 << 20, bytes(1 << 20))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert_old_is_all(old)


def test_write_waits_while_the_sender_is_behind(escp, remote, old):
    size, block = 64 * MIB, 8 * MIB
    data = make_data(size)
    with remote.open_blocks(old, size=size, block=block, limit="4MB") as w:
        begin_s = time.monotonic()
        w.write_block(0, data[:block])
        assert time.monotonic() - begin_s > 0.5
        with pytest.raises(errors.TimeUpError):
            while True:
                w.write_block(block, data[block : 2 * block], timeout=0.3)
                block += 8 * MIB
        flag = threading.Event()
        threading.Timer(0.3, flag.set).start()
        with pytest.raises(library.CancelledError):
            w.write_block(block, data[block : block + 8 * MIB], cancel=flag)
        w.write_block(block, data[block : block + 8 * MIB])  # goes on where it was
        w.abort()
    assert_old_is_all(old)


def test_block_that_timed_out_may_be_written_again(escp, remote, old):
    size = 16 * MIB
    data = make_data(size)
    n_late = 0
    with remote.open_blocks(old, size=size, block=size, limit="8MB") as w:
        while True:
            try:
                w.write_block(0, data, timeout=0.2)
                break
            except errors.TimeUpError:
                n_late += 1
    assert n_late and old.read_bytes() == data


def test_killed_agent_in_the_middle(escp, remote, old):
    w = remote.open_blocks(old, size=64 * MIB, block=MIB)
    w.write_block(0, bytes(MIB))
    os.kill(wait_for_agent(escp), signal.SIGKILL)
    with pytest.raises(library.EscpError) as raised:
        for number in range(1, 64):
            w.write_block(number * MIB, bytes(MIB))
            time.sleep(0.05)
    assert not isinstance(raised.value, library.OutcomeUnknown)
    with pytest.raises(library.EscpError) as again:
        w.commit()
    assert not isinstance(again.value, library.OutcomeUnknown)
    assert_old_is_all(old)
    remote.write(old, b"new")


@pytest.mark.parametrize("size", [None, 16 * MIB])
def test_connection_lost_during_the_commit(escp, remote, old, size):
    """The agent is stopped when the end is told, and never answers."""
    w = remote.open_blocks(old, size=size, block=MIB)
    for number in range(16):
        w.write_block(number * MIB, bytes(MIB))
    if size:
        os.kill(agent := wait_for_agent(escp), signal.SIGSTOP)
    raised = []

    def commit():
        try:
            w.commit()
        except library.EscpError as e:
            raised.append(e)

    thread = threading.Thread(target=commit)
    thread.start()
    if not size:
        agent = wait_for_agent(escp)
        wait_for(lambda: w._copy.memory.is_past or not thread.is_alive())
        os.kill(agent, signal.SIGSTOP)
        if not thread.is_alive():
            os.kill(agent, signal.SIGCONT)
            pytest.skip("it was over already")
    wait_for(lambda: w._copy.memory.is_past)
    os.kill(agent, signal.SIGKILL)
    thread.join(60)
    if not raised:
        assert not size and old.read_bytes() == bytes(16 * MIB)
        return
    assert isinstance(raised[0], library.OutcomeUnknown) and isinstance(raised[0], errors.NetworkError)
    assert old.read_bytes() in (OLD, bytes(16 * MIB))
    with pytest.raises(library.OutcomeUnknown):
        w.commit()


def test_commit_that_takes_too_long(escp, remote, old):
    w = remote.open_blocks(old, size=2 * MIB, block=MIB)
    w.write_block(0, bytes(MIB))
    w.write_block(MIB, bytes(MIB))
    agent = wait_for_agent(escp)
    os.kill(agent, signal.SIGSTOP)
    try:
        with pytest.raises(library.OutcomeUnknown):
            w.commit(timeout=1)
    finally:
        os.kill(agent, signal.SIGKILL)


def test_file_that_can_not_be_there(remote, target):
    (target / "d").mkdir()
    with pytest.raises((OSError, library.EscpError)):
        with remote.open_blocks(target / "d", size=4 * MIB, block=MIB) as w:
            for number in range(4):
                w.write_block(number * MIB, bytes(MIB))
    with pytest.raises((OSError, library.EscpError)) as raised:
        with remote.open_blocks(target / "absent/a", size=4 * MIB, block=MIB) as w:
            for number in range(4):
                w.write_block(number * MIB, bytes(MIB))
    assert not isinstance(raised.value, library.OutcomeUnknown)
    assert os.listdir(target) == ["d"] and not os.listdir(target / "d")


def test_write_lends_its_buffer(remote, target):
    data = memoryview(bytearray(64 * MIB))
    before = int(Path("/proc/self/statm").read_text().split()[1])
    remote.write(target / "a", data)
    after = int(Path("/proc/self/statm").read_text().split()[1])
    assert (after - before) * 4096 < 32 * MIB
    assert (target / "a").stat().st_size == len(data)


# ---- Receiving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 128 * KIB, 128 * KIB + 1, 33 * MIB + 7])
@pytest.mark.parametrize("is_connected", [True, False])
def test_blocks_arrive(escp, remote, source, size, is_connected):
    data = make_data(size)
    name = source / "a [x]*\\?"
    name.write_bytes(data)
    blocks = (
        remote.receive_blocks(name, blocksize="256K")
        if is_connected
        else library.receive_blocks(f"box:{name}", blocksize="256K", timeout=60, **login(escp))
    )
    found = bytearray(size)
    n = 0
    for block in blocks:
        # A short file may be all there before the program has taken its first block.
        assert blocks.result is None or n or size < MIB
        assert isinstance(block.data, memoryview) and block.data.readonly
        found[block.offset : block.offset + len(block)] = block.data
        n += block.data.nbytes
        block.release()
    assert found == data and n == size
    assert blocks.result.ok and blocks.result.verified and blocks.result.bytes == size
    with pytest.raises(StopIteration):
        next(blocks)


def test_nothing_comes_while_the_program_keeps_blocks(remote, source):
    size = 300 * MIB
    with (source / "a").open("wb") as file:
        file.truncate(size)
    blocks = remote.receive_blocks(source / "a", blocksize="1M", timeout=2)
    kept = []
    with pytest.raises(errors.TimeUpError):
        for block in blocks:
            kept.append(block)
    assert 8 <= len(kept) < 100
    n = len(kept)
    for block in kept:
        block.release()
    n += sum(1 for block in blocks if block.release() is None)
    assert n == 300 and blocks.result.ok


@pytest.mark.parametrize("way", ["close", "with", "collected", "break"])
def test_no_more_blocks_are_wanted(escp, remote, source, way):
    with (source / "a").open("wb") as file:
        file.truncate(1 << 30)
    blocks = remote.receive_blocks(source / "a")
    block = next(blocks)
    if way == "close":
        blocks.close()
    elif way == "with":
        with blocks:
            pass
    elif way == "break":
        for _ in blocks:
            break
        blocks.close()
    if way == "collected":
        del blocks
        gc.collect()
    else:
        assert list(blocks) == [] and blocks.result is None
    assert bytes(block.data) == bytes(len(block))  # it is the program's until it is released
    block.release()
    wait_for(lambda: not copy_agents(escp))


def test_file_that_is_not_there(remote, source):
    (source / "d").mkdir()
    with pytest.raises(FileNotFoundError):
        list(remote.receive_blocks(source / "absent"))
    with pytest.raises((OSError, library.EscpError)):
        list(remote.receive_blocks(source / "d"))
    with pytest.raises(errors.UsageError, match="on no other host"):
        library.receive_blocks(source / "d")


def test_file_that_changes_meanwhile(remote, source):
    with (source / "a").open("wb") as file:
        file.truncate(300 * MIB)
    n = 0
    with pytest.raises((OSError, library.EscpError)):
        for block in remote.receive_blocks(source / "a", blocksize="1M"):
            if not n:
                os.truncate(source / "a", 200 * MIB)
            n += len(block)
            block.release()


def test_killed_agent_while_blocks_come(escp, remote, source):
    with (source / "a").open("wb") as file:
        file.truncate(1 << 30)
    blocks = remote.receive_blocks(source / "a")
    next(blocks).release()
    os.kill(copy_agents(escp)[-1], signal.SIGKILL)
    with pytest.raises(library.EscpError):
        for block in blocks:
            block.release()
    with pytest.raises(library.EscpError):
        next(blocks)
    assert blocks.result is None


# ---- For asyncio ----------------------------------------------------------------------------------


def test_async_twins(escp, old):
    size = 9 * MIB + 1
    data = make_data(size)

    async def run():
        async with aio.connect("box", **login(escp)) as remote:
            async with remote.open_blocks(old, size=size, block=MIB) as w:
                await asyncio.gather(
                    *(w.write_block(offset, data[offset : offset + MIB]) for offset in cut(size, MIB))
                )
            assert old.read_bytes() == data
            found = bytearray(size)
            async for block in remote.receive_blocks(old):
                found[block.offset : block.offset + len(block)] = block.data
                block.release()
            assert found == data
            with pytest.raises(OwnError):
                async with remote.open_blocks(old, size=size, block=MIB) as w:
                    await w.write_block(0, data[:MIB])
                    raise OwnError
            assert old.read_bytes() == data
            task = asyncio.create_task(fill(remote))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert old.read_bytes() == data and os.listdir(old.parent) == ["a"]

    async def fill(remote):
        async with remote.open_blocks(old, size=64 * MIB, block=32 * MIB, limit="2MB") as w:
            await w.write_block(0, bytes(32 * MIB))

    asyncio.run(run())
    escp.assert_nothing_left()


def test_processes_are_gone(escp, remote, target):
    assert find_processes(escp.mark)
    with remote.open_blocks(target / "a", size=MIB, block=MIB) as w:
        w.write_block(0, bytes(MIB))
    wait_for(lambda: not copy_agents(escp))

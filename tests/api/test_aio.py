"""escp.aio.copy(): several at once, cancelled with their tasks, while the event loop goes on."""

import asyncio
import threading
import time

import pytest

from escp import aio, errors
from tests.api.test_copy import LARGE, OwnError, box, login
from tests.support.trees import list_tree, write_random


def test_fan_out(escp, source, target):
    for number in range(20):
        write_random(source / str(number), 1000 * number, seed=number)

    async def run():
        ends = [box(target / "a"), box(target / "b"), target / "c"]
        return await asyncio.gather(*(aio.copy(source, end, recursive=True, **login(escp)) for end in ends))

    assert [(done.ok, done.files) for done in asyncio.run(run())] == [(True, 20)] * 3
    assert all(list_tree(target / name) == list_tree(source) for name in "abc")
    escp.assert_nothing_left()


def test_cancelled_task_ends_its_copy(escp, source, target):
    write_random(source / "a", LARGE)
    moved = []

    async def run():
        loop_thread = threading.current_thread()
        ticks = 0
        started = asyncio.Event()

        def progress(now):
            assert threading.current_thread() is loop_thread
            moved.append(now.bytes_done)
            if now.bytes_done > 1_000_000:
                started.set()

        task = asyncio.create_task(
            aio.copy(source / "a", box(target / "a"), limit="2MB", progress=progress, **login(escp))
        )
        while not started.is_set():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 20  # the event loop was not blocked
        task.cancel()
        begin_s = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begin_s < 10
        # Not later, either.
        assert list_tree(target) == {}
        escp.assert_nothing_left()

    asyncio.run(run())
    assert list_tree(target) == {} and moved


def test_timeout_of_asyncio(source, target):
    write_random(source / "a", LARGE)

    async def run():
        async with asyncio.timeout(1):
            await aio.copy(source / "a", target / "a", limit="2MB")

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert list_tree(target) == {}


def test_callback_that_raises(source, target):
    write_random(source / "a", LARGE)

    def progress(_):
        raise OwnError

    with pytest.raises(OwnError):
        asyncio.run(aio.copy(source / "a", target / "a", limit="2MB", progress=progress))
    assert list_tree(target) == {}


def test_errors_come_out(source, target):
    with pytest.raises(errors.UsageError):
        asyncio.run(aio.copy(source, target, parallel=0))

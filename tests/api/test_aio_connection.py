"""escp.aio.connect(): the connection's calls as coroutines, cancelled with their tasks."""

import asyncio
import time

import pytest

import escp as library
from escp import aio, errors
from tests.api.test_copy import LARGE, OwnError, login
from tests.support.trees import list_tree, write_random


def test_calls_are_the_connections(escp, source, target):
    write_random(source / "a", 3_000_000)

    async def run():
        async with aio.connect("box", **login(escp)) as remote:
            assert remote.host == "box"
            moved = []
            done = await asyncio.gather(
                *(remote.put(source / "a", target / str(n), progress=moved.append) for n in range(3))
            )
            assert all(one.ok for one in done) and moved
            assert (await remote.get(target / "0", source / "b")).ok
            await remote.mkdir(target / "d/e", parents=True, exist_ok=True)
            await remote.write(target / "d/f", b"hello")
            await remote.rename(target / "d/f", target / "d/g")
            assert await remote.read(target / "d/g", 1, 2) == b"el"
            assert (await remote.stat(target / "d/g")).size == 5
            assert await remote.digest(target / "0") == library.digest(source / "a")
            assert sorted([one.name for one in await remote.list(target)]) == ["0", "1", "2", "d"]
            await remote.remove(target / "d", recursive=True)
            assert not await remote.exists(target / "d")
            with pytest.raises(FileNotFoundError):
                await remote.stat(target / "d")

    asyncio.run(run())
    escp.assert_nothing_left()


def test_cancelled_call_ends_no_other(escp, source, target):
    write_random(source / "a", LARGE)
    with open(source / "large", "wb") as file:
        file.truncate(1 << 42)

    async def run():
        async with aio.connect("box", **login(escp)) as remote:
            tasks = [
                asyncio.create_task(remote.put(source / "a", target / "a", limit="2MB")),
                asyncio.create_task(remote.digest(source / "large")),
            ]
            other = asyncio.create_task(remote.put(source / "a", target / "b", limit="20MB"))
            await asyncio.sleep(1)
            begin_s = time.monotonic()
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in found)
            assert time.monotonic() - begin_s < 10
            with pytest.raises(OwnError):
                await remote.put(source / "a", target / "c", limit="2MB", progress=fail)
            with pytest.raises(errors.TimeUpError):
                await remote.put(source / "a", target / "c", limit="2MB", timeout=1)
            assert (await other).ok

    asyncio.run(run())
    assert list(list_tree(target)) in (["b"], [b"b"])
    escp.assert_nothing_left()


def fail(_):
    raise OwnError


def test_cancelled_login():
    async def run():
        async with asyncio.timeout(1):
            async with aio.connect("host", ssh_option="ProxyCommand=sleep 60", batch=True):
                raise AssertionError

    with pytest.raises(TimeoutError):
        asyncio.run(run())

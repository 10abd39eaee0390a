"""Where calls of a program end: at any moment, whoever ends them, in children of fork(), and many at once."""

import asyncio
import gc
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

import escp as library
from escp import aio, errors
from tests.api.test_copy import LARGE, OwnError, login
from tests.api.test_expected import ends, words_of
from tests.support.command import ROOT
from tests.support.leftovers import find_agents
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

MIB = 1 << 20
WAYS = ["local", "push", "pull", "between", "direct"]
MOMENTS = (1, 2, 3, 5, 8, 13, 21, 34)  # the looks, or calls, at which it is ended


class Moment:
    """A flag, and a callback, that is there at the *n*th time."""

    def __init__(self, n):
        self.n_left = n

    def is_set(self):
        self.n_left -= 1
        return self.n_left <= 0

    def raise_then(self, *_):
        if self.is_set():
            raise OwnError


@pytest.fixture
def tree(source):
    for number in range(40):
        write_random(source / f"{number % 4}-{number:02}", 1000 * number, seed=number)
    write_random(source / "large", 3_000_000)
    return source


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["flag", "callback"])
def test_ended_at_any_moment(escp, tree, target, way, who):
    """What has a name is whole, nothing else has one, and nothing runs on."""
    whole, n_ended = list_tree(tree), 0
    for n in MOMENTS:
        moment = Moment(n)
        how = {"cancel": moment} if who == "flag" else {"progress": moment.raise_then}
        words = {"recursive": True, "no_partial": True, "limit": "3MB", **words_of(way), **login(escp)}
        try:
            done = library.copy(*ends(way, tree, target / "new"), **how, **words)
        except (library.CancelledError, OwnError) as e:
            assert type(e) is (library.CancelledError if who == "flag" else OwnError)
            n_ended += 1
        else:
            assert done.ok
        escp.assert_nothing_left()
        found = list_tree(target / "new") if (target / "new").is_dir() else {}
        assert found.items() <= whole.items()
        shutil.rmtree(target / "new", ignore_errors=True)
    assert n_ended >= 3


# ---- Forks ------------------------------------------------------------------------------------------


def in_child(work):
    """The exit status of a child of fork() that does *work* and then ends as Python programs do."""
    pid = os.fork()
    if not pid:
        status = 9
        try:
            status = work()
        finally:
            os._exit(status)
    end_s = time.monotonic() + 20
    while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end_s:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(found[1])


@pytest.mark.parametrize("size", [None, 8 * MIB])
def test_blocks_stay_with_the_process_that_copies_them(escp, source, target, size):
    """A child neither waits for threads that it has not, nor ends what its parent does."""
    write_random(source / "a", 64 * MIB)
    with library.connect("box", timeout=60, **login(escp)) as remote:
        w = remote.open_blocks(target / "new", size=size, block=MIB)
        blocks = remote.receive_blocks(source / "a", blocksize="1M")
        next(blocks).release()
        w.write_block(0, bytes(MIB))

        def work():
            calls = [lambda: w.write_block(MIB, bytes(MIB)), w.close, w.commit, lambda: next(blocks)]
            for call in calls:
                with pytest.raises(errors.InternalError, match="stay with the process"):
                    call()
            with pytest.raises(OwnError), w:
                raise OwnError
            w.abort()
            blocks.close()
            remote.close()
            return 7

        assert in_child(work) == 7
        for number in range(1, 8):
            w.write_block(number * MIB, bytes(MIB))
        assert w.commit().ok
        assert sum(1 for block in blocks if block.release() is None) == 63 and blocks.result.ok
    assert (target / "new").stat().st_size == 8 * MIB


@pytest.mark.parametrize("how", ["close", "forget"])
def test_a_child_takes_no_leave_for_its_parent(escp, target, how):
    """An idle agent's sockets, and the epoll that watches them, are the parent's as well."""
    held = [library.connect("box", timeout=20, **login(escp))]
    assert held[0].exists(target)
    there = held[0]

    def work():
        nonlocal there
        if how == "close":
            there.close()
        del there
        held.clear()
        gc.collect()
        return 7

    assert in_child(work) == 7
    assert there.exists(target) and there.read(__file__)
    there.close()


def test_copies_of_a_child_are_its_own(escp, source, target):
    """A child of a program that has copied, and is copying, copies as any other."""
    write_random(source / "a", LARGE)
    with library.connect("box", timeout=60, **login(escp)) as remote:
        assert remote.put(source / "a", target / "a").ok
        started, results = threading.Event(), []
        thread = threading.Thread(
            target=lambda: results.append(
                remote.put(source / "a", target / "b", limit="10MB", progress=lambda now: started.set())
            )
        )
        thread.start()
        assert started.wait(20)
        assert in_child(lambda: 7 if library.copy(source / "a", target / "c").ok else 8) == 7
        thread.join()
    assert results[0].ok
    assert all((target / name).read_bytes() == (source / "a").read_bytes() for name in "abc")


PROGRAM = """
import contextlib, sys, threading, escp
remote = escp.connect("box", ssh_config=sys.argv[1], escp=sys.argv[2], escp_port=sys.argv[3])
what, source, target = sys.argv[4:]
if what == "blocks that come":
    kept = next(blocks := remote.receive_blocks(source))
elif what == "blocks that are written":
    w = remote.open_blocks(target + "/new", size=1 << 24, block=1 << 20)
    w.write_block(0, bytes(1 << 20))
elif what == "a writer in a circle":
    w = remote.open_blocks(target + "/new", size=1 << 24, block=1 << 20)
    w.itself, w.data = w, bytes(1 << 20)
    w.write_block(0, w.data)
else:
    started = threading.Event()
    def put():
        with contextlib.suppress(escp.EscpError):  # its connection is closed
            words = {"limit": "1MB", "no_partial": True}
            remote.put(source, target + "/new", progress=lambda now: started.set(), **words)
    threading.Thread(target=put, daemon=True).start()
    started.wait()
"""


@pytest.mark.parametrize(
    "what", ["blocks that come", "blocks that are written", "a writer in a circle", "a daemon thread's copy"]
)
def test_program_that_ends_in_the_middle(escp, source, target, what):
    """By itself, at once, without a word; what was there stays."""
    write_random(source / "a", LARGE)
    words = [escp.sshd.client_config, escp.agent, str(escp.port), what, source / "a", target]
    begin_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, capture_output=True, timeout=60,
                          env={**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert time.monotonic() - begin_s < 20
    escp.assert_nothing_left()
    assert os.listdir(target) == []


def test_writer_that_is_collected_in_a_circle(escp, target):
    with library.connect("box", timeout=60, **login(escp)) as remote:
        carriers = set(find_agents(escp.mark))
        w = remote.open_blocks(target / "new", size=4 * MIB, block=MIB)
        w.itself = [w]
        w.write_block(0, bytes(MIB))
        del w
        gc.collect()
        wait_for(lambda: set(find_agents(escp.mark)) == carriers)
    assert os.listdir(target) == []


# ---- Many at once -----------------------------------------------------------------------------------


def test_a_hundred_at_once(escp, source, target):
    """Over one login, more than have an agent at a time: the others wait."""
    write_random(source / "a", 200_000)
    failed = []
    with library.connect("box", timeout=120, **login(escp)) as remote:

        def put(number):
            try:
                assert remote.put(source / "a", target / str(number), parallel=1).ok
            except BaseException as e:
                failed.append(e)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed and len(os.listdir(target)) == 100
    assert all(path.read_bytes() == (source / "a").read_bytes() for path in target.iterdir())
    escp.assert_nothing_left()


# ---- asyncio ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["local", "push"])
def test_task_that_is_cancelled_twice(escp, source, target, way, monkeypatch):
    """It is over when nothing of its copy is left, however impatient others are."""
    write_random(source / "a", LARGE)
    ended = []

    def copy(*arguments, **more):
        try:
            return library.copy(*arguments, **more)
        finally:
            ended.append(way)

    monkeypatch.setattr(aio, "copy_here", copy)

    async def run():
        words = {"limit": "2MB", "no_partial": True, **login(escp)}
        task = asyncio.create_task(aio.copy(*ends(way, source / "a", target / "a"), **words))
        await asyncio.sleep(1.5)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [way]
        assert list_tree(target) == {}
        escp.assert_nothing_left()

    asyncio.run(run())


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
def test_task_is_cancelled_at_any_moment(escp, source, target, after_s):
    write_random(source / "a", 3_000_000)

    async def run():
        async with aio.connect("box", **login(escp)) as remote:
            data = bytes(MIB)
            async with asyncio.timeout(after_s):
                await remote.put(source / "a", target / "a", limit="2MB", no_partial=True)
                async with remote.open_blocks(target / "a", size=4 * MIB, block=MIB, limit="2MB") as w:
                    for number in range(4):
                        await w.write_block(number * MIB, data)
                async for block in remote.receive_blocks(source / "a", limit="2MB"):
                    block.release()
                await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    escp.assert_nothing_left()
    assert os.listdir(target) in ([], ["a"])
    if os.listdir(target):
        assert (target / "a").read_bytes() in ((source / "a").read_bytes(), bytes(4 * MIB))


def test_several_event_loops(escp, source, target):
    """Each in a thread of its own, with a connection of its own."""
    write_random(source / "a", 500_000)
    failed = []

    async def run(number):
        async with aio.connect("box", **login(escp)) as remote:
            await asyncio.gather(*(remote.put(source / "a", target / f"{number}-{n}") for n in range(4)))

    def start(number):
        try:
            asyncio.run(run(number))
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(os.listdir(target)) == 12
    escp.assert_nothing_left()


@pytest.mark.parametrize("n", [1, 3, 6])
def test_callback_of_a_task_that_raises_later(escp, source, target, n):
    write_random(source / "a", LARGE)
    words = {"limit": "4MB", "no_partial": True, "progress": Moment(n).raise_then, **login(escp)}
    with pytest.raises(OwnError):
        asyncio.run(aio.copy(*ends("push", source / "a", target / "a"), **words))
    assert list_tree(target) == {}
    escp.assert_nothing_left()

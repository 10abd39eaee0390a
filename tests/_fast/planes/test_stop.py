"""Planes stopped, cut off or thrown away at any moment: no thread, descriptor or unfinished file stays."""

import gc
import os
import random
import socket
import time
from pathlib import Path

import pytest

from escp._fast.crypto.channel import Channel
from escp._fast.planes.plane import FATAL, FINISHED
from escp.failures import FAST_AUTH, FAST_NET
from tests.support.loopback import BLOCK, SECRET, Loopback, connect, use_blocking, wait_for_events
from tests.support.planes import receive_plane, send_plane


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    top = tmp_path_factory.mktemp("source") / "tree"
    generator = random.Random(3)
    for folder in range(10):
        (top / f"{folder}").mkdir(parents=True)
        for number in range(40):
            (top / f"{folder}" / f"{number}").write_bytes(generator.randbytes(generator.randrange(20000)))
    for number in range(6):
        (top / f"large{number}").write_bytes(generator.randbytes(6 * BLOCK + number))
    return top


@pytest.fixture
def target(tmp_path, source):
    yield tmp_path
    gc.collect()
    for folder, _, names in os.walk(tmp_path):
        for name in names:  # whole, or not there at all
            path = Path(folder, name)
            assert path.read_bytes() == (source.parent / path.relative_to(tmp_path)).read_bytes()


def begin(target, source, **options):
    loopback = Loopback(target, n_streams=3, **options)
    loopback.start()
    loopback.add((os.fsencode(source), b"tree"))
    return loopback


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("options", [{}, {"receiving": {"has_tmpfile": False}}, {"buffer_bytes": 4096}],
                         ids=["plain", "temporary_names", "small_buffers"])  # fmt: skip
def test_stopped_after_any_number_of_bytes(target, source, side, options):
    for n_bytes in (0, 1, 200_000, 1 << 20, 3 << 20, 8 << 20):
        with begin(target, source, **options) as loopback:
            end_s = time.monotonic() + 20
            while loopback.receiver.counters()["bytes"] < n_bytes:
                assert time.monotonic() < end_s
            getattr(loopback, side).stop()
            other = loopback.receiver if side == "sender" else loopback.sender
            while all(event.kind not in (FATAL, FINISHED) for _, event in wait_for_events([other])):
                pass  # what it had finished before; on a busy machine that may be everything


def test_stopped_after_any_time(target, source):
    generator = random.Random(11)
    for _ in range(40):
        with begin(target, source) as loopback:
            time.sleep(generator.random() * 0.02)
            for plane in (loopback.sender, loopback.receiver, loopback.sender):
                plane.stop()
                plane.join()


def test_thrown_away_while_it_runs(target, source):
    loopback = begin(target, source)
    pairs, root_fd = loopback.pairs, loopback.root_fd
    del loopback
    gc.collect()
    for pair in pairs:
        for sock in pair:
            sock.close()
    os.close(root_fd)


@pytest.mark.parametrize("is_stopped", [True, False])
def test_plane_that_never_started_is_freed(target, is_stopped):
    loopback = Loopback(target)
    loopback.sender.add_source(b"/tmp", b"x")
    if is_stopped:
        loopback.sender.stop()
        loopback.receiver.stop()
        loopback.start()  # ends at once
    loopback.__exit__()


@pytest.mark.parametrize("plane", [send_plane, receive_plane])
def test_plane_without_all_its_streams_does_not_start(target, plane):
    fields = {"root_fd": 0} if plane is receive_plane else {}
    with pytest.raises(ValueError, match="stream 0 is not attached"):
        plane(n_streams=2, block_bytes=BLOCK, **fields).start()


@pytest.mark.parametrize("end", [0, 1])
def test_killed_socket_ends_both_sides(target, source, end):
    for n_bytes in (0, 1 << 19, 4 << 20):
        with Loopback(target, n_streams=3) as loopback:
            loopback.start()
            # Without the end of sources: the planes can't have finished before the socket is killed.
            loopback.sender.add_source(os.fsencode(source), b"tree")
            end_s = time.monotonic() + 20
            while loopback.receiver.counters()["bytes"] < n_bytes:
                assert time.monotonic() < end_s
            loopback.pairs[1][end].shutdown(socket.SHUT_RDWR)
            outcome = loopback.run_to_end()
            codes = {event.code for _, event in outcome.events if event.kind == FATAL}
            assert codes == {FAST_NET}
            assert {is_sender for is_sender, event in outcome.events if event.kind == FATAL} == {True, False}


def test_closed_sending_half_is_no_end_of_a_stream(target):
    """A bare FIN is what an attacker can send as well: only END ends a stream."""
    with Loopback(target) as loopback:
        loopback.start()
        loopback.pairs[0][0].shutdown(socket.SHUT_WR)
        ((_, event),) = wait_for_events([loopback.receiver])
        assert (event.kind, event.code) == (FATAL, FAST_NET)


@pytest.mark.parametrize("what", ["secret", "stream", "block", "epoch_limit"])
def test_ends_that_do_not_agree_part_at_once(tmp_path, what):
    source = tmp_path / "x"
    source.write_bytes(bytes(4 * BLOCK))
    (tmp_path / "target").mkdir()
    root_fd = os.open(tmp_path / "target", os.O_RDONLY)
    ((near, far),) = connect(1)
    blocks = {True: 2 * BLOCK if what == "block" else BLOCK, False: BLOCK}
    planes = [
        send_plane(n_streams=1, block_bytes=blocks[True]),
        receive_plane(root_fd=root_fd, n_streams=1, block_bytes=blocks[False]),
    ]
    for plane, sock, is_sender in zip(planes, (near, far), (True, False), strict=True):
        secret = bytes(32) if what == "secret" and is_sender else SECRET
        limit = 300_000 if what == "epoch_limit" and is_sender else 64 << 30
        channel = Channel(secret, 0, is_sender=is_sender, block_bytes=blocks[is_sender], epoch_limit=limit)
        plane.attach(use_blocking(sock), channel)
    if what == "stream":
        planes[1] = receive_plane(root_fd=root_fd, n_streams=1, block_bytes=BLOCK)
        planes[1].attach(far.fileno(), Channel(SECRET, 0, is_sender=True, block_bytes=BLOCK))
    for plane in planes:
        plane.start()
    planes[0].add_source(os.fsencode(source), b"x")
    planes[0].end_sources()
    ((_, event),) = wait_for_events([planes[1]])
    assert (event.kind, event.code) == (FATAL, FAST_AUTH)
    for plane in planes:
        plane.stop()
        plane.join()
    del plane, planes
    gc.collect()
    for sock in (near, far):
        sock.close()
    os.close(root_fd)
    assert os.listdir(tmp_path / "target") == []

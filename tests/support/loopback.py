"""Both planes in one process, joined by TCP connections of the loopback interface or by a local link."""

import os
import select
import socket
import time
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

from escp._fast.crypto.channel import Channel
from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.planes.send_plane import link_local
from tests.support.planes import receive_plane, send_plane
from tests.support.sanitized import PATIENCE

SECRET = bytes(range(32))
BLOCK = 1 << 18
LIMIT_S = 30.0 * PATIENCE

Event = namedtuple("Event", "kind code errno where offset is_remote path")
Outcome = namedtuple("Outcome", "sent received events")  # counters of both sides; (is_sender, Event) each


def connect(n: int, *, buffer_bytes: int = 0) -> list[tuple[socket.socket, socket.socket]]:
    """Connected pairs; with *buffer_bytes* the kernel's buffers are as small as it allows."""
    pairs = []
    with socket.socket() as listener:
        if buffer_bytes:  # accepted connections inherit it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        listener.bind(("127.0.0.1", 0))
        listener.listen(n)
        for _ in range(n):
            near = socket.socket()
            if buffer_bytes:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            near.connect(listener.getsockname())
            pairs.append((near, listener.accept()[0]))
    for pair in pairs:
        for sock in pair:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(LIMIT_S)
    return pairs


def use_blocking(sock: socket.socket) -> int:
    """The descriptor as a plane wants it: Python's timeouts make a socket non-blocking."""
    sock.setblocking(True)
    return sock.fileno()


def wait_for_events(planes, limit_s: float = LIMIT_S) -> list:
    """(plane, Event) of what the planes report next; fails when nothing comes in time."""
    end_s = time.monotonic() + limit_s
    while True:
        left_s = max(0.0, end_s - time.monotonic())
        ready, _, _ = select.select([plane.event_fd for plane in planes], [], [], left_s)
        assert ready, f"no event in {limit_s} s: {[plane.counters() for plane in planes]}"
        found = [
            (plane, Event(*event))
            for plane in planes
            if plane.event_fd in ready
            for event in plane.take_events()
        ]
        if found:  # an event that is taken as it comes leaves the descriptor readable once more
            return found


class Loopback:
    """A sender and a receiver that are not yet started. Closing stops, joins and frees both."""

    def __init__(self, target: Path, *, n_streams=1, block_bytes=BLOCK, backend=None, epoch_limit=64 << 30,
                 buffer_bytes=0, is_local=False, both=None, sending=None, receiving=None):  # fmt: skip
        self.root_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        shape = {"n_streams": n_streams, "block_bytes": block_bytes, **(both or {})}
        self.sender = send_plane(**{"is_recursive": True, **shape, **(sending or {})})
        self.receiver = receive_plane(**{"root_fd": self.root_fd, **shape, **(receiving or {})})
        if is_local:
            link_local(self.sender, self.receiver)
        self.pairs = [] if is_local else connect(n_streams, buffer_bytes=buffer_bytes)
        for stream, (near, far) in enumerate(self.pairs):
            for plane, sock, is_sender in ((self.sender, near, True), (self.receiver, far, False)):
                channel = Channel(SECRET, stream, is_sender=is_sender, block_bytes=block_bytes,
                                  backend=backend, epoch_limit=epoch_limit)  # fmt: skip
                plane.attach(use_blocking(sock), channel)

    def __enter__(self) -> "Loopback":
        return self

    def __exit__(self, *_: object) -> None:
        for plane in (self.sender, self.receiver):
            plane.stop()
            plane.join()
        del self.sender, self.receiver
        for pair in self.pairs:
            for sock in pair:
                sock.close()
        with suppress(OSError):
            os.close(self.root_fd)

    def start(self) -> None:
        self.receiver.start()
        self.sender.start()

    def add(self, *sources: tuple[bytes, bytes]) -> None:
        for source, name in sources:
            assert self.sender.add_source(source, name)
        self.sender.end_sources()

    def count(self) -> list[int]:
        """What changes while the copy gets on. Not bytes on the wire: ends that wait say so now and then."""
        counters = [plane.counters() for plane in (self.sender, self.receiver)]
        return [
            n for each in counters for name, n in each.items() if name not in ("bytes_network", "last_ns")
        ]

    def run_to_end(self) -> Outcome:
        """Until both planes have finished or failed. A failure if the copy stands for LIMIT_S."""
        running = [self.sender, self.receiver]
        events = []
        counted, end_s = [], 0.0
        while running:
            ready = select.select([plane.event_fd for plane in running], [], [], 0.5)[0]
            found = [
                (plane, Event(*event))
                for plane in running
                if plane.event_fd in ready
                for event in plane.take_events()
            ]
            now = self.count()
            if found or now != counted:
                counted, end_s = now, time.monotonic() + LIMIT_S
            assert time.monotonic() < end_s, f"stands for {LIMIT_S} s: {counted}"
            for plane, event in found:
                if event.kind in (FATAL, FINISHED) and plane in running:
                    running.remove(plane)
                if event.kind != FINISHED:
                    events.append((plane is self.sender, event))
        return Outcome(self.sender.counters(), self.receiver.counters(), events)


def copy(source: Path, target: Path, **options) -> Outcome:
    """Copy *source* below *target* under its own name."""
    with Loopback(target, **options) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), os.fsencode(source.name)))
        return loopback.run_to_end()

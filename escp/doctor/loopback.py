"""A copy with both ends in this process, for the self-test: over a local link, or over sealed TCP streams."""

import os
import tempfile
import time
from collections.abc import Iterator

from escp.constants import SECRET_BYTES
from escp.control.messages import Receive, Send
from escp.errors import IntegrityError, NetworkError
from escp.failures import Failure
from escp.lean.eventloop import EventLoop
from escp.streams.connector import Connector
from escp.streams.listener import Acceptor, listen
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sealing import choose_aead
from escp.streams.sendend import SendEnd, start_local
from escp.streams.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

N_STREAMS = 2
BLOCK_BYTES = 1 << 18
LARGE_BYTES, SMALL_BYTES = 4 * BLOCK_BYTES + 12345, 1000  # blocks and a part of one; a bundle
STEP_S, LIMIT_S = 0.1, 10.0  # a disk that is busy may take longer than a second


class LoopbackCopy:
    """Both ends of a session: a large and a small file, from one directory below *folder* to another."""

    def __init__(self, folder: str, *, is_direct: bool = True, has_compression: bool = False):
        self._folder = tempfile.mkdtemp(prefix="copy-", dir=folder)
        self._is_direct, self._has_compression = is_direct, has_compression
        self._loop = EventLoop()
        self._n_open = 2  # ends that are not done
        self._end_s = time.monotonic() + LIMIT_S

    def run_local(self) -> None:
        for sender, receiver in self._make_ends():
            start_local(sender, receiver)
            self._finish(sender)

    def run_streams(self) -> tuple[int, int]:
        """Returns the bytes of the files, and those that they took on the streams."""
        secret, n_bytes = os.urandom(SECRET_BYTES), (0, 0)
        near, far = (
            Streams(secret, n_streams=N_STREAMS, block_bytes=BLOCK_BYTES, is_sender=is_sender,
                    backend=choose_aead())
            for is_sender in (True, False)
        )  # fmt: skip
        try:
            for sender, receiver in self._make_ends():
                self._connect(near, far)
                receiver.start(far)
                sender.start(near)
                self._finish(sender)
                counts = sender.counters()
                n_bytes = counts["bytes"], counts["bytes_compressed"]
        finally:
            near.close()
            far.close()
        return n_bytes

    def _make_ends(self) -> Iterator[tuple[SendEnd, ReceiveEnd]]:
        """The two ends; closes them afterwards."""
        source, target = (os.fsencode(os.path.join(self._folder, name)) for name in ("source", "target"))
        os.mkdir(source)
        os.mkdir(target)
        text = b"".join(b"line %d of a text\n" % i for i in range(LARGE_BYTES // 16))
        self._contents = {b"large": text[:LARGE_BYTES], b"small": os.urandom(SMALL_BYTES)}
        for name, data in self._contents.items():
            with open(os.path.join(source, name), "wb") as file:
                file.write(data)
        self._target = target
        sender: SendEnd | None = None
        receiver = ReceiveEnd(self._order_receive(target), is_remote=False)
        try:
            receiver.open(n_streams=N_STREAMS, block_bytes=BLOCK_BYTES, loop=self._loop, listener=self)
            sender = SendEnd(self._order_send(), n_streams=N_STREAMS, block_bytes=BLOCK_BYTES,
                             loop=self._loop, listener=self)  # fmt: skip
            self._sender, self._source = sender, source
            yield sender, receiver
        finally:
            if sender is not None:
                sender.close()
            receiver.close()
            self._loop.close()

    def _order_send(self) -> Send:
        values: dict[str, Any] = dict.fromkeys(Send._fields, False)
        return Send(**values | self._common() | {"filters": []})

    def _order_receive(self, target: bytes) -> Receive:
        values: dict[str, Any] = dict.fromkeys(Receive._fields, False) | {"job": b""}
        return Receive(**values | self._common() | {"target": target, "n_sources": 2})

    def _common(self) -> "dict[str, Any]":
        return {
            "is_direct": self._is_direct, "has_compression": self._has_compression,
            "engine": "posix", "has_checksum": True, "selection": "all",
        }  # fmt: skip

    def _connect(self, near: Streams, far: Streams) -> None:
        loop, now = self._loop, time.monotonic()
        listener = listen("127.0.0.1", 0, 1)  # 0: any free port
        port = listener.getsockname()[1]
        acceptor = Acceptor(listener, far, loop.watch, loop.unwatch, now)
        connector = Connector([("127.0.0.1", port)], near, loop.watch, loop.unwatch, now)
        try:
            while not (near.is_complete and far.is_complete):
                self._step(f"no connection to 127.0.0.1 port {port}: {connector.reason}")
                connector.tick(time.monotonic())
        finally:
            acceptor.close()
            connector.close()

    def _finish(self, sender: SendEnd) -> None:
        sender.add([(os.path.join(self._source, name), name) for name in self._contents], is_last=True)
        while self._n_open:
            self._step(f"the copy was not done after {LIMIT_S:.0f} s")
        for name, data in self._contents.items():
            with open(os.path.join(self._target, name), "rb") as file:
                if file.read() != data:
                    raise IntegrityError(f"the copy of the {name.decode()} file differs")

    def _step(self, complaint: str) -> None:
        if time.monotonic() > self._end_s:
            raise NetworkError(complaint)
        self._loop.wait(STEP_S)

    # What the ends tell

    def file_failed(
        self, end: SendEnd | ReceiveEnd, failure: Failure, path: bytes, *, is_receiver: bool
    ) -> None:
        raise failure.as_error(f"the {os.path.basename(path).decode(errors='replace')} file")

    def end_failed(self, failure: Failure) -> None:
        raise failure.as_error("the copy")

    def stream_lost(self, stream: int, failure: Failure) -> None:
        self.end_failed(failure)

    def stream_resumed(self, stream: int) -> None:
        """Can't happen: only a lost stream is resumed."""

    def end_finished(self, end: SendEnd | ReceiveEnd) -> None:
        self._n_open -= 1

    def part_told(self, path: bytes, news: str, n_bytes: int) -> None:
        """There are none."""

    def listed(self, path: bytes) -> None:
        """Can't happen: only a dry run lists."""

    def itemized(self, path: bytes, reason: int, kind: str, size: int, digest: bytes) -> None:
        """Nobody asks."""

    def sources_taken(self) -> None:
        """Nothing to do: all sources were added at once."""

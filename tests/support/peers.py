"""Peers played in Python, with the true keys, against a real plane: they say whatever a test wants."""

import os
import select
import time
from contextlib import suppress
from pathlib import Path

import zstandard

from escp._fast.crypto.channel import Channel
from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FINISHED
from escp._fast.wire.payloads import (
    decode_entries,
    decode_result,
    encode_data_header,
    encode_end,
    encode_entry,
    encode_meta,
    encode_result,
)
from tests.support.loopback import BLOCK, LIMIT_S, SECRET, Event, connect, use_blocking, wait_for_events
from tests.support.planes import receive_plane, send_plane

ENTRIES, RESULTS, END, TAKEN, KEPT, STAMPS = range(2, 8)  # message types
SMALL, LARGE, LARGE_END, DIRECTORY, LINK, HARD_LINK, DEVICE, QUERY, ABSENT, BEGUN = range(
    1, 11
)  # kinds of entries
IS_BUNDLE, IS_ZSTD = 1, 2  # flags of a data frame
IS_EARLY, IS_SAME, IS_WANTED = 1, 2, 4  # flags of a result
IS_ABANDONED, ASKS_PART, ASKS_STAMP, ASKS_DIRECTORY = 1, 16, 32, 128  # flags of an entry


def unpack(payload: bytes) -> bytes:
    """A metadata payload as decode_entries takes it."""
    if not payload[1]:
        return payload
    return payload[:1] + b"\0" + payload[2:8] + zstandard.decompress(payload[8:], 1 << 18)


def encode_kept(id: int, *blocks: tuple[int, bytes]) -> bytes:
    """The payload of a KEPT: number and digest of each block."""
    body = b"".join(number.to_bytes(8, "big") + digest for number, digest in blocks)
    return encode_meta(KEPT, len(blocks), id.to_bytes(8, "big") + body)


def encode_stamps(*files: tuple[int, int]) -> bytes:
    """The payload of a STAMPS: id and stamp of each file."""
    body = b"".join(id.to_bytes(8, "big") + stamp.to_bytes(8, "big") for id, stamp in files)
    return encode_meta(STAMPS, len(files), body)


class Peer:
    """One end of some streams, in Python; the plane of the other end."""

    is_sender: bool

    def __init__(self, plane, n_streams: int, block_bytes: int, buffer_bytes: int = 0, connection: int = 0):
        self.plane = plane
        self.pairs = connect(n_streams, buffer_bytes=buffer_bytes)
        self._broken_pairs: list = []
        self._block_bytes = block_bytes
        self.channels = []
        self._received = [bytearray() for _ in range(n_streams)]
        self._results: list[list] = [[] for _ in range(n_streams)]
        for stream, (_, far) in enumerate(self.pairs):
            mine, theirs = (
                Channel(SECRET, stream, is_sender=is_sender, block_bytes=block_bytes, connection=connection)
                for is_sender in (self.is_sender, not self.is_sender)
            )
            self.channels.append(mine)
            plane.attach(use_blocking(far), theirs)
        self.seen: list[Event] = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.plane.stop()
        self.plane.join()
        del self.plane
        for pair in self.pairs + self._broken_pairs:
            for sock in pair:
                sock.close()

    def join_again(self, *, connection: int, stream: int = 0) -> None:
        """Another connection of a stream, for both ends."""
        (pair,) = connect(1)
        self._broken_pairs.append(self.pairs[stream])
        self.pairs[stream] = pair
        self._received[stream].clear()
        mine, theirs = (
            Channel(SECRET, stream, is_sender=is_sender, block_bytes=self._block_bytes, connection=connection)
            for is_sender in (self.is_sender, not self.is_sender)
        )
        self.channels[stream] = mine
        self.plane.attach(use_blocking(pair[1]), theirs)

    def send_raw(self, data: bytes, stream: int = 0) -> None:
        left = memoryview(data)
        end_s = time.monotonic() + LIMIT_S
        with suppress(BrokenPipeError, ConnectionResetError):  # refused already: the event tells why
            while left:
                if select.select([], [self.pairs[stream][0]], [], 0.1)[1]:
                    left = left[self.pairs[stream][0].send(left) :]
                elif any(event.kind == FATAL for event in self.seen):
                    return  # with full buffers the connection does not tell that its other end was shut down
                elif select.select([self.plane.event_fd], [], [], 0)[0]:
                    self.seen += [event for _, event in wait_for_events([self.plane])]
                elif time.monotonic() > end_s:
                    raise TimeoutError(f"the plane takes nothing: {self.plane.counters()}")

    def send(self, payload: bytes, *, is_data: bool = False, stream: int = 0) -> None:
        self.send_raw(self.channels[stream].seal(is_data, payload), stream)

    def send_meta(self, message: int, count: int, body: bytes, *, stream: int = 0, **fields) -> None:
        self.send(encode_meta(message, count, body, **fields), stream=stream)

    def receive_frame(self, stream: int = 0) -> tuple[bool, bytes]:
        """The plane's next frame, opened. After a TimeoutError it may be asked for again."""
        have = self._received[stream]
        self._receive(8, stream)
        _, n = self.channels[stream].expect(bytes(have[:8]))
        self._receive(8 + n + 16, stream)
        frame = bytes(have)
        have.clear()
        return self.channels[stream].open(frame)

    def receive_raw(self, n: int, stream: int = 0) -> bytes:
        self._receive(n, stream)
        return bytes(self._received[stream])

    def _receive(self, n: int, stream: int) -> None:
        have = self._received[stream]
        while len(have) < n:
            more = self.pairs[stream][0].recv(n - len(have))
            if not more:
                raise ConnectionResetError("the plane closed the stream")
            have += more

    def wait(self, kind: int, limit_s: float = LIMIT_S) -> Event:
        """The first event of that kind from now on; a FATAL that is not waited for fails the test."""
        end_s = time.monotonic() + limit_s
        while True:
            for i, event in enumerate(self.seen):
                if event.kind == kind:
                    del self.seen[: i + 1]
                    return event
                assert event.kind != FATAL, event
            self.seen += [
                event for _, event in wait_for_events([self.plane], max(0.0, end_s - time.monotonic()))
            ]

    def wait_for_any(self) -> Event:
        """The next event."""
        if not self.seen:
            self.seen += [event for _, event in wait_for_events([self.plane])]
        return self.seen.pop(0)

    def assert_silent(self) -> None:
        """No event is waiting."""
        assert not self.seen
        assert not select.select([self.plane.event_fd], [], [], 0)[0], self.plane.take_events()


class Sender(Peer):
    """A sender in Python against a real ReceivePlane, which is started."""

    is_sender = True

    def __init__(
        self, target: Path, *, n_streams=1, block_bytes=BLOCK, buffer_bytes=0, connection=0, **options
    ):
        self.root_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        self.n_entries = [0] * n_streams
        self.n_bytes = [0] * n_streams
        super().__init__(
            receive_plane(root_fd=self.root_fd, n_streams=n_streams, block_bytes=block_bytes, **options),
            n_streams,
            block_bytes,
            buffer_bytes,
            connection,
        )
        self.start_plane()

    def start_plane(self) -> None:
        self.plane.start()

    def __exit__(self, *args: object) -> None:
        super().__exit__(*args)
        os.close(self.root_fd)

    def send_entries(self, *entries: bytes, stream: int = 0, **fields) -> None:
        self.n_entries[stream] += len(entries)
        self.send_meta(ENTRIES, len(entries), b"".join(entries), stream=stream, **fields)

    def send_data(
        self, data: bytes, *, id: int = 0, offset: int = 0, flags: int = 0, stream: int = 0
    ) -> None:
        self.n_bytes[stream] += len(data)
        header = encode_data_header(id, offset, len(data), flags)
        self.send(header + data, is_data=True, stream=stream)

    def send_small(self, path: bytes, data: bytes = b"evil", *, id: int = 1, **fields) -> None:
        """One small file, entry and contents."""
        fields = {"size": len(data), "digest": digest_of(data), **fields}
        self.send_entries(encode_entry(kind=SMALL, id=id, path=path, **fields))
        if data:
            self.send_data(data, flags=IS_BUNDLE)

    def send_large(self, path: bytes, size: int, *, id: int = 1, stream: int = 0, **fields) -> None:
        self.send_entries(encode_entry(kind=LARGE, id=id, path=path, size=size, **fields), stream=stream)

    def send_large_end(self, path: bytes, size: int, *, id: int = 1, stream: int = 0, **fields) -> None:
        self.send_entries(encode_entry(kind=LARGE_END, id=id, path=path, size=size, **fields), stream=stream)

    def send_end(self, n_bytes: int | None = None, n_entries: int | None = None, *, stream: int = 0) -> None:
        body = encode_end(
            self.n_bytes[stream] if n_bytes is None else n_bytes,
            self.n_entries[stream] if n_entries is None else n_entries,
        )
        self.send_meta(END, 1, body, stream=stream)

    def receive_results(self, n: int, stream: int = 0) -> list[tuple[int, int, int, int, bytes]]:
        """The next *n* results of a stream: (id, code, flags, errno, digest) each."""
        have = self._results[stream]
        while len(have) < n:
            is_data, payload = self.receive_frame(stream)
            if not is_data and payload[0] == TAKEN:  # it may come at any time
                continue
            assert not is_data and payload[0] == RESULTS, payload[:8]
            have += [decode_result(payload[i : i + 32]) for i in range(8, len(payload), 32)]
        self._results[stream] = have[n:]
        return have[:n]

    def finish(self) -> None:
        """End every stream and see the plane finish well."""
        for stream in range(len(self.pairs)):
            self.send_end(stream=stream)
        self.wait(FINISHED)


class Receiver(Peer):
    """A receiver in Python against a real SendPlane, which is started and has its sources."""

    is_sender = False

    def __init__(
        self,
        *sources: tuple[bytes, bytes],
        n_streams=1,
        block_bytes=BLOCK,
        buffer_bytes=0,
        connection=0,
        tells_absent=False,
        hears_begun=False,
        judges_nodes=False,
        partial_min=0,
        resumes=False,
        record=None,
        **options,
    ):
        options = {"is_recursive": True, **options}
        super().__init__(
            send_plane(n_streams=n_streams, block_bytes=block_bytes, **options),
            n_streams,
            block_bytes,
            buffer_bytes,
            connection,
        )
        if hears_begun:
            self.plane.tell_begun()
        if judges_nodes:
            self.plane.ask_nodes()
        self.plane.keep_parts(partial_min, resumes)
        if record is not None:
            self.plane.keep_record(7, record)
        self.plane.start()
        for source, name in sources:
            assert self.plane.add_source(source, name, tells_absent=tells_absent)
        self.plane.end_sources()

    def receive_entries(self, stream: int = 0) -> list[dict]:
        """Those of the plane's next frame, none when it is another one."""
        is_data, payload = self.receive_frame(stream)
        if is_data or payload[0] != ENTRIES:
            return []
        return decode_entries(unpack(payload))

    def send_results(self, *results: bytes, stream: int = 0) -> None:
        self.send_meta(RESULTS, len(results), b"".join(results), stream=stream)

    def send_result(self, id: int, *, stream: int = 0, **fields) -> None:
        self.send_results(encode_result(id, **fields), stream=stream)

    def send_end(self, *, stream: int = 0) -> None:
        self.send_meta(END, 1, encode_end(0, 0), stream=stream)

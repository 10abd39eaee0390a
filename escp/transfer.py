"""Data sockets and planes: opens and proves the streams, starts, watches and joins the native threads.

The only module above `_fast` that touches a data socket. Nothing here waits: both ends of it are driven by
the event loop of `agent` or `initiator`.
"""

import os
import resource
import socket
import struct
from collections.abc import Callable

from escp._fast import aead, plane
from escp._fast.channel import Channel, forbid_dumps
from escp._fast.errors import FastError
from escp._fast.wire import decode_hello, encode_hello
from escp.constants import HELLO_TIMEOUT_S, MAX_STREAMS, MAX_UNPROVEN, PROTOCOL_MAJOR
from escp.errors import NetworkError, UsageError, describe_errno

PREAMBLE = struct.Struct(">4sBBHII")  # docs/protocol.md 4.5: magic, major, zero, stream, connection, zero
MAGIC = b"ESCP"
HELLO_FRAME_BYTES = 8 + 16 + 16
BACKLOG = 2 * MAX_STREAMS
USER_TIMEOUT_MS = 120_000  # unacknowledged data for so long: the network is gone. Storage may stall for long, too
OPEN_FILES = 16384
SO_MAX_PACING_RATE = 47


def prepare_process() -> None:
    """Before the first secret: no core dumps. And room for the files that are open at the same time."""
    forbid_dumps()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def choose_aead() -> str:
    """The AEAD backend of this end; raises UsageError when $ESCP_AEAD names one that is not here."""
    try:
        return str(aead.choose_backend())
    except ValueError as e:
        raise UsageError(str(e), "leave ESCP_AEAD unset to let escp choose") from e


def describe_build() -> dict[str, str]:
    """What the native modules were built from and with."""
    from escp._fast import _build_info as info

    return {
        "AEAD backends here": ", ".join(aead.available_backends()),
        "libraries": ", ".join(f"{name} {version}" for name, version in info.LIBRARIES.items()),
        "compiler": info.COMPILER,
        "build": info.BUILD,
    }


def count_walkers() -> int:
    return max(2, min(8, 2 * len(os.sched_getaffinity(0))))


def _tune(sock: socket.socket, limit_bytes_per_s: int | None = None) -> None:
    """Socket buffers are left to the kernel: setting them turns its autotuning off."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    if limit_bytes_per_s is not None:
        sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("@Q", limit_bytes_per_s))


class Streams:
    """What both ends of a session's streams agree on, and the proven ones."""

    def __init__(self, secret: bytes, *, n_streams: int, block_bytes: int, is_sender: bool, backend: str,
                 limit_bytes_per_s: int | None = None):  # fmt: skip
        self.n_streams = n_streams
        self.block_bytes = block_bytes
        self.proven: dict[int, tuple[socket.socket, Channel]] = {}
        self._secret = secret
        self._is_sender = is_sender
        self._backend = backend
        self._limit_bytes_per_s = None if limit_bytes_per_s is None else max(1, limit_bytes_per_s // n_streams)

    @property
    def is_complete(self) -> bool:
        return len(self.proven) == self.n_streams

    def make_channel(self, stream: int) -> Channel:
        return Channel(self._secret, stream, is_sender=self._is_sender, block_bytes=self.block_bytes,
                       backend=self._backend)  # fmt: skip

    def hello(self, channel: Channel) -> bytes:
        return bytes(channel.seal(False, encode_hello(self.n_streams, self.block_bytes)))

    def check_hello(self, channel: Channel, frame: bytes) -> bool:
        """Whether *frame* proves the key and agrees with this end."""
        try:
            is_data, payload = channel.open(frame)
            return not is_data and decode_hello(payload) == (self.n_streams, self.block_bytes)
        except FastError:
            return False

    def adopt(self, stream: int, sock: socket.socket, channel: Channel) -> None:
        sock.setblocking(True)
        _tune(sock, self._limit_bytes_per_s)
        self.proven[stream] = (sock, channel)

    def attach_to(self, one_plane: "plane.SendPlane | plane.ReceivePlane") -> None:
        """Hand all streams to a plane; the secret is not needed any more here."""
        for sock, channel in self.proven.values():
            one_plane.attach(sock.fileno(), channel)
        self._secret = b""

    def close(self) -> None:
        for sock, _ in self.proven.values():
            sock.close()
        self.proven.clear()


# ---- The listening end ------------------------------------------------------------------------------


def listen(address: str, first_port: int, n_ports: int) -> socket.socket:
    """A listener on the first free port of the range; raises NetworkError when there is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    reason = ""
    for port in range(first_port, first_port + n_ports):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Only this lets a port be used again while old connections to it are still in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            sock.listen(BACKLOG)
            sock.setblocking(False)
            return sock
        except OSError as e:
            sock.close()
            reason = describe_errno(e.errno or 0)
    last_port = first_port + n_ports - 1
    raise NetworkError(
        f"no free port in {first_port}-{last_port} on {address} ({reason})",
        "wait for other transfers to end, or give another range with --escp_port and --escp_portrange",
    )


class Acceptor:
    """Accepts connections until every stream has proven its key; strangers are dropped without harm.

    *watch(fd, callback)* and *unwatch(fd)* register with the caller's event loop.
    """

    def __init__(self, listener: socket.socket, streams: Streams, watch: Callable, unwatch: Callable, now: float):
        self._listener = listener
        self._streams = streams
        self._watch, self._unwatch = watch, unwatch
        self._unproven: dict[socket.socket, tuple[float, bytearray]] = {}  # in the order they came
        watch(listener.fileno(), self._accept)
        self._now = now

    def tick(self, now: float) -> None:
        """Drop connections that have not proven the key in time."""
        self._now = now
        for sock in [s for s, (since, _) in self._unproven.items() if now - since > HELLO_TIMEOUT_S]:
            self._drop(sock)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # gone again before it was accepted
        if len(self._unproven) >= MAX_UNPROVEN:  # the oldest: a true stream proves itself at once
            self._drop(next(iter(self._unproven)))
        sock.setblocking(False)
        self._unproven[sock] = (self._now, bytearray())
        self._watch(sock.fileno(), lambda: self._read(sock))

    def _drop(self, sock: socket.socket) -> None:
        del self._unproven[sock]
        self._unwatch(sock.fileno())
        sock.close()

    def _read(self, sock: socket.socket) -> None:
        got = self._unproven[sock][1]
        try:
            data = sock.recv(PREAMBLE.size + HELLO_FRAME_BYTES - len(got))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        got += data
        if not data or not (MAGIC.startswith(got[:4]) or got.startswith(MAGIC)):
            self._drop(sock)
        elif len(got) == PREAMBLE.size + HELLO_FRAME_BYTES:
            self._prove(sock, bytes(got))

    def _prove(self, sock: socket.socket, got: bytes) -> None:
        streams = self._streams
        _, major, zero, stream, connection, zero2 = PREAMBLE.unpack_from(got)
        if (major, zero, connection, zero2) == (PROTOCOL_MAJOR, 0, 0, 0) and stream < streams.n_streams \
                and stream not in streams.proven:  # fmt: skip
            channel = streams.make_channel(stream)
            if streams.check_hello(channel, got[PREAMBLE.size :]):
                try:
                    sock.send(streams.hello(channel))
                except OSError:
                    return self._drop(sock)
                del self._unproven[sock]
                self._unwatch(sock.fileno())
                return streams.adopt(stream, sock, channel)
        return self._drop(sock)

    def close(self) -> None:
        """Stop listening; drop what has not proven itself."""
        for sock in list(self._unproven):
            self._drop(sock)
        if self._listener.fileno() >= 0:
            self._unwatch(self._listener.fileno())
            self._listener.close()


# ---- The connecting end -----------------------------------------------------------------------------


class Connector:
    """Connects all streams to the first address that lets them in, and proves the key on each.

    A connection that is refused, closed or silent is tried again at the next address, then the first one
    again, until the caller's deadline.
    """

    RETRY_S = 0.25
    ATTEMPT_S = 2.0

    def __init__(self, addresses: list[tuple[str, int]], streams: Streams, watch: Callable, unwatch: Callable, now: float):
        self._addresses = addresses
        self._streams = streams
        self._watch, self._unwatch = watch, unwatch
        self._attempts: dict[int, tuple[socket.socket, float, int]] = {}
        self._retries: dict[int, tuple[float, int]] = {i: (now, 0) for i in range(streams.n_streams)}
        self._received: dict[int, bytearray] = {}
        self.reason = "no answer"
        self.tick(now)

    @property
    def next_tick_s(self) -> float:
        """When `tick` has something to do, on the caller's clock; infinity when nothing is planned."""
        times = [t for t, _ in self._retries.values()]
        times += [since + self.ATTEMPT_S for _, since, _ in self._attempts.values()]
        return min(times, default=float("inf"))

    def add_addresses(self, addresses: list[tuple[str, int]]) -> None:
        self._addresses += [address for address in addresses if address not in self._addresses]

    def tick(self, now: float) -> None:
        """Start what is due and give up attempts that take too long."""
        self._now = now
        for stream, (_, since, at) in list(self._attempts.items()):
            if now - since >= self.ATTEMPT_S and len(self._addresses) > 1:
                self._failed(stream, at, "no answer")
        for stream, (when, at) in list(self._retries.items()):
            if when <= now:
                del self._retries[stream]
                self._connect(stream, at)

    def _connect(self, stream: int, at: int) -> None:
        address = self._addresses[at % len(self._addresses)]
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        self._attempts[stream] = (sock, self._now, at)
        try:
            sock.connect(address)
        except BlockingIOError:
            pass
        except OSError as e:
            return self._failed(stream, at, describe_errno(e.errno or 0), is_watched=False)
        self._watch(sock.fileno(), lambda: self._connected(stream), for_writing=True)

    def _failed(self, stream: int, at: int, reason: str, *, is_watched: bool = True) -> None:
        sock, _, _ = self._attempts.pop(stream)
        self.reason = reason
        if is_watched:
            self._unwatch(sock.fileno())
        sock.close()
        self._retries[stream] = (self._now + self.RETRY_S, at + 1)

    def _connected(self, stream: int) -> None:
        sock, since, at = self._attempts[stream]
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            return self._failed(stream, at, describe_errno(number))
        channel = self._streams.make_channel(stream)
        preamble = PREAMBLE.pack(MAGIC, PROTOCOL_MAJOR, 0, stream, 0, 0)
        try:
            sock.send(preamble + self._streams.hello(channel))
        except OSError as e:
            return self._failed(stream, at, describe_errno(e.errno or 0))
        self._received[stream] = bytearray()
        self._unwatch(sock.fileno())
        self._watch(sock.fileno(), lambda: self._answered(stream, channel))

    def _answered(self, stream: int, channel: Channel) -> None:
        sock, _, at = self._attempts[stream]
        try:
            data = sock.recv(HELLO_FRAME_BYTES - len(self._received[stream]))
        except BlockingIOError:
            return
        except OSError as e:
            return self._failed(stream, at, describe_errno(e.errno or 0))
        got = self._received[stream]
        got += data
        if not data:
            return self._failed(stream, at, "the connection was closed")
        if len(got) < HELLO_FRAME_BYTES:
            return
        if not self._streams.check_hello(channel, bytes(got)):
            return self._failed(stream, at, "something else than this session's escp answered")
        del self._attempts[stream]
        self._unwatch(sock.fileno())
        self._streams.adopt(stream, sock, channel)

    def close(self) -> None:
        for sock, _, _ in self._attempts.values():
            self._unwatch(sock.fileno())
            sock.close()
        self._attempts.clear()
        self._retries.clear()


# ---- Planes -----------------------------------------------------------------------------------------

FILE_FAILED, FATAL, FINISHED, ROOM = plane.FILE_FAILED, plane.FATAL, plane.FINISHED, plane.ROOM
SendPlane, ReceivePlane = plane.SendPlane, plane.ReceivePlane

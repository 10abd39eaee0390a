"""Data sockets and planes: opens and proves the streams, starts, watches and joins the native threads.

With `listener`, `connector`, `relay` and `tunnel` the only modules above `_fast` that touch a data socket.
Nothing in them waits: the event loop of `agent` or `job` drives them.
"""

import gc
import os
import resource
import struct

from escp._fast.crypto.channel import Channel, forbid_dumps
from escp._fast.errors import FastError
from escp._fast.files.filter import find_excluded
from escp._fast.planes.plane import (
    FATAL,
    FILE_FAILED,
    FINISHED,
    LISTED,
    ROOM,
    ReceivePlane,
    SendPlane,
    link_local,
)
from escp._fast.wire.payloads import decode_hello, encode_hello
from escp.lean import sockets

PREAMBLE = struct.Struct(">4sBBHII")  # docs/protocol.md 4.5: magic, major, zero, stream, connection, zero
MAGIC = b"ESCP"
HELLO_FRAME_BYTES = 8 + 16 + 16
USER_TIMEOUT_MS = (
    120_000  # unacknowledged data for so long: the network is gone. Storage may stall for long, too
)
OPEN_FILES = 16384
SO_MAX_PACING_RATE = 47
UNSENT_BYTES = 131072  # of a stream whose rate is limited


__all__ = [
    "FATAL",
    "FILE_FAILED",
    "FINISHED",
    "LISTED",
    "ROOM",
    "Channel",
    "ReceivePlane",
    "SendPlane",
    "Streams",
    "find_excluded",
    "link_local",
]


def prepare_process() -> None:
    """Before the first secret: no core dumps. And room for the files that are open at the same time."""
    gc.freeze()  # what is loaded by now stays; see __main__
    gc.enable()
    forbid_dumps()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def is_address(text: str) -> bool:
    """Whether *text* is an IPv4 or IPv6 address, and not a name."""
    try:
        sockets.inet_pton(sockets.AF_INET6 if ":" in text else sockets.AF_INET, text.partition("%")[0])
        socket_address(text, 0)  # the scope: a peer's may be anything
    except (OSError, ValueError):
        return False
    return True


def socket_address(host: str, port: int) -> tuple[object, ...]:
    """What connect and bind take for a numeric address, which may have an IPv6 scope (fe80::1%eth0)."""
    return find_addresses(host, port, flags=sockets.AI_NUMERICHOST)[0]


def find_addresses(host: str, port: int | None, family: int = 0, flags: int = 0) -> list[tuple[object, ...]]:
    """The socket addresses of a host for TCP. Raises OSError, or UnicodeError for what can't be a name.

    A name in bytes saves Python 3 ms of importing IDNA.
    """
    name = host.encode() if host.isascii() else host
    return [info[4] for info in sockets.getaddrinfo(name, port, family, sockets.SOCK_STREAM, flags=flags)]


def count_walkers() -> int:
    return max(2, min(8, 2 * len(os.sched_getaffinity(0))))


def tune(sock: sockets.Socket, limit_bytes_per_s: int | None = None) -> None:
    """Socket buffers are left to the kernel: setting them turns its autotuning off."""
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPIDLE, 10)
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPINTVL, 5)
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPCNT, 6)
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    if limit_bytes_per_s is not None:
        sock.setsockopt(sockets.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("@Q", limit_bytes_per_s))
        # Or the first streams' buffers take in all there is, and then drain at their own small rate.
        sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


class Streams:
    """What both ends of a session's streams agree on, and the proven ones."""

    def __init__(self, secret: bytes, *, n_streams: int, block_bytes: int, is_sender: bool, backend: str,
                 limit_bytes_per_s: int | None = None):  # fmt: skip
        self.n_streams = n_streams
        self.block_bytes = block_bytes
        self.is_sender = is_sender
        self.backend = backend
        self.proven: dict[int, tuple[sockets.Socket, Channel]] = {}
        self._secret = secret
        self._limit_bytes_per_s = (
            None if limit_bytes_per_s is None else max(1, limit_bytes_per_s // n_streams)
        )

    @property
    def is_complete(self) -> bool:
        return len(self.proven) == self.n_streams

    def make_channel(self, stream: int) -> Channel:
        return Channel(self._secret, stream, is_sender=self.is_sender, block_bytes=self.block_bytes,
                       backend=self.backend)  # fmt: skip

    def hello(self, channel: Channel) -> bytes:
        return bytes(channel.seal(False, encode_hello(self.n_streams, self.block_bytes)))

    def check_hello(self, channel: Channel, frame: bytes) -> bool:
        """Whether *frame* proves the key and agrees with this end."""
        try:
            is_data, payload = channel.open(frame)
            return not is_data and decode_hello(payload) == (self.n_streams, self.block_bytes)
        except FastError:
            return False

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel) -> None:
        sock.setblocking(True)
        if sock.family != sockets.AF_UNIX:  # of a tunnel
            tune(sock, self._limit_bytes_per_s)
        self.proven[stream] = (sock, channel)

    def attach_to(self, one_plane: SendPlane | ReceivePlane) -> None:
        """Hand all streams to a plane; the secret is not needed any more here."""
        for sock, channel in self.proven.values():
            one_plane.attach(sock.fileno(), channel)
        self.forget()

    def forget(self) -> None:
        """No further stream will have to be proven."""
        self._secret = b""

    def close(self) -> None:
        for sock, _ in self.proven.values():
            sock.close()
        self.proven.clear()

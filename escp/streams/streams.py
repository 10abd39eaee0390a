"""The streams of a session: what both ends agree on, their sockets, and which of these have proven the key.

With `listener`, `connector`, `relay` and `tunnel` the only modules above `_fast` that touch a data socket.
Nothing in them waits: the event loop of `agent` or `job` drives them.
"""

import struct
import sys

from escp._fast.crypto.channel import Channel
from escp._fast.errors import FastError
from escp._fast.wire.payloads import decode_hello, encode_hello
from escp.errors import NetworkError
from escp.lean import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from escp._fast.planes.receive_plane import ReceivePlane
    from escp._fast.planes.send_plane import SendPlane

    class Opener(Protocol):
        """What gets the streams' sockets, and proves them: a listener's `Acceptor`, or a `Connector`."""

        reason: str  # why not all are there yet

        @property
        def is_let_in(self) -> bool: ...
        @property
        def next_tick_s(self) -> float: ...
        def tick(self, now: float) -> None: ...
        def close(self) -> None: ...


PREAMBLE = struct.Struct(">4sBBHII")  # docs/protocol.md 4.5: magic, major, zero, stream, connection, zero
MAGIC = b"ESCP"
# <linux/tcp.h>: tcpi_state, tcpi_retransmits, tcpi_probes; tcpi_last_data_sent, _data_recv, _ack_recv (ms)
_TCP_INFO = struct.Struct("=BxBB40xI4xII")
_TCP_COUNTS = struct.Struct("=120xQQ")  # tcpi_bytes_acked, tcpi_bytes_received
_ESTABLISHED = 1  # <netinet/tcp.h>
HELLO_FRAME_BYTES = 8 + 16 + 16
LOST_S = 120.0  # nothing acknowledged for so long: the network is gone
LOOK_S = 5.0  # between two looks for that
# The same where a stream may reconnect: a connection that is silent for so long is given up for another one.
SILENT_S = 7.0
SILENT_LOOK_S = 1.0
# Sound to this host's system, and nothing comes: it may be swallowed on the way, and so may what this side
# says of it. Ends that wait say something every 5 or 7 s (`IDLE_S` and `SAY_S` of the native code).
MUTE_S = 20.0
FIRST_WORDS_S = 8.0  # the same of one that has brought its hello only: the answer may never have arrived
SO_MAX_PACING_RATE = 47
_FIONREAD, _TIOCOUTQ = 0x541B, 0x5411  # <asm-generic/ioctls.h>
UNSENT_BYTES = 131072  # of a stream whose rate is limited
# The kernel paces no connection's first ten segments, which on the loopback have 64 KiB each. So a segment is
# a hundredth of a second's at most, and these are a tenth's; where the path's are smaller nothing changes.
SEGMENTS_PER_S = 100
LEAST_SEGMENT_BYTES, MOST_SEGMENT_BYTES = 536, 32767  # the latter is the kernel's


def tune(sock: sockets.Socket, limit_bytes_per_s: int | None = None, *, may_reconnect: bool = False) -> None:
    """Socket buffers are left to the kernel: setting them turns its autotuning off."""
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
    sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
    # No TCP_USER_TIMEOUT: it also ends connections whose other host acknowledges all, while its process reads
    # nothing because it is stopped or its disk stands still. `is_lost` tells the two apart.
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPIDLE, 4 if may_reconnect else 10)
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPINTVL, 2 if may_reconnect else 10)
    sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPCNT, 11)
    if limit_bytes_per_s is not None:
        sock.setsockopt(sockets.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("@Q", limit_bytes_per_s))
        # Otherwise the first streams' buffers take in everything, and then drain at their own small rate.
        sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def is_lost(sock: sockets.Socket, limit_s: float | None = None) -> bool:
    """Whether something is sent again and again, and nothing has been acknowledged for long."""
    try:
        _, n_retries, n_probes, _, _, acked_ms = _look_at(sock)
    except (OSError, struct.error):
        return False
    return bool(max(n_retries, n_probes) >= 2 and acked_ms >= 1000 * (limit_s or LOST_S))


def _look_at(sock: sockets.Socket) -> tuple[int, ...]:
    """As `_TCP_INFO`; raises OSError, or struct.error where the kernel says less."""
    return _TCP_INFO.unpack(sock.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _TCP_INFO.size))


def _count_queued(sock: sockets.Socket, which: int) -> int:
    import fcntl  # not at the top: only who stands still wants it

    return int.from_bytes(fcntl.ioctl(sock.fileno(), which, bytes(4)), sys.byteorder)


def shut(sock: sockets.Socket) -> None:
    try:
        sock.shutdown(sockets.SHUT_RDWR)
    except OSError:
        return  # it is gone already


class Streams:
    """What both ends of a session's streams agree on, and the proven ones."""

    def __init__(self, secret: bytes, *, n_streams: int, block_bytes: int, is_sender: bool, backend: str,
                 limit_bytes_per_s: int | None = None, may_reconnect: bool = False):  # fmt: skip
        """*may_reconnect*: a stream may have more than one connection, if the peer knows that, too."""
        self.n_streams = n_streams
        self.block_bytes = block_bytes
        self.is_sender = is_sender
        self.backend = backend
        self.proven: dict[int, tuple[sockets.Socket, Channel]] = {}
        self.may_reconnect = may_reconnect
        self.cut: set[int] = set()  # proven once, and waiting for another connection
        self.silenced: set[int] = set()  # shut here, because nothing was acknowledged any more
        self.doubted: set[int] = set()  # nothing comes: another connection is tried beside this one
        self._first_looks: dict[int, tuple[sockets.Socket, float]] = {}
        self._plane: SendPlane | ReceivePlane | None = None
        # Of each stream the number of the connection that was proven, and of the last one tried from here.
        self._numbers: dict[int, int] = {}
        self._tried: dict[int, int] = {}
        self._look_s = 0.0
        self._secret = secret
        self._limit_bytes_per_s = (
            None if limit_bytes_per_s is None else max(1, limit_bytes_per_s // n_streams)
        )

    @property
    def is_complete(self) -> bool:
        return len(self.proven) == self.n_streams and not self.cut

    @property
    def is_settled(self) -> bool:
        """Whether no other connection is wanted."""
        return self.is_complete and not self.doubted

    def number(self, stream: int) -> int:
        """Of the stream's last connection that was proven."""
        return self._numbers.get(stream, 0)

    def make_channel(self, stream: int, connection: int = 0) -> Channel:
        """Raises ValueError when the stream has had too many connections."""
        if stream in self.proven:
            return self.proven[stream][1].again(connection)
        return Channel(self._secret, stream, is_sender=self.is_sender, block_bytes=self.block_bytes,
                       backend=self.backend, connection=connection)  # fmt: skip

    def next_connection(self, stream: int) -> int:
        """The number of the connection to try now: no two have the same, so no key is used twice."""
        if self.may_reconnect:
            self._tried[stream] = self._tried.get(stream, -1) + 1
        return self._tried.get(stream, 0)

    def is_next(self, stream: int, connection: int) -> bool:
        """Whether a connection of that number would be a new one. Of several the last one counts."""
        if self.may_reconnect:
            return connection > self._numbers.get(stream, -1)
        return connection == 0 and stream not in self.proven

    def prepare(self, sock: sockets.Socket) -> None:
        """One that is to connect, or listens for what connects."""
        if self._limit_bytes_per_s is not None:
            most = max(LEAST_SEGMENT_BYTES, self._limit_bytes_per_s // SEGMENTS_PER_S)
            if most <= MOST_SEGMENT_BYTES:
                sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_MAXSEG, most)

    def hello(self, channel: Channel) -> bytes:
        return bytes(channel.seal(False, encode_hello(self.n_streams, self.block_bytes)))

    def check_hello(self, channel: Channel, frame: bytes) -> bool:
        """Whether *frame* proves the key and agrees with this end."""
        try:
            is_data, payload = channel.open(frame)
            return not is_data and decode_hello(payload) == (self.n_streams, self.block_bytes)
        except FastError:
            return False

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel, connection: int = 0) -> None:
        """Take the socket: the peer has proven itself on it."""
        sock.setblocking(True)
        if sock.family != sockets.AF_UNIX:  # of a tunnel
            tune(sock, self._limit_bytes_per_s, may_reconnect=self.may_reconnect)
        old = self.proven.get(stream)
        self.proven[stream] = (sock, channel)
        self._numbers[stream] = self._tried[stream] = connection
        self.silenced.discard(stream)
        if self._plane is not None:
            self._plane.attach(sock.fileno(), channel)
        if old is not None:
            old[0].close()

    def attach_to(self, one_plane: "SendPlane | ReceivePlane") -> None:
        """Hand all streams to a plane; the secret is not needed any more here: their channels have it."""
        for sock, channel in self.proven.values():
            one_plane.attach(sock.fileno(), channel)
        if self.may_reconnect:
            self._plane = one_plane
        self.forget()

    @property
    def is_tunnel(self) -> bool:
        """Whether the streams go through ssh: then there is no other connection for them."""
        return any(sock.family == sockets.AF_UNIX for sock, _ in self.proven.values())

    def forget(self) -> None:
        """Forget the secret: no further stream has to be proven."""
        self._secret = b""

    def check(self, now: float) -> None:
        """Raises NetworkError if the other host is gone: it acknowledges nothing. *now*: the loop's clock."""
        if now < self._look_s:
            return
        self._look_s = now + (SILENT_LOOK_S if self.may_reconnect else LOOK_S)
        for stream, (sock, _) in self.proven.items():
            if sock.family == sockets.AF_UNIX:
                continue
            if self.may_reconnect:
                if is_lost(sock, SILENT_S):
                    self.silenced.add(stream)
                    shut(sock)  # the plane sees its end, and waits for the next one
            elif is_lost(sock):
                raise NetworkError(
                    f"{sockets.show_address(sock.getpeername())} has acknowledged nothing on data stream "
                    f"{stream + 1} for {LOST_S:.0f} s",
                    "check the network between the hosts, and run the copy again",
                )

    def doubt(self, now: float) -> None:
        """Find out over which connections nothing comes any more, of those that seem to be sound."""
        self.doubted = {
            stream for stream in self.proven if stream not in self.cut and self._is_mute(stream, now)
        }

    def find_mute(self, now: float) -> dict[int, tuple[int, int, int]]:
        """Of each stream to which nothing comes any more: its connection's number, bytes that came, bytes
        of this end's that were acknowledged. Without those for which the kernel does not count.

        Also of one that has not had more than the hello of a further connection: another may soon follow it.
        """
        found = {}
        for stream in self.proven.keys() - self.cut:
            if self._is_mute(stream, now, is_new_told=True):
                sock = self.proven[stream][0]
                try:
                    counts = sock.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _TCP_COUNTS.size)
                    n_acked, n_received = _TCP_COUNTS.unpack(counts)
                except (OSError, struct.error):
                    continue
                found[stream] = self.number(stream), n_received, n_acked
        return found

    def _is_mute(self, stream: int, now: float, *, is_new_told: bool = False) -> bool:
        sock, _ = self.proven[stream]
        known, since_s = self._first_looks.get(stream, (None, now))
        if known is not sock:
            self._first_looks[stream] = sock, (since_s := now)
        try:
            silent_s = _look_at(sock)[4] / 1000
            is_first = silent_s >= now - since_s
            limit_s = FIRST_WORDS_S if is_first else MUTE_S
            if is_first and is_new_told and self.number(stream):
                limit_s = 0.0
            return silent_s >= limit_s and not _count_queued(sock, _FIONREAD)
        except (OSError, struct.error):
            return False

    def is_abandoned(self, since_s: float) -> bool:
        """Whether nothing has moved over any of them for *since_s* seconds, though the other host answers.

        Of those that it has closed nothing more is asked. A peer that waits for a disk looks the same.
        """
        for stream, (sock, _) in self.proven.items():
            try:
                state, _, _, sent_ms, received_ms, acked_ms = _look_at(sock)
            except (OSError, struct.error):
                return False
            if stream in self.silenced or (
                state == _ESTABLISHED and not acked_ms < 1000 * since_s <= min(sent_ms, received_ms)
            ):
                return False
        return True

    @property
    def is_taken(self) -> bool:
        """Whether the other host's system has all that was sent, over every stream."""
        return not self._has_queued(_TIOCOUTQ)

    @property
    def is_unread(self) -> bool:
        """Whether something has come that nobody has read here."""
        return self._has_queued(_FIONREAD)

    def _has_queued(self, which: int) -> bool:
        for sock, _ in self.proven.values():
            try:
                if _count_queued(sock, which):
                    return True
            except (OSError, ValueError):
                continue  # closed meanwhile
        return False

    def close(self) -> None:
        self._plane = None
        for sock, _ in self.proven.values():
            sock.close()
        self.proven.clear()

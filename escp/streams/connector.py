"""The connecting end of the data streams: reaches the listener and proves the key on every stream."""

from collections.abc import Callable, Iterable

from escp._fast.crypto.channel import Channel
from escp.constants import PROTOCOL_MAJOR
from escp.errors import describe_errno
from escp.lean import sockets
from escp.lean.eventloop import Watch
from escp.streams.addresses import socket_address
from escp.streams.streams import HELLO_FRAME_BYTES, MAGIC, PREAMBLE, Streams

_IP_BIND_ADDRESS_NO_PORT = 24  # the port is chosen by connect, or many streams use up the ports


class Connector:
    """Connects all streams to the first address that lets them in, and proves the key on each.

    A connection that is refused, closed or silent is tried again at the next address, then the first one
    again, until the caller's deadline. Where a stream may have several connections, one that was let in and
    gets no answer is given up for another: the answer may be swallowed.
    *bind_address*: of this host, where not the system's choice. *wanted*: streams; None: all.
    """

    is_port = is_closed = False
    RETRY_S = 0.25
    DOUBT_RETRY_S = 2.0  # where the old connection may be sound: for hours, if a disk stands still
    ATTEMPT_S = 2.0
    ANSWER_S = 4.0

    def __init__(
        self,
        addresses: list[tuple[str, int]],
        streams: Streams,
        watch: Watch,
        unwatch: Callable[[int], None],
        now: float,
        bind_address: str | None = None,
        wanted: Iterable[int] | None = None,
    ):
        self._addresses = addresses
        self._bind_address = bind_address
        self._streams = streams
        self._watch, self._unwatch = watch, unwatch
        self._attempts: dict[int, tuple[sockets.Socket, float, int]] = {}
        wanted = range(streams.n_streams) if wanted is None else wanted
        self._retries: dict[int, tuple[float, int]] = dict.fromkeys(wanted, (now, 0))
        self._received: dict[int, bytearray] = {}
        self.is_let_in = False  # a connection stood, whatever came of it
        self.reason = "no answer"
        self.reached = ""  # the address that let a stream in last
        self._now = now
        if addresses:
            self.tick(now)

    def take(self, sockets: list[sockets.Socket]) -> None:
        """Connected sockets, one for each stream, instead of addresses."""
        for stream, sock in enumerate(sockets):
            sock.setblocking(False)
            self._retries.pop(stream, None)
            self._attempts[stream] = (sock, self._now, 0)
            self._watch(sock.fileno(), lambda stream=stream: self._connected(stream), for_writing=True)  # type: ignore[misc]

    @property
    def next_tick_s(self) -> float:
        """When `tick` has something to do, on the caller's clock; infinity when nothing is planned."""
        times = [t for t, _ in self._retries.values()]
        times += [since + self._patience_s(stream) for stream, (_, since, _) in self._attempts.items()]
        return min(times, default=float("inf"))

    def _patience_s(self, stream: int) -> float:
        """How long to wait for this attempt."""
        if self._may_be_elsewhere:
            return self.ATTEMPT_S
        may_be_lost = self._streams.may_reconnect and stream in self._received and self._addresses
        return self.ANSWER_S if may_be_lost else float("inf")

    @property
    def _may_be_elsewhere(self) -> bool:
        """Whether an attempt without an answer is given up for one at another address, or after an outage."""
        return len(self._addresses) > 1 or bool(self._streams.cut or self._streams.doubted)

    def want(self, stream: int, now: float) -> None:
        """One more connection."""
        if stream not in self._attempts:
            self._retries.setdefault(stream, (now, 0))

    def add_addresses(self, addresses: list[tuple[str, int]]) -> None:
        self._addresses += [address for address in addresses if address not in self._addresses]

    def tick(self, now: float) -> None:
        """Start what is due and give up attempts that take too long."""
        self._now = now
        for stream, (_, since, at) in list(self._attempts.items()):
            if since + self._patience_s(stream) <= now:
                self._failed(stream, at, "no answer")
        for stream, (when, at) in list(self._retries.items()):
            if when <= now:
                del self._retries[stream]
                self._connect(stream, at)

    def _connect(self, stream: int, at: int) -> None:
        address = self._addresses[at % len(self._addresses)]
        sock = sockets.Socket(sockets.AF_INET6 if ":" in address[0] else sockets.AF_INET, sockets.SOCK_STREAM)
        sock.setblocking(False)
        self._streams.prepare(sock)
        self._attempts[stream] = (sock, self._now, at)
        try:
            if self._bind_address is not None:
                sock.setsockopt(sockets.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind(socket_address(self._bind_address, 0))
            sock.connect(socket_address(*address))
        except BlockingIOError:
            pass
        except OSError as e:
            return self._failed(stream, at, describe_errno(e.errno or 0), is_watched=False)
        self._watch(sock.fileno(), lambda: self._connected(stream), for_writing=True)

    def _failed(self, stream: int, at: int, reason: str, *, is_watched: bool = True) -> None:
        sock, _, _ = self._attempts.pop(stream)
        self._received.pop(stream, None)
        self.reason = reason
        if is_watched:
            self._unwatch(sock.fileno())
        sock.close()
        if self._addresses:
            is_doubt = stream in self._streams.doubted
            self._retries[stream] = (self._now + (self.DOUBT_RETRY_S if is_doubt else self.RETRY_S), at + 1)

    def _connected(self, stream: int) -> None:
        sock, _, at = self._attempts[stream]
        number = sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)
        if number:
            return self._failed(stream, at, describe_errno(number))
        self.is_let_in = True
        connection = self._streams.next_connection(stream)
        channel = self._streams.make_channel(stream, connection)
        preamble = PREAMBLE.pack(MAGIC, PROTOCOL_MAJOR, 0, stream, connection, 0)
        try:
            sock.send(preamble + self._streams.hello(channel))
        except OSError as e:
            return self._failed(stream, at, describe_errno(e.errno or 0))
        self._unwatch(sock.fileno())
        self._received[stream] = bytearray()
        self._watch(sock.fileno(), lambda: self._answered(stream, channel, connection))

    def _answered(self, stream: int, channel: Channel, connection: int) -> None:
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
        if self._addresses:
            self.reached = self._addresses[at % len(self._addresses)][0]
        self._streams.adopt(stream, sock, channel, connection)

    def close(self) -> None:
        for sock, _, _ in self._attempts.values():
            self._unwatch(sock.fileno())
            sock.close()
        self._attempts.clear()
        self._retries.clear()

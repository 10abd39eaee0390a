"""The listening end of the data streams: takes in the connections that prove the key, and no others."""

import os

from escp._fast.crypto.channel import Channel
from escp.constants import HELLO_TIMEOUT_S, MAX_STREAMS, MAX_UNPROVEN, MAX_UNPROVEN_AGAIN, PROTOCOL_MAJOR
from escp.errors import NetworkError, describe_errno
from escp.lean import sockets
from escp.lean.eventloop import Watch
from escp.process.shortages import explain_shortage
from escp.streams.addresses import socket_address
from escp.streams.streams import HELLO_FRAME_BYTES, MAGIC, PREAMBLE, Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NO_PORT_HINT = "wait for other transfers to end, or give another range with --escp_port and --escp_portrange"
BACKLOG = 2 * MAX_STREAMS
MAX_CONNECTIONS = 65536  # of one stream, docs/protocol.md 4.3
RETRY_S = 1.0  # before `relisten` is called again, where no port was free


def listen(address: str, first_port: int, n_ports: int) -> sockets.Socket:
    """A listener on the first free port of the range; raises NetworkError when there is none.

    *address* "" means all addresses of this host, IPv4 and IPv6.
    """
    family = (
        sockets.AF_INET6 if ":" in address or (not address and sockets.has_dual_stack()) else sockets.AF_INET
    )
    reason = ""
    for port in range(first_port, first_port + n_ports):
        sock = sockets.Socket(family, sockets.SOCK_STREAM)
        try:
            # Only this lets a port be used again while old connections to it are still in TIME_WAIT.
            sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            if not address and family == sockets.AF_INET6:
                sock.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 0)
            sock.bind(socket_address(address, port) if address else ("", port))
            sock.listen(BACKLOG)
            sock.setblocking(False)
            return sock
        except OSError as e:
            sock.close()
            reason = describe_errno(e.errno or 0)
    last_port = first_port + n_ports - 1
    raise NetworkError(
        f"no free port in {first_port}-{last_port} on {address or 'this host'} ({reason})",
        NO_PORT_HINT,
    )


def relisten(address: str, port: int, first_port: int, last_port: int) -> sockets.Socket:
    """As `listen`, on the port that the other side knows if it is free."""
    try:
        return listen(address, port, 1)
    except NetworkError:
        return listen(address, first_port, last_port - first_port + 1)


def _place_of(sock: sockets.Socket) -> bytes:
    """The place that a connection comes from: an IPv4 address, or the upper half of an IPv6 one."""
    try:
        name = sock.getpeername()
    except OSError:  # gone again
        return b""
    if sock.family != sockets.AF_INET6:
        return str(name[0]).encode() if name else b""
    address = sockets.inet_pton(sockets.AF_INET6, name[0].partition("%")[0])
    return address[:8] if any(address[:8]) else address  # the latter: IPv4, as this host's listener sees it


def _is_over(sock: sockets.Socket) -> bool:
    """Whether the other side has given it up, because this process was stopped, and will come again."""
    try:
        return not sock.recv(1, sockets.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


class Acceptor:
    """Accepts connections until every stream has proven its key; strangers are dropped without harm.

    *watch(fd, callback)* and *unwatch(fd)* register with the caller's event loop. Without a listener all
    connections come from `take`.

    If there are too many strangers, the oldest one goes of the place that has the most, if these are more
    than a session's streams. So a true stream whose hello is late, because a packet was lost, stays, however
    many come from elsewhere.

    *is_again*: the copy runs, with files open. So few strangers are let in, and what ran out, which may have
    been others' fault, closes the port and nothing else: `is_closed`.
    """

    is_port = True

    def __init__(
        self,
        listener: sockets.Socket | None,
        streams: Streams,
        watch: Watch,
        unwatch: "Callable[[int], None]",
        now: float,
        *,
        is_again: bool = False,
    ):
        self._listener = listener
        self._is_again = is_again
        self._streams = streams
        self._watch, self._unwatch = watch, unwatch
        # In the order they came: when, from where, what they have said.
        self._unproven: dict[sockets.Socket, tuple[float, bytes, bytearray]] = {}
        most = MAX_UNPROVEN_AGAIN if is_again else MAX_UNPROVEN
        self._max_unproven = min(most, os.sysconf("SC_OPEN_MAX") // 4)
        self._channels: dict[
            sockets.Socket, tuple[int, Channel, int]
        ] = {}  # of those whose preamble is right
        if listener is not None:
            streams.prepare(listener)
            watch(listener.fileno(), self._accept)
        self._now = now
        self.reason = "no connection arrived"
        self.next_tick_s = float("inf")  # nothing but strangers waits for a tick

    def tick(self, now: float) -> None:
        """Drop connections that have not proven the key in time."""
        self._now = now
        for sock in [s for s, (since, *_) in self._unproven.items() if now - since > HELLO_TIMEOUT_S]:
            self._drop(sock)

    def _accept(self) -> None:
        assert self._listener
        try:
            sock = sockets.accept(self._listener)
        except OSError as e:
            if explain_shortage(e) is None:
                return  # gone again before it was accepted
            if not self._unproven:
                if self._is_again:
                    return self.close()
                raise  # it would wait here for ever, and this process with it
            return self._drop_stranger()
        self.take(sock)
        if len(self._unproven) > self._max_unproven + self._n_missing:
            self._drop_stranger()

    @property
    def is_closed(self) -> bool:
        return self._listener is not None and self._listener.fileno() < 0

    @property
    def is_let_in(self) -> bool:
        """Whether a connection stands that has not proven itself yet."""
        return bool(self._unproven)

    @property
    def _n_missing(self) -> int:
        return self._streams.n_streams - len(self._streams.proven) + len(self._streams.cut)

    def want(self, stream: int, now: float) -> None:
        """One more connection: whichever comes is taken."""

    def take(self, sock: sockets.Socket) -> None:
        """A connected socket on which a stream may prove itself."""
        sock.setblocking(False)
        self._unproven[sock] = (self._now, _place_of(sock), bytearray())
        self._watch(sock.fileno(), lambda: self._read(sock))

    def _drop_stranger(self) -> None:
        counts: dict[bytes, int] = {}
        for _, place, _ in self._unproven.values():
            counts[place] = counts.get(place, 0) + 1
        crowd = max(counts, key=counts.__getitem__)
        is_crowded = counts[crowd] > self._n_missing
        at_fault = (s for s, (_, place, _) in self._unproven.items() if place == crowd or not is_crowded)
        self._drop(next(at_fault))

    def _drop(self, sock: sockets.Socket) -> None:
        self._forget(sock)
        sock.close()

    def _forget(self, sock: sockets.Socket) -> None:
        """Drop it from the unproven ones."""
        del self._unproven[sock]
        self._channels.pop(sock, None)
        self._unwatch(sock.fileno())

    def _read(self, sock: sockets.Socket) -> None:
        got = self._unproven[sock][2]
        whole = PREAMBLE.size + HELLO_FRAME_BYTES
        try:
            data = sock.recv((PREAMBLE.size if len(got) < PREAMBLE.size else whole) - len(got))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        got += data
        if not data or not (MAGIC.startswith(got[:4]) or got.startswith(MAGIC)):
            self._drop(sock)
        elif len(got) == PREAMBLE.size:
            self._take_preamble(sock, bytes(got))
        elif len(got) == whole:
            self._prove(sock, bytes(got[PREAMBLE.size :]))

    def _take_preamble(self, sock: sockets.Socket, preamble: bytes) -> None:
        """Whoever connected says which stream this is to be."""
        streams = self._streams
        _, major, zero, stream, connection, zero2 = PREAMBLE.unpack(preamble)
        is_right = (major, zero, zero2) == (PROTOCOL_MAJOR, 0, 0) and stream < streams.n_streams
        if not is_right or connection >= MAX_CONNECTIONS or not streams.is_next(stream, connection):
            return self._drop(sock)
        self._channels[sock] = stream, streams.make_channel(stream, connection), connection

    def _prove(self, sock: sockets.Socket, hello: bytes) -> None:
        streams = self._streams
        stream, channel, connection = self._channels[sock]
        if not streams.is_next(stream, connection) or not streams.check_hello(channel, hello):
            return self._drop(sock)
        if _is_over(sock):
            return self._drop(sock)
        try:
            sock.send(streams.hello(channel))
        except OSError:
            return self._drop(sock)
        self._forget(sock)
        streams.adopt(stream, sock, channel, connection)
        if streams.is_settled:
            self.close()

    def close(self) -> None:
        """Stop listening; drop what has not proven itself."""
        for sock in list(self._unproven):
            self._drop(sock)
        if self._listener is not None and self._listener.fileno() >= 0:
            self._unwatch(self._listener.fileno())
            self._listener.close()

"""The listening end of the data streams: takes in the connections that prove the key, and no others."""

from escp import sockets
from escp.constants import HELLO_TIMEOUT_S, MAX_STREAMS, MAX_UNPROVEN, PROTOCOL_MAJOR
from escp.errors import NetworkError, describe_errno, explain_limit
from escp.eventloop import Watch
from escp.transfer import HELLO_FRAME_BYTES, MAGIC, PREAMBLE, Channel, Streams, socket_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 2 * MAX_STREAMS


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
        "wait for other transfers to end, or give another range with --escp_port and --escp_portrange",
    )


def is_own_address(address: str) -> bool:
    """Whether this host has that address, so that a listener may be bound to it."""
    sock = sockets.Socket(sockets.AF_INET6 if ":" in address else sockets.AF_INET)
    try:
        sock.bind(socket_address(address, 0))
    except OSError:
        return False
    finally:
        sock.close()
    return True


class Acceptor:
    """Accepts connections until every stream has proven its key; strangers are dropped without harm.

    *watch(fd, callback)* and *unwatch(fd)* register with the caller's event loop. Without a listener all
    connections come from `take`.
    """

    def __init__(
        self,
        listener: sockets.Socket | None,
        streams: Streams,
        watch: Watch,
        unwatch: "Callable[[int], None]",
        now: float,
        arrived: "Callable[[int], None] | None" = None,
    ):
        """*arrived(stream)* hears of preambles, before anything is proven: a relay wants to know."""
        self._listener = listener
        self._arrived = arrived
        self._streams = streams
        self._watch, self._unwatch = watch, unwatch
        self._unproven: dict[sockets.Socket, tuple[float, bytearray]] = {}  # in the order they came
        self._channels: dict[sockets.Socket, tuple[int, Channel]] = {}  # of those whose preamble is right
        if listener is not None:
            watch(listener.fileno(), self._accept)
        self._now = now

    def tick(self, now: float) -> None:
        """Drop connections that have not proven the key in time."""
        self._now = now
        for sock in [s for s, (since, _) in self._unproven.items() if now - since > HELLO_TIMEOUT_S]:
            self._drop(sock)

    def _accept(self) -> None:
        assert self._listener
        try:
            sock = sockets.accept(self._listener)
        except OSError as e:
            if explain_limit(e) is None:
                return  # gone again before it was accepted
            if not self._unproven:
                raise  # it would wait here for ever, and this process with it
            return self._drop(next(iter(self._unproven)))
        n_missing = self._streams.n_streams - len(self._streams.proven)
        if len(self._unproven) >= MAX_UNPROVEN + n_missing:  # the oldest: a true stream proves itself at once
            self._drop(next(iter(self._unproven)))
        self.take(sock)

    def take(self, sock: sockets.Socket) -> None:
        """A connected socket on which a stream may prove itself."""
        sock.setblocking(False)
        self._unproven[sock] = (self._now, bytearray())
        self._watch(sock.fileno(), lambda: self._read(sock))

    def _drop(self, sock: sockets.Socket) -> None:
        del self._unproven[sock]
        self._channels.pop(sock, None)
        self._unwatch(sock.fileno())
        sock.close()

    def _read(self, sock: sockets.Socket) -> None:
        got = self._unproven[sock][1]
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
        is_right = (major, zero, connection, zero2) == (PROTOCOL_MAJOR, 0, 0, 0)
        if not is_right or stream >= streams.n_streams or stream in streams.proven:
            return self._drop(sock)
        channel = streams.make_channel(stream)
        self._channels[sock] = stream, channel
        if self._arrived is not None:
            self._arrived(stream)
        if streams.speaks_first:
            try:
                sock.send(streams.hello(channel))
            except OSError:
                self._drop(sock)

    def _prove(self, sock: sockets.Socket, hello: bytes) -> None:
        streams = self._streams
        stream, channel = self._channels[sock]
        if stream in streams.proven or not streams.check_hello(channel, hello):
            return self._drop(sock)
        if not streams.speaks_first:
            try:
                sock.send(streams.hello(channel))
            except OSError:
                return self._drop(sock)
        del self._unproven[sock]
        self._channels.pop(sock, None)
        self._unwatch(sock.fileno())
        streams.adopt(stream, sock, channel)

    def close(self) -> None:
        """Stop listening; drop what has not proven itself."""
        for sock in list(self._unproven):
            self._drop(sock)
        if self._listener is not None and self._listener.fileno() >= 0:
            self._unwatch(self._listener.fileno())
            self._listener.close()

"""An agent's streams through a relay: first the relay proves itself, then through it the other host."""

from escp._fast.crypto.channel import Channel
from escp.constants import PROTOCOL_MAJOR
from escp.errors import IntegrityError
from escp.lean import sockets
from escp.lean.eventloop import Watch
from escp.streams.listener import MAX_CONNECTIONS
from escp.streams.streams import HELLO_FRAME_BYTES, MAGIC, PREAMBLE, Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class RelayedStreams(Streams):
    """Streams of the leg's secret, for an `Acceptor`. Each goes on to *inner*, the session's.

    Who proves the leg's key was sent by the initiator, so it is no stranger any more: it may take its time,
    because the other host may be reached later. Nothing of the session is said to anybody else.
    """

    def __init__(
        self, secret: bytes, inner: Streams, watch: Watch, unwatch: "Callable[[int], None]", *,
        speaks_first: bool, tell_cut: "Callable[[int], None]" = lambda stream: None,
    ):  # fmt: skip
        """*speaks_first*: of the two hosts this one proves itself before the other.

        *tell_cut(stream)*: the relay's connection is gone, and another one is waited for.
        """
        super().__init__(secret, n_streams=inner.n_streams, block_bytes=inner.block_bytes,
                         is_sender=inner.is_sender, backend=inner.backend,
                         may_reconnect=inner.may_reconnect)  # fmt: skip
        self._inner = inner
        self._watch, self._unwatch = watch, unwatch
        self._speaks_first = speaks_first
        self._tell_cut = tell_cut
        self._waiting: dict[int, tuple[sockets.Socket, bytearray]] = {}
        self._channels: dict[int, tuple[Channel, int]] = {}  # the session's, and their connections' numbers

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel, connection: int = 0) -> None:
        """Take the relay's connection. While it stands there is no second one for its stream."""
        if stream in self._waiting:  # the relay knows better
            self._drop(stream)
        self.proven[stream] = sock, channel
        self._numbers[stream] = connection
        self.cut.discard(stream)
        self._waiting[stream] = sock, bytearray()
        self._watch(sock.fileno(), lambda: self._read(stream))
        if self._speaks_first:
            self._begin(stream, self._inner.next_connection(stream))
            self._say_hello(stream, is_first=True)

    def prepare(self, sock: sockets.Socket) -> None:
        self._inner.prepare(sock)

    @property
    def is_complete(self) -> bool:
        """With reconnecting not before the other hosts are: the relay may have to come once more."""
        return super().is_complete and (not self.may_reconnect or self._inner.is_complete)

    @property
    def is_settled(self) -> bool:
        return super().is_settled and not self._inner.doubted

    def _begin(self, stream: int, connection: int) -> None:
        """The session's own connection of that number, inside the relay's."""
        self._channels[stream] = self._inner.make_channel(stream, connection), connection

    def _say_hello(self, stream: int, *, is_first: bool = False) -> bool:
        sock, _ = self._waiting[stream]
        channel, connection = self._channels[stream]
        preamble = b""
        if is_first and self.may_reconnect:  # which connection it is, the other host can't know
            preamble = PREAMBLE.pack(MAGIC, PROTOCOL_MAJOR, 0, stream, connection, 0)
        try:
            sock.send(preamble + self._inner.hello(channel))
        except OSError:
            self._lose(stream)
        return stream in self._waiting

    def _take_preamble(self, stream: int, preamble: bytes) -> None:
        magic, major, zero, number, connection, zero2 = PREAMBLE.unpack(preamble)
        is_right = (magic, major, zero, number, zero2) == (MAGIC, PROTOCOL_MAJOR, 0, stream, 0)
        if is_right and connection < MAX_CONNECTIONS and self._inner.is_next(stream, connection):
            self._begin(stream, connection)
        elif stream in self._inner.proven:
            self._lose(stream)
        else:
            raise IntegrityError("what came through the relay does not begin as the other host does")

    def _read(self, stream: int) -> None:
        sock, got = self._waiting[stream]
        n_before = 0 if self._speaks_first or not self.may_reconnect else PREAMBLE.size
        whole = n_before + HELLO_FRAME_BYTES
        try:
            data = sock.recv((n_before if len(got) < n_before else whole) - len(got))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._lose(stream)
        got += data
        if len(got) == n_before:
            return self._take_preamble(stream, bytes(got))
        if len(got) < whole:
            return None
        if not self._speaks_first and not n_before:
            self._begin(stream, 0)
        channel, connection = self._channels[stream]
        if not self._inner.check_hello(channel, bytes(got[n_before:])):
            if stream in self._inner.proven and self.may_reconnect:  # a changed byte: another connection
                return self._lose(stream)
            raise IntegrityError("what came through the relay was not sealed by the other host")
        if self._speaks_first or self._say_hello(stream):
            del self._waiting[stream]
            self._unwatch(sock.fileno())
            self._inner.adopt(stream, sock, channel, connection)
        return None

    def _lose(self, stream: int) -> None:
        """The relay has closed this connection; it may turn to the tunnel next, or come again."""
        self._drop(stream)
        if self.may_reconnect:
            self.cut.add(stream)
            self._tell_cut(stream)
        else:
            del self.proven[stream]

    def _drop(self, stream: int) -> None:
        sock, _ = self._waiting.pop(stream)
        self._unwatch(sock.fileno())
        sock.close()

    def close(self) -> None:
        """Drop connections on which the other host has not answered; the others are the session's streams."""
        for stream in list(self._waiting):
            self._drop(stream)
        self.proven.clear()

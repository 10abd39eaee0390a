"""An agent's streams through a relay: first the relay proves itself, then through it the other host."""

from escp._fast.crypto.channel import Channel
from escp.errors import IntegrityError
from escp.lean import sockets
from escp.lean.eventloop import Watch
from escp.streams.streams import HELLO_FRAME_BYTES, Streams

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
        speaks_first: bool,
    ):  # fmt: skip
        """*speaks_first*: of the two hosts this one proves itself before the other."""
        super().__init__(secret, n_streams=inner.n_streams, block_bytes=inner.block_bytes,
                         is_sender=inner.is_sender, backend=inner.backend)  # fmt: skip
        self._inner = inner
        self._watch, self._unwatch = watch, unwatch
        self._speaks_first = speaks_first
        self._waiting: dict[int, tuple[sockets.Socket, Channel, bytearray]] = {}

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel, connection: int = 0) -> None:
        """Take the relay's connection. While it stands there is no second one for its stream."""
        self.proven[stream] = sock, channel
        inner_channel = self._inner.make_channel(stream)
        self._waiting[stream] = sock, inner_channel, bytearray()
        self._watch(sock.fileno(), lambda: self._read(stream))
        if self._speaks_first:
            self._say_hello(stream)

    def _say_hello(self, stream: int) -> bool:
        sock, channel, _ = self._waiting[stream]
        try:
            sock.send(self._inner.hello(channel))
        except OSError:
            self._lose(stream)
        return stream in self._waiting

    def _read(self, stream: int) -> None:
        sock, channel, got = self._waiting[stream]
        try:
            data = sock.recv(HELLO_FRAME_BYTES - len(got))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._lose(stream)
        got += data
        if len(got) < HELLO_FRAME_BYTES:
            return
        if not self._inner.check_hello(channel, bytes(got)):
            raise IntegrityError("what came through the relay was not sealed by the other host")
        if self._speaks_first or self._say_hello(stream):
            del self._waiting[stream]
            self._unwatch(sock.fileno())
            self._inner.adopt(stream, sock, channel)

    def _lose(self, stream: int) -> None:
        """The relay has closed this connection; it may turn to the tunnel next."""
        sock, _, _ = self._waiting.pop(stream)
        del self.proven[stream]
        self._unwatch(sock.fileno())
        sock.close()

    def close(self) -> None:
        """Drop connections on which the other host has not answered; the others are the session's streams."""
        for stream in list(self._waiting):
            self._lose(stream)
        self.proven.clear()

"""A TCP proxy between the initiator and the agent's data port that looks, holds, cuts and corrupts."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

HELLO_BYTES = 56  # preamble and hello frame, docs/protocol.md 4.5
CHUNK = 65536
TO_AGENT, TO_INITIATOR = "to agent", "to initiator"


class Cut(Exception):
    """Raised by a `change`: end this connection, with a reset or as if it had ended well; or one way."""

    def __init__(self, *, is_reset: bool = False, is_half: bool = False):
        super().__init__()
        self.is_reset = is_reset
        self.is_half = is_half


def pass_on(stream: int, way: str, at: int, data: bytes) -> bytes:
    """A `change` that changes nothing. *at* is the offset of *data* in what the stream carries that way."""
    return data


class Proxy:
    """Listens on `port`; connections go on to *upstream_port*. The hello of each is kept in `hellos`."""

    def __init__(
        self,
        upstream_port: int,
        change: Callable[[int, str, int, bytes], bytes] = pass_on,
        *,
        before_upstream: Callable[[int, bytes], None] | None = None,
    ):
        self.hellos: dict[int, bytes] = {}
        self._upstream_port = upstream_port
        self._change = change
        self._before_upstream = before_upstream
        self._sockets: list[socket.socket] = []
        self._pairs: dict[int, tuple[socket.socket, ...]] = {}  # of each stream's last connection
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            for sock in self._sockets:
                sock.close()

    def reset(self, stream: int) -> None:
        """The connection that this stream has now, whatever passes there."""
        with self._lock:
            pair = self._pairs.get(stream, ())
        for sock in pair:
            with contextlib.suppress(OSError):
                _reset(sock)

    def pair(self, stream: int) -> tuple[socket.socket, ...]:
        """The two sockets of this stream's last connection: to the initiator, and to the agent."""
        with self._lock:
            return self._pairs[stream]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            with self._lock:
                self._sockets.append(sock)
            hello = sock.recv(HELLO_BYTES, socket.MSG_WAITALL)
            if len(hello) < HELLO_BYTES:
                return sock.close()
            stream = int.from_bytes(hello[6:8], "big")
            self.hellos[stream] = hello
            if self._before_upstream is not None:
                self._before_upstream(stream, hello)
            upstream = socket.create_connection(("127.0.0.1", self._upstream_port))
            with self._lock:
                self._sockets.append(upstream)
                self._pairs[stream] = (sock, upstream)
            back = threading.Thread(
                target=self._pump, args=(upstream, sock, stream, TO_INITIATOR), daemon=True
            )
            back.start()
            self._pump(sock, upstream, stream, TO_AGENT, hello)

    def _pump(
        self, source: socket.socket, sink: socket.socket, stream: int, way: str, data: bytes = b""
    ) -> None:
        at = 0
        try:
            data = data or source.recv(CHUNK)
            while data:
                sink.sendall(self._change(stream, way, at, data))
                at += len(data)
                data = source.recv(CHUNK)
            sink.shutdown(socket.SHUT_WR)
        except Cut as cut:
            for sock in (sink,) if cut.is_half else (source, sink):
                with contextlib.suppress(OSError):
                    if cut.is_reset:
                        _reset(sock)
                    else:
                        sock.shutdown(socket.SHUT_WR if cut.is_half else socket.SHUT_RDWR)
        except OSError:
            for sock in (source, sink):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


def _reset(sock: socket.socket) -> None:
    """The other pump may be inside recv(): wake it, or nothing is sent."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.shutdown(socket.SHUT_RD)
    sock.close()

"""A TCP proxy between the initiator and the agent's data port that looks, holds, cuts and corrupts."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

HELLO_BYTES = 56  # preamble and hello frame, docs/protocol.md 4.5
CHUNK = 65536
SEND_US = 200_000  # a send that takes longer looks whether there is still anything to send
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


class _Passage:
    """The sockets of one connection, and how many threads use them.

    The last of these closes them, once they are to be closed: while a thread waits for a descriptor it must
    not become another file's.
    """

    def __init__(self, sock: socket.socket):
        self.sockets: list[socket.socket] = []  # to the initiator, and to the agent
        self.is_over = False
        self._n_users = 0
        self._lock = threading.Lock()
        self.add(sock)

    def add(self, sock: socket.socket) -> None:
        """One more, with a thread that reads from it."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, SEND_US))
        with self._lock:
            self.sockets.append(sock)
            self._n_users += 1

    def leave(self) -> None:
        with self._lock:
            self._n_users -= 1
            self._close_locked()

    def end(self, *, is_reset: bool) -> None:
        """Wake all who wait. With a reset nothing is said before the sockets are closed."""
        with self._lock:
            self.is_over = True
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    if is_reset:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.shutdown(socket.SHUT_RD if is_reset else socket.SHUT_RDWR)
            self._close_locked()

    def _close_locked(self) -> None:
        if self.is_over and not self._n_users:
            for sock in self.sockets:
                sock.close()

    def send(self, sink: socket.socket, data: bytes) -> None:
        left = memoryview(data)
        while left and not self.is_over:
            with contextlib.suppress(BlockingIOError):
                left = left[sink.send(left) :]

    def send_own(self, way: str, data: bytes) -> None:
        with self._lock:
            if self.is_over:
                raise OSError("the connection is over")
            self.sockets[way == TO_AGENT].sendall(data)


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
        self._passages: list[_Passage] = []
        self._last: dict[int, _Passage] = {}  # of each stream
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        with self._lock:
            for passage in self._passages:
                passage.end(is_reset=False)

    def reset(self, stream: int) -> None:
        """The connection that this stream has now, whatever passes there."""
        with self._lock:
            passage = self._last.get(stream)
        if passage is not None:
            passage.end(is_reset=True)

    def last(self, stream: int) -> object:
        """What stands for the last connection of this stream."""
        with self._lock:
            return self._last[stream]

    def send(self, stream: int, way: str, data: bytes) -> None:
        """What nobody has sent, over this stream's last connection. Raises OSError when that is over."""
        with self._lock:
            passage = self._last[stream]
        passage.send_own(way, data)

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                passage = _Passage(sock)
                with self._lock:
                    self._passages.append(passage)
                threading.Thread(target=self._serve, args=(passage, sock), daemon=True).start()

    def _serve(self, passage: _Passage, sock: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(passage.leave)
            stack.enter_context(contextlib.suppress(OSError))
            hello = sock.recv(HELLO_BYTES, socket.MSG_WAITALL)
            if len(hello) < HELLO_BYTES:
                return passage.end(is_reset=False)
            stream = int.from_bytes(hello[6:8], "big")
            self.hellos[stream] = hello
            if self._before_upstream is not None:
                self._before_upstream(stream, hello)
            upstream = socket.create_connection(("127.0.0.1", self._upstream_port))
            passage.add(upstream)
            with self._lock:
                self._last[stream] = passage
            back = threading.Thread(
                target=self._pump_back, args=(passage, upstream, sock, stream), daemon=True
            )
            back.start()
            self._pump(passage, sock, upstream, stream, TO_AGENT, hello)

    def _pump_back(self, passage: _Passage, source: socket.socket, sink: socket.socket, stream: int) -> None:
        try:
            self._pump(passage, source, sink, stream, TO_INITIATOR)
        finally:
            passage.leave()

    def _pump(
        self,
        passage: _Passage,
        source: socket.socket,
        sink: socket.socket,
        stream: int,
        way: str,
        data: bytes = b"",
    ) -> None:
        at = 0
        try:
            data = data or source.recv(CHUNK)
            while data:
                passage.send(sink, self._change(stream, way, at, data))
                at += len(data)
                data = source.recv(CHUNK)
            if not passage.is_over:
                self._pass_end_on(sink)
        except Cut as cut:
            if cut.is_reset:
                return passage.end(is_reset=True)
            for one in (sink,) if cut.is_half else (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_WR if cut.is_half else socket.SHUT_RDWR)
        except OSError:
            self._pass_break_on(source, sink)

    def _pass_break_on(self, *ends: socket.socket) -> None:
        """The connection to one of them broke."""
        for one in ends:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _pass_end_on(self, sink: socket.socket) -> None:
        """What this thread reads from has ended."""
        sink.shutdown(socket.SHUT_WR)

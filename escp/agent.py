"""`escp --server`: the agent that the initiator starts through ssh. It receives files and writes them.

stdin and stdout are the control channel. When stdin ends, everything ends: no process, no port and no
unfinished file stays.
"""

import os
import signal
import time
from contextlib import suppress

from escp import __version__
from escp.constants import HELLO_TIMEOUT_S, KEEPALIVE_S, MARKER, PROTOCOL_MAJOR, PROTOCOL_MINOR, SECRET_BYTES
from escp.control import Bye, Error, Hello, KeepAlive, Listening, Message, Result, Session, encode
from escp.destination import Destination, open_destination
from escp.errors import EXIT_OK, EscpError, Failure, InternalError, NetworkError, ProtocolError
from escp.eventloop import EventLoop
from escp.listener import Acceptor, listen
from escp.session import AgentCourse
from escp.transfer import FATAL, FINISHED, ReceivePlane, Streams, choose_aead, prepare_process

FEATURES = ["zstd", "dummy"]
STREAMS_TIMEOUT_S = 3 * HELLO_TIMEOUT_S  # for all streams to arrive: the initiator gives up long before
IN_PLACE_TIMEOUT_S = 2  # for a write to a pipe or device, once the session is over


class ControlEnded(Exception):
    """The initiator is gone."""


class Agent:
    """One session, from the marker to the end of the control channel."""

    def __init__(self, read_fd: int, write_fd: int, address: str):
        """*address*: where to listen; "" for all of this host's."""
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._address = address
        self._loop = EventLoop()
        self._course = AgentCourse(time.monotonic())
        self._destination: Destination | None = None
        self._acceptor: Acceptor | None = None
        self._streams: Streams | None = None
        self._plane: ReceivePlane | None = None
        self._streams_due_s = float("inf")
        self._is_done = False

    def run(self) -> int:
        """Serve the session; returns the exit code. What goes wrong is told to the initiator."""
        try:
            prepare_process()
            os.write(self._write_fd, MARKER)
            self._send(Hello(PROTOCOL_MAJOR, PROTOCOL_MINOR, __version__, FEATURES))
            try:
                self._loop.watch(self._read_fd, self._read_control)
            except PermissionError as e:  # a file or /dev/null: nobody is there to talk to
                raise ControlEnded from e
            while not self._is_done:
                self._step()
            return EXIT_OK
        except ControlEnded:
            return NetworkError.exit_code
        except EscpError as e:
            self._tell(e)
            return e.exit_code
        except Exception as e:
            self._tell(InternalError(f"the remote escp failed: {type(e).__name__}: {e}"))
            raise
        finally:
            self._close()

    def _step(self) -> None:
        self._loop.wait(KEEPALIVE_S)
        now = time.monotonic()
        self._course.check_silence(now)
        if self._course.is_keepalive_due(now):
            self._send(KeepAlive())
        if self._acceptor is not None:
            self._acceptor.tick(now)
            if self._streams is not None and self._streams.is_complete:
                self._start()
            elif now > self._streams_due_s:
                raise NetworkError("the initiator's data connections did not arrive")

    def _send(self, message: Message) -> None:
        data = encode(message)
        try:
            while data:
                data = data[os.write(self._write_fd, data) :]
        except OSError as e:
            raise ControlEnded from e
        self._course.sent(time.monotonic())

    def _tell(self, error: EscpError) -> None:
        with suppress(ControlEnded):  # nobody is left to be told
            self._send(Error(error.exit_code, str(error), error.hint))

    def _read_control(self) -> None:
        data = os.read(self._read_fd, 65536)
        if not data:
            raise ControlEnded
        for message in self._course.feed(data, time.monotonic()):
            if isinstance(message, Session):
                self._open(message)
            elif isinstance(message, Bye):
                self._is_done = True

    def _open(self, wanted: Session) -> None:
        """Open the destination and the port, and say where."""
        if len(wanted.secret) != SECRET_BYTES:
            raise ProtocolError("the session's secret has a wrong length")
        if not 0 < wanted.port <= wanted.port + wanted.n_ports - 1 < 65536:
            raise ProtocolError("the session's ports are out of range")
        backend = choose_aead()
        self._destination = open_destination(
            wanted.target, n_sources=wanted.n_sources, is_directory=wanted.is_directory
        )
        # A pipe takes its bytes in order: one stream.
        n_streams = 1 if self._destination.in_place_fd >= 0 else wanted.n_streams
        try:
            self._plane = ReceivePlane(
                root_fd=self._destination.root_fd, n_streams=n_streams, block_bytes=wanted.block_bytes,
                engine=wanted.engine, is_direct=wanted.is_direct, has_checksum=wanted.has_checksum,
                has_compression=wanted.has_compression, keeps_attributes=wanted.keeps_attributes,
                target_name=self._destination.name, in_place_fd=self._destination.in_place_fd,
            )  # fmt: skip
        except (ValueError, KeyError, OverflowError) as e:
            raise ProtocolError(f"the initiator asked for what this escp does not offer: {e}") from e
        self._streams = Streams(
            wanted.secret,
            n_streams=n_streams,
            block_bytes=wanted.block_bytes,
            is_sender=False,
            backend=backend,
        )
        listener = listen(self._address, wanted.port, wanted.n_ports)
        now = time.monotonic()
        self._streams_due_s = now + STREAMS_TIMEOUT_S
        self._acceptor = Acceptor(listener, self._streams, self._loop.watch, self._loop.unwatch, now)
        addresses = [self._address] if self._address else []
        self._send(Listening(addresses, listener.getsockname()[1], n_streams, self._destination.is_directory))

    def _start(self) -> None:
        """All streams have proven themselves: stop listening, start the threads."""
        assert self._acceptor and self._streams and self._plane
        self._acceptor.close()
        self._acceptor = None
        self._streams.attach_to(self._plane)
        self._plane.start()
        self._loop.watch(self._plane.event_fd, self._take_events)

    def _take_events(self) -> None:
        assert self._plane
        for kind, code, sys_errno, where, _, _, _ in self._plane.take_events():
            if kind == FATAL:
                raise Failure(code, sys_errno, where).as_error("the data streams")
            if kind == FINISHED:
                counts = self._plane.counters()
                self._send(Result(**{name: counts[name] for name in Result._fields}))

    def _close(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
        if self._plane is not None:
            self._plane.stop()
            if self._destination is not None and self._destination.in_place_fd >= 0:
                signal.alarm(IN_PLACE_TIMEOUT_S)  # nothing else ends a write to a pipe that nobody reads
            self._plane.join()
            self._plane = None  # drops unfinished files
        if self._streams is not None:
            self._streams.close()
        if self._destination is not None:
            self._destination.close()
        self._loop.close()


def own_address() -> str:
    """The address that ssh arrived on, so that the port is open there only; "" where sudo hid it."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    return words[2].partition("%")[0] if len(words) == 4 else ""


def run_agent(*, is_embedded: bool = False) -> int:
    """Take over stdin and stdout as the control channel and serve one session. Returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _stop)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # A stray print must not get between the messages.
    write_fd = os.dup(1)
    os.dup2(2, 1)
    try:
        return Agent(0, write_fd, "127.0.0.1" if is_embedded else own_address()).run()
    except _Stopped as e:
        return 128 + int(e.args[0])


class _Stopped(BaseException):
    pass


def _stop(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise _Stopped(number)

"""The initiator's side of a session: the one place that decides which plane runs where.

push   the agent receives: ask it where to connect, prove the streams, send, compare the accounts
"""

import os
import socket
import time
from typing import Protocol

from escp import __version__
from escp.affinity import apply_affinity
from escp.connector import Connector
from escp.constants import CONNECT_TIMEOUT_S, PROTOCOL_MAJOR, PROTOCOL_MINOR, SECRET_BYTES
from escp.control import Bye, Hello, KeepAlive, Listening, Message, Result, Session, encode
from escp.errors import (
    FAST_DIGEST,
    FAST_SYS,
    FAST_UNSAFE,
    FULL_DISK_ERRNOS,
    EscpError,
    Failure,
    IntegrityError,
    NetworkError,
    RefusedError,
    RemoteFileError,
)
from escp.eventloop import EventLoop
from escp.options import Options
from escp.plan import base_name
from escp.session import InitiatorCourse
from escp.ssh import AgentProcess, configured_host_name
from escp.transfer import (
    FATAL,
    FILE_FAILED,
    FINISHED,
    ROOM,
    SendPlane,
    Streams,
    choose_aead,
    count_walkers,
    is_address,
    prepare_process,
)

UPDATE_S = 0.1
PACED_STREAM_BYTES_PER_S = 16 << 20  # what a stream must at least be allowed, or there are fewer
LAST_WORDS_S = 2.0  # a broken stream waits so long for the control channel to say why
OTHER_ADDRESS_S = 1.0  # before asking ssh's configuration for another address of the host


class Progress(Protocol):
    """What the initiator tells while it works; `ui` shows it."""

    def begin(self, *, n_streams: int, aead: str, address: str) -> None: ...
    def update(self, counters: dict[str, int]) -> None: ...
    def file_error(self, path: bytes, message: str, *, is_remote: bool) -> None: ...
    def note(self, text: str) -> None: ...


class Push:
    """One push: `run()` returns the sending plane's last counters, or raises what ended it."""

    fault_offset = -1  # tests: see SendPlane

    def __init__(self, options: Options, agent: AgentProcess, progress: Progress):
        self._options = options
        self._agent = agent
        self._progress = progress
        self._loop = EventLoop()
        self._host = options.target.host or ""
        self._course = InitiatorCourse(time.monotonic(), self._host)
        self._secret = b""
        self._sources = [source.path for source in options.sources]
        self._prefixes = [base_name(path) for path in self._sources]
        self._n_added = 0
        self._streams: Streams | None = None
        self._connector: Connector | None = None
        self._place = ""
        self._connect_due_s = float("inf")
        self._other_address_s = float("inf")
        self._listening: Listening | None = None
        self._plane: SendPlane | None = None
        self._failure: EscpError | None = None
        self._failure_due_s = float("inf")
        self._failed_codes: set[int] = set()
        self._is_finished = False
        self._result: Result | None = None

    def run(self) -> dict[str, int]:
        prepare_process()
        apply_affinity(self._options.cpumask, self._options.nodemask)
        self._aead = choose_aead()
        self._secret = os.urandom(SECRET_BYTES)
        self._loop.watch(self._agent.read_fd, self._read_control)
        try:
            while not (self._is_finished and self._result):
                self._step()
            self._send(Bye())
            assert self._plane
            self._plane.join()
            return self._plane.counters()
        finally:
            self._close()

    @property
    def first_failure(self) -> EscpError | None:
        """What the exit status is about when files failed for a reason worse than 'some failed'."""
        if FAST_DIGEST in self._failed_codes:
            return IntegrityError("what arrived is not what was read; the files named above were not kept")
        if FAST_UNSAFE in self._failed_codes:
            return RefusedError(f"{self._host} refused to write outside the destination")
        return None

    # ---- Waiting ------------------------------------------------------------------------------------

    def _step(self) -> None:
        now = time.monotonic()
        wait_s = UPDATE_S
        if self._connector is not None:
            wait_s = min(wait_s, self._connector.next_tick_s - now)
        self._loop.wait(wait_s)
        now = time.monotonic()
        self._course.check_silence(now)
        if self._course.is_keepalive_due(now):
            self._send(KeepAlive())
        if self._failure is not None and now >= self._failure_due_s:
            raise self._failure
        if self._connector is not None:
            self._tick_connector(now)
        if self._plane is not None:
            self._progress.update(self._plane.counters())

    def _tick_connector(self, now: float) -> None:
        assert self._connector and self._streams and self._listening
        if self._streams.is_complete:
            self._connector.close()
            self._connector = None
            return self._start()
        self._connector.tick(now)
        if now >= self._other_address_s:
            self._other_address_s = float("inf")
            self._connector.add_addresses(self._resolve(configured_host_name(self._options)))
        if now >= self._connect_due_s:
            raise NetworkError(
                f"can't reach the data port on {self._host} ({self._place}): {self._connector.reason}"
            )

    def _resolve(self, host: str) -> list[tuple[str, int]]:
        assert self._listening
        try:
            found = socket.getaddrinfo(
                host, self._listening.port, self._options.address_family or 0, socket.SOCK_STREAM
            )
        except OSError:
            return []
        return [(str(info[4][0]), self._listening.port) for info in found]

    # ---- Control channel ----------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        data = encode(message)
        try:
            while data:
                data = data[os.write(self._agent.write_fd, data) :]
        except OSError:
            return  # reading says why
        self._course.sent(time.monotonic())

    def _read_control(self) -> None:
        data = os.read(self._agent.read_fd, 65536)
        if not data:
            self._loop.unwatch(self._agent.read_fd)
            skipper = self._course.skipper
            raise self._agent.explain_end(skipper.noise, is_past_marker=skipper.is_past_marker)
        for message in self._course.feed(data, time.monotonic()):
            if isinstance(message, Hello):
                self._greet(message)
            elif isinstance(message, Listening):
                self._connect(message)
            elif isinstance(message, Result):
                self._result = message

    def _greet(self, hello: Hello) -> None:
        """The agent is an escp that we understand: tell it the secret and what is wanted."""
        options = self._options
        if self._course.skipper.noise:
            noise = self._course.skipper.noise.decode(errors="replace")
            self._progress.note(f"{self._host} printed before escp started: {noise}")
        self._progress.note(f"{self._host} runs escp {hello.version}")
        self._send(Hello(PROTOCOL_MAJOR, PROTOCOL_MINOR, __version__, []))
        self._send(Session(
            secret=self._secret,
            target=options.target.path,
            n_sources=min(len(self._sources), 2),
            is_directory=len(self._sources) == 1 and os.path.isdir(self._sources[0]),
            n_streams=count_streams(options),
            block_bytes=options.block_bytes,
            port=options.port,
            n_ports=options.n_ports,
            engine=options.receive_engine,
            is_direct=options.is_direct,
            has_checksum=options.has_checksum,
            has_compression=options.compress,
            keeps_attributes=options.preserve,
        ))  # fmt: skip

    def _connect(self, listening: Listening) -> None:
        if not 1 <= listening.n_streams <= self._options.n_streams or not 0 < listening.port < 65536:
            raise NetworkError(f"the remote escp on {self._host} offers streams that nobody asked for")
        self._listening = listening
        self._streams = Streams(
            self._secret, n_streams=listening.n_streams, block_bytes=self._options.block_bytes,
            is_sender=True, backend=self._aead, limit_bytes_per_s=self._options.limit_bytes_per_s,
        )  # fmt: skip
        self._secret = b""
        now = time.monotonic()
        self._connect_due_s = now + CONNECT_TIMEOUT_S
        if not self._options.is_embedded:
            self._other_address_s = now + OTHER_ADDRESS_S
        # Numbers only: what a peer says is not looked up.
        addresses = [(address, listening.port) for address in listening.addresses if is_address(address)]
        if not addresses:  # the agent can't tell: ask ssh's configuration where it went
            addresses = self._resolve(configured_host_name(self._options))
            self._other_address_s = float("inf")
        if not addresses:
            raise NetworkError(f"no address is known for {self._host}", "name the host by its address")
        self._place = f"{addresses[0][0]} port {listening.port}"
        self._connector = Connector(addresses, self._streams, self._loop.watch, self._loop.unwatch, now)

    # ---- Data ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        assert self._streams and self._listening
        options = self._options
        self._plane = SendPlane(
            n_streams=self._listening.n_streams, block_bytes=options.block_bytes, engine=options.send_engine,
            is_direct=options.is_direct, has_checksum=options.has_checksum, has_compression=options.compress,
            is_recursive=options.recursive, n_walkers=count_walkers(), fault_offset=self.fault_offset,
        )  # fmt: skip
        self._streams.attach_to(self._plane)
        self._plane.start()
        self._loop.watch(self._plane.event_fd, self._take_events)
        self._add_sources()
        self._progress.begin(
            n_streams=self._listening.n_streams, aead=self._aead,
            address=self._place.replace(" port ", ":"),
        )  # fmt: skip

    def _add_sources(self) -> None:
        assert self._plane and self._listening
        while self._n_added < len(self._sources):
            name = self._prefixes[self._n_added] if self._listening.target_is_directory else b""
            if not self._plane.add_source(self._sources[self._n_added], name):
                return  # a ROOM event comes when there is room
            self._n_added += 1
        self._plane.end_sources()

    def _take_events(self) -> None:
        assert self._plane
        for kind, code, sys_errno, where, _, is_remote, path in self._plane.take_events():
            if kind == FINISHED:
                self._is_finished = True
            elif kind == ROOM:
                self._add_sources()
            elif kind == FATAL:
                self._failure = Failure(code, sys_errno, where).as_error(f"the data streams to {self._host}")
                if not isinstance(self._failure, NetworkError):
                    raise self._failure  # found here: the agent only sees its connections end
                self._failure_due_s = time.monotonic() + LAST_WORDS_S
            elif kind == FILE_FAILED:
                self._fail_file(Failure(code, sys_errno, where), path, is_remote=is_remote)

    def _fail_file(self, failure: Failure, path: bytes, *, is_remote: bool) -> None:
        if is_remote:
            path = os.path.join(self._options.target.path, path) if path else self._options.target.path
            if failure.code == FAST_SYS and failure.sys_errno in FULL_DISK_ERRNOS:
                name = os.fsdecode(path)
                error = RemoteFileError(
                    f"{self._host}:{name}: {failure.reason}", "make room there and run it again"
                )
                raise error from OSError(failure.sys_errno, os.strerror(failure.sys_errno))
        self._failed_codes.add(failure.code)
        self._progress.file_error(path, failure.reason, is_remote=is_remote)

    def _close(self) -> None:
        if self._connector is not None:
            self._connector.close()
        if self._plane is not None:
            self._plane.stop()
            self._plane.join()
        if self._streams is not None:
            self._streams.close()
        self._agent.close_channel()
        self._loop.close()


def count_streams(options: Options) -> int:
    """Fewer than asked for under a low limit: each is paced by itself, and few blocks share out unevenly."""
    if options.limit_bytes_per_s is None:
        return options.n_streams
    return max(1, min(options.n_streams, options.limit_bytes_per_s // PACED_STREAM_BYTES_PER_S))

"""One login for many sessions, which a program keeps beside its own work (docs/protocol.md 3.7).

A thread of its own reads and writes ssh, says that this end is there, and calls nothing of the program's. So
an application may think for as long as it likes. Each session gets an `AgentProcess` like any other, whose
channel is a socket; what runs it need not know that it has no ssh of its own.
"""

import copy
import os
import threading
from collections import deque
from collections.abc import Callable

from escp.constants import MAX_CARRIED, SHUTDOWN_TIMEOUT_S
from escp.control.carrier import Carrier
from escp.control.messages import Begin, Carry, Ended, Leave, Message
from escp.errors import AgentError, EndedError, EscpError, InternalError, LocalFileError, ProtocolError
from escp.lean.eventloop import EventLoop
from escp.options.location import Location
from escp.options.options import Options
from escp.process.shortages import explain_shortage
from escp.remote.agentlink import AgentLink
from escp.remote.child import AgentProcess
from escp.remote.ssh import start_agent

_LOOK_S = 0.1
_TICK_S = 1.0
_LIMITS_HINT = "look at the limits of processes and memory there"


class CarriedAgent(AgentProcess):
    """An agent on the other host, which the connection's own one has started there."""

    def __init__(self, carrier: AgentProcess, fds: tuple[int, int], number: int):
        super().__init__(-1, *fds, carrier.host)
        self.number = number
        self.find_connection = carrier.find_connection  # type: ignore[method-assign]  # ssh's own
        self.is_left = self.is_over = False  # here, and there; of the connection's thread
        self._ended = threading.Event()
        self._error: EscpError | None = None  # of the connection

    can_outlive = False  # it ends with the connection, as the program wants it

    def is_asking(self) -> bool:
        return False

    def watch_login(self, now: float) -> None:
        return None

    def end(self, status: int | None, error: EscpError | None = None) -> None:
        """It is gone, or the connection is."""
        self._status = status
        self._error = self._error or error
        self._ended.set()

    def poll(self) -> int | None:
        return self._status

    def wait(self, timeout_s: float) -> int | None:
        self._ended.wait(timeout_s)
        return self._status

    def stop(self) -> None:
        self.close_channel()
        self.wait(SHUTDOWN_TIMEOUT_S)

    def explain_end(self, noise: bytes, *, is_past_marker: bool) -> EscpError:
        self.wait(SHUTDOWN_TIMEOUT_S)
        if self._error is not None:
            return copy.copy(self._error)
        if not is_past_marker and self._status is not None:
            return AgentError(
                f"no further escp started on {self.host} (exit status {self._status})", _LIMITS_HINT
            )
        return super().explain_end(noise, is_past_marker=is_past_marker)


class _Request:
    """Of another thread: a session."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.agent: CarriedAgent | None = None


class Connection:
    """`begin` sessions until `close`; both may be called by any thread."""

    def __init__(
        self, options: Options, location: Location, *, note: Callable[[str], None],
        words: Callable[[str, str], None], look: Callable[[], None],
    ):  # fmt: skip
        """Logs in, in the calling thread. *look* is called all the time until then, and may raise.

        *note* and *words* are as `AgentLink`'s, and are called by the connection's thread later.
        """
        self.location = location
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._free = threading.Semaphore(MAX_CARRIED)
        self._requests: deque[_Request] = deque()
        self._agents: dict[int, CarriedAgent] = {}
        self._error: EscpError | None = None
        self._is_closing = self._is_over = False
        self._loop = EventLoop()
        self._wake_fds = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._loop.watch(self._wake_fds[0], self._woken)
        try:
            self._process = start_agent(options, location)
        except BaseException:
            self._close_loop()
            raise
        self._link = AgentLink(self._process, location, self._loop, self._take, note, note, words)
        try:
            self._log_in(look)
        except BaseException:
            self._close_all()
            raise
        channel = self._link.channel
        channel.last(is_lasting=False)
        channel.last(is_lasting=False)
        channel.tunnel = self._carrier = Carrier(
            self._loop,
            channel.send,
            lambda: channel.n_pending,
            f"the remote escp on {self.host}",
            self._leave,
        )
        self._link.send(Carry())
        self._thread = threading.Thread(target=self._run, name="escp-connection", daemon=True)
        self._thread.start()

    def _log_in(self, look: Callable[[], None]) -> None:
        while self._link.hello is None:
            self._loop.wait(_LOOK_S)
            self._link.tick(self._loop.now())
            look()
        if not self._link.has_feature("carry"):
            raise AgentError(
                f"escp.connect: the escp on {self._link.host} is too old for it",
                "install the same release on both hosts",
            )

    # ---- Any thread ---------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        return self._link.host

    def check(self) -> None:
        """Raises what has ended it."""
        if os.getpid() != self._pid:
            raise InternalError("a connection stays with the process that made it", "connect after os.fork()")
        if self._error is not None:
            raise copy.copy(self._error)
        if self._is_closing:
            raise InternalError(f"the connection with {self.host} is closed", "connect again")

    def begin(self, look: Callable[[], None]) -> CarriedAgent:
        """A new agent there. *look* is called while there are too many, and may raise."""
        self.check()
        while not self._free.acquire(timeout=_LOOK_S):
            self.check()
            look()
        request = _Request()
        with self._lock:
            if not self._is_over:
                self._requests.append(request)
                self._wake()
            else:
                request.is_done.set()
        request.is_done.wait()
        if request.agent is None:
            self._free.release()
            self.check()
            raise EndedError(f"the connection with {self.host} has ended", "connect again")
        return request.agent

    def _wake(self) -> None:
        """With the lock, or the descriptor may be another's by then."""
        try:
            os.write(self._wake_fds[1], b"x")
        except BlockingIOError:
            return  # it is woken already

    def close(self) -> None:
        """End what is left. In a child of fork() nothing is here that could be ended."""
        if os.getpid() != self._pid:
            return
        self._is_closing = True
        with self._lock:
            if not self._is_over:
                self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join()

    # ---- The connection's own -----------------------------------------------------------------------

    def _run(self) -> None:
        error: EscpError | None = None
        try:
            while not self._is_closing:
                self._loop.wait(min(_TICK_S, self._link.channel.next_tick_s - self._loop.now()))
                self._link.tick(self._loop.now())
            self._link.say_bye()
        except EscpError as e:
            error = e
        except Exception as e:
            said = explain_shortage(e)
            error = LocalFileError(*said) if said else InternalError(f"{type(e).__name__}: {e}")
            error.__cause__ = e
        finally:
            with self._lock:
                self._error = error
                self._is_closing = self._is_over = True
                waiting, self._requests = self._requests, deque()
            for agent in self._agents.values():
                agent.end(None, error or EndedError(f"the connection with {self.host} was closed", ""))
            self._carrier.close()
            for request in waiting:
                request.is_done.set()
            self._close_all()

    def _close_all(self) -> None:
        self._link.close()
        self._process.stop()
        self._close_loop()

    def _close_loop(self) -> None:
        self._loop.close()
        for fd in self._wake_fds:
            os.close(fd)

    def _woken(self) -> None:
        os.read(self._wake_fds[0], 4096)
        while self._requests:
            with self._lock:
                request = self._requests.popleft()
            number = next(n for n in range(MAX_CARRIED) if n not in self._agents)
            far = self._carrier.open(number)
            try:
                fds = os.dup(far.fileno()), os.dup(far.fileno())
            finally:
                far.close()
            self._agents[number] = request.agent = CarriedAgent(self._process, fds, number)
            self._link.send(Begin(number))
            request.is_done.set()

    def _take(self, link: AgentLink, message: Message) -> None:
        if not isinstance(message, Ended):
            if link.hello is message:
                return
            raise ProtocolError(f"the remote escp on {link.host} tells what nobody asked for")
        agent = self._agents.get(message.number)
        if agent is None or agent.is_over:
            raise ProtocolError(f"the remote escp on {link.host} ends a session that is not there")
        agent.is_over = True
        error = AgentError(f"no further escp could be started on {link.host}: {message.reason}", _LIMITS_HINT)
        agent.end(message.status, error if message.reason else None)
        self._carrier.forget(message.number)
        self._forget(agent)

    def _leave(self, number: int) -> None:
        """Whoever had the session has closed its channel."""
        agent = self._agents[number]
        agent.is_left = True
        if not agent.is_over:
            self._link.send(Leave(number))
        self._forget(agent)

    def _forget(self, agent: CarriedAgent) -> None:
        """Its number is free once both sides are done with it."""
        if agent.is_left and agent.is_over:
            del self._agents[agent.number]
            self._free.release()

"""Questions about the files of a host that a program is connected with (`control/questions`).

Each is put to an agent that the connection has begun for that, and that answers one after the other. Such
agents stay for the next question; several threads get one each.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from escp.control.messages import Files, Message
from escp.control.questions import MAX_READ_BYTES, Digest, Entries, List, Look, More, Piece, Read
from escp.errors import AgentError, EndedError, EscpError, ProtocolError, RemoteFileError
from escp.lean.eventloop import EventLoop
from escp.remote.agentlink import AgentLink
from escp.remote.connection import Connection

MAX_LINKS = 8  # at the same time; other threads wait
N_AHEAD = 8  # questions that are on their way, where more than one is known
_LOOK_S = 0.1
_CHANGE_NOTHING = (Digest, List, Look, Read)  # so they may be asked twice


class FileLink:
    """One such agent. What interrupts a question leaves it of no more use."""

    def __init__(self, connection: Connection, look: Callable[[], None]):
        self._connection = connection
        self.is_kept = False  # from an earlier question, and not heard since
        self._begin(look)

    def _begin(self, look: Callable[[], None]) -> None:
        connection = self._connection
        self._loop = EventLoop()
        self._answers: deque[Message] = deque()
        self._n_asked = 0
        self._link = AgentLink(
            connection.begin(look),
            connection.location,
            self._loop,
            self._take,
            _hear_nothing,
            _hear_nothing,
            _hear_no_words,
        )
        try:
            while self._link.hello is None:
                self._loop.wait(_LOOK_S)
                look()
            if not self._link.has_feature("files"):
                raise AgentError(
                    f"the escp on {connection.host} is too old for questions about its files",
                    "install the same release on both hosts",
                )
            self._link.channel.last(is_lasting=False)
            self._link.send(Files())
        except BaseException:
            self.close()
            raise

    def ask(self, question: Message, look: Callable[[], None]) -> Message:
        """*look* is called while the answer is waited for, and may raise.

        An agent may have ended since its last answer, a moment before ssh tells it. Another is begun then.
        """
        try:
            self.send(question)
            return self.hear(look)
        except EndedError:
            if not self.is_kept or not isinstance(question, _CHANGE_NOTHING):
                raise
        self.close()
        self.is_kept = False
        self._begin(look)
        self.send(question)
        return self.hear(look)

    def send(self, question: Message) -> None:
        self._n_asked += 1
        self._link.send(question)

    def hear(self, look: Callable[[], None]) -> Message:
        """The answer to the first question that has none."""
        while not self._answers:
            self._loop.wait(_LOOK_S)
            look()
        self._n_asked -= 1
        self.is_kept = False
        return self._answers.popleft()

    def is_alive(self) -> bool:
        """Whether an idle one has not ended since its last answer."""
        try:
            self._loop.wait(0)
        except EscpError:
            return False
        return not self._link.is_gone

    @property
    def is_idle(self) -> bool:
        return not self._n_asked and not self._link.is_gone

    def _take(self, link: AgentLink, message: Message) -> None:
        if message is link.hello:
            return
        if len(self._answers) >= self._n_asked:
            raise ProtocolError(f"the remote escp on {link.host} answers what nobody asked")
        self._answers.append(message)

    def close(self) -> None:
        if self.is_idle and self._link.hello is not None:
            self._link.say_bye()
        self._link.close()
        self._loop.close()


def _hear_nothing(_: str) -> None:
    """What there is to say of another agent of that host has been said of the first."""


def _hear_no_words(_: str, __: str) -> None:
    """The connection hears what comes through ssh."""


class FileLinks:
    """Those of one connection. Any thread may ask."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._free = threading.Semaphore(MAX_LINKS)
        self._idle: list[FileLink] = []
        self._is_closed = False

    @contextmanager
    def lend(self, look: Callable[[], None]) -> Iterator[FileLink]:
        while not self._free.acquire(timeout=_LOOK_S):
            look()
        link: FileLink | None = None
        try:
            self._connection.check()
            link = self._take_idle() or FileLink(self._connection, look)
            yield link
        finally:
            with self._lock:
                is_kept = link is not None and link.is_idle and not self._is_closed
                if is_kept and link is not None:
                    link.is_kept = True
                    self._idle.append(link)
            if link is not None and not is_kept:
                link.close()
            self._free.release()

    def _take_idle(self) -> FileLink | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                link = self._idle.pop()
            if link.is_alive():
                return link
            link.close()

    def close(self) -> None:
        """Does nothing in a child of fork(): it would take leave for the parent, on the same sockets."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    # ---- Questions of several messages --------------------------------------------------------------

    def ask(self, question: Message, look: Callable[[], None]) -> Message:
        with self.lend(look) as link:
            return link.ask(question, look)

    def list(self, path: bytes, look: Callable[[], None]) -> Iterator[Entries]:
        """The pages of a directory; the link is the caller's until the last one."""
        with self.lend(look) as link:
            answer = link.ask(List(path), look)
            while isinstance(answer, Entries):
                yield answer
                if answer.is_last:
                    return
                answer = link.ask(More(), look)
            raise ProtocolError(f"the remote escp on {self._connection.host} answers something else")

    def read(
        self, path: bytes, offset: int, n_bytes: int | None, look: Callable[[], None]
    ) -> tuple[bytes, bytes]:
        """Of one state of the file, and its stamp.

        Raises OSError, or RemoteFileError where the file changes meanwhile.
        """
        with self.lend(look) as link:
            first = self._check(link.ask(Read(path, offset, _at_once(n_bytes)), look))
            data = bytearray(first.data)
            end = first.size if n_bytes is None else min(offset + n_bytes, first.size)
            if len(data) != max(0, min(end - offset, MAX_READ_BYTES)):
                raise self._changed(path)
            # One by one: how many there are is the other side's word.
            places = iter(range(offset + len(data), end, MAX_READ_BYTES))
            place = next(places, None)
            wanted = deque[int]()
            while place is not None or wanted:
                while place is not None and len(wanted) < N_AHEAD:
                    wanted.append(min(MAX_READ_BYTES, end - place))
                    link.send(Read(path, place, wanted[-1]))
                    place = next(places, None)
                piece = self._check(link.hear(look))
                if piece.sys_errno or piece.stamp != first.stamp or len(piece.data) != wanted.popleft():
                    raise self._changed(path)
                data += piece.data
            return bytes(data), first.stamp

    def _check(self, answer: Message) -> Piece:
        if not isinstance(answer, Piece):
            raise ProtocolError(f"the remote escp on {self._connection.host} answers something else")
        if answer.sys_errno:
            raise OSError(answer.sys_errno, "read")
        return answer

    def _changed(self, path: bytes) -> RemoteFileError:
        shown = path.decode(errors="replace")
        return RemoteFileError(
            f"{self._connection.host}:{shown}: the source changed while it was read", is_retryable=True
        )


def _at_once(n_bytes: int | None) -> int:
    return MAX_READ_BYTES if n_bytes is None else min(n_bytes, MAX_READ_BYTES)

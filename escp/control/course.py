"""The course of a session as each end of the control channel sees it. Pure: no sockets, no clock.

    initiator  (marker) -> hello? -> hello! -> receive! link! -> opened? listening? streams result? -> bye!
                                            or send! sources! link! -> roots? accept! listening? ...
    agent       marker! -> hello! -> hello? and so on, the other way round

`?` is received, `!` is sent. Keepalives may come at any time after the hello, and errors even before it.

What may come after what, and what is owed for what, each message's class says (`messages`).

Who is asked something owes an answer, and keepalives are none: they only show that the peer is there.
While data streams run nothing is overdue: a disk may stand still for long, and orders may wait behind a
tunnel's data.
"""

from escp.constants import (
    AGENT_MUTE_S,
    AGENT_START_TIMEOUT_S,
    ANSWER_TIMEOUT_S,
    INITIATOR_SILENT_S,
    KEEPALIVE_S,
    PEER_SILENT_S,
    PROTOCOL_MAJOR,
)
from escp.control.codec import Decoder
from escp.control.message import Error, Hello, KeepAlive, Message
from escp.errors import AgentError, NetworkError, ProtocolError, from_exit_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from escp.control.message import Kinds

_SILENCE_S = 2 * KEEPALIVE_S  # a peer that runs is heard more often
MAX_UNREAD_BYTES = 16 << 20  # more waits only for an agent that goes on asking and reads no answer


class Course:
    """One end's view: what may come next, when to send a keepalive, when the peer counts as lost.

    *now* is a monotonic clock's seconds, given by the caller.
    """

    peer = "the peer"
    max_unread_bytes = float("inf")  # that the peer has not read: no limit, the initiator may be suspended
    teller = ""  # goes before what the peer says

    def __init__(self, now: float):
        self._decoder = Decoder(self.peer)
        self._seen: set[type[Message]] = set()
        self.has_failed = False  # the peer has said why it ends
        self._since_s: dict[type[Message], float] = {}  # what is owed to this end, and since when
        self._heard_s = now
        self._sent_s = now
        self.keepalive_s = KEEPALIVE_S

    def feed(self, data: bytes, now: float) -> list[Message]:
        """All messages in *data*, as `read` gives them."""
        return list(self.read(data, now))

    def read(self, data: bytes, now: float) -> "Iterator[Message]":
        """The messages in *data*, each allowed where it stands; then raises what an Error message reports."""
        self.heard(now)
        for message in self._decoder.feed(data):
            if isinstance(message, KeepAlive) and Hello in self._seen:
                continue
            if isinstance(message, Error):
                self.has_failed = True
                error = from_exit_code(message.exit_code, self.teller + message.message, message.hint)
                error.sys_errno = message.sys_errno
                raise error
            self._check_turn(type(message))
            self._since_s.pop(type(message), None)
            if isinstance(message, Hello):
                self._check_version(message)
            yield message

    @staticmethod
    def _before(kind: type[Message]) -> "Kinds | None":
        """What the peer must have sent before *kind*; None: it never sends that."""
        raise NotImplementedError

    def _check_turn(self, kind: type[Message]) -> None:
        before = self._before(kind)
        is_out = before is None or (before and self._seen.isdisjoint(before))
        if is_out or (kind in self._seen and not kind.repeats):
            raise ProtocolError(f"{self.peer} sent {kind.__name__.lower()!r} out of turn")
        self._seen.add(kind)

    def _check_version(self, hello: Hello) -> None:
        from escp import __version__

        if hello.major != PROTOCOL_MAJOR:
            raise AgentError(
                f"{self.peer} runs escp {hello.version} (protocol {hello.major}), "
                f"this is escp {__version__} (protocol {PROTOCOL_MAJOR})",
                "install the same release on both hosts, or name another remote escp with -D",
            )

    def heard(self, now: float) -> None:
        """The peer is there. After a long silence it had been stopped: it owes nothing for that time."""
        over_s = now - self._heard_s - _SILENCE_S
        if over_s > 0:
            self._since_s = {kind: min(now, since + over_s) for kind, since in self._since_s.items()}
        self._heard_s = now

    def begin_again(self, now: float) -> None:
        """What comes now comes another way, from the begin of a message on."""
        self._decoder = Decoder(self.peer)
        self.heard(now)

    def silent_s(self, now: float) -> float:
        """How long ago the peer was heard."""
        return now - self._heard_s

    def say_every(self, every_s: float | None) -> None:
        """Keepalives; None: as a session begins."""
        self.keepalive_s = KEEPALIVE_S if every_s is None else every_s

    def put_off(self, now: float) -> None:
        """This end does not listen for now, so the time up to now is no silence of the peer's."""
        self._heard_s = now
        self._since_s = dict.fromkeys(self._since_s, now)

    def told(self, message: Message, now: float) -> None:
        """*message* is on its way to the peer."""

    def sent(self, now: float) -> None:
        """A message was sent: no keepalive is due for a while."""
        self._sent_s = now

    def is_keepalive_due(self, now: float) -> bool:
        return now - self._sent_s >= self.keepalive_s

    def limit_s(self) -> float:
        """How long the peer may be silent now."""
        return PEER_SILENT_S

    def patience_s(self, owed: type[Message]) -> float:
        """How long a peer that is there may owe that message."""
        return self.limit_s()

    def check_silence(self, now: float) -> None:
        """Raises NetworkError when nothing has come for too long."""
        silent_s = self.silent_s(now)
        if silent_s > self.limit_s():
            raise NetworkError(
                f"nothing heard from {self.peer} for {silent_s:.0f} s", "check the network between the hosts"
            )

    def _check_owed(self, now: float) -> type[Message] | None:
        """What has been owed to this end for too long."""
        until_s = min(now, self._heard_s + _SILENCE_S)
        owed = self._since_s.items()
        return next((kind for kind, since in owed if until_s - since > self.patience_s(kind)), None)


class InitiatorCourse(Course):
    """The initiator's: first noise, then the marker, then the agent's messages."""

    max_unread_bytes = MAX_UNREAD_BYTES

    def __init__(self, now: float, host: str):
        self.peer = f"the remote escp on {host}"
        from escp.control.noise import NoiseSkipper  # not at the top: an agent has none to skip

        super().__init__(now)
        self.teller = f"{host}: "
        self.skipper = NoiseSkipper()
        self._is_running = False

    @staticmethod
    def _before(kind: type[Message]) -> "Kinds | None":
        return kind.agent

    def read(self, data: bytes, now: float) -> "Iterator[Message]":
        was_past_marker = self.skipper.is_past_marker
        data = self.skipper.feed(data)
        if self.skipper.is_past_marker and not was_past_marker:
            self._since_s[Hello] = now
        return super().read(data, now)

    def told(self, message: Message, now: float) -> None:
        if message.answer is not None:
            self._since_s[message.answer] = now

    def streams_run(self) -> None:
        """Data streams run, in which the agent may have to wait for its disk."""
        self._is_running = True

    def streams_ended(self, now: float) -> None:
        """All of them have ended well: nothing is left but the agent's account."""
        from escp.control.messages import Result  # not at the top: an agent says hello before it has these

        self._is_running = False
        if Result not in self._seen:
            self._since_s = {Result: now}

    def check_silence(self, now: float) -> None:
        super().check_silence(now)
        owed = None if self._is_running else self._check_owed(now)
        if owed is not None:
            raise NetworkError(
                f"{self.peer} is there, but has not {owed.done} for {now - self._since_s[owed]:.0f} s",
                "does the host, or its file system, hang?",
            )

    def limit_s(self) -> float:
        if not self.skipper.is_past_marker:
            return self.skipper.limit_s()
        return PEER_SILENT_S if Hello in self._seen else AGENT_MUTE_S

    def patience_s(self, owed: type[Message]) -> float:
        return AGENT_START_TIMEOUT_S if owed is Hello else ANSWER_TIMEOUT_S

    def is_keepalive_due(self, now: float) -> bool:
        return Hello in self._seen and super().is_keepalive_due(now)


class AgentCourse(Course):
    """The agent's: there is no noise, and the initiator owes it an order."""

    peer = "the initiator"

    @staticmethod
    def _before(kind: type[Message]) -> "Kinds | None":
        return kind.initiator

    def read(self, data: bytes, now: float) -> "Iterator[Message]":
        for message in super().read(data, now):
            if isinstance(message, Hello):
                self._since_s[Message] = now  # an order, of whatever kind
            elif message.initiator == (Hello,):  # an order
                self._since_s.clear()
            yield message

    def check_silence(self, now: float) -> None:
        super().check_silence(now)
        if self._check_owed(now) is not None:
            raise NetworkError(
                f"{self.peer} is there, but has not ordered anything for {self.limit_s():.0f} s", ""
            )

    def limit_s(self) -> float:
        return INITIATOR_SILENT_S

"""The course of a session as each end of the control channel sees it. Pure: no sockets, no clock.

    initiator  (marker) -> hello? -> hello! -> receive! link! -> opened? listening? streams result? -> bye!
                                            or send! sources! link! -> roots? accept! listening? ...
    agent       marker! -> hello! -> hello? and so on, the other way round

`?` is received, `!` is sent. Keepalives and errors may come at any time after the hello.
"""

from escp.constants import (
    AGENT_START_TIMEOUT_S,
    INITIATOR_SILENT_S,
    KEEPALIVE_S,
    PEER_SILENT_S,
    PROTOCOL_MAJOR,
)
from escp.control import (
    Accept,
    Allow,
    Allowed,
    Arrived,
    Bye,
    Chunk,
    Credit,
    Decoder,
    Error,
    Examine,
    Examined,
    FileFailed,
    Hello,
    KeepAlive,
    Link,
    Listed,
    Listening,
    Message,
    NoiseSkipper,
    Opened,
    Progress,
    Receive,
    Result,
    Roots,
    Send,
    Sources,
    Tunnel,
)
from escp.errors import AgentError, NetworkError, ProtocolError, from_exit_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# For each message: what must have come before it (one of them), and whether it may come again.
_Rules = dict[type, tuple[tuple[type, ...], bool]]

_FROM_AGENT: _Rules = {
    Hello: ((), False),
    Opened: ((Hello,), False),
    Roots: ((Hello,), True),
    Listening: ((Hello,), False),
    Arrived: ((Listening,), True),
    Allowed: ((Opened,), True),
    Credit: ((Hello,), True),
    Chunk: ((Hello,), True),
    Progress: ((Hello,), True),
    FileFailed: ((Hello,), True),
    Listed: ((Roots,), True),
    Result: ((Opened, Roots), False),
    Examined: ((Hello,), False),
}
_FROM_INITIATOR: _Rules = {
    Hello: ((), False),
    Send: ((Hello,), False),
    Receive: ((Hello,), False),
    Sources: ((Send,), True),
    Accept: ((Sources,), True),
    Allow: ((Receive,), True),
    Link: ((Send, Receive), False),
    Tunnel: ((Link,), False),
    Credit: ((Link,), True),
    Chunk: ((Link,), True),
    Examine: ((Hello,), False),
    Bye: ((Hello,), False),
}


MAX_UNREAD_BYTES = 16 << 20  # more is only for an agent that asks and asks, and reads no answer


class Course:
    """One end's view: what may come next, when to send a keepalive, when the peer counts as lost.

    *now* is a monotonic clock's seconds, given by the caller.
    """

    rules: _Rules
    peer = "the peer"
    max_unread_bytes = float("inf")  # waiting to be read by the peer: a suspended initiator has time
    teller = ""  # goes before what the peer says

    def __init__(self, now: float):
        self._decoder = Decoder(self.peer)
        self._seen: set[type] = set()
        self._heard_s = now
        self._sent_s = now

    def feed(self, data: bytes, now: float) -> list[Message]:
        """All messages in *data*, as `read` gives them."""
        return list(self.read(data, now))

    def read(self, data: bytes, now: float) -> "Iterator[Message]":
        """The messages in *data*, each allowed where it stands; then raises what an Error message reports."""
        self._heard_s = now
        for message in self._decoder.feed(data):
            if isinstance(message, KeepAlive):
                continue
            if isinstance(message, Error):
                raise from_exit_code(message.exit_code, self.teller + message.message, message.hint)
            self._check_turn(type(message))
            if isinstance(message, Hello):
                self._check_version(message)
            yield message

    def _check_turn(self, kind: type) -> None:
        before, may_repeat = self.rules.get(kind, ((kind,), False))
        is_out = before and self._seen.isdisjoint(before)
        if is_out or (kind in self._seen and not may_repeat):
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
        """Something showed that the peer is there."""
        self._heard_s = now

    def sent(self, now: float) -> None:
        """A message was sent: no keepalive is due for a while."""
        self._sent_s = now

    def is_keepalive_due(self, now: float) -> bool:
        return now - self._sent_s >= KEEPALIVE_S

    def limit_s(self) -> float:
        """How long the peer may be silent now."""
        return PEER_SILENT_S

    def check_silence(self, now: float) -> None:
        """Raises NetworkError when nothing has come for too long."""
        silent_s = now - self._heard_s
        if silent_s > self.limit_s():
            raise NetworkError(
                f"nothing heard from {self.peer} for {silent_s:.0f} s", "check the network between the hosts"
            )


class InitiatorCourse(Course):
    """The initiator's: first noise, then the marker, then the agent's messages."""

    rules = _FROM_AGENT
    max_unread_bytes = MAX_UNREAD_BYTES

    def __init__(self, now: float, host: str):
        self.peer = f"the remote escp on {host}"
        super().__init__(now)
        self.teller = f"{host}: "
        self.skipper = NoiseSkipper()

    def read(self, data: bytes, now: float) -> "Iterator[Message]":
        return super().read(self.skipper.feed(data), now)

    def limit_s(self) -> float:
        if not self.skipper.is_past_marker:
            return self.skipper.limit_s()
        return PEER_SILENT_S if self._seen else AGENT_START_TIMEOUT_S

    def is_keepalive_due(self, now: float) -> bool:
        return Hello in self._seen and super().is_keepalive_due(now)


class AgentCourse(Course):
    """The agent's."""

    rules = _FROM_INITIATOR
    peer = "the initiator"

    def limit_s(self) -> float:
        return INITIATOR_SILENT_S if self._seen else AGENT_START_TIMEOUT_S

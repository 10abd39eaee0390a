"""Streams whose connections break get others, as long as the user waits for that.

Over a connection that seems sound to both hosts' systems nothing may come either way. Who hears nothing for
long looks for another one beside it, and keeps the old one until the other end has proven the new one. Only
an end that hears nothing, either, has its port open: so an end that stands still, or a disk, breaks nothing.
"""

from escp.errors import NetworkError
from escp.failures import Failure
from escp.streams.listener import RETRY_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.lean.eventloop import EventLoop
    from escp.streams.connector import Connector
    from escp.streams.listener import Acceptor
    from escp.streams.streams import Streams

# After this side's end: the other one closes its connections a moment later, and that is no cut.
END_S = 1.0
DOUBT_S = 2.0  # between two looks for connections that bring nothing
# An end that only doubts, for hours if the other one's disk stands still, has its port open so long, then
# shut. The other end begins less than 10 s earlier or later, if it does, and tries every 2 s.
PORT_OPEN_S = 15.0
PORT_SHUT_S = 45.0


class Reconnector:
    """The plane tells of each cut, and when a stream goes on.

    *open(streams)* makes what gets connections: a Connector for those streams, or an Acceptor for all. It may
    raise NetworkError. *tell(text)* hears when the first stream is lost and the last one is back. *what*: the
    streams, for people.
    """

    def __init__(
        self,
        streams: "Streams",
        open: "Callable[[set[int]], Connector | Acceptor]",
        tell: "Callable[[str], None]",
        loop: "EventLoop",
        timeout_s: float,
        what: str = "the data streams",
    ):
        self._streams = streams
        self._open = open
        self._tell = tell
        self._loop = loop
        self._timeout_s = timeout_s
        self._what = what
        self._failures: dict[int, tuple[float, Failure]] = {}  # since when, and why
        self._opener: Connector | Acceptor | None = None
        self._open_s = 0.0  # not before
        self._shut_s = 0.0  # when its port is shut, if it has one
        self._begin_s = 0.0  # of an outage
        self._doubts: dict[int, int] = {}  # streams that bring nothing, and the numbers of their connections
        self._doubt_s = 0.0  # of the next look
        self.is_over = False  # this side is done

    def lose(self, stream: int, failure: Failure) -> None:
        """The stream broke. Raises the failure if there can be no other connection."""
        if self._streams.is_tunnel:
            raise failure.as_error(self._what)
        now = self._loop.now()
        if not self._failures:
            self._begin_s = now
            self._open_s = now + (END_S if self.is_over else 0.0)
            if not self.is_over:
                what = failure.cut or f"stream {stream + 1}"
                self._tell(f"data {what}: {failure.reason}; connecting again")
        self._failures.setdefault(stream, (now, failure))
        self._streams.cut.add(stream)
        if self._opener is not None:
            self._opener.want(stream, now)

    def resume(self, stream: int) -> None:
        """The stream goes on: the peer has proven the new connection's key."""
        if self._doubts.pop(stream, None) is not None:
            self._streams.doubted.discard(stream)
            self._tell(f"data stream {stream + 1} brought nothing any more: it has another connection")
            self._close_if_settled()
        if self._failures.pop(stream, None) is None:
            return
        self._streams.cut.discard(stream)
        if not self._failures:
            self._close_if_settled()
            if not self.is_over:
                self._tell(
                    f"all data streams are connected again, after {self._loop.now() - self._begin_s:.1f} s"
                )

    def end(self) -> None:
        """This side is done."""
        self.is_over = True

    @property
    def is_waiting(self) -> bool:
        return bool(self._failures) and not self.is_over

    def closed_s(self, now: float) -> float:
        """Since when the other side has closed all streams, as if it had ended; 0: it has not."""
        lost = self._failures.items()
        is_closed = len(lost) == self._streams.n_streams and all(
            failure.is_closed and stream not in self._streams.silenced for stream, (_, failure) in lost
        )
        return now - max(since for _, (since, _) in lost) if is_closed else 0.0

    @property
    def next_tick_s(self) -> float:
        if not self._failures and not self._doubts:
            return self._doubt_s
        return min(self._doubt_s, self._open_s if self._opener is None else self._opener.next_tick_s)

    def tick(self, now: float) -> None:
        """Raises NetworkError when a stream has been lost for too long."""
        if now >= self._doubt_s:
            self._doubt_s = now + DOUBT_S
            self._doubt(now)
        if not self._failures and not self._doubts:
            return
        since_s, failure = min(self._failures.values(), key=lambda one: one[0], default=(now, None))
        if failure is not None and now - since_s > self._timeout_s:
            error = failure.as_error(self._what)
            raise NetworkError(
                f"{error}; no other connection could be made for {self._timeout_s:.0f} s",
                "check the network between the hosts, and run the copy again; or wait longer, with "
                "--reconnect-timeout",
            )
        if self._opener is not None:
            self._opener.tick(now)
            self._shut(now)
        elif now >= self._open_s:
            try:
                self._opener = self._open(self._failures.keys() | self._doubts.keys())
                self._shut_s = now + PORT_OPEN_S
            except NetworkError:
                self._open_s = now + RETRY_S

    def _shut(self, now: float) -> None:
        """A port need not be open all the time."""
        assert self._opener is not None
        if self._opener.is_closed:  # something ran out
            self._opener, self._open_s = None, now + RETRY_S
        elif self._opener.is_port and not self._failures and now >= self._shut_s:
            self.close()
            self._open_s = now + PORT_SHUT_S

    def _doubt(self, now: float) -> None:
        """Look for connections that bring nothing."""
        streams = self._streams
        streams.doubt(now)
        for stream in self._doubts.keys() - streams.doubted:
            if streams.number(stream) == self._doubts[stream]:  # it has brought something
                del self._doubts[stream]
        if not self._doubts and not self._failures:
            self._open_s = now
        for stream in streams.doubted - self._doubts.keys():
            self._doubts[stream] = streams.number(stream)
            if self._opener is not None:
                self._opener.want(stream, now)
        self._close_if_settled()

    def _close_if_settled(self) -> None:
        if not self._failures and not self._doubts:
            self.close()

    def close(self) -> None:
        if self._opener is not None:
            self._opener.close()
        self._opener = None

"""Host to host through this one: two connected sockets a stream, and threads that pass on what is sealed.

Nothing here has the session's keys: the ends prove themselves to each other through the relay. Each leg has a
secret of its own, with which the relay and that leg's host find each other among strangers, and nothing else.
"""

import select

from escp._fast.crypto.channel import Channel
from escp._fast.planes.relay import RelayPlane
from escp.constants import TOLD_S
from escp.errors import NetworkError, describe_errno
from escp.lean import sockets
from escp.streams.listener import RETRY_S
from escp.streams.streams import Streams, shut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from escp.lean.eventloop import EventLoop
    from escp.streams.connector import Connector
    from escp.streams.leg import Leg
    from escp.streams.listener import Acceptor

_POLLRDHUP = 0x2000  # <poll.h>


class RelayLeg(Streams):
    """The connections to one of the two hosts: *secret* is this leg's, not the session's."""

    def adopt(self, stream: int, sock: sockets.Socket, channel: Channel, connection: int = 0) -> None:
        super().adopt(stream, sock, channel, connection)
        sock.setblocking(False)
        self.cut.discard(stream)

    def shut(self, stream: int) -> None:
        shut(self.proven[stream][0])

    def is_ended(self, stream: int) -> bool:
        """Whether the other host has ended the connection, perhaps behind what it has sent."""
        poll = select.poll()
        poll.register(self.proven[stream][0].fileno(), _POLLRDHUP)
        return bool(poll.poll(0))


class Relay:
    """Runs from `start` until both hosts have ended all streams, or `close`."""

    def __init__(self, near: RelayLeg, far: RelayLeg):
        self.legs = near, far
        self._plane = RelayPlane(near.n_streams)

    def start(self) -> None:
        for stream in range(self.legs[0].n_streams):
            self._attach(stream)
        for leg in self.legs:
            leg.forget()
        self._plane.start()

    def _attach(self, stream: int) -> None:
        near, far = (leg.proven[stream][0].fileno() for leg in self.legs)
        self._plane.attach(stream, near, far)

    def is_over(self, stream: int) -> bool:
        """Whether that stream has ended, well or not."""
        return self._plane.is_over(stream)

    def start_again(self, stream: int) -> None:
        """Both legs have other connections for a stream that was over."""
        self._attach(stream)
        self._plane.start_again(stream)

    @property
    def reason(self) -> str:
        """Why it gave up; "" while it has not."""
        return describe_errno(self._plane.sys_errno) if self._plane.sys_errno else ""

    def close(self) -> None:
        self._plane.stop()
        self._plane.join()
        for leg in self.legs:
            leg.close()


class RelayReconnector:
    """Both legs of a stream that an agent says is cut get other connections.

    That it has ended is no sign: streams end well one after the other. *tell(text)* hears when the first one
    is lost and the last one is back; *ways* are the legs' ways, as `Relay` has them.
    """

    def __init__(
        self, relay: Relay, ways: "Sequence[Leg]", tell: "Callable[[str], None]", loop: "EventLoop",
        timeout_s: float, what: str,
    ):  # fmt: skip
        self._relay = relay
        self._ways = list(zip(relay.legs, ways, strict=True))
        self._tell = tell
        self._loop = loop
        self._timeout_s = timeout_s
        self._what = what
        self._since_s: dict[int, float] = {}  # of streams that are cut
        # When an agent said that nothing comes over its leg's connection of that number.
        self._doubts: dict[tuple[RelayLeg, int], tuple[int, float]] = {}
        self._ending: set[int] = set()  # of those, whose threads have not noticed yet
        self._begin_s = 0.0
        self._openers: dict[RelayLeg, Connector | Acceptor] = {}
        self._open_s = 0.0

    def lose(self, leg: RelayLeg, stream: int, connection: int) -> None:
        """An agent says that this connection of its leg broke. Of an older one there is another already."""
        if stream in self._since_s or connection != leg.number(stream):
            return
        if any(one.is_tunnel for one in self._relay.legs):
            raise NetworkError(f"{self._what}: stream {stream + 1} was cut off, and goes through ssh in part")
        now = self._loop.now()
        if not self._since_s:
            self._begin_s = now
            self._tell(f"data stream {stream + 1} through this host was cut off; connecting again")
        self._since_s[stream] = now
        self._ending.add(stream)
        for one in self._relay.legs:
            one.shut(stream)

    def doubt(self, leg: RelayLeg, stream: int, connection: int) -> None:
        """An agent hears nothing over this connection of its leg, though it seems to be sound.

        If the other one hears something, or its disk stands still, the connection is sound indeed.
        """
        self._doubts[leg, stream] = connection, self._loop.now()
        if all(self._is_doubted(one, stream) for one in self._relay.legs):
            self.lose(leg, stream, connection)

    def _is_doubted(self, leg: RelayLeg, stream: int) -> bool:
        connection, since_s = self._doubts.get((leg, stream), (-1, 0.0))
        is_recent = self._loop.now() - since_s < TOLD_S
        return is_recent and connection == leg.number(stream) and not leg.is_tunnel

    @property
    def is_waiting(self) -> bool:
        return bool(self._since_s)

    @property
    def next_tick_s(self) -> float:
        return min((opener.next_tick_s for opener in self._openers.values()), default=float("inf"))

    def tick(self, now: float) -> None:
        """Raises NetworkError when a stream has been lost for too long."""
        if not self._since_s:
            return
        if now - min(self._since_s.values()) > self._timeout_s:
            raise NetworkError(
                f"{self._what}: no other connection could be made for {self._timeout_s:.0f} s",
                "check the network between the hosts, and run the copy again; or wait longer, with "
                "--reconnect-timeout",
            )
        for stream in [one for one in self._ending if self._relay.is_over(one)]:
            self._ending.discard(stream)
            for leg in self._relay.legs:
                leg.cut.add(stream)
        for leg, way in self._ways:
            self._open(leg, way, now)
        for stream in [one for one in self._since_s if one not in self._ending]:
            self._join(stream)
        if not self._since_s:
            self.close()
            self._tell(
                f"all data streams are connected again, after {self._loop.now() - self._begin_s:.1f} s"
            )

    def _open(self, leg: RelayLeg, way: "Leg", now: float) -> None:
        for stream in self._since_s:  # one whose other leg was waited for
            if stream not in self._ending and stream not in leg.cut and leg.is_ended(stream):
                leg.cut.add(stream)
        if not leg.cut:
            if opener := self._openers.pop(leg, None):
                opener.close()
        elif leg in self._openers:
            for stream in leg.cut:
                self._openers[leg].want(stream, now)
            self._openers[leg].tick(now)
        elif now >= self._open_s:
            try:
                self._openers[leg] = way.reopen(set(leg.cut))
            except NetworkError:
                self._open_s = now + RETRY_S

    def _join(self, stream: int) -> None:
        if not any(stream in leg.cut for leg in self._relay.legs):
            del self._since_s[stream]
            self._relay.start_again(stream)

    def close(self) -> None:
        for opener in self._openers.values():
            opener.close()
        self._openers.clear()

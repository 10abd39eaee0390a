"""An agent as the initiator sees it: its process and the control channel to it."""

import time
from collections.abc import Callable

from escp import __version__
from escp.constants import PROTOCOL_MAJOR, PROTOCOL_MINOR
from escp.control.channel import ControlChannel
from escp.control.course import InitiatorCourse
from escp.control.messages import Bye, Hello, Message
from escp.errors import EscpError
from escp.lean.eventloop import EventLoop
from escp.options.location import Location
from escp.remote.child import AgentProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.push.talk import PushSkipper


class AgentLink:
    """*take(link, message)* hears of every message, of `Hello` once it has been answered."""

    def __init__(
        self,
        process: AgentProcess,
        location: Location,
        loop: EventLoop,
        take: "Callable[[AgentLink, Message], None]",
        note: Callable[[str], None],
        announce: Callable[[str], None],
        words: Callable[[str, str], None],
    ):
        """*words(host, line)* hears what comes through ssh's standard error."""
        self.location = location
        self.host = location.host or ""
        self.hello: Hello | None = None
        self.is_gone = False  # the control channel has ended
        self._has_said_bye = False
        # Asked when its ssh is lost, or the way that has replaced that: whether the channel may come back.
        self.outlives: Callable[[AgentLink, EscpError | None], bool] | None = None
        self.note = note
        self.find_connection = process.find_connection
        self.is_asking = process.is_asking
        self.can_outlive = process.can_outlive
        self._process = process
        self._loop = loop
        self._take_message = take
        self._course = InitiatorCourse(loop.now(), self.host)
        self._login = process.watch_login(loop.now())
        self._pusher = None if process.tree is None else _make_pusher(process, loop, self._hear, announce)
        if self._pusher is not None:
            self._course.skipper = self._pusher
        self.channel = ControlChannel(
            loop, self._course, process.read_fd, process.write_fd, self._take, self._end
        )
        self.send = self.channel.send
        self.streams_run = self._course.streams_run
        self.silent_s = self._course.silent_s
        process.words.listen(loop, lambda line: words(self.host, line))

    def streams_ended(self) -> None:
        self._course.streams_ended(self._loop.now())

    def tick(self, now: float) -> None:
        """As ControlChannel.tick."""
        self.channel.tick(now)
        if self._login is not None and not self._course.skipper.is_past_marker:
            self._login.check(now)
        self._process.words.tick(time.monotonic())  # of lines, not of what is waited for

    def hold(self, *, is_held: bool) -> None:
        """Stop, or go on, listening to the agent. It still gets keepalives."""
        self.channel.hold(is_held=is_held)
        self._process.words.hold(is_held=is_held)

    def _hear(self) -> None:
        self._course.heard(self._loop.now())

    def _take(self, message: Message) -> None:
        if isinstance(message, Hello):
            if self._course.skipper.noise:
                noise = self._course.skipper.noise.decode(errors="replace")
                self.note(f"{self.host} printed before escp started: {noise}")
            self.note(f"{self.host} runs escp {message.version}")
            self.send(Hello(PROTOCOL_MAJOR, PROTOCOL_MINOR, __version__, []))
            self.hello = message
            if self._process.tree is not None:
                from escp.remote.push.memory import remember  # lazy: most hosts have escp

                remember(self.location, self._process.tree.identity)
        self._take_message(self, message)

    def has_feature(self, name: str) -> bool:
        """Whether the agent has said hello, and that it has that one."""
        return self.hello is not None and name in self.hello.features

    def _end(self) -> None:
        if self._course.has_failed:
            self.is_gone = True
            return  # why, has been said
        skipper = self._course.skipper
        if self.channel.is_replaced and self.outlives is not None and self.outlives(self, None):
            return
        if self._pusher is not None and not skipper.is_past_marker:
            self.is_gone = True
            raise self._pusher.explain_end()
        error = self._process.explain_end(skipper.noise, is_past_marker=skipper.is_past_marker)
        if self._process.has_lost_host and self.outlives is not None and self.outlives(self, error):
            return
        self.is_gone = True
        raise error

    @property
    def _may_hear(self) -> bool:
        """Whether it has said hello, and its channel is there."""
        return self.hello is not None and not self.is_gone and not self.channel.is_away

    @property
    def may_have_ended(self) -> bool:
        """Once its ssh is lost: whether that may be so because the agent itself was killed."""
        return self._process.has_said_nothing

    @property
    def why(self) -> str:
        """What ssh said last, to stand behind a sentence."""
        return self._process.why

    def say_bye(self, *, is_whole: bool = False, is_unsafe: bool = False) -> None:
        """The last order: as `Bye`."""
        self.send(Bye(is_whole, is_unsafe))
        self._has_said_bye = True

    def say_unsafe(self) -> None:
        """What has come may not be on its disk. At once: an agent may end when its streams break off."""
        if self._may_hear:
            self.say_bye(is_unsafe=True)
            self.channel.flush()

    def wait(self, timeout_s: float) -> None:
        """For the agent's end, once it has been told Bye."""
        self.channel.flush()
        self._process.wait(timeout_s)

    def close(self) -> None:
        if self._has_said_bye:
            self.channel.flush()  # it may need a moment to read it
        elif self._may_hear:
            self.say_bye()  # else this end looks like a lost ssh, and the agent waits for another way
        self.channel.close()
        self._process.words.leave()
        if self._pusher is not None:
            self._pusher.close()
        self._process.close_channel()


def _make_pusher(
    process: AgentProcess, loop: EventLoop, heard: Callable[[], None], announce: Callable[[str], None]
) -> "PushSkipper":
    from escp.remote.push.talk import PushSkipper  # lazy: most hosts have escp

    assert process.tree
    return PushSkipper(process, process.tree, loop, heard, announce)

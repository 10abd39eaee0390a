"""An agent that carries the sessions of others: a program logs in once, and each of its copies has an agent.

Every copy has a process of its own, with its own secret, as if ssh had started it. What ends one of them ends
no other, and none waits for another's disk; this one touches no file.
"""

import os

from escp.constants import KEEPALIVE_S
from escp.control.carrier import Carrier
from escp.control.channel import ControlChannel
from escp.control.messages import Begin, Bye, Ended, Leave, Message
from escp.errors import ProtocolError, describe_errno
from escp.lean import signals
from escp.lean.eventloop import EventLoop
from escp.process.children import LOOK_S, exit_code, open_end
from escp.process.environment import child_environment, own_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp.agent.site import Site


class Sessions:
    """In the place of `Service`, from `Carry` to the initiator's `Bye`."""

    def __init__(self, loop: EventLoop, channel: ControlChannel, words: "Sequence[str]", site: "Site | None"):
        """*words*: this agent's own command line, which the others get, too; *site*: its host's rules."""
        self._site = site
        self.is_done = False
        self._loop = loop
        self._channel = channel
        self._words = words
        self._pids: dict[int, int] = {}
        self._ending: list[int] = []  # numbers of those of whose end the kernel does not tell
        channel.last(is_lasting=False)
        channel.last(is_lasting=False)
        channel.tunnel = self._carrier = Carrier(
            loop, channel.send, lambda: channel.n_pending, "the initiator", self._has_ended
        )

    @property
    def next_tick_s(self) -> float:
        return self._loop.now() + (LOOK_S if self._ending else KEEPALIVE_S)

    def tick(self, now: float) -> None:
        """The time of a session is that of the login, however many copies it was for."""
        if self._site is not None:
            self._site.check_time(now)
        for number in [*self._ending]:
            self._reap(number)

    def take(self, message: Message) -> None:
        if isinstance(message, Begin):
            self._begin(message.number)
        elif isinstance(message, Leave):
            if message.number in self._pids:  # else it ended while this was on its way
                self._carrier.finish(message.number)
        elif isinstance(message, Bye):
            self.is_done = True
        else:
            raise ProtocolError("the initiator wants a copy of an agent that carries others")

    def _begin(self, number: int) -> None:
        self._carrier._check(number)
        if number in self._pids:
            raise ProtocolError("the initiator begins a session that is there")
        far = self._carrier.open(number)
        try:
            self._pids[number] = os.posix_spawn(
                (command := [*own_command(), *self._words])[0],
                command,
                child_environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, far.fileno(), fd) for fd in (0, 1)],
                setsigdef=[signals.SIGPIPE],
            )
        except OSError as e:
            self._carrier.drop(number)
            self._channel.send(Ended(number, 255, describe_errno(e.errno or 0)))
        finally:
            far.close()

    def _has_ended(self, number: int) -> None:
        """It has closed its output, and is about to end."""
        fd = open_end(self._pids[number])
        if fd < 0:
            self._ending.append(number)
            return
        self._loop.watch(fd, lambda: self._take_end(number, fd))

    def _take_end(self, number: int, fd: int) -> None:
        self._loop.unwatch(fd)
        os.close(fd)
        self._reap(number)

    def _reap(self, number: int) -> None:
        pid, status = os.waitpid(self._pids[number], os.WNOHANG)
        if pid == 0:
            return
        del self._pids[number]
        if number in self._ending:
            self._ending.remove(number)
        self._channel.send(Ended(number, exit_code(status)))

    def outlive(self) -> bool:
        """What is carried ends with what carries it."""
        return False

    def await_initiator(self) -> None:
        """It does not come back."""

    def close(self) -> None:
        """The others read the end of their input, and end."""
        self._carrier.close()

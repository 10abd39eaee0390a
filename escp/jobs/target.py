"""The receiving end as a job sees it, wherever it is: opened once, then told what may come, page by page."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

from escp.control.messages import Allow, Allowed, Expect, Expected, Message, Opened, Receive
from escp.errors import LocalFileError, ProtocolError
from escp.jobs.orders import check_age
from escp.lean.eventloop import EventLoop
from escp.names.destination import is_special
from escp.streams.receiveend import ReceiveEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.agentlink import AgentLink
    from escp.streams.blocks import BlockSink
    from escp.streams.endlistener import Listener

_NOTHING: Mapping[bytes, bytes] = {}


def _do_nothing() -> None:
    pass


EXPECT_BYTES = 1 << 18  # of names in one message, which spells each byte with two
MAX_EXPECT = 4000  # of them


class Target(ABC):
    """*then* is called when what was asked for is done: at once, or when an agent has answered."""

    end: ReceiveEnd | None = None  # here
    agent: "AgentLink | None" = None  # or there
    names_below: bool | None = None  # the sources' names go below the target; None: it is not open yet
    max_large = 0  # files that it can have open at the same time; 0: it does not say
    is_in_order = False  # a pipe or device: all through one stream, and no holes
    hears_begun = True  # it is told of a directory before anything in it comes
    judges_nodes = True  # it can be asked whether a link or device is there already

    @abstractmethod
    def open(
        self, wanted: Receive, n_streams: int, then: Callable[[], None],
        link: Callable[[], None] = _do_nothing, expected: Mapping[bytes, bytes] = _NOTHING,
    ) -> None:  # fmt: skip
        """*link* is called when its agent may be told of its streams, and before *then*.

        *expected*: digests of files, by their paths from the source's own name on.
        Raises RefusedError, LocalFileError or ProtocolError; an agent says by itself what it can't.
        """

    @property
    def keeps_parts(self) -> bool:
        """Of large files, if it is asked to."""
        return True

    @abstractmethod
    def allow(self, names: list[bytes], directories: Sequence[int], then: Callable[[], None]) -> None:
        """These may come from now on; *directories*: for each 1 if it is one."""


class HereTarget(Target):
    """This process receives, from *sender*, as messages call it."""

    def __init__(
        self, path: bytes, loop: EventLoop, listener: "Listener", *, block_bytes: int,
        sender: str = "", direct_bytes: int = 0, reconnects: bool = False, memory: "BlockSink | None" = None,
    ):  # fmt: skip
        self._path = path
        self._memory = memory
        self._loop, self._listener = loop, listener
        self._block_bytes, self._direct_bytes = block_bytes, direct_bytes
        self._sender = sender
        self._reconnects = reconnects
        self.is_in_order = is_special(path)  # before it is opened: streams are asked for earlier

    def open(
        self, wanted: Receive, n_streams: int, then: Callable[[], None],
        link: Callable[[], None] = _do_nothing, expected: Mapping[bytes, bytes] = _NOTHING,
    ) -> None:  # fmt: skip
        self.end = ReceiveEnd(wanted, is_remote=False)
        self.end.expect([*expected], [*expected.values()])
        if self.end.is_in_order != self.is_in_order:
            shown = os.fsdecode(self._path)
            raise LocalFileError(f"the target '{shown}' changed while it was looked at")
        self.end.open(
            n_streams=n_streams, block_bytes=self._block_bytes, loop=self._loop, listener=self._listener,
            direct_bytes=self._direct_bytes, reconnects=self._reconnects, memory=self._memory,
        )  # fmt: skip
        self.names_below, self.max_large = self.end.names_below, self.end.max_large
        link()
        then()

    def allow(self, names: list[bytes], directories: Sequence[int], then: Callable[[], None]) -> None:
        assert self.end
        self.end.allow(names, [bool(flag) for flag in directories], self._sender)
        then()


class AgentTarget(Target):
    """An agent receives. Its streams are the job's subject."""

    def __init__(self, agent: "AgentLink"):
        self.agent = agent
        self._link = agent
        self.hears_begun = self.judges_nodes = False  # before it has said hello
        self._then: dict[type[Message], Callable[[], None]] = {}  # what to do once that answer is there

    def open(
        self, wanted: Receive, n_streams: int, then: Callable[[], None],
        link: Callable[[], None] = _do_nothing, expected: Mapping[bytes, bytes] = _NOTHING,
    ) -> None:  # fmt: skip
        check_age(wanted, self._link)
        if not expected:
            self._ask(wanted, Opened, then)
            link()
            return
        pages = _cut_pages(expected)

        def tell_next() -> None:
            page = next(pages, None)
            if page is None:
                link()
                then()
            else:
                self._ask(page, Expected, tell_next)

        self._ask(wanted, Opened, tell_next)

    def allow(self, names: list[bytes], directories: Sequence[int], then: Callable[[], None]) -> None:
        self._ask(Allow(names, list(directories)), Allowed, then)

    @property
    def keeps_parts(self) -> bool:
        return self._link.has_feature("resume")

    def _ask(self, order: Message, answer: type[Message], then: Callable[[], None]) -> None:
        self._then[answer] = then
        self._link.send(order)

    def take(self, message: Message) -> bool:
        """Whether *message* is an answer. Raises ProtocolError for one that nobody waits for."""
        if not isinstance(message, Opened | Allowed | Expected):
            return False
        then = self._then.pop(type(message), None)
        if then is None:
            raise ProtocolError(f"the remote escp on {self._link.host} allows what nobody asked for")
        if isinstance(message, Opened):
            self.hears_begun = self._link.has_feature("begun")
            self.judges_nodes = self._link.has_feature("nodes")
            self.names_below, self.is_in_order = message.names_below, message.is_in_order
        then()
        return True


def _cut_pages(expected: Mapping[bytes, bytes]) -> Iterator[Expect]:
    names: list[bytes] = []
    digests: list[bytes] = []
    n_bytes = 0
    for name, digest in expected.items():
        if names and (n_bytes + len(name) > EXPECT_BYTES or len(names) == MAX_EXPECT):
            yield Expect(names, digests)
            names, digests, n_bytes = [], [], 0
        names.append(name)
        digests.append(digest)
        n_bytes += len(name)
    yield Expect(names, digests)

"""Digests of files, asked for page by page where the files are: an agent's, or this host's."""

from collections import deque
from collections.abc import Callable, Iterator

from escp.control.messages import Message
from escp.control.survey import Find, Measure, Measured
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop
from escp.lean.record import Record
from escp.names.survey import Survey, unpack_time
from escp.streams.digests import Sha256, open_directory, open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.agentlink import AgentLink

MAX_NAMES = 512  # of a page
MAX_BYTES = 1 << 17
MAX_AHEAD = 1024  # names that are asked for and not answered


class Measurement(Record):
    """What became of one name; with *sys_errno* the rest says nothing."""

    name: bytes
    digest: bytes
    size: int
    mtime_ns: int
    sys_errno: int


class Place:
    """Where the files are. *take* hears of `Measured` and `Found`; an agent's come to its job."""

    def __init__(self, agent: "AgentLink | None", loop: EventLoop, take: Callable[[Message], None]):
        self._survey: Survey | None = None
        if agent is None:
            self._survey = Survey(
                loop, take, is_remote=False,
                open_below=open_directory, open_inside=open_inside, new_sum=Sha256,
            )  # fmt: skip
            self.send: Callable[[Measure | Find], None] = self._survey.take
        else:
            self.send = agent.send

    @property
    def is_here(self) -> bool:
        return self._survey is not None

    def tick(self) -> None:
        if self._survey is not None:
            self._survey.tick()

    def close(self) -> None:
        if self._survey is not None:
            self._survey.close()


class Measuring:
    """`ask` as long as it is not done, and hand it the answers."""

    def __init__(self, place: Place, path: bytes, names: Iterator[bytes], *, is_confined: bool = False):
        """*names*: of files below *path*; *is_confined*: no link leads out of that."""
        self._is_confined = is_confined
        self._place, self._path, self._names = place, path, names
        self._asked: deque[bytes] = deque()
        self._has_all = False
        self.n_bytes = 0  # read

    @property
    def is_done(self) -> bool:
        return self._has_all and not self._asked

    def ask(self) -> None:
        while not self._has_all and len(self._asked) < MAX_AHEAD:
            page: list[bytes] = []
            n_bytes = 0
            while len(page) < MAX_NAMES and n_bytes < MAX_BYTES:
                name = next(self._names, None)
                if name is None:
                    self._has_all = True
                    break
                page.append(name)
                n_bytes += len(name)
            self._asked += page
            if page:
                self._place.send(Measure(self._path, page, self._is_confined))

    def take(self, message: Measured) -> list[Measurement]:
        """Raises ProtocolError."""
        lists = (message.digests, message.sizes, message.times, message.errnos)
        n = len(message.digests)
        if n > len(self._asked) or any(len(one) != n for one in lists):
            raise ProtocolError("the other escp tells digests that nobody asked for")
        found = []
        for digest, size, time, number in zip(*lists, strict=True):
            try:
                mtime_ns = unpack_time(time)
            except ValueError as e:
                raise ProtocolError("the other escp tells a time that is none") from e
            if not number and len(digest) != 32:
                raise ProtocolError("the other escp tells a digest that is none")
            found.append(Measurement(self._asked.popleft(), digest, size, mtime_ns, number))
        self.n_bytes += message.n_bytes
        return found

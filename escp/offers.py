"""What a sending agent is asked for and what it offers: each name is checked against the user's words."""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from escp.control import Roots
from escp.errors import ProtocolError
from escp.globbing import check_offered_name
from escp.sources import Source

MAX_PAGE_SOURCES = 1024
MAX_PAGE_BYTES = 1 << 17  # of their paths


def take_page(sources: Iterator[Source]) -> tuple[list[Source], bool]:
    """The next sources, not too many at a time, and whether they are the last ones."""
    page: list[Source] = []
    n_bytes = 0
    for source in islice(sources, MAX_PAGE_SOURCES):
        page.append(source)
        n_bytes += len(source[0])
        if n_bytes > MAX_PAGE_BYTES:
            return page, False
    return page, len(page) < MAX_PAGE_SOURCES


class Offers:
    """One page of roots at a time: `ask`, `take`, and `close_page` once it has been accepted."""

    def __init__(self, sources: Iterator[Source]):
        self._sources = sources
        self._asked: deque[Source] = deque()  # sources whose roots have not all come
        self._n_before = 0  # sources in front of those
        self._has_root = False  # the first of them has at least one
        self._page: Roots | None = None
        self._names: list[bytes] = []

    def ask(self) -> tuple[list[bytes], bool]:
        """The paths to ask for next, and whether they are the last ones."""
        page, is_last = take_page(self._sources)
        self._asked += page
        return [path for path, _ in page], is_last

    def take(self, roots: Roots) -> None:
        """Roots that the agent has found. Raises RefusedError or ProtocolError for what was not asked for."""
        if self._page is not None or not len(roots.sources) == len(roots.names) == len(roots.directories):
            raise ProtocolError("the remote host offers sources out of turn")
        self._names = []
        for number, name in zip(roots.sources, roots.names, strict=True):
            path, wanted = self._find(number)
            check_offered_name(path, name)
            self._names.append(name if wanted is None else wanted)
        if (roots.wants_more or roots.is_last) and len(self._asked) > self._has_root:
            raise ProtocolError("the remote host left out a source")
        self._page = roots

    def _find(self, number: int) -> Source:
        """The source of that number; those before it are done with, each has had a root."""
        if self._has_root and number == self._n_before + 1:
            self._asked.popleft()
            self._n_before += 1
            self._has_root = False
        if number != self._n_before or not self._asked:
            raise ProtocolError("the remote host offers what was not asked for")
        self._has_root = True
        return self._asked[0]

    @property
    def has_page(self) -> bool:
        """Roots have come that were not accepted yet."""
        return self._page is not None

    @property
    def is_single(self) -> bool:
        """The page is the only one, and has one root."""
        return self._page is not None and self._page.is_last and len(self._names) == 1

    @property
    def directories(self) -> list[int]:
        """For each root of the page 1 if it is a directory, else 0."""
        return self._page.directories if self._page is not None else []

    @property
    def first_path(self) -> bytes:
        return self._asked[0][0]

    def names(self, *, names_below: bool) -> list[bytes]:
        """What each root of the page is to be called at the target."""
        return self._names if names_below else [b""] * len(self._names)

    def close_page(self) -> bool:
        """The page is accepted; True when the agent wants to be asked for more."""
        if self._page is None:
            raise ProtocolError("the remote host allows what nobody asked for")
        page, self._page = self._page, None
        return page.wants_more

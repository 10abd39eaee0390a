"""What a sending agent is asked for and what it offers: each name is checked against the user's words."""

from collections import deque

from escp.control.messages import Roots
from escp.errors import ProtocolError
from escp.names.globbing import check_offered_name, has_magic
from escp.names.sources import Source, SourceQueue


class Offers:
    """One page of roots at a time: `ask`, `take`, and `close_page` once it has been accepted."""

    def __init__(self, sources: SourceQueue, host: str):
        self._sources = sources
        self._peer = f"the remote escp on {host}"
        self._asked: deque[Source] = deque()  # sources whose roots have not all come
        self._n_before = 0  # sources in front of those
        self._has_root = False  # the first of them has at least one
        self._page: Roots | None = None
        self._names: list[bytes] = []
        self._has_asked_all = False
        self.is_finished = False  # the last page has been accepted

    def ask(self) -> tuple[list[bytes], bool]:
        """The paths to ask for next, as far as they are known, and whether they are the last ones."""
        page, is_last = self._sources.take()
        self._has_asked_all = is_last
        self._asked += page
        return [path for path, _ in page], is_last

    def take(self, roots: Roots) -> None:
        """Roots that the agent has found. Raises RefusedError or ProtocolError for what was not asked for."""
        if self._page is not None or not len(roots.sources) == len(roots.names) == len(roots.directories):
            raise ProtocolError(f"{self._peer} offers sources out of turn")
        if roots.errnos and len(roots.errnos) != len(roots.names):
            raise ProtocolError(f"{self._peer} offers sources out of turn")
        is_end = roots.wants_more or roots.is_last
        if self.is_finished or not (roots.names or is_end):
            raise ProtocolError(f"{self._peer} offers nothing")
        if is_end and (roots.is_last, roots.wants_more) != (self._has_asked_all, not self._has_asked_all):
            raise ProtocolError(f"{self._peer} does not know which source is the last one")
        self._names = []
        for number, name in zip(roots.sources, roots.names, strict=True):
            path, wanted = self._find(number)
            check_offered_name(path, name, self._peer)
            if self._has_root and not has_magic(path):
                raise ProtocolError(f"{self._peer} offers a source twice")
            self._has_root = True
            self._names.append(name if wanted is None else wanted)
        if is_end and len(self._asked) > self._has_root:
            raise ProtocolError(f"{self._peer} left out a source")
        self._page = roots

    def _find(self, number: int) -> Source:
        """The source of that number; those before it are done with, each has had a root."""
        if self._has_root and number == self._n_before + 1:
            self._asked.popleft()
            self._n_before += 1
            self._has_root = False
        if number != self._n_before or not self._asked:
            raise ProtocolError(f"{self._peer} offers what was not asked for")
        return self._asked[0]

    @property
    def has_asked(self) -> bool:
        """The first sources have been asked for."""
        return bool(self._asked) or self._has_asked_all

    @property
    def has_page(self) -> bool:
        """Roots have come that were not accepted yet."""
        return self._page is not None

    @property
    def is_single(self) -> bool:
        """The page is the only one, and has one root."""
        if self._page is None or len(self._names) != 1:
            return False
        return self._page.is_last or not has_magic(self.first_path)

    @property
    def directories(self) -> list[int]:
        """For each root of the page 1 if it is a directory, else 0."""
        return self._page.directories if self._page is not None else []

    @property
    def first_errno(self) -> int:
        """Why the first root of the page can't be looked at; 0 where it can."""
        return self._page.errnos[0] if self._page is not None and self._page.errnos else 0

    @property
    def first_path(self) -> bytes:
        return self._asked[0][0]

    def names(self, *, names_below: bool) -> list[bytes]:
        """What each root of the page is to be called at the target."""
        return self._names if names_below else [b""] * len(self._names)

    def close_page(self) -> bool:
        """The page is accepted; True when the agent wants to be asked for more."""
        if self._page is None:
            raise ProtocolError("the receiving host allows what nobody asked for")
        page, self._page = self._page, None
        self.is_finished = page.is_last
        return page.wants_more

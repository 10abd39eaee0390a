"""What a sending agent finds for the paths that it is asked for; `offers` is the other end of this."""

from collections import deque
from collections.abc import Iterator

from escp.control.messages import Roots
from escp.errors import ProtocolError
from escp.names.destination import expand_home
from escp.names.globbing import expand, look_at, root_name

MAX_PAGE_ROOTS = 2048
MAX_PAGE_BYTES = 1 << 18  # of names


class RootFinder:
    """One page of roots at a time: `ask`, `next_page`, `accept`."""

    def __init__(self, *, keeps_links: bool):
        self._keeps_links = keeps_links
        self._requests: deque[tuple[int, bytes]] = deque()
        self._n_requests = 0
        self._has_all_requests = False
        self._found = self._find()
        self._offered: list[bytes] | None = None  # paths of the roots that wait for `accept`
        self.is_drained = False  # nothing is left of the requests so far
        self.is_last = False  # nor will there be

    def ask(self, paths: list[bytes], *, is_last: bool) -> None:
        """More paths, as the user wrote them."""
        for path in paths:
            self._requests.append((self._n_requests, path))
            self._n_requests += 1
        self._has_all_requests = is_last
        self.is_drained = False

    def _find(self) -> Iterator[tuple[int, bytes, bytes, bool, int]]:
        """Of what the requests lead to so far: number of the request, path, name, and what `look_at` says."""
        while True:
            while self._requests:
                number, request = self._requests.popleft()
                for path in expand(expand_home(request)):
                    found = look_at(path, keeps_links=self._keeps_links)
                    yield number, path, root_name(request, path), *found
            yield -1, b"", b"", False, 0  # no more for now

    @property
    def is_offering(self) -> bool:
        """A page waits for `accept`."""
        return self._offered is not None

    def next_page(self) -> Roots:
        """The next roots; the initiator says what they are to be called."""
        page = Roots([], [], [], False, False)
        errnos: list[int] = []
        self._offered = []
        n_bytes = 0
        while not self.is_drained and len(page.names) < MAX_PAGE_ROOTS and n_bytes < MAX_PAGE_BYTES:
            number, path, name, is_folder, why_not = next(self._found)
            if number < 0:
                self.is_drained = True
                break
            self._offered.append(path)
            page.sources.append(number)
            page.names.append(name)
            page.directories.append(int(is_folder))
            errnos.append(why_not)
            n_bytes += len(name) + len(path)
        self.is_last = self.is_drained and self._has_all_requests
        return page._replace(
            wants_more=self.is_drained and not self.is_last,
            is_last=self.is_last,
            errnos=errnos if any(errnos) else [],
        )

    def accept(self, names: list[bytes]) -> list[tuple[bytes, bytes]]:
        """(path, path at the target) of each root of the page."""
        if self._offered is None or len(names) != len(self._offered):
            raise ProtocolError("the initiator accepts what was not offered")
        offered, self._offered = self._offered, None
        return list(zip(offered, names, strict=True))

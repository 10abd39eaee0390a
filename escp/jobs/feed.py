"""The sources of a job, page after page, as fast as the command line or a file list brings them."""

import os
from collections.abc import Callable, Sequence

from escp.errors import RefusedError, UsageError
from escp.lean.eventloop import EventLoop
from escp.names.globbing import is_directory
from escp.names.landing import base_name
from escp.names.sources import SourceQueue
from escp.options.options import Options


class Feed:
    """For a plane here: `look` and `take`. Who asks an agent for its sources needs `has_come` alone."""

    def __init__(self, loop: EventLoop, sources: SourceQueue, options: Options, *, is_many: bool):
        self._loop = loop
        self._sources = sources
        self._options = options
        self._is_many = is_many
        self.is_waiting = False  # for what writes the list

    def look(self) -> tuple[int, bool]:
        """How many sources there are, 2 for several, and whether a single one is a directory."""
        if self._is_many:
            return 2, False
        path = self._options.sources[0].path
        return 1, is_directory(path, keeps_links=self._options.keeps_links)

    def has_come(self, page: Sequence[object], is_last: bool, feed: Callable[[], None]) -> bool:
        """Whether there is anything to hand on; otherwise *feed* is called when the list goes on."""
        self.is_waiting = not (page or is_last)
        if self.is_waiting:
            self._loop.watch(self._sources.fd, feed)
        else:
            self._loop.unwatch(self._sources.fd)
        return not self.is_waiting

    def take(
        self, feed: Callable[[], None], refuse: Callable[[bytes, UsageError], None], *, names_below: bool
    ) -> tuple[list[tuple[bytes, bytes]], bool] | None:
        """The next pairs of a path and a path at the target, and whether they are the last.

        None where the list has none yet; *feed*: as of `has_come`. *refuse* hears of paths that have no name.
        Raises RefusedError where standard input has none.
        """
        page, is_last = self._sources.take()
        if not self.has_come(page, is_last, feed):
            return None
        if self._options.reads_standard_input and names_below:
            shown = os.fsdecode(self._options.target.path) or "~"
            raise RefusedError(
                f"the target '{shown}' is a directory, and standard input has no name", "name the file in it"
            )
        pairs = []
        for path, name in page:
            try:
                own_name = base_name(path) if name is None else name
            except UsageError as e:
                refuse(path, e)
                continue
            pairs.append((path, own_name if names_below else b""))
        return pairs, is_last

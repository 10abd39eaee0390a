"""The sources of a command, those of its command line and those of a file list, one after the other.

It runs before ssh is started, so it imports little. A list may be of any length, and what writes it may be
slow: a thread of its own reads it ahead, so that nobody who has something else to do waits for it.
"""

import os
import re
from collections import deque
from collections.abc import Iterator

from escp.errors import UsageError
from escp.options.location import Location, parse_location
from escp.options.options import Options

Source = tuple[
    bytes, bytes | None
]  # a path as the user wrote it, and its path below the target if not its name

_Host = tuple[str | None, str | None, int | None, bool]

MAX_AHEAD = 4096  # sources read and not yet taken
MAX_PAGE_SOURCES = 1024
MAX_SEEN = 100_000  # of a longer list only so many are remembered
MAX_PAGE_BYTES = 1 << 17  # of their paths, and those at the target


class SourceQueue:
    """`next_host`, then `take` until it has been the last, and so on, from one thread."""

    def __init__(self, options: Options):
        self._items: deque[tuple[Location, bytes | None]] = deque()
        self._host: _Host | None = None
        # Names of one file become links only within one job, so each host's sources are to be in one.
        self._is_in_one = options.keeps_hard_links
        self._hosts: set[_Host] = set()  # that were the next ones
        self._error: Exception | None = None
        self._has_all = options.filelist is None
        self.fd = -1  # readable when there may be more to take; -1 where nothing is to be waited for
        if self._has_all:
            items = list(_read_sources(options))
            if self._is_in_one:
                places: dict[_Host, int] = {}
                for location, _ in items:
                    places.setdefault(_host_of(location), len(places))
                items.sort(key=lambda item: places[_host_of(item[0])])
            self._items.extend(items)
            return
        import threading  # not at the top: only file lists need it

        self._change = threading.Condition()
        self._is_told = False  # `fd` is readable
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        threading.Thread(target=self._read_ahead, args=(options,), daemon=True).start()

    def _read_ahead(self, options: Options) -> None:
        error: Exception | None = None
        try:
            for item in _read_sources(options):
                with self._change:
                    while len(self._items) >= MAX_AHEAD:
                        self._change.wait()
                    self._items.append(item)
                    self._change.notify()
                    self._tell()
        except Exception as e:  # told to whoever takes what is behind the last good one
            error = e
        with self._change:
            self._error, self._has_all = error, True
            self._change.notify()
            self._tell()

    def _tell(self) -> None:
        if not self._is_told:
            os.eventfd_write(self.fd, 1)
            self._is_told = True

    def next_host(self) -> tuple[bool, Location | None]:
        """Whether there are more sources, and the host of the next ones, None for this one. May wait.

        Raises UsageError where hard links are to be kept, and a list comes back to a host.
        """
        if self.fd >= 0:
            with self._change:
                while not self._items and not self._has_all:
                    self._change.wait()
        if not self._items:
            if self._error is not None:
                raise self._error
            return False, None
        location = self._items[0][0]
        before, self._host = self._host, _host_of(location)
        if self._is_in_one and self._host != before and self._host in self._hosts:
            raise UsageError(
                f"{location.host or 'this host'} has more sources behind those of other hosts, and with "
                "--hard-links names of one file among them would become several files",
                "sort the list, so that the sources of each host follow one another",
            )
        self._hosts.add(self._host)
        return True, location._replace(path=b"") if location.is_remote else None

    def take(self) -> tuple[list[Source], bool]:
        """The next sources of that host that are there now, not too many, and whether they are its last ones.

        Raises what was wrong with the list, once the good ones in front of it have been taken.
        """
        if self.fd < 0:
            return self._take_some()
        with self._change:
            if self._is_told:
                os.eventfd_read(self.fd)
                self._is_told = False
            page, is_last = self._take_some()
            self._change.notify()
            if self._items or self._has_all:
                self._tell()  # there is more to take, or to be told
            return page, is_last

    def _take_some(self) -> tuple[list[Source], bool]:
        page: list[Source] = []
        n_bytes = 0
        while self._items and len(page) < MAX_PAGE_SOURCES and n_bytes < MAX_PAGE_BYTES:
            location, target = self._items[0]
            if _host_of(location) != self._host:
                return page, True
            self._items.popleft()
            page.append((location.path, target))
            n_bytes += len(location.path) + len(target or b"")
        if self._items:
            return page, _host_of(self._items[0][0]) != self._host
        if self._error is not None and not page:
            raise self._error
        return page, self._has_all and self._error is None


def _host_of(location: Location) -> _Host:
    return location.user, location.host, location.port, location.is_tls


def _read_sources(options: Options) -> Iterator[tuple[Location, bytes | None]]:
    seen: set[tuple[Location, bytes | None]] = set()
    for item in _read_all(options):
        if item in seen:  # named twice: cp copies it once
            continue
        if len(seen) < MAX_SEEN:
            seen.add(item)
        yield item


def _read_all(options: Options) -> Iterator[tuple[Location, bytes | None]]:
    for source in options.sources:
        yield source, None
    if options.filelist is None:
        return
    from escp.names.filelist import read_filelist  # not at the top: few need it

    for word, target in read_filelist(options.filelist, is_nul=options.is_null_separated):
        location = parse_location(word)
        if not location.is_remote:
            yield location, target
            continue
        if options.is_embedded:
            location.check_embedded(word)
        # A list holds names, not patterns.
        yield location._replace(path=re.sub(rb"([*?\[\\])", rb"\\\1", location.path)), target

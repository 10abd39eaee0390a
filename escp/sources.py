"""The sources of a command, those of its command line and those of a file list, one after the other.

Before ssh is started, so it imports little; a list of any length is read as it is needed.
"""

import os
import re
from collections.abc import Iterator
from itertools import groupby

from escp.errors import UsageError
from escp.location import Location, parse_location
from escp.options import LOCAL_HOSTS, Options

_Host = tuple[str | None, str | None, int | None]
Source = tuple[
    bytes, bytes | None
]  # a path as the user wrote it, and its path below the target if not its name


def group_sources(options: Options) -> Iterator[tuple[Location | None, Iterator[Source]]]:
    """(the host of some sources, None for this one; their paths and, where the list says, target paths).

    As itertools.groupby: a group's iterator ends when the next group is asked for.
    """

    def host_of(item: tuple[Location, bytes | None]) -> _Host:
        return item[0].user, item[0].host, item[0].port

    for (user, host, port), items in groupby(_read_sources(options), host_of):
        origin = None if host is None else Location(user, host, port, b"")
        yield origin, ((location.path, target) for location, target in items)


def _read_sources(options: Options) -> Iterator[tuple[Location, bytes | None]]:
    for source in options.sources:
        yield source, None
    if options.filelist is None:
        return
    from escp.filelist import read_filelist  # not at the top: few need it

    for word, target in read_filelist(options.filelist, is_nul=options.is_null_separated):
        location = parse_location(word)
        if not location.is_remote:
            yield location, target
            continue
        if options.is_embedded and (location.host not in LOCAL_HOSTS or location.user is not None):
            raise UsageError(f"option --embedded: '{os.fsdecode(word)}' is not this host")
        # A list holds names, not patterns.
        yield location._replace(path=re.sub(rb"([*?\[\\])", rb"\\\1", location.path)), target

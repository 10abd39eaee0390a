"""What can be said of a command's sources before anybody logs in."""

import os
import stat

from escp.errors import SomeFailedError, UsageError, describe_errno
from escp.names.landing import base_name
from escp.names.sources import SourceQueue
from escp.options.location import Location
from escp.options.options import Options


def check_named(options: Options) -> None:
    """Raise what is wrong with them. Of several sources a missing one is told in its turn."""
    for source in options.sources:
        base_name(source.path)
    if len(options.sources) != 1 or options.sources[0].is_remote or options.filelist is not None:
        return
    path = options.sources[0].path
    shown = os.fsdecode(path)
    try:
        is_directory = stat.S_ISDIR((os.lstat if options.keeps_links else os.stat)(path).st_mode)
    except OSError as e:
        hint = f"for the host of that name write {shown}:PATH" if is_bare_host(path) else None
        raise SomeFailedError(f"{shown}: {describe_errno(e.errno or 0)}", hint) from e
    except ValueError as e:
        raise SomeFailedError(f"{shown}: {e}") from e
    if is_directory and not options.is_recursive:
        raise SomeFailedError(f"{shown}: is a directory", "copy directories with -r")


def open_sources(options: Options) -> tuple[SourceQueue, Location | None]:
    """All sources, and the host of the first one."""
    sources = SourceQueue(options)
    has_sources, origin = sources.next_host()
    if not has_sources:
        raise UsageError(f"the file list '{options.filelist}' is empty", "there is nothing to copy")
    return sources, origin


def is_bare_host(path: bytes) -> bool:
    """Whether a local path that leads nowhere may have been meant as a host, its colon forgotten."""
    if b"/" in path or os.path.lexists(path):
        return False
    from escp.remote.knownhosts import is_known_host  # lazy: hardly a run needs it

    return is_known_host(os.fsdecode(path).rpartition("@")[2])

"""What a program is told of a name on another host."""

import os
import stat
from dataclasses import dataclass

from escp.control.questions import TIME_ZERO, Entries
from escp.errors import ProtocolError

_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory, link, or something else, as it was when it was looked at."""

    name: str  # in its directory; of a path that was asked about: that path. os.fsencode gives its bytes
    type: str  # "file", "directory", "link" or "other"
    size: int
    mtime_ns: int
    mode: int  # the permission bits
    uid: int
    gid: int
    inode: int
    n_links: int
    target: str | None  # what a symbolic link says

    @property
    def mtime(self) -> float:
        """In seconds since 1970."""
        return self.mtime_ns / 1e9

    @property
    def is_file(self) -> bool:
        return self.type == "file"

    @property
    def is_directory(self) -> bool:
        return self.type == "directory"


def read_entries(answer: Entries, *, is_listing: bool) -> list[Entry]:
    """Raises ProtocolError for columns that differ, and for names that are none.

    Only of a path that was asked about, and not listed, the name is empty.
    """
    columns = answer[:9]
    n = len(answer.names)
    if any(len(column) != n for column in columns):
        raise ProtocolError("the remote escp's answer has items that are missing")
    found = []
    for name, mode, size, time, uid, gid, inode, n_links, target in zip(*columns, strict=True):
        if b"/" in name or b"\0" in name or name in (b".", b"..") or is_listing != bool(name):
            raise ProtocolError("the remote escp tells a name that is none")
        kind = _TYPES.get(stat.S_IFMT(mode & 0xFFFF), "other")
        shown = os.fsdecode(target) if kind == "link" else None
        found.append(
            Entry(
                os.fsdecode(name),
                kind,
                size,
                time - TIME_ZERO,
                mode & 0o7777,
                uid,
                gid,
                inode,
                n_links,
                shown,
            )
        )
    return found

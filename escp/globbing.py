"""Patterns in remote sources: `*`, `?`, `[...]` and backslashes, as scp (OpenBSD's glob) reads them.

The agent finds what a pattern matches; the initiator checks with the same rules that every name it is offered
is one that the user asked for.
"""

import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache

from escp.errors import RefusedError
from escp.plan import base_name

_MAGIC = re.compile(rb"[*?\[\\]")


def has_magic(text: bytes) -> bool:
    return _MAGIC.search(text) is not None


@lru_cache(maxsize=64)
def _compile(pattern: bytes) -> re.Pattern[bytes]:
    """A regular expression for one path component."""
    out = b""
    at = 0
    while at < len(pattern):
        letter = pattern[at : at + 1]
        at += 1
        if letter == b"*":
            if not out.endswith(b"[^/]*"):
                out += b"[^/]*"
        elif letter == b"?":
            out += b"[^/]"
        elif letter == b"[":
            set_, at = _read_set(pattern, at)
            out += set_
        elif letter == b"\\" and at < len(pattern):
            out += re.escape(pattern[at : at + 1])
            at += 1
        else:
            out += re.escape(letter)
    return re.compile(out, re.DOTALL)


def _read_set(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The set that begins behind the bracket at *at* - 1, and where it ends; a bracket alone is itself."""
    start = at
    is_negated = pattern[at : at + 1] == b"!"  # not ^, which shells take as well
    at += is_negated
    end = pattern.find(b"]", at + 1)
    if end < 0:
        return rb"\[", start
    inside = pattern[at:end]
    parts = []
    i = 0
    while i < len(inside):
        low = inside[i : i + 1]
        if low == b"\\" and i + 1 < len(inside):
            i += 1
            low = inside[i : i + 1]
        if inside[i + 1 : i + 2] == b"-" and i + 2 < len(inside):
            high = inside[i + 2 : i + 3]
            if low <= high:
                parts.append(re.escape(low) + b"-" + re.escape(high))
            i += 3
        else:
            parts.append(re.escape(low))
            i += 1
    if not parts:  # nothing but empty ranges
        return (b"[^/]" if is_negated else rb"(?!)"), end + 1
    return b"[" + (b"^/" if is_negated else b"") + b"".join(parts) + b"]", end + 1


def matches(pattern: bytes, name: bytes) -> bool:
    """Whether *name*, one component, matches; a leading dot must be written out, as in a shell."""
    if name.startswith(b".") and not pattern.startswith((b".", b"\\.")):
        return False
    return _compile(pattern).fullmatch(name) is not None


def expand(path: bytes) -> Iterator[bytes]:
    """What *path* matches, sorted within each directory; *path* itself where that is nothing."""
    if not has_magic(path):
        yield path
        return
    found = False
    for match in _expand_below(b"/" if path.startswith(b"/") else b"", path.strip(b"/").split(b"/")):
        found = True
        yield match
    if not found:
        yield path


def _expand_below(top: bytes, components: list[bytes]) -> Iterator[bytes]:
    """Matches of *components* below the directory *top*, which is b"", or ends with a slash."""
    first, *rest = components
    if not has_magic(first):
        names = [first] if os.path.lexists(top + first) else []
    else:
        try:
            names = sorted(name for name in os.listdir(top or b".") if matches(first, name))
        except OSError:
            names = []
    for name in names:
        if not rest:
            yield top + name
        elif os.path.isdir(top + name):
            yield from _expand_below(top + name + b"/", rest)


def is_directory(path: bytes, *, follows_links: bool = True) -> bool:
    """Whether a source is one; what can't be looked at is told when it is opened."""
    try:
        return stat.S_ISDIR((os.stat if follows_links or path.endswith(b"/") else os.lstat)(path).st_mode)
    except (OSError, ValueError):
        return False


def root_name(source: bytes, path: bytes) -> bytes:
    """What *path* is called, which was found for *source*, as the user wrote it. `~` is `.`, as with scp."""
    return b"" if source.rstrip(b"/") == b"~" else base_name(path)


def check_offered_name(source: bytes, name: bytes, peer: str) -> None:
    """Raises RefusedError unless *name* may be what *source*, as the user wrote it, is called.

    Only the name of another user's home directory is known to its host alone: there any plain name is taken.
    """
    wanted = root_name(source, source)
    is_home = source.startswith(b"~") and b"/" not in source.rstrip(b"/") and wanted != b""
    is_plain = name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name
    if name == wanted and (is_plain or not name):
        return
    if is_plain and (
        (is_home and not name.startswith(b".")) or (has_magic(wanted) and matches(wanted, name))
    ):
        return
    raise RefusedError(
        f"{peer} offered '{os.fsdecode(name)}', which was not asked for",
        "nothing of it was written: is that host to be trusted?",
    )

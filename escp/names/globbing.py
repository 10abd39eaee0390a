"""Patterns in remote sources: `*`, `?`, `[...]` and backslashes, as scp (OpenBSD's glob) reads them.

The agent finds what a pattern matches; the initiator checks with the same rules that every name it is offered
is one that the user asked for.
"""

import re
import stat
from collections.abc import Iterator
from functools import lru_cache

from escp.errors import StrangerError
from escp.names import guarded
from escp.names.landing import base_name
from escp.ui.display import show_name

_MAGIC = re.compile(rb"[*?\[\\]")
_CLASSES = {  # within a set: [[:digit:]]; of ASCII, as in the C locale
    b"alnum": b"0-9A-Za-z", b"alpha": b"A-Za-z", b"blank": rb" \t", b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": b"0-9",
    b"graph": b"!-~", b"lower": b"a-z", b"print": b" -~", b"punct": rb"!-/:-@\[-`{-~", b"space": rb" \t-\r",
    b"upper": b"A-Z", b"xdigit": b"0-9A-Fa-f",
}  # fmt: skip


def has_magic(text: bytes) -> bool:
    return _MAGIC.search(text) is not None


def quote(text: bytes) -> bytes:
    """The pattern that matches *text* and nothing else."""
    return _MAGIC.sub(rb"\\\g<0>", text)


def _find_plain(pattern: bytes) -> bytes | None:
    """The one name that a component without wildcards matches, its backslashes taken off; None with them."""
    plain = re.sub(rb"(?s)\\(.)", rb"\1", pattern)
    return None if re.search(rb"[*?\[]", re.sub(rb"(?s)\\.", b"", pattern)) else plain


@lru_cache(maxsize=64)
def _compile(pattern: bytes) -> re.Pattern[bytes]:
    """A regular expression for one path component, which never takes long.

    What stands between two stars matches where it first can, and never again elsewhere (an atomic group):
    with plain stars a name of 255 letters, which a peer may have chosen, takes years.
    """
    pieces = [b""]
    at = 0
    while at < len(pattern):
        letter = pattern[at : at + 1]
        at += 1
        if letter == b"*":
            pieces.append(b"")
        elif letter == b"?":
            pieces[-1] += b"[^/]"
        elif letter == b"[":
            set_, at = _read_set(pattern, at)
            pieces[-1] += set_
        elif letter == b"\\" and at < len(pattern):
            pieces[-1] += re.escape(pattern[at : at + 1])
            at += 1
        else:
            pieces[-1] += re.escape(letter)
    first, *between = pieces
    last = b"[^/]*" + between.pop() if between else b""
    middle = b"".join(b"(?>[^/]*?" + piece + b")" for piece in between if piece)
    return re.compile(first + middle + last, re.DOTALL)


def _read_set(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The set that begins behind the bracket at *at* - 1, and where it ends; a bracket alone is itself."""
    start = at
    is_negated = pattern[at : at + 1] == b"!"  # not ^, which shells take as well
    at += is_negated
    parts = []
    n_items = 0
    while pattern[at : at + 1] != b"]" or not n_items:  # a bracket that comes first is one of the set
        n_items += 1
        if named := re.match(rb"\[:([a-z]+):\]", pattern[at:]):
            if named[1] in _CLASSES:
                parts.append(_CLASSES[named[1]])
                at += named.end()
                continue
        low, at = _read_letter(pattern, at)
        if pattern[at : at + 1] == b"-" and pattern[at + 1 : at + 2] not in (b"", b"]"):
            high, at = _read_letter(pattern, at + 1)
            if low <= high:
                parts.append(re.escape(low) + b"-" + re.escape(high))
        else:
            parts.append(re.escape(low))
        if at >= len(pattern):
            return rb"\[", start
    if not parts:  # nothing but empty ranges
        return (b"[^/]" if is_negated else rb"(?!)"), at + 1
    return b"[" + (b"^/" if is_negated else b"") + b"".join(parts) + b"]", at + 1


def _read_letter(pattern: bytes, at: int) -> tuple[bytes, int]:
    at += pattern[at : at + 1] == b"\\" and at + 1 < len(pattern)
    return pattern[at : at + 1], at + 1


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
        plain = _find_plain(path)
        yield path if plain is None else plain


def _expand_below(top: bytes, components: list[bytes]) -> Iterator[bytes]:
    """Matches of *components* below the directory *top*, which is b"", or ends with a slash."""
    first, *rest = components
    plain = _find_plain(first)
    if plain is not None:  # all names of a file list are plain: no directory is read for them
        names = [plain] if guarded.exists(top + plain, follow_symlinks=False) else []
    else:
        try:
            names = sorted(name for name in guarded.list_names(top or b".") if matches(first, name))
        except OSError:
            names = []
    for name in names:
        if not rest:
            yield top + name
        elif guarded.is_directory(top + name):
            yield from _expand_below(top + name + b"/", rest)


def look_at(path: bytes, *, keeps_links: bool = False) -> tuple[bool, int]:
    """Whether a source is a directory, and the number of the error where it can't be looked at, else 0."""
    try:
        status = guarded.stat_path(path, follow_symlinks=not keeps_links or path.endswith(b"/"))
    except OSError as e:
        # What this host's rules forbid is told when it is opened, in their words.
        return False, 0 if e.errno == guarded.ERRNO_FORBIDDEN else e.errno or 0
    except ValueError:
        return False, 0
    return stat.S_ISDIR(status.st_mode), 0


def is_directory(path: bytes, *, keeps_links: bool = False) -> bool:
    """Whether a source is one; what can't be looked at is told when it is opened."""
    return look_at(path, keeps_links=keeps_links)[0]


def root_name(source: bytes, path: bytes) -> bytes:
    """What *path* is called, which was found for *source*, as the user wrote it. `~` is `.`, as with scp."""
    return b"" if source.rstrip(b"/") == b"~" else base_name(path)


def check_offered_name(source: bytes, name: bytes, peer: str) -> None:
    """Raises StrangerError unless *name* may be what *source*, as the user wrote it, is called.

    Only the name of another user's home directory is known to its host alone: there any plain name is taken.
    """
    wanted = root_name(source, source)
    plain = _find_plain(wanted)
    is_home = source.startswith(b"~") and b"/" not in source.rstrip(b"/") and wanted != b""
    is_plain = name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name
    if name in (wanted, plain) and (is_plain or not name):
        return
    if is_plain and (
        (is_home and not name.startswith(b".")) or (has_magic(wanted) and matches(wanted, name))
    ):
        return
    # It is no name of the user's, and nothing has it here: a program that prints the error is not to obey it.
    raise StrangerError(f"{peer} offered '{show_name(name)}', which was not asked for")

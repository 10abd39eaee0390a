"""Checksum manifests: text that `sha256sum -c` reads, with sizes and times in comments. Pure.

    # escp manifest 1                     the first line
    #tree run42                           a directory that was copied: what is in it and not here is extra
    #file 1234 1764374400.123456789       size and modification time of the file in the next line
    5891b5b5...be03  run42/a.h5           a name with a newline, CR or backslash as sha256sum writes it
    #end 1                                so many files; without this line something is missing

Lists that other programs have made (sha256sum, also with --tag) lack the comments.
"""

import re
from collections.abc import Container, Iterator

from escp.lean.record import Record

HEADER = b"# escp manifest 1"
MAX_LINE_BYTES = 1 << 15  # of a path, all of it escaped, and more
_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r"))
_LINE = re.compile(rb"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_TAGGED = re.compile(rb"(\\?)SHA256 \((.+)\) = ([0-9a-fA-F]{64})", re.DOTALL)
_ABOUT = re.compile(rb"#file ([0-9]{1,19}) (-?[0-9]{1,19})\.([0-9]{9})")
_END = re.compile(rb"#end ([0-9]{1,19})")


class Entry(Record):
    """A file: the SHA-256 of its contents; size and time, in ns since 1970, where they are known."""

    name: bytes
    digest: bytes
    size: int | None = None
    mtime_ns: int | None = None


class Tree(Record):
    """A directory of which all files have a line; b"" is the whole."""

    name: bytes


class DamagedError(Exception):
    """What a line is not; it begins with `line N`."""


def is_inside(name: bytes) -> bool:
    """Whether *name* is a plain path that leads nowhere else."""
    parts = name.split(b"/")
    return b"\0" not in name and not any(part in (b"", b".", b"..") for part in parts)


def is_below(name: bytes, directories: Container[bytes]) -> bool:
    """Whether *name*, or something that it lies in, is among them; b"" is what all lies in."""
    while name:
        if name in directories:
            return True
        name = name.rpartition(b"/")[0]
    return b"" in directories


def escape(name: bytes) -> tuple[bytes, bytes]:
    """What stands in front of its line, and in it."""
    escaped = name
    for raw, written in _ESCAPES:
        escaped = escaped.replace(raw, written)
    return (b"\\" if escaped != name else b""), escaped


def _unescape(text: bytes) -> bytes:
    """Raises ValueError for what stands for nothing."""
    parts = re.split(rb"\\(.?)", text, flags=re.DOTALL)
    known = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}
    try:
        return b"".join(known[part] if i % 2 else part for i, part in enumerate(parts))
    except KeyError as e:
        raise ValueError from e


def format_tree(name: bytes) -> bytes:
    mark, shown = escape(name)
    return b"#tree%s %s\n" % (mark, shown or b".")


def format_entry(entry: Entry) -> bytes:
    mark, shown = escape(entry.name)
    about = b""
    if entry.size is not None and entry.mtime_ns is not None:
        about = b"#file %d %d.%09d\n" % (entry.size, *divmod(entry.mtime_ns, 1_000_000_000))
    return b"%s%s%s  %s\n" % (about, mark, entry.digest.hex().encode(), shown)


def format_end(n_files: int) -> bytes:
    return b"#end %d\n" % n_files


def read_lines(lines: Iterator[bytes]) -> Iterator[Entry | Tree]:
    """*lines*: with their ends. Raises DamagedError for the first one that is none.

    Several lists may be joined. One of another program stands for all of the tree.
    """
    number = 0
    n_files, is_ours, begins_at = 0, False, 1
    is_foreign = False
    about: tuple[int, int] | None = None
    for number, whole in enumerate(lines, 1):
        line = whole.removesuffix(b"\n").removesuffix(b"\r")
        if len(line) > MAX_LINE_BYTES:
            raise DamagedError(f"line {number} is too long to be one of a manifest")
        if about is not None and line[:1] == b"#":
            raise DamagedError(f"line {number}: here the file must come whose size line {number - 1} has")
        if not line:
            continue
        if line == HEADER:
            _check_end(is_ours, number)
            n_files, is_ours, begins_at = 0, True, number
        elif line.startswith(b"#tree"):
            yield Tree(_read_tree(line, number))
        elif line.startswith(b"#file"):
            about = _read_about(line, number)
        elif line.startswith(b"#end"):
            found = _END.fullmatch(line)
            if found is None or int(found[1]) != n_files:
                what = found[1].decode() if found else "?"
                where = f"between line {begins_at} and here"
                raise DamagedError(f"line {number}: {what} files should stand {where}, not {n_files}")
            is_ours = False
        elif not line.startswith(b"#"):
            entry = _read_entry(line, number)
            if about is not None:
                entry = entry._replace(size=about[0], mtime_ns=about[1])
            about = None
            n_files += 1
            if not is_ours and not is_foreign:
                is_foreign = True
                yield Tree(b"")
            yield entry
    _check_end(is_ours, number)


def _check_end(is_open: bool, number: int) -> None:
    if is_open:
        raise DamagedError(f"line {number}: the list that escp began ends before its #end")


def _read_tree(line: bytes, number: int) -> bytes:
    name = line.removeprefix(b"#tree")
    try:
        name = _unescape(name[2:]) if name.startswith(b"\\ ") else name[1:]
    except ValueError:
        name = b""
    if name == b".":
        return b""
    if not is_inside(name):
        raise DamagedError(f"line {number} names no directory below the tree")
    return name


def _read_about(line: bytes, number: int) -> tuple[int, int]:
    found = _ABOUT.fullmatch(line)
    if found is None:
        raise DamagedError(f"line {number} is no size and time of a file")
    return int(found[1]), int(found[2]) * 1_000_000_000 + int(found[3])


def _read_entry(line: bytes, number: int) -> Entry:
    if found := _LINE.fullmatch(line):
        mark, digest, name = found.groups()
    elif found := _TAGGED.fullmatch(line):
        mark, name, digest = found.groups()
    else:
        raise DamagedError(f"line {number} is no SHA-256 and a name")
    try:
        name = _unescape(name) if mark else name
    except ValueError:
        raise DamagedError(f"line {number}: a backslash in its name stands for nothing") from None
    if not name.startswith(b"/"):  # find and shells write ./a and b//c
        name = b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))
    if not is_inside(name):
        raise DamagedError(f"line {number}: its name leads out of the tree")
    return Entry(name, bytes.fromhex(digest.decode()))

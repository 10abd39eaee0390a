"""Patterns of remote sources and of --exclude, and the names that they are held against."""

import fnmatch
import re

from escp._fast.files.filter import excludes, matches
from escp.errors import EscpError, RefusedError
from escp.names import globbing


def test_one(data: bytes) -> None:
    """A pattern, a NUL, a name."""
    pattern, _, name = data.partition(b"\0")
    name = name.replace(b"\0", b"")
    try:
        globbing.check_offered_name(pattern, name, "the peer")
    except RefusedError as error:
        assert "\n" not in str(error)
    except EscpError:
        pass
    if b"/" not in pattern + name:
        globbing.matches(pattern, name)
    try:
        matches(pattern, name)
    except ValueError as error:  # a usage error, where it was given
        assert str(error)
        return
    for is_dir in (False, True):
        is_match = matches(pattern, name, is_dir)
        is_included, is_excluded = (True, pattern), (False, pattern)
        assert excludes([is_excluded, is_included], name, is_dir) is is_match
        assert not excludes([is_included, is_excluded], name, is_dir)
    if re.fullmatch(rb"[a-z.*?]+", pattern) and re.fullmatch(rb"[a-z.]+", name) and len(pattern + name) < 20:
        assert matches(pattern, name) == fnmatch.fnmatchcase(name.decode(), pattern.decode())

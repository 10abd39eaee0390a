"""`expected_digest=`: what a program knows of its files before they are copied."""

import os
from collections.abc import Callable, Iterable, Mapping

from escp.api.outcome import Failed
from escp.api.words import Path
from escp.errors import UsageError
from escp.names.landing import base_name
from escp.options.options import Options

Digest = bytes | str
_REFUSED: Mapping[str, Callable[[Options], bool]] = {
    "nochecksum": lambda o: not o.has_checksum,
    "dry_run": lambda o: o.is_dry_run,
    "inplace": lambda o: o.is_inplace,
    "hard_links": lambda o: o.keeps_hard_links,
    "skip_unchanged, checksum, update or ignore_existing": lambda o: o.selection != "all",
}


def digest_path(path: Path) -> bytes:
    """The digest that escp has of the contents of *path*, a file of this host: 16 bytes; docs/api.md.

    Raises OSError.
    """
    from escp.names.answers import open_regular  # not at the top: what `copy` alone does not need
    from escp.streams import digests  # not at the top: native code, which `connect` need not load

    try:
        fd, _ = open_regular(os.fsencode(path))
        try:
            return digests.digest_file(fd, lambda: None)[0]
        finally:
            os.close(fd)
    except OSError as e:
        raise OSError(e.errno, os.strerror(e.errno or 0), os.fsdecode(path)) from None


def _read_digest(value: object) -> bytes:
    if isinstance(value, str):
        try:
            value = bytes.fromhex(value)
        except ValueError:
            value = b""
    if not isinstance(value, bytes) or len(value) != 16:
        raise UsageError(
            "expected_digest: a digest has 16 bytes, or 32 hexadecimal digits", "see escp.digest"
        )
    return value


def read_expected(wanted: "Digest | Mapping[Path, Digest] | None", options: Options) -> dict[bytes, bytes]:
    """By paths from the source's own name on. Raises UsageError."""
    if wanted is None:
        return {}
    for name, is_given in _REFUSED.items():
        if is_given(options):
            raise UsageError(f"expected_digest can't go with {name}", "leave one of them out")
    names = [base_name(source.path) for source in options.sources]
    if not isinstance(wanted, Mapping):
        if len(names) != 1 or options.filelist is not None:
            raise UsageError("expected_digest: there are several sources", "give a digest for each path")
        wanted = {names[0]: wanted}
    if b"" in names:
        raise UsageError("expected_digest: a source has no name of its own", "name the directory itself")
    return {os.fsencode(path): _read_digest(value) for path, value in wanted.items()}


def find_unmet(
    expected: Iterable[bytes], copied: set[bytes], failed: Iterable[Failed], options: Options
) -> list[Failed]:
    """Those of which nothing was copied, and no failure tells why. *copied*: paths at the target."""
    target = options.target
    told = {os.fsencode(one.path) for one in failed}
    unmet = []
    for path in expected:
        places = {target.below(path)}
        if len(options.sources) == 1:
            places.add(target.below(path.partition(b"/")[2]))
        if not places & copied and not places & told:
            unmet.append(path)
    reason = "a digest of it was expected, and it was not copied"
    return [Failed(os.fsdecode(target.below(path)), reason, target.host, 0, False) for path in unmet]

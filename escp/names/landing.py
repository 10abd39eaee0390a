"""scp's naming rules: which source lands where, decided from names and kinds alone. Pure; no I/O.

The sender asks `base_name` what a source is called, the receiver looks at the target and asks `plan_landing`
where that goes. Checked against scp of OpenSSH 9.2; where escp differs from that, a comment says so.
"""

import errno

from escp.errors import RefusedError, UsageError
from escp.lean.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING, DIRECTORY, OTHER = "missing", "directory", "other"  # what the target is, links followed


class SourceRoot(Record):
    """One source as the receiver knows it: its base_name() and whether it is a directory being copied."""

    name: bytes
    is_directory: bool


class Landing(Record):
    """Where the sources go.

    root: path of the directory below which everything is written; relative means the home directory.
    makes_root: it has to be created first, its parent being there (one mkdir, never mkdir -p).
    names: for each source its name in root; b"" where a directory's contents go straight into root.
    """

    root: bytes
    makes_root: bool
    names: tuple[bytes, ...]


def base_name(source: bytes) -> bytes:
    """The name a source gets in a target directory; b"" if its contents go straight there (`.`, `/`).

    A trailing slash means nothing, as with scp. Raises UsageError for `..`, where scp would write
    into the target's parent.
    """
    name = source.rstrip(b"/").rpartition(b"/")[2]
    if name == b"..":
        shown = source.decode("utf-8", "surrogateescape")
        raise UsageError(
            f"the source '{shown}' ends in '..'", "name the directory itself, or add /. for its contents"
        )
    return b"" if name == b"." else name


class SourceOrder:
    """Which sources must wait for those before them.

    Sources are copied at the same time; of two with the same name the earlier one has to get it.
    """

    MAX_NAMES = 100_000  # of a longer list only so many are remembered

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def must_wait(self, name: bytes) -> bool:
        """Whether this base_name(), the next one, may lead to what an earlier one leads to."""
        seen = self._seen
        waits = bool(seen) if name == b"" else name in seen or b"" in seen
        if len(seen) < self.MAX_NAMES:
            seen.add(name)
        return waits


def check_target_demands(target: bytes, n_sources: int) -> bool:
    """Whether the target must be a directory: several sources, or its path ends as only a directory's may."""
    return n_sources > 1 or target.endswith(b"/") or target.rpartition(b"/")[2] in (b"", b".", b"..")


def plan_landing(
    target: bytes,
    kind: str,
    sources: "Sequence[SourceRoot]",
    *,
    is_exact: bool = False,
    makes_path: bool = False,
) -> Landing:
    """Decide where `sources` go. `kind` is what the target is: MISSING, DIRECTORY or OTHER.

    *is_exact*: the one source is to be the target, never in it. *makes_path*: a missing directory is no
    reason to refuse anything.

    Raises RefusedError if it is not what the sources need. For a single file whose target is OTHER or MISSING
    the root is the target's parent, which the caller finds missing or not when it opens it.
    Other than scp 9.2: `-r dir host:new/` creates `new`, as scp before 9.0 did.
    """
    shown = target.decode("utf-8", "surrogateescape")
    names = tuple(source.name for source in sources)
    is_one = len(sources) == 1
    if is_exact and not is_one:
        raise RefusedError(f"option -T: several sources can't all be '{shown}'", "leave it out")
    if kind == DIRECTORY and is_exact and not sources[0].is_directory:
        raise RefusedError(
            f"option -T: the target '{shown}' is a directory", "leave it out: the file goes into it"
        ) from IsADirectoryError(errno.EISDIR, "")
    if kind == DIRECTORY:
        return Landing(target or b".", False, (b"",) if is_exact else names)
    if is_one and not sources[0].is_directory:
        if not check_target_demands(target, 1):
            parent, slash, name = target.rpartition(b"/")
            return Landing(parent + slash or b".", False, (name,))
        if kind == MISSING and makes_path:
            return Landing(target, True, names)
        if kind == MISSING:
            raise RefusedError(
                f"there is no directory '{shown}'", "create it first, or leave out the slash at its end"
            ) from FileNotFoundError(errno.ENOENT, "")
    if kind == OTHER:
        raise RefusedError(
            f"the target '{shown}' is not a directory", "name a directory, or one that does not exist yet"
        ) from NotADirectoryError(errno.ENOTDIR, "")
    return Landing(target, True, (b"",) if is_one else names)

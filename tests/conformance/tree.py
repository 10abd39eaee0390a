"""The starting trees of the cases, and what is in one afterwards, in words that can be compared."""

import hashlib
import os
import stat
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path

File = namedtuple("File", "text mode time_s owner", defaults=("text", 0o644, None, None))
Folder = namedtuple("Folder", "mode group", defaults=(0o755, None))
Link = namedtuple("Link", "to")  # symbolic; {top} stands for the sandbox
HardLink = namedtuple("HardLink", "to")  # another name of the same tree
Fifo = namedtuple("Fifo", "")
NullDevice = namedtuple("NullDevice", "")

NOW_S = 3600
OLDEST_S = 1_000_000_000  # times of starting trees: whole seconds that differ, and half a second


def make_tree(top: Path, tree: Mapping[str, object]) -> None:
    """Create `path -> what` below *top*, parents as well; times and modes are the same each time."""
    for name, what in tree.items():
        path = os.path.join(top, name)
        os.makedirs(path if isinstance(what, Folder) else os.path.dirname(path), exist_ok=True)
        if isinstance(what, str | File):
            with open(path, "x") as file:
                file.write(what if isinstance(what, str) else what.text)
        elif isinstance(what, Link):
            os.symlink(what.to.replace("{top}", os.fspath(top)), path)
        elif isinstance(what, HardLink):
            os.link(os.path.join(top, what.to), path)
        elif isinstance(what, Fifo):
            os.mkfifo(path)
        elif isinstance(what, NullDevice):
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    _set_attributes(top, tree)


def _set_attributes(top: Path, tree: Mapping[str, object]) -> None:
    modes = {name.rstrip("/"): what.mode for name, what in tree.items() if isinstance(what, File | Folder)}
    found = list(_walk(os.fspath(top)))
    for number, name in reversed(list(enumerate(found))):  # what is in a directory before itself
        path = os.path.join(top, name)
        what = tree.get(name)
        time_s = (
            what.time_s if isinstance(what, File) and what.time_s is not None else OLDEST_S + 100 * number
        )
        time_ns = time_s * 10**9 + 5 * 10**8
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
        if isinstance(what, File) and what.owner is not None:
            os.chown(path, what.owner, -1)
        if isinstance(what, Folder) and what.group is not None:
            os.chown(path, -1, what.group)
        if not os.path.islink(path):
            os.chmod(path, modes.get(name, 0o755 if os.path.isdir(path) else 0o644))


def _walk(top: str) -> list[str]:
    """Every name below *top*, sorted, so that a directory comes before what is in it."""
    names = []
    for folder, folders, files in os.walk(top):
        names += [os.path.relpath(os.path.join(folder, name), top) for name in folders + files]
    return sorted(names, key=os.fsencode)


def read_tree(
    top: Path, since_s: float | None = None, before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Path -> kind, mode, contents or what a link says, number of names, and time in whole seconds.

    Owner and group are said if they are not ours.
    A time after *since_s* is "now". A directory of the tree *before* that has its old time or "now" has time
    "any": creating a temporary name in it, or none, is each program's own affair.
    """
    return {name: _describe(top, name, since_s, before or {}) for name in _walk(os.fspath(top))}


def _describe(top: Path, name: str, since_s: float | None, before: Mapping[str, str]) -> str:
    path = os.path.join(top, name)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return f"link to {os.readlink(path).replace(os.fspath(top), '{top}')!r}"
    is_new = since_s is not None and since_s <= found.st_mtime < since_s + NOW_S
    time = "now" if is_new else str(found.st_mtime_ns // 10**9)
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    if found.st_uid != os.getuid():
        mode += f" owner {found.st_uid}"
    if found.st_gid != os.getgid():
        mode += f" group {found.st_gid}"
    if stat.S_ISDIR(found.st_mode):
        if before.get(name, "").startswith("directory ") and time in ("now", before[name].split()[-1]):
            time = "any"
        return f"directory {mode} time {time}"
    if not stat.S_ISREG(found.st_mode):
        return f"special {stat.S_IFMT(found.st_mode):o} {mode} time {time}"
    text = Path(path).read_bytes()
    shown = repr(text) if len(text) < 100 else f"{len(text)} bytes {hashlib.sha256(text).hexdigest()}"
    names = f" {found.st_nlink} names" if found.st_nlink > 1 else ""
    return f"file {mode} {shown}{names} time {time}"

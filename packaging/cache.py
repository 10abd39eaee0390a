"""Folders that are made once and kept under build/release/ until what they are made of changes."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

DONE = ".done"  # holds the key; only what was made to its end has it


def hash_of(*parts: str | bytes | Path) -> str:
    """One hash of texts and of the contents of files; a path itself does not count."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        elif isinstance(part, str):
            part = part.encode()
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def hash_of_files(root: Path, paths: Iterable[Path]) -> str:
    """Names below *root* and contents of all of them."""
    parts: list[str | bytes | Path] = []
    for path in sorted(paths):
        parts += [str(path.relative_to(root)), str(os.access(path, os.X_OK)), path]
    return hash_of(*parts)


class Cache:
    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder = folder
        self._say = say
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Two builds in one tree take turns."""
        with open(self.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def get(self, name: str, key: str, make: Callable[[Path], None], what: str) -> Path:
        """The folder NAME-KEY; where it is not complete it is made anew, and those of other keys go."""
        folder = self.folder / f"{name}-{key[:16]}"
        done = folder / DONE
        if done.exists() and done.read_text() == key:
            return folder
        self._say(what)
        for old in self.folder.glob(f"{name}-*"):
            shutil.rmtree(old)
        folder.mkdir()
        make(folder)
        done.write_text(key)
        return folder

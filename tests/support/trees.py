"""Trees of files to copy, and what is in one afterwards."""

import hashlib
import os
import random
import stat
from pathlib import Path

CHUNK = 1 << 20


def write_random(path: Path | bytes, size: int, *, seed: int = 0) -> None:
    """*size* bytes, the same for the same seed."""
    generator = random.Random(f"{seed} {size}")
    with open(path, "wb") as file:
        while size > 0:
            file.write(generator.randbytes(min(size, CHUNK)))
            size -= CHUNK


def digest_of(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_tree(top: Path | bytes) -> dict[bytes, str]:
    """Relative path -> digest of a file, "directory", or what a link says. Links are not followed."""
    top = os.fsencode(top)
    found = {}
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                what = "directory"
            elif stat.S_ISLNK(mode):
                what = f"link to {os.fsdecode(os.readlink(path))}"
            else:
                what = digest_of(path) if stat.S_ISREG(mode) else "special"
            found[os.path.relpath(path, top)] = what
    return found


def mode_of(path: Path | bytes) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def make_tree(top: Path, *, n_directories: int = 3, n_files: int = 5) -> None:
    """A small tree with empty files and an empty directory."""
    (top / "empty directory").mkdir(parents=True)
    (top / "empty file").touch()
    for d in range(n_directories):
        (top / f"d{d}" / "deeper").mkdir(parents=True)
        for f in range(n_files):
            write_random(top / f"d{d}" / f"f{f}", f * 1000, seed=d)
            write_random(top / f"d{d}" / "deeper" / f"g{f}", f * 100_000, seed=d)

"""The folders that a bench works in: one on a real disk, one on tmpfs. Both go away at the end."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
SHM = Path("/dev/shm")
IN_MEMORY = ("tmpfs", "ramfs")


class NoScratch(Exception):
    """There is no folder to work in, or too little space; the message says so to the user."""


def find_filesystem(path: Path) -> str:
    """The type of the file system that holds *path*, by the longest mount point above it."""
    real = os.path.realpath(path)
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        point = point.replace("\\040", " ")
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def find_disk_folder() -> Path:
    """Where the scratch folder is made: $ESCP_BENCH_DIR, else a folder for temporary files on a disk."""
    if given := os.environ.get("ESCP_BENCH_DIR"):
        if not os.path.isdir(given):
            raise NoScratch(f"ESCP_BENCH_DIR: there is no folder {given}")
        return Path(given).resolve()
    for folder in (tempfile.gettempdir(), "/var/tmp"):
        if os.access(folder, os.W_OK) and find_filesystem(Path(folder)) not in IN_MEMORY:
            return Path(folder)
    raise NoScratch("the folders for temporary files are in memory: name one on a disk in ESCP_BENCH_DIR")


def drop_caches() -> bool:
    """Write everything back and forget it; False where that is not allowed (no root)."""
    subprocess.run(["sync"], check=True)
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def describe_lack(folder: Path, n_bytes: int) -> str:
    """'' when *folder* has so much space free, else a sentence."""
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    if free >= n_bytes:
        return ""
    return f"{folder} has {free / 1e9:.1f} GB free, {n_bytes / 1e9:.1f} GB are needed there"


class Scratch:
    """`disk` and `shm`, both empty at the start; `source`, `target` give places below them.

    Nothing that holds many files is removed before `close`: see `target`.
    """

    def __init__(self, disk_bytes: int, shm_bytes: int):
        self.disk = self.shm = None
        folder = find_disk_folder()
        if lack := describe_lack(folder, disk_bytes):
            raise NoScratch(f"{lack}: name another folder in ESCP_BENCH_DIR, or fewer cases with --only")
        self.disk = Path(tempfile.mkdtemp(prefix="bench.", dir=folder))
        try:
            if shm_bytes:
                self.shm = Path(tempfile.mkdtemp(prefix="bench.", dir=SHM))
        except BaseException:
            self.close()
            raise

    def target(self, root: Path, name: str) -> Path:
        """A fresh folder for one run.

        A new name each time, and trees stay until the end: ext4 passes over recently deleted inodes one by
        one when it looks for a free one, which makes the creation of files some ten times slower for about
        35 s after many were deleted anywhere on the file system. A tree removed between two runs would be
        charged to the next tool.
        """
        path = root / "target" / name
        path.mkdir(parents=True)
        return path

    def close(self) -> None:
        for folder in (self.disk, self.shm):
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
                if folder.exists():  # a receiver that was just killed may have made one more file
                    shutil.rmtree(folder, ignore_errors=True)
        self.disk = self.shm = None

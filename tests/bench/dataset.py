"""What is copied: a file, a tree of small files, a sparse file; how it is made, how a copy is checked."""

import os
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 8 << 20


@dataclass
class Dataset:
    """With `n_folders` a tree of `n_files` below `path`, else one file of `file_bytes` with that name."""

    path: Path
    file_bytes: int
    n_files: int = 1
    n_folders: int = 0
    is_sparse: bool = False

    @property
    def n_bytes(self) -> int:
        return self.file_bytes * self.n_files

    def make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.n_folders:
            self._make_file()
            return
        per_folder = self.n_files // self.n_folders
        for i in range(self.n_folders):
            folder = self.path / f"d{i:03}"
            folder.mkdir(parents=True)
            contents = os.urandom(per_folder * self.file_bytes)
            for k in range(per_folder):
                with open(folder / f"f{k:04}", "wb", buffering=0) as file:
                    file.write(contents[k * self.file_bytes : (k + 1) * self.file_bytes])

    def _make_file(self) -> None:
        with open(self.path, "wb", buffering=0) as file:
            if self.is_sparse:
                file.truncate(self.file_bytes)
                return
            for left in range(self.file_bytes, 0, -CHUNK_BYTES):
                file.write(os.urandom(min(left, CHUNK_BYTES)))

    def find_difference(self, copy: Path, *, with_contents: bool) -> str:
        """'' when *copy* has the same names and sizes, and the same bytes where that is asked for too."""
        sizes, wanted = list_sizes(copy), list_sizes(self.path)
        if sizes.keys() != wanted.keys():
            return f"the copy has {len(sizes)} files, not {len(wanted)}"
        for name, size in wanted.items():
            if sizes[name] != size:
                return f"{name or copy.name} has {sizes[name]} bytes, not {size}"
        if with_contents:
            for name in wanted:
                if not has_same_bytes(os.path.join(self.path, name), os.path.join(copy, name)):
                    return f"{name or copy.name} has other contents"
        return ""


def list_sizes(top: Path) -> dict[str, int]:
    """Relative name -> size of each file at ('') or below *top*; nothing when it is not there."""
    if not top.is_dir():
        return {"": top.stat().st_size} if top.is_file() else {}
    sizes, folders = {}, [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(top, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    sizes[name] = entry.stat(follow_symlinks=False).st_size
    return sizes


def has_same_bytes(one: str, other: str) -> bool:
    one, other = one.rstrip("/"), other.rstrip("/")  # what join makes of a file and ''
    with open(one, "rb", buffering=0) as a, open(other, "rb", buffering=0) as b:
        while True:
            chunk = a.read(CHUNK_BYTES)
            if chunk != b.read(CHUNK_BYTES):
                return False
            if not chunk:
                return True

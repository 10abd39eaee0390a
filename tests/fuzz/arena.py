"""A directory to receive into, with something beside it that must stay as it is."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

PRECIOUS = b"precious"


class Arena:
    """`with arena as folder`: empty but for a link that leads out. At its end nothing beside it has changed,
    nothing unfinished lies in it, and no descriptor is left open."""

    def __init__(self) -> None:
        # In memory where that is possible: there are hundreds of stories a second.
        self._scratch = tempfile.TemporaryDirectory(prefix="escp-arena-", dir=os.environ.get("TMPDIR"))
        self.top = Path(self._scratch.name)
        self.folder = self.top / "destination"
        (self.top / "outside").mkdir()
        (self.top / "outside" / "victim").write_bytes(PRECIOUS)
        self._state = self._describe()
        self._n_descriptors = 0
        gc.freeze()  # so that looking for what a story left takes no 10 ms

    def _describe(self) -> list[tuple]:
        paths = [self.top / "outside", self.top / "outside" / "victim"]
        return [(path.name, tuple(path.lstat())[:7]) for path in paths] + [os.listdir(self.top / "outside")]

    def __enter__(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "link").symlink_to("../outside")
        self._n_descriptors = len(os.listdir("/proc/self/fd"))
        return self.folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= self._n_descriptors, "a descriptor is left open"
        assert self._describe() == self._state, "something beside the destination was changed"
        assert (self.top / "outside" / "victim").read_bytes() == PRECIOUS
        assert sorted(os.listdir(self.top)) == ["destination", "outside"]
        names = [name for _, folders, files in os.walk(self.folder) for name in folders + files]
        assert not [name for name in names if name.startswith(".escp-")], names

"""Files of `escp://` that are open: ranges of what is there, and what is kept here until it is closed."""

import io
import os
import tempfile
from typing import Any

from fsspec.spec import AbstractBufferedFile

from escp.errors import RemoteFileError


def check_mode(mode: str) -> str:
    """As io has it, with its letters in this order: r, w, a or x, then + and b. Raises ValueError."""
    kinds = [one for one in mode if one in "rwax"]
    if (
        len(kinds) != 1
        or len(set(mode)) != len(mode)
        or set(mode) - set("rwax+bt")
        or {"b", "t"} <= set(mode)
    ):
        raise ValueError(f"'{mode}' is no mode of a file")
    return kinds[0] + ("+" if "+" in mode else "") + ("b" if "b" in mode else "")


class Reader(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """Reads ranges as they are wanted. All are of one state of the file, or RemoteFileError is raised."""

    _stamp = b""  # of the first range: another one has been replaced, or written to, since then

    def _fetch_range(self, start: int, end: int) -> bytes:
        data, stamp = self.fs.remote.read_stamped(self.path, start, end - start)
        self._stamp = self._stamp or stamp
        if stamp != self._stamp or len(data) < min(end, self.size) - start:
            raise RemoteFileError(
                f"{self.fs.host}:{self.path}: the source changed while it was read", is_retryable=True
            )
        return bytes(data)


class Writer(io.FileIO):
    """Kept here, and sent when it is closed. Until then, and after an exception, what was there stays."""

    def __init__(self, fs: Any, path: str, mode: str, *, autocommit: bool):
        self.path = path
        self._fs = fs
        self._pid = os.getpid()
        self._folder = tempfile.TemporaryDirectory()
        self._name = os.path.join(self._folder.name, "contents")
        self._autocommit = autocommit
        self._is_new = mode[0] == "x"
        if mode[0] in "ar" and fs.exists(path):
            fs.get_file(path, self._name)
        elif mode[0] == "r":
            raise FileNotFoundError(path)
        plain = "r+b" if mode[0] == "r" else mode.replace("x", "w")
        super().__init__(self._name, plain.replace("b", ""))

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        if self._autocommit and os.getpid() == self._pid:  # a child of fork() has half of it
            self.commit()

    def commit(self) -> None:
        try:
            self._fs.send_file(self._name, self.path, None, "create" if self._is_new else "overwrite")
        finally:
            self._folder.cleanup()

    def discard(self) -> None:
        self._autocommit = False
        super().close()
        self._folder.cleanup()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()


class Text(io.TextIOWrapper):
    """Tells what it writes to of an exception: io's own closes it, as if all had been written."""

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None and isinstance(self.buffer, Writer):
            self.buffer.discard()
        else:
            self.close()

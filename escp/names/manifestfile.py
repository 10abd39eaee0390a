"""The file of --manifest: it has its name when all of it is there, and until then an old one keeps it."""

import os
import stat
import tempfile

from escp.errors import LocalFileError, describe_errno
from escp.names.manifest import HEADER, Entry, format_end, format_entry, format_tree
from escp.process.environment import find_real
from escp.process.replacing import WHY_NOT, is_foreign

_CHUNK_BYTES = 1 << 16
_START = b"# escp manifest"  # of any version's
_OTHER_HINT = "name another one, or remove it first"


class ManifestFile:
    """*path*: `-` is standard output. A pipe, a device or standard output gets it all at the end.

    Raises LocalFileError, here for what can't be written to later.
    """

    def __init__(self, path: str):
        self._shown = path
        self._path = find_real(path)
        self._is_stream = path == "-" or _is_stream(path)
        self._fd = -1
        self._temporary = ""
        self._buffer = bytearray()
        self._n_files = 0
        if is_foreign(path, _START):
            raise LocalFileError(f"can't write a manifest to '{path}': {WHY_NOT}", _OTHER_HINT)
        folder = os.path.dirname(self._path)
        if not self._is_stream and (os.path.isdir(path) or not os.access(folder, os.W_OK | os.X_OK)):
            raise LocalFileError(
                f"can't write a manifest to '{path}'", "name a file in a directory that can be written to"
            )

    def add_tree(self, name: bytes) -> None:
        self._write(format_tree(name))

    def add(self, entry: Entry) -> None:
        self._n_files += 1
        self._write(format_entry(entry))

    def commit(self) -> None:
        try:
            self._write(format_end(self._n_files))
            self._flush()
            if self._is_stream:
                self._pour()
            else:
                os.fsync(self._fd)
                if is_foreign(self._path, _START):  # what was copied has that name, or somebody was faster
                    raise LocalFileError(
                        f"can't write the manifest to '{self._shown}': {WHY_NOT}", _OTHER_HINT
                    )
                os.rename(self._temporary, self._path)
                self._temporary = ""
        except OSError as e:
            raise self._explain(e) from e
        finally:
            self.close()

    def close(self) -> None:
        """Whatever is not committed is dropped."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary:
            try:
                os.unlink(self._temporary)
            except OSError:
                return
            self._temporary = ""

    def _write(self, text: bytes) -> None:
        self._buffer += text
        if len(self._buffer) >= _CHUNK_BYTES:
            try:
                self._flush()
            except OSError as e:
                raise self._explain(e) from e

    def _flush(self) -> None:
        if self._fd < 0:
            self._open()
            self._buffer[:0] = HEADER + b"\n"
        _write_all(self._fd, self._buffer)
        self._buffer.clear()

    def _open(self) -> None:
        if self._is_stream:
            self._fd, name = tempfile.mkstemp(prefix="escp-")
            os.unlink(name)
            return
        folder, name = os.path.split(self._path)
        self._temporary = os.path.join(folder, f".{name[:200]}.{os.urandom(4).hex()}")
        self._fd = os.open(
            self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666
        )

    def _pour(self) -> None:
        out = 1 if self._shown == "-" else os.open(self._shown, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while part := os.read(self._fd, _CHUNK_BYTES):
                _write_all(out, part)
        finally:
            if out != 1:
                os.close(out)

    def _explain(self, error: OSError) -> LocalFileError:
        reason = describe_errno(error.errno or 0)
        return LocalFileError(
            f"can't write the manifest to '{self._shown}': {reason}",
            "what was copied is whole: only the manifest is not",
        )


def _is_stream(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_all(fd: int, data: bytes | bytearray) -> None:
    done = 0
    while done < len(data):
        done += os.write(fd, data[done:])

"""The record of a copy: which of its files have arrived, for `--resume`; beside whoever sends.

It is in ~/.local/state/escp, mode 0600, named after the command, and gone when the copy has succeeded. What
is in it is `_fast/files/stamps`' subject. Nothing depends on it: where it can't be kept, or is damaged, files
come again.
"""

import os
import stat
import time

from escp._fast.crypto.digest import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = b"escp, arrived 1\n"
_ENDING = ".arrived"
_OLD_S = 60 * 86400
_SHORT_S = 0.5  # a copy that is over by then has left no trace
RECORD_BYTES = 16
MAX_BYTES = 4194304 * RECORD_BYTES  # MAX_KNOWN of them
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def hash_words(words: "Sequence[bytes]") -> bytes:
    """16 bytes of a hash; nobody is to find other words for it who did not write these."""
    return digest_of(b"\0".join(words))


def find_folder() -> str:
    base = os.environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):  # the XDG specification: anything else is ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "escp")


def _lock(fd: int) -> None:
    import fcntl  # not at the top: a short copy needs none

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass  # there are no locks there: two runs at once would spoil each other's records, and nothing else


def _make_folders(path: str) -> list[str]:
    """Those that this copy made, innermost first."""
    missing: list[str] = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    made: list[str] = []
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
            made.insert(0, folder)
        except FileExistsError:  # another copy was faster
            pass
    return made


def _sweep(folder: str) -> None:
    """Remove what nobody has gone on with for long."""
    for entry in os.scandir(folder):
        try:
            if (
                entry.name.endswith(_ENDING)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_S
            ):
                os.unlink(entry.path)
        except OSError:
            pass  # another run's turn


class JobRecord:
    """Of one command, by its hash. Another run of it at the same time has none."""

    def __init__(self, job: bytes):
        self.seed = int.from_bytes(job[:8], "big")
        self._path = os.path.join(find_folder(), job[:16].hex() + _ENDING)
        self._fd = -1
        self._is_off = False
        self._made: list[str] = []
        self._due_s = time.monotonic() + _SHORT_S

    @property
    def is_due(self) -> bool:
        """Whether so much may be lost that it is worth a file."""
        return time.monotonic() >= self._due_s

    def read(self) -> bytes:
        """What earlier runs have written, whole records only."""
        try:
            self._fd = self._open(0)
            if os.read(self._fd, len(_HEAD)) == _HEAD:
                data = bytearray()
                while len(data) < MAX_BYTES and (more := os.read(self._fd, MAX_BYTES - len(data))):
                    data += more
                n_bytes = len(data) // RECORD_BYTES * RECORD_BYTES
                os.lseek(self._fd, len(_HEAD) + n_bytes, os.SEEK_SET)  # over what a kill has torn
                return bytes(data[:n_bytes])
            self._begin()
        except FileNotFoundError:
            pass
        except OSError:
            self._give_up()
        return b""

    def append(self, data: bytes) -> None:
        if self._is_off or not data:
            return
        try:
            if self._fd < 0:
                self._made = _make_folders(os.path.dirname(self._path))
                _sweep(os.path.dirname(self._path))
                self._fd = self._open(os.O_CREAT)
                self._begin()
            if os.write(self._fd, data) < len(data):  # what a full disk cuts off comes again
                self._give_up()
        except OSError:
            self._give_up()

    def close(self, data: bytes = b"", *, is_over: bool, is_cut: bool = False) -> None:
        """*data*: the last of it. *is_over*: there is nothing to go on with, of earlier runs neither.

        *is_cut*: somebody has ended the copy, and is told that another run does the rest.
        """
        if self._fd >= 0 or self.is_due or is_cut:
            self.append(data)
        try:
            if is_over and not self._is_off:
                os.unlink(self._path)
                for folder in self._made:
                    os.rmdir(folder)  # fails where somebody else uses it by now
        except OSError:
            pass
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, flags: int) -> int:
        fd = os.open(self._path, flags | _FLAGS, 0o600)
        try:
            _lock(fd)
            found = os.fstat(fd)
            is_own = stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()
            if not is_own or found.st_mode & 0o077:
                raise PermissionError
        except OSError:
            os.close(fd)
            raise
        return fd

    def _begin(self) -> None:
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, _HEAD)

    def _give_up(self) -> None:
        self._is_off = True
        self.close(is_over=False)

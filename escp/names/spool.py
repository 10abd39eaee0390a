"""Records without end in little memory: `Spool`. Beyond some KiB they lie in a file without a name."""

import os

CHUNK_BYTES = 1 << 16
_N = 4  # bytes of a record's length, which stands before and behind it


class Spool:
    """Records are added behind, and read from the front or from behind, by where they begin or end."""

    def __init__(self) -> None:
        self._fd = -1
        self._n_stored = 0  # bytes in the file
        self._tail = bytearray()  # those behind them
        self._chunk, self._chunk_at = b"", 0  # a part of the file

    @property
    def end(self) -> int:
        return self._n_stored + len(self._tail)

    def add(self, record: bytes) -> None:
        """Raises OSError where there is no room in $TMPDIR."""
        length = len(record).to_bytes(_N, "big")
        self._tail += length + record + length
        if len(self._tail) >= CHUNK_BYTES:
            self._store()

    def read(self, at: int) -> tuple[bytes, int]:
        """The record that begins there, and where the next one does."""
        n = int.from_bytes(self._get(at, _N), "big")
        return self._get(at + _N, n), at + n + 2 * _N

    def read_before(self, end: int) -> tuple[bytes, int]:
        """The record that ends there, and where it begins."""
        n = int.from_bytes(self._get(end - _N, _N, is_backwards=True), "big")
        return self._get(end - _N - n, n, is_backwards=True), end - n - 2 * _N

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _store(self) -> None:
        if self._fd < 0:
            import tempfile  # lazy: hardly anything is so long

            self._fd, name = tempfile.mkstemp(prefix="escp-")
            os.unlink(name)
        done = 0
        while done < len(self._tail):
            done += os.pwrite(self._fd, self._tail[done:], self._n_stored + done)
        self._n_stored += done
        self._tail.clear()

    def _get(self, at: int, n: int, *, is_backwards: bool = False) -> bytes:
        """*n* bytes at *at*. A record lies in the file or in the tail, never in both."""
        if at >= self._n_stored:
            start = at - self._n_stored
            return bytes(self._tail[start : start + n])
        if not self._chunk_at <= at <= at + n <= self._chunk_at + len(self._chunk):
            wanted = max(n, CHUNK_BYTES)
            self._chunk_at = max(0, at + n - wanted) if is_backwards else at
            self._chunk = os.pread(self._fd, wanted, self._chunk_at)
        start = at - self._chunk_at
        return self._chunk[start : start + n]

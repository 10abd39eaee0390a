"""Digests of files that are there: as escp computes it while it copies (docs/protocol.md 6), and SHA-256."""

import os

from escp._fast.crypto.digest import digest_of as digest_of
from escp._fast.crypto.sha256 import Sha256 as Sha256
from escp._fast.files.beneath import open_directory as open_directory
from escp._fast.files.beneath import open_inside as open_inside
from escp._fast.files.compare import finish_sum, sum_slices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_BYTES = 64 << 20  # between two looks whether it is still wanted: a multiple of SLICE_BYTES


def digest_file(fd: int, look: "Callable[[], None]") -> tuple[bytes, int]:
    """16 bytes, and how many bytes the file had. *look* is called between pieces. Raises OSError."""
    total = at = 0
    while True:
        look()
        part, n_bytes = sum_slices(fd, at, PIECE_BYTES)
        total, at = total + part, at + n_bytes
        if n_bytes < PIECE_BYTES:
            return finish_sum(total, at), at


def digest_path(path: bytes, look: "Callable[[], None]") -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return digest_file(fd, look)[0]
    finally:
        os.close(fd)

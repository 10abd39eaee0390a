"""What is asked about the files below a path, for manifests (docs/protocol.md 3.5.3). Pure.

`codec` imports it when the first of these messages comes: few copies have a manifest.
"""

from escp.control.messages import Hello, Message


class Measure(Message, initiator=(Hello,), repeats=True):
    """Tell the digests of these files below *path*, which is as a target; for manifests (1.2, `manifest`).

    `is_confined`: no link leads out of *path*.
    """

    path: bytes
    names: list[bytes]
    is_confined: bool = False


class Measured(Message, agent=(Hello,), repeats=True):
    """Of the next ones, in the order in which they were asked for, as far as they are read.

    `digests`: SHA-256; `times`: of modification, 8 bytes of seconds since 1970, signed, and 4 of nanoseconds;
    `errnos`: why a file could not be read, else 0. `n_bytes`: read since the last time, of all files.
    """

    digests: list[bytes]
    sizes: list[int]
    times: list[bytes]
    errnos: list[int]
    n_bytes: int


class Find(Message, initiator=(Hello,), repeats=True):
    """Tell which files are in these directories below *path*, and below them; without any: go on. (1.2)"""

    path: bytes
    directories: list[bytes]


class Found(Message, agent=(Hello,), repeats=True, answers=Find, done="listed the tree"):
    """A page of them. `failed`: directories that can't be listed, and `errnos` why."""

    names: list[bytes]
    failed: list[bytes]
    errnos: list[int]
    is_last: bool

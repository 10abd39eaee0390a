"""What a program asks an agent about files, or tells it to do with them (docs/protocol.md 3.9). Pure.

`codec` imports it when the first of these messages comes: no copy needs them. Paths are as the command's on
another host: relative to the home directory there, and `~` is expanded.
"""

from escp.control.messages import Files, Hello, Message

MAX_READ_BYTES = 1 << 18  # of one answer, which spells each byte with two digits
MAX_ENTRIES = 1000  # of one answer: with names of 255 bytes 0.7 MiB
TIME_ZERO = 1 << 62  # added to times, which may be before 1970


class Look(Message, initiator=(Files,), repeats=True):
    """What is there of that name? `follows`: a symbolic link."""

    path: bytes
    follows: bool


class List(Message, initiator=(Files,), repeats=True):
    """What is in this directory?"""

    path: bytes


class More(Message, initiator=(List,), repeats=True):
    """The next page of it."""


class Entries(Message, agent=(Hello,), repeats=True):
    """The answer to these three, one item a name; of `Look` the only name is empty.

    `modes`: with the type. `times`: of modification, in nanoseconds, plus TIME_ZERO. `targets`: of symbolic
    links, b"" of all else. With `sys_errno` nothing more comes.
    """

    names: list[bytes]
    modes: list[int]
    sizes: list[int]
    times: list[int]
    uids: list[int]
    gids: list[int]
    inodes: list[int]
    links: list[int]
    targets: list[bytes]
    is_last: bool
    sys_errno: int = 0


class Change(Message, initiator=(Files,), repeats=True):
    """`what`: mkdir, mkdirs (those above, too; it may be there), remove (a file, an empty directory), rmtree
    (what is in it, too), rename (to `to`, where nothing is), replace (the same, where a file may be).
    """

    what: str
    path: bytes
    to: bytes = b""


class Changed(Message, agent=(Hello,), repeats=True):
    """The answer. `path`: the one that failed."""

    sys_errno: int
    path: bytes = b""


class Digest(Message, initiator=(Files,), repeats=True):
    """The digest of a file's contents, as of a copy."""

    path: bytes


class Digested(Message, agent=(Hello,), repeats=True):
    """The answer: 16 bytes, and how many bytes the file has."""

    digest: bytes
    size: int
    sys_errno: int = 0


class Read(Message, initiator=(Files,), repeats=True):
    """Some bytes of a file: MAX_READ_BYTES at most."""

    path: bytes
    offset: int
    n_bytes: int


class Piece(Message, agent=(Hello,), repeats=True):
    """The answer; fewer bytes only at the file's end. `stamp`: tells one state of the file from another."""

    data: bytes
    size: int
    stamp: bytes
    sys_errno: int = 0


class Store(Message, initiator=(Files,), repeats=True):
    """Make a file of these contents, of MAX_READ_BYTES at most. It gets its name once it is whole.

    `is_new`: nothing that is there is replaced.
    """

    path: bytes
    data: bytes
    digest: bytes
    is_new: bool


class Stored(Message, agent=(Hello,), repeats=True):
    """The answer."""

    sys_errno: int

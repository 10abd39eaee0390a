"""What the ends are asked for --delete, once all is copied (docs/protocol.md 3.5.2). Pure.

`codec` imports it when the first of these messages comes: most copies delete nothing.
"""

from escp.control.messages import Accept, Message, Opened, Receive, Roots


class Inventory(Message, initiator=(Accept,), repeats=True):
    """All is copied: tell the next page of what there is below the sources (1.2, `delete`)."""


class Names(Message, agent=(Roots,), repeats=True, answers=Inventory, done="listed its sources"):
    """A page of it: directories, as paths below the target, how many names each has, and the names.

    A directory that is the last one of the page before goes on; none comes again later. `n_files`: of the
    names, those of what is no directory. `above`: device and inode of each source and what it is below. With
    `sys_errno` the directory `failed` of the sources can't be listed, and nothing else will come.
    """

    directories: list[bytes]
    counts: list[int]
    names: list[bytes]
    n_files: int
    is_last: bool
    failed: bytes = b""
    sys_errno: int = 0
    above: list[int] = []  # noqa: RUF012


class Compare(Message, initiator=(Receive,), repeats=True):
    """A page of `Names`; the last one may be followed by empty ones, until the plan is made.

    `spared`: device and inode, one after the other, of what must stay. (1.2, `delete`)
    """

    directories: list[bytes]
    counts: list[int]
    names: list[bytes]
    is_last: bool
    spared: list[int] = []  # noqa: RUF012


class Compared(Message, agent=(Opened,), repeats=True, answers=Compare, done="compared its names"):
    """So many names would be removed; `is_done`: these are all. `failed`, `sys_errno` as in `Names`."""

    n_planned: int
    is_done: bool
    failed: bytes = b""
    sys_errno: int = 0


class Prune(Message, initiator=(Compare,), repeats=True):
    """Remove the next names of the plan; in a dry run only say which. (1.2, `delete`)"""


class Pruned(Message, agent=(Compared,), repeats=True, answers=Prune, done="removed anything"):
    """These are gone, directories end with a slash; those could not be removed, for these reasons."""

    paths: list[bytes]
    failed: list[bytes]
    errnos: list[int]
    is_last: bool

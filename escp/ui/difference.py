"""What --check finds: a file that is not as its manifest says."""

from escp.lean.record import Record
from escp.ui.display import show_name, show_text

MISSING, CHANGED, EXTRA, UNREADABLE = "missing", "changed", "extra", "unreadable"
STATES = (MISSING, CHANGED, EXTRA, UNREADABLE)
_WIDTH = len(UNREADABLE)


class Difference(Record):
    """*what* is other, of a changed one: contents, size, time, type. *text*: the same for people."""

    path: bytes
    status: str
    what: tuple[str, ...] = ()
    text: str = ""
    sys_errno: int = 0


def format_difference(one: Difference) -> str:
    """'changed     run42/a: other contents, of the same size and time'."""
    reason = f": {show_text(one.text)}" if one.text else ""
    return f"{one.status:<{_WIDTH}}  {show_name(one.path)}{reason}"


def format_counts(n_same: int, counts: dict[str, int]) -> str:
    """'12 files as they should be, 1 missing, 2 changed'."""
    found = "".join(f", {counts[status]:,} {status}" for status in STATES if counts[status])
    return f"{n_same:,} file{'' if n_same == 1 else 's'} as the manifest says{found}"

"""A copy that stands still: who is to move is told: on the terminal, in the log, in JSON (`turn`). Pure."""

STILL_S = 15.0
# What moves while anything does. That something was found is progress, too, and so is what failed.
_MOVES = ("bytes_network", "bytes_disk", "bytes", "files", "directories", "failed", "skipped", "found_files")

NETWORK, SOURCE, TARGET, DISK = "network", "source", "target", "disk"


class Standstill:
    """`look` at the counters all the time."""

    def __init__(self, now: float):
        self._since_s = self._now_s = now
        self._counts: tuple[int, ...] = ()
        self.is_told = False

    def look(self, now: float, counts: dict[str, int]) -> float:
        """For how long nothing has moved, from STILL_S on; 0 before."""
        self._now_s = now
        moved = tuple(counts.get(name, 0) for name in _MOVES)
        if moved != self._counts:
            self._counts = moved
            self.begin(now)
        return self.still_s if self.still_s >= STILL_S else 0.0

    @property
    def still_s(self) -> float:
        """For how long nothing had moved at the last look."""
        return self._now_s - self._since_s

    def begin(self, now: float) -> None:
        """Something moves, or nothing has to."""
        self._since_s = self._now_s = now
        self.is_told = False


def find_turn(
    *, source: str, target: str, unheard: str, is_all_sent: bool, is_taken: bool, is_unread: bool
) -> tuple[str, str]:
    """Whose turn it is, and the words for that. *source*, *target*: hosts, "" is this one.

    *unheard*: a host of which nothing was heard. *is_all_sent*: of all that was found. *is_taken*: the
    target's system has all that was sent; *is_unread*: and its escp has not taken all of that. Only what is
    known of an end that is here, or was told of one that is not.
    """
    if unheard:
        return NETWORK, f"{unheard} is not heard: the network, or that host, is down, or its escp is stopped"
    if is_unread or not is_taken or is_all_sent:
        return TARGET, f"{_name(target)} takes nothing more: its disk may stand still{_answers(target)}"
    return (
        SOURCE,
        f"{_name(source)} has more to read and gets nothing: its disk may stand still{_answers(source)}",
    )


def _name(host: str) -> str:
    return host or "this host"


def _answers(host: str) -> str:
    return "; its escp answers" if host else ""

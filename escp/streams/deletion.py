"""--delete at the ends of a copy that run in this process: what each answers once all is copied.

Loaded then, and only where it was asked for.
"""

from escp._fast.files.beneath import open_directory
from escp._fast.files.filter import find_excluded
from escp.control.deletion import Compare, Compared, Inventory, Names, Prune, Pruned
from escp.control.messages import Message
from escp.errors import ProtocolError, explain_unsynced
from escp.names.inventory import Excluder
from escp.names.inventory import Inventory as SourceInventory
from escp.names.pruning import Pruner
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sendend import SendEnd

_MAX_NUMBER = (1 << 63) - 1  # of a message


class Lister:
    """The sending end lists its sources."""

    def __init__(self, end: SendEnd):
        if not end.wanted.deletes:
            raise ProtocolError("the peer asks for an inventory, and --delete was not asked for")
        self._inventory = SourceInventory(
            end.identified,
            keeps_links=end.wanted.keeps_links,
            find_excluded=_make_excluder(end.wanted.filters),
            open_below=open_directory,
        )
        self._is_first = True

    def answer(self, message: Message) -> Names:
        assert isinstance(message, Inventory)
        page = self._inventory.next_page()
        if self._is_first:
            self._is_first = False
            above = self._inventory.identities_above()
            page = page._replace(above=[min(number, _MAX_NUMBER) for number in above])
        return page

    def close(self) -> None:
        self._inventory.close()


class Remover:
    """The receiving end compares, and removes."""

    def __init__(self, end: ReceiveEnd):
        wanted, destination = end.wanted, end.destination
        if not wanted.deletes:
            raise ProtocolError("the peer wants something to be deleted, and --delete was not asked for")
        self._is_dry_run = wanted.is_dry_run
        self._target, self._is_remote = wanted.target, end.is_remote
        self._pruner: Pruner | None = None
        if destination.in_place_fd >= 0:  # a pipe or device: nothing is below it
            return
        self._pruner = Pruner(
            destination.root_fd, roots=set() if destination.name else end.allowed, open_below=open_directory,
            find_excluded=_make_excluder(wanted.filters), keeps_times=wanted.keeps_attributes,
            is_durable=wanted.is_durable,
        )  # fmt: skip

    def answer(self, message: Message) -> Compared | Pruned:
        if isinstance(message, Compare):
            return self._pruner.compare(message) if self._pruner else Compared(0, is_done=True)
        assert isinstance(message, Prune)
        if self._pruner is None:
            return Pruned([], [], [], True)
        if self._pruner.unsynced:  # what went has been told
            raise explain_unsynced(self._target, self._pruner.unsynced, is_remote=self._is_remote)
        return self._pruner.prune(is_dry_run=self._is_dry_run)

    def close(self) -> None:
        if self._pruner:
            self._pruner.close()


def make_half(end: SendEnd | ReceiveEnd) -> Lister | Remover:
    return Lister(end) if isinstance(end, SendEnd) else Remover(end)


def _make_excluder(filters: list[bytes]) -> Excluder:
    rules = [(rule[:1] == b"+", rule[1:]) for rule in filters]
    return lambda paths: find_excluded(rules, paths) if rules else [False] * len(paths)

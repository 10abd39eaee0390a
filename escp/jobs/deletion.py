"""--delete: what the initiator does once all was copied and both ends agree on it.

    sender: Inventory ─► Names     receiver: Compare ─► Compared, ... the plan's size ─► Prune ─► Pruned, ...

Nothing is removed unless every name was listed and the plan is within --max-delete.
"""

from collections import deque
from collections.abc import Callable

from escp.control.deletion import Compare, Compared, Inventory, Names, Prune, Pruned
from escp.control.messages import Message
from escp.errors import DeletionError, EscpError, SomeFailedError, describe_errno, may_pass
from escp.options.options import Options
from escp.streams.deletion import Lister, Remover, make_half
from escp.streams.receiveend import ReceiveEnd
from escp.streams.sendend import SendEnd
from escp.ui.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.agentlink import AgentLink


class Deletion:
    """Each end is one here, or an agent, whose answers come to `take_from`.

    *n_copied*: files, with those skipped.
    """

    def __init__(
        self, options: Options, watcher: Events, sender: "AgentLink | SendEnd | None",
        receiver: "AgentLink | ReceiveEnd | None", *, n_copied: int,
    ):  # fmt: skip
        assert sender is not None and receiver is not None
        self._options = options
        self._watcher = watcher
        self._sender, self._receiver = sender, receiver
        self._halves: list[Lister | Remover] = []  # those that are here
        self._answers: deque[Message] = deque()  # of those
        self._tell_sender, self._tell_receiver = self._find_way(sender), self._find_way(receiver)
        self._origin_host = None if isinstance(sender, SendEnd) else sender.host
        self._n_copied = n_copied
        self._pages: deque[Names] = deque()  # at most one, while another one is compared
        self._is_comparing = False
        self._is_listed = False
        self._n_files = 0
        self.is_done = False
        self.n_deleted = 0
        self.n_failed = 0
        self.failure: EscpError | None = None

    def _find_way(self, end: "AgentLink | SendEnd | ReceiveEnd") -> Callable[[Message], None]:
        if not isinstance(end, SendEnd | ReceiveEnd):
            return end.send
        half = make_half(end)
        self._halves.append(half)
        return lambda message: self._answers.append(half.answer(message))

    @property
    def _is_same_host(self) -> bool:
        """What the sources are must not be removed."""
        return len(self._halves) == 2 or self._options.is_embedded

    def begin(self) -> None:
        self._tell_sender(Inventory())

    def step(self) -> bool:
        """Go on with what an end here has answered; False: agents are waited for."""
        if not self._answers:
            return False
        self._take(self._answers.popleft())
        return True

    def take_from(self, agent: "AgentLink", message: Message) -> bool:
        """False for what that agent may not say."""
        is_receivers = isinstance(message, Compared | Pruned)
        if not (is_receivers or isinstance(message, Names)) or agent is not (
            self._receiver if is_receivers else self._sender
        ):
            return False
        self._take(message)
        return True

    def close(self) -> None:
        for half in self._halves:
            half.close()

    def _take(self, message: Message) -> None:
        if self.is_done:
            return
        if isinstance(message, Names):
            self._take_names(message)
        elif isinstance(message, Compared):
            self._take_compared(message)
        elif isinstance(message, Pruned):
            self._take_pruned(message)

    def _take_names(self, page: Names) -> None:
        if page.sys_errno:
            self._fail(page.failed, page.sys_errno, self._origin_host)
            return
        self._n_files += page.n_files
        self._is_listed = page.is_last
        if page.is_last and self._n_files < self._n_copied:
            self.failure = SomeFailedError(
                f"nothing was deleted: of {self._n_copied:,} files that were copied only {self._n_files:,} "
                "are still among the sources",
                "did something remove or unmount them meanwhile? Then run it again",
            )
            self.is_done = True
            return
        self._pages.append(page)
        self._compare()

    def _compare(self) -> None:
        if self._is_comparing or not self._pages:
            return
        page = self._pages.popleft()
        self._is_comparing = True
        spared = page.above if self._is_same_host else []
        self._tell_receiver(Compare(page.directories, page.counts, page.names, page.is_last, spared))
        if not self._is_listed:
            self._tell_sender(Inventory())

    def _take_compared(self, message: Compared) -> None:
        self._is_comparing = False
        if message.sys_errno:
            path = self._options.target.below(message.failed) if message.failed else self._options.target.path
            self._fail(path, message.sys_errno, self._options.target.host)
            return
        if not (self._is_listed and not self._pages):
            self._compare()
        elif not message.is_done:
            self._is_comparing = True
            self._tell_receiver(Compare([], [], [], is_last=True))
        elif self._options.max_deletions is not None and message.n_planned > self._options.max_deletions:
            is_listed = self._options.is_dry_run
            self.failure = DeletionError(message.n_planned, self._options.max_deletions, is_listed=is_listed)
            self.is_done = not is_listed
            if is_listed:
                self._tell_receiver(Prune())
        else:
            self._tell_receiver(Prune())

    def _take_pruned(self, message: Pruned) -> None:
        for path in message.paths:
            self._watcher.deleted(self._options.target.below(path), is_dry_run=self._options.is_dry_run)
        self.n_deleted += len(message.paths)
        for path, number in zip(message.failed, message.errnos, strict=False):
            self.n_failed += 1
            path = self._options.target.below(path)
            reason = f"can't be deleted: {describe_errno(number)}"
            host = self._options.target.host
            self._watcher.file_error(path, reason, host=host, sys_errno=number, is_passing=may_pass(number))
        self.is_done = message.is_last
        if not self.is_done:
            self._tell_receiver(Prune())

    def _fail(self, path: bytes, number: int, host: str | None) -> None:
        self.n_failed += 1
        reason = f"can't be listed: {describe_errno(number)}"
        self._watcher.file_error(
            path or b".", reason, host=host, sys_errno=number, is_passing=may_pass(number)
        )
        self._watcher.warn("nothing was deleted: not every directory could be listed")
        self.is_done = True

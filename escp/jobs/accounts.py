"""Whether what both ends of a copy say about it agrees: no end's word alone makes a copy a success.

The receiver's account is what is reported; it must be the sender's, too. Every name that was offered and
accepted comes, or the sender says that it will not. For each that does not come there must be a failure.
"""

from collections import deque

from escp.control.messages import Result
from escp.errors import AccountsError, ProtocolError

MAX_NAMES = 1000  # kept of those for which no reason has come yet


class Accounts:
    """*sender* and *receiver*: what the two ends are called in messages."""

    def __init__(self, sender: str, receiver: str, *, may_leave_out: bool = False):
        """*may_leave_out*: files that were offered don't come where their size is not wanted."""
        self._may_leave_out = may_leave_out
        self._sender, self._receiver = sender, receiver
        self._n_told = 0  # failures that a sending agent has told of
        self._n_reasons = 0  # of them those about sources
        self._n_absent = 0
        self._absent: deque[bytes] = deque(maxlen=MAX_NAMES)
        self._n_listed = self._n_items = 0

    def tell_failure(self, *, is_receiver: bool) -> None:
        """The sending agent says that a file failed."""
        self._n_told += 1
        self._n_reasons += not is_receiver

    def tell_absent(self, name: bytes) -> None:
        """A name that was accepted will not come. The reason may come earlier or later."""
        if self._n_absent <= self._n_reasons:  # there is a reason for each of those before
            self._absent.clear()
        self._n_absent += 1
        self._absent.append(name)

    def tell_listed(self) -> None:
        self._n_listed += 1

    def tell_item(self) -> None:
        """The sender says that something has arrived, or was there already; no directory."""
        self._n_items += 1

    def find_unexplained(self) -> list[bytes]:
        """At the end: names that did not come and for which there was no reason; of very many only some."""
        if self._may_leave_out:
            return []
        n = min(max(0, self._n_absent - self._n_reasons), len(self._absent))
        return list(self._absent)[len(self._absent) - n :]

    def check_agent(self, sent: Result, *, is_dry_run: bool) -> None:
        """Whether a sending agent's account is what it has told of."""
        if sent.failed != self._n_told:
            raise ProtocolError(f"{self._sender} counts {sent.failed} failures and told of {self._n_told}")
        n_listed = sent.files + sent.directories
        if is_dry_run and n_listed != self._n_listed:
            raise ProtocolError(f"{self._sender} counts {n_listed} names and listed {self._n_listed}")

        if self._n_items > sent.files + max(sent.skipped, 0):
            raise ProtocolError(f"{self._sender} counts {sent.files} files and told of {self._n_items}")

    def compare(self, sent: Result, received: Result, *, is_dry_run: bool, compares_digests: bool) -> None:
        """Raises AccountsError where the accounts of the two ends differ."""
        for what, n_sent, n_received in (
            ("files", sent.files, received.files),
            ("directories", sent.directories, received.directories),
            ("bytes", sent.bytes, received.bytes),
        ):
            self._check(what, 0 if is_dry_run else n_sent, n_received)
        if received.failed > sent.failed:  # of the others the receiver has never heard
            self._check("failures", sent.failed, received.failed)
        # Of files with the same size the sender compares the digests, and skips some.
        is_less = compares_digests and sent.skipped < received.skipped
        if min(sent.skipped, received.skipped) >= 0 and not is_less:
            self._check("unchanged files", sent.skipped, received.skipped)

    def _check(self, what: str, n_sent: int, n_received: int) -> None:
        if n_sent != n_received:
            raise AccountsError(
                f"the accounts differ: {n_sent} {what} by {self._sender}, {n_received} by {self._receiver}"
            )

"""A login that comes to nothing: the network was lost after ssh had connected, and ssh would wait for ever.

All that is known is what this host's kernel tells of ssh: how much it has read, and whether it asks its user
something.
"""

import os

from escp.errors import NetworkError
from escp.lean import signals
from escp.remote.asking import is_asking
from escp.remote.reached import has_connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN_SILENT_S = 180.0  # nothing read for so long; sshd gives a login 120 s
# So many times as long where ssh has no connection of its own. It may use a ControlMaster's, and only the
# master hears that the host is there while a login script is slow; or a ProxyCommand's, which may have much
# to do first.
N_BORROWED = 3
LOOK_S = 5.0
MAX_PROCESSES = 64
_BORROWED_HINT = (
    "its connection is another's: check the ProxyCommand, or end a ControlMaster whose network is gone "
    "with `ssh -O exit HOST`"
)
# Programs that ask for a PIN or a touch, or show a question on a screen; the kernel keeps 15 letters of a
# name.
_HELPERS = ("ssh-sk-helper", "ssh-pkcs11-help")


class LoginWatch:
    """*pid*: ssh. `check` from time to time, until its agent is there."""

    def __init__(self, pid: int, host: str, now: float):
        self._pid = pid
        self._host = host
        self._since_s = self._looked_s = now
        self._n_read = -1

    def check(self, now: float) -> None:
        """Raises NetworkError when ssh has heard nothing for long, and asks nobody. *now*: as the loop's."""
        if now - self._looked_s < min(LOOK_S, LOGIN_SILENT_S / 4):
            return
        self._looked_s = now
        try:
            pids = list(_find_family(self._pid))
            n_read = sum(map(_count_read, pids))
            asks = is_asking(self._pid) or any(map(_is_helper, pids))
            is_waiting = n_read == self._n_read and not asks
            is_borrowed = is_waiting and not has_connection(pids)
        except (OSError, ValueError):  # ended, or a kernel that does not tell
            pids, is_waiting, is_borrowed, n_read = [], False, False, -1
        self._n_read = n_read
        if not is_waiting:
            self._since_s = now
        elif now - self._since_s > LOGIN_SILENT_S * (N_BORROWED if is_borrowed else 1):
            _end_helpers(pids[1:])
            raise NetworkError(
                f"ssh has heard nothing from {self._host} for {now - self._since_s:.0f} s while it logged in",
                _BORROWED_HINT if is_borrowed else "check the network between the hosts",
            )


def _find_family(pid: int) -> "Iterator[int]":
    """*pid* and what it has started: a jump host's ssh, helpers."""
    waiting = [pid]
    for _ in range(MAX_PROCESSES):
        if not waiting:
            return
        one = waiting.pop()
        yield one
        with open(f"/proc/{one}/task/{one}/children", "rb") as file:
            waiting += map(int, file.read().split())


def _end_helpers(pids: list[int]) -> None:
    """A ProxyCommand that hangs would stay when ssh is ended."""
    for pid in pids:
        try:
            os.kill(pid, signals.SIGTERM)
        except OSError:
            continue  # it is gone, or another user's


def _count_read(pid: int) -> int:
    """How many bytes the process has read, from anywhere."""
    with open(f"/proc/{pid}/io", "rb") as file:
        return int(file.readline().split()[1])


def _is_helper(pid: int) -> bool:
    """Whether the process asks the user something, and ssh waits for it."""
    with open(f"/proc/{pid}/comm") as file:
        name = file.read().strip()
    return name in (*_HELPERS, os.path.basename(os.environ.get("SSH_ASKPASS", "ssh-askpass"))[:15])

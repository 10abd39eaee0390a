"""What /proc tells about processes that the bench started: who descends from whom, and their peak memory."""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

MIB = 1 << 20
PR_SET_CHILD_SUBREAPER = 36


def list_parents() -> dict[int, int]:
    """Process -> its parent, of all processes."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:  # gone meanwhile
                continue
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    return parents


def find_descendants(root: int) -> set[int]:
    parents = list_parents()
    found: set[int] = set()
    newest = {root}
    while newest:
        newest = {pid for pid, parent in parents.items() if parent in newest} - found
        found |= newest
    return found


def adopt_orphans() -> None:
    """What loses its parent becomes a child of the bench: what a session of sshd leaves behind, too."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def find_started(sshd: int) -> set[int]:
    """All that the bench started, directly or not, and that is not over yet; without *sshd* itself."""
    found = find_descendants(os.getpid()) - {sshd}
    for pid in found:
        with contextlib.suppress(ChildProcessError):  # no child of ours, only a descendant
            os.waitpid(pid, os.WNOHANG)
    return found


def wait_until_alone(sshd: int, timeout_s: float) -> bool:
    """Until only *sshd* is there. Whatever is over then was waited for: its CPU time is accounted for."""
    end = time.monotonic() + timeout_s
    while find_started(sshd):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def end_started(sshd: int, grace_s: float) -> None:
    """They may end by themselves for a while: a receiver cleans up when its sender is gone."""
    while not wait_until_alone(sshd, grace_s):
        for pid in find_started(sshd):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        grace_s = 1


def read_peak_bytes(pid: int) -> int:
    """VmHWM, 0 when the process is gone. Not ru_maxrss: that counts what its parent had before exec, too."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


class PeakWatcher:
    """Peak memory of both sides of a copy. `look` is called often while it runs: a peak only grows.

    The receiver writes its process id to *pid_file* (a wrapper that then becomes escp by exec does that).
    """

    def __init__(self, pid_file: Path):
        self._pid_file = pid_file
        self._receiver = 0
        self.sender_bytes = self.receiver_bytes = 0
        pid_file.unlink(missing_ok=True)

    def look(self, sender: int) -> None:
        self.sender_bytes = max(self.sender_bytes, read_peak_bytes(sender))
        if not self._receiver:
            try:
                self._receiver = int(self._pid_file.read_text())
            except (OSError, ValueError):  # not yet, or half written
                return
        self.receiver_bytes = max(self.receiver_bytes, read_peak_bytes(self._receiver))

    def as_mib(self) -> tuple[float, float]:
        return self.sender_bytes / MIB, self.receiver_bytes / MIB

"""CPU time of a tool, of its children, and of what sshd started for it on the other side."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
N_CPUS = os.cpu_count() or 1


@dataclass
class Reading:
    """Seconds since some start; only differences mean something."""

    used_s: float  # the tool on both sides
    own_s: float  # the bench itself
    kernel_s: float  # kernel threads: writeback, and the like of everyone
    machine_s: float  # everything that ran, but for interrupts: whose they were is not known
    stolen_s: float  # what the hypervisor gave to others

    def __sub__(self, other: "Reading") -> "Reading":
        return Reading(*(mine - its for mine, its in zip(self.as_list(), other.as_list(), strict=True)))

    def as_list(self) -> list[float]:
        return [self.used_s, self.own_s, self.kernel_s, self.machine_s, self.stolen_s]

    def others_share(self, seconds: float) -> float:
        """The part of all CPUs that neither the tool, the bench nor the kernel's threads used."""
        others_s = self.machine_s - self.used_s - self.own_s - self.kernel_s
        return (max(0.0, others_s) + self.stolen_s) / (seconds * N_CPUS)


class CpuMeter:
    """Must be made before anything that it shall count is started. `how` says in words what it counts.

    With cgroup v2: the bench moves into a cgroup of its own, and all that it starts (sshd too) is born
    there; its own time is subtracted. Nothing is moved while a clock runs: that takes milliseconds.
    Otherwise: RUSAGE_CHILDREN, and sshd's own times with those of its children that it has waited for.
    """

    def __init__(self) -> None:
        self.sshd_pid = 0
        self._group, self._home = None, None
        try:
            self._join_group()
            self.how = "cgroup v2: the tool, its children, sshd and the agent"
        except (OSError, LookupError, ValueError) as e:
            self._leave_group()
            self.how = f"no cgroup v2 ({e}): RUSAGE_CHILDREN for the tool, /proc for sshd and its children"

    def _join_group(self) -> None:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        roots = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
        if not roots:
            raise LookupError("not mounted")
        home = Path("/proc/self/cgroup").read_text().partition("0::")[2].splitlines()[0]
        group = roots[0] / f"escp-bench-{os.getpid()}"
        group.mkdir()
        self._group = group
        self._read_group()  # some sandboxes have the folder without the figures
        (group / "cgroup.procs").write_text(str(os.getpid()))
        self._home = roots[0] / home.lstrip("/")

    def _read_group(self) -> float:
        lines = (self._group / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def read(self) -> Reading:
        """To be called when nothing of the tool runs any more, on either side."""
        words = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
        user, nice, system, _, _, _, _, stolen = (int(word) / TICKS_PER_S for word in words)
        own = _sum_rusage(resource.RUSAGE_SELF)
        if self._group:
            used = self._read_group() - own
        else:
            used = _sum_rusage(resource.RUSAGE_CHILDREN)
            if self.sshd_pid:
                used += sum(_read_times(self.sshd_pid)[1:])
        return Reading(used, own, _read_kernel_s(), user + nice + system, stolen)

    def close(self) -> None:
        self._leave_group()

    def _leave_group(self) -> None:
        try:
            if self._home:
                (self._home / "cgroup.procs").write_text(str(os.getpid()))
            if self._group:
                self._group.rmdir()
        except OSError as e:
            print(f"bench: left behind: {self._group} ({e.strerror})", file=sys.stderr)
        self._group = self._home = None


def _sum_rusage(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _read_times(pid: int | str) -> tuple[int, float, float]:
    """Parent; seconds of the process; seconds of the children it has waited for. Raises OSError."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(word) / TICKS_PER_S for word in words[11:15])
    return int(words[1]), user + system, child_user + child_system


def _read_kernel_s() -> float:
    total = 0.0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent, seconds, _ = _read_times(name)
            except OSError:
                continue
            total += seconds if parent == 2 else 0  # kthreadd's children
    return total

"""One run of one tool: caches dropped, a clock around it, its CPU time, and nothing left running."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import scratch
from cpu import CpuMeter
from processes import end_started, wait_until_alone

from tests.support.configuration import forget_configuration

LOOK_S = 0.01  # between two looks at a process's memory
SETTLE_S = 3  # sshd's session ends a little after the client
GRACE_S = 12  # either side of escp ends within 10 s when the other is killed


@dataclass
class Run:
    """`seconds` until the tool ended, `durable_s` until its target was on the disk as well."""

    tool: str
    round: int
    command: list[str]
    seconds: float = 0.0
    durable_s: float = 0.0
    cpu_s: float = 0.0
    kernel_s: float = 0.0
    others_share: float = 0.0
    values: dict[str, float] = field(default_factory=dict)  # row of the table -> figure
    error: str = ""
    output: str = field(default="", repr=False)  # what it printed on stdout

    def as_json(self) -> dict[str, object]:
        fields = asdict(self)
        del fields["output"]
        return fields


def child_environment() -> dict[str, str]:
    """Without what leads Python elsewhere or keeps it from its .pyc files, the user's keys and defaults."""
    environment = dict(os.environ, LC_ALL="C")
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED", "SSH_AUTH_SOCK"):
        environment.pop(name, None)
    forget_configuration(environment)
    return environment


class Runner:
    """Starts the tools, one at a time. All that runs below the bench but for sshd itself belongs to a run."""

    def __init__(self, meter: CpuMeter, sshd_pid: int, log_folder: Path, timeout_s: float):
        self._meter = meter
        self._sshd_pid = sshd_pid
        self._out, self._err = log_folder / "stdout", log_folder / "stderr"
        self._timeout_s = timeout_s
        self._env = child_environment()

    def run(
        self,
        run: Run,
        *,
        is_cold: bool = False,
        durable_path: Path | None = None,
        look: Callable[[int], None] | None = None,
    ) -> Run:
        """Fill in *run*. *durable_path*: the clock runs on until its file system is synced."""
        if is_cold:
            scratch.drop_caches()
        before = self._meter.read()
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            start = time.monotonic()
            child = subprocess.Popen(
                run.command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,  # not a new session: autogroup would schedule it as a group of its own
            )
            try:
                has_ended = self._wait(child, look)
                run.seconds = time.monotonic() - start
                if has_ended and durable_path:
                    subprocess.run(["sync", "-f", durable_path], check=True)
                run.durable_s = time.monotonic() - start
            finally:  # on Ctrl-C too
                self._end(child)
        is_alone = wait_until_alone(self._sshd_pid, SETTLE_S)
        used = self._meter.read() - before
        run.cpu_s, run.kernel_s = used.used_s, used.kernel_s
        run.others_share = used.others_share(time.monotonic() - start)
        run.output = self._out.read_text(errors="replace")
        if not has_ended:
            run.error = f"stopped after {self._timeout_s:.0f} s"
        elif child.returncode:
            said = (self._err.read_text(errors="replace") or run.output).strip()
            run.error = f"exit status {child.returncode}: {said[-300:]}"
        elif not is_alone:
            end_started(self._sshd_pid, 0)
            run.error = "it left processes running"
        return run

    def _wait(self, child: subprocess.Popen, look: Callable[[int], None] | None) -> bool:
        """False when it took too long. Not child.wait(timeout): that sleeps up to 50 ms too long."""
        end = time.monotonic() + self._timeout_s
        fd = os.pidfd_open(child.pid)
        try:
            while time.monotonic() < end:
                pause_s = LOOK_S if look else max(0.0, end - time.monotonic())
                if select.select([fd], [], [], pause_s)[0]:
                    return True
                if look:
                    look(child.pid)
            return False
        finally:
            os.close(fd)

    def _end(self, child: subprocess.Popen) -> None:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            end_started(self._sshd_pid, GRACE_S)

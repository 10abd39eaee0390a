"""Where scp and escp run the same command: one sshd, one login, and for each run a sandbox of its own.

A sandbox holds `here`, where the command is started, and `home`, the home directory on the other side.
"""

import itertools
import os
import queue
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections import namedtuple
from pathlib import Path

from tests.conformance.cases import Case
from tests.conformance.tree import make_tree, read_tree
from tests.support.command import AGENT_COMMAND, COMMAND, N_PORTS, ROOT
from tests.support.configuration import copy_environment
from tests.support.leftovers import MARK, assert_nothing_left
from tests.support.ports import Ports
from tests.support.sshd import HOST, Sshd

SCP, ESCP = "scp", "escp"
TIMEOUT_S = 30.0
CLOCK_SLACK_S = 2  # of a file system's clock, which ticks, behind time.time()
N_WORKERS = (os.cpu_count() or 1) + 1
SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
)


class Outcome(namedtuple("Outcome", "code tree err")):
    """How a run ended: exit code, the sandbox's tree, standard error."""

    __slots__ = ()

    @property
    def succeeded(self) -> bool:
        return self.code == 0


class Arena:
    """Threads may run cases at the same time."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.mark = secrets.token_hex(8)
        self._claims = [Ports() for _ in range(N_WORKERS)]
        self._ports: queue.SimpleQueue[int] = queue.SimpleQueue()
        for claim in self._claims:
            self._ports.put(claim.first)
        self._numbers = itertools.count()
        self._agent = self._write_script("agent", f'exec {shlex.join(AGENT_COMMAND)} "$@"')
        sftp = next((path for path in SFTP_SERVERS if os.access(path, os.X_OK)), "sftp-server")
        subsystem = self._write_script("sftp", f"exec {sftp}")
        self.sshd = Sshd(
            folder,
            addresses=("::1",) if os.path.exists("/proc/net/if_inet6") else (),
            settings=f"Subsystem sftp {subsystem}\nAcceptEnv CASE_*\nMaxSessions 100",
            client_settings=f"SendEnv CASE_*\nControlPath {folder}/%C",
        )
        # One login for all cases that name the same user, address and port: 0.2 s less for each run.
        self._master = subprocess.Popen(
            ["ssh", "-F", self.sshd.client_config, "-M", "-N", HOST],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end_s = time.monotonic() + TIMEOUT_S
        while subprocess.run(
            ["ssh", "-F", self.sshd.client_config, "-O", "check", HOST], capture_output=True
        ).returncode:
            assert time.monotonic() < end_s, "ssh did not log in"
            time.sleep(0.02)

    def _write_script(self, name: str, command: str) -> Path:
        """What sshd starts: in the case's home and with its umask, whoever's account it is."""
        path = self.folder / name
        lines = [
            "#!/bin/sh",
            'export HOME="$CASE_HOME" ' + shlex.join([f"{MARK}={self.mark}", f"PYTHONPATH={ROOT}"]),
            'cd "$HOME" && umask "$CASE_UMASK" || exit 1',
            command,
        ]
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)
        return path

    def run(self, case: Case, program: str) -> Outcome:
        """Run the case with scp or escp in a new sandbox."""
        number = next(self._numbers)
        top = self.folder / f"{program}{number:05}"
        for name in ("here", "home"):
            (top / name).mkdir(parents=True)
        make_tree(top, case.tree)
        before = read_tree(top)
        port = self._ports.get()
        try:
            start_s = time.time() - CLOCK_SLACK_S
            code, err = self._run(case, program, top, port)
        finally:
            self._ports.put(port)
        outcome = Outcome(code, read_tree(top, start_s, before), err)
        shutil.rmtree(top)
        return outcome

    def _run(self, case: Case, program: str, top: Path, port: int) -> tuple[int, str]:
        if program == SCP:
            base = ["scp", "-B"]
        else:
            base = [*COMMAND, "-D", os.fspath(self._agent), "--escp_port", str(port)]
        words = [self._fill(word, top) for word in case.words]
        command = [*base, "-F", os.fspath(self.sshd.client_config), *case.options, *words]
        environment = {
            **copy_environment(),
            "PYTHONPATH": str(ROOT),
            "HOME": f"{top}/nobody",  # no configuration of the user's; ssh asks the system for its own home
            "CASE_HOME": f"{top}/home",
            "CASE_UMASK": f"{case.umask:o}",
            MARK: self.mark,
        }
        process = subprocess.Popen(
            command, cwd=top / "here", umask=case.umask, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            _, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise AssertionError(f"{program} still runs after {TIMEOUT_S} s: {command}") from None
        return process.returncode, err.decode(errors="replace")

    def _fill(self, word: str, top: Path) -> str:
        return word.replace("{top}", os.fspath(top)).replace("{port}", str(self.sshd.port))

    def close(self) -> None:
        self._master.terminate()
        self._master.wait()
        self.sshd.stop()
        for claim in self._claims:
            claim.close()

    def assert_nothing_left(self) -> None:
        for claim in self._claims:
            assert_nothing_left(self.mark, self.folder, claim.first, N_PORTS, within_s=5.0)

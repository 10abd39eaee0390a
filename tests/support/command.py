"""The escp under test: from source, or what $ESCP_TEST_COMMAND says (a frozen program for example).

$ESCP_TEST_AGENT_COMMAND, if it is set, is the one at the other end.

Each test gets an `Escp` of its own, with a home directory, a range of ports, and a mark in the environment
of all its processes by which `leftovers` finds them.
"""

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Self

import pytest

from tests.support.configuration import copy_environment
from tests.support.leftovers import MARK, assert_nothing_left, find_processes
from tests.support.ports import Ports
from tests.support.sanitized import PATIENCE
from tests.support.sshd import HOST, Sshd

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")
SOURCE_COMMAND = shlex.join([sys.executable, "-m", "escp"])
COMMAND = shlex.split(os.environ.get("ESCP_TEST_COMMAND") or SOURCE_COMMAND)
AGENT_COMMAND = shlex.split(os.environ.get("ESCP_TEST_AGENT_COMMAND") or shlex.join(COMMAND))
IS_SOURCE = shlex.join(COMMAND) == shlex.join(AGENT_COMMAND) == SOURCE_COMMAND
N_PORTS = 11
TIMEOUT_S = 30.0 * PATIENCE

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")
needs_source = pytest.mark.skipif(not IS_SOURCE, reason="changes escp's own code")


class Done(namedtuple("Done", "code out err")):
    """How a run ended: exit code, standard output, standard error."""

    __slots__ = ()

    @property
    def error(self) -> str:
        """The sentence of its last `escp: error:` line."""
        return ([""] + self._said("escp: error: "))[-1]

    @property
    def hint(self) -> str:
        return ([""] + self._said("escp: hint: "))[-1]

    def _said(self, start: str) -> list[str]:
        return [line[len(start) :] for line in self.err.splitlines() if line.startswith(start)]

    @property
    def json(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


class Escp:
    """Runs escp against an sshd. `box:` in an argument is that sshd's host.

    As a context it ends with nothing of it running, whatever the test did, or fails.
    """

    def __init__(self, folder: Path, sshd: Sshd):
        self.folder = folder
        self.sshd = sshd
        self.mark = secrets.token_hex(8)
        self._ports = Ports()
        self.port = self._ports.first
        self.home = folder / "home"
        self.home.mkdir()
        self.agent = self.write_agent("agent")
        self.running: list[subprocess.Popen] = []

    def write_agent(self, name: str, *lines: str, command: str | None = None) -> Path:
        """A script for -D that runs shell *lines*, then the agent (or *command*) from `home`."""
        path = self.folder / name
        start = command if command is not None else f'exec {shlex.join(AGENT_COMMAND)} "$@"'
        settings = {MARK: self.mark, "PYTHONPATH": str(ROOT), "HOME": str(self.home), "ESCP_CONFIG": ""}
        setting = "export " + shlex.join(f"{name}={value}" for name, value in settings.items())
        path.write_text("\n".join(["#!/bin/sh", setting, 'cd "$HOME"', *lines, start, ""]))
        path.chmod(0o755)
        return path

    def write_driver(self, **settings: object) -> dict[str, str]:
        """The environment for `start(driver=...)`: what tests/support/driver.py shall change in escp."""
        path = self.folder / "driver.json"
        path.write_text(json.dumps(settings))
        return {"ESCP_TEST_DRIVER": str(path)}

    def start(
        self,
        *words: str | bytes | Path,
        agent: Path | None = None,
        login: tuple[str | Path, ...] | None = None,  # in place of -D and the agent
        is_embedded: bool = False,
        env: dict[str, str] | None = None,
        command: list[str] | None = None,
        prefix: tuple[str, ...] = (),
        has_ports: bool = True,
        **popen: object,
    ) -> subprocess.Popen:
        """Start escp in a process group of its own; stderr and stdout are pipes unless told otherwise."""
        base = [*prefix, *(command or COMMAND)]
        if is_embedded:
            base += ["--embedded"]
        else:
            base += ["-F", str(self.sshd.client_config)]
            base += ["-D", str(agent or self.agent)] if login is None else map(str, login)
        if has_ports:
            base += ["--escp_port", str(self.port)]
        settings = {
            "PYTHONPATH": str(ROOT),
            MARK: self.mark,
            "XDG_CACHE_HOME": str(self.home / ".cache-here"),
            "XDG_STATE_HOME": str(self.home / ".state-here"),
        }
        environment = {**copy_environment(), **settings, **(env or {})}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*base, *words], env=environment, start_new_session=True,
                                   **{**streams, **popen})  # fmt: skip
        self.running.append(process)
        return process

    def finish(self, process: subprocess.Popen, timeout_s: float = TIMEOUT_S) -> Done:
        """Wait for its end."""
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"still running after {timeout_s} s; it said {out!r} {err!r}") from None
        return Done(
            process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")
        )

    def run(self, *words: str | bytes | Path, timeout_s: float = TIMEOUT_S, **start: object) -> Done:
        return self.finish(self.start(*words, **start), timeout_s)

    def copy(self, *words: str | bytes | Path, **start: object) -> Done:
        """A run that must succeed."""
        done = self.run(*words, **start)
        assert done.code == 0, (done.code, done.out, done.err)
        return done

    def fail(self, code: int, *words: str | bytes | Path, **start: object) -> Done:
        """A run that must fail with *code*, saying why in one sentence of its own, and leave nothing."""
        done = self.run(*words, **start)
        assert done.code == code, (done.code, done.out, done.err)
        assert done.error and not done.error.endswith("."), done.err
        assert "Traceback" not in done.err
        self.assert_nothing_left()
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.assert_nothing_left()
        finally:
            self.close()

    def assert_nothing_left(self, within_s: float = 5.0) -> None:
        assert_nothing_left(self.mark, self.folder, self.port, N_PORTS, within_s)

    def close(self) -> None:
        """End what a failed test left running, and let others have the ports."""
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        for pid in find_processes(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._ports.close()


def remote(path: str | bytes | Path) -> bytes:
    return HOST.encode() + b":" + os.fsencode(path)


def local(path: str | bytes | Path) -> bytes:
    """The same place for `--embedded`."""
    return b"localhost:" + os.fsencode(path)

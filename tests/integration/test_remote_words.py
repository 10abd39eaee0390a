"""What the other side says through ssh's standard error is shown, escaped, and never taken for escp's own."""

import fcntl
import os
import pty
import re
import shlex
import shutil
import subprocess
import termios
import time

import pytest

from tests.support.command import COMMAND, ROOT, local, needs_source, remote
from tests.support.trees import write_random

# Titles, a cursor that goes up, C1 controls, an order of writing, a line that is written over, no UTF-8.
HOSTILE = b"\x1b]0;x\x07 \x1b[A \xc2\x9b31m \xe2\x80\xae \rover \xff \x00 end"
ESCAPED = r"\x1b]0;x\x07 \x1b[A \u009b31m \u202e \rover \xff \x00 end"
RAW = ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00", "\ufffd")
FORGED = b"escp: 1 file, 1 byte in 0.01 s (100 byte/s), verified"


def printing(*lines: bytes) -> str:
    """A shell command that writes lines to standard error."""
    data = b"".join(line + b"\n" for line in lines)
    return "printf '" + "".join(f"\\{byte:03o}" for byte in data) + "' >&2"


@pytest.fixture
def small(source):
    write_random(source / "a", 100_000)
    return source / "a"


@pytest.fixture
def ssh(folder):
    """An ssh for -S that says hostile things before it goes on as ssh."""
    path = folder / "ssh"
    path.write_text(f'#!/bin/sh\n{printing(HOSTILE, FORGED)}\nexec {shutil.which("ssh")} "$@"\n')
    path.chmod(0o755)
    return path


def check(err: str, n: int = 1) -> None:
    assert not [mark for mark in RAW if mark in err], err
    lines = err.splitlines()
    assert sum(line.endswith(f": {ESCAPED}") for line in lines) == n, err
    assert FORGED.decode() not in lines


WAYS = {
    "push": lambda small, target: [small, remote(target)],
    "pull": lambda small, target: [remote(small), target],
    "-3": lambda small, target: ["-3", remote(small), b"127.0.0.1:" + os.fsencode(target)],
    "-R": lambda small, target: ["-R", remote(small), b"127.0.0.1:" + os.fsencode(target)],
    "--doctor": lambda small, target: ["--doctor", remote(target)],
}


@pytest.mark.parametrize("output", [[], ["-q"], ["--json"], ["-v"]], ids=" ".join)
@pytest.mark.parametrize("way", WAYS)
def test_ssh_of_every_direction(escp, small, target, ssh, way, output):
    done = escp.copy("-S", ssh, *output, *WAYS[way](small, target))
    check(done.err, 2 if way in ("-3", "-R") else 1)
    assert f"box: {FORGED.decode()}" in done.err.splitlines()
    if "--json" in output:
        assert done.json[-1]["type"] == "result"


def test_ssh_of_clean_agents(escp, ssh):
    done = escp.copy("-S", ssh, "--clean-agents", "box:", login=())
    check(done.err)


@needs_source
def test_agent_of_this_host(escp, small, target, folder):
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif '--server' in sys.orig_argv: os.write(2, " + repr(HOSTILE + b"\n") + ")\n"
    )
    env = {"PYTHONPATH": f"{folder}:{ROOT}"}
    check(escp.copy(small, local(target), is_embedded=True, env=env).err)


@pytest.mark.parametrize("way", ["push", "pull", "-3", "-R"])
def test_standard_error_of_the_remote_agent(escp, small, target, way):
    agent = escp.write_agent("talker", printing(HOSTILE))
    check(escp.copy(*WAYS[way](small, target), agent=agent).err, 2 if way[0] == "-" else 1)


def test_what_is_said_at_the_very_end_is_told(escp, small, target, folder):
    """After the agent's last message, and more than a pipe holds."""
    log = folder / "log"
    later = f"yes 0123456789 | head -n 20000 >&2; {printing(HOSTILE)}"
    agent = escp.write_agent("later", command=f"{shlex.join(COMMAND)} --server; code=$?; {later}; exit $code")
    done = escp.copy("--logfile", log, small, remote(target), agent=agent)
    check(done.err)
    assert done.err.splitlines().count("box: 0123456789") == 20_000
    logged = [line for line in log.read_text().splitlines() if " ssh host=" in line]
    assert 'ssh host="box" message="0123456789"' in logged[0]
    assert len(logged) == 1000, "what a host says without end must not fill a disk"


def test_log_has_it_escaped(escp, small, target, folder):
    log = folder / "log"
    escp.copy("--logfile", log, small, remote(target), agent=escp.write_agent("talker", printing(HOSTILE)))
    text = log.read_text()
    assert not [mark for mark in RAW if mark in text]
    assert 'ssh host="box" message="\\\\x1b' not in text and 'message="\\x1b]0;x\\x07' in text


def test_words_of_ssh_come_before_the_error(escp, small):
    done = escp.fail(10, small, "no-such-host.invalid:x")
    lines = done.err.splitlines()
    words = "no-such-host.invalid: ssh: Could not resolve hostname"
    said = next(i for i, line in enumerate(lines) if line.startswith(words))
    assert said < next(i for i, line in enumerate(lines) if line.startswith("escp: error:"))


def test_ssh_that_tells_all(escp, small, target):
    done = escp.copy("-o", "LogLevel=DEBUG", small, remote(target))
    assert "debug1: Authentication succeeded" in done.err or "Authenticated to" in done.err
    assert "\r" not in done.err and "debug1: Exit status 0" in done.err


def test_master_that_stays_holds_nothing_up(escp, small, target, folder):
    """ssh's ControlPersist leaves a process behind, with debugging one that holds its standard error."""
    words = ("-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/master", "-o", "ControlPersist=60",
             "-o", "LogLevel=DEBUG")  # fmt: skip
    begin_s = time.monotonic()
    try:
        for name in ("a", "b"):
            escp.copy(*words, small, remote(target / name))
            assert (target / name).read_bytes() == small.read_bytes()
        assert time.monotonic() - begin_s < 15
        assert (folder / "master").exists()
    finally:
        subprocess.run(["ssh", "-O", "exit", "-S", folder / "master", "box"], timeout=20, capture_output=True)


def test_noisy_agent_is_no_cost_and_no_end(escp, small, target):
    """Somebody who writes without end, until ssh ends it."""
    agent = escp.write_agent("noisy", "(while :; do echo 0123456789; sleep 0.01; done) >&2 &")
    begin_s = time.monotonic()
    escp.copy("-q", small, remote(target), agent=agent)
    assert time.monotonic() - begin_s < 20


# ---- On a terminal ----------------------------------------------------------------------------------


class Terminal:
    """escp with a controlling terminal; `answer` waits for words and types."""

    def __init__(self, escp, *words, **start):
        self.master, slave = pty.openpty()

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = escp.start(*words, stdin=slave, stdout=slave, stderr=slave,
                                  env={"TERM": "xterm"}, preexec_fn=take_terminal, **start)  # fmt: skip
        os.close(slave)
        self.shown = b""

    def read(self) -> bool:
        try:
            data = os.read(self.master, 65536)
        except OSError:  # how a terminal says that nobody writes to it any more
            return False
        self.shown += data
        return bool(data)

    def answer(self, question: bytes, text: bytes) -> None:
        while question not in self.shown:
            assert self.read(), self.shown
        time.sleep(0.1)  # ssh drops what was typed before it asked
        os.write(self.master, text + b"\n")

    def finish(self) -> str:
        while self.read():
            pass
        os.close(self.master)
        assert self.process.wait(30) == 0, self.shown
        return self.shown.decode()


def test_questions_of_ssh_are_the_terminals(escp, small, target, folder):
    key = folder / "key"
    shutil.copy(escp.sshd.folder / "user_key", key)
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", key]
    subprocess.run(command, check=True, timeout=20)
    config = folder / "asking"
    text = escp.sshd.client_config.read_text().replace(f"{escp.sshd.folder}/user_key", str(key))
    text = text.replace("StrictHostKeyChecking no", "StrictHostKeyChecking ask")
    config.write_text(text.replace("/dev/null", f"{folder}/known").replace("LogLevel ERROR", ""))
    terminal = Terminal(escp, "-F", config, small, remote(target))
    terminal.answer(b"continue connecting (yes/no/[fingerprint])?", b"yes")
    terminal.answer(b"Enter passphrase for key", b"open sesame")
    shown = terminal.finish()
    assert "Permanently added" in shown and "verified" in shown
    assert (target / "a").exists()


def test_terminal_gets_no_escape_of_the_other_side(escp, source, target):
    """With a meter that is redrawn meanwhile: the words stand on lines of their own above it."""
    write_random(source / "a", 2_000_000)
    later = (
        f"(sleep 1; {printing(HOSTILE)}; printf 'half a line' >&2; sleep 0.7; {printing(b' and the rest')}) &"
    )
    terminal = Terminal(escp, "-l", "500K", source / "a", remote(target),
                        agent=escp.write_agent("talker", later))  # fmt: skip
    shown = terminal.finish()
    assert "\x1b]0;" not in shown and "\x07" not in shown and "\x9b" not in shown and "\u202e" not in shown
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    for line in (ESCAPED, "half a line", " and the rest"):
        assert f"box: {line}" in lines, shown

"""Nobody waits without a word: a line on a terminal, one every so often elsewhere, one for SIGUSR1."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import time

import pytest

from tests.support.command import local, remote
from tests.support.trees import write_random


@pytest.fixture
def large(source):
    write_random(source / "a", 12_000_000)
    return source / "a"


def read_line_with(pipe, words: bytes) -> str:
    for line in pipe:
        if words in line:
            return line.decode()
    raise AssertionError(f"no line with {words!r}")


@pytest.mark.parametrize("direction", ["push", "pull", "embedded"])
def test_sigusr1_says_how_far_it_is_and_ends_nothing(escp, large, target, direction):
    """To the whole process group, as batch systems send it: ssh and an embedded agent live on, too."""
    operands = {
        "push": (large, remote(target)),
        "pull": (remote(large), target),
        "embedded": (large, local(target)),
    }
    process = escp.start("-v", "-l", "4M", *operands[direction], is_embedded=direction == "embedded")
    read_line_with(process.stderr, b" stream to")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGUSR1)
    line = read_line_with(process.stderr, b" of 12 MB")
    assert re.fullmatch(
        r"escp: [0-9.]+ \w+ of 12 MB, 0 of 1 file, [0-9.]+ [kM]?B/s(, \d+:\d\d left)?\n", line
    )
    os.killpg(process.pid, signal.SIGUSR2)
    done = escp.finish(process)
    assert done.code == 0 and (target / "a").stat().st_size == 12_000_000


def test_sigusr1_in_json_is_a_progress_line(escp, large, target):
    process = escp.start("--json", "-l", "4M", large, remote(target))
    assert json.loads(process.stdout.readline())["type"] == "start"
    process.send_signal(signal.SIGUSR1)
    begin_s = time.monotonic()
    assert json.loads(process.stdout.readline())["type"] == "progress"
    assert time.monotonic() - begin_s < 5
    assert escp.finish(process).code == 0


def test_sigusr1_during_the_login_says_what_is_waited_for(escp, large, target):
    agent = escp.write_agent("slow", "sleep 4")
    process = escp.start(large, remote(target), agent=agent)
    time.sleep(2)
    process.send_signal(signal.SIGUSR1)
    assert re.fullmatch(
        r"escp: waiting for box to answer \(ssh logs in\), [0-9.]+ s so far\n",
        process.stderr.readline().decode(),
    )
    assert escp.finish(process).code == 0


@pytest.mark.parametrize(
    ("options", "is_told"),
    [(["--stats", "1"], True), ([], False), (["--stats", "0"], False), (["-q", "--stats", "1"], False)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_without_a_terminal_lines_come_as_stats_says(escp, large, target, options, is_told):
    agent = escp.write_agent("slow", "sleep 3")
    done = escp.copy(*options, "-l", "4M", large, remote(target), agent=agent)
    lines = done.err.splitlines()
    waiting = [line for line in lines if "waiting for box" in line]
    progress = [line for line in lines if " of 12 MB" in line]
    assert bool(waiting) is bool(progress) is is_told
    assert len(waiting) + len(progress) + ("-q" not in options) == len(lines)


def test_json_says_what_is_waited_for(escp, large, target):
    agent = escp.write_agent("slow", "sleep 3")
    done = escp.copy("--json", "--stats", "1", large, remote(target), agent=agent)
    assert done.json[0]["type"] == "waiting" and "box" in done.json[0]["message"]


def test_terminal_has_a_line_while_it_waits_that_goes_away_again(escp, source, target):
    (source / "a").write_text("a")
    agent = escp.write_agent("slow", "sleep 5")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = escp.start(
        source / "a", remote(target), agent=agent, stdin=slave, stdout=slave, stderr=slave,
        env={"TERM": "xterm"},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 65536):
            shown += data
    except OSError:
        pass
    os.close(master)
    assert process.wait(30) == 0
    text = shown.decode()
    drawn = re.findall(r"\r\x1b\[2K(escp: waiting for box[^\r]*)\r", text)
    assert len(drawn) >= 2 and all(len(line) < 60 for line in drawn)
    assert re.search(r"\r\x1b\[2Kescp: 1 file, [^\r]*\r?\n$", text)
    assert "?25l" not in text


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_cursor_is_there_however_it_ends(escp, large, target, number):
    master, slave = pty.openpty()
    process = escp.start(
        "-l", "1M", large, remote(target), stdin=slave, stdout=slave, stderr=slave, env={"TERM": "xterm"},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while b"%" not in shown:
        shown += os.read(master, 65536)
    process.send_signal(number)
    assert process.wait(10) == -number
    os.close(master)
    assert shown.rfind(b"\x1b[?25h") >= shown.rfind(b"\x1b[?25l")
    escp.assert_nothing_left()


def test_cleaning_says_what_it_waits_for(escp, folder):
    """Not only a copy waits for a login."""
    ssh = folder / "ssh"
    ssh.write_text('#!/bin/sh\nsleep 3\nexec ssh "$@"\n')
    ssh.chmod(0o755)
    done = escp.run("--clean-agents", "--stats", "1", "-S", ssh, "box", has_ports=False)
    assert done.code == 0 and "escp: waiting for box to answer (ssh logs in), " in done.err

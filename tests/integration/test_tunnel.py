"""Data through the ssh connection: how it ends before its time, waits, and what memory it takes."""

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support import peak
from tests.support.command import AGENT_COMMAND, COMMAND, remote
from tests.support.leftovers import find_agents, find_ssh
from tests.support.sanitized import not_sanitized
from tests.support.trees import list_tree, write_random

GONE_S = 10.0
LARGE_BYTES = 150_000_000
LIMIT_BYTES = 80 << 20  # as without the tunnel, and its windows


@pytest.fixture(params=["push", "pull"])
def start(request, escp, source, target):
    """Starts a copy that takes half a minute; returns it in the middle of its data, and its agent."""
    write_random(source / "large", 9_000_000)

    def start_slow():
        paths = (source, remote(target)) if request.param == "push" else (remote(source), target)
        process = escp.start("-r", "--tunnel=always", "-l", "300K", "--json", *paths)
        assert b'"start"' in process.stdout.readline()
        time.sleep(0.7)
        (agent,) = find_agents(escp.mark)
        return process, agent

    return start_slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signal_ends_both_sides(escp, start, target, number):
    process, _ = start()
    process.send_signal(number)
    done = escp.finish(process, GONE_S)
    assert done.code == (128 + number if number == signal.SIGINT else -number)
    escp.assert_nothing_left(GONE_S)
    assert not [path for path in target.rglob("*") if path.is_file()]


@pytest.mark.parametrize("victim", ["agent", "ssh"])
def test_lost_other_side(escp, start, target, victim):
    process, agent = start()
    os.kill(agent if victim == "agent" else find_ssh(escp.mark), signal.SIGKILL)
    done = escp.finish(process, GONE_S)
    result = done.json[-1]
    assert (done.code, result["type"], result["exit_code"]) == (13, "result", 13)
    assert result["error"]["message"]
    escp.assert_nothing_left(GONE_S)
    assert not [path for path in target.rglob("*") if path.is_file()]


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_suspended_agent_goes_on(escp, source, target, direction):
    write_random(source / "large", 6_000_000)
    paths = (source, remote(target)) if direction == "push" else (remote(source), target)
    process = escp.start("-r", "--tunnel=always", "-l", "3M", "--json", *paths)
    assert b'"start"' in process.stdout.readline()
    (agent,) = find_agents(escp.mark)
    os.kill(agent, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(agent, signal.SIGCONT)
    assert escp.finish(process).code == 0
    assert list_tree(target / "source") == list_tree(source)


@not_sanitized
@pytest.mark.parametrize("direction", ["push", "pull"])
def test_memory_is_bounded_when_the_receiver_is_slow(escp, folder, source, target, direction):
    """The reader of a named pipe takes nothing for a while; what was sent meanwhile must not pile up."""
    write_random(source / "large", LARGE_BYTES)
    pipe = target / "pipe"
    os.mkfifo(pipe)
    paths = (source / "large", remote(pipe)) if direction == "push" else (remote(source / "large"), pipe)
    measured = folder / "peak"
    peak_command = [sys.executable, peak.__file__]
    agent = escp.write_agent(
        "measured", command=f'exec {" ".join(peak_command)} {measured}-agent {" ".join(AGENT_COMMAND)} "$@"'
    )
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    process = escp.start(
        "--tunnel=always", *paths, agent=agent, command=[*peak_command, str(measured), *COMMAND]
    )
    assert select.select([reader], [], [], 30)[0]  # until a writer has come, read() finds the end
    time.sleep(3)
    os.set_blocking(reader, True)
    with open(reader, "rb") as file:
        n_bytes = 0
        while data := file.read(1 << 20):
            n_bytes += len(data)
    assert escp.finish(process).code == 0
    assert n_bytes == LARGE_BYTES
    peaks = [int(Path(f"{measured}{end}").read_text()) for end in ("", "-agent")]
    assert max(peaks) < LIMIT_BYTES, peaks

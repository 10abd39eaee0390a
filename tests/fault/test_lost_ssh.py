"""ssh is lost in mid-copy: the streams go on, and the control channel comes back over a data port."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from escp.streams.lasting import HEARD_S
from tests.fault.test_causes import name_ends
from tests.fault.test_reconnect import assert_whole
from tests.support.leftovers import find_agents
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

WAYS = ["push", "pull"]
SLOW = ("-l", "12M", "-t", "2")  # bytes per second: the tree takes a second


def fill(source):
    write_random(source / "large", 10_000_000)
    for number in range(100):
        write_random(source / f"small-{number:03}", number * 300, seed=number)
    return source


@pytest.fixture
def tree(source):
    return fill(source)


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(one) for one in found]


def find_ssh(process) -> int:
    (pid,) = (pid for pid in children(process.pid) if Path(f"/proc/{pid}/comm").read_text() == "ssh\n")
    return pid


def find_session(escp) -> int:
    """sshd's process of the session that the agent is in."""
    (agent,) = find_agents(escp.mark)
    pid = agent
    while Path(f"/proc/{pid}/comm").read_text() != "sshd\n":
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def wait_for_data(tree, target) -> None:
    """Until some has arrived, and more is to come."""
    wait_for(lambda: (target / tree.name / "small-005").exists())


def lose(escp, process, who: str) -> None:
    if who == "ssh killed":
        os.kill(find_ssh(process), signal.SIGKILL)
    elif who == "ssh ended":
        os.kill(find_ssh(process), signal.SIGTERM)
    else:
        os.kill(find_session(escp), signal.SIGKILL)


@pytest.mark.parametrize("who", ["ssh killed", "ssh ended", "sshd killed"])
@pytest.mark.parametrize("way", WAYS)
def test_copy_outlives_its_ssh(escp, tree, target, way, who):
    process = escp.start("-r", *SLOW, *name_ends(way, tree, target))
    wait_for_data(tree, target)
    lose(escp, process, who)
    done = escp.finish(process)
    assert_whole(escp, done, tree, target)
    assert "ssh to box was lost" in done.err and "heard over the data port now" in done.err, done.err


@pytest.mark.parametrize("options", [["--escp_portrange", "0"], ["--reverse"], ["--parallel", "1"]])
@pytest.mark.parametrize("way", WAYS)
def test_other_ways_of_the_streams(escp, tree, target, way, options):
    process = escp.start("-r", *SLOW, *options, *name_ends(way, tree, target))
    wait_for_data(tree, target)
    lose(escp, process, "sshd killed")
    assert_whole(escp, escp.finish(process), tree, target)


@pytest.mark.parametrize("way", ["-3", "-R"])
def test_copy_between_two_hosts_outlives_each_ssh(escp, tree, target, way):
    process = escp.start("-r", *SLOW, *name_ends(way, tree, target))
    wait_for_data(tree, target)
    for pid in children(process.pid):
        os.kill(pid, signal.SIGKILL)
    done = escp.finish(process)
    assert_whole(escp, done, tree, target)
    assert done.err.count("heard over the data port now") == 2


def leaves_no_agent(escp, source, target, case):
    way, number = case
    tree = fill(source)
    process = escp.start("-r", *SLOW, *name_ends(way, tree, target))
    wait_for_data(tree, target)
    os.killpg(process.pid, number)
    escp.finish(process)
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", ["push", "pull", "-3", "-R"])
def test_agent_ends_soon_after_its_initiator_and_ssh(together, way):
    """A terminal's Ctrl-C, a batch system's end: all processes of this host get the signal."""
    numbers = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
    together([(way, number) for number in numbers], leaves_no_agent)


def test_agent_does_not_wait_for_ever_for_an_initiator_that_stands(escp, tree, target):
    """It can't know that it has left: it has not been heard for a while, and its streams are open."""
    process = escp.start(
        "-r", "-l", "1M", "-t", "2", "--reconnect-timeout=5s", *name_ends("push", tree, target)
    )
    wait_for_data(tree, target)
    ssh = find_ssh(process)
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(HEARD_S + 1)
        os.kill(ssh, signal.SIGKILL)
        wait_for(lambda: not find_agents(escp.mark))
    finally:
        process.send_signal(signal.SIGCONT)
    assert escp.finish(process).code == 13
    escp.assert_nothing_left()


IMPATIENT = "import escp.agent.lost as lost; lost.QUIET_S = 4.0; from escp.__main__ import run; run()"


def test_silence_of_the_initiator_counts_from_the_end(escp, tree, target):
    """After a longer outage the agent may be done before the initiator is heard again."""
    command = f'exec {shlex.join([sys.executable, "-c", IMPATIENT])} "$@"'
    agent = escp.write_agent("impatient", command=command)
    process = escp.start("-r", "-l", "1500K", "-t", "2", *name_ends("-R", tree, target), agent=agent)
    wait_for_data(tree, target)
    process.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    try:
        wait_for(lambda: list_tree(target / tree.name) == list_tree(tree), 30)
        assert time.monotonic() - stopped_s > 4.5  # more silence before the end than is allowed after it
        time.sleep(1)
        assert find_agents(escp.mark)
    finally:
        process.send_signal(signal.SIGCONT)
    assert_whole(escp, escp.finish(process), tree, target)


@pytest.mark.parametrize("way", WAYS)
def test_agent_that_is_killed_after_its_ssh(escp, tree, target, way):
    process = escp.start("-r", "-l", "4M", "-t", "2", *name_ends(way, tree, target))
    wait_for_data(tree, target)
    lose(escp, process, "ssh killed")
    time.sleep(0.5)
    for pid in find_agents(escp.mark):
        os.kill(pid, signal.SIGKILL)
    done = escp.finish(process)
    assert done.code == 13 and done.hint, done.err
    assert "is not heard any more, neither through ssh nor over the data port" in done.error
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", WAYS)
def test_error_of_an_agent_whose_ssh_is_lost_is_heard(escp, tree, target, way):
    """It ends while its initiator looks for it."""
    process = escp.start("-r", "-l", "4M", "-t", "2", *name_ends(way, tree, target))
    wait_for_data(tree, target)
    lose(escp, process, "ssh killed")
    if way == "push":
        shutil.rmtree(target)
    else:
        (tree / "large").write_bytes(b"")
    done = escp.finish(process)
    assert done.code in (1, 15) and done.err.count("error:"), done.err
    assert "heard over the data port now" in done.err
    escp.assert_nothing_left()


def test_without_reconnecting_a_lost_ssh_ends_the_copy(escp, tree, target):
    process = escp.start("-r", *SLOW, "--reconnect-timeout", "0", *name_ends("push", tree, target))
    wait_for_data(tree, target)
    lose(escp, process, "ssh killed")
    done = escp.finish(process)
    assert done.code == 13 and "ended unexpectedly" in done.error
    escp.assert_nothing_left()

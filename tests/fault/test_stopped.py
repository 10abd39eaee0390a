"""Processes that are stopped for a while (Ctrl-Z, `kill -STOP`) go on where they were."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fault.test_causes import WAYS, list_threads, name_ends
from tests.support.command import DRIVER, needs_source
from tests.support.leftovers import find_agents, find_processes
from tests.support.netns import Namespace, join, why_none
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

SILENT_S, STOPPED_S = 6.0, 9.0
# What fills a connection whose other end does not read, and looks for seconds whether it is lost.
FILL = """
import socket, sys, time
from escp.lean import sockets
from escp.streams import streams
streams.LOST_S = 1.5
sock = sockets.Socket(sockets.AF_INET, sockets.SOCK_STREAM)
sock.connect((sys.argv[1], int(sys.argv[2])))
streams.tune(sock)
sock.setblocking(False)
print("connected", flush=True)
sys.stdin.readline()
end_s = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end_s:
    try:
        sock.send(bytes(65536))
    except BlockingIOError:
        time.sleep(0.05)
    if streams.is_lost(sock):
        print("lost")
        break
else:
    print("there", sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR))
"""


def is_running(escp, way: str) -> bool:
    """Whether the data flow, at all ends."""
    n_agents = 2 if way.startswith("-") else 1
    names = [list_threads([pid]) for pid in find_agents(escp.mark)]
    return len(names) == n_agents and all(any(name.startswith("escp-") for name in one) for one in names)


def goes_on_after_its_initiator_stopped(escp, source, target, way):
    write_random(source / "large", 20_000_000)
    env = escp.write_driver(silent_s=SILENT_S)
    process = escp.start("-l", "5M", *name_ends(way, source / "large", target), env=env,
                         command=[sys.executable, str(DRIVER)])  # fmt: skip
    wait_for(lambda: is_running(escp, way))
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.killpg(process.pid, signal.SIGCONT)
    done = escp.finish(process)
    assert done.code == 0, (done.code, done.err)
    assert list_tree(target) == list_tree(source)


@needs_source
def test_initiator_that_was_stopped_goes_on(together):
    """With ssh, as Ctrl-Z does it. It would not wait as long for an agent that is silent."""
    together(WAYS, goes_on_after_its_initiator_stopped)


def goes_on_when_stopped_after(escp, source, target, case):
    way, delay_s = case
    write_random(source / "large", 2_000_000)
    process = escp.start(*name_ends(way, source / "large", target))
    time.sleep(delay_s)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(12)
    os.killpg(process.pid, signal.SIGCONT)
    done = escp.finish(process)
    assert done.code == 0, (done.code, done.err)
    assert list_tree(target) == list_tree(source)


@needs_source
@pytest.mark.parametrize("way", ["push", "-3"])
def test_initiator_that_was_stopped_while_it_began(together, way):
    """For longer than connections have to prove themselves, and an agent waits for its order."""
    together([(way, delay_s) for delay_s in (0.1, 0.3, 0.5, 0.8)], goes_on_when_stopped_after)


# An agent that stops itself where *name* is called, or has been, for the first time.
STOPPING = """
import importlib, os, signal, sys
where, is_after = {where!r}, {is_after}
module, cls, name = where.split()
cls = getattr(importlib.import_module(module), cls)
method = getattr(cls, name)
stopped = []
def stop():
    if not stopped:
        stopped.append(1)
        os.kill(os.getpid(), signal.SIGSTOP)
def changed(self, *words, **named):
    if not is_after:
        stop()
    result = method(self, *words, **named)
    if is_after:
        stop()
    return result
setattr(cls, name, changed)
from escp.agent.agent import run_agent
status = run_agent()
sys.stdout.flush()
os._exit(status)
"""
POINTS = [
    ("escp.agent.agent Agent _say_hello", True),
    ("escp.agent.service Service _make_link", False),
    ("escp.agent.way Way _listen", True),
    ("escp.streams.listener Acceptor _accept", False),
    ("escp.streams.listener Acceptor _prove", False),
    ("escp.streams.listener Acceptor _prove", True),
    ("escp.agent.way Way start", False),
    ("escp.agent.way Way start", True),
]


def is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


SOME = [POINTS[i] for i in (2, 3, 6)]


def goes_on_when_its_agent_stopped_at(escp, source, target, case):
    way, where, is_after = case
    write_random(source / "large", 2_000_000)
    program = escp.folder / "stopping.py"
    program.write_text(STOPPING.format(where=where, is_after=is_after))
    agent = escp.write_agent("stopping", command=f"exec {sys.executable} {program}")
    process = escp.start("--json", *name_ends(way, source / "large", target), agent=agent)
    n_stopped, end_s = 0, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end_s:  # one agent after the other
        pids = [pid for pid in find_processes(escp.mark) if is_stopped(pid)]
        if pids:
            time.sleep(10)
            for pid in pids:
                n_stopped += 1
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
    done = escp.finish(process)
    assert done.code == 0, (done.code, done.out, done.err)
    assert n_stopped or way == "-R"  # where one agent does not listen
    assert "through ssh" not in done.err + done.out, done
    assert list_tree(target) == list_tree(source)


@needs_source
@pytest.mark.parametrize("way", WAYS)
def test_agent_that_was_stopped_while_it_began(together, way):
    """Wherever it was, nobody takes its port for blocked: the data does not go through ssh."""
    points = POINTS if way == "push" else SOME
    together([(way, *point) for point in points], goes_on_when_its_agent_stopped_at)


def goes_on_after_who_stopped(escp, source, target, case):
    way, who = case
    write_random(source / "large", 20_000_000)
    process = escp.start("-l", "5M", *name_ends(way, source / "large", target))
    wait_for(lambda: is_running(escp, way))
    agents = find_agents(escp.mark)
    pids = agents if who == "agent" else [
        pid for pid, line in find_processes(escp.mark).items() if line.startswith("ssh ")]  # fmt: skip
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    done = escp.finish(process)
    assert done.code == 0, (done.code, done.err)
    assert list_tree(target) == list_tree(source)


@needs_source
def test_agent_or_ssh_that_was_stopped_goes_on(together):
    together([(way, who) for way in ("push", "pull") for who in ("agent", "ssh")], goes_on_after_who_stopped)


@pytest.fixture
def two_hosts(tmp_path):
    if reason := why_none():
        pytest.skip(reason)
    here, there = Namespace(tmp_path), Namespace(tmp_path)
    try:
        join(here, "x0", ["10.99.1.1/24"], there, "x1", ["10.99.1.2/24"])
        yield here, there
    finally:
        here.stop()
        there.stop()


LISTEN = """
import socket, sys, time
sock = socket.create_server(("0.0.0.0", 4000))
print("listening", flush=True)
peer = sock.accept()[0]
time.sleep(60)
"""


def start(host: Namespace, code: str, *words: str):
    command = [*host.prefix, sys.executable, "-c", code, *words]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


@pytest.mark.parametrize(("is_cut", "said"), [(False, "there 0\n"), (True, "lost\n")])
def test_peer_that_reads_nothing_is_not_a_network_that_is_lost(two_hosts, is_cut, said):
    here, there = two_hosts
    listener = start(there, LISTEN)
    assert listener.stdout.readline() == "listening\n"
    sender = start(here, FILL, "10.99.1.2", "4000", "20" if is_cut else "6")
    try:
        assert sender.stdout.readline() == "connected\n"
        if is_cut:
            there.ip("link set x1 down")
        assert sender.communicate("go\n", timeout=40)[0] == said
    finally:
        for process in (sender, listener):
            process.kill()
            process.communicate()

"""A disk or a pipe that does not answer: what is told to end ends all the same, at both ends."""

import os
import signal
import sys
import time

import pytest

from tests.fault.test_causes import name_ends
from tests.support.command import needs_source, remote
from tests.support.leftovers import find_agents
from tests.support.trees import write_random
from tests.support.waiting import wait_for

LIMIT_S = 15.0  # 3 s, and what a busy machine takes
# In place of a file system that hangs: the main thread waits in the kernel, and no signal gets it out.
HANG = """
import ctypes, os, sys, threading
def hang(*_, **__):
    mutex = ctypes.create_string_buffer(256)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    # Said by another thread, once this one waits.
    threading.Timer(0.5, lambda: print("hangs", file=sys.stderr, flush=True)).start()
    lock(mutex)
"""
RUN_COPY = (
    HANG
    + """
import {module}, escp.cli.main
{module}.{name} = hang
sys.exit(escp.cli.main.main())
"""
)
RUN_SLOW = """
import {module}, escp.cli.main, sys, time
def wait(*_):
    print("slow", file=sys.stderr, flush=True)
    time.sleep(10)
{module}.{name} = wait
sys.exit(escp.cli.main.main())
"""
RUN_AGENT = (
    HANG
    + """
import escp.agent.service, escp.agent.agent
escp.agent.service.ReceiveEnd = hang
status = escp.agent.agent.run_agent()
os._exit(status)
"""
)


def end(escp, process, number) -> tuple:
    """Tell it to end; how it did, and how long it took."""
    begin_s = time.monotonic()
    process.send_signal(number)
    done = escp.finish(process)
    return done, time.monotonic() - begin_s


def ends_in_front_of_a_full_pipe(escp, source, target, case):
    way, number = case
    write_random(source / "large", 3_000_000)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        origin = remote(source / "large") if way == "pull" else source / "large"
        process = escp.start(origin, target / "pipe")
        wait_for(lambda: is_full(reader))
        time.sleep(0.5)
        done, seconds = end(escp, process, number)
    finally:
        os.close(reader)
    assert done.code == 128 + number and seconds < LIMIT_S, (done, seconds)
    assert f"ended by signal {number:d}" in done.error and "does not answer" in done.hint


@pytest.mark.parametrize("way", ["local", "pull"])
def test_pipe_that_nobody_reads(together, way):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    together([(way, number) for number in numbers], ends_in_front_of_a_full_pipe)


def leaves_no_agent(escp, source, target, case):
    way, number = case
    write_random(source / "large", 60_000_000)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        process = escp.start(*name_ends(way, source / "large", target / "pipe"))
        wait_for(lambda: is_full(reader))
        time.sleep(2)
        begin_s = time.monotonic()
        os.killpg(process.pid, number)
        escp.finish(process)
        wait_for(lambda: not find_agents(escp.mark))
    finally:
        os.close(reader)
    assert time.monotonic() - begin_s < LIMIT_S


def test_all_of_this_host_is_killed_while_the_target_hangs(together):
    """A terminal's Ctrl-C takes ssh along, and no stream is closed: this host has what nobody takes."""
    cases = [(way, number) for way in ("push", "-3") for number in (signal.SIGINT, signal.SIGKILL)]
    together(cases, leaves_no_agent)


def is_full(pipe: int) -> bool:
    import fcntl
    import struct
    import termios

    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0] >= 1 << 16


@needs_source
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(
    ("module", "name"),
    [("escp.cli.copy", "check_named"), ("escp.jobs.target", "ReceiveEnd")],
)
def test_file_system_that_hangs(escp, source, target, module, name, options):
    (source / "a").write_text("a")
    code = RUN_COPY.format(module=module, name=name)
    process = escp.start(*options, source / "a", target / "a", command=[sys.executable, "-c", code])
    assert process.stderr.readline() == b"hangs\n"
    done, seconds = end(escp, process, signal.SIGTERM)
    assert done.code == 143 and seconds < LIMIT_S, (done, seconds)
    if options:
        assert done.json[-1]["error"]["exit_code"] == 143
    else:
        assert "ended by signal 15" in done.error and "does not answer" in done.hint


def ends_a_hanging_agent(escp, source, target, what):
    (source / "a").write_text("a")
    program = escp.folder / "hanging.py"
    program.write_text(RUN_AGENT)
    agent = escp.write_agent("hanging", command=f"exec {sys.executable} {program} --server")
    process = escp.start(source / "a", remote(target), agent=agent)
    wait_for(lambda: find_agents(escp.mark))
    time.sleep(2)
    (pid,) = find_agents(escp.mark)
    begin_s = time.monotonic()
    if what == "agent":
        os.kill(pid, signal.SIGTERM)
    else:
        process.send_signal(signal.SIGKILL if "killed" in what else signal.SIGTERM)
    wait_for(lambda: not find_agents(escp.mark))
    assert time.monotonic() - begin_s < LIMIT_S
    done = escp.finish(process)
    assert done.code == {"initiator": 143, "killed initiator": -9, "agent": 13}[what], done
    if what == "agent":
        assert "box ended unexpectedly" in done.error and "did not answer" in done.err


@needs_source
def test_agent_whose_file_system_hangs(together):
    """The initiator goes away, or somebody ends the agent."""
    together(["initiator", "killed initiator", "agent"], ends_a_hanging_agent)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_signal_before_anything_was_done(escp, source, target, options):
    """It is told as later ones are."""
    (source / "a").write_text("a")
    code = RUN_SLOW.format(module="escp.cli.copy", name="check_named")
    process = escp.start(*options, source / "a", target / "a", command=[sys.executable, "-c", code])
    assert process.stderr.readline() == b"slow\n"
    done, _ = end(escp, process, signal.SIGTERM)
    assert done.code == 143
    if options:
        assert done.json[-1]["error"]["message"] == "ended by signal 15" and done.json[-1]["exit_code"] == 143
    else:
        assert done.err == "escp: error: ended by signal 15\n"

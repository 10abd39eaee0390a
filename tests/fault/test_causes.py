"""Several sides complain of one fault, and in any order: what is told is what explains the others."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from escp.streams.streams import HELLO_FRAME_BYTES, PREAMBLE
from tests.fault.test_streams import IN_DATA, ONCE, Fault, flip, reset
from tests.support.command import DRIVER, needs_source, remote
from tests.support.leftovers import find_agents
from tests.support.proxy import TO_AGENT, TO_INITIATOR, Proxy
from tests.support.trees import write_random
from tests.support.waiting import wait_for

pytestmark = needs_source
WAYS = ["push", "pull", "-3", "-R"]
# An agent that says late what it has found.
SLOW = """
import sys, time
import escp.agent.agent as agent
fail = agent.Agent._fail
def fail_late(self, error):
    time.sleep({seconds} if error.exit_code == {code} else 0)
    return fail(self, error)
agent.Agent._fail = fail_late
sys.exit(agent.run_agent())
"""


def write_slow_agent(escp, code: int, seconds: float = 0.5) -> Path:
    program = escp.folder / "slow.py"
    program.write_text(SLOW.format(code=code, seconds=seconds))
    return escp.write_agent("slow", command=f"exec {sys.executable} {program}")


def name_ends(way: str, source: Path, target: Path) -> list[str | Path]:
    options = [way] if way.startswith("-") else []
    return [
        *options,
        source if way == "push" else remote(source),
        target if way == "pull" else remote(target),
    ]


def copy_through(escp, way, source, target, fault, *options, **start):
    """Through a proxy in front of the agent that listens first: the receiving one, but in a pull."""
    with Proxy(escp.port, fault) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        done = escp.run(*ONCE, "-t", "2", *options, *name_ends(way, source, target), env=env,
                        command=[sys.executable, str(DRIVER)], **start)  # fmt: skip
    assert fault.is_done
    return done


@pytest.mark.parametrize("direction", ["data", "results"])
@pytest.mark.parametrize("way", WAYS)
def test_changed_byte_is_told_whoever_complains_first(escp, source, target, way, direction):
    """Who finds it says so after everybody else has seen the streams end."""
    write_random(source / "large", 12_000_000)
    is_data = direction == "data"
    way_there = TO_AGENT if is_data == (way != "pull") else TO_INITIATOR
    first = (2 if way == "-3" else 1) * HELLO_FRAME_BYTES + 12  # in the first frame after the hellos
    first += PREAMBLE.size if way == "pull" else 0
    fault = Fault(flip, IN_DATA if is_data else first, way=way_there, stream=None)
    agent = write_slow_agent(escp, 12)
    done = copy_through(escp, way, source / "large", target, fault, agent=agent)
    assert done.code == 12, (done.code, done.err)
    assert "data streams" in done.error and done.hint
    assert not (target / "large").exists() or not is_data
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", WAYS)
def test_killed_agent_is_told_and_not_the_cut_that_came_of_it(escp, source, target, way):
    write_random(source / "large", 64_000_000)
    words = name_ends(way, source / "large", target)
    process = escp.start("-l", "4M", *words)
    wait_for(lambda: len(find_agents(escp.mark)) == (2 if way.startswith("-") else 1))
    wait_for(lambda: any(path.startswith("escp-") for path in list_threads(find_agents(escp.mark))))
    os.kill(max(find_agents(escp.mark)), signal.SIGKILL)
    done = escp.finish(process)
    assert done.code == 13, (done.code, done.err)
    assert "box ended unexpectedly" in done.error
    escp.assert_nothing_left()


def list_threads(pids) -> list[str]:
    """The names of those that are there while it looks."""
    names = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{pid}/task"):
                names.append(Path(f"/proc/{pid}/task/{task}/comm").read_text().strip())
    return names


@pytest.mark.parametrize("way", WAYS)
def test_cut_that_nobody_explains_is_told_soon(escp, source, target, way):
    write_random(source / "large", 12_000_000)
    way_there = TO_INITIATOR if way == "pull" else TO_AGENT
    done = copy_through(
        escp, way, source / "large", target, Fault(reset, IN_DATA, way=way_there, stream=None)
    )
    assert done.code == 13, (done.code, done.err)
    assert "cut off" in done.error and done.hint

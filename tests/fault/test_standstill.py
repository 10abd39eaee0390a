"""Nothing moves: the three reasons are told apart."""

import json
import os
import signal
import sys
import time

from tests.fault.test_causes import name_ends
from tests.support.command import DRIVER, needs_source
from tests.support.leftovers import find_agents
from tests.support.trees import write_random

pytestmark = needs_source


def wait_for_turn(process) -> dict:
    for line in process.stdout:
        event = json.loads(line)
        if "turn" in event:
            return event
    raise AssertionError(process.stderr.read())


def tells_of_the_targets_disk(escp, source, target, case):
    way, size = case
    write_random(source / "large", size)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    process = escp.start("--json", *name_ends(way, source / "large", target / "pipe"),
                         env=escp.write_driver(still_s=12),
                         command=[sys.executable, str(DRIVER)])  # fmt: skip
    try:
        event = wait_for_turn(process)
    finally:
        process.send_signal(signal.SIGTERM)
        os.close(reader)
    assert event["turn"] == "target", event
    assert ("box" in event["message"]) == (way != "pull")
    escp.finish(process)


def test_disk_of_the_target(together):
    """A pipe that nobody empties stands for the disk, whether all was sent or not.

    An agent is unheard after 12 s, as in use.
    """
    cases = [("push", 300_000), ("pull", 30_000_000), ("-3", 30_000_000), ("-R", 300_000)]
    together(cases, tells_of_the_targets_disk)


def tells_of_the_network(escp, source, target, way):
    write_random(source / "large", 30_000_000)
    process = escp.start("--json", "-l", "10M", *name_ends(way, source / "large", target / "large"),
                         env=escp.write_driver(still_s=7), command=[sys.executable, str(DRIVER)])  # fmt: skip
    while b'"start"' not in process.stdout.readline():
        continue
    time.sleep(0.5)
    agents = list(find_agents(escp.mark))
    for pid in agents:
        os.kill(pid, signal.SIGSTOP)
    try:
        event = wait_for_turn(process)
    finally:
        for pid in agents:
            os.kill(pid, signal.SIGCONT)
    assert event["turn"] == "network" and "box is not heard" in event["message"], event
    assert escp.finish(process).code == 0


def test_host_that_is_not_heard(together):
    together(["push", "pull", "-R"], tells_of_the_network)

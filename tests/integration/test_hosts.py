"""Between two remote hosts: -3 through this one, -R directly; both of the tests' hosts are one sshd."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import DRIVER, needs_source, remote
from tests.support.leftovers import find_processes, find_worker
from tests.support.memory import read_memory
from tests.support.sanitized import not_sanitized
from tests.support.trees import list_tree, make_tree, write_random

WAYS = [["-3"], ["-R"], [], ["--tunnel", "always"]]


@pytest.mark.parametrize("way", WAYS, ids="".join)
def test_tree(escp, source, target, way):
    make_tree(source)
    done = escp.copy(*way, "-r", "-p", remote(source), remote(target))
    assert list_tree(source) == list_tree(target / "source") and "verified" in done.err


@pytest.mark.parametrize("way", WAYS[:3], ids="".join)
def test_several_sources_with_patterns(escp, source, target, way):
    for name in "abc":
        (source / f"{name}.txt").write_text(name)
    escp.copy(*way, f"box:{source}/[ab].txt", remote(source / "c.txt"), remote(target))
    assert sorted(os.listdir(target)) == ["a.txt", "b.txt", "c.txt"]


@pytest.mark.parametrize("way", WAYS[:2], ids="".join)
def test_failures_name_their_host(escp, source, target, way):
    (source / "a").write_text("a")
    done = escp.fail(1, *way, remote(source / "missing"), remote(target))
    assert f"box:{source}/missing: no such file" in done.err
    done = escp.fail(15, *way, remote(source / "a"), remote(target / "no" / "where"))
    assert "no such file" in done.error
    (target / "a").mkdir()
    done = escp.fail(1, *way, remote(source / "a"), remote(target))
    assert f"box:{target}/a: is a directory" in done.err


@needs_source
@pytest.mark.parametrize("way", WAYS[:2], ids="".join)
def test_corruption_at_the_source_is_found(escp, source, target, way):
    write_random(source / "a", 3 << 20)
    ((name, value),) = escp.write_driver(fault_offset=10).items()
    line = f'case "$0" in *) export {name}={value};; esac'
    agent = escp.write_agent("faulty", line, command=f"exec {sys.executable} {DRIVER} --server")
    done = escp.fail(12, *way, remote(source / "a"), remote(target), agent=agent)
    assert "a" in done.err and os.listdir(target) == []


def test_direct_says_what_else_there_is(escp, source, target):
    """The receiving host names an address that the sending one can't reach."""
    (source / "a").write_text("a")
    done = escp.fail(13, "-R", "--data-host", "192.0.2.1", remote(source / "a"), remote(target))
    assert "can't reach" in done.error and "-3" in done.hint


@not_sanitized
def test_relay_never_holds_plaintext(escp, source, target):
    """Its memory is searched while the data pass through."""
    mark = os.urandom(16).hex().encode() * 4
    with open(source / "a", "wb") as file:
        for _ in range(40 << 20 >> 12):
            file.write(mark * (4096 // len(mark)))
    process = escp.start("-l", "2M", "-q", remote(source / "a"), remote(target))
    wait_for_growth(process, target)
    relay = find_worker(process.pid)
    assert mark not in read_memory(relay), "plaintext in the relay"
    names = {Path(f"/proc/{relay}/task/{task}/comm").read_text().strip()
             for task in os.listdir(f"/proc/{relay}/task")}  # fmt: skip
    assert "escp-relay" in names and not names & {"escp-send", "escp-receive"}
    agents = [pid for pid in find_processes(escp.mark) if mark in read_memory(pid)]
    assert agents, "the search finds plaintext where it is"
    process.terminate()
    assert escp.finish(process).code == 143


@needs_source
def test_relay_derives_no_key(escp, source, target, folder):
    """With all that makes keys of the session's secret taken away from it, the relay still relays."""
    make_tree(source)
    program = folder / "keyless.py"
    program.write_text(KEYLESS)
    escp.copy("-r", remote(source), remote(target), command=[sys.executable, str(program)])
    assert list_tree(source) == list_tree(target / "source")
    done = escp.run("-r", remote(source), target, command=[sys.executable, str(program)])
    assert done.code == 3 and "no keys here" in done.err  # the test can fail


KEYLESS = """
import sys
import escp.jobs.agentjob, escp.cli.main, escp.streams.streams

secrets, channel, begin = [], escp.streams.streams.Channel, escp.jobs.agentjob.AgentJob.__init__

def remember(self, task):
    begin(self, task)
    secrets.append(self._secret)

def refuse(secret, *args, **kwargs):
    if len(secrets) != 1 or len(secrets[0]) != 32 or secret in secrets:
        raise RuntimeError("no keys here")
    return channel(secret, *args, **kwargs)

escp.jobs.agentjob.AgentJob.__init__ = remember
escp.streams.streams.Channel = refuse
sys.exit(escp.cli.main.main())
"""


def wait_for_growth(process: subprocess.Popen, target: Path) -> None:
    """Until megabytes have arrived; nameless files are found by their descriptors."""
    for _ in range(600):
        assert process.poll() is None, process.stderr.read()
        for fd in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if str(target) in os.readlink(fd) and os.stat(fd).st_blocks > 4096:
                    return
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError("nothing arrives")

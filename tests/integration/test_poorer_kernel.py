"""Without O_TMPFILE, linkat by a descriptor, openat2 and pidfd_open: the same results, by the longer way."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import poorer_kernel
from tests.support.command import AGENT_COMMAND, remote
from tests.support.directions import ALL, EMBEDDED
from tests.support.leftovers import find_agents, find_unfinished
from tests.support.trees import list_tree, make_tree, mode_of, write_random
from tests.support.waiting import wait_for

SCRIPT = str(Path(poorer_kernel.__file__))


@pytest.fixture(params=["O_TMPFILE", "AT_EMPTY_PATH", "openat2", "O_TMPFILE openat2"])
def agent(request, escp):
    words = [sys.executable, SCRIPT, *request.param.split(), "--", *AGENT_COMMAND]
    return escp.write_agent("poorer", "umask 022", command=f'exec {shlex.join(words)} "$@"')


NAME_A_FILE = """
import ctypes, os, sys
try: fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY)
except OSError as e: sys.exit(f"open {e.errno}")
at = os.open(sys.argv[1], os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
print(ctypes.get_errno() if libc.linkat(fd, b"", at, b"name", 0x1000) else 0)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [("O_TMPFILE", "open 95"), ("AT_EMPTY_PATH", "2"), ("openat2", "0 or 2"), ("nothing", "0 or 2")],
)
def test_filter_does_what_it_says(folder, what, said):
    """A file is named by its descriptor alone, where this kernel allows it."""
    command = [sys.executable, SCRIPT, what, "--", sys.executable, "-c", NAME_A_FILE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout + done.stderr).strip() in said.split(" or ")


def test_tree_and_modes(escp, agent, source, target):
    make_tree(source)
    (source / "d0" / "f3").chmod(0o751)
    (target / "source" / "d1").mkdir(parents=True)
    (target / "source" / "d1" / "f4").write_bytes(b"old")
    (target / "source" / "d1" / "f4").chmod(0o604)
    escp.copy("-r", source, remote(target), agent=agent)
    assert list_tree(target / "source") == list_tree(source)
    assert mode_of(target / "source" / "d0" / "f3") == 0o751
    assert mode_of(target / "source" / "d1" / "f4") == 0o604


def test_planted_links_are_refused_or_replaced(escp, agent, source, target, folder):
    (source / "t" / "d").mkdir(parents=True)
    (source / "t" / "a").write_bytes(b"new")
    (source / "t" / "d" / "b").write_bytes(b"new")
    (folder / "outside").mkdir()
    (folder / "outside" / "a").write_bytes(b"outside")
    (target / "t").mkdir()
    (target / "t" / "a").symlink_to(folder / "outside" / "a")
    (target / "t" / "d").symlink_to(folder / "outside")
    done = escp.fail(16, "-r", source / "t", remote(target), agent=agent)
    assert "t/d" in done.err
    assert list_tree(folder / "outside").keys() == {b"a"}
    assert (folder / "outside" / "a").read_bytes() == b"outside"
    assert (target / "t" / "a").read_bytes() == b"new" and not (target / "t" / "a").is_symlink()


@pytest.mark.parametrize("how", ["initiator killed", "ctrl-c"])
def test_temporary_names_are_removed(escp, agent, source, target, how):
    write_random(source / "large", 4_000_000)
    process = escp.start("-l", "500K", "--nodirect", "--json", source / "large", remote(target), agent=agent)
    assert b'"start"' in process.stdout.readline()
    if "O_TMPFILE" in agent.read_text():
        wait_for(lambda: find_unfinished(target))
    time.sleep(0.5)
    assert find_agents(escp.mark)
    process.send_signal(signal.SIGKILL if how == "initiator killed" else signal.SIGINT)
    process.wait(10)
    escp.assert_nothing_left(10)
    assert list_tree(target) == {}


@pytest.mark.parametrize("way", [*ALL, EMBEDDED], ids=lambda way: way.name)
def test_end_of_a_child_is_noticed(escp, source, target, way):
    """Where the kernel has no pidfds: of ssh, and of agents."""
    (source / "a").write_bytes(b"new")
    start = {"prefix": (sys.executable, SCRIPT, "pidfd_open", "--"), "is_embedded": way.is_embedded}
    escp.copy("-r", way.source(source), way.target(target / "new"), **start)
    assert (target / "new" / "a").read_bytes() == b"new"
    if way.is_to_remote:
        words = {} if way.is_embedded else {"agent": "/nowhere/escp"}
        if words:
            escp.fail(11, "-r", way.source(source), way.target(target / "new"), **start, **words)

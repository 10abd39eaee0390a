"""A copy that is cut off leaves directories as mkdir makes them of their source's mode; none shows more."""

import contextlib
import os
import shlex
import signal
import stat
import time
from pathlib import Path

import pytest

from tests.fault.test_causes import WAYS, name_ends
from tests.integration.test_default_acls import ACLS, make_target
from tests.support.command import AGENT_COMMAND, remote
from tests.support.folders import new_folder
from tests.support.leftovers import find_agents, find_processes
from tests.support.nobody import AS_NOBODY, NOBODY, needs_nobody
from tests.support.trees import write_random
from tests.support.waiting import wait_for

MODES = {
    "usual": 0o755,
    "group": 0o775,
    "open": 0o777,
    "some": 0o750,
    "shut": 0o700,
    "read": 0o555,
    "closed": 0o500,
}


def make_chain(top, n_bytes=3_000_000):
    """A directory in each other, so that all are under way until the file in the innermost is whole."""
    at = top
    for name, mode in MODES.items():
        at = at / name
        at.mkdir()
        at.chmod(mode)
    at.chmod(0o755)
    write_random(at / "large", n_bytes)
    at.chmod(0o500)
    return at


def read_modes(top):
    at, modes = top, {top.name: None}
    modes[top.name] = stat.S_IMODE(top.stat().st_mode)
    for name in MODES:
        at = at / name
        modes[name] = stat.S_IMODE(at.stat().st_mode)
    return modes


def cut(escp, process, fault, way):
    if fault == "interrupt":
        process.send_signal(signal.SIGINT)
    elif fault == "killed initiator":
        process.send_signal(signal.SIGKILL)
    elif fault == "killed sender":
        os.kill(process.pid if way in ("push", "local") else find_sender(escp), signal.SIGKILL)
    else:
        for pid, line in find_processes(escp.mark).items():
            if line.startswith("ssh "):
                os.kill(pid, signal.SIGKILL)


def find_sender(escp):
    """The agent that has the source open."""
    return next(pid for pid in find_agents(escp.mark) if any("/source/" in path for path in list_open(pid)))


def list_open(pid):
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield os.readlink(path).partition("/target/")[0]


def words(way, source, target):
    return (source, target) if way == "local" else name_ends(way, source, target)


CUTS = [(way, fault, 0o022) for way in WAYS for fault in ("killed initiator", "killed ssh", "killed sender")]
CUTS = [cut for cut in CUTS if cut[:2] != ("pull", "killed initiator")]  # that is the receiver itself
CUTS += [
    (way, "interrupt", umask)
    for way, umask in zip([*WAYS, "local"], (0o022, 0o007, 0o077, 0o002, 0o027), strict=True)
]


@pytest.mark.parametrize(("way", "fault", "umask"), CUTS, ids=lambda value: str(value).replace(" ", "-"))
def test_modes_after_a_cut(escp, source, target, way, fault, umask):
    make_chain(source)
    agent = escp.write_agent("masked", f"umask {umask:o}")
    lost = ["--reconnect-timeout", "0"] if fault == "killed ssh" else []  # else the copy goes on without it
    process = escp.start(
        "-r", "-l", "300K", "-t", "2", *lost, *words(way, source, target), agent=agent, umask=umask
    )
    innermost = target.joinpath("source", *MODES)
    wait_for(innermost.is_dir)
    time.sleep(0.2)
    early = read_modes(target / "source")
    expected = {"source": 0o777 & ~umask & stat.S_IMODE(source.stat().st_mode)}
    expected |= {name: mode & ~umask for name, mode in MODES.items()}
    assert early == {name: mode | 0o700 for name, mode in expected.items()}
    cut(escp, process, fault, way)
    escp.finish(process)
    escp.assert_nothing_left(15)
    assert read_modes(target / "source") == expected


@pytest.mark.parametrize("way", ["push", "pull", "local"])
@pytest.mark.parametrize("options", [["--owner"], ["--acls"], ["-p", "--owner", "--acls"]], ids=" ".join)
def test_nobody_enters_before_owner_and_acl_are_right(escp, source, target, way, options):
    make_chain(source)
    process = escp.start("-r", "-l", "300K", *options, *words(way, source, target), umask=0o022)
    innermost = target.joinpath("source", *MODES)
    wait_for(innermost.is_dir)
    time.sleep(0.2)
    assert {mode & 0o777 for mode in read_modes(target / "source").values()} == {0o700}
    process.send_signal(signal.SIGINT)
    escp.finish(process)
    escp.assert_nothing_left(15)
    expected = {"source": stat.S_IMODE(source.stat().st_mode)} | MODES
    assert read_modes(target / "source") == {name: mode & ~0o022 for name, mode in expected.items()}


@pytest.mark.parametrize("way", ["push", "pull", "local"])
@pytest.mark.parametrize("acl", ["others-nothing", "all-write", "owner-reads", "named"])
def test_default_acl_after_an_interrupt(escp, folder, source, way, acl):
    make_chain(source)
    expected, target = make_target(folder, "expected", ACLS[acl]), make_target(folder, "ours", ACLS[acl])
    at = expected
    for name, mode in {"source": stat.S_IMODE(source.stat().st_mode), **MODES}.items():
        at = at / name
        at.mkdir(mode)  # as root, which needs no right to do so
    agent = escp.write_agent("masked", "umask 077")
    process = escp.start("-r", "-l", "300K", *words(way, source, target), agent=agent, umask=0o077)
    wait_for(target.joinpath("source", *MODES).is_dir)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    escp.finish(process)
    escp.assert_nothing_left(15)
    assert read_modes(target / "source") == read_modes(expected / "source")


@pytest.mark.parametrize("way", ["push", "pull", "local"])
@pytest.mark.parametrize("mode", [0o755, 0o700, 0o555])
def test_target_that_is_the_directory_itself(escp, source, target, way, mode):
    write_random(source / "large", 3_000_000)
    source.chmod(mode)
    process = escp.start("-r", "-l", "300K", *words(way, source, target / "new"), umask=0o022)
    wait_for(lambda: (target / "new").is_dir() and (target / "new").stat().st_mode & 0o077 == mode & 0o077)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    escp.finish(process)
    escp.assert_nothing_left(15)
    assert stat.S_IMODE((target / "new").stat().st_mode) == mode


@needs_nobody
def test_read_only_directories_of_a_user_after_a_dead_ssh(escp, source):
    """New ones and such as were there."""
    with new_folder(mode=0o755) as target:
        make_chain(source)
        (target / "source" / "usual").mkdir(parents=True)
        for path in (target / "source" / "usual", target / "source", target):
            os.chown(path, NOBODY, NOBODY)
        (target / "source" / "usual").chmod(0o555)
        agent = escp.write_agent(
            "nobody", command=f'umask 022; cd / && exec {shlex.join([*AS_NOBODY, *AGENT_COMMAND])} "$@"'
        )
        options = ["-r", "-l", "300K", "--reconnect-timeout", "0"]
        process = escp.start(*options, source, remote(target), agent=agent)
        wait_for(target.joinpath("source", *MODES).is_dir)
        time.sleep(0.2)
        assert stat.S_IMODE((target / "source" / "usual").stat().st_mode) == 0o755
        cut(escp, process, "killed ssh", "push")
        assert escp.finish(process).code != 0
        escp.assert_nothing_left(15)
        modes = read_modes(target / "source")
        assert modes["usual"] == 0o555 and modes["read"] == 0o555 and modes["closed"] == 0o500

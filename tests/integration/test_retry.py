"""--retry: again, over a new login, what may pass; --stop-after: the end when the time is over."""

import signal
import sys
import time
from pathlib import Path

import pytest

from escp.cli.retry import find_pause
from tests.support.command import DRIVER, Escp, needs_source
from tests.support.directions import ALL, LOCAL, PUSH
from tests.support.trees import list_tree, write_random

pytestmark = needs_source  # pauses are cut short


def count_runs(escp: Escp, first: str, then: str, name: str = "counting") -> Path:
    """A program that is *first* when it is first started, later *then*; `runs` has a line for each start."""
    runs = escp.folder / "runs"
    path = escp.folder / name
    path.write_text(f"#!/bin/sh\necho >> {runs}\n[ $(wc -l < {runs}) -gt 1 ] || {{ {first}\n}}\n{then}\n")
    path.chmod(0o755)
    return path


def n_runs(escp: Escp) -> int:
    return len((escp.folder / "runs").read_text())


def quickly(escp: Escp, pause_s: float = 0.2) -> dict:
    return {"env": escp.write_driver(pause_s=pause_s), "command": [sys.executable, str(DRIVER)]}


REFUSED = "echo 'kex_exchange_identification: Connection closed by remote host' >&2; exit 255"


def test_a_refused_login_is_tried_again(escp, source, target):
    (source / "f").write_text("f")
    ssh = count_runs(escp, REFUSED, 'exec ssh "$@"')
    done = escp.copy("--retry", "3", "--json", "-S", ssh, source / "f", PUSH.target(target), **quickly(escp))
    assert n_runs(escp) == 2 and (target / "f").read_text() == "f"
    told = [line["message"] for line in done.json if line["type"] == "warning"]
    assert len(told) == 1 and "trying again in 0 s (1 of 3)" in told[0] and "could not log in" in told[0]


def test_after_the_last_one_it_is_what_it_was(escp, source, target):
    (source / "f").write_text("f")
    ssh = count_runs(escp, REFUSED, REFUSED)
    done = escp.fail(10, "--retry", "2", "-S", ssh, source / "f", PUSH.target(target), **quickly(escp))
    assert n_runs(escp) == 3 and done.err.count("trying again") == 2


def test_a_killed_agent_and_what_it_had_copied(escp, source, target, folder):
    for i in range(20):
        write_random(source / f"f{i:02}", 100_000, seed=i)
    has_some = f"ls {target}/source/f* >/dev/null 2>&1"
    agent = escp.write_agent("killed", f"echo >> {folder}/runs", f"if [ $(wc -l < {folder}/runs) = 1 ]",
                             f"then (until {has_some}; do sleep 0.05; done; kill -9 $$) & fi")  # fmt: skip
    words = ["-rp", "-l", "700K", "--retry", "1", "--skip-unchanged", "--json"]
    done = escp.copy(*words, source, PUSH.target(target), agent=agent, **quickly(escp))
    assert n_runs(escp) == 2 and list_tree(target / "source") == list_tree(source)
    assert done.json[-1]["type"] == "result" and done.json[-1]["skipped"] > 0


@pytest.mark.parametrize("place", ["missing/dir/x", "file/x"])
def test_what_will_not_pass_is_not_tried_again(escp, source, target, folder, place):
    (source / "f").write_text("f")
    (target / "file").write_text("file")
    agent = escp.write_agent("counted", f"echo >> {folder}/runs")
    words = ["--retry", "3", source / "f", PUSH.target(target / place)]
    done = escp.run(*words, agent=agent, **quickly(escp))
    assert done.code in (15, 16) and n_runs(escp) == 1 and "trying again" not in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_pause(escp, source, target, number):
    (source / "f").write_text("f")
    ssh = count_runs(escp, REFUSED, REFUSED)
    process = escp.start("--retry", "3", "-S", ssh, source / "f", PUSH.target(target), **quickly(escp, 60))
    said = b""
    while b"trying again" not in said:
        said += process.stderr.read1()
    begin_s = time.monotonic()
    process.send_signal(number)
    assert escp.finish(process).code == 128 + number and time.monotonic() - begin_s < 5
    assert n_runs(escp) == 1


def test_what_can_be_read_only_once_is_refused(escp, source, target):
    (source / "f").write_text("f")
    done = escp.fail(2, "--retry", "1", "--filelist", "-", target)
    assert "standard input can be read only once" in done.error and "file" in done.hint
    done = escp.fail(2, "--retry", "1", source / "f", "-")
    assert "standard output" in done.error
    escp.fail(2, "--retry", "many", source / "f", target)


def test_pauses_grow_and_differ():
    assert [find_pause(n, 1) for n in (0, 1, 2, 6, 60)] == [5, 10, 20, 300, 300]
    assert 0.7 < find_pause(3, 0) / find_pause(3, 1) < 0.8


# ---- --stop-after -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ALL, ids=lambda way: way.name)
def test_when_the_time_is_over_it_ends(escp, source, target, way):
    for i in range(40):
        write_random(source / f"f{i:02}", 300_000, seed=i)
    words = ["-r", "-t1", "-l", "1M", "--stop-after", "4s", "--json", way.source(source), way.target(target)]
    begin_s = time.monotonic()
    done = escp.run(*words)
    assert done.code == 17 and 4 <= time.monotonic() - begin_s < 15
    error = done.json[-1]["error"]
    assert error["exit_code"] == 17 and error["retryable"] and "--stop-after" in error["message"]
    escp.assert_nothing_left()
    there = list_tree(target)
    whole = {b"source/" + name: digest for name, digest in list_tree(source).items()}
    assert len(there) < 41 and {
        name: what for name, what in there.items() if what != "directory"
    }.items() <= (whole.items())


def test_time_that_is_enough(escp, source, target):
    (source / "f").write_text("f")
    escp.copy("--stop-after", "10m", source / "f", target)
    for wrong in ("0", "soon", "-1"):
        assert "--stop-after" in escp.fail(2, "--stop-after", wrong, source / "f", target).error


def test_while_it_waits_for_the_next_try(escp, source, target):
    (source / "f").write_text("f")
    ssh = count_runs(escp, REFUSED, REFUSED)
    words = ["--retry", "3", "--stop-after", "3", "-S", ssh, source / "f", PUSH.target(target)]
    assert "--stop-after" in escp.fail(17, *words, **quickly(escp, 60)).error


def test_local_copy_that_reads_a_slow_list(escp, source, target):
    """The names come when they come: nothing else ends it."""
    (source / "f").write_text("f")
    reader = escp.start("--stop-after", "2", "--filelist", "-", target, stdin=-1)
    reader.stdin.write(f"{source / 'f'}\n".encode())
    reader.stdin.flush()
    reader.wait(20)
    assert reader.returncode == 17 and (target / "f").read_text() == "f"
    assert LOCAL.target(target) == target

"""What was offered, what came and what is reported: no end's word alone makes a copy a success."""

import json
import os
import shlex
import socket
import sys
from pathlib import Path

import pytest

from tests.support.command import remote
from tests.support.directions import in_all_directions

PROGRAM = Path(__file__).parents[1] / "support" / "hostile_agent.py"
WAYS = ["pull", "-3", "-R"]
in_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def hostile(escp):
    """hostile(**lies): the path of an agent that tells them."""

    def make(**lies: object) -> Path:
        setting = f"export ESCP_TEST_HOSTILE={shlex.quote(json.dumps(lies))}"
        return escp.write_agent("hostile", setting, command=f"exec {sys.executable} {PROGRAM}")

    return make


def words(way: str, target: Path) -> tuple[list[str], bytes | Path]:
    """Options and the target."""
    return ([], target) if way == "pull" else ([way], remote(target))


def drop(*names: bytes) -> dict[str, list[str]]:
    return {"drops": [name.hex() for name in names]}


def errors(done) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("escp: error:")]


@in_ways
@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_file_that_never_comes_has_failed(escp, hostile, source, target, way, is_old):
    (source / "asked").write_text("new")
    (target / "asked").write_text("stale")
    options, to = words(way, target)
    done = escp.run(*options, remote(source / "asked"), to, agent=hostile(is_old=is_old, **drop(b"asked")))
    if is_old and way != "pull":  # an agent of version 1.1 receives: it does not know what is missing
        return
    assert done.code == 1, done
    assert errors(done) and "asked: what box offered for it never came" in errors(done)[0], done.err
    assert len(errors(done)) == 1 and "1 failed" in done.err
    assert (target / "asked").read_text() == "stale"


@in_ways
@pytest.mark.parametrize("is_pattern", [False, True], ids=["names", "pattern"])
def test_one_of_three_that_never_comes_has_failed(escp, hostile, source, target, way, is_pattern):
    for name in "abc":
        (source / name).write_text(name)
    options, to = words(way, target)
    asked = [f"box:{source}/[a-c]"] if is_pattern else [remote(source / name) for name in "abc"]
    done = escp.run(*options, *asked, to, agent=hostile(**drop(b"b")))
    assert done.code == 1 and len(errors(done)) == 1, done
    assert "/b: what box offered for it never came" in errors(done)[0]
    assert sorted(os.listdir(target)) == ["a", "c"]


@in_ways
def test_directory_that_never_comes_has_failed(escp, hostile, source, target, way):
    (source / "tree").mkdir()
    (source / "tree" / "x").write_text("x")
    options, to = words(way, target)
    done = escp.run("-r", *options, remote(source / "tree"), to, agent=hostile(**drop(b"")))
    done = escp.run("-r", *options, remote(source / "tree"), to, agent=hostile(**drop(b"tree")))
    assert done.code == 1 and "tree: what box offered for it never came" in errors(done)[0], done


@in_ways
def test_absent_without_a_reason_has_failed(escp, hostile, source, target, way):
    """The sender says that a file does not come, not why, and that nothing failed."""
    (source / "a").write_text("a")
    options, to = words(way, target)
    agent = hostile(is_silent=True, counts={"sender": {"failed": -1}})
    done = escp.run(*options, remote(source / "a"), remote(source / "none"), to, agent=agent)
    assert done.code == 1 and len(errors(done)) == 1, done
    assert "/none: what box offered for it never came" in errors(done)[0]
    done = escp.run(
        *options, remote(source / "a"), remote(source / "none"), to, agent=hostile(is_silent=True)
    )
    assert done.code == 12 and "counts 1 failures and told of 0" in done.error


@in_all_directions
@pytest.mark.parametrize("is_direct", [False, True], ids=["", "-R"])
def test_honest_failures_are_told_once(escp, source, target, way, is_direct):
    """What is missing, special, or left out by a rule."""
    if is_direct and way.name != "relay":
        return
    for name in ("a", "b.tmp"):
        (source / name).write_text(name)
    (source / "dir").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "sock"))
        sources = [way.source(source / name) for name in ("a", "b.tmp", "none", "sock", "dir", "a")]
        options = ["-R"] if is_direct else []
        done = escp.run(*options, "--exclude", "*.tmp", *sources, way.target(target))
    assert done.code == 1, done
    assert sorted(line.split(": ")[2].rpartition("/")[2] for line in errors(done)) == ["dir", "none", "sock"]
    assert os.listdir(target) == ["a"] and "3 failed" in done.err


@in_all_directions
@pytest.mark.parametrize(
    "how", ["--skip-unchanged -p", "--checksum", "--update", "-n --checksum", "-n"], ids=lambda how: how
)
def test_what_need_not_come_is_no_failure(escp, source, target, way, how):
    for name in ("same", "other", "b.tmp"):
        (source / name).write_text(name)
    (source / "dir" / "sub").mkdir(parents=True)
    (source / "dir" / "x").write_text("x")
    (target / "same").write_text("same")
    (target / "other").write_text("OTHER")
    for name in ("same", "other"):
        os.utime(source / name, ns=(0, 10**18))
        os.utime(target / name, ns=(0, 10**18 if name == "same" else 0))
    sources = [way.source(source / name) for name in ("same", "other", "b.tmp", "dir")]
    sources.append(way.source(f"{source}/dir/."))
    done = escp.run("-r", *how.split(), "--exclude", "*.tmp", *sources, way.target(target))
    assert done.code == 0 and not errors(done), done
    assert how == "-n" or "1 unchanged" in done.err, done.err


CASES = [(way, side, what, n)
         for way in ("push", "pull", "-3", "-R") for side in ("sender", "receiver")
         for what, n in (("files", 1), ("files", -1), ("directories", 1), ("bytes", -1000), ("skipped", 1),
                         ("failed", 1))
         if (way, side) not in (("push", "sender"), ("pull", "receiver"))
         and (way != "-R" or what == "files")]  # fmt: skip


@pytest.mark.parametrize(("way", "side", "what", "n"), CASES)
def test_accounts_that_differ_are_no_success(escp, hostile, source, target, way, side, what, n):
    """An end that invents, omits, or counts twice."""
    (source / "tree").mkdir()
    (source / "tree" / "file").write_bytes(bytes(5000))
    options, to = words(way, target) if way != "push" else ([], remote(target))
    path = source / "tree" if way == "push" else remote(source / "tree")
    done = escp.run("-r", *options, path, to, agent=hostile(counts={side: {what: n}}))
    assert done.code == 12 and "verified" not in done.err, done
    before = {"files": 1, "directories": 1, "bytes": 5000, "skipped": 0, "failed": 0}[what]
    assert str(before) in done.error and str(before + n) in done.error


@pytest.mark.parametrize("way", ["-3", "-R"])
def test_result_between_hosts_is_the_receivers(escp, hostile, source, target, way):
    """What the sender said on its way does not count."""
    (source / "file").write_bytes(bytes(5000))
    lies = {"files": 1000, "bytes": 1 << 50, "directories": 7, "first_ns": 1, "last_ns": 1 << 62}
    done = escp.run("--json", way, remote(source / "file"), remote(target), agent=hostile(progress=lies))
    result = done.json[-1]
    assert (result["files"], result["directories"], result["bytes"]) == (1, 0, 5000), result
    assert result["data_seconds"] < 60

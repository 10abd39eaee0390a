"""Pull: from one host or several to this one. What an honest agent sends arrives, from `~` to patterns."""

import os
import select
import stat
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import DRIVER, needs_source, remote
from tests.support.leftovers import find_agents
from tests.support.sanitized import not_sanitized
from tests.support.trees import list_tree, make_tree


def test_tree_with_everything_in_it(escp, source, target):
    make_tree(source)
    escp.copy("-r", "-p", remote(source), target)
    assert list_tree(source) == list_tree(target / "source")


@pytest.mark.parametrize("size", [0, 1, 131072, 131073, 5 << 20])
@pytest.mark.parametrize("options", [[], ["-C"], ["--nodirect"], ["-t", "1"]], ids="".join)
def test_one_file_to_a_new_name(escp, source, target, size, options):
    (source / "a").write_bytes(os.urandom(size))
    done = escp.copy(*options, remote(source / "a"), target / "b")
    assert (target / "b").read_bytes() == (source / "a").read_bytes() and "verified" in done.err


def test_home_and_relative_paths(escp, target):
    (escp.home / "in home").write_text("h")
    (escp.home / "folder").mkdir()
    (escp.home / "folder" / "x").write_text("x")
    escp.copy("box:in home", target)
    escp.copy("box:~/folder/x", target / "tilde")
    escp.copy("-r", "box:", target / "all")
    escp.copy("-r", "box:~", target)
    assert (target / "in home").read_text() == "h" and (target / "tilde").read_text() == "x"
    assert (target / "all" / "folder" / "x").read_text() == "x"
    assert (target / "folder" / "x").read_text() == "x"  # as of `.`, with scp as well


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.txt", {"a.txt", "b.txt", "*.txt"}), ("?.txt", {"a.txt", "b.txt", "*.txt"}),
     ("[!a]*", {"b.txt", "c", "*.txt"}),
     (r"\*.txt", {"*.txt"}), ("a.txt", {"a.txt"}), (".h*", {".hidden"}), ("[a-c]*", {"a.txt", "b.txt", "c"}),
     ("*", {"a.txt", "b.txt", "c", "*.txt"})],
)  # fmt: skip
def test_patterns_are_expanded_by_the_agent(escp, source, target, pattern, names):
    for name in ("a.txt", "b.txt", "c", "*.txt", ".hidden"):
        (source / name).write_text(name)
    escp.copy(f"box:{source}/{pattern}", target)
    assert set(os.listdir(target)) == names


def test_no_remote_shell_sees_a_path(escp, source, target):
    name = "$(touch owned); `touch owned` ~ ' \" \\ &"
    (source / name).write_text("x")
    escp.copy(f"box:{source}/$(touch owned)*", target)
    assert os.listdir(target) == [name] and not (escp.home / "owned").exists()


def test_pattern_without_a_match_names_it(escp, source, target):
    done = escp.fail(1, f"box:{source}/*.nothing", target)
    assert f"box:{source}/*.nothing: no such file" in done.err and not os.listdir(target)


def test_several_sources_and_hosts_in_one_call(escp, source, target):
    for name in "abcd":
        (source / name).write_text(name)
    escp.copy(remote(source / "a"), source / "b", remote(source / "c"), f"127.0.0.1:{source}/d", target)
    assert sorted(os.listdir(target)) == ["a", "b", "c", "d"]
    assert [(target / name).read_text() for name in "abcd"] == list("abcd")


def test_missing_source_among_others(escp, source, target):
    (source / "a").write_text("a")
    done = escp.fail(1, remote(source / "a"), remote(source / "missing"), target)
    assert "missing: no such file" in done.err and (target / "a").read_text() == "a"


def test_more_sources_than_a_page_holds(escp, source, target):
    for i in range(5000):
        (source / str(i)).touch()
    escp.copy(f"box:{source}/*", target, timeout_s=60)
    assert len(os.listdir(target)) == 5000


def test_directory_without_r(escp, source, target):
    done = escp.fail(1, remote(source), target)
    assert "is a directory" in done.err and "-r" in done.hint


def test_setuid_bits_do_not_arrive(escp, source, target):
    for options in ([], ["-p"]):
        (source / "a").write_text("x")
        (source / "a").chmod(0o6755)
        escp.copy(*options, remote(source / "a"), target / "a")
        assert stat.S_IMODE((target / "a").stat().st_mode) == 0o755


def test_local_pipe_gets_its_bytes_in_order(escp, source, target):
    data = os.urandom(3 << 20)
    (source / "a").write_bytes(data)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    process = escp.start(remote(source / "a"), target / "pipe")
    assert select.select([reader], [], [], 30)[0]
    got = b""
    while len(got) < len(data):
        more = os.read(reader, 1 << 20)
        assert more, "it ended early"
        got += more
    os.close(reader)
    assert got == data and escp.finish(process).code == 0


def test_unreadable_source_is_named_with_its_host(escp, source, target):
    (source / "a").write_text("a")
    (source / "loop").symlink_to("loop")
    done = escp.fail(1, "-r", remote(source), target)
    assert f"box:{source}/loop: " in done.err and (target / "source" / "a").exists()


def test_target_that_cannot_be_written_is_a_local_error(escp, source, target):
    (source / "a").write_text("a")
    done = escp.fail(14, remote(source / "a"), target / "no" / "where")
    assert "no such file" in done.error


@needs_source
@pytest.mark.parametrize("offset", [0, 4 << 20])
def test_corrupt_byte_is_found(escp, source, target, offset):
    (source / "a").write_bytes(os.urandom(5 << 20))
    ((name, value),) = escp.write_driver(fault_offset=offset).items()
    agent = escp.write_agent(
        "faulty", f"export {name}={value}", command=f"exec {sys.executable} {DRIVER} --server"
    )
    done = escp.run(remote(source / "a"), target, agent=agent)
    assert done.code == 12 and f"{target}/a" in done.err, done.err
    assert not os.listdir(target)


@pytest.mark.parametrize("way", ["push", "pull", "local"])
def test_dry_run_counts_what_it_would_copy(escp, source, target, way):
    for number in range(3):
        (source / str(number)).write_text("x")
    paths = [remote(source) if way == "pull" else source, remote(target) if way == "push" else target]
    done = escp.copy("-r", "--dry-run", *paths)
    assert "would copy 3 files" in done.err and list(target.iterdir()) == []


@not_sanitized
def test_dry_run_whose_output_nobody_reads_takes_no_memory_there(escp, source, target):
    """The agent waits, and does not collect what it can't tell."""
    for number in range(30_000):
        os.close(os.open(source / f"{number:0240}", os.O_CREAT | os.O_WRONLY))
    process = escp.start("-r", "--dry-run", remote(source), target)
    assert select.select([process.stdout], [], [], 30)[0]
    time.sleep(4)
    (agent,) = find_agents(escp.mark)
    status = Path(f"/proc/{agent}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 38_000  # kB; 44,000 with all names
    done = escp.finish(process, 90)
    assert done.code == 0 and done.out.count("\n") == 30_001

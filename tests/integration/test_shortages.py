"""Too little of something at either end: one sentence that names the limit, a hint, and no traceback."""

import os
import shlex
import uuid
from pathlib import Path

import pytest

from tests.support.command import AGENT_COMMAND, IS_SOURCE, local, needs_root, remote
from tests.support.sanitized import not_sanitized
from tests.support.trees import list_tree, write_random

pytestmark = pytest.mark.skipif(not IS_SOURCE, reason="a frozen program needs other amounts to start")
PIDS = Path("/sys/fs/cgroup/pids")  # version 1
WITHOUT_PROC = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")


def limited(*limits: str) -> tuple[str, ...]:
    return ("sh", "-c", f'{"; ".join(limits)}; exec "$@"', "sh")


# ---- Memory -----------------------------------------------------------------------------------------


@not_sanitized
@pytest.mark.parametrize("kib", [22_000, 30_000, 40_000, 50_000, 60_000, 80_000])
def test_no_address_space_here(escp, source, target, kib):
    """From the libraries at the least to the planes' buffers at the most."""
    write_random(source / "a", 1000)
    done = escp.fail(14, source / "a", target, prefix=limited(f"ulimit -v {kib}"))
    assert done.error == f"out of memory: the limit is {kib >> 10} MiB for a process (ulimit -v)"
    assert "-t" in done.hint


@not_sanitized
@pytest.mark.parametrize("kib", [22_000, 30_000, 40_000, 50_000])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_no_address_space_there(escp, source, target, kib, way):
    write_random(source / "a", 1000)
    words = (source / "a", remote(target)) if way == "push" else (remote(source / "a"), target)
    agent = escp.write_agent("limited", f"ulimit -v {kib}")
    done = escp.fail(15, *words, agent=agent)
    assert done.error == f"box: out of memory: the limit is {kib >> 10} MiB for a process (ulimit -v)"
    assert "-t" in done.hint


@not_sanitized
@pytest.mark.parametrize("is_embedded", [False, True])
def test_more_buffers_than_memory(escp, source, target, is_embedded):
    write_random(source / "a", 1000)
    there = local(target) if is_embedded else target
    words = ("-t", "64", "--blocksize", "32M", source / "a", there)
    done = escp.run(*words, is_embedded=is_embedded, prefix=limited("ulimit -v 400000"))
    assert done.code in (14, 15) and "out of memory: the limit is 390 MiB" in done.error, done
    assert "64 streams with blocks of 32 MiB need " in done.error, done
    assert "--blocksize" in done.hint and "trace" not in done.err


@not_sanitized
def test_more_buffers_than_memory_there(escp, source, target):
    write_random(source / "a", 1000)
    agent = escp.write_agent("limited", "ulimit -v 400000")
    done = escp.fail(15, "-t", "64", "--blocksize", "32M", source / "a", remote(target), agent=agent)
    said = "box: out of memory: the limit is 390 MiB for a process (ulimit -v), and 64 streams"
    assert done.error.startswith(said)


@needs_root
@not_sanitized
def test_more_buffers_than_are_free(escp, source, target, folder):
    """The kernel would promise them, and kill when they are used."""
    write_random(source / "a", 1000)
    (folder / "meminfo").write_text("MemTotal: 4194304 kB\nMemAvailable: 102400 kB\nSwapFree: 0 kB\n")
    bind = ("unshare", "-m", "sh", "-c", f'mount --bind {folder}/meminfo /proc/meminfo && exec "$@"', "sh")
    done = escp.fail(14, "-t", "64", "--blocksize", "32M", source / "a", target, prefix=bind)
    assert done.error.startswith(
        "out of memory: 100 MiB are free, and 64 streams with blocks of 32 MiB need "
    )


# ---- Processes and threads --------------------------------------------------------------------------


@pytest.fixture
def make_group():
    """Control groups with room for so many processes and threads; a prefix that runs a command in one."""
    groups = []

    def make(n: int) -> str:
        group = PIDS / f"escp-test-{uuid.uuid4().hex}"
        try:
            group.mkdir()
        except OSError:
            pytest.skip("control groups can't be made here")
        groups.append(group)
        (group / "pids.max").write_text(str(n))
        return f"echo $$ > {group}/cgroup.procs"

    yield make
    for group in groups:
        group.rmdir()


@pytest.mark.parametrize("n", [1, 3, 5])
def test_no_threads_here(escp, source, target, make_group, n):
    write_random(source / "a", 1000)
    done = escp.fail(14, source / "a", target, prefix=limited(make_group(n)))
    assert done.error == (
        f"no more processes or threads can be started: the limit is {n} in this control group (pids.max)"
    )


def test_no_thread_for_the_file_list(escp, target, make_group):
    done = escp.fail(14, "--filelist", "/dev/null", target, prefix=limited(make_group(1)))
    assert "the limit is 1 in this control group" in done.error


def test_no_process_for_ssh(escp, source, target, make_group):
    write_random(source / "a", 1000)
    done = escp.fail(14, source / "a", remote(target), prefix=limited(make_group(1)))
    assert "the limit is 1 in this control group" in done.error


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_no_threads_there(escp, source, target, make_group, way, n):
    write_random(source / "a", 1000)
    words = (source / "a", remote(target)) if way == "push" else (remote(source / "a"), target)
    agent = escp.write_agent("limited", make_group(n))
    done = escp.fail(15, *words, agent=agent)
    assert done.error.startswith("box: no more processes or threads") and f"the limit is {n}" in done.error


# ---- Open files -------------------------------------------------------------------------------------


@not_sanitized
@pytest.mark.parametrize("n", range(5, 11))
@pytest.mark.parametrize("way", ["push", "pull"])
@pytest.mark.parametrize("is_here", [True, False])
def test_hardly_any_files_may_be_open(escp, source, target, n, way, is_here):
    """Fewer than it takes to load escp, or to start ssh."""
    write_random(source / "a", 1000)
    words = (source / "a", remote(target)) if way == "push" else (remote(source / "a"), target)
    agent = escp.agent if is_here else escp.write_agent("few", f"ulimit -n {n}")
    done = escp.fail(14 if is_here else 15, *words, agent=agent,
                     prefix=limited(f"ulimit -n {n}") if is_here else ())  # fmt: skip
    assert "too many open files" in done.error and "ulimit -n" in done.error + done.hint


# ---- /proc ------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("way", ["local", "pull"])
def test_no_proc_here(escp, source, target, way):
    write_random(source / "a", 1000)
    words = (source / "a", target) if way == "local" else (remote(source / "a"), target)
    done = escp.fail(14, *words, prefix=WITHOUT_PROC)
    assert done.error == "there is no /proc here, and files can't be written without it"
    assert done.hint == "mount it: mount -t proc proc /proc"


@needs_root
def test_no_proc_there(escp, source, target):
    write_random(source / "a", 1000)
    agent = escp.write_agent("without", command=shlex.join([*WITHOUT_PROC, *AGENT_COMMAND]) + ' "$@"')
    done = escp.fail(15, source / "a", remote(target), agent=agent)
    assert done.error == "box: there is no /proc here, and files can't be written without it"


@needs_root
def test_sender_needs_no_proc(escp, source, target):
    write_random(source / "a", 300_000)
    os.symlink("a", source / "link")
    agent = escp.write_agent("without", command=shlex.join([*WITHOUT_PROC, *AGENT_COMMAND]) + ' "$@"')
    escp.copy("-rp", "--links", remote(source), target, agent=agent)
    assert list_tree(target / "source") == list_tree(source)
    (target / "pushed").mkdir()
    escp.copy("-rp", "--links", source, remote(target / "pushed"), prefix=WITHOUT_PROC)
    assert list_tree(target / "pushed" / "source") == list_tree(source)

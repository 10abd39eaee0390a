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
MEMORY = Path("/sys/fs/cgroup/memory")
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


@pytest.fixture
def memory_group():
    """The prefix that runs a command where a group above its own may have 200 MiB."""
    group = MEMORY / f"escp-test-{uuid.uuid4().hex}"
    try:
        (group / "step").mkdir(parents=True)
        (group / "memory.limit_in_bytes").write_text(str(200 << 20))
    except OSError as e:
        pytest.skip(f"control groups of memory can't be made here: {e}")
    yield limited(f"echo $$ > {group}/step/cgroup.procs")
    (group / "step").rmdir()
    group.rmdir()


# As version 2 has it: what stands in place of /sys/fs/cgroup, and what a group may have.
FAKE_GROUP = """
cd {folder}; mkdir -p groups/job/step; cp -r /sys/fs/cgroup/pids groups 2>/dev/null
printf '{max}\\n' > groups/job/memory.max; printf '{high}\\n' > groups/job/memory.high
printf '{current}\\n' > groups/job/memory.current; printf '{swap}\\n' > groups/job/memory.swap.max
printf 'anon 5\\nfile 7\\ninactive_file {cache}\\nactive_file 0\\n' > groups/job/memory.stat
echo max > groups/job/step/memory.max; echo max > groups/job/step/memory.high; echo 0::/job/step > own
sed 's/^SwapFree:.*/SwapFree: 4194304 kB/' /proc/meminfo > meminfo
mount --bind meminfo /proc/meminfo; mount --bind groups /sys/fs/cgroup; mount --bind own /proc/$$/cgroup
cd - >/dev/null
"""
GIB = 1 << 30
FAKE = {"max": "max", "high": "max", "current": 3 * GIB, "swap": 0, "cache": 0}


@needs_root
@not_sanitized
@pytest.mark.parametrize(
    ("changed", "limit_mib", "free_mib"),
    [
        ({"max": 4 * GIB}, 4096, 1024),
        ({"max": 5 * GIB, "high": 4 * GIB}, 4096, 1024),
        ({"max": 4 * GIB, "cache": GIB}, 4096, 2048),  # the page cache makes room
        ({"max": 4 * GIB, "swap": GIB}, 4096, 2048),
        ({"max": 2 * GIB}, 2048, 0),
        ({"max": 4 * GIB, "swap": "max"}, 0, 0),
        ({}, 0, 0),
    ],
    ids=str,
)
def test_more_buffers_than_a_group_of_version_2_has_left(
    escp, source, target, folder, changed, limit_mib, free_mib
):
    write_random(source / "a", 1000)
    fake = FAKE_GROUP.format(folder=folder, **FAKE | changed)
    prefix = ("unshare", "-m", "sh", "-ec", fake + 'exec "$@"', "sh")
    words = ("-t", "20", "--blocksize", "32M", source / "a", target)  # 2.5 GiB at each end
    done = escp.run(*words, prefix=prefix, timeout_s=60)
    if not limit_mib:
        assert done.code == 0 or "control group" not in done.error, done
        return
    assert done.code == 14 and done.error.startswith(
        f"out of memory: the limit is {limit_mib} MiB in this control group (of a batch job, or a container),"
        f" {free_mib} MiB of it are free, and 20 streams with blocks of 32 MiB need "
    ), done


@needs_root
@not_sanitized
@pytest.mark.parametrize("way", ["local", "push"])
def test_more_buffers_than_a_group_may_have(escp, source, target, memory_group, way):
    write_random(source / "a", 1000)
    words = ("-t", "16", "--blocksize", "32M", source / "a")
    if way == "local":
        done = escp.fail(14, *words, target, prefix=memory_group)
    else:
        there = shlex.join([*memory_group, *AGENT_COMMAND])
        done = escp.fail(
            15, *words, remote(target), agent=escp.write_agent("few", command=f'exec {there} "$@"')
        )
    assert "out of memory: the limit is 200 MiB in this control group" in done.error and "-t" in done.hint


@needs_root
@not_sanitized
def test_file_that_a_group_has_no_memory_for(escp, source, folder, memory_group):
    """A tmpfs would take it, and the kernel would kill for it."""
    with open(source / "large", "wb") as file:
        file.truncate(300 << 20)
    (folder / "memory").mkdir()
    mounted = limited(f"mount -t tmpfs -o size=1g none {folder}/memory")
    done = escp.run(source / "large", folder / "memory", prefix=("unshare", "-m", *mounted, *memory_group))
    assert done.code == 1 and done.error == f"{folder}/memory/large: cannot allocate memory", done
    assert "Killed" not in done.err and "no file copied" in done.err


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

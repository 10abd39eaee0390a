"""escp.copy(): the command's copies in a program, which keeps its output, its signals and its limits."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import escp as library
from escp import errors
from tests.support.command import ROOT
from tests.support.trees import list_tree, write_random

LARGE = 30_000_000


def login(escp, more=()):
    """What the command's options are for a copy with `box:`."""
    return {"ssh_config": escp.sshd.client_config, "escp": escp.agent, "escp_port": escp.port} | dict(more)


def box(path: Path) -> str:
    return f"box:{path}"


@pytest.fixture
def tree(source):
    for number in range(50):
        write_random(source / f"{number:02}", number * 1000, seed=number)
    write_random(source / "large", 3_000_000)
    return source


@pytest.mark.parametrize("way", ["local", "push", "pull", "between"])
def test_tree_is_copied_every_way(escp, tree, target, way):
    ends = {
        "local": (tree, target),
        "push": (tree, box(target)),
        "pull": (box(tree), target),
        "between": (box(tree), box(target)),
    }[way]
    seen = []
    done = library.copy(*ends, recursive=True, progress=seen.append, **login(escp))
    assert list_tree(target / tree.name) == list_tree(tree)
    assert done.ok and done.verified and (done.files, done.directories, done.n_failed) == (51, 1, 0)
    assert done.bytes == sum(path.stat().st_size for path in tree.iterdir())
    assert seen[-1].files_done == 51 and seen[-1].fraction == 1.0
    escp.assert_nothing_left()


def test_what_failed_is_named(tree, target):
    done = library.copy([tree / "01", tree / "absent", tree / "02"], target)
    assert not done.ok and done.error is None and done.verified and done.files == 2
    assert [(one.path, one.host) for one in done.failed] == [(str(tree / "absent"), None)]
    assert "No such file" in done.failed[0].reason or "no such file" in done.failed[0].reason


@pytest.mark.parametrize(
    ("error", "arguments", "named"),
    [
        (errors.UsageError, ("a", "b"), {"paralel": 3}),
        (errors.UsageError, ("a", "b"), {"parallel": 65}),
        (errors.UsageError, ("a", "b"), {"json": True}),
        (errors.UsageError, ("-", "b"), {}),
        (errors.UsageError, ([], "b"), {}),
        (errors.SomeFailedError, ("/absent/a", "/tmp"), {}),
        (errors.SshError, ("/etc/hostname", "host.invalid:"), {"batch": True}),
    ],
)
def test_what_ends_all_is_raised(error, arguments, named):
    with pytest.raises(error) as raised:
        library.copy(*arguments, **named)
    assert raised.value.exit_code == error.exit_code and str(raised.value)


def test_agent_that_is_not_there(escp, tree):
    with pytest.raises(errors.AgentError):
        library.copy(tree / "01", "box:/tmp/", **login(escp, {"escp": "/absent/escp"}))


@pytest.mark.parametrize("name", ["host:file", "-", "--recursive"])
def test_path_object_is_of_this_host(source, target, name, monkeypatch):
    monkeypatch.chdir(source)
    Path(name).write_text("x")
    assert library.copy(Path(name), target).files == 1
    assert (target / name).read_text() == "x"


def test_names_that_are_no_text(source, target):
    (source / os.fsdecode(b"\xff")).write_text("x")
    done = library.copy(os.fsencode(source), os.fsencode(target), recursive=True, dry_run=True)
    assert [os.fsencode(name) for name in done.listed if "\udcff" in name]
    (source / "b").mkdir(mode=0o700)
    assert library.copy(os.fsencode(source), os.fsencode(target), recursive=True).files == 1


def test_lists_and_numbers_are_options(tree, target):
    done = library.copy(tree, target, recursive=True, exclude=["0*", "1*", "large"], parallel=2, links=None)
    assert done.files == 30


def test_deletion_is_told(tree, target):
    library.copy(tree, target / "new", recursive=True)
    (target / "new" / "old").write_text("x")
    done = library.copy(tree, target / "new", recursive=True, no_target_directory=True, delete=True)
    assert done.deleted and done.deleted[0].endswith("old") and done.ok


class OwnError(Exception):
    pass


@pytest.mark.parametrize("error", [OwnError(), OSError(errno.EMFILE, "mine"), KeyboardInterrupt()])
@pytest.mark.parametrize("is_remote", [False, True])
def test_what_a_callback_raises_comes_out_as_it_is(escp, tree, target, error, is_remote):
    def progress(_):
        raise error

    with pytest.raises(type(error)) as raised:
        library.copy(
            tree, box(target) if is_remote else target, recursive=True, progress=progress, **login(escp)
        )
    assert raised.value is error
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", ["local", "push", "pull"])
def test_cancelled_from_another_thread(escp, source, target, way):
    write_random(source / "a", LARGE)
    cancel = threading.Event()
    ends = {
        "local": (source / "a", target / "b"),
        "push": (source / "a", box(target / "b")),
        "pull": (box(source / "a"), target / "b"),
    }[way]

    def watch(now):
        if now.bytes_done > 1_000_000:
            cancel.set()

    begin_s = time.monotonic()
    with pytest.raises(library.CancelledError):
        library.copy(*ends, cancel=cancel, progress=watch, limit="2MB", **login(escp))
    assert time.monotonic() - begin_s < 10
    assert list_tree(target) == {}
    escp.assert_nothing_left()


def test_cancelled_while_it_logs_in(source, target):
    (source / "a").write_text("x")
    cancel = threading.Event()
    threading.Timer(1, cancel.set).start()
    begin_s = time.monotonic()
    with pytest.raises(library.CancelledError):
        library.copy(source / "a", "host:", cancel=cancel, ssh_option="ProxyCommand=sleep 60", batch=True)
    assert time.monotonic() - begin_s < 10


def test_time_is_up(source, target):
    write_random(source / "a", LARGE)
    with pytest.raises(errors.TimeUpError):
        library.copy(source / "a", target, stop_after=1, limit="2MB")
    assert list_tree(target) == {}


def test_several_at_once(escp, tree, target):
    results = []

    def run(number):
        end = target / str(number) if number % 2 else box(target / str(number))
        results.append(library.copy(tree, end, recursive=True, **login(escp)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and all(done.ok and done.files == 51 for done in results)
    assert all(list_tree(target / str(number)) == list_tree(tree) for number in range(6))
    escp.assert_nothing_left()


PROGRAM = """
import gc, json, os, resource, signal, sys, threading
import escp
def look():
    return [
        [str(signal.getsignal(n)) for n in range(1, 32)], resource.getrlimit(resource.RLIMIT_NOFILE),
        resource.getrlimit(resource.RLIMIT_CORE), gc.isenabled(), gc.get_freeze_count(), os.getcwd(),
        sorted(os.sched_getaffinity(0)), len(os.listdir("/proc/self/fd")), threading.active_count(),
        open("/proc/self/status").read().count("zombie"), os.access("/proc/self/mem", os.W_OK),
    ]
before = look()
done = escp.copy(sys.argv[1], sys.argv[2], recursive=True)
after = look()
assert before == after, (before, after)
assert done.ok
"""


def test_program_keeps_what_is_its_own(tree, target):
    """Its output, signals, limits and descriptors; a copy in its main thread, as in any other."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, tree, target], cwd=ROOT, capture_output=True,
                          env={**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list_tree(target / tree.name) == list_tree(tree)


def test_signals_and_limits_of_this_one_stay(tree, target):
    before = resource.getrlimit(resource.RLIMIT_NOFILE), signal.getsignal(signal.SIGINT)
    library.copy(tree, target, recursive=True)
    assert before == (resource.getrlimit(resource.RLIMIT_NOFILE), signal.getsignal(signal.SIGINT))


def test_command_and_programs_have_one_way_to_copy():
    """Neither makes jobs or accounts of its own: both complete a `jobs.copy.Copy`."""
    texts = {path.relative_to(ROOT / "escp"): path.read_text() for path in (ROOT / "escp").rglob("*.py")}
    uses = {word: sorted(str(path) for path, text in texts.items() if word in text)
            for word in ("make_job(", ".complete(report", ".summarize(")}  # fmt: skip
    assert uses["make_job("] == ["jobs/copy.py"] == uses[".summarize("]
    assert uses[".complete(report"] == ["api/copy.py", "cli/copy.py"]


def test_import_loads_nothing():
    code = "import sys; old = set(sys.modules); import escp; print(sorted(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"['escp']\n"


def test_public_names_are_documented():
    text = (ROOT / "docs" / "api.md").read_text()
    for name in library._PUBLIC:
        assert f"`escp.{name}" in text, name
        assert getattr(library, name) is not None
    for name in (*library.Result.__dataclass_fields__, *library.Failed.__dataclass_fields__):
        assert f"`{name}`" in text, name
    assert set(library._PUBLIC) < set(dir(library))
    with pytest.raises(AttributeError):
        library.nothing  # noqa: B018


def test_log_is_written(tree, target):
    log = target / "log"
    library.copy(tree / "01", target / "new", logfile=log)
    assert "summary exit_code=0 files=1" in log.read_text()


def test_configuration_counts(tree, target, monkeypatch):
    path = target / "escp.conf"
    path.write_text("parallel: 65\n")
    monkeypatch.setenv("ESCP_CONFIG", str(path))
    with pytest.raises(errors.UsageError, match="parallel"):
        library.copy(tree / "01", target / "new")

"""What a parent may leave escp with, at both ends: closed descriptors, signals ignored or blocked."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tests.support.command import AGENT_COMMAND, COMMAND, ROOT, TIMEOUT_S, local, needs_source, remote
from tests.support.leftovers import find_agents, find_worker
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

CLOSING = ("<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-")


def after(shell: str) -> tuple[str, ...]:
    """A prefix that runs *shell* and becomes the command: `exec "$@"`, with redirections, ends it."""
    return ("sh", "-c", shell, "sh")


# ---- Closed descriptors -----------------------------------------------------------------------------


@pytest.mark.parametrize("closing", CLOSING)
@pytest.mark.parametrize("way", ["local", "push", "pull"])
def test_copy_with_closed_descriptors(escp, source, target, way, closing):
    write_random(source / "a", 300_000)
    words = {
        "local": (source, target), "push": (source, local(target)), "pull": (local(source), target),
    }[way]  # fmt: skip
    prefix = after(f'exec "$@" {closing}')
    escp.copy("-r", *words, is_embedded=way != "local", prefix=prefix)
    assert list_tree(target / "source") == list_tree(source)


@pytest.mark.parametrize("is_embedded", [False, True])
def test_file_list_of_a_closed_standard_input(escp, target, is_embedded):
    """As cat(1): there is nothing to read from. It hung, on a descriptor of escp's own."""
    words = ("--filelist", "-", local(target) if is_embedded else target)
    done = escp.fail(14, *words, is_embedded=is_embedded, prefix=after('exec "$@" <&-'))
    assert done.error == "can't read the file list standard input: bad file descriptor"


@pytest.mark.parametrize("closing", CLOSING[1:])
def test_agent_with_closed_standard_error_or_output(escp, source, target, closing):
    write_random(source / "a", 300_000)
    agent = escp.write_agent("closed", f"exec {closing}")
    done = escp.run(source / "a", remote(target), agent=agent)
    if closing == "2>&-":
        assert done.code == 0 and list_tree(target) == list_tree(source)
    else:
        assert done.code == 11 and "no escp answered on box" in done.error


@pytest.mark.parametrize("closing", CLOSING)
def test_agent_that_nobody_can_talk_to_ends(closing):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*after(f'exec "$@" {closing}'), *AGENT_COMMAND, "--server"]
    done = subprocess.run(command, env=environment, input=b"", capture_output=True, timeout=TIMEOUT_S)
    assert done.returncode == 13 and done.stderr == b""


def test_standard_output_that_is_closed_is_not_written_to_by_name(escp, source):
    """What opens /dev/stdout anew must not lose its bytes in silence."""
    write_random(source / "a", 300_000)
    done = escp.run(source / "a", "/dev/stdout", prefix=after('exec "$@" >&-'))
    assert done.code == 14 and done.error.startswith("/dev/stdout: ")


@pytest.mark.parametrize("word", ["--selftest", "--doctor"])
@pytest.mark.parametrize("closing", ["<&-", "2>&-", "<&- 2>&-"])
def test_checkup_with_closed_descriptors(folder, word, closing):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*after(f'exec "$@" {closing}'), *COMMAND, word]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, cwd=folder)
    assert done.stdout and done.returncode in ((0, 1) if word == "--doctor" else (0,)), done


@pytest.mark.parametrize("words", [("-n", "a", "x"), ("--json", "a", "x"), ("-V",), ("-h",), ("--selftest",)])
def test_results_can_not_be_told_to_a_closed_standard_output(folder, words):
    """As with ls and cp -v; what was copied is copied."""
    (folder / "a").write_bytes(b"contents")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*after('exec "$@" >&-'), *COMMAND, *words]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, cwd=folder)
    assert done.returncode == 14 and b"can't write to standard output: bad file descriptor" in done.stderr
    assert (folder / "x").exists() == ("--json" in words)


# ---- Environment and working directory --------------------------------------------------------------


@pytest.mark.parametrize("umask", ["0", "0777"])
@pytest.mark.parametrize("way", ["local", "push", "pull"])
def test_any_umask(escp, source, target, way, umask):
    write_random(source / "a", 300_000)
    words = {"local": (source, target), "push": (source, local(target)), "pull": (local(source), target)}
    escp.copy("-r", *words[way], is_embedded=way != "local", prefix=after(f'umask {umask}; exec "$@"'))
    assert (target / "source" / "a").stat().st_size == 300_000
    (target / "source").chmod(0o700)


@pytest.mark.parametrize(
    "words",
    [
        ("--selftest",),
        ("--doctor",),
        ("{source}/a", "{target}"),
        ("--embedded", "{source}/a", "localhost:{target}"),
    ],
)
def test_working_directory_that_is_gone(folder, source, target, words):
    write_random(source / "a", 1000)
    words = [word.format(source=source, target=target) for word in words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shell = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    done = subprocess.run([*after(shell), *COMMAND, *words], env=environment, capture_output=True, text=True,
                          timeout=TIMEOUT_S, cwd=folder)  # fmt: skip
    assert "Traceback" not in done.stderr and "trace:" not in done.stderr
    if words[0].startswith("--") and len(words) == 1:
        assert done.returncode in (1, 14) and "directory" in done.stdout
    else:
        assert done.returncode == 0 and list_tree(target) == list_tree(source)


@needs_source
@pytest.mark.parametrize("flag", ["-I", "-P"])
def test_embedded_agent_trusts_no_more_than_this_process(flag):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"  # -I takes none from the environment
        "from escp.process.environment import own_command; print(own_command()[1])"
    )
    done = subprocess.run([sys.executable, flag, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [flag], done.stderr


# ---- Signals ----------------------------------------------------------------------------------------

SLOW = ("-l", "2M")  # a limit that keeps a copy of a few MB busy for seconds
IGNORING_CHILDREN = (sys.executable, "-c", """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
os.execvp(sys.argv[1], sys.argv[1:])""")  # fmt: skip
BLOCKING_ALL = (sys.executable, "-c", """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execvp(sys.argv[1], sys.argv[1:])""")  # fmt: skip


@pytest.mark.parametrize("prefix", [IGNORING_CHILDREN, BLOCKING_ALL], ids=["ignored", "blocked"])
@pytest.mark.parametrize("way", ["push", "pull", "relay", "embedded"])
def test_parent_that_ignores_or_blocks_sigchld(escp, source, target, way, prefix):
    write_random(source / "a", 300_000)
    here, there = source / "a", remote(source / "a")
    words = {"push": (here, remote(target)), "pull": (there, target), "relay": (there, remote(target)),
             "embedded": (here, local(target))}[way]  # fmt: skip
    agent = escp.write_agent("ignoring", command=shlex.join([*prefix, *AGENT_COMMAND]) + ' "$@"')
    done = escp.run("--json", *words, prefix=prefix, agent=agent, is_embedded=way == "embedded")
    assert (done.code, done.err) == (0, "") and done.json[-1]["exit_code"] == 0
    assert list_tree(target) == list_tree(source)


def test_agent_that_is_not_there_is_found_with_sigchld_ignored(escp, source):
    """What happened is told by the exit status of the child."""
    write_random(source / "a", 1)
    done = escp.fail(11, source / "a", remote("x"), prefix=IGNORING_CHILDREN, login=("-D", "/nowhere/escp"))
    assert done.error == "there is no escp on box"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_blocked_signal_ends_the_copy(escp, source, target, number):
    write_random(source / "large", 9_000_000)
    process = escp.start(*SLOW, source / "large", remote(target), prefix=BLOCKING_ALL)
    wait_for(lambda: find_agents(escp.mark))
    time.sleep(0.5)
    os.kill(process.pid, number)
    assert escp.finish(process).code == 128 + number
    assert list_tree(target) == {}


IGNORING = after("trap '' HUP INT QUIT; exec \"$@\"")  # as `escp … &` in a script, and nohup


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("way", ["local", "push", "pull", "embedded"])
def test_ignored_signal_is_left_ignored(escp, source, target, way, number):
    """By ssh and by an embedded agent too, which get it at the same time."""
    write_random(source / "large", 6_000_000)
    here, there = source / "large", remote(source / "large")
    words = {"local": ("--filelist", "-", target), "push": (*SLOW, here, remote(target)),
             "pull": (*SLOW, there, target), "embedded": (*SLOW, here, local(target))}[way]  # fmt: skip
    stdin = subprocess.PIPE if way == "local" else subprocess.DEVNULL
    process = escp.start(*words, prefix=IGNORING, is_embedded=way == "embedded", stdin=stdin)
    time.sleep(1.5)
    os.killpg(process.pid, number)
    time.sleep(0.5)
    assert process.poll() is None
    if way == "local":
        process.stdin.write(os.fsencode(here) + b"\n")
        process.stdin.flush()
    assert escp.finish(process).code == 0
    assert list_tree(target) == list_tree(source)


def test_nohup(escp, source, target):
    write_random(source / "large", 3_000_000)
    process = escp.start(*SLOW, source / "large", remote(target), prefix=("nohup",))
    wait_for(lambda: find_agents(escp.mark))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGHUP)
    assert escp.finish(process).code == 0
    assert list_tree(target) == list_tree(source)


def test_what_is_not_ignored_still_ends_it(escp, source, target):
    write_random(source / "large", 9_000_000)
    process = escp.start(*SLOW, source / "large", remote(target), prefix=IGNORING)
    wait_for(lambda: find_agents(escp.mark))
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)
    assert escp.finish(process).code == 128 + signal.SIGTERM
    assert list_tree(target) == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 0), (signal.SIGINT, 0), (signal.SIGTERM, 13)])
def test_signal_that_the_agents_parent_ignored(escp, source, target, number, code):
    write_random(source / "large", 3_000_000)
    agent = escp.write_agent("ignoring", "trap '' HUP INT")
    process = escp.start(*SLOW, source / "large", remote(target), agent=agent)
    (pid,) = wait_for(lambda: find_agents(escp.mark))
    time.sleep(1)
    os.kill(find_worker(pid), number)
    assert escp.finish(process).code == code
    assert list_tree(target) == (list_tree(source) if code == 0 else {})

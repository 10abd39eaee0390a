"""How a session starts, and each way in which it fails: one sentence, a hint, an exit code, in 15 s."""

import getpass
import shutil
import subprocess
import sys
import time

import pytest

from tests.support.command import IS_SOURCE, ROOT, local, needs_source, remote
from tests.support.trees import list_tree, write_random

START_LIMIT_S = 15
MARK = "printf '\\n\\036ESCP agent ready\\036\\n'"
# Not `sleep`: a command that never reads its input outlives ssh, whatever started it.
MUTE = "exec cat > /dev/null"
FUTURE_AGENT = """
import sys
from escp.control.codec import encode
from escp.control.messages import Hello
sys.stdout.buffer.write(encode(Hello(99, 7, "99.7.1", ["teleport"])))
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def small(source):
    write_random(source / "a", 100_000)
    return source / "a"


def fail_soon(escp, code: int, *words, **start):
    """A failed start: soon, with a hint, and with nothing else said."""
    begin_s = time.monotonic()
    done = escp.fail(code, *words, **start)
    assert time.monotonic() - begin_s < START_LIMIT_S
    assert done.hint, done.err
    assert done.err.count("escp: error: ") == 1
    return done


# ---- Noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "noise",
    ["echo Welcome to the machine", "printf 'no newline at the end'", "printf '\\036ESCP agent rea'",
     "printf '\\033[2Jclear'; echo to stderr >&2", "head -c 1048576 /dev/urandom",
     "head -c 8000000 /dev/zero"],
)  # fmt: skip
def test_noise_before_the_agent_is_skipped(escp, small, target, noise):
    escp.copy(small, remote(target), agent=escp.write_agent("noisy", noise))
    assert (target / "a").read_bytes() == small.read_bytes()


def test_noise_is_shown_with_v_only_and_escaped(escp, small, target):
    agent = escp.write_agent("noisy", "printf 'Welcome \\033[31mhome\\n'")
    assert "Welcome" not in escp.copy(small, remote(target), agent=agent).err
    said = escp.copy("-v", small, remote(target), agent=agent).err
    assert "Welcome" in said and "\033" not in said


def test_banner_of_sshd(escp, small, target, sshd):
    banner = sshd.folder / "banner"
    banner.write_text("Authorized use only\n")
    config = sshd.folder / "banner_config"
    config.write_text(sshd.client_config.read_text())
    escp.copy("-o", "LogLevel=INFO", small, remote(target))
    assert (target / "a").exists()


def test_endless_noise_ends_with_an_error(escp, small, target):
    agent = escp.write_agent("noisy", command="exec cat /dev/zero")
    done = fail_soon(escp, 11, small, remote(target), agent=agent)
    assert "16 MiB" in done.error


# ---- The agent --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [("/no/such/escp", "no escp on box"), ("./not-executable", "can't be executed"), ("exit 5;", "status 5"),
     ("echo sorry, closed today; exit;", "sorry, closed today")],
)  # fmt: skip
def test_missing_agent(escp, small, target, command, words):
    (escp.home / "not-executable").touch()
    done = fail_soon(escp, 11, small, remote(target), agent=command.replace("./", f"{escp.home}/"))
    assert words in done.error and "box" in done.error and "-D" in done.hint
    assert list_tree(target) == {}


def test_agent_of_another_version_names_both(escp, small, target):
    (escp.folder / "future.py").write_text(FUTURE_AGENT)
    agent = escp.write_agent("future", MARK, command=f"exec {sys.executable} {escp.folder}/future.py")
    done = fail_soon(escp, 11, small, remote(target), agent=agent)
    assert "99.7.1" in done.error and "protocol 99" in done.error and "protocol 1)" in done.error


def test_agent_that_says_nothing_after_its_marker(escp, small, target):
    agent = escp.write_agent("mute", MARK, command=MUTE)
    done = fail_soon(escp, 13, small, remote(target), agent=agent)
    assert "nothing heard" in done.error


@pytest.mark.parametrize(
    "garbage",
    # 0xff first: four random bytes may be a length that is allowed, and then the rest is waited for.
    ["head -c 100 /dev/zero", "printf '\\377'; head -c 100 /dev/urandom", "echo hello there"],
)
def test_agent_that_talks_nonsense(escp, small, target, garbage):
    agent = escp.write_agent("mad", MARK, garbage, command=MUTE)
    done = fail_soon(escp, 12, small, remote(target), agent=agent)
    assert "the remote escp on box" in done.error and "control message" in done.error


# ---- ssh --------------------------------------------------------------------------------------------


def test_closed_ssh_port(escp, small, target):
    done = fail_soon(escp, 10, "-P", str(escp.port), small, remote(target))
    assert "box" in done.error and "ssh" in done.hint


def test_refused_key(escp, small, target, folder):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "wrong"], check=True, timeout=20
    )
    config = folder / "wrong_config"
    config.write_text(
        escp.sshd.client_config.read_text().replace(f"{escp.sshd.folder}/user_key", f"{folder}/wrong")
    )
    done = fail_soon(escp, 10, "-F", config, "-B", small, remote(target))
    assert "log in" in done.error


def test_unknown_host(escp, small, target):
    done = fail_soon(escp, 10, small, "no-such-host.invalid:x")
    assert "no-such-host.invalid" in done.error


def test_missing_ssh_program(escp, small, target):
    done = fail_soon(escp, 10, "-S", "/no/such/ssh", small, remote(target))
    assert "/no/such/ssh" in done.error and "-S" in done.hint


@pytest.mark.parametrize("options", [[], ["-t", "8"], ["-C", "-v"]], ids=" ".join)
def test_one_login_for_a_copy(escp, small, target, options):
    before = escp.sshd.n_logins
    escp.copy(*options, small, remote(target))
    assert escp.sshd.n_logins == before + 1


def test_one_ssh_is_started_for_a_copy(escp, small, target, folder):
    counting = folder / "ssh-counting"
    counting.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\nexec ssh "$@"\n')
    counting.chmod(0o755)
    escp.copy("-S", counting, small, remote(target))
    calls = (folder / "calls").read_text().splitlines()
    assert len(calls) == 1 and "ForwardAgent=no" in calls[0] and "PermitLocalCommand=no" in calls[0]


def test_user_in_the_target_and_ssh_options_reach_ssh(escp, small, target):
    user = getpass.getuser().encode()
    escp.copy(
        "-o", "Compression=yes", "-c", "aes128-gcm@openssh.com", "-4", small, user + b"@" + remote(target)
    )
    done = escp.fail(10, "-B", small, b"no-such-user@" + remote(target))
    assert "log in" in done.error


# ---- Here -------------------------------------------------------------------------------------------


def test_log_file_that_cannot_be_opened(escp, small, target):
    begin_s = time.monotonic()
    done = escp.fail(14, "--logfile", "/no/such/place/log", small, remote(target))
    assert "/no/such/place/log" in done.error
    assert time.monotonic() - begin_s < START_LIMIT_S
    assert list_tree(target) == {}


@pytest.mark.parametrize("is_here", [True, False])
def test_too_few_files_may_be_open_for_the_streams(escp, small, target, is_here):
    """A limit of the process, which only its user can raise."""
    agent = escp.agent if is_here else escp.write_agent("few", "ulimit -n 40")
    prefix = ("prlimit", "--nofile=40:40") if is_here else ()
    done = fail_soon(
        escp, 14 if is_here else 15, "-t", "64", small, remote(target), agent=agent, prefix=prefix
    )
    assert "too many open files: the limit is 40" in done.error and "-t" in done.hint
    assert is_here or "box" in done.error
    assert list_tree(target) == {}


@needs_source
@pytest.mark.parametrize("is_here", [True, False], ids=["here", "remote"])
def test_native_code_that_cannot_be_loaded(escp, small, target, folder, is_here):
    """As after half an update, or where a library is missing that it was linked with."""
    shutil.copytree(ROOT / "escp", folder / "copy" / "escp", ignore=shutil.ignore_patterns("_native*"))
    command = f"cd {folder}/copy && PYTHONPATH=. exec {sys.executable} -m escp"
    agent = escp.agent if is_here else escp.write_agent("broken", command=f'{command} "$@"')
    prefix = ("sh", "-c", f'shift 3; {command} "$@"', "sh") if is_here else ()
    done = escp.fail(3, small, remote(target), agent=agent, prefix=prefix)
    assert "the native code of this escp can't be loaded: " in done.error and "_native" in done.error
    assert "install escp" in done.hint and "Traceback" not in done.err
    assert is_here or done.error.startswith("box: ")


def test_embedded_agent_leaves_ssh_alone(escp, small, target):
    before = escp.sshd.n_logins
    escp.copy("-S", "/no/such/ssh", small, local(target), is_embedded=True)
    assert escp.sshd.n_logins == before and (target / "a").exists()


@pytest.mark.skipif(not IS_SOURCE, reason="the frozen binary brings its own Python")
def test_closed_standard_streams_do_not_disturb(escp, small, target):
    """As cron and some daemons start programs: 0, 1 and 2 are closed, and sockets get these numbers."""
    script = 'exec "$@" <&- >&- 2>&-'
    done = escp.run(small, local(target), is_embedded=True, prefix=("sh", "-c", script, "sh"))
    assert done.code == 0
    assert (target / "a").read_bytes() == small.read_bytes()

"""--push-agent: to a host without escp, over one login; and --clean-agents, which tidies up there."""

import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from escp.remote.push.script import find_command
from tests.support.command import IS_SOURCE, Escp, needs_root, remote
from tests.support.leftovers import find_processes
from tests.support.pushing import PushedHost, start_sshd, write_manifest, write_tree
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, make_tree, write_random


@pytest.fixture(scope="module")
def sshd(tmp_path_factory) -> Iterator[Sshd]:
    """In place of the session's: this one's user has another home in each test."""
    with start_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def host(escp: Escp) -> PushedHost:
    return PushedHost(escp)


@pytest.fixture
def small(source: Path) -> Path:
    write_random(source / "a", 100_000)
    return source / "a"


@pytest.fixture
def counting(host: PushedHost) -> Path:
    """An ssh for -S that keeps all that goes to the remote host."""
    path = host.escp.folder / "ssh-counting"
    path.write_text(f'#!/bin/sh\ntee -a {host.escp.folder}/sent | ssh "$@"\n')
    path.chmod(0o755)
    return path


# ---- The way there ----------------------------------------------------------------------------------


def test_first_copy_sends_escp_and_the_second_nothing(host, small, target, counting):
    logins = host.escp.sshd.n_logins
    done = host.copy("-S", counting, small, remote(target))
    assert host.is_in_place() and (target / "a").read_bytes() == small.read_bytes()
    assert done.err.count("sending escp to box") == 1
    sent = (host.escp.folder / "sent").read_bytes()
    assert len(sent) > 300_000  # what is random in the tree can't be compressed
    (host.escp.folder / "sent").unlink()
    again = host.copy("-S", counting, small, remote(target / "b"))
    sent = (host.escp.folder / "sent").read_bytes()
    assert (
        sent[4:].startswith(b'{"type":"hello"') or b'"hello"' in sent[:40]
    )  # the first words are the session's
    assert "sending" not in again.err and (target / "b").exists()
    assert host.escp.sshd.n_logins == logins + 2


def test_plain_call_finds_what_was_sent(host, small, target, folder):
    """Once this host knows of it; what is installed there comes first, and without either there is none."""
    env = {"XDG_CACHE_HOME": str(folder / "cache")}
    plain = {"login": (), "env": env}
    assert host.escp.run(small, remote(target), **plain).code == 11
    host.copy(small, remote(target / "pushed"), env=env)
    logins = host.escp.sshd.n_logins
    host.escp.copy(small, remote(target / "found"), **plain)
    host.escp.copy(remote(small), target / "pulled", **plain)
    assert host.escp.sshd.n_logins == logins + 2 and sorted(os.listdir(target)) == [
        "found",
        "pulled",
        "pushed",
    ]
    host.fake("escp", "exit 42")
    assert "exit status 42" in host.escp.fail(11, small, remote(target / "b"), **plain).error
    host.fake("escp", "exit 127")
    shutil.rmtree(host.cache)
    assert host.escp.fail(11, small, remote(target / "b"), **plain).error == "there is no escp on box"


def test_second_start_costs_next_to_nothing(host, small, target):
    """CPU time of what runs there in place of the program itself: a shell, uname and find, 3 ms."""
    host.copy(small, remote(target))
    program = host.cache / host.identity / "bin" / "escp"
    program.unlink()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)

    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    env = {"HOME": str(host.home), "PATH": host.path}

    def measure(command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(20):
            subprocess.run(["sh", "-c", command], env=env, check=True, timeout=20, **quiet)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 20

    assert measure(find_command(host.identity)) < measure(f"exec {program} --server") + 0.015


@pytest.mark.parametrize("way", ["push", "pull", "-3", "-R"])
def test_every_direction(host, source, target, way):
    make_tree(source)
    words = {"push": (source, remote(target)), "pull": (remote(source), target)}
    done = host.copy("-r", "-p", *words.get(way, (way, remote(source), remote(target))))
    assert list_tree(source) == list_tree(target / "source") and host.is_in_place()
    assert done.err.count("sending escp") == 1, "the second agent of two finds what the first has sent"


def test_only_the_host_that_is_configured_for_it(host, small, target, folder):
    """Between two hosts, one of which has escp."""
    config = folder / "escp.conf"
    config.write_text(
        f"escp: {host.escp.agent}\nhosts:\n  other:\n    push-agent: true\n    agent-tree: {host.tree}\n"
    )
    config.chmod(0o600)
    ssh_config = host.escp.sshd.client_config
    if "Host other" not in ssh_config.read_text():
        ssh_config.write_text(ssh_config.read_text().replace("Host box\n", "Host box other\n"))
    env = {"ESCP_CONFIG": str(config)}
    host.escp.copy(remote(small), b"other:" + os.fsencode(target), login=(), env=env)
    assert (target / "a").exists() and host.is_in_place()
    host.escp.copy(b"other:" + os.fsencode(small), target / "b", login=("-D", host.escp.agent), env=env)
    assert (target / "b").exists()  # the command line is the last to speak


def test_concurrent_first_copies(host, small, target):
    host.lines = ["sleep 0.$(( $$ % 10 ))"]
    host.write()
    processes = [host.escp.start(small, remote(target / f"{n}"), login=host.words, has_ports=False)
                 for n in range(6)]  # fmt: skip
    for process in processes:
        assert host.escp.finish(process).code == 0
    assert len(list_tree(target)) == 6 and host.is_in_place()


def test_loser_of_a_race_uses_what_the_winner_put_there(host, small, target):
    """The other one is done between this one's look and its rename."""
    winner = host.escp.folder / "winner"
    shutil.copytree(host.tree, winner, symlinks=True)
    there = host.cache / host.identity
    host.fake("mv", f'[ -d {there} ] || /usr/bin/mv {winner} {there}\nexec /usr/bin/mv "$@"')
    inode = winner.stat().st_ino
    host.copy(small, remote(target))
    assert host.is_in_place() and there.stat().st_ino == inode


def test_umask_of_the_first_copy_is_the_users(host, source, target):
    (source / "a").touch()
    (source / "a").chmod(0o664)
    host.lines = ["umask 002"]
    host.write()
    host.copy(source / "a", remote(target))
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0o664
    assert stat.S_IMODE(host.cache.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.lstat().st_mode) for path in host.cache.rglob("*") if not path.is_symlink()}
    assert modes <= {0o700, 0o600}


def test_first_copy_starts_in_the_home_directory(host, small):
    host.copy(small, "box:copied")
    assert (host.home / "copied").exists()


def test_other_cache_directory(host, small, target):
    host.lines = [f'export XDG_CACHE_HOME="{host.escp.folder}/a cache"']
    host.write()
    host.copy(small, remote(target))
    assert (host.escp.folder / "a cache" / "escp" / host.identity / "bin" / "escp").exists()
    assert not host.cache.exists()
    host.lines = ["export XDG_CACHE_HOME=relative"]
    host.write()
    host.copy(small, remote(target))
    assert host.is_in_place()  # as the specification wants it


@pytest.mark.parametrize("shell", ["/bin/bash", "busybox sh", "/bin/tcsh", "fish"])
def test_shell_of_the_user(host, small, target, shell):
    host.shell = shell
    host.write()
    for name in ("b", "c"):
        host.copy(small, remote(target / name))
        assert (target / name).exists()
    assert host.is_in_place()


@pytest.mark.parametrize("sh", ["bash --posix", "busybox sh"])
def test_other_sh_and_tools(host, small, target, sh):
    """What /bin/sh is elsewhere, and where all tools are busybox's."""
    host.replace_sh(sh)
    if sh.startswith("busybox"):
        folder = host.escp.folder / "busybox"
        folder.mkdir()
        subprocess.run(["busybox", "--install", "-s", folder], check=True, timeout=20)
        host.path = f"{folder}:/usr/local/bin"
        host.write()
    for name in ("b", "c"):
        host.copy(small, remote(target / name))
        assert (target / name).exists()
    assert host.is_in_place()
    put_tree(host)
    assert "1 version of escp removed" in host.clean().out and host.is_in_place()


@pytest.mark.parametrize(
    "noise",
    ["echo Welcome", "printf 'no newline'", "head -c 3000000 /dev/urandom", "printf '\\036ESCP agent '"],
)
def test_noisy_login(host, small, target, noise):
    host.lines = [noise]
    host.write()
    for _ in range(2):
        host.copy(small, remote(target))
    assert host.is_in_place()


def test_sending_is_told_with_json_too(host, small, target):
    said = host.copy("--json", small, remote(target)).json
    assert any("sending escp to box" in line.get("message", "") for line in said if line["type"] == "note")
    assert "sending" not in host.copy("-q", small, remote(target)).err


# ---- What does not work, and is said ------------------------------------------------------------------


def test_without_a_tree(host, small, target, folder):
    if not IS_SOURCE:
        pytest.skip("a frozen program is its own tree")
    logins = host.escp.sshd.n_logins
    done = host.escp.fail(2, small, remote(target), login=("--push-agent",))
    assert "from source" in done.error and "--agent-tree" in done.hint
    done = host.escp.fail(2, small, remote(target), login=("--push-agent", "--agent-tree", folder))
    assert str(folder) in done.error and "MANIFEST" in done.error
    assert host.escp.sshd.n_logins == logins


def test_missing_agent_hints_at_it(host, small, target):
    words = ("-D", "/no/such/escp")
    done = host.escp.fail(11, small, remote(target), login=(*words, "--agent-tree", host.tree))
    assert "--push-agent" in done.hint and "-D" in done.hint


@pytest.mark.parametrize("change", ["more", "other", "missing"])
def test_local_tree_that_was_touched_is_not_sent(host, small, target, change):
    path = host.tree / "lib/escp/_internal/library.so"
    if change == "missing":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data + b"x" * (change == "more"))
    done = host.fail(12, small, remote(target))
    assert str(path) in done.error and host.list_cache() == []


def test_what_arrives_damaged_is_not_kept(host, small, target):
    host.fake("gzip", '/usr/bin/gzip "$@" | sed s/sha/shb/')
    path = host.tree / "lib/escp/_internal/deep/words"
    path.write_text("sha\n")
    host.identity = write_manifest(host.tree)
    done = host.fail(12, small, remote(target))
    assert "damaged" in done.error and host.list_cache() == []


def test_file_that_manifest_does_not_know_is_not_kept(host, small, target):
    host.fake("tar", '/usr/bin/tar "$@"; echo > lib/escp/more')
    host.fail(12, small, remote(target))
    assert host.list_cache() == []


def test_other_architecture(host, small, target, counting):
    host.fake("uname", "echo Linux riscv64")
    done = host.fail(11, "-S", counting, small, remote(target))
    assert "riscv64" in done.error and f"Linux {os.uname().machine}" in done.error
    assert (host.escp.folder / "sent").read_bytes() == b"" and not host.cache.exists()


def test_home_directory_shared_with_another_architecture(host, small, target):
    host.copy(small, remote(target))
    host.fake("uname", "echo Linux riscv64")
    assert "riscv64" in host.fail(11, small, remote(target)).error and host.is_in_place()


def test_tree_of_another_architecture(host, small, target):
    header = bytearray(Path("/bin/true").read_bytes())
    header[18:20] = (183).to_bytes(2, "little")
    shutil.rmtree(host.tree)
    write_tree(host.tree, bytes(header))
    done = host.fail(11, small, remote(target))
    assert "for Linux aarch64" in done.error


@pytest.mark.parametrize(
    ("program", "words"),
    [("#!/bin/sh\necho \"libc.so.6: version 'GLIBC_2.99' not found (required by x)\" >&2\nexit 255\n",
      ["glibc older than 2.99"]),
     ("#!/bin/sh\nprintf 'sorry\\033[31m' >&2; exit 3\n", ["exit status 3", "sorry\\x1b"]),
     ("#!/no/such/interpreter\n", ["does not run"])],
)  # fmt: skip
def test_escp_that_does_not_run_there(host, small, target, program, words):
    shutil.rmtree(host.tree)
    host.identity = write_tree(host.tree, program)
    done = host.fail(11, small, remote(target))
    assert all(word in done.error for word in words) and "\033" not in done.err
    assert host.list_cache() == []


@pytest.mark.parametrize("tools", [["tar"], ["gzip", "sha256sum"]])
def test_missing_tools(host, small, target, tools):
    host.lack(*tools)
    done = host.fail(11, small, remote(target))
    assert all(tool in done.error for tool in tools) and not host.cache.exists()


def test_directory_that_others_may_write_to(host, small, target):
    host.copy(small, remote(target))
    host.cache.chmod(0o770)
    done = host.fail(16, small, remote(target / "b"))
    assert f"'{host.cache}'" in done.error and not (target / "b").exists()
    host.cache.chmod(0o700)
    host.copy(small, remote(target / "b"))


@needs_root
@pytest.mark.parametrize("place", [".cache/escp", ".cache/escp/{identity}"])
def test_directory_of_somebody_else(host, small, target, place):
    """In a home like /tmp somebody else could put a program where this one looks for its own."""
    host.copy(small, remote(target))
    os.chown(host.home / place.format(identity=host.identity), 65534, 65534)
    done = host.run(small, remote(target / "b"))
    assert done.code != 0 if place == ".cache/escp" else done.code == 0
    if done.code:
        assert done.code == 16 and "somebody else" in done.error
    else:
        assert (host.cache / host.identity).stat().st_uid == 0 and host.is_in_place()  # it was replaced


def test_link_in_the_place_of_a_tree(host, small, target, folder):
    host.cache.mkdir(parents=True, mode=0o700)
    (folder / "elsewhere").mkdir()
    (host.cache / host.identity).symlink_to(folder / "elsewhere")
    host.fail(15, small, remote(target))
    assert os.listdir(folder / "elsewhere") == [] and host.list_cache() == [host.identity]


def test_tree_without_its_program_is_replaced(host, small, target):
    """Some sites remove old files from home directories."""
    host.copy(small, remote(target))
    (host.cache / host.identity / "lib/escp/escp").unlink()
    host.copy(small, remote(target))
    assert host.is_in_place()


def test_tree_that_starts_no_more(host, small, target):
    host.copy(small, remote(target))
    (host.cache / host.identity / "lib/escp/escp").write_text("#!/bin/sh\nexit 255\n")
    done = host.fail(11, small, remote(target))
    assert "does not start there" in done.error and "--clean-agents" in done.hint
    assert "damaged" in host.clean().out and host.list_cache() == []
    host.copy(small, remote(target))


def mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, timeout=20)


@needs_root
@pytest.mark.parametrize(("options", "code", "words"), [("noexec,size=4m", 11, "noexec"),
                                                        ("size=64k", 15, "no space left on device"),
                                                        ("ro", 15, "Read-only")])  # fmt: skip
def test_home_on_a_file_system_that_will_not_do(host, small, target, options, code, words):
    mount(host.home, options)
    try:
        done = host.fail(code, small, remote(target))
        assert words in done.error and host.list_cache() == []
    finally:
        subprocess.run(["umount", host.home], check=True, timeout=20)


def stop_midway(host: PushedHost, small: Path, target: Path) -> subprocess.Popen:
    """A copy whose archive is on its way."""
    host.fake("tar", f'echo > {host.escp.folder}/begun; sleep 0.2; exec /usr/bin/tar "$@"')
    host.fake(
        "head", 'case $2 in ???????*) sleep 1; exec /usr/bin/head "$@";; *) exec /usr/bin/head "$@";; esac'
    )
    process = host.escp.start(small, remote(target), login=host.words)
    end_s = time.monotonic() + 10
    while not (host.escp.folder / "begun").exists():
        assert process.poll() is None and time.monotonic() < end_s
        time.sleep(0.01)
    (unfinished,) = host.list_cache()
    assert unfinished.startswith(".")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_midway_leaves_nothing(host, small, target, number):
    shutil.rmtree(host.tree)
    write_tree(host.tree, n_bytes=8 << 20)
    process = stop_midway(host, small, target)
    os.killpg(process.pid, number)
    assert host.escp.finish(process).code == (-9 if number == signal.SIGKILL else 128 + number)
    host.escp.assert_nothing_left()
    assert host.list_cache() == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_script_that_is_ended_midway_leaves_nothing(host, small, target, number):
    shutil.rmtree(host.tree)
    write_tree(host.tree, n_bytes=8 << 20)
    process = stop_midway(host, small, target)
    for pid, line in find_processes(host.escp.mark).items():
        if line.startswith("/bin/sh -c"):
            os.kill(pid, number)
    done = host.escp.finish(process)
    assert done.code == 13 and "went away while escp was sent" in done.error
    host.escp.assert_nothing_left()
    assert host.list_cache() == []


def test_login_that_says_it_all_in_the_wrong_order(host, small, target):
    found, missing = (f"{word} Linux {os.uname().machine}" for word in ("found", "missing"))
    for words in (["send"], [found, missing], [missing, found]):
        lines = "".join(f"\\n\\036ESCP agent {word}\\036\\n" for word in words)
        host.lines = [f"printf '{lines}'; exec cat > /dev/null"]
        host.write()
        done = host.fail(11, small, remote(target))
        assert "box says" in done.error


def test_restricted_shell(host, small, target):
    host.lines = ["echo only rsync here >&2", "exit 3"]
    host.write()
    done = host.fail(11, small, remote(target))
    assert "no POSIX shell answered on box (exit status 3)" in done.error


def test_refused_login(host, small, target):
    done = host.escp.fail(
        10, "-o", "IdentityFile=/dev/null", "-B", small, "no-such-user@box:", login=host.words
    )
    assert "log in" in done.error


# ---- --clean-agents ---------------------------------------------------------------------------------


def put_tree(host: PushedHost, *, age_s: int = 0, name: str | None = None) -> str:
    """Another version in the host's cache."""
    scratch = host.escp.folder / "another"
    identity = write_tree(scratch)
    host.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = host.cache / (name or "{}").format(identity)
    scratch.rename(place)
    os.utime(place, (time.time() - age_s, time.time() - age_s))
    return identity


def test_clean_removes_other_versions_only(host, small, target):
    host.copy(small, remote(target))
    old = put_tree(host)
    stale, fresh = (put_tree(host, name=".{}.abcDEF", age_s=age_s) for age_s in (90_000, 3600))
    (host.cache / "notes").mkdir()
    done = host.clean()
    assert host.list_cache() == sorted([host.identity, "notes", f".{fresh}.abcDEF"])
    lines = {line.split()[1][:16]: line for line in done.out.splitlines()[:-1]}
    assert "removed" in lines[old[:16]] and "removed" in lines[stale[:16]]
    assert "kept" in lines[host.identity[:16]] and "left" in lines[fresh[:16]]
    assert re.search(r"box: 2 versions of escp removed, \d+ kB", done.out)
    assert "sending" not in host.copy(small, remote(target)).err


@pytest.mark.parametrize("word", ["box", "box:", "scp://box"])
def test_clean_where_nothing_is(host, word):
    assert host.clean(word).out == "box: 0 versions of escp removed\n"
    assert os.listdir(host.home) == []


def test_clean_follows_no_links(host, folder):
    precious = folder / "precious"
    precious.mkdir()
    (precious / "file").touch()
    old = put_tree(host)
    (host.cache / old / "link").symlink_to(precious)
    (host.cache / ("ab" * 32)).symlink_to(precious)
    (host.cache / f".{'cd' * 32}.aaaaaa").symlink_to(precious)
    done = host.clean()
    assert (precious / "file").exists() and (host.cache / ("ab" * 32)).is_symlink()
    assert not (host.cache / old).exists() and done.out.count("it is a link") == 2


def test_clean_leaves_what_is_running(host):
    scratch = host.escp.folder / "sleeping"
    identity = write_tree(scratch, Path("/bin/sleep").read_bytes())
    host.cache.mkdir(parents=True, mode=0o700)
    scratch.rename(host.cache / identity)
    with subprocess.Popen([host.cache / identity / "bin" / "escp", "30"]) as process:
        try:
            assert "it is running" in host.clean().out and host.list_cache() == [identity]
        finally:
            process.kill()
    assert "1 version of escp removed" in host.clean().out and host.list_cache() == []


def test_clean_json(host):
    old = put_tree(host)
    words = ("--json", "--clean-agents", "box", "no-such-host.invalid")
    line, warning, result = host.escp.run(*words, login=(), has_ports=False).json
    assert line["type"] == "agent" and line["identity"] == old and line["action"] == "removed"
    assert "no-such-host" in warning["message"] and result["exit_code"] == 10
    assert line["host"] == "box" and line["bytes"] > 300_000


def test_clean_goes_on_after_a_host_that_fails(host):
    put_tree(host)
    done = host.clean("no-such-host.invalid", "box", code=10)
    assert "no-such-host.invalid" in done.error and "1 version" in done.out and host.list_cache() == []


@pytest.mark.parametrize("words", [[], ["box:path"], ["/local"]])
def test_clean_needs_hosts(host, words):
    done = host.escp.fail(2, "--clean-agents", *words, login=(), has_ports=False)
    assert "--clean-agents" in done.error and "host" in done.hint


@needs_root
def test_clean_leaves_a_directory_of_somebody_else_alone(host):
    old = put_tree(host)
    os.chown(host.cache, 65534, 65534)
    done = host.clean(code=16)
    assert "belongs to somebody else" in done.error and (host.cache / old).exists()

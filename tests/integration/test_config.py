"""Configuration and logs of whole copies over sshd: each side has its own user's."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import AGENT_COMMAND, ROOT, needs_root, remote
from tests.support.leftovers import find_agents, find_processes, find_worker
from tests.support.waiting import wait_for

CPUS = sorted(os.sched_getaffinity(0))


def write_config(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def config(folder):
    """Writes the initiator's file; the environment that names it."""

    def write(text: str) -> dict[str, str]:
        return {"ESCP_CONFIG": str(write_config(folder / "initiator.conf", text))}

    return write


@pytest.fixture
def configured_agent(escp, folder):
    """Writes the agent's file, and an agent that reads it."""

    def write(text: str, *words: str) -> Path:
        path = write_config(folder / "agent.conf", text)
        command = " ".join([*AGENT_COMMAND, *words])
        return escp.write_agent("configured", f"export ESCP_CONFIG={path}", command=f'exec {command} "$@"')

    return write


@pytest.fixture
def file(source):
    path = source / "a"
    path.write_bytes(os.urandom(300_000))
    return path


def read_log(path: Path) -> list[str]:
    """The events without time and process."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return [line.partition("] ")[2] for line in path.read_text().splitlines()]


def find_fields(line: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))


# --- Configuration -----------------------------------------------------------------------------------


def test_configuration_counts_for_a_copy_and_flags_beat_it(escp, file, target, config):
    env = config("parallel: 2\nhosts:\n  box:\n    blocksize: 512K\n    compress: true\n")
    start = escp.copy("--json", file, remote(target), env=env).json[0]
    assert (start["streams"], start["block_bytes"]) == (2, 512 << 10)
    start = escp.copy("--json", "-t", "1", file, remote(target), env=env | {"ESCP_BLOCKSIZE": "256K"}).json[0]
    assert (start["streams"], start["block_bytes"]) == (1, 256 << 10)


def test_a_mistake_is_usage_and_nothing_is_copied(escp, file, target, config):
    env = config("parallel: 2\ncompres: true\n")
    done = escp.fail(2, file, remote(target), env=env)
    assert done.error == f"{env['ESCP_CONFIG']}, line 2: there is no key 'compres'"
    assert done.hint == "did you mean 'compress'?" and not os.listdir(target)


@pytest.mark.parametrize("env", [{"ESCP_JSON": "1"}, {"ESCP_CONFIG": "json: true\n"}], ids=str)
def test_json_of_the_configuration_counts_before_the_copy_begins(escp, source, config, env):
    if "ESCP_CONFIG" in env:
        env = config(env["ESCP_CONFIG"])
    done = escp.run(source / "missing", "box:", env=env)
    assert (done.code, done.json[-1]["exit_code"], done.err) == (1, 1, "")


def test_json_of_the_environment_counts_for_bad_usage(escp):
    done = escp.run("-z", env={"ESCP_JSON": "1"})
    assert (done.code, done.json[-1]["exit_code"], done.err) == (2, 2, "")


@needs_root
def test_the_systems_file_and_the_users_are_found(folder):
    """In a mount namespace: /etc of this machine stays as it is."""
    write_config(folder / "etc" / "escp.conf", "bits: true\nparallel: 3\n")
    write_config(folder / "home" / ".config" / "escp.conf", "parallel: 5\nbind: nowhere\n")
    script = f"mount --bind {folder}/etc /etc && exec {sys.executable} -m escp a localhost:b"
    env = {name: text for name, text in os.environ.items() if name not in ("ESCP_CONFIG", "XDG_CONFIG_HOME")}

    def run() -> str:
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", script], env={**env, "HOME": str(folder / "home"),
            "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False, cwd=folder,
        ).stderr  # fmt: skip

    assert f"{folder}/home/.config/escp.conf, line 2, bind: 'nowhere' is no address" in run()
    write_config(folder / "etc" / "escp.conf", "bits: maybe\n")
    assert "escp: error: /etc/escp.conf, line 1: bits: 'maybe' is not true or false" in run()


# --- The agent's side --------------------------------------------------------------------------------


def test_agents_log_of_a_receiver_and_of_a_sender(escp, file, target, folder, configured_agent):
    agent = configured_agent(f"logfile: {folder}/agent.log\nlimit: nonsense\n")
    escp.copy("-C", file, remote(target), agent=agent)
    escp.copy(remote(file), target / "b", agent=agent)
    first, summary, _, second, sent, _ = read_log(folder / "agent.log")
    start = find_fields(first)
    assert first.startswith("start ") and start["role"] == '"receiver"' and start["streams"] == "4"
    assert start["host"] == '"127.0.0.1"' and start["block_bytes"] == str(1 << 20) and start["aead"]
    numbers = find_fields(summary)
    assert summary.startswith("summary ") and numbers["files"] == "1" and numbers["failed"] == "0"
    assert numbers["bytes"] == numbers["bytes_disk"] == "300000"
    assert int(numbers["bytes_network"]) > int(numbers["bytes_compressed"]) > 299_000
    assert float(numbers["seconds"]) > 0
    assert find_fields(second)["role"] == '"sender"'
    assert find_fields(sent)["files"] == "1" and find_fields(sent)["bytes_disk"] == "300000"


def test_both_logs_of_one_copy_and_their_errors(escp, source, target, folder, configured_agent):
    (source / "good").write_text("g")
    (source / "bad\nname").write_text("b")
    (target / "source").mkdir()
    (target / "source" / "bad\nname").mkdir()  # a directory is in the way
    agent = configured_agent("", "--logfile", str(folder / "agent.log"))
    escp.fail(1, "-r", "--logfile", folder / "own.log", source, remote(target), agent=agent)
    for name in ("agent.log", "own.log"):
        begin, error, end, session = read_log(folder / name)
        assert begin.startswith("start ") and r"bad\nname" in error and error.startswith("error ")
        assert end.startswith("summary ") and find_fields(end)["files"] == "1"
        assert session.startswith("session ") and find_fields(session)["exit_code"] == "1"
    assert (
        find_fields(end)["bytes_disk"] == find_fields(end)["bytes_compressed"] == "2"
    )  # bad only got no name


def test_the_initiators_logfile_does_not_reach_the_other_host(escp, file, target, folder, config):
    escp.copy(file, remote(target), env=config("logfile: own.log\ncpumask: 1\n"), cwd=folder)
    assert len(read_log(folder / "own.log")) == 3
    assert not (escp.home / "own.log").exists()


# In a mount namespace with a /dev of its own: what arrives at /dev/log while escp runs.
SYSLOG = """
import os, socket, subprocess, sys
subprocess.run("mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3", shell=True, check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
code = subprocess.run(sys.argv[1:]).returncode
log.setblocking(False)
try:
    while True:
        print(log.recv(9999).decode())
except BlockingIOError:
    sys.exit(code)
"""


@needs_root
def test_syslog_gets_both_sides_lines(escp, file, target, folder):
    path = write_config(folder / "agent.conf", "logfile: LOCAL3\n")  # the embedded agent's, too
    prefix = ("unshare", "-m", sys.executable, "-c", SYSLOG)
    os.mkfifo(file.parent / "b\n")
    done = escp.run("-r", file.parent, b"localhost:" + os.fsencode(target), is_embedded=True, prefix=prefix,
                    env={"ESCP_CONFIG": str(path)})  # fmt: skip
    assert done.code == 1, done
    lines = [re.sub(r"^(<\d+>).*escp\[\d+\]: ", r"\1", line) for line in done.out.splitlines()]
    assert sorted(line.split()[0] for line in lines) == [
        "<155>error",
        *["<157>session"] * 2,
        *["<157>start"] * 2,
        *["<157>summary"] * 2,
    ]
    assert any(r"b\n" in line for line in lines)


def test_a_link_as_the_agents_log_is_not_followed(escp, file, target, folder, configured_agent):
    (folder / "victim").write_text("v")
    (folder / "link").symlink_to(folder / "victim")
    done = escp.fail(15, file, remote(target), agent=configured_agent("", "--logfile", f"{folder}/link"))
    assert f"cannot open the log file '{folder}/link'" in done.error and "remote" in done.error
    assert (folder / "victim").read_text() == "v" and not os.listdir(target)


@pytest.mark.parametrize("name", ["link", "no/such/log", "theirs", "there"])
def test_a_log_that_a_configuration_names_and_that_cannot_be_opened_stops_no_copy(
    escp, file, target, folder, configured_agent, config, name
):
    (folder / "victim").write_text("v")
    (folder / "link").symlink_to(folder / "victim")
    (folder / "there").mkdir()
    (folder / "theirs").write_text("")
    (folder / "other").hardlink_to(folder / "theirs")
    path = f"{folder}/{name}"
    agent = configured_agent(f"logfile: {path}\n")
    done = escp.copy(file, remote(target), agent=agent, env=config(f"logfile: {path}\n"))
    ours, theirs = [line for line in done.err.splitlines() if line.startswith("escp: warning: ")]
    assert (
        f"cannot open the log file '{path}': " in ours and "the log on box cannot be written to: " in theirs
    )
    done = escp.copy("--json", file, target / "b", env=config(f"logfile: {path}\n"))
    assert [line["type"] for line in done.json] == ["warning", "start", "result"]
    assert (folder / "victim").read_text() == "v"
    escp.fail(14, "--logfile", path, file, target / "c", env=config("parallel: 2\n"))


@pytest.mark.parametrize(
    ("text", "words", "part"),
    [
        ("bits: true\nlogfile: [x]\n", [], "agent.conf, line 2: logfile"),
        ("a: [\n", [], "agent.conf, line"),
        ("cpumask: 1\n", ["-v"], "'-v' is not for the agent"),
        (f"cpumask: {1 << 1010:X}\n", [], "--cpumask: none of the CPUs 1010 is there"),
    ],
)
def test_mistakes_on_the_agents_side_are_told(escp, file, target, configured_agent, text, words, part):
    done = escp.fail(2, file, remote(target), agent=configured_agent(text, *words))
    assert "the remote escp's own options: " in done.error and part in done.error


def test_an_agents_log_tells_that_the_initiator_went_away(escp, source, target, folder, configured_agent):
    path = source / "large"
    with path.open("wb") as large:
        large.truncate(64 << 20)
    agent = configured_agent(f"logfile: {folder}/agent.log\n")
    process = escp.start("-l", "8M", path, remote(target), agent=agent)
    wait_for(lambda: (folder / "agent.log").exists() and (folder / "agent.log").read_text())
    process.kill()
    escp.finish(process)
    escp.assert_nothing_left()
    assert [line.split()[0] for line in read_log(folder / "agent.log")] == [
        "start", "failure", "session"]  # fmt: skip


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
def test_masks_bind_each_side_by_its_own_word(escp, source, target, folder, config, configured_agent):
    """Every thread of the initiator on the one CPU, of the agent on the other; ssh may use both."""
    path = source / "large"
    with path.open("wb") as large:
        large.truncate(64 << 20)
    agent = configured_agent(f"cpumask: {1 << CPUS[1]:X}\nlogfile: {folder}/agent.log\n")
    env = config(f"cpumask: {1 << CPUS[0]:X}\n")
    process = escp.start("-l", "8M", path, remote(target), agent=agent, env=env)
    wait_for(lambda: (folder / "agent.log").exists() and (folder / "agent.log").read_text())
    (theirs,) = find_agents(escp.mark)
    ours = find_worker(process.pid)
    for pid, n_threads in ((ours, 3), (theirs, 2)):
        wait_for(lambda pid=pid, n=n_threads: len(os.listdir(f"/proc/{pid}/task")) >= n)
    try:
        found = {}
        for pid in find_processes(escp.mark):
            word = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
            kind = {ours: "initiator", theirs: "agent"}.get(pid, word.decode())
            for task in os.listdir(f"/proc/{pid}/task"):
                status = Path(f"/proc/{pid}/task/{task}/status").read_text()
                cpus = re.search(r"Cpus_allowed_list:\s*(\S+)", status)[1]
                found.setdefault(kind, []).append(cpus)
    finally:
        process.kill()
        escp.finish(process)
    assert set(found["initiator"]) == {str(CPUS[0])} and len(found["initiator"]) >= 3
    assert set(found["agent"]) == {str(CPUS[1])} and len(found["agent"]) >= 2
    assert str(CPUS[0]) not in found["ssh"]

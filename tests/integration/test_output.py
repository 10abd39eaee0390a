"""What escp says reaches whoever reads it, however slowly, or the exit status tells that it did not."""

import json
import os
import pty
import select
import subprocess
import time

import pytest

from tests.support.command import COMMAND, local, remote
from tests.support.trees import write_random
from tests.support.waiting import wait_for

N_NAMES = 1500
NAME = "a name that makes a pipe fuller than it can be "  # 1,500 lines of it are more than 64 KiB


@pytest.fixture
def many(source):
    for number in range(N_NAMES):
        (source / f"{NAME}{number:04}").touch()
    return source


@pytest.fixture
def broken(source):
    """Nothing of it can be copied: an error each."""
    for number in range(N_NAMES):
        (source / f"{NAME}{number:04}").symlink_to("nowhere")
    return source


def read_late(reading: int, process: subprocess.Popen) -> list[str]:
    """The lines of a pipe whose reader sleeps first."""
    time.sleep(1.5)
    data = b""
    while chunk := os.read(reading, 1 << 16):
        data += chunk
    os.close(reading)
    process.wait(30)
    return data.decode().splitlines()


def start_into_pipe(escp, *words, **start) -> tuple[int, subprocess.Popen]:
    """Both outputs go into one pipe that somebody else made non-blocking."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = escp.start(*words, stdout=writing, stderr=writing, **start)
    os.close(writing)
    return reading, process


DIRECTIONS = {
    "push": (lambda s, t: (s, remote(t)), {}),
    "pull": (lambda s, t: (remote(s), t), {}),
    "embedded": (lambda s, t: (s, local(t)), {"is_embedded": True}),
    "local": (lambda s, t: (s, t), {}),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_list_is_whole_when_the_reader_is_slow(escp, many, target, direction):
    operands, start = DIRECTIONS[direction]
    reading, process = start_into_pipe(escp, "-n", "-r", *operands(many, target), **start)
    lines = read_late(reading, process)
    assert process.returncode == 0
    assert len([line for line in lines if NAME in line]) == N_NAMES
    assert lines[-1] == f"escp: would copy {N_NAMES:,} files"


def test_json_has_every_error_and_its_result_when_the_reader_is_slow(escp, broken, target):
    reading, process = start_into_pipe(escp, "--json", "-r", broken, target)
    lines = [json.loads(line) for line in read_late(reading, process)]
    assert process.returncode == 1
    assert len([line for line in lines if line["type"] == "error"]) == N_NAMES
    assert lines[-1]["type"] == "result" and lines[-1]["failed"] == N_NAMES


def test_errors_of_files_are_whole_when_the_reader_is_slow(escp, broken, target):
    reading, process = start_into_pipe(escp, "-r", broken, remote(target))
    lines = read_late(reading, process)
    assert len([line for line in lines if NAME in line]) == N_NAMES and process.returncode == 1


@pytest.mark.parametrize("words", [("-n",), ("--json",), ("-n", "--json")], ids=" ".join)
def test_full_disk_below_the_output_is_told(escp, source, target, words):
    (source / "a").write_text("a")
    with open("/dev/full", "wb") as full:
        done = escp.run(*words, "-r", source, target, stdout=full)
    assert done.code == 14
    assert done.error == "can't write to standard output: no space left on device" and done.hint
    assert (target / "source" / "a").exists() is ("-n" not in words)


@pytest.mark.parametrize("words", [["--help"], ["--version", "-v"], ["--licence"], ["--selftest"]])
def test_full_disk_below_a_page_is_told(words):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 14 and b"no space left on device" in done.stderr


def test_errors_that_can_not_be_told_are_an_exit_status(escp, source, target):
    (source / "a").write_text("a")
    with open("/dev/full", "wb") as full:
        assert escp.run(source / "a", target, stderr=full).code == 14
    assert (target / "a").exists()


def test_full_disk_below_the_log_is_the_runs_error(escp, source, target):
    (source / "a").write_text("a")
    done = escp.run("--json", "--logfile", "/dev/full", source / "a", target)
    assert done.code == 14 and (target / "a").exists()
    assert done.json[-1]["exit_code"] == 14
    assert done.json[-1]["error"]["message"] == "can't write to the log file: no space left on device"
    done = escp.fail(14, "--logfile", "/dev/full", source / "a", target)
    assert done.error == "can't write to the log file: no space left on device"


def test_log_is_whole_when_the_reader_of_its_pipe_is_slow(escp, broken, target, folder):
    os.mkfifo(folder / "log")
    reading = os.open(folder / "log", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    process = escp.start("-r", "-q", "--logfile", folder / "log", broken, target, stderr=subprocess.DEVNULL)
    lines = read_late(reading, process)
    assert [line.split()[2] for line in lines] == ["start", *["error"] * N_NAMES, "summary", "session"]
    assert process.returncode == 1


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_reader_that_wants_no_more_of_a_list_ends_it_quietly(escp, many, target, words):
    reading, writing = os.pipe()
    os.close(reading)  # before it starts: later all may be told but what its thread has still to write
    process = escp.start("-n", "-r", *words, many, target, stdout=writing)
    os.close(writing)
    assert process.stderr.read() == b""
    assert process.wait(30) == 141


def test_copy_goes_on_without_the_reader_of_its_json(escp, many, target):
    process = escp.start("--json", "-r", many, target)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(30) == 0
    assert len(os.listdir(target / "source")) == N_NAMES


# ---- A terminal that nobody reads -------------------------------------------------------------------


def test_terminal_that_nobody_reads_does_not_hold_up_the_copy(escp, broken, folder):
    """Ctrl-S, or a dead tmux: the copy is done, and the last words wait for some seconds only."""
    write_random(broken / "z", 30_000_000)
    running = []
    for words in ((), ("-v",)):
        target = folder / f"target{'-'.join(words)}"
        target.mkdir()
        master, slave = pty.openpty()
        process = escp.start(
            *words, "-r", "-l", "20M", broken, remote(target), stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        running.append((process, master, target))
    for process, master, target in running:
        wait_for((target / "source" / "z").exists, 120)  # it takes two seconds, and what a busy machine does
        assert process.wait(60) == 1
        os.close(master)


def test_terminal_that_is_read_late_gets_all_words(escp, broken, target):
    master, slave = pty.openpty()
    process = escp.start("-r", broken, target, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    time.sleep(2)
    shown = b""
    while select.select([master], [], [], 20)[0]:
        try:
            shown += os.read(master, 1 << 16)
        except OSError:
            break
    os.close(master)
    assert process.wait(30) == 1
    assert shown.count(NAME.encode()) == N_NAMES and b"failed" in shown.splitlines()[-1]


@pytest.mark.parametrize("is_pull", [True, False])
def test_full_disk_below_the_other_ends_log_is_warned_of(escp, source, target, is_pull):
    (source / "a").write_text("a")
    operands = (remote(source / "a"), target) if is_pull else (source / "a", remote(target))
    done = escp.copy(*operands, login=("-D", f"{escp.agent} --logfile /dev/full"))
    assert (
        "escp: warning: the log on box cannot be written to: no space left on device" in done.err.splitlines()
    )
    assert (target / "a").exists()

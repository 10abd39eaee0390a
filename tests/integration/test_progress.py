"""What a whole run shows: on a terminal, in a pipe, with -q, with --json, and in the log."""

import fcntl
import json
import os
import pty
import re
import struct
import termios
import time

import pytest

from tests.support.command import local, remote
from tests.support.trees import write_random

SUMMARY = re.compile(r"^escp: 1 file, 3\.00? MB in [0-9.]+ s \([0-9.]+ [kM]B/s\), verified$", re.MULTILINE)
BAD_NAME = "bad \x1b[31m\x07\nname"


def run_on_terminal(escp, *words, columns: int = 80, **start) -> str:
    """All that is written to a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {"TERM": "xterm", "COLUMNS": "", "LINES": ""}

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = escp.start(
        *words, stdin=slave, stdout=slave, stderr=slave, env=env, preexec_fn=take_terminal, **start
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # how a terminal says that nobody writes to it any more
            break
        if not data:
            break
        shown += data
    os.close(master)
    assert process.wait(30) == 0, shown
    return shown.decode()


def remove_escapes(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_terminal_gets_a_meter_of_its_width_and_a_summary(escp, source, target, columns):
    write_random(source / "a", 3_000_000)
    shown = run_on_terminal(escp, "-l", "1M", source / "a", remote(target), columns=columns)
    drawn = [line for line in re.split(r"[\r\n]+", remove_escapes(shown)) if "%" in line]
    assert len(drawn) >= 3 and all(len(line) <= columns for line in drawn)
    percents = [int(line.split("%")[0].split()[-1]) for line in drawn]
    assert percents == sorted(percents) and percents[0] < 70
    assert re.search(r"\d [kM]B/s", drawn[-1])
    assert SUMMARY.search(remove_escapes(shown).replace("\r", "\n"))


def test_terminal_shows_names_escaped(escp, source, target):
    (source / BAD_NAME).symlink_to("nowhere")
    done = escp.fail(1, "-r", source, remote(target))
    assert "\x1b" not in done.err and "\x07" not in done.err
    assert all(line.startswith("escp: ") for line in done.err.splitlines())
    assert "bad " in done.err and "name: no such file" in done.err


@pytest.mark.parametrize("options", [[], ["-v"], ["--bits"]], ids=" ".join)
def test_pipe_gets_no_control_characters(escp, source, target, options):
    write_random(source / "a", 3_000_000)
    done = escp.copy("-l", "4M", *options, source / "a", remote(target))
    assert done.out == ""
    assert re.fullmatch(r"[\n\x20-\x7e]*", done.err), done.err
    assert len(done.err.splitlines()) == 1 or "-v" in options
    assert SUMMARY.search(done.err) or "--bits" in options
    if "--bits" in options:
        assert re.search(r"Mbit/s\), verified", done.err)


def test_q_is_silent(escp, source, target):
    write_random(source / "a", 3_000_000)
    done = escp.copy("-q", source / "a", remote(target))
    assert (done.out, done.err) == ("", "")
    assert run_on_terminal(escp, "-q", "-l", "4M", source / "a", remote(target)) == ""
    done = escp.fail(1, "-q", source / "missing", remote(target))
    assert "missing" in done.err


def test_json_reports_once_a_second_and_ends_with_the_result(escp, source, target):
    for number in range(35):
        write_random(source / f"f{number}", 100_000, seed=number)
    process = escp.start("-r", "-l", "1M", "--json", source, remote(target))
    lines = []
    for line in process.stdout:
        lines.append((time.monotonic(), json.loads(line)))
    done = escp.finish(process)
    assert done.code == 0 and done.err == ""
    kinds = [line["type"] for _, line in lines]
    assert kinds[0] == "start" and kinds[-1] == "result" and set(kinds[1:-1]) == {"progress"}
    progress = [line for _, line in lines if line["type"] == "progress"]
    # Not each by itself: this process may get to see one late and the next one in time.
    took_s = lines[-1][0] - lines[0][0]
    assert took_s > 3 and took_s / 1.6 - 1 <= len(progress) <= took_s + 1, (took_s, len(progress))
    assert [line["bytes"] for line in progress] == sorted(line["bytes"] for line in progress)
    assert all(
        line["bytes"] <= line["bytes_total"] == 3_500_000 for line in progress if line["total_is_final"]
    )
    result = lines[-1][1]
    assert (result["files"], result["directories"], result["bytes"]) == (35, 1, 3_500_000)
    assert result["ok"] and result["verified"] and result["failed"] == 0
    assert 500_000 < result["rate_bytes_per_s"] < 2_500_000
    assert 3_500_000 < result["bytes_network"] < 3_700_000


def test_json_names_files_that_fail_exactly(escp, source, target):
    name = b"bad \xff\x1b\n"
    os.symlink("nowhere", os.path.join(os.fsencode(source), name))
    done = escp.run("-r", "--json", source, local(target), is_embedded=True)
    assert done.code == 1
    (error,) = [line for line in done.json if line["type"] == "error"]
    assert bytes.fromhex(error["path_hex"]) == os.path.join(os.fsencode(source), name)
    assert done.json[-1]["exit_code"] == 1 and done.json[-1]["failed"] == 1


@pytest.mark.parametrize("options", [[], ["-q"], ["--json"]], ids=" ".join)
def test_log_file_has_start_errors_and_summary(escp, source, target, folder, options):
    write_random(source / "a", 1000)
    (source / BAD_NAME).symlink_to("nowhere")
    for _ in range(2):  # it is appended to
        assert escp.run("-r", *options, "--logfile", folder / "log", source, remote(target)).code == 1
    lines = (folder / "log").read_text().splitlines()
    assert [line.split()[2] for line in lines] == ["start", "error", "summary", "session"] * 2
    assert "\x1b" not in (folder / "log").read_text()
    assert os.stat(folder / "log").st_mode & 0o777 == 0o600

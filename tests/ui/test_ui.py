"""What reaches the terminal, a pipe, a log: names made harmless, no control character in a pipe."""

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import textwrap

import pytest

from escp.errors import (
    AccountsError,
    IntegrityError,
    InterruptedBySignal,
    LocalFileError,
    NetworkError,
    SshError,
    UsageError,
    from_exit_code,
)
from escp.options.options import parse_options
from escp.ui.display import (
    format_address,
    format_bytes,
    format_clock,
    format_count,
    format_duration,
    format_rate,
    show_name,
    show_text,
    to_valid_text,
)
from escp.ui.events import Events, Listeners
from escp.ui.jsonlines import JsonUi
from escp.ui.lines import Lines
from escp.ui.log import TransferLog
from escp.ui.loglines import LogLines
from escp.ui.progress import Snapshot, StartInfo, Summary
from escp.ui.report import Report
from escp.ui.summary import compose_summary
from escp.ui.text import TextUi
from escp.ui.ui import print_page, show_early_failure

INFO = StartInfo("dtn1", 4, 1 << 20, "ipsec_mb", address="192.0.2.7:1232")
SUMMARY = Summary(
    20_000, 200, 82_000_000, 1.4, 1.0, 83_000_000, True, 0, 4, "ipsec_mb",
    bytes_disk=82_000_000, bytes_compressed=81_000_000,
)  # fmt: skip
HALF = Snapshot(4_100_000_000, 8_200_000_000, 1000, 2000, True)


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def err():
    return io.StringIO()


def make_text(err, **settings):
    return TextUi(Lines(err), **settings)


def play(ui, clock, summary=SUMMARY, error=None):
    ui.begin(INFO)
    for _ in range(50):
        clock.now_s += 0.1
        ui.update(HALF)
    ui.finish(summary, error)
    ui.close()
    ui.close()


# --- names and numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("place, address", [
    ("192.0.2.7 port 1232", "192.0.2.7:1232"),
    ("fd00::1 port 1232", "[fd00::1]:1232"),
    ("this host port 1240", "this host:1240"),
    ("ssh", "ssh"),
    ("", ""),
])  # fmt: skip
def test_address_for_programs(place, address):
    assert format_address(place) == address


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain name.txt", "plain name.txt"),
        ("Grüße 🙂".encode(), "Grüße 🙂"),
        (b"a\nb\tc\r", r"a\nb\tc\r"),
        (b"\x1b[2J\x07\x7f\x00", r"\x1b[2J\x07\x7f\x00"),
        (b"\xff\xc3", r"\xff\xc3"),
        ("\x9b31m".encode(), r"\u009b31m"),
        ("evil\u202etxt.exe".encode(), r"evil\u202etxt.exe"),
        ("\u2066\u200b\u2028\ufeff".encode(), r"\u2066\u200b\u2028\ufeff"),
        ("\U000e0041".encode(), r"\U000e0041"),
        (rb"a\x1b", r"a\\x1b"),
    ],
)
def test_names_are_made_harmless(name, shown):
    assert show_name(name) == shown


def test_messages_keep_their_backslashes():
    assert show_text("a\\b\n\udcff\ud800") == "a\\b\\n\\xff\\ud800"


def test_text_becomes_valid_utf8():
    assert to_valid_text(b"a\xff") == "a\ufffd"
    for text in ("ok ü", "a\udcff", "a\ud800"):
        assert to_valid_text(text).encode()[:1] == text[:1].encode()


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (9940, "9.9 kB"),
        (9960, "10 kB"),
        (82_000_000, "82 MB"), (999_600_000, "1.0 GB"), (16_400_000_000, "16.4 GB"), (10**21, "1000.0 EB"),
    ],
)  # fmt: skip
def test_bytes_are_decimal(n_bytes, shown):
    assert format_bytes(n_bytes) == shown


def test_rates():
    assert format_rate(58_000_000, in_bits=False) == "58 MB/s"
    assert format_rate(2_925_000_000, in_bits=True) == "23.4 Gbit/s"
    assert format_rate(0, in_bits=False) == "0 B/s"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"), (0.042, "0.04 s"), (1.44, "1.4 s"), (9.96, "10 s"), (85.2, "85 s"),
        (125, "2 min 05 s"), (11220, "3 h 07 min"),
    ],
)  # fmt: skip
def test_durations(seconds, shown):
    assert format_duration(seconds) == shown


def test_clock_and_counts():
    assert [format_clock(s) for s in (7, 59.7, 750, 3725)] == ["0:07", "1:00", "12:30", "1:02:05"]
    assert [format_count(n, "directory") for n in (0, 1, 2000)] == [
        "0 directories",
        "1 directory",
        "2,000 directories",
    ]


# --- text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "20,000 files, 82 MB in 1.4 s (82 MB/s), verified"),
        ({"files": 1, "bytes": 1, "data_seconds": 0.5}, "1 file, 1 byte in 1.4 s (2 B/s), verified"),
        ({"files": 1, "bytes": 0, "data_seconds": 0}, "1 file, 0 bytes in 1.4 s, verified"),
        ({"n_failed": 3}, "20,000 files, 82 MB in 1.4 s (82 MB/s), 3 failed, the others verified"),
        ({"n_skipped": 5}, "20,000 files, 82 MB in 1.4 s (82 MB/s), verified, 5 unchanged"),
        (
            {"n_skipped": 5, "n_failed": 3},
            "20,000 files, 82 MB in 1.4 s (82 MB/s), verified, 5 unchanged, 3 failed",
        ),
        ({"is_verified": None}, "20,000 files, 82 MB in 1.4 s (82 MB/s), not verified"),
        (
            {"is_verified": None, "n_failed": 3},
            "20,000 files, 82 MB in 1.4 s (82 MB/s), not verified, 3 failed",
        ),
        ({"is_dummy": True}, "20,000 files, 82 MB in 1.4 s (82 MB/s), verified, no disk used"),
        ({"files": 0, "bytes": 0, "seconds": 0}, "200 directories in 0.00 s"),
        ({"files": 0, "n_failed": 312}, "no file copied in 1.4 s, 312 failed"),
        ({"files": 0, "bytes": 15_000_000, "n_failed": 1}, "no file copied in 1.4 s, 1 failed"),
        ({"files": 0, "bytes": 0, "n_skipped": 5}, "no file copied in 1.4 s, 5 unchanged"),
        ({"is_dry_run": True, "n_skipped": 5}, "would copy 20,000 files, 5 unchanged"),
        ({"is_dry_run": True, "files": 0}, "would copy 200 directories"),
        ({"files": 0, "directories": 0, "bytes": 0}, "0 files, 0 bytes in 1.4 s, verified"),
    ],
)
def test_summary_line(changes, line):
    assert compose_summary(SUMMARY._replace(**changes), shows_bits=False) == line


def test_summary_in_bits():
    assert "(656 Mbit/s)" in compose_summary(SUMMARY, shows_bits=True)


def test_text_without_terminal_is_the_summary_only(err, clock):
    play(make_text(err, clock=clock), clock)
    assert err.getvalue() == "escp: 20,000 files, 82 MB in 1.4 s (82 MB/s), verified\n"


def test_quiet_says_errors_only(err, clock):
    ui = make_text(err, is_quiet=True, clock=clock)
    ui.begin(INFO)
    ui.warn("w")
    ui.note("n")
    ui.file_error(b"a", "permission denied", host=None)
    ui.finish(SUMMARY)
    assert err.getvalue() == "escp: error: a: permission denied\n"


def test_verbose_says_more(err, clock):
    ui = make_text(err, verbosity=1, clock=clock)
    ui.note("before\nthe start")
    play(ui, clock)
    lines = err.getvalue().splitlines()
    assert lines[0] == r"escp: before\nthe start"
    assert lines[1] == "escp: 4 streams to dtn1 192.0.2.7:1232, blocks of 1024 KiB, AES-128-GCM by ipsec_mb"
    assert lines[3] == "escp: 1.0 s of data at 82 MB/s, 83 MB on the network"


def test_errors_of_files_name_the_host_they_happened_on(err):
    ui = make_text(err)
    ui.begin(INFO)
    ui.file_error(b"d/\xff\n", "no space\nleft", host="dtn1")
    assert err.getvalue() == "escp: error: dtn1:d/\\xff\\n: no space\\nleft\n"


def test_failure_has_a_hint_and_its_cause_only_with_v(err):
    for verbosity in (0, 1):
        error = NetworkError("cannot connect to dtn1\x1b port 1232")
        error.__cause__ = ConnectionRefusedError(111, "refused")
        make_text(err, verbosity=verbosity).fail(error)
    lines = err.getvalue().splitlines()
    assert lines[0] == r"escp: error: cannot connect to dtn1\x1b port 1232"
    assert lines[1].startswith("escp: hint: the data ports")
    assert lines[2:] == [*lines[:2], "escp: caused by: ConnectionRefusedError: [Errno 111] refused"]


def test_failure_without_hint(err):
    make_text(err).fail(InterruptedBySignal(2))
    assert err.getvalue() == "escp: error: ended by signal 2\n"


# --- JSON --------------------------------------------------------------------------------------


def read_json(out):
    text = out.getvalue()
    assert text.isascii() and all(char.isprintable() or char == "\n" for char in text)
    return [json.loads(line) for line in text.splitlines()]


def test_json_of_a_whole_session(err, clock):
    out = io.StringIO()
    play(JsonUi(Lines(out), Lines(err), clock=clock), clock)
    start, *progress, result = read_json(out)
    assert (start["type"], start["host"], start["streams"], start["aead"]) == ("start", "dtn1", 4, "ipsec_mb")
    assert 4 <= len(progress) <= 5 and {line["type"] for line in progress} == {"progress"}
    assert progress[0]["bytes"] == 4_100_000_000 and progress[0]["total_is_final"] is True
    assert result.pop("type") == "result" and result.pop("time").endswith("Z")
    assert result == {
        "schema": 1, "program": "escp",
        "login_seconds": 0, "setup_seconds": 0, "transfer_seconds": 0, "end_seconds": 0,
        "ok": True, "exit_code": 0, "files": 20_000, "directories": 200, "bytes": 82_000_000, "seconds": 1.4,
        "data_seconds": 1.0, "rate_bytes_per_s": 82_000_000, "bytes_network": 83_000_000, "verified": True,
        "failed": 0, "aead": "ipsec_mb", "streams": 4, "dummy": False, "error": None,
        "bytes_disk": 82_000_000, "bytes_compressed": 81_000_000, "skipped": 0, "deleted": 0,
        "dry_run": False,
    }  # fmt: skip
    assert err.getvalue() == ""


@pytest.mark.parametrize(
    "name",
    [b"a b", b"\xff\n", b'"\\', "ü\u202e".encode(), b"\xed\xa0\x80", b"\xff\xff/\xc3\xbc", b"\xef\xbf\xbd"],
)
def test_json_names_can_be_read_back(name):
    out = io.StringIO()
    JsonUi(Lines(out), Lines(None)).file_error(name, "bad\udcff", host="dtn1")
    (line,) = read_json(out)
    assert (bytes.fromhex(line["path_hex"]) if "path_hex" in line else line["path"].encode()) == name
    assert line["host"] == "dtn1" and line["message"] == "bad\ufffd"


def test_json_partial_failure_is_exit_code_1():
    out = io.StringIO()
    JsonUi(Lines(out), Lines(None)).finish(SUMMARY._replace(n_failed=2))
    (result,) = read_json(out)
    assert (result["ok"], result["exit_code"], result["failed"], result["error"]) == (False, 1, 2, None)


@pytest.mark.parametrize(
    ("error", "is_retryable"),
    [
        (NetworkError("x"), True),
        (SshError("x"), True),
        (IntegrityError("x"), True),
        (AccountsError("x"), False),
        (from_exit_code(12, "x"), True),
        (UsageError("x"), False),
        (InterruptedBySignal(15), True),
        (LocalFileError("x"), False),
    ],
)
def test_json_failure_is_one_result_and_nothing_after_it(error, is_retryable):
    out = io.StringIO()
    ui = JsonUi(Lines(out), Lines(None), verbosity=1)
    ui.fail(error)
    ui.warn("too late")
    ui.fail(error)
    (result,) = read_json(out)
    assert (result["ok"], result["exit_code"], result["files"]) == (False, error.exit_code, None)
    assert result["error"] == {
        "message": str(error), "hint": error.hint, "exit_code": error.exit_code, "retryable": is_retryable,
        "errno": None,
    }  # fmt: skip


def test_json_result_has_the_same_fields_in_every_outcome():
    keys = []
    for call in (
        lambda ui: ui.finish(SUMMARY),
        lambda ui: ui.finish(SUMMARY, NetworkError("x")),
        lambda ui: ui.fail(NetworkError("x")),
    ):
        out = io.StringIO()
        call(JsonUi(Lines(out), Lines(None)))
        keys.append(list(read_json(out)[0]))
    assert keys[0] == keys[1] == keys[2]


def test_json_fields_are_documented():
    with open(os.path.join(os.path.dirname(__file__), "../../docs/json.md")) as file:
        documented = set(re.findall(r"`(\w+)`", file.read()))
    out, clock = io.StringIO(), Clock()
    ui = JsonUi(Lines(out), Lines(None), verbosity=1, clock=clock)
    ui.file_error(b"\xff", "x", host=None)
    ui.listed(b"\xff")
    ui.warn("x")
    play(ui, clock, error=NetworkError("x"))
    for line in read_json(out):
        assert {*line, *(line.get("error") or ())} <= documented


# --- log, construction, streams ----------------------------------------------------------------


def test_log_gets_start_errors_and_summary(tmp_path):
    ui = LogLines(TransferLog(str(tmp_path / "log")), pytest.fail)
    ui.begin(INFO)
    ui.file_error(b"x\ny", "permission denied", host=None)
    ui.warn("w")
    ui.finish(SUMMARY._replace(n_failed=1), NetworkError("lost"))
    ui.close()
    lines = (tmp_path / "log").read_text().splitlines()
    events = [line.split("] ")[1].split(" ")[0] for line in lines]
    assert events == ["start", "error", "warning", "summary", "failure", "session"]
    assert r'path="x\ny"' in lines[1] and "exit_code=13" in lines[3]
    assert lines[5].endswith('ok=no exit_code=13 message="lost"') and 'host="dtn1"' in lines[5]


def test_log_and_json_call_the_same_things_the_same(tmp_path):
    out = io.StringIO()
    error = NetworkError("lost")
    for ui in (
        JsonUi(Lines(out), Lines(None)),
        LogLines(TransferLog(str(tmp_path / "log")), pytest.fail, INFO),
    ):
        ui.begin(INFO)
        ui.file_error(b"x", "permission denied", host="h", sys_errno=13)
        ui.finish(SUMMARY, error)
        ui.close()
    start, failed, result = map(json.loads, out.getvalue().splitlines())
    lines = [line.split("] ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    names = {line.split(" ")[0]: set(re.findall(r" ([a-z_]+)=", line)) for line in lines}
    assert names["start"] <= {*start} and names["error"] <= {*failed}
    assert names["summary"] <= {*result} and names["failure"] <= {*result["error"]}
    assert names["session"] <= {*start, *result, *result["error"]}


def test_log_that_fills_up_is_warned_of_once(err):
    ui = Listeners()
    ui.add(LogLines(TransferLog("/dev/full"), ui.warn))
    ui.add(make_text(err))
    ui.begin(INFO)
    ui.warn("x")
    assert err.getvalue().count("cannot be written") == 1


def test_report_has_the_listeners_that_the_options_ask_for(tmp_path):
    def kinds(*argv):
        with Report(parse_options([*argv, "a", "h:b"]), 0.0) as report:
            return [type(listener) for listener in report._listeners]

    assert kinds() == [TextUi] and kinds("--json") == [JsonUi]
    assert kinds("--logfile", str(tmp_path / "l")) == [LogLines, TextUi]
    assert (tmp_path / "l").exists()
    with pytest.raises(LocalFileError):
        kinds("--logfile", str(tmp_path / "no/l"))


def test_every_listener_hears_of_every_event_in_order():
    heard = []

    class Ear(Events):
        def __init__(self, name):
            self.name = name

        def __getattribute__(self, name):
            own = object.__getattribute__(self, "__dict__")
            return own.get(name) or (lambda *what, **named: heard.append((own["name"], name, what, named)))

    ui = Listeners()
    ui.add(Ear("a"))
    ui.add(Ear("b"))
    for name in [name for name in vars(Events) if callable(getattr(Events, name)) and name[0] != "_"]:
        getattr(ui, name)(1, host=2)
        assert heard[-2:] == [("a", name, (1,), {"host": 2}), ("b", name, (1,), {"host": 2})]
    assert len(heard) > 20


@pytest.mark.parametrize("is_json", [False, True])
def test_early_failure(capsys, is_json):
    show_early_failure(UsageError("unknown option -z"), is_json=is_json)
    out, err = capsys.readouterr()
    if is_json:
        assert json.loads(out)["exit_code"] == 2 and not err
    else:
        assert err == "escp: error: unknown option -z\nescp: hint: see `escp --help`\n" and not out


def test_page(capsys):
    print_page("one\ntwo\n\n")
    assert capsys.readouterr().out == "one\ntwo\n"


PROGRAM = textwrap.dedent(
    """
    import sys, time
    from escp.options.options import parse_options
    from escp.ui.progress import Snapshot, StartInfo, Summary
    from escp.ui.report import Report
    ui = Report(parse_options([*sys.argv[2:], "a", "h:b"]), time.monotonic())
    ui.begin(StartInfo("dtn1", 4, 1 << 20, "x"))
    begin = time.monotonic()
    n = 0
    seconds = float(sys.argv[1])
    while time.monotonic() - begin < seconds or (seconds > 0.5 and n < 10):  # on a busy machine, too
        n += 1
        ui.update(Snapshot(n * 10**6, 10**9, n, 1000, True))
        if n == 8:
            ui.file_error(b"bad\\x1b" + b"-name" * 30, "gone", host=None)
        time.sleep(0.05)
    ui.finish(Summary(3, 0, 10**9, 1.5, 1.5, 10**9, True, 0, 4, "x"))
    ui.close()
    print("rich" in sys.modules, file=sys.stderr)
    """
)
COMMAND = [sys.executable, "-c", PROGRAM]
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def run_in_terminal(*argv, columns=80, environment=None):
    """Everything the program wrote on a terminal of its own, of which it is the foreground group."""
    env = {**os.environ, "PYTHONPATH": ROOT, "TERM": "xterm", **(environment or {})}
    env.pop("COLUMNS", None)
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        os.execve(sys.executable, [*COMMAND, *argv], env)
    output = b""
    try:
        while select.select([terminal], [], [], 20)[0]:
            chunk = os.read(terminal, 65536)
            output += chunk
            if not chunk:
                break
    except OSError:
        pass  # EIO: the other side is closed
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, output
    return output.decode()


def show_screen(output):
    """The lines that are left on the screen, for the few control sequences that rich uses."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def test_meter_on_a_terminal_is_drawn_and_removed():
    output = run_in_terminal("1.2")
    assert "MB/s" in output and "%" in output and "of 1.0 GB" in output
    assert output.rstrip().endswith("True")
    screen = show_screen(output)
    assert screen[0].startswith(r"escp: error: bad\x1b-name") and "gone" in "".join(screen)
    assert screen[-2:] == ["escp: 3 files, 1.0 GB in 1.5 s (667 MB/s), verified", "True"]
    assert output.rfind("\x1b[?25h") >= output.rfind("\x1b[?25l")  # the cursor is there again


@pytest.mark.parametrize("columns", [20, 40, 132])
def test_meter_keeps_to_the_width_of_the_terminal(columns):
    output = run_in_terminal("0.9", columns=columns)
    drawn = [line for line in re.split(r"\r|\n", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", output)) if "%" in line]
    assert drawn and max(map(len, drawn)) <= columns
    assert ("1,000 files" in output) is (columns == 132)


def test_short_copy_on_a_terminal_loads_no_rich():
    assert show_screen(run_in_terminal("0.2"))[-1] == "False"


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_plain_terminals_get_no_colour(environment):
    output = run_in_terminal("0.8", environment=environment)
    assert not re.search(r"\x1b\[[\d;]*[1-9][\d;]*m", output)


def test_no_meter_with_q_on_a_terminal():
    assert "\x1b" not in run_in_terminal("0.6", "-q")


def test_no_meter_in_the_background():
    pid, terminal = pty.fork()
    if pid == 0:  # a shell's part: a background job in a process group of its own
        env = {**os.environ, "PYTHONPATH": ROOT, "TERM": "xterm"}
        child = subprocess.Popen([*COMMAND, "0.6"], env=env, process_group=0)
        os._exit(child.wait())
    output = b""
    try:
        while chunk := os.read(terminal, 65536):
            output += chunk
    except OSError:
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"\x1b" not in output and b"escp: 3 files" in output and b"False" in output


@pytest.mark.parametrize("argv", [[], ["--json"], ["-v"]])
def test_pipes_get_no_control_characters(argv):
    env = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run([*COMMAND, "0.6", *argv], env=env, capture_output=True, check=True, timeout=60)
    assert not re.search(rb"[^\n -~]", done.stdout + done.stderr)
    assert done.stderr.rstrip().endswith(b"False")


@pytest.mark.parametrize("argv", [[], ["--json"]])
def test_readers_that_went_away_stop_nothing(argv):
    env = {**os.environ, "PYTHONPATH": ROOT}
    reading, writing = os.pipe()
    os.close(reading)
    # Without the program's own last print(): what Python makes of its failure depends on the version.
    program = [*COMMAND[:-1], PROGRAM.replace("print(", "0 and print(")]
    done = subprocess.run(
        [*program, "0.6", *argv], env=env, stdout=writing, stderr=writing, check=False, timeout=60
    )
    os.close(writing)
    assert done.returncode == 0


def test_closed_descriptors_stop_nothing():
    env = {**os.environ, "PYTHONPATH": ROOT}
    script = '"$@" 0.1 >&- 2>&-; exit $?'
    program = [*COMMAND[:-1], PROGRAM.replace("print(", "0 and print(")]
    done = subprocess.run(["sh", "-c", script, "sh", *program], env=env, check=False, timeout=60)
    assert done.returncode == 0

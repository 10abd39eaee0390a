"""Nothing but `ui` prints (test_layering), and what it is told reaches no terminal, log or JSON raw."""

import fcntl
import io
import os
import struct
import sys
import termios
from unicodedata import east_asian_width

import pytest

from escp.agent.agentlog import open_agent_log
from escp.cli import clean
from escp.errors import NetworkError, RemoteFileError
from escp.remote.push import clean as cleanagents
from escp.remote.push.clean import Tree
from escp.ui import ui
from escp.ui.display import show_foreign
from escp.ui.events import Listeners
from escp.ui.finding import REMOTE, ROUTE, WARNING, Check, Finding
from escp.ui.jsonlines import JsonUi
from escp.ui.lines import Lines
from escp.ui.log import TransferLog
from escp.ui.loglines import MAX_LOGGED_WORDS, LogLines
from escp.ui.progress import StartInfo, Summary
from escp.ui.text import TextUi
from escp.ui.words import MAX_WORDS_COLUMNS

# A title, a cursor that goes up, C1 and bidi controls, a line that is written over, forged lines, no UTF-8.
BYTES = b"t\x1b]0;x\x07\x1b[A\xc2\x9b31m\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\rover\nescp: forged\x7f\xff\x00"
TEXT = BYTES.decode("utf-8", "surrogateescape")
RAW = "\x1b\x07\x9b\u202e\u2066\u2028\r\x7f\xff\x00\udcff"
SUMMARY = Summary(1, 0, 1, 1, 1, 1, True, 0, 4, TEXT)


def fail(one):
    error = NetworkError(TEXT, TEXT)
    error.__cause__ = OSError(5, TEXT)
    one.fail(error)


CALLS = {
    "begin": lambda one: one.begin(StartInfo(TEXT, 4, 1 << 20, TEXT, address=TEXT)),
    "file_error here": lambda one: one.file_error(BYTES, TEXT, host=None),
    "file_error there": lambda one: one.file_error(BYTES, TEXT, host=TEXT),
    "listed": lambda one: one.listed(BYTES),
    "note": lambda one: one.note(TEXT),
    "announce": lambda one: one.announce(TEXT),
    "warn": lambda one: one.warn(TEXT),
    "words": lambda one: [one.words(TEXT, line) for line in TEXT.split("\n")],
    "trace": lambda one: one.trace(TEXT),
    "finish": lambda one: one.finish(SUMMARY, RemoteFileError(TEXT, TEXT)),
    "fail": fail,
    "finding": lambda one: one.finding(Finding(REMOTE, "escp", WARNING, TEXT, TEXT), host=TEXT),
    "finding of a route": lambda one: one.finding(Finding(ROUTE, "escp", WARNING, TEXT), host=TEXT),
    "check": lambda one: one.check(Check("a", False, TEXT)),
}


def check(text: str, *, is_json: bool = False) -> None:
    assert not set(RAW) & set(text), ascii(text)
    assert not [line for line in text.split("\n") if line.startswith("escp: forged")], text
    assert not is_json or text.isascii()


@pytest.mark.parametrize("kind", [TextUi, JsonUi])
@pytest.mark.parametrize("call", CALLS)
def test_ui_shows_nothing_raw(tmp_path, kind, call):
    out, err = io.StringIO(), io.StringIO()
    names = {"out": Lines(out)} if kind is TextUi else {}
    first = (Lines(err),) if kind is TextUi else (Lines(out), Lines(err))
    one = Listeners()
    one.add(LogLines(TransferLog(str(tmp_path / "log")), one.warn))
    one.add(kind(*first, verbosity=3, **names))
    CALLS[call](one)
    one.close()
    assert out.getvalue() + err.getvalue()
    check(out.getvalue(), is_json=kind is JsonUi)
    check(err.getvalue())
    check((tmp_path / "log").read_text())


@pytest.mark.parametrize("is_json", [False, True])
def test_pages_without_a_session_show_nothing_raw(monkeypatch, is_json):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    tree = Tree("removed", "ab" * 32, 5)
    json_ui = JsonUi(Lines(out if is_json else io.StringIO()), Lines(err))
    json_ui.agents(TEXT, [tree._asdict()])
    clean.show_cleaned(TEXT, [tree]) if not is_json else None
    for line in TEXT.split("\n"):
        ui.make_bare_ui(json=is_json).words(TEXT, line)
    json_ui.end(NetworkError(TEXT, TEXT))
    ui.show_early_failure(NetworkError(TEXT, TEXT), is_json=is_json)
    check(out.getvalue(), is_json=is_json)
    check(err.getvalue())


def test_agents_log_holds_nothing_raw(tmp_path):
    log = open_agent_log(str(tmp_path / "log"))
    log.begin(role=TEXT, host=TEXT, streams=1, block_bytes=1, aead=TEXT)
    log.file_error(BYTES, TEXT)
    log.fail(NetworkError(TEXT, TEXT))
    log.close()
    check((tmp_path / "log").read_text())


def test_trees_of_a_host_have_names_of_their_own_only():
    """What --clean-agents shows of an answer is checked: a digest, a number, a word of ours."""
    answer = b"\n\x1eESCP agent removed 5 " + b"ab" * 31 + b"\x1b[\x1e\n"
    with pytest.raises(cleanagents.AgentError):
        list(cleanagents._parse(answer, "box"))


OURS = "escp: 5 files, verified"
FORGED = [
    OURS, f"  {OURS}", "ESCP: error: x", "es\u034fcp: 20,000 files, verified", "e\ufe0fscp: error: x",
    f"\u3164{OURS}", f"\u115f\u1160\uffa0{OURS}", f"\u20dd\u00ad{OURS}", "\u0435scp: 5 files, verified",
    "a" + 79 * " " + OURS, "a" + 74 * " " + OURS, "\u4e2d" + 39 * "\u3000" + OURS, 76 * "\u00e9" + OURS,
    4090 * " " + OURS, 40 * (OURS + 55 * " "), f"\udcff{75 * ' '}{OURS}", "",
]  # fmt: skip


class Terminal(Lines):
    """As wide as its test wants it."""

    def __init__(self, stream, n_columns):
        super().__init__(stream)
        self.find_columns = lambda: n_columns


def split_rows(text: str, n_columns: int) -> list[str]:
    """The rows of a terminal: it goes on at its left edge where a line is longer."""
    rows = []
    for line in text.splitlines():
        row, n_used = "", 0
        for char in line:
            n = 2 if east_asian_width(char) in "WF" else 1
            if n_used + n > n_columns:
                rows.append(row)
                row, n_used = "", 0
            row, n_used = row + char, n_used + n
        rows.append(row)
    return rows


@pytest.mark.parametrize("n_columns", [None, 20, 80, 81])
@pytest.mark.parametrize("host", ["box", "escp", "", "a-host-with-a-name-as-long-as-it-is.example.org"])
@pytest.mark.parametrize("line", FORGED, ids=ascii)
def test_line_of_another_side_is_never_taken_for_ours(line, host, n_columns):
    err = io.StringIO()
    TextUi(Terminal(err, n_columns), is_quiet=True).words(host, line)
    rows = err.getvalue().splitlines() if n_columns is None else split_rows(err.getvalue(), n_columns)
    whose = {"escp": "host escp: ", "": "this host: "}.get(host, f"{host}: ")
    n_room = 99 if n_columns is None else n_columns // 2  # half of a row at most
    begin = whose if len(whose) <= n_room else f"{whose[: n_room - 2]}: "
    assert rows and all(row.startswith(begin) for row in rows), rows
    assert not [row for row in rows if row.lstrip().lower().startswith("escp:")]


@pytest.mark.parametrize("char", "\u034f\ufe0f\u20dd\u200b\u115f\u1160\u3164\uffa0")
def test_what_nobody_would_see_of_a_line_is_escaped(char):
    err = io.StringIO()
    TextUi(Lines(err)).words("box", f"a{char}b \u00fc\u4e2d")
    assert err.getvalue() == f"box: a\\u{ord(char):04x}b \u00fc\u4e2d\n"


def test_nothing_of_a_line_is_lost_between_its_rows():
    line = "".join(chr(number) for number in range(32, 900)) + "\udcff\u4e2d" * 50
    err = io.StringIO()
    TextUi(Terminal(err, 40)).words("box", line)
    assert "".join(row.removeprefix("box: ") for row in err.getvalue().splitlines()) == show_foreign(line)


def test_other_lines_are_shown_as_they_are_behind_the_host():
    err = io.StringIO()
    TextUi(Lines(err), is_quiet=True).words("box", "  Permission denied (publickey).")
    assert err.getvalue() == "box:   Permission denied (publickey).\n"


@pytest.mark.parametrize("char", ["\t", "\x9b", "\udcff", "\u034f", "\U000e0041", "\\", '"', "x"])
def test_lines_are_bounded_as_they_are_shown_and_logged(tmp_path, char):
    err = io.StringIO()
    one = Listeners()
    one.add(LogLines(TransferLog(str(tmp_path / "log")), one.warn))
    one.add(TextUi(Lines(err)))
    one.words("box", 4096 * char)
    one.close()
    assert max(map(len, err.getvalue().splitlines())) <= len("box: ") + MAX_WORDS_COLUMNS
    logged = (tmp_path / "log").read_text()
    # A backslash and a quote take two in a log.
    assert max(map(len, logged.splitlines())) < 100 + (2 if char in '\\"' else 1) * MAX_WORDS_COLUMNS


def test_few_lines_of_many_pieces_do_not_fill_the_log(tmp_path):
    one = LogLines(TransferLog(str(tmp_path / "log")), pytest.fail)
    for _ in range(500):
        one.words("box", 4096 * "\udcff")
    one.close()
    assert len((tmp_path / "log").read_text().splitlines()) == MAX_LOGGED_WORDS


def test_terminal_tells_its_width(tmp_path):
    master, slave = os.openpty()
    with open(slave, "w") as terminal, open(tmp_path / "file", "w") as file:
        for n_columns, found in ((0, 80), (33, 33)):
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 25, n_columns, 0, 0))
            assert Lines(terminal).find_columns() == found
        assert Lines(file).find_columns() is None
    os.close(master)
    assert Lines(None).find_columns() is None and Lines(io.StringIO()).find_columns() is None

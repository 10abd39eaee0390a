"""Nothing but `ui` prints (test_layering), and what it is told reaches no terminal, log or JSON raw."""

import io
import sys

import pytest

from escp import cleanagents, ui
from escp.cleanagents import Tree
from escp.errors import NetworkError, RemoteFileError
from escp.finding import REMOTE, ROUTE, WARNING, Check, Finding
from escp.jsonui import JsonUi
from escp.lines import Lines
from escp.log import TransferLog, open_agent_log
from escp.progress import StartInfo, Summary
from escp.textui import TextUi

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
    one = kind(*first, verbosity=3, log=TransferLog(str(tmp_path / "log")), **names)
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
    ui.show_cleaned(TEXT, [tree], is_json=is_json)
    for line in TEXT.split("\n"):
        ui.show_words(TEXT, line, is_json=is_json)
    ui.show_host_failure(NetworkError(TEXT, TEXT), is_json=is_json)
    ui.show_last_failure(NetworkError(TEXT, TEXT), is_json=is_json)
    ui.show_early_failure(NetworkError(TEXT, TEXT), is_json=is_json)
    check(out.getvalue(), is_json=is_json)
    check(err.getvalue())


def test_agents_log_holds_nothing_raw(tmp_path):
    log = open_agent_log(str(tmp_path / "log"))
    log.begin(role=TEXT, peer=TEXT, n_streams=1, block_bytes=1, aead=TEXT)
    log.file_error(BYTES, TEXT)
    log.fail(NetworkError(TEXT, TEXT))
    log.close()
    check((tmp_path / "log").read_text())


def test_trees_of_a_host_have_names_of_their_own_only():
    """What --clean-agents shows of an answer is checked: a digest, a number, a word of ours."""
    answer = b"\n\x1eESCP agent removed 5 " + b"ab" * 31 + b"\x1b[\x1e\n"
    with pytest.raises(cleanagents.AgentError):
        list(cleanagents._parse(answer, "box"))


@pytest.mark.parametrize("line", ["escp: 1 file, verified", "  escp: error: x", "ESCP: error: x", "\tescp:"])
def test_line_of_another_side_is_never_taken_for_ours(line):
    err = io.StringIO()
    TextUi(Lines(err)).words("box", line.expandtabs())
    assert err.getvalue().startswith("box: ")


def test_other_lines_are_shown_as_they_are():
    err = io.StringIO()
    TextUi(Lines(err), is_quiet=True).words("box", "  Permission denied (publickey).")
    assert err.getvalue() == "  Permission denied (publickey).\n"

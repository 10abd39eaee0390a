"""What is told by the clock: what is waited for, how far it is, and to whom."""

import io
import json

import pytest

from escp.ui.jsonlines import JsonUi
from escp.ui.lines import Lines
from escp.ui.progress import Snapshot, StartInfo
from escp.ui.text import TextUi
from escp.ui.waiting import FIRST_LINE_S, Waiting, compose_progress

INFO = StartInfo("box", 4, 1 << 20, "x")
HALF = Snapshot(4_100_000_000, 8_200_000_000, 1000, 2000, True)


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def never() -> bool:
    return False


def pass_time(ui, clock, seconds, snapshot=None):
    for _ in range(seconds * 10):
        clock.now_s += 0.1
        if snapshot is not None:
            ui.update(snapshot)
        ui.tick()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def err():
    return io.StringIO()


@pytest.mark.parametrize(("every_s", "n_lines"), [(60, 3), (30, 7), (0, 0)])
def test_without_a_terminal_a_line_comes_every_so_often(err, clock, every_s, n_lines):
    ui = TextUi(Lines(err), stats_s=every_s, clock=clock)
    ui.wait_for("box to answer", never)
    pass_time(ui, clock, 100)
    ui.wait_for("", never)
    ui.begin(INFO)
    pass_time(ui, clock, 130, HALF)
    lines = err.getvalue().splitlines()
    assert len(lines) == n_lines
    if lines:
        assert lines[0] == f"escp: waiting for box to answer, {every_s} s so far"
        assert lines[-1].startswith("escp: 4.1 GB of 8.2 GB, 1,000 of 2,000 files, ")


def test_quiet_says_nothing_unless_asked(err, clock):
    ui = TextUi(Lines(err), is_quiet=True, stats_s=60, clock=clock)
    ui.wait_for("box", never)
    pass_time(ui, clock, 100)
    assert err.getvalue() == ""
    ui.ask()
    ui.tick()
    assert err.getvalue() == "escp: waiting for box, 100 s so far\n"


def test_comparing_is_said_while_nothing_moves(err, clock):
    ui = TextUi(Lines(err), stats_s=60, is_comparing=True, clock=clock)
    ui.begin(INFO)
    pass_time(ui, clock, 130, HALF)
    assert [line.endswith("comparing with what is there") for line in err.getvalue().splitlines()] == [0, 1]


def test_json_tells_of_waiting_and_answers_with_progress(err, clock):
    ui = JsonUi(Lines(err), Lines(None), stats_s=60, clock=clock)
    ui.wait_for("box", never)
    pass_time(ui, clock, 61)
    (line,) = map(json.loads, err.getvalue().splitlines())
    assert (line["type"], line["message"], round(line["seconds"])) == ("waiting", "box", 60)
    ui.wait_for("", never)
    ui.begin(INFO)
    ui.update(HALF)
    ui.ask()
    ui.tick()
    assert json.loads(err.getvalue().splitlines()[-1])["type"] == "progress"


def test_line_for_a_terminal_comes_late_and_not_over_a_question():
    waiting = Waiting(0.0, 60)
    is_asking = True
    waiting.wait_for("box", lambda: is_asking, 0.0)
    assert waiting.compose_line(FIRST_LINE_S - 0.1) == "" == waiting.compose_line(FIRST_LINE_S)
    is_asking = False
    assert waiting.compose_line(65.0) == "waiting for box: 1:05"
    waiting.wait_for("", never, 66.0)
    assert waiting.compose_line(90.0) == ""


def test_progress_in_words():
    assert compose_progress(HALF, 58_000_000, 70.6, in_bits=False) == (
        "4.1 GB of 8.2 GB, 1,000 of 2,000 files, 58 MB/s, 1:11 left"
    )
    growing = HALF._replace(is_total_final=False)
    assert compose_progress(growing, 1e6, None, in_bits=True) == (
        "4.1 GB, 1,000 of at least 2,000 files, 8.0 Mbit/s"
    )
    counted = growing._replace(files_counted=4000)
    assert compose_progress(counted, 1e6, 3.0, in_bits=True) == (
        "4.1 GB of about 16.4 GB, 1,000 of 4,000 files, 8.0 Mbit/s, about 0:03 left"
    )

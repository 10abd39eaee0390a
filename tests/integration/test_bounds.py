"""An agent that talks and talks: the initiator's memory stays what it was."""

import sys
from pathlib import Path

import pytest

from escp.control.messages import Progress
from tests.integration.test_talkative_agent import failed, roots, talking
from tests.support.command import COMMAND, needs_source, remote
from tests.support.sanitized import not_sanitized

__all__ = ["talking"]  # a fixture
PEAK = Path(__file__).parents[1] / "support" / "peak.py"
MIB = 1 << 20


def measure(escp, code: int, *words: object, agent: Path):
    """How it ended, and the most memory that it had."""
    file = escp.folder / "peak"
    done = escp.fail(code, *words, agent=agent, command=[sys.executable, str(PEAK), str(file), *COMMAND])
    return done, int(file.read_text())


PROGRESS = ["progress", {**dict.fromkeys(Progress._fields, 1 << 62), "is_walked": True}]
END = ["error", {"exit_code": 15, "message": "enough", "hint": ""}]


@needs_source
@not_sanitized
@pytest.mark.parametrize("message", [["keepalive", {}], PROGRESS, failed(), failed(is_receiver=True)],
                         ids=["keepalive", "progress", "failed", "failed there"])  # fmt: skip
def test_messages_without_end_take_no_memory(escp, talking, source, target, message):
    (source / "asked").write_text("x")
    few = measure(escp, 15, remote(source / "asked"), target, agent=talking(["loop", message, 10], END))
    many = measure(escp, 15, remote(source / "asked"), target, agent=talking(["loop", message, 40_000], END))
    assert many[1] < few[1] + 8 * MIB


@needs_source
@not_sanitized
def test_names_that_never_come_take_little_memory(escp, talking, source, target):
    """A pattern matches whatever is offered; nothing of it is ever sent."""
    pages = [
        line
        for i in range(40)
        for line in (
            roots(*(f"{i * 2000 + k:0100}" for k in range(2000)), is_last=False),
            ["await", "accept"],
        )
    ]
    done, peak = measure(escp, 12, remote(source / "*"), target, agent=talking(*pages, END))
    assert "box offers what can't come any more: more than 65536 names have not come" in done.error
    assert peak < 100 * MIB


@pytest.mark.parametrize(
    "wrong", [{"code": 0}, {"code": 25}, {"code": 32}, {"code": 64}, {"sys_errno": 4096}, {"where": "x" * 65},
              {"where": "\n"}, {"where": "é"}, {"path": b"x" * 8449}, {"code": 21}, {"code": 22}], ids=str,
)  # fmt: skip
def test_failure_that_there_is_none_of_is_refused(escp, talking, source, target, wrong):
    (source / "asked").write_text("x")
    done = escp.fail(12, remote(source / "asked"), target, agent=talking(failed(**wrong)))
    assert ("wrong 'sys_errno'" if "sys_errno" in wrong else "box tells") in done.error

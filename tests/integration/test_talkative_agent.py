"""An agent that says the wrong thing at the wrong time: the initiator ends, says why, and is not fooled."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from escp.control.messages import Progress, Result
from tests.support.command import AGENT_COMMAND, remote

PROGRAM = Path(__file__).parents[1] / "support" / "scripted_agent.py"
RESULT = ["result", dict.fromkeys(Result._fields, 0)]
OPENED = ["opened", {"names_below": True, "is_in_order": False}]
HUGE = (1 << 63) - 1


def roots(*names, number=0, is_last=True, wants_more=False, directory=0):
    n, flags = len(names), {"wants_more": wants_more, "is_last": is_last}
    return ["roots", {"sources": [number] * n, "names": [name.encode().hex() for name in names],
                      "directories": [directory] * n, **flags}]  # fmt: skip


def listening(*addresses, n_streams=4, port=1):
    return ["listening", {"addresses": addresses, "port": port, "n_streams": n_streams}]


def failed(code=1, sys_errno=13, where="open", is_receiver=False, path=b"asked"):
    return ["filefailed", {"path": path.hex(), "code": code, "sys_errno": sys_errno, "where": where,
                           "is_receiver": is_receiver}]  # fmt: skip


@pytest.fixture
def talking(escp):
    """talking(message, ...): an agent that says these, with *login* 0 or 1 only the first or second one."""

    def make(*messages: list, login: int | None = None) -> Path:
        script = escp.folder / "talking.json"
        script.write_text(json.dumps(messages))
        command = f"exec {sys.executable} {PROGRAM} {script}"
        logins = [
            f"mkdir {escp.folder}/first 2>/dev/null",
            f"[ $? -eq {login} ] || exec {shlex.join(AGENT_COMMAND)} --server",
        ]
        return escp.write_agent("talking", *([] if login is None else logins), command=command)

    return make


def check(done, host="box"):
    assert "Traceback" not in done.err and "internal" not in done.err, done.err
    assert "\x1b" not in done.err + done.out
    assert done.error and host in done.error, done.err


@pytest.mark.parametrize("first", [roots("asked"), OPENED], ids=["roots", "opened"])
def test_result_before_the_streams_is_no_success(escp, talking, source, target, first):
    (source / "asked").write_text("x")
    check(escp.fail(12, remote(source / "asked"), target, agent=talking(first, RESULT)))
    assert os.listdir(target) == []


def test_result_before_the_streams_is_no_success_of_a_push(escp, talking, source, target):
    (source / "asked").write_text("x")
    check(escp.fail(12, source / "asked", remote(target), agent=talking(OPENED, RESULT)))


MESSAGES = [
    [["arrived", {"stream": 0}]],
    [["relay", {"secret": "00" * 32}]],
    [listening(n_streams=0)],
    [listening(n_streams=4), ["arrived", {"stream": 0}]],
    [roots("asked"), listening(n_streams=4)],
    [listening(n_streams=4, port=0)],
    [listening(n_streams=4, port=65536)],
    [OPENED, ["allowed", {}]],
    [OPENED, ["allowed", {}], roots("asked")],
    [roots("asked"), roots("asked"), roots("asked")],
    [roots()],
    [roots(is_last=False)],
    [roots("asked", is_last=False), roots("asked", is_last=False)],
    [roots("asked", "asked")],
    [roots("asked", is_last=False, wants_more=True), roots("asked", number=1)],
    [roots("asked"), RESULT, RESULT],
    [failed(code=1, sys_errno=28, is_receiver=True), RESULT],
    [failed(sys_errno=HUGE), RESULT],
    [failed(code=HUGE, where="\x1b[2J"), RESULT],
    [["listed", {"paths": ["61"]}]],
    [["credit", {"stream": 0, "n": 1}]],
    [["tunnel", {}]],
    [["bye", {}]],
    [["error", {"exit_code": 16, "message": "\x1b[2J", "hint": "\x1b[2J"}]],
    [["progress", {**dict.fromkeys(Progress._fields, HUGE), "is_walked": True}], RESULT],
]
ABOUT_STREAMS = ("arrived", "listening", "opened", "roots")


@pytest.mark.parametrize(
    ("way", "messages"),
    [(way, m) for way in ("pull", "push", "from", "to", "from -R", "to -R") for m in MESSAGES
     if way in ("pull", "push") or m[0][0] in ABOUT_STREAMS],
    ids=lambda value: value if isinstance(value, str) else "-".join(message[0] for message in value),
)  # fmt: skip
def test_messages_out_of_place(escp, talking, source, target, messages, way):
    """Whatever they are: no traceback, no success, and no waiting for ever."""
    (source / "asked").write_text("x")
    end = ["error", {"exit_code": 15, "message": "enough", "hint": ""}]
    bad = talking(*messages, end, login={"f": 0, "t": 1}.get(way[0]))
    paths = [source / "asked", target]
    if way != "push":
        paths[0] = remote(paths[0])
    if way != "pull":
        paths[1] = remote(paths[1]).replace(b"box", b"box" if way == "push" else b"127.0.0.1")
    done = escp.run(*(["-R"] if "-R" in way else []), *paths, agent=bad)
    assert done.code not in (0, 3), done
    check(done, "127.0.0.1" if way.startswith("to") else "box")
    assert os.listdir(target) == []


@pytest.mark.parametrize("login", [0, 1])
def test_older_agent_is_not_relayed_to(escp, talking, source, target, login):
    """Before 1.2 any stranger could pass for the relay."""
    (source / "asked").write_text("x")
    paths = remote(source / "asked"), remote(target)
    done = escp.fail(11, "-3", *paths, agent=talking(["minor", 1], login=login))
    assert "escp on box (0.0.1) is too old" in done.error and "-R" in done.hint


@pytest.mark.parametrize("scope", ["\0", "\ud800", "a..b", "\x1b[2J"], ids=ascii)
def test_bad_address_is_not_used(escp, talking, source, target, scope):
    (source / "asked").write_text("x")
    agent = talking(listening(f"fe80::1%{scope}", f"1.2.3.4%{scope}", scope))
    check(escp.fail(13, "--tunnel=never", remote(source / "asked"), target, agent=agent))


def test_agent_that_does_not_read_its_answers_takes_no_memory(escp, talking, source, target):
    """Each page of roots is answered with one as large."""
    (source / "asked").write_text("x")
    page = roots(*(f"{number:0200}" for number in range(2000)), is_last=False)
    agent = talking(["loop", page, 1000])
    done = escp.fail(12, remote(source / "*"), target, agent=agent)
    assert "box does not read" in done.error

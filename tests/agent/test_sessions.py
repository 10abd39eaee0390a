"""An agent that carries others: each is a process of its own, and what may be said of them is bounded."""

import contextlib
import subprocess
import sys

import pytest

from escp.constants import MARKER, MAX_CARRIED, PROTOCOL_MAJOR, PROTOCOL_MINOR, TUNNEL_WINDOW_BYTES
from escp.control.codec import Decoder, encode
from escp.control.messages import (
    Begin,
    Bye,
    Carry,
    Chunk,
    Credit,
    Ended,
    Error,
    Examine,
    Expect,
    Expected,
    Hello,
    KeepAlive,
    Leave,
    Link,
    Receive,
    Send,
    Sources,
)
from tests.support.command import ROOT

HELLO = Hello(PROTOCOL_MAJOR, PROTOCOL_MINOR, "test", [])


class Agent:
    """`escp --server`, which has been told to carry."""

    def __init__(self, *, is_plain=False):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "escp", "--server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.decoder = Decoder()
        self.said: dict[int, bytes] = {}
        if not is_plain:
            self.say(HELLO, Carry())
        before = b""
        while MARKER not in before:
            before += self.process.stdout.read1()
        self.waiting = self.decoder.feed(before.partition(MARKER)[2])

    def say(self, *messages):
        self.process.stdin.write(b"".join(map(encode, messages)))
        self.process.stdin.flush()

    def hear(self, *kinds):
        """The next of these; chunks are kept, and granted again."""
        while True:
            while self.waiting:
                message = self.waiting.pop(0)
                if isinstance(message, Chunk):
                    self.said[message.stream] = self.said.get(message.stream, b"") + message.data
                    self.say(Credit(message.stream, len(message.data)))
                if isinstance(message, kinds):
                    return message
            data = self.process.stdout.read1()
            assert data, "it has ended"
            self.waiting += self.decoder.feed(data)

    def wait_for(self, number, text):
        while text not in self.said.get(number, b""):
            self.hear(Chunk)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):  # one that has ended took not all of what was said last
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


@pytest.fixture
def agent():
    with Agent() as one:
        yield one


def test_sessions_come_and_go(agent):
    for number in (0, 5, MAX_CARRIED - 1, 5):
        agent.said.clear()
        agent.say(Begin(number))
        agent.wait_for(number, MARKER)
        agent.say(Chunk(number, encode(HELLO)), Chunk(number, encode(Bye())))
        ended = agent.hear(Ended)
        assert (ended.number, ended.status, ended.reason) == (number, 0, "")
    agent.say(Bye())
    assert agent.process.wait(20) == 0


def test_end_of_input_ends_a_session_and_no_other(agent):
    agent.say(Begin(1), Begin(2))
    agent.wait_for(1, MARKER)
    agent.wait_for(2, MARKER)
    agent.say(Leave(1))
    assert agent.hear(Ended).number == 1
    agent.say(Leave(1))  # on its way when that came
    agent.say(Chunk(2, encode(HELLO)), Chunk(2, encode(Bye())))
    assert agent.hear(Ended)[:2] == (2, 0)


def test_what_goes_wrong_in_a_session_stays_there(agent):
    agent.say(Begin(1), Begin(2), Chunk(1, encode(HELLO) + b"\xff\xff\xff\xff"))
    assert agent.hear(Ended).status != 0
    agent.said.setdefault(2, b"")
    agent.wait_for(2, MARKER)


def test_its_end_ends_all(agent):
    agent.say(Begin(1))
    agent.wait_for(1, MARKER)
    agent.process.stdin.close()
    assert agent.process.wait(20) == 13


@pytest.mark.parametrize(
    "messages",
    [
        [Begin(MAX_CARRIED)],
        [Begin(1), Begin(1)],
        [Chunk(MAX_CARRIED, b"x")],
        [Credit(MAX_CARRIED, 1)],
        [Begin(1), Credit(1, TUNNEL_WINDOW_BYTES + 1)],
        [Carry()],
        [Examine(b".")],
        [Send("posix", *[False] * 11, [], "all", False, False)],
        [Sources([b"x"], True)],
    ],
    ids=lambda messages: type(messages[-1]).__name__,
)
def test_initiator_that_talks_nonsense(agent, messages):
    agent.say(*messages)
    error = agent.hear(Error)
    assert error.exit_code and agent.process.wait(20) == error.exit_code


def test_more_than_a_window_is_refused(agent):
    agent.say(Begin(1))
    try:
        for _ in range(TUNNEL_WINDOW_BYTES // 65536 + 200):
            agent.say(Chunk(1, b"\0" * 65536))  # an agent reads no message as long as that
    except BrokenPipeError:
        pass
    assert agent.hear(Error, Ended)


def test_expectations_that_come_too_late(tmp_path):
    """The table of digests is never written to once streams may ask it."""
    values = {
        "target": bytes(tmp_path),
        "n_sources": 1,
        "engine": "posix",
        "has_checksum": True,
        "selection": "all",
    }
    named = {name: values.get(name, name == "has_expected") for name in Receive._fields}
    named |= {"mode_rules": [], "filters": [], "partial_min": 0, "job": b""}
    link = Link(bytes(32), "tunnel", 1, 1 << 20, 0, [], 1, 1, 5, False, False)
    expect = Expect([b"x"], [bytes(16)])
    with Agent(is_plain=True) as agent:
        agent.say(HELLO, Receive(**named), expect)
        assert agent.hear(Expected) == Expected()
        agent.say(link, expect)
        assert "too late" in agent.hear(Error).message


def test_what_an_end_of_a_copy_may_not_become():
    with Agent() as agent:
        agent.say(KeepAlive(), Leave(3))
        agent.say(Bye())
        assert agent.process.wait(20) == 0

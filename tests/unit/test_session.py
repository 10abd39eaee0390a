"""The course of a session: what may come when, how long silence may last, how errors arrive."""

import pytest

from escp import __version__
from escp.constants import AGENT_START_TIMEOUT_S, KEEPALIVE_S, MARKER, PEER_SILENT_S
from escp.control import (
    Accept,
    Allow,
    Allowed,
    Bye,
    Chunk,
    Credit,
    Error,
    Examine,
    Examined,
    Hello,
    KeepAlive,
    Link,
    Listed,
    Listening,
    Opened,
    Receive,
    Result,
    Roots,
    Send,
    Sources,
    Tunnel,
    encode,
)
from escp.errors import (
    AgentError,
    InternalError,
    NetworkError,
    ProtocolError,
    RefusedError,
    RemoteFileError,
)
from escp.session import AgentCourse, InitiatorCourse

HELLO = Hello(1, 0, __version__, [])
LINK = Link(bytes(32), "listen", 4, 1 << 20, 0, [], 1232, 11, 5, False, False)
RECEIVE = Receive(b"x", 1, False, "posix", *[False] * 13, "all", False, False)
SEND = Send("posix", *[False] * 11, [], "all", False, False)
SOURCES = Sources([b"a"], True)
ROOTS = Roots([0], [b"a"], [0], False, True)
LISTENING = Listening(["127.0.0.1"], 1232, 4)
RESULT = Result(1, 0, 0, 1, 1, 1, 1)


@pytest.fixture
def initiator():
    return InitiatorCourse(0.0, "dtn1")


@pytest.fixture
def agent():
    return AgentCourse(0.0)


def messages_of(course, *messages):
    return course.feed(b"".join(map(encode, messages)), 1.0)


def test_whole_course_of_the_initiator(initiator):
    assert initiator.feed(b"Welcome!\n", 1.0) == []
    assert initiator.feed(MARKER + encode(HELLO), 2.0) == [HELLO]
    assert initiator.feed(encode(KeepAlive()), 3.0) == []
    rest = [Opened(True, False), LISTENING, Allowed(), Allowed(), RESULT]
    assert messages_of(initiator, *rest[:2], KeepAlive(), *rest[2:]) == rest


def test_course_with_a_sending_agent(initiator):
    initiator.feed(MARKER + encode(HELLO), 2.0)
    rest = [ROOTS, LISTENING, ROOTS, Credit(0, 1), Chunk(0, b"x"), Listed([b"a"]), RESULT]
    assert messages_of(initiator, *rest) == rest


@pytest.mark.parametrize(
    "course",
    [[RECEIVE, LINK, Allow([b"a"], [0]), Allow([], [])], [SEND, SOURCES, LINK, Accept([b"a"]), SOURCES],
     [SEND, LINK, Tunnel(), Chunk(0, b"x"), Credit(0, 1)], [Examine(b"/")],
     [RECEIVE, LINK, Allow([], []), Examine(b"/")]],
)  # fmt: skip
def test_whole_course_of_the_agent(agent, course):
    assert messages_of(agent, HELLO, *course) == [HELLO, *course]
    assert agent.feed(encode(KeepAlive()) + encode(Bye()), 2.0) == [Bye()]


@pytest.mark.parametrize(
    "order",
    [
        [LISTENING],
        [HELLO, HELLO],
        [HELLO, RESULT],
        [HELLO, Allowed()],
        [Examined([])],
        [HELLO, Examined([]), Examined([])],
        [HELLO, Examine(b"")],
        [HELLO, LISTENING, LISTENING],
        [HELLO, Opened(True, False), Opened(True, False)],
        [HELLO, Opened(True, False), RESULT, RESULT],
        [HELLO, LINK],
        [HELLO, SEND],
        [HELLO, SOURCES],
        [HELLO, Tunnel()],
        [HELLO, Bye()],
        [Chunk(0, b"x")],
    ],
)
def test_message_out_of_turn_is_refused_by_the_initiator(initiator, order):
    with pytest.raises(ProtocolError, match=r"dtn1 sent .* out of turn"):
        initiator.feed(MARKER + b"".join(map(encode, order)), 1.0)


@pytest.mark.parametrize(
    "order",
    [
        [RECEIVE],
        [Examine(b"")],
        [HELLO, Examine(b""), Examine(b"")],
        [HELLO, Examined([])],
        [HELLO, HELLO],
        [HELLO, LINK],
        [HELLO, SOURCES],
        [HELLO, RECEIVE, RECEIVE],
        [HELLO, RECEIVE, SOURCES],
        [HELLO, SEND, Allow([], [])],
        [HELLO, RECEIVE, Tunnel()],
        [HELLO, RECEIVE, Chunk(0, b"x")],
        [HELLO, RECEIVE, LINK, LINK],
        [HELLO, RECEIVE, LINK, Tunnel(), Tunnel()],
        [HELLO, RECEIVE, RESULT],
        [HELLO, Bye(), Bye()],
    ],
)
def test_message_out_of_turn_is_refused_by_the_agent(agent, order):
    with pytest.raises(ProtocolError, match="out of turn"):
        agent.feed(b"".join(map(encode, order)), 1.0)


@pytest.mark.parametrize("major", [0, 2, 99])
def test_other_major_version_is_refused_naming_both(initiator, major):
    with pytest.raises(AgentError) as caught:
        initiator.feed(MARKER + encode(Hello(major, 3, "7.8.9", [])), 1.0)
    message = str(caught.value)
    assert (
        "7.8.9" in message
        and f"protocol {major}" in message
        and __version__ in message
        and "protocol 1)" in message
    )
    assert "-D" in caught.value.hint


def test_other_minor_version_is_welcome(initiator):
    hello = Hello(1, 99, "1.99", ["something new"])
    assert initiator.feed(MARKER + encode(hello), 1.0) == [hello]


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (15, RemoteFileError),
        (16, RefusedError),
        (11, AgentError),
        (13, NetworkError),
        (77, InternalError),
        (0, InternalError),
        (1 << 40, InternalError),
    ],
)
def test_error_of_the_peer_is_raised_as_its_class(initiator, code, cls):
    with pytest.raises(cls) as caught:
        initiator.feed(MARKER + encode(HELLO) + encode(Error(code, "what happened", "what to do")), 1.0)
    assert type(caught.value) is cls
    assert (str(caught.value), caught.value.hint) == ("dtn1: what happened", "what to do")


def test_error_may_come_before_the_hello(initiator):
    with pytest.raises(RefusedError):
        initiator.feed(MARKER + encode(Error(16, "no", "")), 1.0)


# ---- Time -------------------------------------------------------------------------------------------


def test_login_may_take_its_time_but_the_agent_may_not(initiator):
    initiator.check_silence(10_000.0)  # a password is being asked for
    initiator.feed(b"noise" + MARKER, 10_000.0)
    initiator.check_silence(10_000.0 + AGENT_START_TIMEOUT_S)
    with pytest.raises(NetworkError, match="dtn1"):
        initiator.check_silence(10_000.1 + AGENT_START_TIMEOUT_S)


def test_silence_of_the_agent_is_noticed(initiator):
    initiator.feed(MARKER + encode(HELLO) + encode(LISTENING), 100.0)
    initiator.check_silence(100.0 + PEER_SILENT_S)
    with pytest.raises(NetworkError):
        initiator.check_silence(100.1 + PEER_SILENT_S)
    initiator.feed(encode(KeepAlive()), 100.1 + PEER_SILENT_S)
    initiator.check_silence(100.0 + 2 * PEER_SILENT_S)


def test_silence_of_the_initiator_is_noticed(agent):
    agent.check_silence(agent.limit_s())
    with pytest.raises(NetworkError, match="the initiator"):
        agent.check_silence(agent.limit_s() + 0.1)


def test_keepalives_are_due_after_a_while_without_sending(agent):
    assert not agent.is_keepalive_due(KEEPALIVE_S - 0.1)
    assert agent.is_keepalive_due(KEEPALIVE_S)
    agent.sent(KEEPALIVE_S)
    assert not agent.is_keepalive_due(2 * KEEPALIVE_S - 0.1)


def test_initiator_sends_nothing_before_the_agent_said_hello(initiator):
    assert not initiator.is_keepalive_due(1000.0)
    initiator.feed(MARKER, 1000.0)
    assert not initiator.is_keepalive_due(1000.0)
    initiator.feed(encode(HELLO), 1000.0)
    assert initiator.is_keepalive_due(1000.0)

"""The course of a session: what may come when, how long silence may last, how errors arrive."""

import pytest

from escp import __version__
from escp.constants import (
    AGENT_MUTE_S,
    ANSWER_TIMEOUT_S,
    INITIATOR_SILENT_S,
    KEEPALIVE_S,
    MARKER,
    PEER_SILENT_S,
)
from escp.control.codec import encode
from escp.control.course import AgentCourse, InitiatorCourse
from escp.control.messages import (
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
    Relay,
    Result,
    Roots,
    Send,
    Sources,
    Tunnel,
)
from escp.errors import (
    AgentError,
    InternalError,
    NetworkError,
    ProtocolError,
    RefusedError,
    RemoteFileError,
)

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
    [[RECEIVE, LINK, Allow([b"a"], [0]), Allow([], [])], [RECEIVE, Relay(bytes(32)), LINK],
     [SEND, SOURCES, LINK, Accept([b"a"]), SOURCES],
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
        [KeepAlive()],
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
        [HELLO, Relay(bytes(32))],
        [HELLO, RECEIVE, Relay(bytes(32)), Relay(bytes(32))],
        [KeepAlive()],
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
    initiator.check_silence(10_000.0 + AGENT_MUTE_S)  # it may have been stopped
    with pytest.raises(NetworkError, match="dtn1"):
        initiator.check_silence(10_000.1 + AGENT_MUTE_S)


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


def check_owed(initiator, seconds, what):
    """Keepalives only: just before *seconds* are over it is waited for, then no longer."""
    for now in range(int(seconds - ANSWER_TIMEOUT_S), int(seconds), int(KEEPALIVE_S)):
        initiator.feed(encode(KeepAlive()), now)
    initiator.feed(encode(KeepAlive()), seconds)
    initiator.check_silence(seconds)
    initiator.feed(encode(KeepAlive()), seconds + 0.1)
    with pytest.raises(NetworkError, match=f"dtn1 is there, but has not {what}"):
        initiator.check_silence(seconds + 0.1)


@pytest.mark.parametrize(
    ("asked", "answer", "what"),
    [(RECEIVE, Opened(True, False), "opened"), (SOURCES, ROOTS, "looked"), (LINK, LISTENING, "said where"),
     (Allow([], []), None, "said that"), (Examine(b""), Examined([]), "examined")],
)  # fmt: skip
def test_agent_that_owes_an_answer_and_only_says_that_it_is_alive(initiator, asked, answer, what):
    initiator.feed(MARKER + encode(HELLO), 1.0)
    initiator.told(asked, 10.0)
    if answer is not None:
        other = InitiatorCourse(0.0, "dtn1")
        other.feed(MARKER + encode(HELLO), 1.0)
        other.told(asked, 10.0)
        other.feed(encode(answer) + encode(KeepAlive()), 10_000.0)
        other.check_silence(10_000.0)  # it owes nothing any more
    check_owed(initiator, 10.0 + ANSWER_TIMEOUT_S, what)


def test_time_in_which_an_agent_was_stopped_is_not_owed(initiator):
    """It says nothing then; afterwards it first says that it is alive, and then what it owes."""
    initiator.feed(MARKER + encode(HELLO), 1.0)
    initiator.told(RECEIVE, 10.0)
    initiator.check_silence(10.0 + 2 * ANSWER_TIMEOUT_S)
    initiator.feed(encode(KeepAlive()), 10.0 + 3 * ANSWER_TIMEOUT_S)
    initiator.check_silence(10.0 + 3 * ANSWER_TIMEOUT_S)
    check_owed(initiator, 9.0 + 4 * ANSWER_TIMEOUT_S, "opened")


def test_agent_that_owes_nothing_may_wait(initiator):
    """The other host's password is being asked for."""
    initiator.feed(MARKER + encode(HELLO), 1.0)
    for now in range(2, 10_000, 50):
        initiator.feed(encode(KeepAlive()), now)
        initiator.check_silence(now)


def test_agent_whose_disk_stands_still_is_waited_for_until_the_streams_have_ended(initiator):
    initiator.feed(MARKER + encode(HELLO) + encode(Opened(True, False)), 1.0)
    initiator.streams_run()
    initiator.told(Allow([], []), 2.0)
    initiator.feed(encode(KeepAlive()), 10_000.0)
    initiator.check_silence(10_000.0)
    initiator.streams_ended(10_000.0)
    check_owed(initiator, 10_000.0 + ANSWER_TIMEOUT_S, "said what came of the copy")
    initiator.feed(encode(RESULT), 20_000.0)
    initiator.check_silence(20_000.0)


def test_hello_is_not_put_off_by_bytes(initiator):
    initiator.feed(MARKER, 100.0)
    hello = encode(HELLO)
    for i, byte in enumerate(hello[:-1]):
        initiator.feed(bytes([byte]), 100.0 + i)
    with pytest.raises(NetworkError, match="has not said hello"):
        initiator.check_silence(100.0 + len(hello))


def test_initiator_that_orders_nothing_is_noticed(agent):
    agent.feed(encode(HELLO), 1.0)
    for now in range(1, int(INITIATOR_SILENT_S), int(KEEPALIVE_S)):
        agent.feed(encode(KeepAlive()), now)
    agent.feed(encode(KeepAlive()), 1.0 + INITIATOR_SILENT_S)
    agent.check_silence(1.0 + INITIATOR_SILENT_S)
    agent.feed(encode(KeepAlive()), 1.1 + INITIATOR_SILENT_S)
    with pytest.raises(NetworkError, match="not ordered anything"):
        agent.check_silence(1.1 + INITIATOR_SILENT_S)


@pytest.mark.parametrize("order", [RECEIVE, SEND, Examine(b"")])
def test_initiator_that_has_ordered_something_may_wait(agent, order):
    agent.feed(encode(HELLO) + encode(order), 1.0)
    agent.feed(encode(KeepAlive()), 10_000.0)
    agent.check_silence(10_000.0)


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

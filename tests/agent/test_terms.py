"""What an initiator says of the receiver, it says once: a sending agent's threads go by it."""

import pytest

from escp.control.messages import Accept, Error, Link, Roots, Send, Sources
from escp.errors import ProtocolError
from tests.agent.test_sessions import HELLO, Agent
from tests.support.planes import send_plane

LINK = Link(bytes(32), "tunnel", 1, 1 << 20, 0, [], 1232, 11, 5, False, False)
SEND = Send("posix", *[False] * 11, [], "all", False, False)


@pytest.mark.parametrize(
    "other",
    [{"asks_nodes": True}, {"tells_begun": True}, {"partial_min": 1 << 20}, {"resumes": True},
     {"job": b"j" * 16}],
    ids=lambda one: next(iter(one)),
)  # fmt: skip
def test_later_sources_come_on_the_terms_of_the_first_ones(tmp_path, other):
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    paths = [bytes(tmp_path / name) for name in ("a", "b", "c")]
    with Agent(is_plain=True) as agent:
        agent.say(HELLO, SEND, Sources(paths[:1], False), LINK)
        assert agent.hear(Roots, Error).names == [b"a"]
        agent.say(Accept([b"a"], max_large=5), Sources(paths[1:2], False))
        assert agent.hear(Roots, Error).names == [b"b"]
        agent.say(Accept([b"b"], tells_absent=True, max_large=7), Sources(paths[2:], True))
        assert agent.hear(Roots, Error).names == [b"c"]
        agent.say(Accept([b"c"], **other))
        error = agent.hear(Error)
        assert error.exit_code == ProtocolError.exit_code and "on other terms" in error.message


@pytest.mark.parametrize(
    ("change", "args"),
    [("ask_nodes", ()), ("tell_begun", ()), ("tell_copied", ()), ("keep_parts", (1 << 20, True)),
     ("keep_record", (7, b""))],
)  # fmt: skip
def test_what_threads_go_by_does_not_change_once_there_is_a_source(tmp_path, change, args):
    plane = send_plane(n_streams=1, block_bytes=1 << 20)
    getattr(plane, change)(*args)
    plane.add_source(bytes(tmp_path), b"x")
    with pytest.raises(ValueError, match="a source has been added"):
        getattr(plane, change)(*args)

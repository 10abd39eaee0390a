"""The control channel at its ends."""

import os
import socket

import pytest

from escp.constants import MARKER
from escp.control.channel import ControlChannel
from escp.control.codec import encode
from escp.control.course import AgentCourse, InitiatorCourse
from escp.control.messages import Hello, KeepAlive
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop


class Ended(Exception):
    """The channel says that its peer is gone."""


def end() -> None:
    raise Ended


@pytest.fixture
def ends():
    """A channel over a socket pair, as an agent has it from sshd, its loop, and the other end."""
    loop = EventLoop()
    near, far = socket.socketpair()
    write_fd = os.dup(near.fileno())
    channel = ControlChannel(loop, AgentCourse(0.0), near.fileno(), write_fd, lambda message: None, end)
    yield channel, loop, far
    channel.close()
    os.close(write_fd)
    loop.close()
    for sock in (near, far):
        sock.close()


@pytest.mark.parametrize("is_read", [True, False])
def test_peer_that_went_away_is_the_end(ends, is_read):
    """Also with something that it never read: then reading here is no end of file but ECONNRESET."""
    channel, loop, far = ends
    channel.send(KeepAlive())
    if is_read:
        far.recv(1000)
    far.close()
    with pytest.raises(Ended):
        loop.wait(10)


@pytest.mark.parametrize("body", [b"no JSON", b"{}", b'{"type": "result"}', bytes(1 << 20 | 1)], ids=len)
def test_complaints_name_the_host(body):
    course = InitiatorCourse(0.0, "box")
    course.feed(MARKER + encode(Hello(1, 0, "1", [])), 0.0)
    with pytest.raises(ProtocolError, match=r"^the remote escp on box "):
        course.feed(len(body).to_bytes(4, "big") + body, 0.0)


def test_peer_that_is_not_listened_to_is_not_silent_and_hears_of_us(ends):
    """While nobody reads what we tell, nothing more is read of it."""
    channel, loop, far = ends
    channel.hold(is_held=True)
    far.send(encode(Hello(1, 0, "1", [])))
    loop.wait(0)
    for now in (1e6, 2e6):
        channel.tick(now)
        assert far.recv(1000) == encode(KeepAlive())
    channel.hold(is_held=False)
    loop.wait(10)
    with pytest.raises(ProtocolError):
        far.send(encode(Hello(1, 0, "1", [])))
        loop.wait(10)

"""Messages that are kept until the peer has heard them."""

import pytest

from escp.control.unheard import TELL_BYTES, TELL_MESSAGES, Unheard
from escp.errors import ProtocolError


@pytest.fixture
def unheard():
    made = Unheard()
    for data in (b"one", b"two", b"three"):
        made.add(data)
    return made


def test_what_was_heard_is_not_kept(unheard):
    unheard.hear(2, "the peer")
    assert unheard.again() == b"three"
    assert unheard.n_bytes == 5
    unheard.hear(2, "the peer")
    unheard.add(b"four")
    assert unheard.again() == b"threefour"


@pytest.mark.parametrize("n", [4, 1, 1 << 62])
def test_count_that_cannot_be_is_refused(unheard, n):
    unheard.hear(2, "the peer")
    with pytest.raises(ProtocolError, match="the peer has heard what it was not told"):
        unheard.hear(n, "the peer")


@pytest.mark.parametrize(("n_messages", "n_bytes"), [(TELL_MESSAGES, 10), (1, TELL_BYTES)])
def test_peer_is_told_before_it_keeps_much(n_messages, n_bytes):
    unheard = Unheard()
    unheard.read(n_bytes - 1)
    unheard.n_taken = n_messages - 1
    assert not unheard.is_to_be_told
    unheard.read(1)
    unheard.n_taken += 1
    assert unheard.is_to_be_told
    assert unheard.tell() == n_messages
    assert not unheard.is_to_be_told


def test_part_of_a_message_is_not_told():
    """It would be told again and again, and never the whole one."""
    unheard = Unheard()
    unheard.read(10 * TELL_BYTES)
    assert not unheard.is_to_be_told
    unheard.n_taken = 1
    assert unheard.is_to_be_told

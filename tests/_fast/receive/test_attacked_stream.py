"""Somebody on the path, without a key, between a sender and a receiver that go on over another connection.

What he puts into a frame is refused, and must be nowhere when the true frame comes.
"""

import os
import socket

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import CUT, FINISHED, RESUMED
from escp._fast.wire.payloads import encode_end, encode_entry
from escp.failures import FAST_AUTH, FAST_NET
from tests.support.peers import IS_BUNDLE, SMALL, TAKEN, Sender
from tests.support.trees import list_tree
from tests.support.waiting import wait_for

SEQUENCE_BITS = 36
LENGTH = 262144
FIRST_FRAME = 72 + 8  # an entry and the header in front of it, before a path


def forge(at: int, text: bytes, n: int) -> bytes:
    """The beginning of a stream's second frame, of metadata: *text* is where the first has its path."""
    contents = bytearray(b"y" * n)
    contents[at : at + len(text)] = text
    return (LENGTH << SEQUENCE_BITS | 1).to_bytes(8, "big") + contents


def go_on(peer: Sender, n_taken: int) -> None:
    peer.join_again(connection=1)
    is_data, payload = peer.receive_frame()
    assert not is_data and payload[0] == TAKEN
    assert int.from_bytes(payload[8:16], "big") == n_taken
    peer.send_meta(TAKEN, 1, encode_end(0, 0))
    peer.wait(RESUMED)


# The last one has no slash within reach: a name of 500 bytes, where 255 have room.
FORGED = {"other": b"evil/other", "above": b"../evilone", "dots": b"..", "ends": b"e\0il", "long": b"y" * 500}


@pytest.mark.parametrize("is_whole", [False, True], ids=["cut off", "without its tag"])
@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_names_of_a_bundle_stay_until_its_contents_have_come(tmp_path, text, is_whole):
    target = tmp_path / "target"
    target.mkdir()
    path = b"folder/" * 70 + b"file" if len(text) == 500 else b"plain-file"
    with Sender(target, reconnects=True) as peer:
        peer.send_entries(encode_entry(kind=SMALL, id=1, path=path, size=4, digest=digest_of(b"true")))
        n_before = 8 + FIRST_FRAME + len(path) + 16
        wait_for(lambda: peer.plane.counters()["bytes_network"] == n_before)
        peer.send_raw(forge(FIRST_FRAME, text, LENGTH + 16 if is_whole else 4000))
        if is_whole:
            assert peer.wait(CUT).code == FAST_AUTH
        else:
            wait_until_read(peer)
            peer.pairs[0][0].shutdown(socket.SHUT_RDWR)
            assert peer.wait(CUT).code == FAST_NET
        go_on(peer, 1)
        peer.send_data(b"true", flags=IS_BUNDLE)
        assert [one[:2] for one in peer.receive_results(1)] == [(1, 0)]
        peer.send_end()
        peer.wait(FINISHED)
    assert os.listdir(tmp_path) == ["target"]
    files = [name for name, what in list_tree(target).items() if what != "directory"]
    assert files == [path]
    assert (target / os.fsdecode(path)).read_bytes() == b"true"


def wait_until_read(peer: Sender) -> None:
    """The plane has taken all that was sent to it."""
    (_, far) = peer.pairs[0]
    wait_for(lambda: not has_unread(far))


def has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False

"""Digests that the receiver's own side expects, as a sender with the true keys meets them."""

import errno
import os

import pytest

from escp._fast.crypto.digest import digest_of
from escp.failures import FAST_DIGEST
from tests.support.loopback import BLOCK
from tests.support.peers import Sender
from tests.support.planes import receive_plane

LARGE = 2 * BLOCK
WRONG = bytes(16)


@pytest.fixture
def expecting(tmp_path, monkeypatch):
    """A sender, to a plane that expects these digests."""

    def make(expected, **options):
        def start(self):
            for path, digest in expected.items():
                self.plane.expect(path, digest)
            plain(self)

        plain = Sender.start_plane
        monkeypatch.setattr(Sender, "start_plane", start)
        return Sender(tmp_path, **options)

    return make


def send_large(sender, path, data):
    sender.send_large(path, len(data))
    for offset in range(0, len(data), BLOCK):
        sender.send_data(data[offset : offset + BLOCK], id=1, offset=offset)
    sender.send_large_end(path, len(data), digest=digest_of(data))


@pytest.mark.parametrize("size", [0, 5, LARGE])
@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("options", [{}, {"is_durable": True}, {"reads_back": True}, {"is_sparse": True}])
def test_only_what_is_expected_gets_its_name(expecting, tmp_path, size, is_right, options):
    data = os.urandom(size)
    with expecting({b"d/x": digest_of(data) if is_right else WRONG, b"x": WRONG}, **options) as sender:
        if size == LARGE:
            send_large(sender, b"d/x", data)
        else:
            sender.send_small(b"d/x", data)
        ((_, code, _, number, _),) = sender.receive_results(1)
    if is_right:
        assert code == 0 and (tmp_path / "d/x").read_bytes() == data
    else:
        assert (code, number) == (FAST_DIGEST, errno.EBADMSG)
        assert os.listdir(tmp_path / "d" if (tmp_path / "d").exists() else tmp_path) == []


def test_what_is_not_named_is_as_always(expecting, tmp_path):
    with expecting({b"%d" % n: WRONG for n in range(5000)}) as sender:
        sender.send_small(b"x", b"data")
        assert sender.receive_results(1)[0][1] == 0
        sender.send_small(b"4999", b"data", id=2)
        assert sender.receive_results(1)[0][1] == FAST_DIGEST
    assert os.listdir(tmp_path) == ["x"]


def test_the_last_digest_of_a_path_counts(tmp_path, expecting, monkeypatch):
    with expecting({b"x": digest_of(b"data")}) as sender:
        sender.send_small(b"x", b"data")
        assert sender.receive_results(1)[0][1] == 0


@pytest.mark.parametrize(
    ("path", "digest", "options"),
    [
        (b"x", b"short", {}),
        (b"x", bytes(17), {}),
        (b"x" * 4096, WRONG, {}),
        (b"x", WRONG, {"has_checksum": False}),
    ],
)
def test_what_can_not_be_expected(tmp_path, path, digest, options):
    fd = os.open(tmp_path, os.O_RDONLY)
    plane = receive_plane(root_fd=fd, n_streams=1, block_bytes=BLOCK, **options)
    with pytest.raises(ValueError, match="expected"):
        plane.expect(path, digest)
    plane.stop()
    os.close(fd)

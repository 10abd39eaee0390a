"""A file's stamp is told before its result, and known as long as the file is what it was."""

import os

import pytest

from escp._fast.planes.plane import FATAL
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_PROTOCOL
from tests.support.peers import ASKS_STAMP, IS_SAME, IS_WANTED, QUERY, STAMPS, Sender


def bring(target, path=b"file", **options):
    """Send a file; its stamp as it came, in the digest's place of a question."""
    with Sender(target, tells_stamps=True, **options) as sender:
        sender.send_small(path, b"contents", id=5)
        is_data, payload = sender.receive_frame()
        assert not is_data and payload[0] == STAMPS and payload[8:16] == (5).to_bytes(8, "big")
        assert sender.receive_results(1)[0][:2] == (5, 0)
        sender.finish()
    return bytes(8) + payload[16:24]


def ask(target, digest, *, path=b"file", **options):
    with Sender(target, resumes=True, **options) as sender:
        sender.send_entries(
            encode_entry(kind=QUERY, id=9, path=path, size=8, flags=ASKS_STAMP, digest=digest)
        )
        ((_, code, flags, _, told),) = sender.receive_results(1)
        assert code == 0
        sender.finish()
    assert flags in (IS_SAME, IS_WANTED) and told == (digest if flags == IS_SAME else bytes(16))
    return flags == IS_SAME


@pytest.mark.parametrize("selection", ["all", "changed", "newer"])
@pytest.mark.parametrize("options", [{}, {"is_durable": True}, {"keeps_attributes": True}], ids=str)
def test_a_file_is_known_again(tmp_path, selection, options):
    digest = bring(tmp_path, **options)
    assert ask(tmp_path, digest, selection=selection)


@pytest.mark.parametrize("change", ["gone", "contents", "touched", "replaced", "link", "directory"])
def test_one_that_changed_is_not(tmp_path, change):
    digest = bring(tmp_path)
    path = tmp_path / "file"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    if change == "contents":
        path.write_bytes(b"more of them")
        os.utime(path, ns=times)
    elif change == "touched":
        os.utime(path)
    else:
        path.rename(tmp_path / "other")
    if change == "replaced":
        path.write_bytes(b"contents")
        os.utime(path, ns=times)
    elif change == "link":
        path.symlink_to("other")
    elif change == "directory":
        path.mkdir()
    assert not ask(tmp_path, digest)


def test_another_stamp_is_another_file(tmp_path):
    digest = bring(tmp_path)
    assert not ask(tmp_path, digest[:15] + bytes([digest[15] ^ 1]))


def test_who_does_not_go_on_must_not_ask(tmp_path):
    digest = bring(tmp_path)
    with Sender(tmp_path) as sender:
        sender.send_entries(
            encode_entry(kind=QUERY, id=9, path=b"file", size=8, flags=ASKS_STAMP, digest=digest)
        )
        event = sender.wait(FATAL)
        assert (event.code, event.where) == (FAST_PROTOCOL, "question")


def test_nobody_is_told_who_did_not_ask(tmp_path):
    with Sender(tmp_path) as sender:
        sender.send_small(b"file")
        assert sender.receive_results(1)[0][1] == 0  # no other message came
        sender.finish()

"""Walkers never wait for what only a walker does."""

import errno
import os
import time

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.wire.payloads import encode_result
from escp.failures import FAST_SYS
from tests.support.loopback import LIMIT_S
from tests.support.peers import HARD_LINK, SMALL, Receiver

N_PUT_OFF = 16384  # names that wait for the first one of their file: send/hard_links.pxd
N_NAMES = N_PUT_OFF + 3


@pytest.mark.parametrize("n_walkers", [1, 2])
def test_names_are_looked_at_again_though_all_walkers_wait_for_room(tmp_path, n_walkers):
    """More names than may wait, and the receiver can't make the first one: a walker has to open another."""
    source = tmp_path / "tree"
    for i in range(n_walkers):
        (source / f"{i}").mkdir(parents=True)
    (source / "0" / "0").write_bytes(b"x")
    for i in range(n_walkers):
        for k in range(i == 0, N_NAMES):
            os.link(source / "0" / "0", source / f"{i}" / f"{k}")
    sources = [(os.fsencode(source / f"{i}"), b"%d" % i) for i in range(n_walkers)]
    with Receiver(*sources, keeps_hard_links=True, n_walkers=n_walkers) as receiver:
        (first,) = receiver.receive_entries()
        receiver.receive_frame()
        end_s = time.monotonic() + LIMIT_S
        while receiver.plane.counters()["found_files"] < 1 + N_PUT_OFF:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        receiver.send_result(first["id"], code=FAST_SYS, sys_errno=errno.EISDIR)
        (second,) = receiver.receive_entries()
        assert second["kind"] == SMALL and second["path"] != first["path"]
        receiver.receive_frame()
        receiver.send_result(second["id"], digest=digest_of(b"x"))
        n_links = 0
        while n_links < n_walkers * N_NAMES - 2:
            links = [entry for entry in receiver.receive_entries() if entry["kind"] == HARD_LINK]
            n_links += len(links)
            receiver.send_results(*[encode_result(entry["id"]) for entry in links])

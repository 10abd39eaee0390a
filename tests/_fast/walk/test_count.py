"""Counting ahead: how many files there are is known long before they are all found."""

import os
import time

import pytest

from tests.support.loopback import LIMIT_S, Loopback

N_FOLDERS, N_EACH = 40, 500


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    top = tmp_path_factory.mktemp("count") / "tree"
    for i in range(N_FOLDERS):
        folder = top / f"{i % 7}" / f"d{i}"
        folder.mkdir(parents=True)
        for k in range(N_EACH):
            os.close(os.open(folder / f"{k}.{'tmp' if k % 5 == 0 else 'txt'}", os.O_CREAT))
    os.symlink("nowhere", top / "link")
    return top


def count(loopback: Loopback) -> dict[str, int]:
    """Once it is known."""
    end_s = time.monotonic() + LIMIT_S
    while True:
        counters = loopback.sender.counters()
        if counters["counted_files"]:
            return counters
        assert time.monotonic() < end_s, counters
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("rules", "n"),
    [([], N_FOLDERS * N_EACH + 1), ([(False, b"*.tmp"), (False, b"link")], N_FOLDERS * N_EACH * 4 // 5)],
)
def test_files_are_counted_before_they_are_found(target, source, rules, n):
    with Loopback(target, sending={"filters": rules, "keeps_links": True}, buffer_bytes=4096) as loopback:
        loopback.sender.start()  # nobody takes anything
        loopback.add((os.fsencode(source), b"tree"))
        counters = count(loopback)
        assert counters["counted_files"] == n
        assert counters["found_files"] < n and not counters["is_walked"]


def test_sources_of_any_kind_are_counted(tmp_path, target, source):
    (tmp_path / "file").write_bytes(b"x")
    with Loopback(target, buffer_bytes=4096) as loopback:
        loopback.sender.start()
        assert loopback.sender.add_source(os.fsencode(tmp_path / "file"), b"file")
        time.sleep(0.1)
        assert loopback.sender.counters()["counted_files"] == 0  # there may be more
        loopback.add((os.fsencode(source / "3"), b"3"))
        assert count(loopback)["counted_files"] % N_EACH == 1


def test_count_ends_as_what_was_found(target, source):
    with Loopback(target, n_streams=2, both={"keeps_links": True}) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), b"tree"))
        outcome = loopback.run_to_end()
    assert outcome.events == []
    assert outcome.sent["counted_files"] == outcome.sent["files"] == N_FOLDERS * N_EACH + 1

"""files/sizes: files whose size is not what stat says are read to their end, or have failed."""

import os
import shutil
from pathlib import Path

import pytest

from escp.failures import FAST_CHANGED, FAST_SYS
from tests.support.fuse import FuseFile, mounted
from tests.support.loopback import copy

MIB = 1 << 20
LINES = os.urandom(3 * MIB)
ODD = {
    "zero": FuseFile(LINES[:1500], 0),
    "zero-large": FuseFile(LINES[: MIB + 7], 0),
    "zero-empty": FuseFile(b"", 0),
    "page": FuseFile(b"1500\n", 4096),  # as in sysfs
    "page-empty": FuseFile(b"", 4096),
    "page-large": FuseFile(LINES[:200_000], 4096),
    "less": FuseFile(LINES[:300], 100),
    "large-less": FuseFile(LINES[: 2 * MIB + 5], 200_000),
    "large-more": FuseFile(LINES[:150_000], MIB),
    "large-small": FuseFile(b"a line\n", MIB),
    "large-empty": FuseFile(b"", MIB),
    "true": FuseFile(LINES[:50_000]),
    "true-large": FuseFile(LINES[: MIB + 1]),
}

both_ways = pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@both_ways
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_file_is_read_to_its_end_whatever_its_size_says(tmp_path, target, is_local, is_sparse):
    with mounted(tmp_path / "odd", ODD) as source:
        outcome = copy(source, target, n_streams=2, is_local=is_local, both={"is_sparse": is_sparse})
    assert outcome.events == []
    assert read_all(target / "odd") == {name: file.contents for name, file in ODD.items()}
    assert outcome.sent["files"] == outcome.received["files"] == len(ODD)
    assert outcome.sent["found_bytes"] == outcome.sent["bytes"] == sum(len(f.contents) for f in ODD.values())


@both_ways
@pytest.mark.parametrize("size", [0, 100, MIB])
@pytest.mark.parametrize("length", [3000, 2 * MIB])
def test_what_cannot_be_read_whole_has_failed(tmp_path, target, is_local, size, length):
    files = {"bad": FuseFile(LINES[:length], size, fails_at=length // 2), "good": FuseFile(LINES[:5000], 0)}
    with mounted(tmp_path / "odd", files) as source:
        outcome = copy(source, target, is_local=is_local)
    assert {(s, e.code, os.path.basename(e.path)) for s, e in outcome.events} == {(True, FAST_SYS, b"bad")}
    assert read_all(target / "odd") == {"good": LINES[:5000]}


class GrowingFile(FuseFile):
    """Has more to give each time that it is read from its beginning."""

    def read(self, offset: int, size: int) -> bytes | int:
        self.contents += b"x" * 1000 * (offset == 0)
        return super().read(offset, size)


@both_ways
def test_file_that_has_another_size_at_each_reading_has_failed(tmp_path, target, is_local):
    with mounted(tmp_path / "odd", {"growing": GrowingFile(LINES[:MIB], 0)}) as source:
        outcome = copy(source, target, is_local=is_local)
    assert [(s, e.code, e.where) for s, e in outcome.events] == [(True, FAST_CHANGED, "long")]
    assert read_all(target / "odd") == {}


@both_ways
def test_comparing_digests_neither_empties_a_good_copy_nor_sends_it_again(tmp_path, target, is_local):
    digests = {"selection": "changed", "compares_digests": True}
    with mounted(tmp_path / "odd", ODD) as source:
        for name, file in ODD.items():
            (target / "odd").mkdir(exist_ok=True)
            (target / "odd" / name).write_bytes(file.contents)
        (target / "odd" / "less").write_bytes(LINES[:100])
        outcome = copy(source, target, is_local=is_local, both=digests)
    assert outcome.events == []
    assert read_all(target / "odd") == {name: file.contents for name, file in ODD.items()}
    assert (outcome.sent["files"], outcome.sent["skipped"]) == (1, len(ODD) - 1)


@both_ways
def test_dry_run_tells_what_would_come(tmp_path, target, is_local):
    with mounted(tmp_path / "odd", {"zero": FuseFile(LINES[:1500], 0)}) as source:
        outcome = copy(source, target, is_local=is_local, both={"is_dry_run": True})
    assert outcome.sent["found_bytes"] == 1500


@both_ways
def test_files_of_proc_and_sys(tmp_path, target, is_local):
    names = {"version": Path("/proc/version"), "filesystems": Path("/proc/filesystems")}
    names |= {"mtu": Path("/sys/class/net/lo/mtu")}
    for name, path in names.items():
        if not path.exists():
            pytest.skip(f"no {path}")
        outcome = copy(path, target, is_local=is_local)
        assert outcome.events == []
        assert (target / path.name).read_bytes() == path.read_bytes() != b"", name

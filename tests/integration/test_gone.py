"""A target that is removed during the copy: one sentence, and the rest is not tried."""

import errno
import os
import shutil
import time

import pytest

from tests.support.command import TIMEOUT_S
from tests.support.directions import ALL, EMBEDDED, in_all_directions
from tests.support.fuse import FuseFile, mounted
from tests.support.fusetarget import dying_target
from tests.support.waiting import wait_for

N_FILES = 3000
everywhere = pytest.mark.parametrize("way", [*ALL, EMBEDDED], ids=lambda way: way.name)


@in_all_directions
def test_removed_target_ends_the_copy_with_one_sentence(escp, source, target, way):
    for i in range(N_FILES):
        (source / f"{i}").write_bytes(b"x" * 1000)
    place = target / "new"
    process = escp.start("-r", "-l", "800K", way.source(source), way.target(place))
    end_s = time.monotonic() + TIMEOUT_S
    while not (place.is_dir() and len(os.listdir(place)) > 20):
        assert time.monotonic() < end_s and process.poll() is None, process.communicate()
    while place.exists():
        shutil.rmtree(place, ignore_errors=True)
    done = escp.finish(process, TIMEOUT_S)
    assert done.code == (15 if way.is_to_remote else 14), done.err
    assert done.error.removeprefix("box: ") == f"the target '{place}' is gone: no such file or directory"
    assert done.hint.startswith("was it removed")
    assert done.err.count("escp: error: ") == 1, done.err
    escp.assert_nothing_left()


@in_all_directions
def test_removed_directory_in_the_target_is_said_to_be_missing(escp, source, target, way):
    """Not, as ext4 has it of a nameless file there, "operation not permitted"."""
    for name in ("gone", "stays"):
        (source / name).mkdir()
        for i in range(N_FILES // 4):
            (source / name / f"{i}").write_bytes(b"x" * 1000)
    process = escp.start("-r", "-t1", "-l", "800K", way.source(source), way.target(target))
    place = target / "source" / "gone"
    wait_for(lambda: place.is_dir() and len(os.listdir(place)) > 20)
    while place.exists():
        shutil.rmtree(place, ignore_errors=True)
    done = escp.finish(process, TIMEOUT_S)
    assert done.code == 1, done.err
    told = {line.rpartition(": ")[2] for line in done.err.splitlines() if "/gone/" in line}
    assert told == {"no such file or directory"}, done.err
    assert len(os.listdir(target / "source" / "stays")) == N_FILES // 4
    escp.assert_nothing_left()


@everywhere
def test_source_whose_file_system_ends_is_told_once(escp, source, target, way):
    files = {f"{i:02}": FuseFile(b"x" * 1000, is_deadly=i == 40) for i in range(90)}
    (source / "kept").write_bytes(b"x")
    with mounted(source / "odd", files) as odd:
        sources = (way.source(one) for one in (odd, source / "kept"))
        done = escp.run("-r", *sources, way.target(target), is_embedded=way.is_embedded)
    assert done.code == 1, done.err
    assert done.err.count("transport endpoint is not connected") == 1, done.err
    assert f"'{odd}'" in done.err or f"{odd}:" in done.err, done.err
    assert (target / "kept").read_bytes() == b"x"
    assert len(os.listdir(target / "odd")) < 90
    assert "1 failed" in done.err, done.err
    escp.assert_nothing_left()


@pytest.mark.parametrize("number", [0, errno.EIO], ids=["ended", "broken"])
@everywhere
def test_target_whose_file_system_dies_ends_the_copy_with_one_sentence(escp, source, target, way, number):
    """*number*: what every call gives from then on; 0: its server is gone."""
    for i in range(N_FILES // 10):
        (source / f"{i}").write_bytes(b"x" * 1000)
    (source / "large").write_bytes(b"x" * (1 << 20))
    with dying_target(target / "odd", 40, number) as odd:
        done = escp.run("-r", way.source(source), way.target(odd), is_embedded=way.is_embedded)
    assert done.code == (15 if way.is_to_remote else 14), done.err
    reason = "input/output error" if number else "transport endpoint is not connected"
    assert (
        done.error.removeprefix("box: ").removeprefix("localhost: ")
        == f"the target '{odd}' is gone: {reason}"
    ), done.err
    assert done.err.count("escp: error: ") == 1, done.err
    escp.assert_nothing_left()

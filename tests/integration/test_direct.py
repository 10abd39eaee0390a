"""-R: what is tested for the other ways, and must be the same where an agent sends straight to another."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from tests.fault.test_stopped import is_running
from tests.integration.test_default_acls import ACLS, list_rights, make_target
from tests.integration.test_output import N_NAMES, NAME, read_late, start_into_pipe
from tests.support.command import remote
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for


def direct(*words):
    *options, source, target = words
    return ["-R", *options, remote(source), remote(target)]


def test_list_is_whole_when_the_reader_is_slow(escp, source, target):
    for number in range(N_NAMES):
        (source / f"{NAME}{number:04}").touch()
    lines = read_late(*start_into_pipe(escp, *direct("-n", "-r", source, target)))
    assert len([line for line in lines if NAME in line]) == N_NAMES


def test_file_whose_size_is_not_told(escp, target):
    escp.copy(*direct("/proc/version", target))
    with open("/proc/version", "rb") as file:
        assert (target / "version").read_bytes() == file.read()


def test_change_whose_time_is_set_back_is_found(escp, source, target):
    path = source / "large"
    write_random(path, 8_000_000)
    process = escp.start(*direct("-t", "1", "-l", "2M", path, target))
    wait_for(lambda: is_running(escp, "-R"))
    time.sleep(0.3)
    status = path.stat()
    with open(path, "r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = escp.finish(process)
    assert done.code == 1 and "changed while it was read" in done.err, done
    assert list_tree(target) == {}


def test_removed_target(escp, source, target):
    for number in range(3000):
        (source / f"{number}").write_bytes(b"x" * 1000)
    place = target / "new"
    process = escp.start(*direct("-r", "-l", "800K", source, place))
    wait_for(lambda: place.is_dir() and len(os.listdir(place)) > 20)
    while place.exists():
        shutil.rmtree(place, ignore_errors=True)
    done = escp.finish(process)
    assert (
        done.code == 15 and done.error == f"box: the target '{place}' is gone: no such file or directory"
    ), done
    assert done.err.count("escp: error: ") == 1, done.err


@pytest.mark.parametrize("acl", ["others-nothing", "named", "owner-reads"])
def test_default_acl_as_in_a_push(escp, folder, source, acl):
    for name, mode in (("usual", 0o755), ("shut", 0o700), ("read", 0o555)):
        (source / name / "deep").mkdir(parents=True)
        (source / name / "file").write_text(name)
        (source / name).chmod(mode)
    pushed, ours = make_target(folder, "pushed", ACLS[acl]), make_target(folder, "ours", ACLS[acl])
    agent = escp.write_agent("masked", "umask 027")
    escp.copy("-r", source, remote(pushed), agent=agent)
    escp.copy(*direct("-r", source, ours), agent=agent)
    assert list_rights(ours) == list_rights(pushed)


def test_inplace(escp, source, target):
    write_random(source / "f", 3_000_000)
    (target / "f").write_text("old")
    before = (target / "f").stat().st_ino
    escp.copy(*direct("--inplace", source / "f", target))
    assert (target / "f").read_bytes() == (source / "f").read_bytes() and (
        target / "f"
    ).stat().st_ino == before


@pytest.mark.parametrize("unit_ns", [100, 10**7, 2 * 10**9])
def test_time_that_the_target_has_cut_off(escp, source, target, unit_ns):
    (source / "f").write_text("f")
    time_ns = 1_700_000_001_123_456_789
    os.utime(source / "f", ns=(time_ns, time_ns))
    escp.copy(*direct("-rp", source, target))
    os.utime(target / "source" / "f", ns=(time_ns, time_ns // unit_ns * unit_ns))
    done = escp.copy("--json", *direct("-rp", "--skip-unchanged", source, target))
    assert done.json[-1]["skipped"] == 1


def test_blocked_name_of_a_file_with_several(escp, source, target):
    (source / "a").write_text("x")
    for name in "bc":
        os.link(source / "a", source / name)
    (target / "source" / "a").mkdir(parents=True)
    done = escp.fail(1, *direct("-r", "--hard-links", source, target))
    assert done.err.count("escp: error: ") == 1 and "a directory" in done.err, done.err
    one, two = ((target / "source" / name).stat() for name in "bc")
    assert one.st_ino == two.st_ino and one.st_nlink == 2


@pytest.fixture
def labelled():
    """A file with an attribute that is larger than ext4 has room for."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "a"
        path.write_bytes(b"hello")
        try:
            os.setxattr(path, "user.big", bytes(20_000))
        except OSError:
            pytest.skip("no such attribute can be made here")
        yield path


def test_attribute_that_the_target_can_not_keep(escp, target, labelled):
    done = escp.fail(1, *direct("--xattrs", labelled, target / "a"))
    assert done.err.count("escp: error: ") == 1, done.err
    assert "copied, but its extended attributes can't be kept there" in done.err
    assert (target / "a").read_bytes() == b"hello"

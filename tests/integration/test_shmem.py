"""Memory of another program as the source or the target of a copy: --ioengine=shmem (docs/shmem.md).

The programs are written in C, with the library that packages hold. Some are killed, and some are hostile.
"""

import os
import re
import signal
import stat
import time

import pytest

from tests.support.command import TIMEOUT_S
from tests.support.sharing import Client, names, shared_folder
from tests.support.waiting import wait_for

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def memory():
    with shared_folder() as folder:
        yield folder


@pytest.fixture
def contents(folder):
    path = folder / "contents"
    path.write_bytes(os.urandom(5 * MIB + 4099))
    return path


def send(escp, client, target, *words):
    return escp.run(*words, "--ioengine=shmem::posix", client.path, target)


def test_segment_has_an_unguessable_name_and_is_its_users_own(memory, contents):
    with Client(memory, "send", contents, 4 * KIB, 4) as client:
        status = client.path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_uid == os.geteuid()
        assert re.fullmatch("escp-[0-9a-f]{32}", client.path.name)


@pytest.mark.parametrize(
    ("block", "n"), [(4 * KIB, 1), (4 * KIB, 4096), (96 * KIB, 7), (MIB, 16), (32 * MIB, 2)]
)
def test_memory_becomes_a_file_of_another_host(escp, memory, contents, target, block, n):
    with Client(memory, "send", contents, block, n) as client:
        done = send(escp, client, f"box:{target}/run42")
        assert done.code == 0, done.err
        assert client.end() == {"outcome": 0, "claim": 0, "bytes": contents.stat().st_size}
    assert (target / "run42").read_bytes() == contents.read_bytes()
    assert names(memory) == []


@pytest.mark.parametrize("block", [4 * KIB, 96 * KIB, 32 * MIB])
def test_file_of_another_host_becomes_memory(escp, memory, folder, contents, block):
    with Client(memory, "receive", folder / "out", block, 3) as client:
        done = escp.run("--ioengine=posix::shmem", f"box:{contents}", client.path)
        assert done.code == 0, done.err
        assert client.end() == {"outcome": 0, "claim": 0, "bytes": contents.stat().st_size}
    assert (folder / "out").read_bytes() == contents.read_bytes()
    assert names(memory) == []


def test_programs_share_memory_on_the_other_host(escp, memory, folder, contents):
    with (
        Client(memory, "send", contents, 256 * KIB, 8) as sender,
        Client(memory, "receive", folder / "out", 64 * KIB, 9) as receiver,
    ):
        done = escp.run("--ioengine=shmem", sender.path, f"box:{receiver.path}")
        assert done.code == 0, done.err
        assert sender.end()["outcome"] == receiver.end()["outcome"] == 0
    assert (folder / "out").read_bytes() == contents.read_bytes()


@pytest.mark.parametrize("where", ["", "box:"])
def test_pull_from_memory(escp, memory, contents, target, where):
    with Client(memory, "send", contents, 256 * KIB, 8) as client:
        done = escp.run("--ioengine=shmem::posix", f"{where}{client.path}", target / "x")
        assert done.code == 0, done.err
        assert client.end()["outcome"] == 0
    assert (target / "x").read_bytes() == contents.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 4096, 128 * KIB, 128 * KIB + 1])
def test_small_files(escp, memory, folder, target, size):
    contents = folder / "contents"
    contents.write_bytes(os.urandom(size))
    with (
        Client(memory, "send", contents, 4 * KIB, 2) as sender,
        Client(memory, "receive", folder / "out", 4 * KIB, 3) as receiver,
    ):
        done = escp.run("--ioengine=shmem", sender.path, f"box:{receiver.path}")
        assert done.code == 0, done.err
        assert sender.end()["outcome"] == receiver.end()["outcome"] == 0
    assert (folder / "out").read_bytes() == contents.read_bytes()


def test_several_files_at_once(escp, memory, folder, contents, target):
    other = folder / "other"
    other.write_bytes(os.urandom(3 * MIB))
    with (
        Client(memory, "send", contents, 64 * KIB, 8) as one,
        Client(memory, "send", other, 64 * KIB, 8) as two,
    ):
        done = escp.run("--ioengine=shmem::posix", one.path, two.path, f"box:{target}")
        assert done.code == 0, done.err
        assert one.end()["outcome"] == two.end()["outcome"] == 0
    assert (target / one.path.name).read_bytes() == contents.read_bytes()
    assert (target / two.path.name).read_bytes() == other.read_bytes()


def test_block_size_of_the_streams_and_compression_are_escps_own(escp, memory, contents, target):
    with Client(memory, "send", contents, MIB, 5) as client:
        done = send(escp, client, f"box:{target}/x", "-C", "--blocksize=256K")
        assert done.code == 0, done.err
    assert (target / "x").read_bytes() == contents.read_bytes()


# ---- Ends before the end ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "reason"), [("die", "has died"), ("error", "gave up"), ("truncate", "taken memory away")]
)
@pytest.mark.parametrize("place", ["box:", ""])
def test_file_that_its_program_does_not_end_gets_no_name(escp, memory, contents, target, act, reason, place):
    with Client(memory, "send", contents, 64 * KIB, 8, act, 20) as client:
        done = send(escp, client, f"{place}{target}/x")
    assert done.code == 1
    assert reason in done.err
    assert os.listdir(target) == []
    assert names(memory) == []


@pytest.mark.parametrize(
    ("act", "reason"), [("die", "has died"), ("error", "gave up"), ("truncate", "input/output error")]
)
def test_program_that_does_not_take_all_of_a_file(escp, memory, folder, contents, act, reason):
    with Client(memory, "receive", folder / "out", 64 * KIB, 4, act, 20) as client:
        done = escp.run("--ioengine=posix::shmem", contents, f"box:{client.path}")
    assert done.code == 1
    assert reason in done.err
    assert names(memory) == []


@pytest.mark.parametrize("way", ["send", "receive"])
def test_program_hears_that_escp_was_killed(escp, memory, folder, contents, target, way):
    with Client(memory, way, contents if way == "send" else folder / "out", 64 * KIB, 4, "none", 9) as client:
        slow = ("-l", "8000", "--ioengine=" + ("shmem::posix" if way == "send" else "posix::shmem"))
        ends = (client.path, f"box:{target}/x") if way == "send" else (f"box:{contents}", client.path)
        running = escp.start(*slow, *ends)
        wait_for(lambda: not names(memory))
        time.sleep(0.3)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=TIMEOUT_S)
        said = client.end()
        assert -130 in (said["outcome"], said["claim"]), said  # EOWNERDEAD
    assert names(memory) == []


def test_segment_of_a_program_that_was_killed_before_is_removed(escp, memory, contents, target):
    with Client(memory, "send", contents, 64 * KIB, 4, "die", 0) as dead:
        dead.process.wait(timeout=TIMEOUT_S)
        assert names(memory) == [dead.path.name]
        with Client(memory, "send", contents, 64 * KIB, 4) as client:
            assert names(memory) == [client.path.name]
    with Client(memory, "send", contents, 64 * KIB, 4, "die", 0) as dead:
        dead.process.wait(timeout=TIMEOUT_S)
        done = send(escp, dead, f"box:{target}/x")
    assert done.code == 1
    assert "has died" in done.error or "has died" in done.err
    assert names(memory) == []


def test_last_word_is_the_programs(escp, memory, folder, target):
    """All blocks are there, but the program gives up instead of ending the file."""
    contents = folder / "contents"
    contents.write_bytes(os.urandom(4 * MIB))
    with Client(memory, "send", contents, MIB, 8, "error", 4) as client:
        done = send(escp, client, f"box:{target}/x")
    assert done.code == 1
    assert os.listdir(target) == []


def test_copy_that_fails_is_told_to_the_program(escp, memory, contents, folder):
    with Client(memory, "send", contents, 64 * KIB, 8) as client:
        done = send(escp, client, f"box:{folder}/nowhere/x")
        assert done.code != 0
        client.process.kill()
    (folder / "there").mkdir()
    (folder / "there" / "x").mkdir()
    with Client(memory, "send", contents, 64 * KIB, 8) as client:
        done = send(escp, client, f"box:{folder}/there/x/{'n' * 300}")
        assert done.code != 0


# ---- Hostile programs -------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["words", "all", "plan", "end"])
def test_nonsense_in_a_segment_spoils_its_own_file_only(escp, memory, folder, contents, target, act):
    other = folder / "other"
    other.write_bytes(os.urandom(MIB))
    with (
        Client(memory, "send", contents, 64 * KIB, 4, act, 9) as hostile,
        Client(memory, "send", other, 64 * KIB, 4) as honest,
    ):
        running = escp.start("--ioengine=shmem::posix", honest.path, hostile.path, f"box:{target}")
        assert honest.end()["outcome"] == 0
        time.sleep(0.5)
        hostile.process.kill()
        running.communicate(timeout=TIMEOUT_S)
        code = running.returncode
    assert code == (0 if act == "plan" else 1)  # the plan was read before, once
    assert (target / honest.path.name).read_bytes() == other.read_bytes()
    assert sorted(os.listdir(target)) == sorted(
        [honest.path.name] + ([hostile.path.name] if act == "plan" else [])
    )


@pytest.mark.parametrize("act", ["words", "all", "plan"])
def test_nonsense_of_a_program_that_takes_a_file(escp, memory, folder, contents, act):
    with Client(memory, "receive", folder / "out", 64 * KIB, 4, act, 9) as client:
        running = escp.start("--ioengine=posix::shmem", contents, f"box:{client.path}")
        if act != "plan":
            wait_for(lambda: not names(memory))
            time.sleep(0.5)
            client.process.kill()
        running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == (0 if act == "plan" else 1)


def test_what_changes_while_it_is_sent_is_refused_or_whole(escp, memory, folder, target):
    contents = folder / "contents"
    contents.write_bytes(os.urandom(8 * MIB))
    with Client(memory, "send", contents, 8 * MIB, 2, "change", 1) as client:
        running = escp.start("--ioengine=shmem::posix", client.path, f"box:{target}/x")
        time.sleep(1.0)
        client.process.kill()
        running.communicate(timeout=TIMEOUT_S)
    assert running.returncode in (1, 12)
    assert os.listdir(target) == []


def write_segment(path, **values):
    """A segment of 4 blocks of 4 KiB without a program, but with these values in its first line."""
    fields = {"version": 1, "direction": 1, "block": 4096, "n": 4, "data": 8192, "all": 8192 + 4 * 4096}
    fields |= values
    head = b"ESCPSHM1" + b"".join(fields[name].to_bytes(4, "little") for name in list(fields)[:4])
    head += b"".join(fields[name].to_bytes(8, "little") for name in ("data", "all"))
    path.write_bytes(fields.get("magic", head[:8]) + head[8:])
    os.truncate(path, fields.get("bytes", 8192 + 4 * 4096))
    path.chmod(fields.get("mode", 0o600))


LARGE, HUGE = (1 << 32) - 1, (1 << 64) - 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [({"magic": b"ESCPSHM2"}, "no segment"), ({"version": 2}, "another version"),
     ({"direction": 3}, "no segment"),
     ({"direction": 2}, "no segment"), ({"block": 0}, "no segment"), ({"block": 4097}, "no segment"),
     ({"block": LARGE}, "no segment"), ({"n": 0}, "no segment"), ({"n": LARGE}, "no segment"),
     ({"data": 4096}, "no segment"), ({"data": HUGE}, "no segment"), ({"all": HUGE}, "no segment"),
     ({"bytes": 0}, "no segment"), ({"bytes": 4096}, "no segment"), ({"bytes": 1 << 40}, "no segment"),
     ({"mode": 0o660}, "mode is not 0600"), ({}, "has died")],
    ids=str,
)  # fmt: skip
def test_segments_that_are_none(escp, memory, target, values, reason):
    path = memory / "segment"
    write_segment(path, **values)
    done = escp.run("--ioengine=shmem::posix", path, target / "x")
    assert done.code == 1
    assert reason in done.err
    assert os.listdir(target) == []


def test_file_on_a_disk_is_no_segment(escp, folder, target):
    write_segment(folder / "segment")
    done = escp.run("--ioengine=shmem::posix", folder / "segment", target / "x")
    assert (done.code, os.listdir(target)) == (1, [])
    assert "no segment" in done.err


@pytest.mark.parametrize("kind", ["missing", "directory", "file", "sender"])
@pytest.mark.parametrize("place", ["", "box:"])
def test_target_that_no_program_shares(escp, memory, contents, kind, place):
    path = memory / "target"
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"precious" * 1000)
        path.chmod(0o600)
    elif kind == "sender":
        write_segment(path)
    done = escp.run("--ioengine=posix::shmem", contents, f"{place}{path}")
    if kind in ("missing", "directory"):
        assert (done.code, "no memory that a program shares" in done.error) == (16, True), done.err
    else:
        assert (done.code, "can't share" in done.error) == (15 if place else 14, True), done.err
    if kind == "file":
        assert path.read_bytes() == b"precious" * 1000


def test_segment_is_one_copys(escp, memory, contents, target):
    with Client(memory, "send", contents, 64 * KIB, 4, "stop", 3) as client:
        os.link(client.path, memory / "again")
        done = send(escp, client, f"{target}/x")
        assert "no segment" in done.err  # it has two names
        os.unlink(memory / "again")
        with open(client.path, "rb+"):
            running = escp.start("--ioengine=shmem::posix", client.path, target / "x")
            wait_for(lambda: not names(memory))
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=TIMEOUT_S)
    assert os.listdir(target) == []


# ---- Options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "engine"),
    [("--dry-run", "shmem"), ("--remove-source-files", "shmem::posix"), ("--verify", "posix::shmem"),
     ("--manifest=-", "posix::shmem")],
)  # fmt: skip
def test_options_that_need_files(escp, target, option, engine):
    done = escp.run(option, f"--ioengine={engine}", "/dev/shm/none", target / "x")
    assert done.code == 2
    assert "shmem" in done.error

"""A copy that was cut off goes on with what has come of its large files, and believes none of it unseen."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from tests.support.command import DRIVER, needs_source, remote
from tests.support.directions import LOCAL, PULL, PUSH, RELAY, in_all_directions
from tests.support.parts import (
    BLOCK,
    HEADER_BYTES,
    OPTIONS,
    RECORD,
    SLOW,
    count_records,
    count_sent,
    cut_off,
    journal_of,
    part_of,
    read_records,
    write_record,
)
from tests.support.proxy import TO_AGENT, TO_INITIATOR, Proxy
from tests.support.trees import mode_of, write_random

SIZE = 64 * BLOCK + 1000


@pytest.fixture
def big(source):
    write_random(source / "big", SIZE)
    return source / "big"


@pytest.fixture
def cut(escp, big, target):
    """A push of *big* that was cut off: its place at the target."""
    cut_off(escp, big, remote(target), at=target / "big")
    return target / "big"


def resume(escp, big, target, *options, code=0):
    done = escp.run(*OPTIONS, "--resume", *options, big, remote(target))
    assert done.code == code, (done.code, done.out, done.err)
    assert (target / "big").read_bytes() == big.read_bytes()
    return done


def assert_whole(big, target):
    assert (target / "big").read_bytes() == big.read_bytes()
    assert sorted(os.listdir(target)) == ["big"]


@in_all_directions
def test_what_has_come_is_not_sent_again(escp, big, target, way):
    cut_off(escp, way.source(big), way.target(target), at=target / "big")
    n = count_records(target / "big")
    assert n >= 8 and not (target / "big").exists()
    assert mode_of(part_of(target / "big")) == mode_of(journal_of(target / "big")) == 0o600
    done = escp.copy(*OPTIONS, "--resume", way.source(big), way.target(target))
    assert count_sent(done) <= SIZE - n * BLOCK
    assert_whole(big, target)
    assert mode_of(target / "big") == mode_of(big)


@pytest.mark.parametrize("way", [PUSH, PULL, RELAY], ids=lambda way: way.name)
def test_an_agent_that_was_killed_leaves_as_much(escp, big, target, way):
    done = cut_off(escp, way.source(big), way.target(target), at=target / "big", kills_agent=True)
    assert done.code not in (0, 1)
    assert "escp --resume with the same arguments goes on" in done.json[-1]["error"]["hint"]
    n = count_records(target / "big")
    done = escp.copy(*OPTIONS, "--resume", way.source(big), way.target(target))
    assert count_sent(done) <= SIZE - n * BLOCK
    assert_whole(big, target)


def test_direct_hosts_go_on_too(escp, big, target):
    cut_off(escp, "-R", remote(big), remote(target), at=target / "big")
    n = count_records(target / "big")
    done = escp.copy(*OPTIONS, "-R", "--resume", remote(big), remote(target))
    assert count_sent(done) <= SIZE - n * BLOCK
    assert_whole(big, target)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_who_ends_it_is_told_how_to_go_on(escp, big, target, number):
    done = cut_off(escp, big, remote(target), at=target / "big", number=number)
    assert done.code == 128 + number
    assert "escp --resume with the same arguments goes on" in done.json[-1]["error"]["hint"]
    assert count_records(target / "big") >= 8


@pytest.mark.parametrize("way", [PUSH, PULL, RELAY, LOCAL], ids=lambda way: way.name)
def test_when_the_time_is_over_it_says_how_to_go_on(escp, big, target, way):
    done = escp.run(*OPTIONS, "-l", "4M", "--stop-after", "3s", way.source(big), way.target(target))
    assert done.code == 17
    assert "escp --resume with the same arguments goes on" in done.json[-1]["error"]["hint"]
    n = count_records(target / "big")
    done = escp.copy(*OPTIONS, "--resume", "--stop-after", "10m", way.source(big), way.target(target))
    assert n and count_sent(done) <= SIZE - n * BLOCK
    assert_whole(big, target)


@needs_source  # the pause is cut short
@pytest.mark.parametrize("way", [PUSH, PULL, RELAY], ids=lambda way: way.name)
def test_a_try_goes_on_with_what_the_one_before_it_left(escp, big, target, folder, way):
    runs = folder / "runs"
    agent = escp.write_agent("killed", f"echo >> {runs}", f"if [ $(wc -l < {runs}) = 1 ]",
                             "then (sleep 2; kill -9 $$) & fi")  # fmt: skip
    driver = {"env": escp.write_driver(pause_s=0.2), "command": [sys.executable, str(DRIVER)]}
    done = escp.copy(*SLOW, "--retry", "2", way.source(big), way.target(target), agent=agent, **driver)
    assert "trying again" in done.out and 0 < count_sent(done) < SIZE - 4 * BLOCK
    assert_whole(big, target)


def test_it_may_be_cut_off_again_and_again(escp, big, target):
    sent = 0
    for n in (5, 10, 15):
        cut_off(escp, "--resume", big, remote(target), at=target / "big", n=n)
        assert count_records(target / "big") >= n
    sent = count_sent(resume(escp, big, target))
    assert sent <= SIZE - 15 * BLOCK
    assert_whole(big, target)


def test_streams_limits_and_what_is_shown_may_differ(escp, big, cut, target):
    n = count_records(cut)
    assert count_sent(resume(escp, big, target, "-t", "2", "-C", "-v", "-l", "1G")) <= SIZE - n * BLOCK


def test_another_command_begins_again_and_says_so(escp, big, cut, target):
    done = resume(escp, big, target, "-p")
    assert count_sent(done) == SIZE and "its part is of another command" in done.out
    assert_whole(big, target)


def test_other_blocks_begin_again_and_that_is_said(escp, big, cut, target):
    done = resume(escp, big, target, "--blocksize", "512K")
    assert count_sent(done) == SIZE and "its part is of another --blocksize" in done.out


@pytest.mark.parametrize("change", ["contents", "touched", "replaced"])
def test_a_source_that_changed_is_sent_from_its_beginning(escp, big, cut, target, change):
    times = os.stat(big).st_atime_ns, os.stat(big).st_mtime_ns
    if change == "replaced":  # with the same size and time
        write_random(big.with_name("new"), SIZE, seed=7)
        os.replace(big.with_name("new"), big)
    elif change == "contents":
        with open(big, "r+b") as file:
            file.write(b"!")
    if change == "touched":
        os.utime(big)
    else:
        os.utime(big, ns=times)
    done = resume(escp, big, target)
    assert count_sent(done) == SIZE and "the source has changed since the copy was cut off" in done.out
    assert_whole(big, target)


@pytest.mark.parametrize(
    "options", [[], ["--no-partial"], ["--nochecksum"], ["--inplace"], ["--partial-min", "1G"]], ids=" ".join
)
def test_without_resume_an_old_part_goes(escp, big, cut, target, options):
    done = escp.copy(*OPTIONS, *options, big, remote(target))
    assert count_sent(done) == SIZE and '"warning"' not in done.out
    assert_whole(big, target)


@pytest.mark.parametrize("options", [[], ["--no-partial"], ["--inplace"]], ids=" ".join)
def test_a_journal_whose_part_has_just_got_its_name_goes(escp, big, cut, target, options):
    """Its run was killed in between."""
    os.rename(part_of(cut), cut)
    escp.copy(*OPTIONS, *options, big, remote(target))
    assert_whole(big, target)


def test_no_partial_leaves_nothing(escp, big, target):
    process = escp.start(*OPTIONS, "--no-partial", "-l", "4M", big, remote(target))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGINT)
    done = escp.finish(process)
    assert "resume" not in done.out
    escp.assert_nothing_left()
    assert os.listdir(target) == []


def test_smaller_files_are_no_parts(escp, big, target):
    process = escp.start("--blocksize", "256K", "-l", "4M", big, remote(target))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.kill()
    escp.finish(process)
    escp.assert_nothing_left()
    assert os.listdir(target) == []


def test_a_file_that_fails_leaves_nothing(escp, big, target):
    """The source changes while it is read: what came of it is of no use."""
    process = escp.start(*OPTIONS, "-l", "8M", big, remote(target))
    while count_records(target / "big") < 4:
        assert process.poll() is None
    os.utime(big)
    assert escp.finish(process).code == 1
    assert os.listdir(target) == []


# ---- What somebody may have put there -----------------------------------------------------------------


def test_a_damaged_block_comes_again(escp, big, cut, target):
    number = read_records(cut)[3][0]
    with open(part_of(cut), "r+b") as file:
        file.seek(number * BLOCK + 17)
        file.write(b"damaged")
    n = count_records(cut)
    assert count_sent(resume(escp, big, target)) <= SIZE - (n - 1) * BLOCK
    assert_whole(big, target)


@pytest.mark.parametrize("options", [(), ("--trust-partial",)], ids=["", "trusted"])
def test_a_part_that_has_lost_its_end_is_not_trusted_behind_it(escp, big, cut, target, options):
    os.truncate(part_of(cut), BLOCK // 2)
    assert count_sent(resume(escp, big, target, *options)) == SIZE
    assert_whole(big, target)


def test_a_part_and_a_journal_that_agree_with_each_other_are_not_believed(escp, big, cut, target):
    records = read_records(cut)
    with open(part_of(cut), "r+b") as file:
        for at, (number, *_) in enumerate(records[:4]):
            file.seek(number * BLOCK)
            file.write(bytes(min(BLOCK, SIZE - number * BLOCK)))
            write_record(cut, at, number)  # zeroes have the digest 0
    for options in (), ("--trust-partial",):
        done = resume(escp, big, target, *options)
        assert SIZE - (len(records) - 4) * BLOCK - BLOCK <= count_sent(done) or options
        os.unlink(target / "big")
        cut_off(escp, big, remote(target), at=cut)


def test_what_is_planted_in_a_hole_does_not_stay(escp, source, target):
    big = source / "big"
    with open(big, "wb") as file:
        file.truncate(SIZE)
        for number in range(0, 24, 2):
            file.seek(number * BLOCK)
            file.write(os.urandom(BLOCK))
    cut_off(escp, "--sparse", big, remote(target), at=target / "big", n=4)
    with open(part_of(target / "big"), "r+b") as file:
        for number in range(1, 24, 2):
            file.seek(number * BLOCK + 5)
            file.write(b"planted")
    done = resume(escp, big, target, "--sparse")
    assert count_sent(done) <= 8 * BLOCK
    assert_whole(big, target)


def test_a_cut_last_record_is_ignored(escp, big, cut, target):
    n = count_records(cut)
    os.truncate(journal_of(cut), HEADER_BYTES + n * RECORD.size - 5)
    assert count_sent(resume(escp, big, target)) <= SIZE - (n - 1) * BLOCK
    assert_whole(big, target)


def test_a_damaged_record_ends_what_is_believed(escp, big, cut, target):
    n = count_records(cut)
    with open(journal_of(cut), "r+b") as file:
        file.seek(HEADER_BYTES + 4 * RECORD.size)
        file.write(b"\xff")
    sent = count_sent(resume(escp, big, target))
    assert SIZE - n * BLOCK < sent <= SIZE - 4 * BLOCK + BLOCK
    assert_whole(big, target)


@pytest.mark.parametrize("damage", ["header", "empty", "gone", "noise"])
def test_a_damaged_journal_is_no_journal(escp, big, cut, target, damage):
    path = journal_of(cut)
    if damage == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(
            {"header": data[:20] + b"?" + data[21:], "empty": b"", "noise": os.urandom(5000)}[damage]
        )
    assert count_sent(resume(escp, big, target)) == SIZE
    assert_whole(big, target)


@pytest.mark.parametrize("which", [part_of, journal_of], ids=["part", "journal"])
@pytest.mark.parametrize("what", ["link", "hard link", "fifo", "directory", "writable"])
@pytest.mark.parametrize("options", [[], ["--resume"]], ids=["new", "resume"])
def test_what_is_none_of_escps_is_left_alone(escp, big, cut, target, folder, which, what, options):
    path, other = which(cut), folder / "other"
    other.write_bytes(b"somebody's")
    if what != "writable":
        path.unlink()
    if what == "link":
        path.symlink_to(other)
    elif what == "hard link":
        os.link(other, path)
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        path.chmod(0o666)
    before = os.lstat(path)
    done = escp.copy(*OPTIONS, *options, big, remote(target))
    assert count_sent(done) == SIZE and "none of escp's" in done.out
    assert (target / "big").read_bytes() == big.read_bytes()
    assert os.path.samestat(before, os.lstat(path)) and other.read_bytes() == b"somebody's"


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file to another user")
def test_somebody_elses_part_is_left_alone(escp, big, cut, target):
    os.chown(part_of(cut), 12345, -1)
    done = resume(escp, big, target)
    assert count_sent(done) == SIZE and "none of escp's" in done.out and part_of(cut).exists()


def test_a_part_that_another_run_holds_is_left_alone(escp, big, cut, target):
    before = part_of(cut).read_bytes()
    with open(part_of(cut), "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = escp.copy(*OPTIONS, big, remote(target))
    assert count_sent(done) == SIZE and "another copy is writing it now" in done.out
    assert part_of(cut).read_bytes() == before
    assert (target / "big").read_bytes() == big.read_bytes()


def test_two_runs_at_once_share_no_part(escp, big, target):
    runs = [escp.start(*OPTIONS, "-l", "8M", big, remote(target)) for _ in range(2)]
    for run in runs:
        assert escp.finish(run).code == 0
    assert_whole(big, target)


def test_a_run_that_is_about_to_end_is_waited_for(escp, big, cut, target):
    hold = (
        "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); time.sleep(2)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, part_of(cut)], stdout=subprocess.PIPE)
    with holder:
        holder.stdout.readline()
        n = count_records(cut)
        assert count_sent(resume(escp, big, target)) <= SIZE - n * BLOCK
    assert_whole(big, target)


@pytest.mark.parametrize("end", ["os.unlink(part)", "os.chmod(part, 0o666); os.rename(part, sys.argv[2])"])
def test_a_run_that_ends_with_its_part_meanwhile_is_no_stranger(escp, big, cut, target, end):
    hold = (
        "import fcntl, os, sys, time; part = sys.argv[1]; f = open(part); fcntl.flock(f, 2); "
        f"print(flush=True); time.sleep(2); {end}; os.unlink(sys.argv[3])"
    )
    words = [sys.executable, "-c", hold, part_of(cut), target / "big", journal_of(cut)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        done = resume(escp, big, target)
    assert count_sent(done) == SIZE and "left alone" not in done.out + done.err
    assert_whole(big, target)


def test_a_name_with_no_room_for_more_has_a_part_too(escp, source, target):
    name = "n" * 250
    write_random(source / name, SIZE)
    process = escp.start(*OPTIONS, "-l", "8M", source / name, remote(target))
    while not (parts := [one for one in os.listdir(target) if one.endswith(".escp-part")]):
        assert process.poll() is None
    process.kill()
    escp.finish(process)
    assert len(parts) == 1 and parts[0].startswith(".escp-")
    escp.copy(*OPTIONS, "--resume", source / name, remote(target))
    assert os.listdir(target) == [name]


def test_a_file_named_like_a_part_is_a_file(escp, big, source, target):
    """In a source tree, beside the file whose part it might be: it takes the name if it comes in between."""
    for path in part_of(big), journal_of(big):
        path.write_bytes(b"an ordinary file")
    done = escp.run(*OPTIONS, "-r", source, remote(target))
    there = target / "source" / "big"
    assert done.code == (0 if there.exists() else 1), (done.code, done.out)
    assert not there.exists() or there.read_bytes() == big.read_bytes()
    assert part_of(there).read_bytes() == b"an ordinary file"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o277])
def test_the_mode_is_what_it_would_have_been(escp, big, target, umask):
    os.chmod(big, 0o666)
    before = os.umask(umask)
    try:
        cut_off(escp, big, target, at=target / "big", is_embedded=False)
        assert mode_of(part_of(target / "big")) == mode_of(journal_of(target / "big")) == 0o600
        escp.copy(*OPTIONS, "--resume", big, target)
    finally:
        os.umask(before)
    assert mode_of(target / "big") == 0o666 & ~umask


@pytest.mark.parametrize(
    "words",
    [("--resume", "--no-partial"), ("--resume", "--nochecksum"),
     ("--resume", "--inplace"), ("--partial-min", "x")],
    ids=" ".join,
)  # fmt: skip
def test_what_makes_no_sense_together_is_told(escp, big, target, words):
    done = escp.fail(2, *words, big, remote(target))
    assert done.hint


@needs_source
@pytest.mark.parametrize("way", [PUSH, PULL, RELAY], ids=lambda way: way.name)
def test_what_a_journal_has_was_verified_before(escp, big, target, way):
    """A block that was changed on the way is in no journal; all that are, are the source's."""
    is_data = TO_INITIATOR if way is PULL else TO_AGENT

    def damage(stream, way_now, at, data):
        there = 20 * BLOCK - at  # after some that are right
        return (
            data[:there] + b"?" + data[there + 1 :] if way_now == is_data and 0 <= there < len(data) else data
        )

    with Proxy(escp.port, damage) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        done = escp.run(*OPTIONS, "-t1", "--reconnect-timeout", "0", way.source(big), way.target(target),
                        env=env, command=[sys.executable, str(DRIVER)])  # fmt: skip
    assert done.code == 12, (done.code, done.err)
    records = read_records(target / "big")
    contents, part = big.read_bytes(), part_of(target / "big").read_bytes()
    assert 0 < len(records) <= 20
    for number, *_ in records:
        assert part[number * BLOCK : (number + 1) * BLOCK] == contents[number * BLOCK : (number + 1) * BLOCK]

"""Filters, questions and dry runs over real planes: what is left out stays out, the rest comes whole."""

import errno
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from escp._fast.planes.plane import FATAL, FILE_FAILED, FINISHED, LISTED
from escp._fast.wire.payloads import decode_entries, encode_result
from escp.failures import FAST_PROTOCOL, FAST_SYS
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.peers import END, IS_SAME, IS_WANTED, QUERY, SMALL, Receiver, unpack
from tests.support.planes import receive_plane, send_plane

CHANGED = {"selection": "changed"}
NEWER = {"selection": "newer"}
DIGESTS = {"selection": "changed", "compares_digests": True}
OLD_NS = 1_600_000_000_123_456_789


@pytest.fixture
def memory():
    """A directory in memory, for thousands of files: ext4 takes its time after as many have been deleted."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "tree"
    path.mkdir()
    return path


def write(path, data=b"contents", time_ns=OLD_NS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(time_ns, time_ns))
    return path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def take(source, target, name=None, **options):
    """Copy and see it end without any failure."""
    with Loopback(target, **options) as loopback:
        loopback.start()
        loopback.add((os.fsencode(source), source.name.encode() if name is None else name))
        outcome = loopback.run_to_end()
    assert [event for _, event in outcome.events if event.kind != LISTED] == []
    return outcome


def listed(outcome):
    """{path: size, or None of a directory} of a dry run, each told once."""
    found = {}
    for is_sender, event in outcome.events:
        assert is_sender and event.kind == LISTED and event.path not in found, event
        assert event.where in ("file", "directory") and (event.code, event.errno) == (0, 0)
        found[event.path.decode()] = event.offset if event.where == "file" else None
    return found


# ---- Filters ----------------------------------------------------------------------------------------


def test_excluded_names_are_not_sent_and_excluded_directories_not_even_listed(source, target):
    for name in [
        "a.c",
        "a.o",
        "keep.o",
        "sub/b.o",
        "sub/b.c",
        "secret/x",
        "sub/secret/y",
        "top/x",
        "sub/top/x",
    ]:
        write(source / name)
    os.mkfifo(source / "pipe.o")  # special, and not complained about
    (source / "dangling.o").symlink_to("nowhere")
    rules = [(True, b"keep.o"), (False, b"*.o"), (False, b"secret/"), (False, b"/tree/top")]
    (source / "loop.o").symlink_to(".")  # listing it would be an error
    outcome = take(source, target, sending={"filters": rules})
    assert names(target / "tree") == ["a.c", "keep.o", "sub", "sub/b.c", "sub/top", "sub/top/x"]
    assert outcome.sent["found_files"] == outcome.sent["files"] == 4


@pytest.mark.parametrize("name", [b"", b"new"])
def test_paths_of_filters_begin_below_the_destination(source, target, name):
    write(source / "a"), write(source / "sub/a")
    prefix = b"/" + (name + b"/" if name else b"")
    take(source, target, name, sending={"filters": [(False, prefix + b"a")]})
    assert names(target / name.decode() if name else target) == ["sub", "sub/a"]


def test_source_that_the_user_named_is_excluded_too(source, target):
    write(source / "a.o")
    a, none = source / "a.o", source / "none.o"
    for path, name, rule in [(a, b"a.o", b"*.o"), (source, b"tree", b"tree/"), (a, b"", b"*.o"),
                             (none, b"none.o", b"*.o")]:  # fmt: skip
        outcome = take(path, target, name, sending={"filters": [(False, rule)]})
        assert outcome.sent["found_files"] == outcome.sent["directories"] == 0
    assert names(target) == []
    take(source / "a.o", target, b"a.o", sending={"filters": [(False, b"a.o/")]})  # of directories only
    assert names(target) == ["a.o"]


def test_link_to_a_directory_is_one_for_filters(source, target):
    write(source / "real/x")
    (source / "link").symlink_to("real")
    take(source, target, sending={"filters": [(False, b"link/")]})
    assert names(target / "tree") == ["real", "real/x"]


def test_filters_of_wrong_form_are_refused():
    for wrong, error in [([(False, b"[a")], ValueError), ([(False, b"")], ValueError),
                         ([(False, "text")], TypeError), ([b"x"], Exception)]:  # fmt: skip
        with pytest.raises(error):
            send_plane(n_streams=1, block_bytes=BLOCK, filters=wrong)


# ---- Selections -------------------------------------------------------------------------------------

# name, the target's (contents, seconds and nanoseconds later), whether newer and changed send it
TARGETS = [
    ("same", b"CONTENTS", 0, 0, False, False),
    ("absent", None, 0, 0, True, True),
    ("other_size", b"longer contents", 0, 0, True, True),
    ("newer_s", b"CONTENTS", 1, 0, False, True),
    ("newer_ns", b"CONTENTS", 0, 1, False, True),
    ("newer_and_other_size", b"CONTENTS!", 5, 0, False, True),
    ("older_s", b"CONTENTS", -1, 0, True, True),
    ("older_ns", b"CONTENTS", 0, -1, True, True),
    ("whole_second", b"CONTENTS", 0, -(OLD_NS % 10**9), False, False),
    ("whole_second_other_size", b"CONTENTS!", 0, -(OLD_NS % 10**9), True, True),
]


@pytest.mark.parametrize("selection", ["newer", "changed"])
@pytest.mark.parametrize("n_streams", [1, 3])
def test_selection_by_size_and_time(source, target, selection, n_streams):
    for name, data, s, ns, _, _ in TARGETS:
        write(source / name)
        if data is not None:
            write(target / "tree" / name, data, OLD_NS + s * 10**9 + ns)
    before = {name: data for name, data, *_ in TARGETS}
    outcome = take(source, target, n_streams=n_streams, both={"selection": selection})
    sent = {name for name in before if (target / "tree" / name).read_bytes() == b"contents"}
    assert sent == {name for name, *_, newer, changed in TARGETS if (newer, changed)[selection == "changed"]}
    for name in before.keys() - sent:
        assert (target / "tree" / name).read_bytes() == before[name]
    assert outcome.sent["files"] == outcome.received["files"] == outcome.sent["found_files"] == len(sent)
    assert outcome.sent["skipped"] == len(before) - len(sent)
    assert outcome.sent["found_bytes"] == outcome.sent["bytes"] == 8 * len(sent)
    assert outcome.sent["directories"] == 1


SECOND = 10**9


@pytest.mark.parametrize("selection", [CHANGED, NEWER])
@pytest.mark.parametrize("unit", [100, 1000, 10**6, 10**7, SECOND, 2 * SECOND])
def test_time_that_the_target_has_cut_off_is_the_same(source, target, selection, unit):
    """NTFS and SMB keep 100 ns, exFAT 10 ms, FAT every other second."""
    for name, time_ns in (("a", OLD_NS), ("odd", OLD_NS + SECOND), ("even", OLD_NS // SECOND * SECOND)):
        write(source / name, time_ns=time_ns)
        write(target / "tree" / name, b"CONTENTS", time_ns // unit * unit)
    assert take(source, target, both=selection).sent["skipped"] == 3
    assert {path.read_bytes() for path in (target / "tree").iterdir()} == {b"CONTENTS"}


@pytest.mark.parametrize("unit", [1, 100, 10**6])
def test_change_within_the_second_is_found_where_the_clock_tells(source, target, unit):
    write(source / "a", time_ns=OLD_NS // unit * unit + unit)
    write(target / "tree" / "a", b"CONTENTS", OLD_NS // unit * unit)
    take(source, target, both=CHANGED)
    assert (target / "tree" / "a").read_bytes() == b"contents"


def test_source_in_whole_seconds_is_the_same(source, target):
    write(source / "a", b"contents", OLD_NS // 10**9 * 10**9)
    write(target / "tree/a", b"CONTENTS", OLD_NS)
    assert take(source, target, both=CHANGED).sent["skipped"] == 1


@pytest.mark.parametrize("what", ["link", "fifo", "dangling"])
def test_what_is_not_a_regular_file_there_is_replaced(source, target, what):
    write(source / "a")
    place = target / "tree/a"
    elsewhere = write(target / "elsewhere", b"contents")
    place.parent.mkdir()
    if what == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(elsewhere if what == "link" else "nowhere")
    assert take(source, target, both=CHANGED).sent["files"] == 1
    assert not place.is_symlink() and place.read_bytes() == b"contents"


def test_directory_in_the_place_of_a_file_fails(source, target):
    write(source / "a")
    (target / "tree/a").mkdir(parents=True)
    outcome = copy(source, target, both=CHANGED)
    assert [(e.kind, e.code, e.errno) for _, e in outcome.events] == [
        (FILE_FAILED, FAST_SYS, errno.EISDIR)
    ] * 2


def test_link_that_leads_out_is_not_followed_to_look(source, target, tmp_path):
    write(source / "d/a")
    write(tmp_path / "outside/a")
    (target / "tree").mkdir()
    (target / "tree/d").symlink_to(tmp_path / "outside")
    for has_openat2 in (True, False):
        outcome = copy(source, target, both=CHANGED, receiving={"has_openat2": has_openat2})
        failed = {(is_sender, e.kind, e.path.split(b"/")[-1]) for is_sender, e in outcome.events}
        assert (True, FILE_FAILED, b"a") in failed and outcome.sent["skipped"] == 0


@pytest.mark.parametrize("size", [0, 1, 8, BLOCK, 3 * BLOCK + 17])
def test_digests_decide_whatever_the_times(source, target, size):
    data = os.urandom(size)
    write(source / "same", data)
    write(source / "other", data)
    write(source / "longer", data)
    write(source / "absent", data)
    write(target / "tree/same", data, OLD_NS + 10**12)
    write(target / "tree/other", data[:-1] + bytes([data[-1] ^ 1]) if data else b"", OLD_NS)
    write(target / "tree/longer", data + b"x", OLD_NS)
    outcome = take(source, target, both=DIGESTS, n_streams=2)
    assert all(
        (target / "tree" / name).read_bytes() == data for name in ["same", "other", "longer", "absent"]
    )
    assert (target / "tree/same").stat().st_mtime_ns == OLD_NS + 10**12
    assert outcome.sent["skipped"] == (1 if size else 2)
    assert outcome.sent["files"] == 4 - outcome.sent["skipped"]


def test_single_file_under_its_new_name(source, target):
    write(source / "a")
    write(target / "named", b"CONTENTS")
    receiving = {"target_name": b"named"}
    assert take(source / "a", target, b"", both=CHANGED, receiving=receiving).sent["skipped"] == 1
    assert (target / "named").read_bytes() == b"CONTENTS"
    write(target / "named", b"CONTENTS", OLD_NS + 1)
    assert take(source / "a", target, b"", both=CHANGED, receiving=receiving).sent["files"] == 1
    assert (target / "named").read_bytes() == b"contents"


def test_second_copy_with_times_kept_sends_nothing(source, target):
    for i in range(300):
        write(source / f"d{i % 7}/{i}", os.urandom(i), OLD_NS + i)
    write(source / "large", os.urandom(5 * BLOCK))
    both = CHANGED
    options = {"n_streams": 3, "both": both, "receiving": {"keeps_attributes": True}}
    assert take(source, target, **options).sent["files"] == 301
    again = take(source, target, **options)
    assert (again.sent["files"], again.sent["bytes"], again.sent["skipped"]) == (0, 0, 301)
    assert again.sent["directories"] == 8
    (source / "large").write_bytes(b"x")
    assert take(source, target, **options).sent["files"] == 1


def test_file_that_vanishes_between_question_and_answer_is_named(source, target):
    write(source / "a")
    with Loopback(target, both=CHANGED) as loopback:
        loopback.sender.start()  # the receiver does not answer yet
        loopback.add((os.fsencode(source), b"tree"))
        deadline_s = time.monotonic() + 5
        while loopback.sender.counters()["bytes_network"] == 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        (source / "a").unlink()
        loopback.receiver.start()
        outcome = loopback.run_to_end()
    assert [(s, e.kind, e.errno, e.path) for s, e in outcome.events] == [
        (True, FILE_FAILED, errno.ENOENT, os.fsencode(source / "a"))
    ]


@pytest.mark.parametrize("options", [{"selection": "no"}, {"compares_digests": True},
                                     {"selection": "newer", "compares_digests": True}])  # fmt: skip
def test_selections_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError):
        send_plane(n_streams=1, block_bytes=BLOCK, **options)
    with pytest.raises(ValueError):
        receive_plane(root_fd=-1, n_streams=1, block_bytes=BLOCK, **options)


def test_receiver_that_was_not_told_refuses_questions(source, target):
    write(source / "a")
    outcome = copy(source, target, sending=CHANGED)
    assert (False, FATAL, FAST_PROTOCOL, "question") in [
        (s, e.kind, e.code, e.where) for s, e in outcome.events
    ]


@pytest.mark.parametrize("both", [CHANGED, DIGESTS])
@pytest.mark.parametrize("n_streams", [1, 3])
def test_local_copies_are_asked_for_too(source, target, both, n_streams):
    for i in range(400):
        write(source / f"d{i % 5}/{i}", bytes([i % 256]) * i)
    for i in range(12):
        write(source / f"large{i}", bytes([i]) * (9 * BLOCK + i))
    options = {
        "is_local": True,
        "n_streams": n_streams,
        "both": both,
        "receiving": {"keeps_attributes": True},
    }
    dry = take(source, target, **options, sending={"is_dry_run": True})
    assert len(listed(dry)) == 412 + 6 and names(target) == []
    assert take(source, target, **options).sent["files"] == 412
    (target / "tree/d0/5").write_bytes(b"other")
    (target / "tree/large3").unlink()
    again = take(source, target, **options)
    assert (again.sent["files"], again.sent["skipped"]) == (2, 410)
    assert (target / "tree/d0/5").read_bytes() == bytes([5]) * 5
    assert (target / "tree/large3").read_bytes() == (source / "large3").read_bytes()
    assert listed(take(source, target, **options, sending={"is_dry_run": True})) == {}


def make_many(folder, n, size=0):
    for i in range(n):
        if i % 500 == 0:
            (folder / f"d{i // 500}").mkdir(parents=True)
        path = folder / f"d{i // 500}" / str(i)
        path.write_bytes(bytes(size))
        os.utime(path, ns=(OLD_NS, OLD_NS))


def test_twenty_thousand_unchanged_files_are_quick(memory):
    source, target = memory / "tree", memory / "target"
    target.mkdir()
    make_many(source, 20000)
    shutil.copytree(source, target / "tree", copy_function=shutil.copy2)
    start_s = time.monotonic()
    outcome = take(source, target, n_streams=4, both=CHANGED)
    took_s = time.monotonic() - start_s
    print(f"20,000 unchanged files: {took_s:.2f} s, {outcome.sent['bytes_network']} bytes")
    assert (outcome.sent["skipped"], outcome.sent["files"], outcome.sent["bytes"]) == (20000, 0, 0)
    assert outcome.sent["directories"] == 41
    assert took_s < 5


@pytest.mark.parametrize("both", [CHANGED, DIGESTS])
@pytest.mark.parametrize("n_walkers", [1, 4])
def test_all_queues_full_at_once_go_on(memory, both, n_walkers):
    """20,000 wanted files, tiny buffers, a receiver that is late: questions, flights and items fill up."""
    source, target = memory / "tree", memory / "target"
    target.mkdir()
    n = 20000
    make_many(source, n, 1)
    if both is DIGESTS:  # each must be compared, and then be sent
        for folder in source.iterdir():
            (target / "tree" / folder.name).mkdir(parents=True)
            for path in folder.iterdir():
                (target / "tree" / folder.name / path.name).write_bytes(b"x")
    sending = {"n_walkers": n_walkers}
    with Loopback(target, n_streams=2, buffer_bytes=4096, both=both, sending=sending) as loopback:
        late = threading.Timer(0.3, loopback.receiver.start)
        late.start()
        loopback.sender.start()
        loopback.add((os.fsencode(source), b"tree"))
        late.join()
        outcome = loopback.run_to_end()
    assert outcome.events == []
    assert outcome.sent["files"] == outcome.received["files"] == n and outcome.sent["skipped"] == 0


@pytest.mark.parametrize("both", [CHANGED, DIGESTS])
def test_wanted_files_keep_their_names_however_long_they_are(source, target, both):
    """A flight has room for a short name (SHORT_NAME_BYTES); longer ones are beside it."""
    for n in (1, 37, 38, 39, 40, 254, 255):
        write(source / ("n" * n), b"%03d" % n)
        write(target / "tree" / ("n" * n), b"old", OLD_NS - 10**9)
    outcome = take(source, target, both=both)
    assert outcome.sent["files"] == 7
    assert all((target / "tree" / path.name).read_bytes() == path.read_bytes() for path in source.iterdir())


@pytest.mark.parametrize("is_wanted_first", [True, False])
@pytest.mark.parametrize("options", [CHANGED, DIGESTS])
def test_receiver_that_answers_only_when_nothing_comes_any_more(memory, options, is_wanted_first):
    """Every queue is full each time: questions, flights, files, and walkers that wait for room in them."""
    n = 20000
    make_many(memory / "tree", n, 1)
    n_asked, n_files, most = 0, 0, 0
    wanted, sent = [], []
    with Receiver(
        (os.fsencode(memory / "tree"), b"t"), n_walkers=1, buffer_bytes=1 << 20, **options
    ) as receiver:
        receiver.pairs[0][0].settimeout(0.15)
        silent_s = time.monotonic()
        while True:
            try:
                is_data, payload = receiver.receive_frame()
            except TimeoutError:
                assert time.monotonic() < silent_s + 10, (n_asked, n_files, receiver.plane.counters())
                most = max(most, len(wanted))
                answers = wanted + sent if is_wanted_first else sent + wanted
                for i in range(0, len(answers), 1024):
                    receiver.send_results(*answers[i : i + 1024])
                wanted, sent = [], []
                continue
            silent_s = time.monotonic()
            if is_data:
                continue
            if payload[0] == END:
                break
            for entry in decode_entries(unpack(payload)):
                if entry["kind"] == QUERY:
                    n_asked += 1
                    flags, digest = (IS_SAME, b"x" * 16) if options is DIGESTS else (IS_WANTED, bytes(16))
                    wanted.append(encode_result(entry["id"], flags=flags, digest=digest))
                else:
                    n_files += entry["kind"] == SMALL
                    sent.append(encode_result(entry["id"], digest=entry["digest"]))
        receiver.send_end()
        receiver.wait(FINISHED)
        counters = receiver.plane.counters()
    assert n_asked == n_files == counters["files"] == n and counters["failed"] == 0
    assert 4096 - 256 < most <= 4096  # half of the flights, and never more


def test_stop_while_questions_are_open_ends_at_once(memory):
    source, target = memory / "tree", memory / "target"
    target.mkdir()
    make_many(source, 3000)
    with Loopback(target, n_streams=2, buffer_bytes=4096, both=CHANGED) as loopback:
        loopback.sender.start()  # nobody answers
        loopback.add((os.fsencode(source), b"tree"))
        time.sleep(0.2)
        start_s = time.monotonic()
    assert time.monotonic() - start_s < 2


# ---- Dry runs ---------------------------------------------------------------------------------------


def test_dry_run_lists_everything_and_makes_nothing(source, target):
    write(source / "a", b"12345"), write(source / "sub/deep/b", b""), write(source / "x.o")
    (source / "empty").mkdir()
    (source / "large").write_bytes(bytes(3 * BLOCK))
    rules = [(False, b"*.o")]
    outcome = take(source, target, sending={"is_dry_run": True, "filters": rules}, n_streams=2)
    assert listed(outcome) == {
        "tree": None, "tree/a": 5, "tree/sub": None, "tree/sub/deep": None, "tree/sub/deep/b": 0,
        "tree/empty": None, "tree/large": 3 * BLOCK,
    }  # fmt: skip
    assert names(target) == []
    sent = outcome.sent
    assert (sent["files"], sent["found_files"], sent["found_bytes"]) == (3, 3, 5 + 3 * BLOCK)
    assert (sent["directories"], sent["bytes"]) == (4, 0)
    assert outcome.received["files"] == outcome.received["directories"] == 0


@pytest.mark.parametrize("both", [CHANGED, NEWER, DIGESTS])
def test_dry_run_with_a_selection_asks_first(source, target, both):
    write(source / "same"), write(source / "new/a", b"abc"), write(source / "old/changed", b"new contents")
    write(target / "tree/same"), write(target / "tree/old/changed", b"old contents!", OLD_NS - 10**9)
    mode = (target / "tree").stat().st_mode
    before = (target / "tree").stat().st_mtime_ns
    (source).chmod(0o711)
    outcome = take(
        source, target, both=both, sending={"is_dry_run": True}, receiving={"keeps_attributes": True}
    )
    assert listed(outcome) == {"tree/new": None, "tree/new/a": 3, "tree/old/changed": 12}
    assert names(target / "tree") == ["old", "old/changed", "same"]
    assert ((target / "tree").stat().st_mode, (target / "tree").stat().st_mtime_ns) == (mode, before)
    sent = outcome.sent
    assert (sent["files"], sent["skipped"], sent["directories"], sent["bytes"]) == (2, 1, 1, 0)


def test_dry_run_of_a_target_that_does_not_exist_needs_no_root(source, target):
    write(source / "a")
    outcome = take(source, target, b"", both=CHANGED, sending={"is_dry_run": True}, receiving={"root_fd": -1})
    assert listed(outcome) == {"": None, "a": 8}


def test_dry_run_of_one_file(source, target):
    write(source / "a")
    assert listed(take(source / "a", target, b"a", sending={"is_dry_run": True})) == {"a": 8}
    receiving = {"target_name": b"named"}
    again = {"both": CHANGED, "sending": {"is_dry_run": True}, "receiving": receiving}
    assert listed(take(source / "a", target, b"", **again)) == {"": 8}
    write(target / "named")
    assert listed(take(source / "a", target, b"", **again)) == {}


def test_dry_run_tells_what_would_fail(source, target):
    write(source / "d/a")
    (source / "link").symlink_to("nowhere")
    write(target / "tree/d")
    outcome = copy(source, target, both=CHANGED, sending={"is_dry_run": True})
    failed = {e.path: (e.errno, e.is_remote) for s, e in outcome.events if s and e.kind == FILE_FAILED}
    assert failed == {
        os.fsencode(source / "link"): (errno.ENOENT, False),
        b"tree/d": (errno.ENOTDIR, True),
        b"tree/d/a": (errno.ENOTDIR, True),
    }


def test_dry_run_loses_no_name_however_slow_its_reader(memory):
    source, target = memory / "tree", memory / "target"
    target.mkdir()
    make_many(source, 2000)
    for options in ({}, CHANGED):
        with Loopback(target, n_streams=2, both=options, sending={"is_dry_run": True}) as loopback:
            loopback.start()
            loopback.add((os.fsencode(source), b"tree"))
            time.sleep(0.3)
            outcome = loopback.run_to_end()
        assert len(listed(outcome)) == 2000 + 5

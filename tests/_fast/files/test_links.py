"""Symbolic links, hard links, devices: sent as what they are, made beneath the destination, not followed."""

import os
import socket
import stat

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED, LISTED
from escp._fast.wire.payloads import encode_entry, encode_extra, encode_result
from escp.failures import FAST_HARD_LINK, FAST_PROTOCOL, FAST_SPECIAL, FAST_SYS, FAST_UNSAFE
from tests.support.fuse import FuseFile, mounted
from tests.support.loopback import BLOCK, Loopback, copy
from tests.support.peers import DEVICE, HARD_LINK, LARGE, LINK, SMALL, Receiver, Sender

LINKS = {"sending": {"keeps_links": True}, "receiving": {"keeps_links": True}}
HARD_LINKS = {"sending": {"keeps_hard_links": True}, "receiving": {"keeps_hard_links": True}}
DEVICES = {"sending": {"keeps_devices": True}, "receiving": {"keeps_devices": True}}
TARGET, GROUP, NODE = 1, 4, 5  # types of extras
LARGE_BYTES = (1 << 17) + 1  # the smallest file that travels in blocks


def assert_clean(top):
    for _, _, names in os.walk(top):
        assert not [name for name in names if name.startswith(".escp-")]


# ---- Symbolic links ---------------------------------------------------------------------------------

TEXTS = {
    "file": b"good",
    "directory": b"d",
    "dangling": b"nowhere",
    "absolute": b"/etc/passwd",
    "escaping": b"../../../../etc",
    "above": b"..",
    "itself": b"itself",
    "odd": b"\xff\n\x1b[31m",
    "longest": b"/".join([b"n" * 255] * 16)[:4095],
}


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
@pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
def test_links_are_copied_as_links(tmp_path, target, has_openat2, is_local):
    source = tmp_path / "tree"
    (source / "d").mkdir(parents=True)
    (source / "good").write_bytes(b"good")
    for name, text in TEXTS.items():
        os.symlink(text, os.fsencode(source / "d" / name))
    receiving = {"keeps_links": True, "has_openat2": has_openat2}
    outcome = copy(
        source, target, n_streams=2, is_local=is_local, sending=LINKS["sending"], receiving=receiving
    )
    assert outcome.events == []
    assert outcome.sent["files"] == outcome.received["files"] == len(TEXTS) + 1
    for name, text in TEXTS.items():
        assert os.readlink(os.fsencode(target / "tree" / "d" / name)) == text
    assert sorted(os.listdir(target / "tree" / "d")) == sorted(TEXTS)


@pytest.mark.parametrize("text", [b"/nowhere", b"tree"])
def test_link_that_is_named_is_copied_as_one(tmp_path, target, text):
    (tmp_path / "tree").mkdir()
    os.symlink(text, os.fsencode(tmp_path / "link"))
    assert copy(tmp_path / "link", target, **LINKS).events == []
    assert os.readlink(os.fsencode(target / "link")) == text


def test_link_takes_the_name_that_was_asked_for(tmp_path, target):
    os.symlink("text", tmp_path / "link")
    receiving = {"keeps_links": True, "target_name": b"new"}
    with Loopback(target, sending=LINKS["sending"], receiving=receiving) as loopback:
        loopback.start()
        loopback.add((os.fsencode(tmp_path / "link"), b""))
        assert loopback.run_to_end().events == []
    assert os.readlink(target / "new") == "text"


def make_existing(path, kind):
    if kind == "file":
        path.write_bytes(b"old")
    elif kind == "directory":
        path.mkdir()
    else:
        os.symlink("other", path)


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_link_takes_the_place_of_what_was_there_but_not_of_a_directory(tmp_path, target, kind):
    os.symlink("text", tmp_path / "x")
    make_existing(target / "x", kind)
    outcome = copy(tmp_path / "x", target, **LINKS)
    if kind == "directory":
        assert {event.code for _, event in outcome.events} == {FAST_SYS}
        assert (target / "x").is_dir()
    else:
        assert outcome.events == [] and os.readlink(target / "x") == "text"
    assert os.listdir(target) == ["x"]


@pytest.mark.parametrize("has_existing", [True, False])
def test_links_have_their_own_times_and_owners(tmp_path, target, has_existing):
    os.symlink("nowhere", tmp_path / "x")
    os.lchown(tmp_path / "x", 12345, 54321)
    os.utime(tmp_path / "x", ns=(10**18 + 7, 10**18 + 123_456_789), follow_symlinks=False)
    if has_existing:
        (target / "x").write_bytes(b"old")
    receiving = {"keeps_links": True, "keeps_attributes": True, "keeps_owner": True}
    assert copy(tmp_path / "x", target, sending=LINKS["sending"], receiving=receiving).events == []
    status = os.lstat(target / "x")
    assert (status.st_mtime_ns, status.st_atime_ns) == (10**18 + 123_456_789, 10**18 + 7)
    assert (status.st_uid, status.st_gid) == (12345, 54321)


def test_links_are_followed_by_default(tmp_path, target):
    (tmp_path / "x").write_bytes(b"data")
    os.symlink("x", tmp_path / "link")
    assert copy(tmp_path / "link", target).events == []
    assert not (target / "link").is_symlink() and (target / "link").read_bytes() == b"data"


def link(path, text, id=1, **fields):
    return encode_entry(kind=LINK, id=id, path=path, extras=encode_extra(TARGET, text), **fields)


def hard_link(path, first, id=1, **fields):
    return encode_entry(kind=HARD_LINK, id=id, path=path, extras=encode_extra(TARGET, first), **fields)


def device(path, kind=3, major=0, minor=0, id=1, **fields):
    value = bytes([kind]) + major.to_bytes(4, "big") + minor.to_bytes(4, "big")
    return encode_entry(kind=DEVICE, id=id, path=path, extras=encode_extra(NODE, value), **fields)


@pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
@pytest.mark.parametrize("text", [b"../outside", b"/", b".", b"real", b"loop", b"nowhere"])
@pytest.mark.parametrize("above", [b"", b"d/"], ids=["root", "below"])
@pytest.mark.parametrize("kind", ["small", "large", "directory", "link", "hard_link", "first", "device"])
def test_nothing_goes_through_a_link_that_was_sent(tmp_path, target, text, kind, above, has_openat2):
    """Not even through one that stays inside."""
    (tmp_path / "outside").mkdir()
    where = target / os.fsdecode(above)
    (where / "real").mkdir(parents=True)
    (where / "real" / "there").write_bytes(b"there")
    options = {"keeps_links": True, "keeps_hard_links": True, "keeps_devices": True}
    with Sender(target, has_openat2=has_openat2, **options) as sender:
        sender.send_entries(link(above + b"loop", text))
        assert sender.receive_results(1)[0][1] == 0
        if kind == "small":
            sender.send_small(above + b"loop/x", id=2)
        elif kind == "large":
            sender.send_large(above + b"loop/x", 4, id=2)
            sender.send_large_end(above + b"loop/x", 4, id=2)
            sender.send_data(b"evil", id=2)
        else:
            entry = {
                "directory": encode_entry(kind=4, id=2, path=above + b"loop", mode=0o777),
                "link": link(above + b"loop/x", b"x", 2),
                "hard_link": hard_link(above + b"loop/x", above + b"real/there", 2),
                "first": hard_link(b"x", above + b"loop/there", 2),
                "device": device(above + b"loop/x", id=2),
            }[kind]
            sender.send_entries(entry)
        assert sender.receive_results(1)[0][:2] == (2, FAST_UNSAFE)
        event = sender.wait(FILE_FAILED)
        assert event.code == FAST_UNSAFE
        sender.finish()
    assert os.listdir(tmp_path / "outside") == [] and os.listdir(where / "real") == ["there"]
    assert sorted(os.listdir(where)) == ["loop", "real"]


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (link(b"x", b"y"), FAST_UNSAFE),
        (hard_link(b"x", b"there"), FAST_UNSAFE),
        (device(b"x"), FAST_SPECIAL),
    ],
)
def test_what_was_not_asked_for_is_not_made(target, entry, code):
    (target / "there").touch()
    with Sender(target) as sender:
        sender.send_entries(entry)
        assert sender.receive_results(1)[0][1] == code
        assert sender.wait(FILE_FAILED).code == code
        sender.finish()
    assert os.listdir(target) == ["there"] and os.lstat(target / "there").st_nlink == 1


# ---- Hard links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
@pytest.mark.parametrize("n_streams", [1, 4])
@pytest.mark.parametrize("size", [0, 5, 3 * BLOCK + 1])
def test_files_with_several_names_stay_one_file(tmp_path, target, size, n_streams, is_local):
    source = tmp_path / "tree"
    (source / "a" / "b").mkdir(parents=True)
    (source / "x").write_bytes(bytes(range(251)) * (size // 251) + b"z" * (size % 251))
    for name in ("y", "a/x", "a/b/z"):
        os.link(source / "x", source / name)
    os.link(source / "x", tmp_path / "elsewhere")
    (source / "single").write_bytes(b"s")
    os.symlink("nowhere", source / "link")
    os.link(source / "link", source / "a" / "link", follow_symlinks=False)
    sending = {"keeps_hard_links": True, "keeps_links": True}
    receiving = {"keeps_hard_links": True, "keeps_links": True, "keeps_attributes": True}
    outcome = copy(
        source, target, n_streams=n_streams, is_local=is_local, sending=sending, receiving=receiving
    )
    assert outcome.events == []
    assert outcome.sent["files"] == outcome.received["files"] == outcome.sent["found_files"] == 7
    assert outcome.sent["bytes"] == outcome.sent["found_bytes"] == size + 1  # sent once
    names = [target / "tree" / name for name in ("x", "y", "a/x", "a/b/z")]
    assert len({path.stat().st_ino for path in names}) == 1 and names[0].stat().st_nlink == 4
    assert names[0].read_bytes() == (source / "x").read_bytes()
    assert names[0].stat().st_mtime_ns == (source / "x").stat().st_mtime_ns
    assert os.lstat(target / "tree" / "a" / "link").st_ino == os.lstat(target / "tree" / "link").st_ino
    assert_clean(target)


def test_several_names_are_copied_apart_by_default(tmp_path, target):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "x").write_bytes(b"data")
    os.link(tmp_path / "tree" / "x", tmp_path / "tree" / "y")
    assert copy(tmp_path / "tree", target).events == []
    assert {(target / "tree" / name).stat().st_nlink for name in "xy"} == {1}


@pytest.mark.parametrize("kind", ["file", "link", "same", "directory"])
def test_hard_link_takes_the_place_of_what_was_there_but_not_of_a_directory(target, kind):
    (target / "first").write_bytes(b"data")
    if kind == "same":
        os.link(target / "first", target / "x")
    else:
        make_existing(target / "x", kind)
    with Sender(target, keeps_hard_links=True) as sender:
        sender.send_entries(hard_link(b"x", b"first"))
        assert sender.receive_results(1)[0][1] == (FAST_SYS if kind == "directory" else 0)
        sender.finish()
    assert sorted(os.listdir(target)) == ["first", "x"]
    if kind != "directory":
        assert os.lstat(target / "x").st_ino == (target / "first").stat().st_ino


@pytest.mark.parametrize("first", [b"missing", b"d", b"missing/x", b"x"])
def test_hard_link_to_what_is_no_file_fails(target, first):
    (target / "d").mkdir()
    with Sender(target, keeps_hard_links=True) as sender:
        sender.send_entries(hard_link(b"x", first))
        assert sender.receive_results(1)[0][1] == FAST_SYS
        sender.finish()
    assert os.listdir(target) == ["d"]


def test_hard_link_of_a_planted_link_is_the_link_itself(tmp_path, target):
    (tmp_path / "outside").write_bytes(b"precious")
    os.symlink("../outside", target / "planted")
    with Sender(target, keeps_hard_links=True) as sender:
        sender.send_entries(hard_link(b"x", b"planted"))
        assert sender.receive_results(1)[0][1] == 0
        sender.finish()
    assert (target / "x").is_symlink() and (tmp_path / "outside").stat().st_nlink == 1


def test_hard_link_is_refused_where_one_file_was_asked_for(target):
    (target / "there").touch()
    with Sender(target, keeps_hard_links=True, target_name=b"wanted") as sender:
        sender.send_entries(hard_link(b"", b"there"))
        assert sender.receive_results(1)[0][1] == FAST_UNSAFE
        sender.finish()
    assert os.listdir(target) == ["there"]


def make_names(tmp_path, n, size=1):
    source = tmp_path / "tree"
    source.mkdir()
    (source / "0").write_bytes(b"x" * size)
    for i in range(1, n):
        os.link(source / "0", source / f"{i}")
    return source


@pytest.mark.parametrize("size", [1, BLOCK])
def test_other_names_wait_for_the_first_ones_result(tmp_path, size):
    """Nothing of them is sent before; then all of it, naming the first one's path."""
    source = make_names(tmp_path, 50, size)
    with Receiver((os.fsencode(source), b"tree"), keeps_hard_links=True) as receiver:
        first, *more = receiver.receive_entries()
        assert not more and first["kind"] == (SMALL if size == 1 else LARGE)
        receiver.receive_frame()
        if size > 1:
            receiver.receive_entries()  # its end
        receiver.pairs[0][0].settimeout(0.3)
        with pytest.raises(TimeoutError):
            receiver.receive_frame()
        receiver.pairs[0][0].settimeout(30)
        data = b"x" * size
        receiver.send_result(first["id"], digest=digest_of(data))
        links = []
        while len(links) < 49:
            links += receiver.receive_entries()
        assert {entry["kind"] for entry in links} == {HARD_LINK}
        assert {entry["extras"] for entry in links} == {encode_extra(TARGET, first["path"])}
        assert len({entry["path"] for entry in links} | {first["path"]}) == 50
        receiver.send_results(*[encode_result(entry["id"]) for entry in links])
        (directory,) = receiver.receive_entries()
        assert directory["path"] == b"tree"


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
@pytest.mark.parametrize("size", [1, LARGE_BYTES])
@pytest.mark.parametrize("n_blocked", [1, 4, 9, 10])
def test_blocked_names_take_no_other_names_of_their_file_with_them(
    tmp_path, target, is_local, size, n_blocked
):
    source = make_names(tmp_path, 10, size)
    names = os.listdir(source)  # in the order in which the walker finds them
    for name in names[:n_blocked]:
        (target / "tree" / name / "full").mkdir(parents=True)
    outcome = copy(source, target, is_local=is_local, n_streams=2, **HARD_LINKS)
    told = {(event.path, event.code) for is_sender, event in outcome.events if is_sender}
    assert told == {(b"tree/" + os.fsencode(name), FAST_SYS) for name in names[:n_blocked]}
    assert (outcome.sent["failed"], outcome.sent["files"]) == (n_blocked, 10 - n_blocked)
    made = [(target / "tree" / name).stat() for name in names[n_blocked:]]
    assert {(status.st_nlink, status.st_size) for status in made} <= {(10 - n_blocked, size)}
    assert len({status.st_ino for status in made}) == (n_blocked < 10)
    assert outcome.sent["is_walked"]


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_blocked_names_of_what_has_no_contents(tmp_path, target, kind):
    source = tmp_path / "tree"
    source.mkdir()
    if kind == "link":
        os.symlink("nowhere", source / "0")
    else:
        os.mkfifo(source / "0")
    for i in range(1, 4):
        os.link(source / "0", source / str(i), follow_symlinks=False)
    first = os.listdir(source)[0]
    (target / "tree" / first / "full").mkdir(parents=True)
    outcome = copy(
        source,
        target,
        both={"keeps_hard_links": True, "keeps_links": True, "keeps_devices": True},
    )
    assert [event.path for is_sender, event in outcome.events if is_sender] == [b"tree/" + os.fsencode(first)]
    assert len({os.lstat(target / "tree" / name).st_ino for name in os.listdir(source) if name != first}) == 1


def test_blocked_names_that_are_sources_themselves(tmp_path, target):
    source = make_names(tmp_path, 3)
    (target / "0" / "full").mkdir(parents=True)
    with Loopback(target, **HARD_LINKS) as loopback:
        loopback.start()
        loopback.add(*[(os.fsencode(source / name), name.encode()) for name in ("0", "1", "2")])
        outcome = loopback.run_to_end()
    assert [event.path for is_sender, event in outcome.events if is_sender] == [b"0"]
    assert (target / "1").samefile(target / "2")


def test_other_names_of_a_file_that_cannot_be_read_are_reported(tmp_path, target):
    """It is the same file, whatever name it goes by."""
    bad = FuseFile(b"x" * 3000, fails_at=100)
    with mounted(tmp_path / "odd", {"a": bad, "b": bad, "c": bad}) as source:
        outcome = copy(source, target, **HARD_LINKS)
    assert sorted(event.code for _, event in outcome.events) == [FAST_SYS, FAST_HARD_LINK, FAST_HARD_LINK]
    assert os.listdir(target / "odd") == []


def test_more_names_than_may_wait_only_delay(tmp_path, target):
    """16384 is the bound; each inode takes 60000 names at most on ext4."""
    source = make_names(tmp_path, 20000)
    outcome = copy(source, target, n_streams=2, **HARD_LINKS)
    assert outcome.events == [] and outcome.sent["files"] == 20000
    assert (target / "tree" / "0").stat().st_nlink == 20000


# ---- Devices ----------------------------------------------------------------------------------------


def test_devices_and_fifos_are_made_and_sockets_are_not(tmp_path, target):
    source = tmp_path / "tree"
    source.mkdir()
    os.mkfifo(source / "fifo", 0o640)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(source / "loop", stat.S_IFBLK | 0o600, os.makedev(7, 300))
    for name in ("fifo", "null", "loop"):
        os.chown(source / name, 123, 456)
        os.chmod(source / name, 0o4751)
        os.utime(source / name, ns=(10**18 + 1, 10**18 + 2))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(source / "sock"))
        receiving = {"keeps_devices": True, "keeps_attributes": True, "keeps_owner": True}
        outcome = copy(source, target, sending=DEVICES["sending"], receiving=receiving)
    assert [(event.code, event.path) for _, event in outcome.events] == [
        (FAST_SPECIAL, os.fsencode(source / "sock"))
    ]
    for name in ("fifo", "null", "loop"):
        was, is_now = os.lstat(source / name), os.lstat(target / "tree" / name)
        for field in ("st_mode", "st_rdev", "st_uid", "st_gid", "st_mtime_ns"):
            assert getattr(was, field) == getattr(is_now, field), (name, field)
    assert outcome.sent["files"] == 3


def test_named_device_is_copied_as_one_and_without_the_option_is_special(tmp_path, target):
    os.mkfifo(tmp_path / "fifo")
    outcome = copy(tmp_path / "fifo", target)
    assert [event.code for _, event in outcome.events] == [FAST_SPECIAL] and os.listdir(target) == []
    (target / "fifo").write_bytes(b"old")
    assert copy(tmp_path / "fifo", target, **DEVICES).events == []
    assert (target / "fifo").is_fifo() and os.listdir(target) == ["fifo"]


def test_dry_run_lists_links_and_devices_and_makes_none(tmp_path, target):
    source = tmp_path / "tree"
    source.mkdir()
    os.symlink("nowhere", source / "link")
    os.mkfifo(source / "fifo")
    sending = {"keeps_links": True, "keeps_devices": True, "is_dry_run": True}
    outcome = copy(source, target, sending=sending)
    listed = {event.path for _, event in outcome.events if event.kind == LISTED}
    assert listed == {b"tree", b"tree/link", b"tree/fifo"} and os.listdir(target) == []


def test_excluded_links_are_left_out(tmp_path, target):
    source = tmp_path / "tree"
    source.mkdir()
    for name in ("a.x", "b"):
        os.symlink("nowhere", source / name)
    sending = {"keeps_links": True, "filters": [(False, b"*.x")]}
    assert copy(source, target, sending=sending, receiving=LINKS["receiving"]).events == []
    assert os.listdir(target / "tree") == ["b"]


# ---- What a hostile sender may try ------------------------------------------------------------------

BAD = {
    "no_target": (encode_entry(kind=LINK, id=1, path=b"x"), FAST_PROTOCOL),
    "empty_target": (link(b"x", b""), FAST_PROTOCOL),
    "long_target": (link(b"x", b"n" * 4096), FAST_PROTOCOL),
    "nul_in_target": (link(b"x", b"a\0b"), FAST_PROTOCOL),
    "two_targets": (
        encode_entry(kind=LINK, id=1, path=b"x", extras=encode_extra(TARGET, b"y") * 2),
        FAST_PROTOCOL,
    ),
    "link_with_size": (link(b"x", b"y", size=1), FAST_PROTOCOL),
    "link_with_device": (
        encode_entry(
            kind=LINK, id=1, path=b"x",
            extras=encode_extra(TARGET, b"y") + encode_extra(NODE, bytes([3]) + bytes(8)),
        ),
        FAST_PROTOCOL,
    ),
    "link_above": (link(b"../x", b"y"), FAST_UNSAFE),
    "first_above": (hard_link(b"x", b"../outside"), FAST_UNSAFE),
    "first_absolute": (hard_link(b"x", b"/etc/passwd"), FAST_UNSAFE),
    "first_through_above": (hard_link(b"x", b"a/../../outside"), FAST_UNSAFE),
    "first_is_named_long": (hard_link(b"x", b"n" * 256), FAST_UNSAFE),
    "hard_link_with_owner": (
        encode_entry(
            kind=HARD_LINK, id=1, path=b"x", extras=encode_extra(TARGET, b"y") + encode_extra(GROUP, b"g")
        ),
        FAST_PROTOCOL,
    ),
    "no_device": (encode_entry(kind=DEVICE, id=1, path=b"x"), FAST_PROTOCOL),
    "device_0": (device(b"x", 0), FAST_PROTOCOL),
    "device_4": (device(b"x", 4), FAST_PROTOCOL),
    "device_cut": (
        encode_entry(kind=DEVICE, id=1, path=b"x", extras=encode_extra(NODE, bytes([1]) + bytes(7))),
        FAST_PROTOCOL,
    ),
    "file_with_target": (
        encode_entry(kind=SMALL, id=1, path=b"x", extras=encode_extra(TARGET, b"y")),
        FAST_PROTOCOL,
    ),
    "question": (encode_entry(kind=8, id=1, path=b"x", extras=encode_extra(TARGET, b"y")), FAST_PROTOCOL),
    "kind_10": (encode_entry(kind=10, id=1, path=b"x", extras=encode_extra(TARGET, b"y")), FAST_PROTOCOL),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "code"), BAD.values(), ids=BAD.keys())
def test_malformed_link_or_device_is_refused(tmp_path, target, entry, code):
    (tmp_path / "outside").write_bytes(b"precious")
    options = {"keeps_links": True, "keeps_hard_links": True, "keeps_devices": True}
    with Sender(target, **options) as sender:
        sender.send_entries(entry)
        assert sender.wait(FATAL).code == code
    assert os.listdir(target) == [] and (tmp_path / "outside").stat().st_nlink == 1

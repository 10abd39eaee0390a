"""Owners, modes, times, extended attributes and ACLs: kept where asked for, after the contents, bounded."""

import errno
import grp
import json
import os
import pwd
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from escp._fast.crypto.digest import digest_of
from escp._fast.planes.plane import FATAL, FILE_FAILED
from escp._fast.wire.payloads import encode_entry, encode_extra, encode_xattr
from escp.failures import FAST_LACKS, FAST_PROTOCOL, FAST_SYS, FAST_XATTR
from tests.support.folders import new_folder
from tests.support.loopback import BLOCK, copy
from tests.support.nobody import AS_NOBODY, needs_nobody
from tests.support.peers import DIRECTORY, IS_BUNDLE, LARGE_END, LINK, SMALL, Receiver, Sender

ROOT = Path(__file__).parents[3]
USER, GROUP = 3, 4  # types of extras
LACKS_OWNER, LACKS_XATTRS, LACKS_ACL, LACKS_MODE, LACKS_TIMES = (1 << i for i in range(5))
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
NS = (10**18 + 7, 10**18 + 123_456_789)
SIZES = {"small": 5, "large": 3 * BLOCK + 1}

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are root's to give")


def acl(*entries):
    """(tag, permissions, id) each: 1 user's, 2 a user's, 4 group's, 8 a group's, 16 mask, 32 others'."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
SAMPLE = acl((1, 6, NOBODY), (2, 4, 1234), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))


def make_tree(top):
    """Files, small and large, in a directory; what they have is the caller's business."""
    (top / "d" / "e").mkdir(parents=True)
    for name, size in SIZES.items():
        (top / "d" / name).write_bytes(b"x" * size)
    return [top / "d" / "e", *(top / "d" / name for name in SIZES), top / "d", top]


def pairs(source, target, paths):
    return [(path, target / source.name / path.relative_to(source)) for path in paths]


def xattrs_of(path):
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


# ---- Owners, modes, times ---------------------------------------------------------------------------


@is_root
@pytest.mark.parametrize("has_tmpfile", [True, False])
@pytest.mark.parametrize("has_names", [True, False])
@pytest.mark.parametrize("keeps_attributes", [True, False])
def test_owners_are_kept_and_setuid_only_with_modes(
    tmp_path, target, keeps_attributes, has_names, has_tmpfile
):
    paths = make_tree(tmp_path / "tree")
    for path in paths:
        os.chown(path, 12345, 54321)
        os.chmod(path, 0o7751)
        os.utime(path, ns=NS)
    receiving = {"keeps_owner": True, "keeps_attributes": keeps_attributes, "has_tmpfile": has_tmpfile}
    outcome = copy(tmp_path / "tree", target, n_streams=2,
                   sending={"keeps_owner_names": has_names}, receiving=receiving)  # fmt: skip
    assert outcome.events == []
    for path, copied in pairs(tmp_path / "tree", target, paths):
        status = copied.stat()
        assert (status.st_uid, status.st_gid) == (12345, 54321)
        wanted = 0o7751 if keeps_attributes else 0o1751 if path.is_dir() else 0o751
        assert stat.S_IMODE(status.st_mode) == wanted, path
        assert (status.st_mtime_ns == NS[1]) is keeps_attributes


@is_root
def test_without_owners_all_is_the_receivers_and_nothing_setuid(tmp_path, target):
    paths = make_tree(tmp_path / "tree")
    for path in paths:
        os.chown(path, 12345, 54321)
        os.chmod(path, 0o6751)
    assert copy(tmp_path / "tree", target, receiving={"keeps_attributes": True}).events == []
    for _, copied in pairs(tmp_path / "tree", target, paths):
        status = copied.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o751)


@is_root
@pytest.mark.parametrize("has_existing", [True, False])
def test_owner_wins_over_that_of_the_file_that_was_there(tmp_path, target, has_existing):
    (tmp_path / "x").write_bytes(b"new")
    os.chown(tmp_path / "x", 12345, 54321)
    if has_existing:
        (target / "x").write_bytes(b"old")
        os.chown(target / "x", 7, 8)
    assert copy(tmp_path / "x", target, receiving={"keeps_owner": True}).events == []
    assert ((target / "x").stat().st_uid, (target / "x").stat().st_gid) == (12345, 54321)


def test_times_are_kept_to_the_nanosecond(tmp_path, target):
    paths = make_tree(tmp_path / "tree")
    for i, path in enumerate(paths):
        os.utime(path, ns=(NS[0] + i, NS[1] + 1000 * i))
    assert copy(tmp_path / "tree", target, receiving={"keeps_attributes": True}).events == []
    for i, (_, copied) in enumerate(pairs(tmp_path / "tree", target, paths)):
        assert copied.stat().st_mtime_ns == NS[1] + 1000 * i
        if not copied.is_dir():  # walking through one reads it, which moves its atime on
            assert copied.stat().st_atime_ns == NS[0] + i


@is_root
def test_owners_go_by_name_where_the_receiver_knows_it(target):
    """The sender's numbers are others: those of the receiver's host count."""
    user, group = pwd.getpwnam("daemon"), grp.getgrnam("mail")
    names = encode_extra(USER, b"daemon") + encode_extra(GROUP, b"mail")
    strangers = encode_extra(USER, b"no-such-user-\xff") + encode_extra(GROUP, b"n" * 255)
    with Sender(target, keeps_owner=True) as sender:
        for id, (path, extras) in enumerate(((b"known", names), (b"unknown", strangers), (b"none", b"")), 1):
            sender.send_small(path, id=id, uid=4000, gid=5000, extras=extras)
        sender.send_entries(
            *[
                encode_entry(kind=DIRECTORY, id=10 + i, path=b"d%d" % i, uid=1, gid=1, extras=names)
                for i in range(600)  # the same names: looked up once
            ]
        )
        assert {result[1] for result in sender.receive_results(603)} == {0}
        sender.finish()
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in target.iterdir()}
    assert owners["known"] == owners["d0"] == owners["d599"] == (user.pw_uid, group.gr_gid)
    assert owners["unknown"] == owners["none"] == (4000, 5000)


@is_root
def test_sender_tells_names(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    os.chown(tmp_path / "x", pwd.getpwnam("daemon").pw_uid, 54321)
    with Receiver((os.fsencode(tmp_path / "x"), b"x"), keeps_owner_names=True) as receiver:
        (entry,) = receiver.receive_entries()
        assert entry["extras"] == encode_extra(USER, b"daemon") and entry["gid"] == 54321


@is_root
@pytest.mark.parametrize("field", ["uid", "gid"])
def test_owner_that_chown_takes_for_none_is_refused(target, field):
    """And without its owner it gets no setuid bits."""
    with Sender(target, keeps_owner=True, keeps_attributes=True, names_attributes=True) as sender:
        sender.send_small(b"x", mode=0o6755, **{field: 2**32 - 1})
        assert sender.receive_results(1)[0][1] == FAST_LACKS + LACKS_OWNER
        assert sender.wait(FILE_FAILED).code == FAST_LACKS + LACKS_OWNER
        sender.finish()
    assert stat.S_IMODE(os.stat(target / "x").st_mode) == 0o755


@is_root
def test_sender_that_does_not_know_what_lacks_hears_of_a_failure(target):
    with Sender(target, keeps_owner=True) as sender:
        sender.send_small(b"x", uid=2**32 - 1)
        assert sender.receive_results(1)[0][1:4:2] == (FAST_SYS, errno.EINVAL)
        counts = sender.plane.counters()  # both ends must agree on them
        assert (counts["files"], counts["failed"]) == (0, 1)
        sender.finish()
    assert os.listdir(target) == ["x"]


# ---- Extended attributes and ACLs -------------------------------------------------------------------

KEEP = {"sending": {"keeps_xattrs": True}, "receiving": {"keeps_xattrs": True, "names_attributes": True}}
KEEP_ACLS = {"sending": {"keeps_acls": True}, "receiving": {"keeps_acls": True, "names_attributes": True}}


@is_root
@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_attributes_are_kept_on_files_and_directories(tmp_path, target, has_tmpfile):
    paths = make_tree(tmp_path / "tree")
    for path in paths:
        os.setxattr(path, "user.text", os.fsencode(path.name))
        os.setxattr(path, "user.empty", b"")
        os.setxattr(path, "user.\xff\u20ac", bytes(range(256)))
        os.setxattr(path, "trusted.x", b"root's")
        os.setxattr(path, "security.x", b"label")
        os.utime(path, ns=NS)
    receiving = {"keeps_xattrs": True, "keeps_attributes": True, "has_tmpfile": has_tmpfile}
    outcome = copy(tmp_path / "tree", target, n_streams=2, sending=KEEP["sending"], receiving=receiving)
    assert outcome.events == []
    for path, copied in pairs(tmp_path / "tree", target, paths):
        assert xattrs_of(copied) == xattrs_of(path) and len(xattrs_of(path)) == 5
        assert copied.stat().st_mtime_ns == NS[1]


@pytest.mark.parametrize(
    "options", [{}, {"sending": {"keeps_xattrs": True}}, {"receiving": KEEP["receiving"]}]
)
def test_attributes_are_kept_only_when_both_sides_want_them(tmp_path, target, options):
    paths = make_tree(tmp_path / "tree")
    for path in paths:
        os.setxattr(path, "user.x", b"value")
    assert copy(tmp_path / "tree", target, **options).events == []
    for _, copied in pairs(tmp_path / "tree", target, paths):
        assert xattrs_of(copied) == {}


def test_many_files_with_attributes_fill_more_than_one_message(tmp_path, target):
    """60 x 3000 bytes: a bundle's metadata is cut where it would grow beyond 256 KiB."""
    source = tmp_path / "tree"
    source.mkdir()
    for i in range(200):
        (source / f"{i}").write_bytes(b"%d" % i)
        os.setxattr(source / f"{i}", "user.x", bytes([i]) * 3000)
        (source / f"d{i}").mkdir()
        os.setxattr(source / f"d{i}", "user.x", bytes([i]) * 3000)
    outcome = copy(source, target, **KEEP)
    assert outcome.events == [] and outcome.sent["files"] == 200
    for i in range(200):
        copied = target / "tree" / f"{i}"
        assert copied.read_bytes() == b"%d" % i
        assert os.getxattr(copied, "user.x") == os.getxattr(target / "tree" / f"d{i}", "user.x")
        assert os.getxattr(copied, "user.x") == bytes([i]) * 3000


@pytest.fixture
def mounted(tmp_path):
    """A file system of a kind that the test names, in the memory."""
    places = []

    def mount(kind):
        place = tmp_path / kind
        place.mkdir()
        if subprocess.run(["mount", "-t", kind, "none", place], capture_output=True).returncode:
            pytest.skip(f"can't mount {kind}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


@is_root
def test_what_the_file_system_can_not_keep_is_reported_once(tmp_path, mounted):
    """Files and directories are there all the same."""
    paths = make_tree(tmp_path / "tree")
    for path in paths:
        if path.name != "d":
            os.setxattr(path, "user.x", b"value")
    target = mounted("ramfs")
    outcome = copy(tmp_path / "tree", target, **KEEP)
    lacking = [
        (b"tree" + name, FAST_LACKS + LACKS_XATTRS) for name in (b"", b"/d/e", b"/d/small", b"/d/large")
    ]
    for wants_sender in (False, True):
        events = [event for is_sender, event in outcome.events if is_sender == wants_sender]
        assert sorted((event.path, event.code) for event in events) == sorted(lacking)
    assert sorted(os.listdir(target / "tree" / "d")) == ["e", "large", "small"]


@is_root
def test_more_attributes_than_the_protocol_carries_fail(mounted):
    """tmpfs takes more of them than ext4."""
    place = mounted("tmpfs")
    source, target = place / "tree", place / "target"
    source.mkdir()
    target.mkdir()
    for name in ("many", "good"):
        (source / name).write_bytes(b"x")
    try:
        for i in range(257):
            os.setxattr(source / "many", f"user.{i}", b"")
    except OSError:
        pytest.skip("this kernel's tmpfs takes no user attributes")
    outcome = copy(source, target, **KEEP)
    assert [(event.code, event.path) for _, event in outcome.events] == [
        (FAST_XATTR, os.fsencode(source / "many"))
    ]
    assert os.listdir(target / "tree") == ["good"]
    os.removexattr(source / "many", "user.0")
    assert copy(source, target, **KEEP).events == []
    assert len(os.listxattr(target / "tree" / "many")) == 256


@is_root
@pytest.mark.parametrize("has_default", [True, False])
@pytest.mark.parametrize("keeps_attributes", [True, False])
def test_acls_are_kept_and_inherited_ones_are_not(tmp_path, target, keeps_attributes, has_default):
    paths = make_tree(tmp_path / "tree")
    plain = tmp_path / "tree" / "d" / "plain"
    plain.write_bytes(b"x")
    os.chmod(plain, 0o604)
    for path in paths:
        os.setxattr(path, ACCESS, SAMPLE)
        if path.is_dir():
            os.setxattr(path, DEFAULT, acl((1, 7, NOBODY), (4, 5, NOBODY), (32, 5, NOBODY)))
    if has_default:
        inherited = acl((1, 7, NOBODY), (2, 7, 99), (4, 7, NOBODY), (16, 7, NOBODY), (32, 7, NOBODY))
        os.setxattr(target, DEFAULT, inherited)
    receiving = {"keeps_acls": True, "keeps_attributes": keeps_attributes}
    outcome = copy(tmp_path / "tree", target, sending=KEEP_ACLS["sending"], receiving=receiving)
    assert outcome.events == []
    for path, copied in pairs(tmp_path / "tree", target, [*paths, plain]):
        assert xattrs_of(copied) == xattrs_of(path), path
        assert copied.stat().st_mode == path.stat().st_mode


@is_root
def test_acls_replace_those_of_the_file_that_was_there(tmp_path, target):
    (tmp_path / "x").write_bytes(b"new")
    os.setxattr(tmp_path / "x", ACCESS, SAMPLE)
    (target / "x").write_bytes(b"old")
    os.chmod(target / "x", 0o600)
    assert copy(tmp_path / "x", target, **KEEP_ACLS).events == []
    assert os.getxattr(target / "x", ACCESS) == SAMPLE


@is_root
def test_acl_that_can_not_be_set_is_lacking(target):
    with Sender(target, keeps_acls=True, names_attributes=True) as sender:
        sender.send_small(b"x", extras=encode_xattr(ACCESS.encode(), b"garbage"))
        assert sender.receive_results(1)[0][1] == FAST_LACKS + LACKS_ACL
        sender.finish()
    assert os.listdir(target) == ["x"]


def send_with(sender, id, path, *xattrs, **fields):
    sender.send_small(path, id=id, extras=b"".join(encode_xattr(*one) for one in xattrs), **fields)
    return sender.receive_results(1)[0][1]


CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # net_bind_service, effective


@is_root
@pytest.mark.parametrize("keeps_owner", [True, False])
@pytest.mark.parametrize("keeps_attributes", [True, False])
def test_capabilities_are_set_like_setuid_bits(target, keeps_owner, keeps_attributes):
    options = {"keeps_owner": keeps_owner, "keeps_attributes": keeps_attributes}
    with Sender(target, keeps_xattrs=True, **options) as sender:
        assert send_with(sender, 1, b"x", (b"security.capability", CAPABILITY), (b"user.x", b"y")) == 0
        sender.finish()
    assert set(xattrs_of(target / "x")) == {"user.x"} | (
        {"security.capability"} if keeps_owner and keeps_attributes else set()
    )


def test_receiver_sets_only_what_it_asked_for(target):
    with Sender(target, keeps_acls=True) as sender:
        assert send_with(sender, 1, b"x", (b"user.x", b"y"), (b"trusted.x", b"y"), (b"security.x", b"y")) == 0
        sender.finish()
    with Sender(target, keeps_xattrs=True) as sender:
        assert send_with(sender, 1, b"z", (ACCESS.encode(), SAMPLE), (DEFAULT.encode(), SAMPLE)) == 0
        sender.finish()
    assert xattrs_of(target / "x") == xattrs_of(target / "z") == {}


# ---- As any user ------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
from pathlib import Path
from tests.support.loopback import copy
outcome = copy(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
print(json.dumps([[event.code, event.errno, event.path.decode()] for _, event in outcome.events]))
"""


@pytest.fixture
def public():
    """A place where another user may work."""
    with new_folder(mode=0o755) as place:
        yield place


def copy_as_nobody(source, target, **options):
    done = subprocess.run(
        [*AS_NOBODY, sys.executable, "-c", SCRIPT, source, target, json.dumps(options)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_nobody
@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_any_user_keeps_user_attributes_of_read_only_files_too(public, has_tmpfile):
    paths = make_tree(public / "tree")
    for path in paths:
        os.setxattr(path, "user.x", b"value")
        os.setxattr(path, "trusted.x", b"root's")
        os.setxattr(path, "security.x", b"root's")
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    (public / "target").mkdir()
    os.chown(public / "target", 65534, 65534)
    receiving = {"keeps_xattrs": True, "has_tmpfile": has_tmpfile}
    assert (
        copy_as_nobody(public / "tree", public / "target", sending=KEEP["sending"], receiving=receiving) == []
    )
    for path, copied in pairs(public / "tree", public / "target", paths):
        assert xattrs_of(copied) == {"user.x": b"value"}
        assert stat.S_IMODE(copied.stat().st_mode) == stat.S_IMODE(path.stat().st_mode)


@needs_nobody
def test_owner_that_may_not_be_set_is_reported(public):
    (public / "x").write_bytes(b"x")
    (public / "target").mkdir()
    os.chown(public / "target", 65534, 65534)
    events = copy_as_nobody(
        public / "x", public / "target", receiving={"keeps_owner": True, "names_attributes": True}
    )
    assert {(code, number) for code, number, _ in events} == {(FAST_LACKS + LACKS_OWNER, 1)}
    assert os.listdir(public / "target") == ["x"]


# ---- What a hostile sender may try ------------------------------------------------------------------


def small(*items):
    return encode_entry(kind=SMALL, id=1, path=b"x", extras=b"".join(items))


BAD = {
    "other_name_space": small(encode_xattr(b"system.nfs4_acl", b"")),
    "name_space_alone": small(encode_xattr(b"user.", b"")),
    "no_name_space": small(encode_xattr(b"x", b"")),
    "no_name": small(encode_xattr(b"", b"value")),
    "nul_in_name": small(encode_xattr(b"user.a\0b", b"")),
    "name_longer_than_item": small(encode_extra(2, b"\xffuser.x")),
    "value_beyond": small(encode_xattr(b"user.x", bytes(65537))),
    "257_attributes": small(*[encode_xattr(b"user.%d" % i, b"") for i in range(257)]),
    "empty_item": small(encode_extra(2, b"")),
    "unknown_type": small(encode_extra(6, b"x")),
    "type_0": small(encode_extra(0, b"x")),
    "two_users": small(encode_extra(USER, b"a"), encode_extra(USER, b"b")),
    "empty_group": small(encode_extra(GROUP, b"")),
    "long_group": small(encode_extra(GROUP, b"n" * 256)),
    "nul_in_user": small(encode_extra(USER, b"root\0")),
    "length_beyond_extras": small(encode_extra(USER, b"root", 5)),
    "longest_length": small(encode_extra(USER, b"root", (1 << 24) - 1)),
    "cut": small(encode_extra(USER, b"root")[:3]),
    "beyond_128_kib": small(encode_xattr(b"user.x", bytes(65536)) * 2),
    "attributes_of_a_link": encode_entry(
        kind=LINK, id=1, path=b"x", extras=encode_extra(1, b"y") + encode_xattr(b"user.x", b"")
    ),
    "not_there": encode_entry(kind=SMALL, id=1, path=b"x", flags=2),
    "of_length_0": encode_entry(kind=SMALL, id=1, path=b"x", flags=2) + bytes(4),
    "of_4_gib": encode_entry(kind=SMALL, id=1, path=b"x", flags=2)
    + b"\xff" * 4
    + encode_extra(USER, b"root"),
}


@pytest.mark.parametrize("entry", BAD.values(), ids=BAD.keys())
def test_malformed_extras_are_refused(target, entry):
    with Sender(target, keeps_xattrs=True, keeps_acls=True) as sender:
        sender.send_entries(entry)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert os.listdir(target) == []


def test_extras_of_a_large_file_wait_for_its_last_block(target):
    """They come with its end, before blocks on other streams; the message they came in is gone by then."""
    data = os.urandom(2 * BLOCK)
    xattrs = encode_xattr(b"user.x", b"v" * 3000)
    with Sender(target, keeps_xattrs=True, n_streams=2) as sender:
        sender.send_large(b"x", len(data))
        sender.send_large(b"x", len(data), stream=1)
        sender.send_data(data[:BLOCK], id=1)
        end = encode_entry(
            kind=LARGE_END, id=1, path=b"x", size=len(data), digest=digest_of(data), extras=xattrs
        )
        sender.send_entries(end)
        assert send_with(sender, 2, b"y", (b"user.y", bytes(4000))) == 0  # so the end has been taken
        while sender.plane.counters()["bytes_disk"] < BLOCK + 4:
            pass
        sender.send_data(data[BLOCK:], id=1, offset=BLOCK, stream=1)
        assert sender.receive_results(1, stream=1)[0][1] == 0
    assert os.getxattr(target / "x", "user.x") == b"v" * 3000
    assert (target / "x").read_bytes() == data


def test_second_end_does_not_leak_or_replace_extras(target):
    with Sender(target, keeps_xattrs=True) as sender:
        sender.send_large(b"x", BLOCK)
        end = encode_entry(kind=LARGE_END, id=1, path=b"x", size=BLOCK, extras=encode_xattr(b"user.x", b"y"))
        sender.send_entries(end, end)
        assert sender.wait(FATAL).code == FAST_PROTOCOL
    assert os.listdir(target) == []


def test_bundle_with_attributes_arrives(target):
    with Sender(target, keeps_xattrs=True) as sender:
        sender.send_entries(
            *[
                encode_entry(kind=SMALL, id=i, path=b"%d" % i, size=1, digest=digest_of(b"%d" % i),
                             extras=encode_xattr(b"user.x", b"%d" % i))
                for i in range(1, 10)
            ]
        )  # fmt: skip
        sender.send_data(b"123456789", flags=IS_BUNDLE)
        assert {result[1] for result in sender.receive_results(9)} == {0}
        sender.finish()
    for i in range(1, 10):
        assert os.getxattr(target / f"{i}", "user.x") == b"%d" % i == (target / f"{i}").read_bytes()

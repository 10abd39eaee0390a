"""Nothing that comes for one root is written, read or changed outside that root, though it be in the target.

The target is a home directory, `proj` was asked for, and `.ssh` lies beside it.
"""

import os

import pytest

from escp._fast.planes.plane import FATAL
from escp._fast.wire.payloads import encode_entry
from escp.failures import FAST_UNSAFE
from tests._fast.files.test_links import device, hard_link, link
from tests._fast.receive.test_hostile_sender import send_one
from tests.support.loopback import copy
from tests.support.peers import ASKS_DIRECTORY, DIRECTORY, IS_SAME, QUERY, SMALL, Sender

KINDS = ["small", "large", "directory", "link", "hard_link", "first", "device", "query", "query_directory"]
OPTIONS = {
    "keeps_hard_links": True,
    "keeps_devices": True,
    "selection": "newer",
    "keeps_attributes": True,
}  # keeps_links is the difference between the first and the second copy
has_both_ways = pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
has_both_lists = pytest.mark.parametrize("has_roots", [True, False], ids=["roots", "no_roots"])


@pytest.fixture
def home(tmp_path):
    """It looks the same afterwards, but for `proj`."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "there").write_bytes(b"precious")
    os.utime(home / ".ssh", ns=(10**18, 10**18))
    yield home
    status = (home / ".ssh").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18, 0o700)
    assert os.listdir(home / ".ssh") == ["there"]
    assert (home / ".ssh" / "there").stat().st_nlink == 1
    assert not list(home.rglob(".escp-*"))


def open_sender(home, *, has_openat2, has_roots, roots=((b"proj", True),), **options):
    sender = Sender(home, has_openat2=has_openat2, has_roots=has_roots, **{**OPTIONS, **options})
    for name, is_directory in roots if has_roots else ():
        sender.plane.allow(name, is_directory)
    return sender


def send(sender, kind, directory, id=1):
    """Something in that directory, or (of "directory") about it; its result's code."""
    path = directory + b"/there"
    if kind in ("small", "large"):
        return send_one(sender, {"small": 1, "large": 2}[kind], path, id)
    entry = {
        "directory": lambda: encode_entry(kind=DIRECTORY, id=id, path=directory, mode=0o777),
        "link": lambda: link(path, b"x", id),
        "hard_link": lambda: hard_link(path, b"proj/own", id),
        "first": lambda: hard_link(b"proj/new", path, id),
        "device": lambda: device(path, id=id),
        "query": lambda: encode_entry(kind=QUERY, id=id, path=path, size=8),
        "query_directory": lambda: encode_entry(kind=QUERY, id=id, path=directory, flags=ASKS_DIRECTORY),
    }[kind]()
    sender.send_entries(entry)
    (result,) = sender.receive_results(1)
    assert result[0] == id
    return result[1]


@has_both_ways
@has_both_lists
@pytest.mark.parametrize("text", [b"../.ssh", b"d/../../.ssh"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "link"])
def test_link_of_an_earlier_copy_leads_nothing_out_of_its_root(home, kind, text, has_roots, has_openat2):
    with open_sender(home, has_openat2=has_openat2, has_roots=has_roots, keeps_links=True) as sender:
        sender.send_entries(link(b"proj/link", text), encode_entry(kind=DIRECTORY, id=2, path=b"proj/d"))
        assert [result[1] for result in sender.receive_results(2)] == [0, 0]
        sender.finish()
    (home / "proj" / "own").write_bytes(b"own")
    with open_sender(home, has_openat2=has_openat2, has_roots=has_roots) as sender:
        assert send(sender, kind, b"proj/link") == FAST_UNSAFE
        sender.finish()
    assert sorted(os.listdir(home)) == [".ssh", "proj"]
    assert sorted(os.listdir(home / "proj")) == ["d", "link", "own"]


@has_both_ways
@has_both_lists
@pytest.mark.parametrize("keeps_links", [True, False])
@pytest.mark.parametrize("text", [b".ssh", b"nowhere"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("link", "hard_link")])
def test_root_that_became_a_link_is_not_followed(home, kind, text, keeps_links, has_roots, has_openat2):
    os.symlink(text, home / "proj")
    with open_sender(home, has_openat2=has_openat2, has_roots=has_roots, keeps_links=keeps_links) as sender:
        assert send(sender, kind, b"proj") == FAST_UNSAFE
        sender.finish()
    assert sorted(os.listdir(home)) == [".ssh", "proj"] and os.readlink(home / "proj") == os.fsdecode(text)


@pytest.mark.parametrize("text", ["real", "sub/../real", "sub/back"])
@has_both_lists
def test_link_that_stays_inside_its_root_is_followed(home, text, has_roots):
    (home / "proj" / "real").mkdir(parents=True)
    (home / "proj" / "sub").mkdir()
    os.symlink("../real", home / "proj" / "sub" / "back")
    os.symlink(text, home / "proj" / "link")
    with open_sender(home, has_openat2=True, has_roots=has_roots) as sender:
        assert send_one(sender, SMALL, b"proj/link/x") == 0
        sender.finish()
    assert (home / "proj" / "real" / "x").read_bytes() == b"evil"


def test_contents_that_go_straight_into_the_target_may_follow_what_stays_in_it(home):
    """`host:proj/.`: the target itself is the root."""
    (home / "real").mkdir()
    os.symlink("real", home / "link")
    with open_sender(home, has_openat2=True, has_roots=True, roots=[(b"", True)]) as sender:
        assert send_one(sender, SMALL, b"link/x") == 0
        sender.finish()
    assert (home / "real" / "x").read_bytes() == b"evil"


@has_both_ways
@pytest.mark.parametrize("link", ["2026", "2026/a", "2026/a/link"])
@pytest.mark.parametrize("is_directory", [True, False])
def test_root_of_several_components_is_reached_over_no_link(home, link, is_directory, has_openat2):
    os.makedirs((home / link).parent, exist_ok=True)
    os.symlink(home / ".ssh" if link == "2026" else "../" * link.count("/") + ".ssh", home / link)
    root = b"2026/a" if is_directory else b"2026/a/link/x"
    path = b"2026/a/link/x"
    with open_sender(home, has_openat2=has_openat2, has_roots=True, roots=[(root, is_directory)]) as sender:
        assert send_one(sender, SMALL, path) == FAST_UNSAFE
        sender.finish()


def test_root_is_made_with_all_that_is_missing_above_it(home):
    with open_sender(home, has_openat2=True, has_roots=True, roots=[(b"2026/a/b", True)]) as sender:
        assert send_one(sender, SMALL, b"2026/a/b/c/d/x") == 0
        sender.finish()
    assert (home / "2026/a/b/c/d/x").read_bytes() == b"evil"


def test_directory_that_was_reached_over_a_link_is_not_so_for_another_root(home):
    """What is open already counts for its own root only."""
    (home / "proj" / "real").mkdir(parents=True)
    os.symlink("real", home / "proj" / "link")
    roots = [(b"proj", True), (b"proj/link", True)]
    with open_sender(home, has_openat2=True, has_roots=True, roots=roots) as sender:
        assert send_one(sender, SMALL, b"proj/link/x") == 0
        assert send_one(sender, DIRECTORY, b"proj", 2) == 0
        assert send_one(sender, SMALL, b"proj/link/y", 3) == FAST_UNSAFE
        sender.finish()
    assert os.listdir(home / "proj" / "real") == ["x"]


def test_question_is_answered_below_a_link_that_stays_inside(home):
    (home / "proj" / "real").mkdir(parents=True)
    (home / "proj" / "real" / "there").write_bytes(b"precious")
    os.symlink("real", home / "proj" / "link")
    with open_sender(home, has_openat2=True, has_roots=True) as sender:
        sender.send_entries(encode_entry(kind=QUERY, id=1, path=b"proj/link/there", size=8))
        assert sender.receive_results(1)[0][1:3] == (0, IS_SAME)


@pytest.mark.parametrize("is_local", [False, True], ids=["tcp", "local"])
@pytest.mark.parametrize("has_openat2", [True, False], ids=["openat2", "by_component"])
def test_second_copy_of_an_honest_sender_writes_nothing_outside(tmp_path, home, has_openat2, is_local):
    source = tmp_path / "proj"
    source.mkdir()
    (source / "link").symlink_to("../.ssh")
    sending, receiving = {"keeps_links": True}, {"keeps_links": True, "has_openat2": has_openat2}
    assert copy(source, home, is_local=is_local, sending=sending, receiving=receiving).events == []
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "link" / "authorized_keys").write_bytes(b"evil")
    outcome = copy(source, home, is_local=is_local, receiving={"has_openat2": has_openat2})
    assert {event.code for _, event in outcome.events} == {FAST_UNSAFE}
    assert all(event.kind != FATAL for _, event in outcome.events)
    assert outcome.received["files"] == 0

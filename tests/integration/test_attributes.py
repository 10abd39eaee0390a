"""Owners, times, xattrs, ACLs, links, holes and devices, in all four directions over real logins.

Most of it is one copy a direction of one tree with all there is, which several tests look at.
"""

import os
import resource
import shlex
import socket
import stat
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command import AGENT_COMMAND, COMMAND, Escp, needs_root
from tests.support.directions import ALL, LOCAL, PULL, PUSH, RELAY, in_all_directions
from tests.support.folders import new_folder
from tests.support.nobody import AS_NOBODY, NOBODY, needs_nobody
from tests.support.trees import list_tree, mode_of, write_random

MIB, GIB = 1 << 20, 1 << 30
TIME_NS = 1_234_567_890_123_456_789
SIZES = {"small": 10, "large": 300_001, "empty": 0}
LINK_TEXTS = {
    "to-file": "d/small",
    "to-directory": "d",
    "dangling": "nowhere",
    "absolute": "/etc/passwd",
    "escaping": "../../../../etc",
    "above": "..",
    "itself": "itself",
}


def make_acl(*entries: tuple[int, int, int]) -> bytes:
    """(tag, permissions, id) each: 1 owner, 2 a user, 4 group, 16 mask, 32 others; as the kernel has it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 0xFFFFFFFF
ACL = make_acl((1, 7, NO_ID), (2, 5, 1234), (4, 4, NO_ID), (16, 5, NO_ID), (32, 0, NO_ID))
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


@pytest.fixture
def folder():
    """As the usual one, but others may look into it: some tests are run as another user."""
    with new_folder(mode=0o755) as path:
        yield path


# ---- Everything at once -----------------------------------------------------------------------------


def make_everything(top: Path) -> None:
    (top / "d" / "e").mkdir(parents=True)
    for name, size in SIZES.items():
        write_random(top / "d" / name, size)
    for number, name in enumerate(("d", "d/small", "d/large")):
        os.setxattr(top / name, "user.escp", b"\0value" * (number + 1))
        os.setxattr(top / name, "trusted.escp", b"root's")
    for name in ("d/e", "d/small", "d/large"):
        os.setxattr(top / name, ACCESS, ACL)
    os.setxattr(top / "d" / "e", DEFAULT, ACL)
    for name, text in LINK_TEXTS.items():
        (top / name).symlink_to(text)
    (top / "names").mkdir()
    for name in ("small", "large"):
        for other in ("one", "two"):
            (top / "names" / f"{name}-{other}").hardlink_to(top / "d" / name)
    for number, path in enumerate(list_paths(top)):
        os.chown(path, 10_000 + number, 20_000 + number, follow_symlinks=False)
    (top / "d" / "small").chmod(0o6755)
    (top / "d" / "large").chmod(0o4750)
    (top / "d").chmod(0o2770)
    for number, path in enumerate(list_paths(top)):
        os.utime(path, ns=(TIME_NS + number, TIME_NS + 1000 * number + 1), follow_symlinks=False)


def list_paths(top: Path) -> list[Path]:
    return sorted([*top.rglob("*"), top], reverse=True)


@pytest.fixture(scope="module", params=ALL, ids=lambda way: way.name)
def everything(request, sshd):
    """(the source tree, its copy, what lstat said of both when nobody had read them), for each direction."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    with new_folder() as folder, closing(Escp(folder, sshd)) as escp:
        source, copy = folder / "source", folder / "copy"
        make_everything(source)
        agent = escp.write_agent("masked", "umask 027")
        options = "-rp --owner --numeric-ids --xattrs --acls --links --hard-links".split()
        words = request.param.source(source), request.param.target(copy)
        theirs = {path: path.lstat() for path in list_paths(source)}
        result = escp.copy("--json", *options, *words, agent=agent, umask=0o027).json[-1]
        assert (result["files"], result["directories"], result["failed"]) == (14, 4, 0), result
        pairs = [((copy / path.relative_to(source)).lstat(), theirs[path], path) for path in theirs]
        yield source, copy, pairs


def test_tree_is_whole(everything):
    source, copy, _ = everything
    assert list_tree(source) == list_tree(copy)


def test_times_are_kept_to_the_nanosecond(everything):
    for ours, theirs, path in everything[2]:
        assert ours.st_mtime_ns == theirs.st_mtime_ns, path
        if stat.S_ISREG(theirs.st_mode):  # looking into a directory moves its own
            assert ours.st_atime_ns == theirs.st_atime_ns, path


def test_owners_and_setuid_bits_are_kept(everything):
    """Setuid bits would be gone if the owner had been set after them."""
    _, copy, pairs = everything
    for ours, theirs, path in pairs:
        assert (ours.st_uid, ours.st_gid) == (theirs.st_uid, theirs.st_gid), path
        assert oct(ours.st_mode) == oct(theirs.st_mode), path
    assert mode_of(copy / "d" / "small") == 0o6755


def test_xattrs_are_kept(everything):
    source, copy, _ = everything
    for path in list_paths(source):
        ours = copy / path.relative_to(source)
        names = os.listxattr(path, follow_symlinks=False)
        assert sorted(os.listxattr(ours, follow_symlinks=False)) == sorted(names), path
        for name in names:
            assert os.getxattr(ours, name) == os.getxattr(path, name), (path, name)
    assert "trusted.escp" in os.listxattr(copy / "d" / "large")


def test_acls_are_kept(everything):
    _, copy, _ = everything
    for name in ("d/e", "d/small", "d/large"):
        named_user = ACL[12:20]
        assert os.getxattr(copy / name, ACCESS)[12:20] == named_user, name
    assert os.getxattr(copy / "d" / "e", DEFAULT) == ACL
    assert DEFAULT not in os.listxattr(copy / "d")


def test_links_say_the_same(everything):
    copy = everything[1]
    assert {name: os.readlink(copy / name) for name in LINK_TEXTS} == LINK_TEXTS


def test_hard_links_are_one_file(everything):
    copy = everything[1]
    for name in ("small", "large"):
        files = [copy / "d" / name, copy / "names" / f"{name}-one", copy / "names" / f"{name}-two"]
        assert len({path.stat().st_ino for path in files}) == 1 and files[0].stat().st_nlink == 3


@needs_root
@in_all_directions
def test_nothing_is_kept_that_was_not_asked_for(escp, source, target, way):
    make_everything(source)
    for name in LINK_TEXTS:
        (source / name).unlink()
    escp.copy("-r", way.source(source), way.target(target))
    copy = target / "source"
    for path in list_paths(copy):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (0, 0) and not status.st_mode & 0o6000, path
        assert status.st_mtime > time.time() - 3600 and not os.listxattr(path), path
    assert (copy / "names" / "small-one").stat().st_nlink == 1


# ---- Owners -----------------------------------------------------------------------------------------


def write_other_agent(escp: Escp, folder: Path, *, daemon: int) -> Path:
    """An agent on a host on which the user and the group daemon have another number."""
    for name in ("passwd", "group"):
        lines = Path(f"/etc/{name}").read_text().splitlines()
        lines = [line for line in lines if not line.startswith("daemon:")]
        end = f"{daemon}:{daemon}::/:/bin/sh" if name == "passwd" else f"{daemon}:"
        (folder / name).write_text("\n".join([*lines, f"daemon:x:{end}", ""]))
    mounts = " && ".join(f"mount --bind {folder}/{name} /etc/{name}" for name in ("passwd", "group"))
    script = folder / "inside"
    script.write_text(f'#!/bin/sh\n{mounts} && exec "$@"\n')
    script.chmod(0o755)
    start = f'exec unshare -m {script} {" ".join(AGENT_COMMAND)} "$@"'
    return escp.write_agent("other", command=start)


@needs_root
@pytest.mark.parametrize("options", [(), ("--numeric-ids",)], ids=["by-name", "numeric"])
@pytest.mark.parametrize("way", [PUSH, PULL], ids=lambda way: way.name)
def test_owner_goes_by_name_unless_numbers_are_asked_for(escp, source, target, folder, way, options):
    agent = write_other_agent(escp, folder, daemon=4242)
    here, there = 1, 4242  # daemon's
    (source / "daemon's").write_text("x")
    first, second = (here, there) if way is PUSH else (there, here)
    os.chown(source / "daemon's", first, first)
    (source / "unknown").write_text("x")
    os.chown(source / "unknown", 31_337, 31_338)
    escp.copy("-r", "--owner", *options, way.source(source), way.target(target), agent=agent)
    wanted = first if options else second
    status = (target / "source" / "daemon's").stat()
    assert (status.st_uid, status.st_gid) == (wanted, wanted)
    status = (target / "source" / "unknown").stat()
    assert (status.st_uid, status.st_gid) == (31_337, 31_338)


REFUSED = [
    (("--owner",), "option --owner: only root can give files to others, and escp is not root "),
    (("--devices",), "option --devices: only root can make devices, and escp is not root "),
]


@needs_nobody
@pytest.mark.parametrize(("options", "message"), REFUSED, ids=["owner", "devices"])
@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL], ids=lambda way: way.name)
def test_what_only_root_may_is_refused_to_others(escp, source, target, way, options, message):
    """The pull is one within this host: nobody has no key to log in with."""
    os.mkfifo(source / "pipe")
    target.chmod(0o777)
    words = ["-r", *options, way.source(source), way.target(target / "new")]
    if way is PUSH:
        agent = escp.write_agent("nobody", command=f'exec {shlex.join((*AS_NOBODY, *AGENT_COMMAND))} "$@"')
        done = escp.fail(16, *words, agent=agent)
        assert done.error == f"box: {message}on the remote host"
    else:
        words[-2] = f"localhost:{source}" if way is PULL else source
        done = escp.fail(16, *words, prefix=AS_NOBODY, is_embedded=True)
        assert done.error == message + "here"
    assert done.hint == "leave the option out" and os.listdir(target) == []


@needs_root
def test_setuid_bits_come_last(escp, source, target, folder):
    """Nobody may ever run a file with them that is not its owner's yet."""
    for name, size in SIZES.items():
        write_random(source / name, size)
        os.chown(source / name, 1234, 1234)
        (source / name).chmod(0o6755)
    calls = folder / "calls"
    strace = ["strace", "-f", "-y", "-e", "trace=fchmod,fchown,fchownat,fchmodat,openat", "-o", str(calls)]
    escp.copy("-rp", "--owner", source, target, command=[*strace, *COMMAND])
    lines = [line.split(maxsplit=1)[1] for line in calls.read_text().splitlines()]
    owned = [number for number, line in enumerate(lines) if line.startswith("fchown") and "1234" in line]
    special = [n for n, line in enumerate(lines) if line.startswith("fchmod") and "0675" in line]
    assert len(owned) >= len(SIZES) and len(special) == len(SIZES)
    files = [line.partition("(")[2].split(",")[0] for line in lines]
    for number in special:
        assert [n for n in owned if n < number and files[n] == files[number]], lines[number]
    assert not [line for line in lines if "O_CREAT" in line and "06755" in line]


@needs_nobody
@pytest.mark.parametrize(
    "way", [PUSH, LOCAL, RELAY], ids=lambda way: way.name
)  # nobody has no key to pull with
def test_any_user_keeps_times_and_attributes_of_his_own(escp, source, target, way):
    """A user who isn't root gets no error for root's attributes either."""
    for name, size in SIZES.items():
        write_random(source / name, size)
        os.setxattr(source / name, "user.x", b"value")
        os.setxattr(source / name, "trusted.x", b"value")
        os.utime(source / name, ns=(TIME_NS, TIME_NS + 1))
        (source / name).chmod(0o444)
    target.chmod(0o777)
    agent = escp.write_agent("nobody", command=f'exec {shlex.join((*AS_NOBODY, *AGENT_COMMAND))} "$@"')
    prefix = AS_NOBODY if way is LOCAL else ()
    escp.copy("-rp", "--xattrs", "--acls", way.source(source), way.target(target), agent=agent, prefix=prefix)
    for name in SIZES:
        copy = target / "source" / name
        assert os.getxattr(copy, "user.x") == b"value" and copy.stat().st_mtime_ns == TIME_NS + 1
        assert copy.stat().st_uid == NOBODY and mode_of(copy) == 0o444


# ---- Links ------------------------------------------------------------------------------------------


@in_all_directions
@pytest.mark.parametrize("is_many", [False, True], ids=["one", "several"])
def test_links_on_the_command_line_are_copied_as_links(escp, source, target, way, is_many):
    (source / "d").mkdir()
    texts = {"to-directory": "d", "absolute": "/etc", "dangling": "nowhere"}
    for name, text in texts.items():
        (source / name).symlink_to(text)
    if is_many:
        (target / "absolute").write_text("a file, whose place the link takes")
        escp.copy("--links", *(way.source(source / name) for name in texts), way.target(target))
        assert {name: os.readlink(target / name) for name in texts} == texts
    else:
        escp.copy("--links", way.source(source / "dangling"), way.target(target / "new"))
        assert os.readlink(target / "new") == "nowhere"


@in_all_directions
def test_links_are_never_followed_when_writing(escp, source, target, folder, way):
    """Neither one that was there nor one that the same copy has just made."""
    outside = folder / "outside"
    outside.mkdir()
    (target / "source").mkdir()
    (target / "source" / "planted").symlink_to(outside)
    (target / "source" / "file").symlink_to(outside / "file")
    (source / "planted").mkdir()
    (source / "planted" / "a").write_text("a")
    (source / "file").write_text("f")
    for name in ("1", "2"):
        (source / name).mkdir()
    (source / "1" / "sent").symlink_to(outside)
    (source / "2" / "sent").mkdir()
    (source / "2" / "sent" / "b").write_text("b")
    done = escp.run("-r", "--links", way.source(source), way.source(source / "1" / "sent"),
                    way.source(source / "2" / "sent"), way.target(target))  # fmt: skip
    assert done.code == 16, done.err
    assert f"{way.host_of_target(target / 'source' / 'planted')}" in done.err
    assert f"{way.host_of_target(target / 'sent')}" in done.err
    assert os.listdir(outside) == [] and os.readlink(target / "sent") == str(outside)
    assert not (target / "source" / "file").is_symlink()


@in_all_directions
def test_hard_links_between_sources(escp, source, target, way):
    write_random(source / "a", 300_000)
    (source / "d").mkdir()
    (source / "d" / "b").hardlink_to(source / "a")
    escp.copy("-r", "--hard-links", way.source(source / "a"), way.source(source / "d"), way.target(target))
    assert (target / "a").samefile(target / "d" / "b")
    assert list_tree(target) == list_tree(source)


# ---- Holes ------------------------------------------------------------------------------------------

N_REGIONS = 64


def read_regions(path: Path) -> list[tuple[int, bytes]]:
    """Where data lies in a file with holes, and what."""
    found, at = [], 0
    with open(path, "rb", 0) as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return found
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            found.append((at, os.pread(file.fileno(), end - at, at)))
            at = end


def cpu_s() -> float:
    """What this process's children have used that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def hundred_gib():
    with new_folder() as folder:
        with open(folder / "a", "wb") as file:
            file.truncate(100 * GIB)
            for number in range(N_REGIONS):
                file.seek(number * (100 * GIB // N_REGIONS))
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())
        yield folder / "a"


@in_all_directions
def test_hundred_gib_of_holes_take_two_seconds(escp, hundred_gib, target, way):
    start_s, start_cpu_s = time.monotonic(), cpu_s()
    result = escp.copy("--json", "--sparse", way.source(hundred_gib), way.target(target)).json[-1]
    took_s, took_cpu_s = time.monotonic() - start_s, cpu_s() - start_cpu_s
    assert took_s < 10, "0.3 to 1 s on a quiet machine"
    assert took_cpu_s < 2, "holes are read: that alone takes 6 s"  # whatever else the machine has to do
    assert result["bytes"] == N_REGIONS * MIB and result["verified"] is True
    assert (N_REGIONS * MIB < result["bytes_network"] < N_REGIONS * MIB * 1.1) is (way is not LOCAL)
    status = (target / "a").stat()
    assert status.st_size == 100 * GIB and status.st_blocks <= hundred_gib.stat().st_blocks + 16
    assert read_regions(target / "a") == read_regions(hundred_gib)


@pytest.mark.parametrize(
    ("way", "options"),
    [*((way, ()) for way in ALL), (PUSH, ("-C",)), (PUSH, ("--nodirect",))],
    ids=lambda value: value.name if value in ALL else "".join(value),
)
def test_zeroes_become_holes(escp, source, target, way, options):
    data = bytes(4 * MIB) + os.urandom(MIB) + bytes(3 * MIB + 5)
    (source / "large").write_bytes(data)
    (source / "small").write_bytes(bytes(100_000))
    escp.copy(
        "--sparse", *options, way.source(source / "large"), way.source(source / "small"), way.target(target)
    )
    assert (target / "large").read_bytes() == data and (target / "small").read_bytes() == bytes(100_000)
    assert (target / "large").stat().st_blocks <= (MIB + 8192) // 512
    assert (target / "small").stat().st_blocks <= 16
    assert (source / "large").stat().st_blocks >= 8 * MIB // 512


@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL], ids=lambda way: way.name)
def test_holes_fill_up_without_the_option(escp, source, target, way):
    with open(source / "a", "wb") as file:
        file.truncate(3 * MIB)
    escp.copy(way.source(source / "a"), way.target(target))
    assert (target / "a").read_bytes() == bytes(3 * MIB)
    if way is not LOCAL:  # within one file system a copy may share the source's extents, holes too
        assert (target / "a").stat().st_blocks >= 3 * MIB // 512


# ---- Special files ----------------------------------------------------------------------------------


def make_special(top: Path) -> None:
    (top / "file").write_text("x")
    os.mkfifo(top / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(top / "socket"))
    if os.getuid() == 0:
        os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(top / "disk", 0o660 | stat.S_IFBLK, os.makedev(7, 200))


@in_all_directions
def test_special_files_are_skipped_with_a_message(escp, source, target, way):
    make_special(source)
    done = escp.fail(1, "-r", way.source(source), way.target(target))
    for name in set(os.listdir(source)) - {"file"}:
        assert f"{way.host_of_source(source / name)}: not a regular file" in done.err, name
    assert os.listdir(target / "source") == ["file"]


@needs_root
@in_all_directions
def test_devices_and_pipes_are_made_anew(escp, source, target, way):
    make_special(source)
    done = escp.fail(1, "-rp", "--devices", way.source(source), way.target(target))
    assert f"{way.host_of_source(source / 'socket')}: " in done.err and "1 failed" in done.err
    for name in ("pipe", "null", "disk"):
        ours, theirs = (target / "source" / name).lstat(), (source / name).lstat()
        assert (ours.st_mode, ours.st_rdev) == (theirs.st_mode, theirs.st_rdev), name
    assert not (target / "source" / "socket").exists()

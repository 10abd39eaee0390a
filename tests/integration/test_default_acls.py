"""Default ACLs of the target's directory: they replace the umask, as with cp, rsync and scp.

What a new directory or file gets is what mkdir(2) and open(2) of this kernel give; cp -r says what that is.
"""

import os
import shutil
import struct
import subprocess

import pytest

from tests.support.directions import LOCAL, PULL, PUSH

NO_ID = 0xFFFFFFFF
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, USER, GROUP, A_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32


def make_acl(*entries: tuple[int, ...]) -> bytes:
    """(tag, permissions[, id]) each, as the kernel has it."""
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry, *[NO_ID][: 3 - len(entry)]) for entry in entries
    )


ACLS = {
    "none": None,
    "others-nothing": make_acl((OWNER, 7), (GROUP, 5), (OTHERS, 0)),
    "others-read": make_acl((OWNER, 7), (GROUP, 5), (OTHERS, 5)),
    "all-write": make_acl((OWNER, 7), (GROUP, 7), (OTHERS, 7)),
    "owner-reads": make_acl((OWNER, 5), (GROUP, 5), (OTHERS, 0)),
    "named": make_acl((OWNER, 7), (USER, 7, 1234), (GROUP, 5), (A_GROUP, 6, 77), (MASK, 7), (OTHERS, 0)),
    "masked": make_acl((OWNER, 7), (USER, 7, 1234), (GROUP, 7), (MASK, 5), (OTHERS, 4)),
}


@pytest.fixture
def tree(source):
    for name, mode in (("usual", 0o755), ("open", 0o777), ("shut", 0o700), ("read-only", 0o555)):
        (source / name / "deep").mkdir(parents=True)
        for file, size, file_mode in (
            ("file", 9, 0o644),
            ("program", 300_000, 0o755),
            ("writable", 0, 0o666),
        ):
            (source / name / file).write_bytes(b"x" * size)
            (source / name / file).chmod(file_mode)
        (source / name).chmod(mode)
    return source


def list_rights(top):
    """Mode and ACLs of everything below *top*."""
    return {
        path.relative_to(top): (
            oct(path.stat().st_mode),
            {name: os.getxattr(path, name) for name in os.listxattr(path)},
        )
        for path in sorted(top.rglob("*"))
    }


def make_target(folder, name, acl):
    target = folder / name
    target.mkdir()
    if acl is not None:
        try:
            os.setxattr(target, DEFAULT, acl)
        except OSError as e:
            pytest.skip(f"no ACLs here: {e}")
    return target


def ask_kernel(target, mode, umask):
    """Rights of a directory that is made with *mode*: cp never lets an ACL give others the right to write."""
    before = os.umask(umask)
    (target / "probe").mkdir(mode & 0o777)
    os.umask(before)
    rights = list_rights(target)[(target / "probe").relative_to(target)]
    (target / "probe").rmdir()
    return rights


@pytest.mark.parametrize(
    ("way", "umask"),
    [(LOCAL, 0o022), (LOCAL, 0o077), (LOCAL, 0o002), (PULL, 0o077), (PUSH, 0o077)],
    ids=lambda value: getattr(value, "name", None) or oct(value),
)
@pytest.mark.parametrize("acl", ACLS)
def test_new_files_and_directories(escp, folder, tree, way, acl, umask):
    expected = make_target(folder, "expected", ACLS[acl])
    subprocess.run(["cp", "-r", tree, expected], umask=umask, check=True)
    target = make_target(folder, "ours", ACLS[acl])
    agent = escp.write_agent("masked", f"umask {umask:o}")
    escp.copy("-r", way.source(tree), way.target(target), agent=agent, umask=umask)
    ours, theirs = list_rights(target), list_rights(expected)
    assert ours.keys() == theirs.keys()
    for path in theirs:
        mode = (tree.parent / path).stat().st_mode
        if (target / path).is_dir() and way is PUSH:  # as scp, which sets the source's mode in the end
            assert ours[path][0] == oct(mode), path
        elif (target / path).is_dir() and mode & 0o022:
            assert ours[path] == ask_kernel(target, mode, umask), path
        else:
            assert ours[path] == theirs[path], path


@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL], ids=lambda way: way.name)
@pytest.mark.parametrize("acl", ["none", "owner-reads", "masked"])
def test_p_sets_the_modes_of_the_source(escp, folder, tree, way, acl):
    """As scp -p does: an ACL's named entries are left, and its mask is the mode's."""
    target = make_target(folder, "ours", ACLS[acl])
    agent = escp.write_agent("masked", "umask 077")
    escp.copy("-rp", way.source(tree), way.target(target), agent=agent, umask=0o077)
    for path in (tree, *tree.rglob("*")):
        assert oct((target / path.relative_to(tree.parent)).stat().st_mode) == oct(path.stat().st_mode), path


@pytest.mark.parametrize("acl", ["others-nothing", "named"])
@pytest.mark.parametrize("way", [PULL, LOCAL], ids=lambda way: way.name)
def test_directory_that_gets_a_new_name(escp, folder, tree, way, acl):
    (tree / "open").chmod(0o755)
    expected, target = make_target(folder, "expected", ACLS[acl]), make_target(folder, "ours", ACLS[acl])
    subprocess.run(["cp", "-r", tree, expected / "new"], umask=0o077, check=True)
    escp.copy("-r", way.source(tree), way.target(target / "new"), umask=0o077)
    assert list_rights(target) == list_rights(expected)


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL], ids=lambda way: way.name)
@pytest.mark.parametrize("old", [None, "named"])
def test_file_that_is_replaced_hands_on_its_own_acl(escp, folder, source, way, size, old):
    """Not what the directory says of new ones: cp and scp write into the old file, whose rights stay."""
    target = make_target(folder, "ours", None)
    path = target / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    if old:
        os.setxattr(path, ACCESS, ACLS[old])
    before = list_rights(target)
    os.setxattr(target, DEFAULT, make_acl((OWNER, 7), (USER, 7, 99), (GROUP, 7), (MASK, 7), (OTHERS, 7)))
    (source / "file").write_bytes(b"x" * size)
    shutil.copymode(target, source / "file")
    escp.copy(way.source(source / "file"), way.target(target))
    assert path.read_bytes() == b"x" * size
    assert list_rights(target) == before

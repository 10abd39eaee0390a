"""files/alike: whether two spellings are one file, wherever a directory's listing comes from."""

import os

import pytest

from tests.support.fuse import FuseFile, mounted
from tests.support.peers import Sender

LONGEST = 1000  # FUSE takes names of up to 1,024 bytes; no other file system more than 255


def test_name_that_is_longer_than_any_is_no_other_spelling(target):
    names = ["n" * LONGEST, "\u00e9" * (LONGEST // 2), "A", "a"]  # folded the second is half as long
    with (
        mounted(target / "d", {name: FuseFile(b"") for name in names}),
        Sender(target, is_inplace=True, names_once=True) as sender,
    ):
        sender.send_small(b"d/A", b"")
        sender.send_small(b"d/a", b"", id=2)  # both are listed: two files
        assert [result[:2] for result in sender.receive_results(2)] == [(1, 0), (2, 0)]


@pytest.mark.parametrize("n", [3000, 3830, 3840, 3900, 4080])
def test_directory_behind_a_link_has_as_long_a_path_as_there_is(target, n):
    """Its own is longer than the entry's, and with a name longer than any path of the protocol's."""
    (target / "x").mkdir()
    inside = (("d" * 200 + "/") * 21)[: n - len(os.fsencode(target / "x")) - 1].rstrip("/")
    at = os.open(target / "x", os.O_RDONLY | os.O_DIRECTORY)
    for part in inside.split("/"):
        os.mkdir(part, dir_fd=at)
        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.symlink(inside, target / "x" / "link")
    try:
        with Sender(target, names_once=True) as sender:
            for id, name in enumerate((b"N" * 255, b"n" * 255), 1):
                sender.send_small(b"x/link/" + name, b"", id=id)
            assert [result[:2] for result in sender.receive_results(2)] == [(1, 0), (2, 0)]
        assert sorted(os.listdir(at)) == ["N" * 255, "n" * 255]
    finally:
        os.close(at)

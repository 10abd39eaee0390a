"""files/alike: whether two spellings are one file, wherever a directory's listing comes from."""

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

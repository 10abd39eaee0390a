"""What is said of each errno that a source, a target or a socket may give: never a cause that it is not."""

import errno

import pytest

from escp.errors import ERRNO_HINTS, describe_errno
from escp.failures import FAILURES, FAST_NET, FAST_SYS, FULL_DISK_ERRNOS, Failure

# Of open, mkdir, write, rename, link, statfs at a target, and what its hint must be about.
TARGET = {
    "ENOENT": "create the directory", "EACCES": "may write", "EPERM": "may write", "ENOTDIR": "is a file",
    "EISDIR": "directory", "ELOOP": "links", "ENAMETOOLONG": "shorter", "ENXIO": "reads the pipe",
    "ENODEV": "device", "ETXTBSY": "program that runs", "EBUSY": "in use", "EINVAL": "such a name",
    "EROFS": "mount it writable", "ENOSPC": "make room", "EDQUOT": "quota", "EFBIG": "ulimit -f",
    "EMFILE": "ulimit -n", "ENFILE": "whole host", "ENOMEM": "other programs", "EIO": "still answer",
    "EREMOTEIO": "still answer", "ENOTCONN": "still answer", "ECONNABORTED": "still answer",
    "EHOSTDOWN": "still answer", "EHOSTUNREACH": "still answer", "ETIMEDOUT": "still answer",
    "ESHUTDOWN": "still answer", "EUCLEAN": "fsck", "ESTALE": "changes the target's names",
}  # fmt: skip
STREAM = {
    "ECONNRESET": "cut off", "EPIPE": "cut off", "ECONNABORTED": "cut off", "ETIMEDOUT": "stood still",
    "EHOSTUNREACH": "lost", "ENETUNREACH": "lost", "ENETDOWN": "lost", "EHOSTDOWN": "lost", "EBADF": "lost",
}  # fmt: skip


def test_each_hint_is_in_the_table():
    assert {errno.errorcode[number] for number in ERRNO_HINTS} == set(TARGET)


@pytest.mark.parametrize("name", TARGET)
def test_target_s_error_has_a_hint_about_itself(name):
    number = getattr(errno, name)
    hint = ERRNO_HINTS[number]
    assert TARGET[name] in hint and not hint.endswith(".")
    if number in (errno.EROFS, errno.EIO, errno.ENOTCONN, errno.EACCES):
        assert "make room" not in hint


def test_what_ends_a_session_has_a_hint():
    assert set(ERRNO_HINTS) >= FULL_DISK_ERRNOS


# EEXIST is another source's name: tests/integration/test_twins.py.
@pytest.mark.parametrize("number", sorted(errno.errorcode.keys() - {errno.EEXIST}))
def test_file_s_error_is_the_system_s_word(number):
    words = Failure(FAST_SYS, number, "read").reason
    assert words == describe_errno(number) and words and not words.endswith(".") and "the source" not in words


@pytest.mark.parametrize("name", STREAM)
def test_stream_s_error_says_which_one_and_how_it_ended(name):
    number = getattr(errno, name)
    error = Failure(FAST_NET, number, "receive", stream=2).as_error("the data streams to HOST")
    assert str(error).startswith("the data streams to HOST: stream 3 ") and STREAM[name] in str(error)
    assert str(error).endswith(f"{describe_errno(number)} (receive)") and error.exit_code == 13
    assert "network" in error.hint


def test_every_code_has_words_of_its_own():
    for code, kind in FAILURES.items():
        assert code == FAST_SYS or kind.words, code

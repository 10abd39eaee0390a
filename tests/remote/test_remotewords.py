"""What comes through ssh's standard error: lines, whole and bounded, and nobody waits for anybody."""

import os
import time

import pytest

from escp.lean.eventloop import EventLoop
from escp.remote.remotewords import MAX_LEFT_BYTES, MAX_LINE_BYTES, N_KEPT, PATIENCE_S, RemoteWords


class Ear:
    """A pipe's end that says things, and what was heard of it."""

    def __init__(self, *, listens: bool = True):
        read_fd, self.fd = os.pipe()
        self.loop = EventLoop()
        self.heard: list[str] = []
        self.words = RemoteWords(read_fd)
        if listens:
            self.words.listen(self.loop, self.heard.append)

    def say(self, data: bytes) -> None:
        os.write(self.fd, data)
        self.loop.wait(0)

    def close(self) -> None:
        self.words.close()
        os.close(self.fd)
        self.loop.close()


@pytest.fixture
def ear():
    one = Ear()
    yield one
    one.close()


def test_lines_are_told_as_they_come_without_their_ends(ear):
    ear.say(b"one\r\ntwo\n\nth")
    assert ear.heard == ["one", "two", ""]
    ear.say(b"ree\n")
    assert ear.heard[3:] == ["three"]


def test_question_without_a_line_end_is_told_after_a_moment(ear):
    ear.say(b"Code: ")
    ear.words.tick(time.monotonic())
    assert ear.heard == []
    ear.words.tick(time.monotonic() + PATIENCE_S)
    ear.words.tick(time.monotonic() + 1)
    assert ear.heard == ["Code: "]


def test_line_without_end_is_cut_and_nothing_is_lost(ear):
    for _ in range(40):
        ear.say(b"x" * 1000)
    ear.say(b"\nend\n")
    assert "".join(ear.heard) == "x" * 40_000 + "end"
    assert max(map(len, ear.heard)) <= MAX_LINE_BYTES + 1000 and len(ear.words._part) == 0
    ear.say(b"y" * 30_000 + b"\n")
    assert max(len(line) for line in ear.heard if "y" in line) == MAX_LINE_BYTES


def test_line_of_tabs_does_not_grow(ear):
    ear.say(b"\t" * 4000 + b"\n")
    assert ear.heard == [" " * 4000]


def test_last_words_are_few(ear):
    ear.say(b"".join(b"%d\n\n" % number for number in range(1000)))
    assert ear.words.last == [str(number) for number in range(1000 - N_KEPT, 1000)]


def test_what_is_no_utf_8_can_be_told(ear):
    ear.say(b"a\xffb\tc\n")
    assert ear.heard == ["a\udcffb c"]


def test_end_is_noticed_and_watched_no_longer(ear):
    ear.say(b"last")
    os.dup2(os.open(os.devnull, os.O_WRONLY), ear.fd)
    ear.loop.wait(0)
    assert ear.heard == ["last"] and not ear.loop._callbacks


def test_what_is_left_is_told_without_waiting_for_the_writer():
    """A master of ssh's holds the other end for hours."""
    ear = Ear()
    os.write(ear.fd, b"left\nand this")
    begin_s = time.monotonic()
    ear.words.leave()
    ear.words.drain()
    ear.close()
    assert ear.heard == ["left", "and this"] and time.monotonic() - begin_s < 1


def test_who_writes_without_end_is_not_read_without_end(ear, monkeypatch):
    read = []
    monkeypatch.setattr(os, "read", lambda fd, n: read.append(n) or b"x" * n)
    ear.words.drain()
    assert MAX_LEFT_BYTES <= sum(read) <= 2 * MAX_LEFT_BYTES


def test_writer_is_heard_while_something_else_is_waited_for(ear):
    """Or it would stand still with a full pipe, and never end."""
    done, is_done = os.pipe()
    pid = os.fork()
    if pid == 0:
        for _ in range(100):
            os.write(ear.fd, b"x" * 9999 + b"\n")
        os.write(is_done, b"!")
        os._exit(0)
    ear.words.leave()
    ear.words.wait(done, 20)
    assert os.read(done, 1) == b"!"
    os.waitpid(pid, 0)
    ear.words.drain()
    assert sum(map(len, ear.heard)) == 100 * 9999
    os.close(done)
    os.close(is_done)


def test_waiting_has_an_end(ear):
    done, is_done = os.pipe()
    begin_s = time.monotonic()
    ear.words.wait(done, 0.2)
    assert 0.1 < time.monotonic() - begin_s < 5
    os.close(done)
    os.close(is_done)


def test_nothing_to_hear():
    words = RemoteWords(-1)
    loop = EventLoop()
    words.listen(loop, print)
    words.tick(0)
    words.drain()
    words.leave()
    words.close()
    loop.close()
    assert words.last == []

"""One output stream: nothing is lost, nobody is waited for, and a failure is remembered."""

import errno
import os
import time

import pytest

from escp.ui.lines import Lines, find_lines


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def read_lines(reader, n):
    data = b""
    while data.count(b"\n") < n:
        data += reader.read(1 << 16)
    return data.splitlines()


def test_more_than_a_pipe_holds_waits_for_the_reader_and_not_for_us(pipe):
    reader, writer = pipe
    lines = Lines(writer)
    begin_s = time.monotonic()
    for number in range(5000):
        lines.write(f"{number:060}")
    assert time.monotonic() - begin_s < 5
    assert read_lines(reader, 5000) == [b"%060d" % number for number in range(5000)]
    lines.wait()
    assert lines.failure is None


def test_what_may_be_dropped_is_while_somebody_is_behind(pipe):
    reader, writer = pipe
    lines = Lines(writer)
    lines.put("first\n", may_drop=True)
    assert read_lines(reader, 1) == [b"first"]
    lines.write("x" * (1 << 20))
    lines.put("dropped\n", may_drop=True)
    lines.write("last")
    assert read_lines(reader, 2)[1:] == [b"last"]


@pytest.mark.parametrize("is_list", [True, False])
def test_it_tells_when_too_much_waits(pipe, is_list, monkeypatch):
    monkeypatch.setattr("escp.ui.lines.MAX_WAITING_BYTES", 3 << 20)
    monkeypatch.setattr("escp.ui.lines.MAX_LISTED_BYTES", 1 << 20)
    reader, writer = pipe
    lines = Lines(writer)
    lines.is_product = is_list
    assert not lines.is_full
    lines.write("x" * (2 << 20))
    assert lines.is_full is is_list
    lines.write("x" * (3 << 20))
    assert lines.is_full
    read_lines(reader, 2)
    lines.wait()
    assert not lines.is_full


def test_two_descriptors_of_one_pipe_keep_their_order(pipe):
    reader, writer = pipe
    with os.fdopen(os.dup(writer.fileno()), "w") as other:
        both = Lines(writer), Lines(other)
        for number in range(3000):
            both[number % 2].write(f"{number:060}")
        assert read_lines(reader, 3000) == [b"%060d" % number for number in range(3000)]


def test_failure_is_remembered_and_ends_it():
    with open("/dev/full", "w") as full:
        lines = Lines(full)
        lines.write("x")
        lines.wait()
        lines.write("y")
        assert lines.check() == errno.ENOSPC and not lines.is_deserted


def test_pipe_without_a_reader_is_deserted(pipe):
    reader, writer = pipe
    lines = Lines(writer)
    reader.close()
    lines.write("x")
    lines.wait()
    assert lines.is_deserted and lines.check() == errno.EPIPE


def test_what_an_encoding_lacks_is_escaped(pipe):
    reader, writer = pipe
    with os.fdopen(os.dup(writer.fileno()), "w", encoding="latin-1") as old:
        Lines(old).write("ü 🙂")
        assert read_lines(reader, 1) == [b"\xfc \\U0001f642"]


def test_each_stream_of_the_process_has_one():
    with open(os.devnull, "w") as null:
        assert find_lines(null) is find_lines(null) is not find_lines(None)


def test_where_no_thread_can_be_started_it_is_written_with_waiting(pipe, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("escp.ui.lines.start_new_thread", refuse)
    reader, writer = pipe
    Lines(writer).write("x")
    assert reader.read(10) == b"x\n"

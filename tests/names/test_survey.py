"""Digests and lists of files for manifests."""

import errno
import hashlib
import os
import threading
from itertools import chain

import pytest

from escp.control.survey import Find, Found, Measure, Measured
from escp.errors import ProtocolError
from escp.lean.eventloop import EventLoop
from escp.names import digests
from escp.names.survey import MAX_NAMES, MAX_WAITING, Survey, unpack_time


def open_plainly(top, path):
    """Where nobody makes links."""
    return os.open(path or b".", os.O_RDONLY, dir_fd=top)


class Asked:
    """A survey, and what it told."""

    def __init__(self, open_below=open_plainly, open_inside=open_plainly):
        self.told = []
        self.loop = EventLoop()
        self.survey = Survey(
            self.loop, self.told.append, is_remote=False, open_below=open_below, open_inside=open_inside
        )

    def measure(self, folder, names, *, is_confined=False):
        self.survey.take(Measure(os.fsencode(folder), names, is_confined))
        while sum(len(one.digests) for one in self.told) < len(names):
            self.loop.wait(1.0)
        assert all(isinstance(one, Measured) for one in self.told)
        fields = zip(*(one[:4] for one in self.told), strict=True)
        return list(zip(*(chain(*lists) for lists in fields), strict=True))

    def find(self, folder, directories):
        self.survey.take(Find(os.fsencode(folder), directories))
        while not self.told[-1].is_last:
            self.survey.take(Find(os.fsencode(folder), []))
        assert all(isinstance(one, Found) for one in self.told)
        return [name for one in self.told for name in one.names]


@pytest.fixture
def asked():
    one = Asked()
    yield one
    one.survey.close()
    one.loop.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "escp-digest"]


def test_answers_come_in_order(asked, tmp_path):
    names = [b"%d" % number for number in range(2 * MAX_NAMES + 10)]
    for name in names:
        (tmp_path / name.decode()).write_bytes(name * (1 + int(name) % 7))
    os.utime(tmp_path / "3", ns=(0, -1_500_000_001))
    found = asked.measure(tmp_path, names)
    for name, (digest, size, time, number) in zip(names, found, strict=True):
        contents = name * (1 + int(name) % 7)
        assert (digest, size, number) == (hashlib.sha256(contents).digest(), len(contents), 0)
        assert unpack_time(time) == os.stat(tmp_path / name.decode()).st_mtime_ns
    assert sum(one.n_bytes for one in asked.told) == sum(size for _, size, *_ in found)
    assert max(len(one.digests) for one in asked.told) <= MAX_NAMES


def test_what_is_no_file_is_not_waited_for(asked, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    numbers = [number for *_, number in asked.measure(tmp_path, [b"pipe", b"folder", b"gone", b"loop"])]
    assert numbers == [errno.ENXIO, errno.EISDIR, errno.ENOENT, errno.ELOOP]


def test_what_changes_meanwhile_has_no_digest(asked, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("x")
    readv = os.readv

    def read(fd, buffers):
        with open(path, "a") as file:
            file.write("y")
        monkeypatch.setattr(digests.os, "readv", readv)
        return readv(fd, buffers)

    monkeypatch.setattr(digests.os, "readv", read)
    ((*_, number),) = asked.measure(tmp_path, [b"a"])
    assert number == errno.ESTALE


def test_regular_files_are_found_and_no_link_is_followed(asked, tmp_path):
    for name in ("d/a", "d/e/b", "beside/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "d" / "link").symlink_to("a")
    (tmp_path / "d" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "d" / "pipe")
    assert sorted(asked.find(tmp_path, [b"d", b"gone"])) == [b"d/a", b"d/e/b"]
    assert [(one.failed, one.errnos) for one in asked.told] == [([b"gone"], [errno.ENOENT])]
    asked.told.clear()
    assert sorted(asked.find(tmp_path, [b""])) == [b"beside/x", b"d/a", b"d/e/b"]


def test_large_directories_come_in_pages(asked, tmp_path):
    for number in range(2 * MAX_NAMES + 1):
        (tmp_path / f"{number}").touch()
    assert len(set(asked.find(tmp_path, [b""]))) == 2 * MAX_NAMES + 1 and len(asked.told) >= 3


@pytest.mark.parametrize("name", [b"/etc/passwd", b"../a", b"a/../../b", b"a\0b", b"", b"a//b"], ids=repr)
def test_names_that_lead_out_of_the_path_are_refused(asked, tmp_path, name):
    with pytest.raises(ProtocolError, match="outside of the path"):
        asked.survey.take(Measure(os.fsencode(tmp_path), [b"a", name]))
    if name:
        with pytest.raises(ProtocolError, match="outside of the path"):
            asked.survey.take(Find(os.fsencode(tmp_path), [name]))


def test_who_asks_and_takes_no_answer_is_refused(asked, tmp_path):
    with pytest.raises(ProtocolError, match="more digests than it takes"):
        for _ in range(MAX_WAITING // 4096 + 1):
            asked.survey.take(Measure(os.fsencode(tmp_path), [b"gone"] * 4096))

"""Opening a directory below another one, for --delete: no link is followed, at whatever depth."""

import errno
import os

import pytest

from escp._fast.files.beneath import open_directory


@pytest.fixture
def top(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "top" / "link").symlink_to("a")
    (tmp_path / "top" / "a" / "out").symlink_to(tmp_path / "outside")
    fd = os.open(tmp_path / "top", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("path", ["", "a", "a/b"])
def test_directory_can_be_listed(top, path):
    fd = open_directory(top, path.encode())
    assert os.listdir(fd) == os.listdir(f"/proc/self/fd/{top}/{path}")
    os.close(fd)


@pytest.mark.parametrize("path", ["link", "link/b", "a/out", "..", "a/../..", "/etc"])
def test_link_and_way_out_are_not_followed(top, path):
    with pytest.raises(OSError) as error:
        open_directory(top, path.encode())
    assert error.value.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR)


def test_nothing(top):
    with pytest.raises(FileNotFoundError):
        open_directory(top, b"none")
    with pytest.raises(ValueError):
        open_directory(top, b"a\0b")

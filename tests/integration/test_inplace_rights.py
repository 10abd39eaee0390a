"""Files that an ordinary user may write, in directories where nothing can take their place."""

import os
import shlex
import stat

import pytest

from tests.support.command import AGENT_COMMAND, local
from tests.support.directions import LOCAL, PUSH, Direction
from tests.support.folders import new_folder
from tests.support.nobody import AS_NOBODY, NOBODY, needs_nobody
from tests.support.trees import write_random

EMBEDDED = Direction("embedded", False, False)
pytestmark = [
    needs_nobody,
    pytest.mark.parametrize("way", [PUSH, LOCAL, EMBEDDED], ids=lambda way: way.name),
]
OTHER = 12345


@pytest.fixture
def folder():
    with new_folder(mode=0o755) as path:
        yield path


def there(way, target):
    return local(target) if way is EMBEDDED else way.target(target)


def start(escp, way):
    """The receiving end is nobody."""
    if way is PUSH:
        command = shlex.join([*AS_NOBODY, *AGENT_COMMAND])
        return {"agent": escp.write_agent("nobody", command=f'cd / && exec {command} "$@"')}
    return {"prefix": AS_NOBODY, "cwd": "/", "is_embedded": way is EMBEDDED}


@pytest.fixture
def foreign(source, target):
    """Two files of somebody else's that anybody may write."""
    for name, size in (("small", 1000), ("large", 3_000_001)):
        write_random(source / name, size)
        (target / name).write_text("old")
        (target / name).chmod(0o666)
        os.chown(target / name, OTHER, OTHER)
    return ["small", "large"]


@pytest.mark.parametrize("place", ["sticky", "read-only"])
def test_into_files_that_cannot_be_replaced(escp, source, target, foreign, way, place):
    target.chmod(0o1777 if place == "sticky" else 0o755)
    words = [*(source / name for name in foreign), there(way, target)]
    done = escp.fail(1, *words, **start(escp, way))
    assert done.err.count("(--inplace would write into a file that is there)") == 2, done.err
    assert [(target / name).read_text() for name in foreign] == ["old", "old"]
    before = {name: (target / name).stat().st_ino for name in foreign}
    escp.copy("--inplace", *words, **start(escp, way))
    for name in foreign:
        status = (target / name).stat()
        assert (target / name).read_bytes() == (source / name).read_bytes()
        assert (status.st_ino, status.st_uid, stat.S_IMODE(status.st_mode)) == (before[name], OTHER, 0o666)
    assert sorted(os.listdir(target)) == sorted(foreign)


def test_mode_and_times_of_a_foreign_file_are_named(escp, source, target, foreign, way):
    """With -p: only its owner may set them."""
    words = [*(source / name for name in foreign), there(way, target)]
    done = escp.fail(1, "--inplace", "-p", *words, **start(escp, way))
    assert "mode and times can't be kept there" in done.err, done.err
    for name in foreign:
        assert (target / name).read_bytes() == (source / name).read_bytes()


def test_file_that_may_not_be_written(escp, source, target, foreign, way):
    target.chmod(0o1777)
    (target / "small").chmod(0o644)
    done = escp.fail(1, "--inplace", source / "small", there(way, target), **start(escp, way))
    assert "permission denied" in done.err
    assert (target / "small").read_text() == "old"


def test_own_file_in_a_directory_that_may_not_be_written(escp, source, target, foreign, way):
    for name in foreign:
        os.chown(target / name, NOBODY, NOBODY)
    words = [*(source / name for name in foreign), there(way, target)]
    escp.copy("--inplace", "-p", *words, **start(escp, way))
    for name in foreign:
        assert (target / name).stat().st_mtime_ns == (source / name).stat().st_mtime_ns

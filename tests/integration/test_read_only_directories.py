"""Directories to which their owner may not write, as an ordinary user: copied again, left as they were."""

import os
import shlex
import signal
import stat
import time

import pytest

from tests.support.command import AGENT_COMMAND
from tests.support.directions import LOCAL, PUSH
from tests.support.folders import new_folder
from tests.support.nobody import AS_NOBODY, NOBODY, needs_nobody
from tests.support.trees import list_tree, write_random

pytestmark = needs_nobody


@pytest.fixture
def folder():
    with new_folder(mode=0o755) as path:
        yield path


def make_tree(top):
    (top / "d" / "e").mkdir(parents=True)
    for name in ("d/f", "d/e/g", "h"):
        (top / name).write_text(name)


def seal(top):
    for path in [top, *top.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
        os.chown(path, NOBODY, NOBODY)


def open_up(top):
    for path in [top, *top.rglob("*")]:
        path.chmod(0o755)


def run(escp, way, options, source, target):
    """The receiving end is nobody."""
    if way is PUSH:
        start = shlex.join([*AS_NOBODY, *AGENT_COMMAND])
        agent = escp.write_agent("nobody", command=f'cd / && exec {start} "$@"')
        return escp.copy(*options, source, way.target(target), agent=agent)
    return escp.copy(*options, way.source(source), target, prefix=AS_NOBODY, cwd="/")


@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
@pytest.mark.parametrize("options", [["-r"], ["-rp"], ["-r", "--links"]], ids=" ".join)
@pytest.mark.parametrize("new_name", [False, True])
def test_second_copy_after_a_change(escp, source, target, way, options, new_name):
    make_tree(source)
    os.chown(target, NOBODY, NOBODY)
    place = target / "copy" if new_name else target / "source"
    words = source, (target / "copy" if new_name else target)
    seal(source)
    run(escp, way, options, *words)
    if new_name:  # now it is there, and its name would go below it
        words = f"{source}/.", target / "copy"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*") if path.is_dir()}
    assert set(modes.values()) == {0o555}
    open_up(source)
    (source / "d" / "new").write_text("new")
    (source / "d" / "sub").mkdir()
    (source / "d" / "e" / "g").unlink()
    (source / "d" / "e" / "g").write_text("changed")
    if "--links" in options:
        (source / "d" / "e" / "link").symlink_to("g")
    seal(source)
    if new_name:
        os.chmod(place, 0o755)
    run(escp, way, options, *words)
    assert list_tree(place) == list_tree(source)
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes
    open_up(source)


def test_directory_that_is_no_part_of_the_copy_is_left_alone(escp, source, target):
    (source / "f").write_text("f")
    os.chown(target, NOBODY, NOBODY)
    target.chmod(0o555)
    os.chown(source / "f", NOBODY, NOBODY)
    done = escp.fail(1, source / "f", target, prefix=AS_NOBODY, cwd="/")
    assert "permission denied" in done.err
    assert os.listdir(target) == [] and stat.S_IMODE(target.stat().st_mode) == 0o555


def test_interrupt_sets_modes_back(escp, source, target):
    make_tree(target / "source")
    seal(target / "source")
    (source / "d").mkdir()
    write_random(source / "d" / "big", 1_000_000)
    os.chown(target, NOBODY, NOBODY)
    process = escp.start("-r", "-l", "100k", source, target, prefix=AS_NOBODY, cwd="/")
    place = target / "source" / "d"
    end_s = time.monotonic() + 20
    while stat.S_IMODE(place.stat().st_mode) == 0o555 and time.monotonic() < end_s:
        time.sleep(0.05)
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    process.send_signal(signal.SIGINT)
    escp.finish(process)
    assert stat.S_IMODE(place.stat().st_mode) == 0o555


@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
@pytest.mark.parametrize("umask", ["777", "577", "277"])
def test_umask_that_locks_the_maker_out(escp, source, target, way, umask):
    """As cp and mkdir -p: what is made can be written to until it is whole. Nothing else stays there."""
    make_tree(source)
    target.chmod(0o777)

    def copy(*words):
        words = ("-t1", *words)  # with more, one may find a directory that another is still unlocking
        if way is PUSH:
            start = shlex.join([*AS_NOBODY, *AGENT_COMMAND])
            agent = escp.write_agent("locked", command=f'cd / && umask {umask} && exec {start} "$@"')
            return escp.copy(*words[:-1], way.target(words[-1]), agent=agent)
        mask = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
        return escp.copy(*words, prefix=(*AS_NOBODY, *mask), cwd="/")

    copy("-r", source, target / "copy")
    copy("-r", source / "d", source / "h", target / "several")
    copy("--mkpath", source / "h", target / "a" / "b" / "c")
    assert sorted(os.listdir(target)) == ["a", "copy", "several"]
    assert list_tree(target / "copy").keys() == list_tree(source).keys()
    assert sorted(os.listdir(target / "several")) == ["d", "h"]
    assert (target / "a" / "b" / "c").read_text() == "h"
    if way is LOCAL:  # a push sets the modes of the source, as scp does
        assert stat.S_IMODE((target / "copy").stat().st_mode) == 0o755 & ~int(umask, 8)

"""--inplace: into the file that is there, where none could take its place; and what the others say of it."""

import os
import subprocess
import sys

import pytest

from tests.support.command import DRIVER, needs_root, needs_source
from tests.support.directions import LOCAL, PULL, PUSH, in_all_directions
from tests.support.trees import list_tree, mode_of, write_random

SIZES = {"small": 1000, "large": 3_000_001, "empty": 0}


@in_all_directions
@pytest.mark.parametrize("options", [[], ["--nodirect"], ["-p"]], ids=" ".join)
def test_inode_links_and_mode_stay(escp, source, target, way, options):
    for name, size in SIZES.items():
        write_random(source / name, size)
        write_random(target / name, 4_000_000, seed=1)
        (target / name).chmod(0o640)
        os.link(target / name, target / f"{name}-too")
    (source / "new").write_text("new")
    before = {name: (target / name).stat().st_ino for name in SIZES}
    escp.copy(
        "--inplace", *options, *(way.source(source / name) for name in (*SIZES, "new")), way.target(target)
    )
    for name in SIZES:
        assert (
            (target / name).read_bytes()
            == (source / name).read_bytes()
            == (target / f"{name}-too").read_bytes()
        )
        assert (target / name).stat().st_ino == before[name]
        assert mode_of(target / name) == (mode_of(source / name) if options == ["-p"] else 0o640)
    assert (target / "new").read_text() == "new"
    assert len(list_tree(target)) == 7  # and nothing with a temporary name


@needs_root
@pytest.mark.parametrize("way", [PUSH, PULL, LOCAL], ids=lambda way: way.name)
@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_file_on_which_another_is_mounted(escp, source, target, way, size):
    write_random(source / "f", size)
    (source / "mounted").write_text("old")
    (target / "f").write_text("below")
    if subprocess.run(["mount", "--bind", source / "mounted", target / "f"], check=False).returncode:
        pytest.skip("can't mount here")
    try:
        done = escp.fail(1, way.source(source / "f"), way.target(target))
        assert "busy (--inplace would write into a file that is there)" in done.err
        escp.copy("--inplace", way.source(source / "f"), way.target(target))
        assert (source / "mounted").read_bytes() == (source / "f").read_bytes()
    finally:
        subprocess.run(["umount", target / "f"], check=True)


def test_holes_show_nothing_of_what_was_there(escp, source, target):
    write_random(target / "f", 5_000_000)
    with open(source / "f", "wb") as file:
        file.write(b"begin")
        file.truncate(4_000_000)
    escp.copy("--inplace", source / "f", target)
    assert (target / "f").read_bytes() == (source / "f").read_bytes()


def test_own_source_and_what_is_no_file(escp, source, target):
    (source / "f").write_text("f")
    os.link(source / "f", target / "f")
    assert "same file" in escp.fail(1, "--inplace", source / "f", target).err
    assert (source / "f").read_text() == "f"
    (source / "g").write_text("g")
    (target / "elsewhere").write_text("elsewhere")
    (target / "g").symlink_to("elsewhere")
    escp.copy("--inplace", source / "g", target / ".")
    assert (target / "g").read_text() == "g" and not (target / "g").is_symlink()
    assert (target / "elsewhere").read_text() == "elsewhere"


def test_name_that_is_given_twice(escp, source, target):
    for folder in "ab":
        (source / folder).mkdir()
        (source / folder / "x").write_text(folder)
    (target / "x").write_text("old")
    done = escp.fail(1, "--inplace", source / "a" / "x", source / "b" / "x", target)
    assert "was not copied" in done.err and (target / "x").read_text() == "a"


def test_sparse_is_refused(escp, source, target):
    done = escp.fail(2, "--inplace", "--sparse", source, target)
    assert "--inplace" in done.error and "--sparse" in done.error


@needs_source
def test_wrong_contents_are_told_of(escp, source, target):
    write_random(source / "f", 3_000_000)
    (target / "f").write_text("old")
    env, command = escp.write_driver(fault_offset=5), [sys.executable, str(DRIVER)]
    done = escp.fail(12, "--inplace", source / "f", target, env=env, command=command)
    assert "--inplace may have written it over what was there" in done.err and "may be wrong" in done.error

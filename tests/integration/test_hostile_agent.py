"""Pull from an agent that has been taken over: only what was asked for is written, nothing is shown raw."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.command import remote

PROGRAM = Path(__file__).parents[1] / "support" / "hostile_agent.py"


@pytest.fixture
def hostile(escp):
    """hostile(**lies): the path of an agent that tells them."""

    def make(**lies: object) -> Path:
        command = f"exec {sys.executable} {PROGRAM}"
        return escp.write_agent(
            "hostile", f"export ESCP_TEST_HOSTILE={shlex.quote(json.dumps(lies))}", command=command
        )

    return make


@pytest.fixture
def trap(source, target, folder):
    """A source to ask for, a secret beside the target that must not change, and what was there before."""
    (source / "asked").write_bytes(b"x" * 1000)
    (source / "large").write_bytes(b"y" * 300_000)
    (source / "other").write_text("evil")
    (target / "there").write_text("mine")
    (folder / "outside").write_text("mine")

    def check(*allowed: str) -> None:
        assert (folder / "outside").read_text() == "mine" and (target / "there").read_text() == "mine"
        assert set(os.listdir(target)) <= {"there", *allowed}, os.listdir(target)
        assert sorted(p.name for p in folder.iterdir() if "evil" in p.name) == []

    return check


BAD_NAMES = [b"..", b".", b"", b"/", b"/etc/evil", b"../evil", b"a/../../evil", b"evil", b"asked/evil",
             b"there", b"asked\0", b"x" * 300, b"\x1b]0;evil\x07"]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
@pytest.mark.parametrize("asked", ["asked", "ask*"])
def test_root_under_another_name_is_refused(escp, hostile, trap, source, target, name, asked):
    agent = hostile(offer={b"asked".hex(): name.hex()})
    done = escp.fail(16, "-r", f"box:{source}/{asked}", target, agent=agent)
    assert "not asked for" in done.error and "\x1b" not in done.err
    trap()


@pytest.mark.parametrize("name", [n for n in BAD_NAMES if n != b"asked\0"], ids=repr)
@pytest.mark.parametrize("asked", ["asked", "large"])
@pytest.mark.parametrize("options", [(), ("-r",)], ids=repr)
def test_data_under_another_name_are_refused(escp, hostile, trap, source, target, name, asked, options):
    agent = hostile(sends_as={asked.encode().hex(): name.hex()})
    done = escp.fail(16, *options, f"box:{source}/{asked}", target, agent=agent)
    assert "box" in done.error and "\x1b" not in done.err
    trap()


def test_more_roots_than_asked_for_are_refused(escp, hostile, trap, source, target):
    done = escp.fail(16, remote(source / "asked"), target, agent=hostile(more=[b"evil".hex()]))
    assert "'evil'" in done.error
    trap()


@pytest.mark.parametrize("lies", [{"leaves_out": 1}, {"number": 1}, {"number": 1000}])
def test_roots_that_do_not_fit_the_sources_are_refused(escp, hostile, trap, source, target, lies):
    escp.fail(12, remote(source / "asked"), remote(source / "large"), target, agent=hostile(**lies))
    trap()


@pytest.mark.parametrize("name", [b"other", b"there", b"asked", b"asked/x", b"../evil"], ids=repr)
def test_data_that_nobody_announced_are_refused(escp, hostile, trap, source, target, name):
    agent = hostile(add=[[os.fsencode(source / "other").hex(), name.hex()]])
    done = escp.fail(16, "-r", remote(source / "asked"), target, agent=agent)
    assert "not asked for" in done.error
    trap("asked")


def test_directory_where_a_file_was_announced_is_refused(escp, hostile, trap, source, target):
    (source / "tree").mkdir()
    (source / "tree" / "evil").write_text("x")
    escp.fail(16, "-r", remote(source / "tree"), remote(source / "asked"), target, agent=hostile(directory=0))
    trap("asked")


def test_tree_without_r_is_refused(escp, hostile, trap, source, target):
    (source / "tree").mkdir()
    (source / "tree" / "evil").write_text("x")
    agent = hostile(directory=0, add=[[os.fsencode(source / "tree" / "evil").hex(), b"tree/evil".hex()]])
    escp.fail(16, remote(source / "tree"), target / "new", agent=agent)
    trap()


def test_target_directory_keeps_its_mode(escp, source, target, hostile):
    """Only who asks for the contents of a directory (`dir/.`) gets its mode at the target."""
    (source / "asked").mkdir()
    target.chmod(0o700)
    source.chmod(0o777)
    agent = hostile(sends_as={b"asked".hex(): b"".hex()})
    escp.fail(16, "-r", remote(source / "asked"), target, agent=agent)
    assert target.stat().st_mode & 0o777 == 0o700


def test_words_of_the_agent_are_shown_escaped(escp, hostile, trap, source, target):
    says = "\x1b]0;evil\x07\x1b[2J\r\nescp: all is well"
    done = escp.fail(15, remote(source / "asked"), target, agent=hostile(says=says))
    assert "\x1b" not in done.err and "\x07" not in done.err and "\nescp: all is well" not in done.err
    trap()


def test_link_planted_in_the_target_is_not_followed(escp, source, target, folder):
    (source / "tree" / "sub").mkdir(parents=True)
    (source / "tree" / "sub" / "evil").write_text("x")
    (folder / "elsewhere").mkdir()
    (target / "tree").mkdir()
    (target / "tree" / "sub").symlink_to(folder / "elsewhere")
    done = escp.fail(16, "-r", remote(source / "tree"), target)
    assert "sub" in done.err and os.listdir(folder / "elsewhere") == []


NOT_ASKED_FOR = (b"//etc/evil", b"/etc/evil", b"../evil", b"asked/evil", b"evil", b"", b"/", b"as", b"a\0")


@pytest.mark.parametrize(
    ("options", "name"),
    [(("--itemize",), name) for name in NOT_ASKED_FOR]
    + [
        (options, name)
        for options in (("--log-files",), ("-n",), ("-n", "--itemize"))
        for name in NOT_ASKED_FOR[:3]
    ],
    ids=repr,
)
def test_nothing_is_told_of_what_was_not_asked_for(
    escp, hostile, trap, source, target, folder, name, options
):
    """A program goes on with what is listed, or has arrived: no agent puts /etc/passwd among it."""
    is_listed = options == ("-n",)
    agent = hostile(**{"listed" if is_listed else "arrived": [name.hex()]})
    log = folder / "log"
    words = ["--json", "--logfile", str(log), *options]
    done = escp.run(*words, "-r", f"box:{source}/ask*", target, agent=agent)
    assert done.code == 12 and "none of what was copied" in done.out, done.out
    told = [json.loads(line) for line in done.out.splitlines()]
    paths = {line["path"] for line in told if line["type"] in ("item", "listed")}
    assert paths <= {str(target / "asked")} and "evil" not in log.read_text()
    trap("asked")


def test_files_of_no_kind_are_refused(escp, hostile, trap, source, target):
    agent = hostile(arrived=[b"asked".hex()], kind="\x1b]0;evil\x07")
    done = escp.run("--json", "--itemize", f"box:{source}/asked", target, agent=agent)
    assert done.code == 12 and "makes no sense" in done.out and "evil" not in done.out
    trap("asked")

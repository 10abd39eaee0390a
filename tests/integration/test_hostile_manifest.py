"""--manifest and --check with an agent that lies: what it tells was asked for and is bounded, or refused."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from escp.constants import MAX_MESSAGE_BYTES
from tests.support.command import remote

SUPPORT = Path(__file__).parents[1] / "support"
DIGEST, TIME = "00" * 32, "00" * 12
HUGE = (1 << 63) - 1


@pytest.fixture
def hostile(escp):
    """hostile(**lies): the path of an agent that copies, and tells them: see hostile_agent."""

    def make(**lies: object) -> Path:
        lines = f"export ESCP_TEST_HOSTILE={shlex.quote(json.dumps(lies))}"
        return escp.write_agent("hostile", lines, command=f"exec {sys.executable} {SUPPORT}/hostile_agent.py")

    return make


@pytest.fixture
def talking(escp):
    """talking(message, ...): one that only talks: see scripted_agent."""

    def make(*messages: list) -> Path:
        script = escp.folder / "talking.json"
        script.write_text(json.dumps([["features", ["manifest"]], *messages]))
        return escp.write_agent(
            "talking", command=f"exec {sys.executable} {SUPPORT}/scripted_agent.py {script}"
        )

    return make


@pytest.fixture
def tree(source):
    for name in ("a", "b"):
        (source / name).write_text(name)
    return source


def check(done, said):
    assert "Traceback" not in done.err and "internal" not in done.err and "\x1b" not in done.err + done.out
    assert said in done.error, done.err


# ---- What has arrived ---------------------------------------------------------------------------------


NOT_COPIED = (
    b"source/a", b"other", b"../a", b"/etc/passwd", b"source/../x", b"source/\0", b"", b"sourc", b"source2/a",
)  # fmt: skip


@pytest.mark.parametrize("name", NOT_COPIED, ids=repr)
def test_file_that_was_not_copied_gets_no_line(escp, hostile, tree, target, folder, name):
    (target / "other").write_text("mine")
    agent = hostile(arrived=[name.hex()])
    done = escp.fail(12, "-r", "--manifest", folder / "m", remote(tree), target, agent=agent)
    check(done, "told of 3" if name == b"source/a" else "none of what was copied")
    assert not (folder / "m").exists()


# ---- What its digest is -------------------------------------------------------------------------------

BAD = {
    "short digest": ({"digests": [DIGEST[2:]]}, "a digest that is none"),
    "long digest": ({"digests": [DIGEST * 2]}, "a digest that is none"),
    "too few sizes": ({"sizes": []}, "that nobody asked for"),
    "more than asked for": (
        {"digests": [DIGEST] * 2, "sizes": [1] * 2, "times": [TIME] * 2, "errnos": [0] * 2},
        "that nobody asked for",
    ),
    "no time": ({"times": [TIME[2:]]}, "a time that is none"),
    "a second of more than 10^9 ns": ({"times": ["00" * 8 + "ff" * 4]}, "a time that is none"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_bad_digests_are_no_manifest(escp, hostile, tree, target, folder, bad):
    fields, said = BAD[bad]
    agent = hostile(measured=fields)
    done = escp.fail(12, "-r", "--manifest", folder / "m", tree / "a", remote(target), agent=agent)
    check(done, said)
    assert not (folder / "m").exists()


def test_digests_before_all_is_copied_are_refused(escp, hostile, tree, target, folder):
    done = escp.fail(12, "-r", "--manifest", folder / "m", tree, remote(target), agent=hostile(early=True))
    check(done, "tells what nobody asked for")
    assert not (folder / "m").exists()


def test_reasons_beyond_all_error_numbers_are_refused(escp, hostile, tree, target, folder):
    agent = hostile(measured={"errnos": [HUGE]})
    done = escp.fail(12, "--manifest", folder / "m", tree / "a", remote(target), agent=agent)
    check(done, "wrong 'errnos'")


def test_reasons_may_be_any_numbers(escp, hostile, tree, target, folder):
    agent = hostile(measured={"errnos": [4095], "sizes": [HUGE], "times": ["7f" + "ff" * 7 + "00" * 4]})
    done = escp.fail(1, "--manifest", folder / "m", tree / "a", remote(target), agent=agent)
    check(done, "not in the manifest")


# ---- What else is there -------------------------------------------------------------------------------


def measured(n=2, **other):
    fields = {"digests": [DIGEST] * n, "sizes": [1] * n, "times": [TIME] * n, "errnos": [0] * n, "n_bytes": 1}
    return ["measured", fields | other]


def found(*names, is_last=True, **other):
    fields = {
        "names": [name.encode().hex() for name in names],
        "failed": [],
        "errnos": [],
        "is_last": is_last,
    }
    return ["found", fields | other]


@pytest.fixture
def manifest(escp, tree, target, folder):
    escp.copy("-r", "--manifest", folder / "m", tree, target)
    return folder / "m"


ASKED = ["await", "measure"], measured(), ["await", "find"]
TREES = {
    "outside": (12, [*ASKED, found("../x")], "outside of the tree"),
    "absolute": (12, [*ASKED, found("/etc/passwd")], "outside of the tree"),
    "of another tree": (12, [*ASKED, found("other/x")], "outside of the tree"),
    "a name that begins so": (12, [*ASKED, found("source2")], "outside of the tree"),
    "NUL": (12, [*ASKED, found("source/a\0b")], "outside of the tree"),
    "no reasons": (12, [*ASKED, found(failed=["61"])], "without reasons"),
    "list before digests": (12, [found("source/x")], "nobody asked for"),
    "digests of a list": (12, [*ASKED, measured(1)], "nobody asked for"),
    "digests twice": (12, [["await", "measure"], measured(), measured()], "nobody asked for"),
    "digests before": (12, [measured()], "nobody asked for"),
    "too many": (12, [["await", "measure"], measured(3)], "nobody asked for"),
    "out of turn": (12, [["compared", {"n_planned": 1, "is_done": True}]], "out of turn"),
}  # fmt: skip


@pytest.mark.parametrize("case", TREES)
def test_check_takes_what_it_asked_for(escp, talking, manifest, case):
    code, messages, said = TREES[case]
    check(escp.fail(code, "--check", manifest, "box:tree", agent=talking(*messages)), said)


def test_list_without_end_is_ended_by_its_user(escp, talking, manifest):
    """It is shown as it comes; nothing of it is kept."""
    endless = ["loop", found("source/\x1b[2J", is_last=False), 1 << 40]
    done = escp.fail(17, "--stop-after", "3", "--check", manifest, "box:tree", agent=talking(*ASKED, endless))
    check(done, "--stop-after")


def test_message_that_is_too_long_is_refused(escp, talking, manifest):
    long = found(*["source/" + "x" * 4000] * (MAX_MESSAGE_BYTES // 8000 + 1))
    done = escp.fail(12, "--check", manifest, "box:tree", agent=talking(*ASKED, long))
    check(done, "announced a control message")

"""This host's rules: what may be opened and made is asked of the kernel, whatever name led there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The rules are the process's, and can't be taken back.
RUN = """\
import os, sys
from escp._fast.files.guard import check_guarded, open_guarded, set_guard
allow, deny, place, flags, name = (os.fsencode(one) for one in sys.argv[1:])
set_guard(allow.split(b":"), deny.split(b":") if deny else [])
try:
    if name:
        check_guarded(os.open(place, os.O_PATH), name)
    else:
        os.fstat(open_guarded(place, int(flags)))
except OSError as e:
    print(e.errno)
else:
    print("yes")
"""
PATH, READ, FOLDER = os.O_PATH, os.O_RDONLY | os.O_NONBLOCK, os.O_RDONLY | os.O_DIRECTORY
FORBIDDEN = "4000"


def ask(allow, place, *, deny="", flags=READ, name=""):
    words = [str(allow), str(deny), str(place), str(flags), name]
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def top(tmp_path) -> Path:
    top = Path(os.path.realpath(tmp_path))
    for name in ("in", "in/sub", "in/deny", "inside", "out"):
        (top / name).mkdir()
        (top / name / "file").write_text(name)
    (top / "in" / "link").symlink_to("../out")
    (top / "in" / "file-link").symlink_to("../out/file")
    (top / "in" / "near").symlink_to("sub")
    return top


@pytest.mark.parametrize(
    "name", ["in", "in/sub", "in/file", "in/near/file", "in/sub/../file", "out/../in/file"]
)
def test_what_lies_below_is_opened(top, name):
    assert ask(top / "in", top / name) == ask(top / "in", top / name, flags=PATH) == "yes"


@pytest.mark.parametrize(
    "name",
    ["out", "out/file", "inside", "inside/file", "in/link", "in/link/file", "in/file-link", "in/..", "."],
)
@pytest.mark.parametrize("flags", [PATH, READ, FOLDER])
def test_what_does_not_is_not(top, name, flags):
    if flags == FOLDER and not (top / name).is_dir():
        pytest.skip("no directory")
    assert ask(top / "in", top / name, flags=flags) == FORBIDDEN


def test_what_is_denied_is_denied_in_any_case_it_is_written_in(top):
    assert ask(top / "in", top / "in/deny", deny=top / "in/deny") == FORBIDDEN
    assert ask(top / "in", top / "in/deny/file", deny=top / "in/deny") == FORBIDDEN
    assert ask(top / "in", top / "in", deny=top / "in/deny", name="deny") == FORBIDDEN
    assert ask(top / "in", top / "in", deny=top / "in/deny", name="Deny") == FORBIDDEN
    assert ask(top / "in", top / "in", deny=top / "in/deny", name="denyed") == "yes"
    assert ask(top / "in", top / "in/file", deny=top / "in/deny") == "yes"


@pytest.mark.parametrize(
    "name", [".x.escp-part", ".x.escp-journal", ".x.escp-made", ".escp-0.part", ".X.ESCP-PART"]
)
def test_names_that_copies_give_are_nobodys(top, name):
    (top / "in" / name).write_text("part")
    assert ask(top / "in", top / "in", name=name) == FORBIDDEN
    assert ask(top / "in", top / "in" / name) == FORBIDDEN


def test_several_places_and_all(top):
    assert ask(f"{top}/in/sub:{top}/out", top / "out/file") == "yes"
    assert ask(f"{top}/in/sub:{top}/out", top / "in/file") == FORBIDDEN
    assert ask("/", top / "out/file") == "yes"


def test_a_pipe_outside_is_not_opened(top):
    """Whoever writes to it would notice."""
    os.mkfifo(top / "out" / "pipe")
    (top / "in" / "pipe").symlink_to("../out/pipe")
    assert ask(top / "in", top / "in" / "pipe", flags=os.O_RDONLY) == FORBIDDEN  # and does not wait


def test_what_is_refused_does_not_add_up_until_the_sum_begins_again():
    run = "from escp._fast.files.guard import set_ceilings, take_guarded; set_ceilings(None, 1 << 60, None); "
    run += "print(sum(take_guarded(1 << 56) for _ in range(1000)), take_guarded(0), take_guarded(1))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["1", "True", "False"], done.stderr

"""What a killed copy has left where there are no nameless files goes with the next one, and nothing else."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peers import Sender

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"\.escp-([0-9a-f]{16})-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]+\.part")
# Begins a large file in the directory named, says so, and then waits to be killed.
WRITER = """
import os, sys
from pathlib import Path
from tests.support.peers import Sender
with Sender(Path(sys.argv[1]), has_tmpfile=False) as sender:
    sender.send_large(b"d/big", 1 << 30)
    while not [name for name in os.listdir(sys.argv[1] + "/d") if name.endswith(".part")]:
        pass
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(target):
    (target / "d").mkdir()
    command = [sys.executable, "-c", WRITER, target]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def copy_small(target, **options):
    with Sender(target, has_tmpfile=False, **options) as sender:
        sender.send_small(b"d/small")
        assert sender.receive_results(1)[0][1] == 0
        sender.finish()


def list_remains(target):
    return [name for name in os.listdir(target / "d") if name.endswith(".part")]


def test_what_a_killed_copy_has_left_is_removed(target, writer):
    (name,) = list_remains(target)
    assert NAME.fullmatch(name) and int(NAME.fullmatch(name)[2], 16) == writer.pid
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert list_remains(target) == [name]
    copy_small(target)
    assert os.listdir(target / "d") == ["small"]


def test_what_a_living_copy_writes_stays(target, writer):
    names = list_remains(target)
    copy_small(target)
    assert list_remains(target) == names


def test_what_is_not_certainly_ones_own_stays(target, writer):
    (name,) = list_remains(target)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    os.unlink(target / "d" / name)
    session, pid, start = NAME.fullmatch(name).groups()
    other = f"{int(session[:8], 16) ^ 1:08x}{session[8:]}"
    kept = {
        f".escp-{other}-{pid}-{start}-0.part",  # another host, boot or user
        f".escp-{session}-{pid}-{start}.part",  # no name of ours
        f".escp-{session}-{pid}-0-0.part",
        f".escp-{session}-{os.getpid():x}-{find_own_start():x}-0.part",  # lives
        f".escp-{session}-{pid}-{start}-0.part.txt",
        f"x.escp-{session}-{pid}-{start}-0.part",
        ".escp-.part",
    }
    for one in kept:
        (target / "d" / one).write_text("kept")
    linked = f".escp-{session}-{pid}-{start}-1.part"
    (target / "d" / linked).write_text("kept")
    os.link(target / "d" / linked, target / "d" / "other-name")
    directory, link = f".escp-{session}-{pid}-{start}-2.part", f".escp-{session}-{pid}-{start}-3.part"
    (target / "d" / directory).mkdir()
    (target / "d" / link).symlink_to("other-name")
    (target / "d" / f".escp-{session}-{pid}-{start}-4.part").write_text("goes")
    copy_small(target)
    assert set(os.listdir(target / "d")) == kept | {linked, directory, link, "other-name", "small"}


def find_own_start():
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


def test_where_files_have_no_names_nobody_looks(target, writer):
    (name,) = list_remains(target)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    with Sender(target) as sender:
        sender.send_small(b"d/small")
        assert sender.receive_results(1)[0][1] == 0
        sender.finish()
    assert list_remains(target) == [name]

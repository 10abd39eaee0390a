"""Root copies with --owner into a directory of somebody else's, who swaps what has just been made.

Nothing but what was made gets an owner, a mode or a time, whatever has its name by then.
"""

import os
import subprocess
import sys

import pytest

from escp.failures import FAST_SYS, FAST_UNSAFE
from tests._fast.files.test_links import device, link
from tests.support.command import needs_root
from tests.support.peers import DEVICE, LINK, Sender

pytestmark = needs_root
N = 1500
OPTIONS = {"keeps_owner": True, "keeps_attributes": True, "keeps_links": True, "keeps_devices": True}

# The directory's owner: puts another name of the victim, or a fifo, in place of each node as it appears.
ACCOMPLICE = """
import os, sys
folder, victim = sys.argv[1:]
n, own = 0, []
print(flush=True)
while not os.path.exists("stop"):
    for name in os.listdir(folder):
        try:
            if victim:
                os.link(victim, f"{folder}/swap{n}", follow_symlinks=False)
            else:  # a fifo of the owner's, under one name
                os.mkfifo(f"{folder}/swap{n}")
                os.chown(f"{folder}/swap{n}", 777, 777)
                own.append(os.open(f"{folder}/swap{n}", os.O_PATH))
            os.rename(f"{folder}/swap{n}", f"{folder}/{name}")
            n += 1
        except OSError:
            pass
    for name in os.listdir(folder):
        try:
            os.unlink(f"{folder}/{name}")
        except OSError:
            pass
    if any(os.fstat(fd).st_uid != 777 for fd in own):
        open("changed", "w")
    for fd in own[:-100]:
        os.close(fd)
    del own[:-100]
"""


def make_victim(path, kind):
    if kind == "file":
        path.write_bytes(b"precious")
        path.chmod(0o600)
    elif kind == "link":
        path.symlink_to("precious")
    elif kind == "fifo":
        os.mkfifo(path)
    if kind != "own":
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)


def read_facts(path):
    if not path.is_symlink() and not path.exists():
        return None
    status = os.lstat(path)
    return status.st_uid, status.st_gid, status.st_mode, status.st_mtime_ns


def make_node(kind, path, id):
    if kind == LINK:
        return link(path, b"nowhere", id, uid=12345, gid=12345)
    return device(path, id=id, uid=12345, gid=12345, mode=0o666)


@pytest.mark.parametrize("kind", [LINK, DEVICE], ids=["link", "fifo"])
@pytest.mark.parametrize("victim", ["file", "link", "fifo", "own"])
def test_owner_goes_to_the_node_that_was_made_and_to_nothing_else(tmp_path, target, kind, victim):
    make_victim(tmp_path / "victim", victim)
    before = read_facts(tmp_path / "victim")
    (target / "d").mkdir()
    words = [sys.executable, "-c", ACCOMPLICE, target / "d", "" if victim == "own" else tmp_path / "victim"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE) as accomplice:
        accomplice.stdout.readline()
        try:
            with Sender(target, **OPTIONS) as sender:
                codes = set()
                for first in range(1, N, 20):
                    ids = range(first, first + 20)
                    sender.send_entries(*(make_node(kind, b"d/%d" % id, id) for id in ids))
                    codes |= {result[1] for result in sender.receive_results(20)}
                    sender.plane.take_events()
                    assert read_facts(tmp_path / "victim") == before, f"after {first} nodes"
                sender.finish()
        finally:
            (tmp_path / "stop").touch()
    assert not (tmp_path / "changed").exists()
    assert codes <= {0, FAST_UNSAFE, FAST_SYS}

"""The kill table: `kill -9` of each side in turn at random moments of a copy, which is resumed each time.

    python3 -m tests.fault.kills [--way push] [--kills 50] [--mib 2048] [--files 2000] [--seed N]

One large file and many small ones, through a proxy that counts what passes. At the end all of it is there,
and no more passed than 1.1 times its size, and a block of each stream for each kill.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.command import DRIVER, Escp
from tests.support.directions import PULL, PUSH, RELAY
from tests.support.folders import new_folder
from tests.support.leftovers import find_agents
from tests.support.proxy import TO_AGENT, TO_INITIATOR, Proxy
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

WAYS = {"push": (PUSH, []), "pull": (PULL, []), "relay": (RELAY, []), "direct": (RELAY, ["-R"])}
# A relay has two connections: the one to the target leads through the proxy, the other one may, too.
COUNTED = {
    "push": {TO_AGENT},
    "pull": {TO_INITIATOR},
    "relay": {TO_AGENT},
    "direct": {TO_AGENT, TO_INITIATOR},
}
N_STREAMS = 2
BLOCK_BYTES = 1 << 20


class Counting(Proxy):
    """Counts the bytes that go these ways."""

    def __init__(self, port: int, ways: set[str]):
        self.n_bytes = 0
        self._ways = ways
        self._counting = threading.Lock()
        super().__init__(port, self._count)

    def _count(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        if way in self._ways:
            with self._counting:
                self.n_bytes += len(data)
        return data


def make_source(folder: Path, mib: int, n_files: int, seed: int) -> int:
    """How many bytes there are."""
    chance = random.Random(seed)
    folder.mkdir()
    write_random(folder / "large", mib << 20, seed=seed)
    n_bytes = mib << 20
    for i in range(n_files):
        path = folder / f"d{i % 20:02}" / f"small-{i:04}"
        path.parent.mkdir(exist_ok=True)
        size = chance.randrange(1, 20_000)
        path.write_bytes(chance.randbytes(size))
        n_bytes += size
    return n_bytes


def kill(escp: Escp, process: subprocess.Popen, turn: int) -> str:
    """The initiator, or one of its agents, as long as they run; which."""
    agents = sorted(find_agents(escp.mark))
    at = turn % (1 + len(agents))
    pid = process.pid if at == 0 else agents[at - 1]
    with contextlib.suppress(ProcessLookupError):  # it was quicker
        os.kill(pid, signal.SIGKILL)
    return f"agent {at}" if at else "initiator"


def run_kills(escp: Escp, source: Path, target: Path, n_kills: int, seed: int, *, way: str = "push",
              longest_s: float, limit: str, tell=lambda text: None) -> int:  # fmt: skip
    """Copy *source* to target/copy; how many bytes passed. AssertionError where something is wrong."""
    chance = random.Random(seed)
    direction, options = WAYS[way]
    words = ["-r", *options, "-t", str(N_STREAMS), "--partial-min", "4M", "-l", limit,
             direction.source(source), direction.target(target / "copy")]  # fmt: skip
    with Counting(escp.port, COUNTED[way]) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        start = {"env": env, "command": [sys.executable, str(DRIVER)]}
        for i in range(n_kills):
            before = proxy.n_bytes
            process = escp.start("--resume", *words, **start)
            wait_for(lambda: proxy.n_bytes > before or process.poll() is not None)  # noqa: B023
            end_s = time.monotonic() + chance.uniform(0, longest_s)
            while time.monotonic() < end_s and process.poll() is None:
                time.sleep(0.01)
            who = kill(escp, process, i) if process.poll() is None else "nobody"
            code = escp.finish(process).code
            wait_for(lambda: not find_agents(escp.mark))
            tell(f"{i + 1:3} {who:9} exit {code:3}  {(proxy.n_bytes - before) / 1e6:8.1f} MB passed")
            assert code != 0, "the copy was over too soon: give it a lower --limit, or more --mib"
        words[words.index("-l") + 1] = "10G"
        done = escp.run("--resume", *words, timeout_s=600, **start)
        assert done.code == 0, (done.code, done.out, done.err)
        there, wanted = list_tree(target / "copy"), list_tree(source)
        assert there == wanted, [one for one in {**there, **wanted} if there.get(one) != wanted.get(one)][:9]
        assert os.listdir(target) == ["copy"]
        return proxy.n_bytes


def check(n_bytes: int, n_came: int, n_kills: int) -> None:
    assert n_came <= 1.1 * n_bytes + n_kills * N_STREAMS * BLOCK_BYTES, (n_bytes, n_came)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--way", choices=WAYS, default="push")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds of data before a kill")
    parser.add_argument("--limit", default="60M")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with (
        new_folder("escp-sshd-") as home,
        Sshd(home) as sshd,
        new_folder() as folder,
        Escp(folder, sshd) as escp,
    ):
        n_bytes = make_source(folder / "source", args.mib, args.files, args.seed)
        (folder / "target").mkdir()
        n_came = run_kills(
            escp,
            folder / "source",
            folder / "target",
            args.kills,
            args.seed,
            way=args.way,
            longest_s=args.longest,
            limit=args.limit,
            tell=lambda text: print(text, flush=True),
        )
    print(f"{n_bytes / 1e6:.1f} MB, {args.kills} kills, {n_came / 1e6:.1f} MB passed: {n_came / n_bytes:.3f}")
    check(n_bytes, n_came, args.kills)


if __name__ == "__main__":
    main()

"""Storms: copies through a proxy that cuts, stalls, delays, corrupts and doubles, where and when a seed says.

    python3 -m tests.fault.storms [--runs 500] [--ways push,pull,-3,-R] [--seed N] [--at once]

Each run has a seed of its own, which is printed: `--seed N --runs 1` is that run again. It ends verified,
within the time that its faults take and a minute, and leaves nothing; else the whole ends with that seed.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fault.test_causes import name_ends
from tests.support.command import DRIVER, Escp
from tests.support.folders import new_folder
from tests.support.proxy import TO_AGENT, Cut, Proxy
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, write_random

WAYS = ("push", "pull", "-3", "-R")
KINDS = ("fin", "reset", "half", "stall", "delay", "hole", "flip", "double", "drop", "insert", "refuse")
DAMAGES = ("flip", "double", "drop", "insert")
END_S = 60.0  # for a copy of some megabytes on a busy machine, when all its faults are over
LARGE_BYTES = 9_000_000
HELLO_BYTES = 200  # of both, through a relay, which ends what does not begin as the other host does
START_BYTES = 1 << 16  # what passes at once with a connection's first words


class Fault:
    """One of *KINDS*, at an offset of whichever connection gets so far first."""

    def __init__(self, dice: random.Random, *, has_data: bool):
        self.kind = dice.choice(KINDS)
        self.at = int(dice.expovariate(1 / (LARGE_BYTES / 6 if has_data else 600))) + 8
        self.way_has_data = has_data
        self.seconds = dice.uniform(0.5, 9.0)
        self.bit = 1 << dice.randrange(8)
        self.n_bytes = dice.randrange(1, 3000)
        self.is_done = False

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}{'' if self.way_has_data else ' of results'}"


class Storm(Proxy):
    """Does what the seed says to what passes it."""

    def __init__(self, port: int, seed: int, way: str):
        dice = random.Random(seed)
        self.faults = [Fault(dice, has_data=dice.random() < 0.7) for _ in range(dice.randrange(1, 7))]
        # Three in a row that bring something else end a copy, rightly: two at most.
        for fault in [fault for fault in self.faults if fault.kind in DAMAGES][2:]:
            fault.kind = "reset"
        self.n_streams = dice.choice((1, 2, 4))
        self._to_data = TO_AGENT if way != "pull" else None
        self._refused_s = 0.0
        self._holes: set[tuple[int, str]] = set()
        self._choosing = threading.Lock()
        super().__init__(port, self._strike, before_upstream=self._greet)

    @property
    def struck(self) -> str:
        return ", ".join(str(fault) for fault in self.faults if fault.is_done) or "none"

    @property
    def seconds(self) -> float:
        return sum(fault.seconds for fault in self.faults)

    def _greet(self, stream: int, hello: bytes) -> None:
        if time.monotonic() < self._refused_s:
            raise OSError("nobody is there")

    def _find(self, way: str, at: int, n_bytes: int) -> Fault | None:
        has_data = (way == TO_AGENT) == (self._to_data == TO_AGENT)
        with self._choosing:
            for fault in self.faults:
                if not fault.is_done and fault.way_has_data == has_data and at <= fault.at < at + n_bytes:
                    fault.is_done = True
                    return fault
        return None

    def _strike(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        if (stream, way) in self._holes and at:  # acknowledged, and gone
            return b""
        fault = self._find(way, at, len(data))
        if fault is None:
            return data
        i = fault.at - at
        kind = fault.kind
        if kind == "flip":
            return data[:i] + bytes([data[i] ^ fault.bit]) + data[i + 1 :]
        if kind == "double":
            return data[:i] + data[i : i + fault.n_bytes] + data[i:]
        if kind == "drop":
            return data[:i] + data[i + fault.n_bytes :]
        if kind == "insert":
            return data[:i] + bytes(fault.n_bytes) + data[i:]
        if kind in ("stall", "delay"):  # a full buffer behind it has no window any more
            time.sleep(fault.seconds if kind == "stall" else fault.seconds / 9)
            return data
        if kind == "hole":
            self._holes.add((stream, way))
            threading.Timer(fault.seconds, self._end_hole, (stream, way)).start()
            return data[:i]
        if kind == "refuse":
            self._refused_s = time.monotonic() + fault.seconds
        raise Cut(is_reset=kind in ("reset", "refuse"), is_half=kind == "half")

    def _end_hole(self, stream: int, way: str) -> None:
        self.reset(stream)
        self._holes.discard((stream, way))


def make_source(folder: Path) -> None:
    folder.mkdir()
    write_random(folder / "large", LARGE_BYTES)
    for number in range(150):
        write_random(folder / f"small-{number:03}", number * 100, seed=number)


def run_storm(sshd: Sshd, source: Path, seed: int, way: str) -> str:
    """What happened, in a line; AssertionError where something is wrong."""
    begin_s = time.monotonic()
    with new_folder() as folder, Escp(folder, sshd) as escp, Storm(escp.port, seed, way) as storm:
        target = folder / "target"
        target.mkdir()
        env = escp.write_driver(ports={str(escp.port): storm.port})
        try:
            done = escp.run("-r", "-t", str(storm.n_streams), *name_ends(way, source, target), env=env,
                            command=[sys.executable, str(DRIVER)],
                            timeout_s=storm.seconds + END_S)  # fmt: skip
        except AssertionError as e:
            raise AssertionError(storm.n_streams, storm.struck, *e.args) from None
        told = f"{way:4} seed {seed:10}  {time.monotonic() - begin_s:5.1f} s  {storm.struck}"
        first = min((fault.at for fault in storm.faults if fault.is_done), default=START_BYTES)
        if done.error and (
            (done.code == 13 and first < START_BYTES) or (done.code == 12 and first < HELLO_BYTES)
        ):
            return f"{told}  (no connection came about: exit status {done.code})"
        assert done.code == 0, (told, done.code, done.err)
        there, wanted = list_tree(target / source.name), list_tree(source)
        assert there == wanted, (told, [name for name in wanted if there.get(name) != wanted[name]][:9])
        escp.assert_nothing_left()
        return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="of the first run")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--goes-on", action="store_true", help="after a run that fails")
    args = parser.parse_args()
    ways = args.ways.split(",")
    counts: Counter[str] = Counter()
    with new_folder("escp-sshd-") as home, Sshd(home) as sshd, new_folder() as folder:
        make_source(folder / "source")

        def run(number: int) -> None:
            seed = args.seed + number
            way = ways[seed % len(ways)]
            try:
                print(run_storm(sshd, folder / "source", seed, way), flush=True)
                counts[f"{way} verified"] += 1
            except AssertionError as e:
                print(f"FAILED: {way} seed {seed}: {e}", flush=True)
                counts[f"{way} failed"] += 1
                if not args.goes_on:
                    raise

        with ThreadPoolExecutor(args.at_once) as pool:
            for _ in pool.map(run, range(args.runs)):
                continue
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    sys.exit(any(what.endswith("failed") for what in counts))


if __name__ == "__main__":
    main()

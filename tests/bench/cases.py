"""The cases: which tools copy which data under which conditions, and what the project asks of escp there."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from dataset import Dataset
from scratch import Scratch
from tools import (
    RIVAL,
    Tool,
    Toolbox,
    durable_rate,
    name_size,
    take_data_rate,
    take_limit_rate,
    take_seconds,
)

MIB, GIB = 1 << 20, 1 << 30
BLOCK_BYTES = 4096  # what a small file takes on the disk
BLOCKS = (4 << 10, MIB, 32 * MIB)  # of a program; of streams 256 KiB are the least, 512 KiB usual
MEMORY_ROUNDS = 3  # a peak hardly varies, and 200,000 files stay behind each time


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    mem_bytes: int = 16 * GIB
    program_bytes: int = 4 * GIB
    disk_bytes: int = 4 * GIB
    shm_bytes: int = 2 * GIB
    small_folders: int = 200  # of 100 files
    few_folders: int = 1  # of 1,000 files
    many_folders: int = 200
    one_rounds: int = 11


FULL = Scale()
QUICK = Scale(GIB, 128 * MIB, 256 * MIB, 256 * MIB, small_folders=10, many_folders=4, one_rounds=3)


@dataclass
class Bound:
    """The figure of `row` over that of the best of `references`; without references the figure itself.

    `is_time`: of the times, where the table has rates. `limit` None: for information.
    """

    row: str
    references: tuple[str, ...] = ()
    limit: float | None = None
    is_at_least: bool = True
    is_time: bool = False
    remark: str = ""


@dataclass
class Case:
    name: str
    unit: str
    n_rounds: int
    tools: list[Tool | None]
    bounds: list[Bound]
    is_cold: bool = False
    is_durable: bool = False
    in_shm: bool = False
    keeps_targets: bool = False  # many files in each: see Scratch.target
    warms_up: bool = False
    watches_memory: bool = False
    datasets: list[Dataset] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tools = [tool for tool in self.tools if tool]
        for tool in self.tools:
            if tool.dataset and tool.dataset not in self.datasets:
                self.datasets.append(tool.dataset)


class Cases:
    """Makes the cases by name; each knows its place on the disk from the scratch folders."""

    def __init__(self, scratch: Scratch, box: Toolbox, scale: Scale, n_rounds: int):
        self._scratch, self._box, self._scale, self._n_rounds = scratch, box, scale, n_rounds

    def make(self, name: str) -> Case:
        return MAKERS[name](self)

    def _mem(self, n_streams: int) -> Case:
        data = Dataset(self._scratch.disk / "source" / "sparse", self._scale.mem_bytes, is_sparse=True)
        options = ("--ioengine=dummy", "-t", str(n_streams), "--json")
        limit = self._box.limit(data, take_limit_rate, n_streams, MIB, in_memory=True)
        return Case(
            f"mem{n_streams}",
            "GB/s",
            self._n_rounds,
            [
                self._box.escp(data, take_data_rate, *options),
                self._box.rival(data, take_data_rate, *options),
                limit,
            ],
            [Bound("escp", (f"limit {n_streams} × 1M",), 0.90), *self._rival_bounds()],
        )

    def _rival_bounds(self, *, is_at_least: bool = True) -> list[Bound]:
        bound = Bound("escp", (RIVAL,), 0.97 if is_at_least else 1 / 0.97, is_at_least)
        return [bound] if os.environ.get("ESCP_BENCH_RIVAL") else []

    def mem2(self) -> Case:
        return self._mem(2)

    def mem4(self) -> Case:
        return self._mem(4)

    def programs(self) -> Case:
        data = Dataset(self._scratch.disk / "source" / "memory", self._scale.program_bytes, is_sparse=True)
        box, options = self._box, ("-t", "2", "--json")
        reference = box.escp(data, take_data_rate, "--ioengine=dummy", *options, name="dummy::dummy")
        tools: list[Tool | None] = [box.program(data, take_data_rate, "write", MIB)]
        # What blocks of the streams of that size cost without any program: nothing is asked of these.
        of_sizes = [
            box.escp(
                data, take_data_rate, "--ioengine=dummy", f"--blocksize={size}", *options,
                name=f"dummy::dummy {name_size(size)}",
            )
            for size in (256 << 10, 512 << 10, BLOCKS[-1])
        ]  # fmt: skip
        of_ways = {
            "write_block": BLOCKS,
            "write_blocks": BLOCKS[:1],
            "receive_blocks": (256 << 10, 512 << 10, *BLOCKS[1:]),
        }
        for way, sizes in of_ways.items():
            tools += [box.program(data, take_data_rate, way, size) for size in sizes]
        for way in ("send", "receive"):
            tools += [box.ring(data, take_data_rate, way, size, *options) for size in BLOCKS]
        bounds = [Bound(tool.name, (reference.name,), 0.90) for tool in tools if tool]
        return Case("programs", "GB/s", self._n_rounds, [reference, *of_sizes, *tools], bounds)

    def _file(self, name: str, data: Dataset, bounds: list[Bound], *, in_shm: bool) -> Case:
        rate = durable_rate(data.n_bytes / 1e9)
        box = self._box
        tools = [
            box.escp(data, rate),
            box.rival(data, rate),
            box.limit(data, rate, 4, MIB),
            box.limit(data, rate, 8, 4 * MIB),
            box.scp(data, rate),
        ]
        bounds = [*bounds, *self._rival_bounds()]
        return Case(name, "GB/s", self._n_rounds, tools, bounds, is_cold=True, is_durable=True, in_shm=in_shm)

    def disk(self) -> Case:
        data = Dataset(self._scratch.disk / "source" / "large", self._scale.disk_bytes)
        limits = ("limit 4 × 1M fallocate", "limit 8 × 4M fallocate")
        bounds = [Bound("escp", limits, 0.85), Bound("escp", ("scp aes128-gcm",), 2.0)]
        return self._file("disk", data, bounds, in_shm=False)

    def tmpfs(self) -> Case:
        data = Dataset(self._scratch.shm / "source" / "large", self._scale.shm_bytes)
        limits = ("limit 4 × 1M fallocate", "limit 8 × 4M fallocate")
        bounds = [Bound("escp", ("scp aes128-gcm",), 2.5), Bound("escp", limits)]
        return self._file("tmpfs", data, bounds, in_shm=True)

    def small(self) -> Case:
        n_folders = self._scale.small_folders
        data = Dataset(self._scratch.disk / "source" / "small", 4096, 100 * n_folders, n_folders)
        rate = durable_rate(data.n_files)
        box = self._box
        return Case(
            "small",
            "files/s",
            self._n_rounds,
            [
                box.escp(data, rate, "-r"),
                box.rival(data, rate, "-r"),
                box.scp(data, rate),
                box.cp(data, rate, "-a"),
            ],
            [
                Bound("escp", ("scp -r aes128-gcm",), 4.0),
                Bound("escp", ("cp -a",), 1.5, is_at_least=False, is_time=True),
                *self._rival_bounds(),
            ],
            is_cold=True,
            is_durable=True,
            keeps_targets=True,
        )

    def local(self) -> Case:
        data = Dataset(self._scratch.disk / "source" / "large", self._scale.disk_bytes)
        rate = durable_rate(data.n_bytes / 1e9)
        tools = [self._box.local_escp(data, rate), self._box.cp(data, rate)]
        bounds = [Bound("escp", ("cp",), 1.0)]
        return Case("local", "GB/s", self._n_rounds, tools, bounds, is_cold=True, is_durable=True)

    def local_small(self) -> Case:
        n_folders = self._scale.small_folders
        data = Dataset(self._scratch.disk / "source" / "small", 4096, 100 * n_folders, n_folders)
        rate = durable_rate(data.n_files)
        return Case(
            "local_small",
            "files/s",
            self._n_rounds,
            [self._box.local_escp(data, rate), self._box.cp(data, rate, "-r")],
            [Bound("escp", ("cp -r",), 1.0)],
            is_cold=True,
            is_durable=True,
            keeps_targets=True,
        )

    def one(self) -> Case:
        data = Dataset(self._scratch.disk / "source" / "byte", 1)
        return Case(
            "one",
            "s",
            self._scale.one_rounds,
            [
                self._box.escp(data, take_seconds),
                self._box.rival(data, take_seconds),
                self._box.ssh(take_seconds),
            ],
            [Bound("escp", ("ssh lo true",), 1.6, is_at_least=False), *self._rival_bounds(is_at_least=False)],
            warms_up=True,
        )

    def memory(self) -> Case:
        tools, bounds, first = [], [], ""
        for what, n_folders in (("few", self._scale.few_folders), ("many", self._scale.many_folders)):
            data = Dataset(self._scratch.disk / "source" / what, 16, 1000 * n_folders, n_folders)
            name = f"{data.n_files:,} files"
            # The figures come from the watcher, see rounds.py.
            options = ("-r", "-t", "4", "--blocksize", "1M")
            tools.append(self._box.escp(data, lambda run: run.values, *options, name=name, tells_pid=True))
            for side in ("sender", "receiver"):
                bounds.append(Bound(f"{side}, {name}", (), 96, is_at_least=False))
                if first:
                    row, remark = f"{side}, {first}", "“the same”"
                    bounds.append(Bound(f"{side}, {name}", (row,), 1.1, is_at_least=False, remark=remark))
            first = name
        n_rounds = min(MEMORY_ROUNDS, self._n_rounds)
        return Case("memory", "MiB", n_rounds, tools, bounds, keeps_targets=True, watches_memory=True)


MAKERS: dict[str, Callable[[Cases], Case]] = {
    name: getattr(Cases, name)
    for name in (
        "mem2",
        "mem4",
        "programs",
        "disk",
        "tmpfs",
        "local",
        "small",
        "local_small",
        "one",
        "memory",
    )
}


def count_space(names: list[str], scale: Scale, n_rounds: int) -> tuple[int, int]:
    """Bytes needed on the disk and in /dev/shm: source and one copy of a large file, all copies of a tree."""
    disk, shm = GIB // 2, 0
    if "disk" in names or "local" in names:
        disk += 2 * scale.disk_bytes
    n_rivals = bool(os.environ.get("ESCP_BENCH_RIVAL"))
    n_trees = (3 + n_rivals) * ("small" in names) + 2 * ("local_small" in names)
    if n_trees:
        disk += 100 * scale.small_folders * 2 * BLOCK_BYTES * (1 + n_trees * n_rounds)
    if "memory" in names:
        n_files = 1000 * (scale.few_folders + scale.many_folders)
        disk += n_files * (BLOCK_BYTES + 256) * (1 + min(MEMORY_ROUNDS, n_rounds))
    if "tmpfs" in names:
        shm += 2 * scale.shm_bytes + GIB // 4
    return disk, shm

"""The tools that are compared: how each is called for a dataset, and which figure is taken from a run."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dataset import Dataset
from run import Run

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
LIMIT_SOURCE = HERE / "limit.c"
LIBRARY = ROOT / "packaging" / "clib"
RING_BYTES = 64 << 20  # of a program's shared memory; four blocks at least
RIVAL = "rival escp"
GCM = ("-c", "aes128-gcm@openssh.com")


@dataclass
class Tool:
    """`build` gets the fresh target folder; `copies`: the tool leaves a copy there."""

    name: str
    build: Callable[[Path], list[str]]
    measure: Callable[[Run], dict[str, float]] = field(repr=False)
    dataset: Dataset | None = None
    is_escp: bool = False
    copies: bool = True

    def copy_path(self, target: Path) -> Path:
        return target / self.dataset.path.name


class Toolbox:
    """Makes the tools. `limit` is None where it can't be built, and `why_no_limit` says so in a sentence."""

    def __init__(self, client_config: Path, build_folder: Path):
        self._config = str(client_config)
        self.escp_command = shlex.split(os.environ.get("ESCP_BENCH_COMMAND") or str(ROOT / ".venv/bin/escp"))
        self._rival = shlex.split(os.environ.get("ESCP_BENCH_RIVAL", ""))
        self._limit, self._ring = build_folder / "limit", build_folder / "ring"
        self.why_no_limit = build_limit(self._limit)
        self.why_no_ring = build_ring(self._ring)
        self._with_dummy = build_folder / "dummy.conf"
        self._with_dummy.write_text("ioengine: dummy\n")
        self._agent = build_folder / "agent"
        self.agent_pid_file = build_folder / "agent.pid"
        # The shell becomes escp by exec and keeps its process id.
        pid_file, command = shlex.quote(str(self.agent_pid_file)), shlex.join(self.escp_command)
        self._agent.write_text(f'#!/bin/sh\necho $$ > {pid_file}\nexec {command} "$@"\n')
        self._agent.chmod(0o755)

    def find_missing(self) -> str:
        program = self.escp_command[0]
        return "" if shutil.which(program) else f"there is no {program}: run `python3 build.py setup`"

    def escp(self, dataset: Dataset, measure, *options: str, name="escp", tells_pid=False) -> Tool:
        agent = shlex.quote(str(self._agent)) if tells_pid else shlex.join(self.escp_command)

        def build(target: Path) -> list[str]:
            words = [*self.escp_command, "-F", self._config, "-D", agent, *options]
            return [*words, str(dataset.path), f"lo:{target}/"]

        return Tool(name, build, measure, dataset, is_escp=True, copies="--ioengine=dummy" not in options)

    def program(self, dataset: Dataset, measure, way: str, block_bytes: int) -> Tool:
        """Python's API, of this checkout, here; at the other end the escp that is measured."""
        command = [sys.executable, str(HERE / "program.py"), way, str(block_bytes), str(dataset.n_bytes)]
        host = ["lo", self._config, shlex.join(self.escp_command), str(self._with_dummy)]

        def build(target: Path) -> list[str]:
            path = dataset.path if way == "receive_blocks" else target / dataset.path.name
            return [*command, str(path), *host]

        name = way if way == "write" else f"{way} {name_size(block_bytes)}"
        return Tool(name, build, measure, dataset, is_escp=True, copies=False)

    def ring(self, dataset: Dataset, measure, way: str, block_bytes: int, *options: str) -> Tool | None:
        """A program that shares memory here, and *way* is `send`, or there, and it is `receive`."""
        if self.why_no_ring:
            return None
        engines = "shmem::dummy" if way == "send" else "dummy::shmem"
        plan = [str(block_bytes), str(max(4, RING_BYTES // block_bytes)), str(dataset.n_bytes)]
        escp = [*self.escp_command, "-F", self._config, "-D", shlex.join(self.escp_command)]

        def build(target: Path) -> list[str]:
            ends = ["@", f"lo:{target}/"] if way == "send" else [str(dataset.path), "lo:@"]
            return [str(self._ring), way, *plan, *escp, f"--ioengine={engines}", *options, *ends]

        name = f"{engines} {name_size(block_bytes)}"
        return Tool(name, build, measure, dataset, is_escp=True, copies=False)

    def rival(self, dataset: Dataset, measure, *options: str) -> Tool | None:
        """Another build of escp, on both sides; None where $ESCP_BENCH_RIVAL names none."""
        if not self._rival:
            return None

        def build(target: Path) -> list[str]:
            words = [*self._rival, "-F", self._config, "-D", shlex.join(self._rival), *options]
            return [*words, str(dataset.path), f"lo:{target}/"]

        return Tool(RIVAL, build, measure, dataset, is_escp=True, copies="--ioengine=dummy" not in options)

    def local_escp(self, dataset: Dataset, measure) -> Tool:
        """Within this host: no ssh, no agent."""
        recursive = ["-r"] if dataset.n_folders else []

        def build(target: Path) -> list[str]:
            return [*self.escp_command, *recursive, str(dataset.path), f"{target}/"]

        return Tool("escp", build, measure, dataset, is_escp=True)

    def limit(self, dataset: Dataset, measure, n_streams: int, block_bytes: int, *, in_memory=False):
        if self.why_no_limit:
            return None
        name = f"limit {n_streams} × {block_bytes >> 20}M" + ("" if in_memory else " fallocate")

        def build(target: Path) -> list[str]:
            words = [str(self._limit), str(n_streams), str(block_bytes), str(dataset.n_bytes)]
            if in_memory:
                return [*words, "-", "-"]
            return [*words, str(dataset.path), str(target / dataset.path.name), "fallocate"]

        return Tool(name, build, measure, dataset, copies=not in_memory)

    def scp(self, dataset: Dataset, measure) -> Tool:
        recursive = ["-r"] if dataset.n_folders else []

        def build(target: Path) -> list[str]:
            return ["scp", "-q", *recursive, *GCM, "-F", self._config, str(dataset.path), f"lo:{target}/"]

        return Tool(f"scp {' '.join(recursive)} aes128-gcm".replace("  ", " "), build, measure, dataset)

    def cp(self, dataset: Dataset, measure, *options: str) -> Tool:
        words = ["cp", *options, str(dataset.path)]
        return Tool(" ".join(words[:-1]), lambda target: [*words, f"{target}/"], measure, dataset)

    def ssh(self, measure) -> Tool:
        return Tool("ssh lo true", lambda _: ["ssh", "-F", self._config, "lo", "true"], measure, copies=False)


def name_size(n_bytes: int) -> str:
    return f"{n_bytes >> 20} MiB" if n_bytes >> 20 else f"{n_bytes >> 10} KiB"


def build_limit(program: Path) -> str:
    """'' when done, else a sentence that says why the comparisons with it are left out."""
    return _compile(program, "Comparisons with `limit`", LIMIT_SOURCE, "-lIPSec_MB", "-lpthread")


def build_ring(program: Path) -> str:
    return _compile(
        program, "Programs that share memory", HERE / "ring.c", f"-I{LIBRARY}",
        f"-I{ROOT / 'escp' / '_fast' / 'io'}", LIBRARY / "escp_shmem.c", "-lpthread",
    )  # fmt: skip


def _compile(program: Path, what: str, source: Path, *words: str | Path) -> str:
    if not source.exists():
        return f"{what} are left out: there is no {source}."
    command = ["gcc", "-O3", "-o", program, source, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as e:
        return f"{what} are left out: gcc can't be started ({e.strerror})."
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "no reason given")
        return f"{what} are left out: it does not compile ({reason})."
    return ""


def read_result(run: Run) -> dict:
    """The last line of `escp --json`."""
    return json.loads(run.output.splitlines()[-1])


def take_data_rate(run: Run) -> dict[str, float]:
    """GB/s from the first to the last byte, as --json tells it."""
    result = read_result(run)
    return {run.tool: result["bytes"] / result["data_seconds"] / 1e9}


def take_limit_rate(run: Run) -> dict[str, float]:
    return {run.tool: float(run.output.partition("GB/s=")[2].split()[0])}


def take_seconds(run: Run) -> dict[str, float]:
    return {run.tool: run.seconds}


def durable_rate(amount: float) -> Callable[[Run], dict[str, float]]:
    """*amount* (GB or files) a second, until all is on the disk."""
    return lambda run: {run.tool: amount / run.durable_s}

"""What `build.py bench` runs: escp's speed and memory beside scp, cp, ssh and `limit`, in one table.

It measures and never judges by its exit code; tests/bench/README.md tells how to read the table.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

import cases
import machine
import scratch
import table
from cases import Case
from cpu import CpuMeter
from processes import adopt_orphans, end_started
from rounds import play
from run import GRACE_S, Run, Runner
from scratch import NoScratch, Scratch
from sshd import NoSshd, Sshd
from tools import ROOT, Toolbox

INODE_REST_S = 40  # ext4 skips inodes that were deleted less than some 35 s ago, see Scratch.target
QUICK_TIMEOUT_S, TIMEOUT_S = 120, 600
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asked the bench to end. Not an Exception: no case may take it for its own failure."""


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__.strip().splitlines()[0])
    names = list(cases.MAKERS)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=f"cases: {', '.join(names)}")
    parser.add_argument("--runs", type=int, metavar="N", help="rounds of each case (5; 1 with --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, each run too")
    parser.add_argument("--quick", action="store_true", help="small data, one round: tests the bench itself")
    args = parser.parse_args()
    args.runs = max(1, args.runs or (1 if args.quick else 5))
    if args.json:
        try:
            args.json.touch()  # not after ten minutes
        except OSError as e:
            parser.error(f"--json {args.json}: {e.strerror}")
    args.names = [name for name in names if not args.only or name in args.only]
    return args


class Bench:
    """Holds what must be given back at the end, in the order in which it was taken."""

    def __init__(self, args: argparse.Namespace):
        self._args = args
        self._scale = cases.QUICK if args.quick else cases.FULL
        self._results: list[tuple[Case, list[Run]]] = []
        self._facts: dict[str, str] = {}
        self._remarks: list[str] = []

    def run(self) -> int:
        args = self._args
        self._leave_out_tmpfs()
        work = Scratch(*cases.count_space(args.names, self._scale, args.runs))
        meter = sshd = None
        try:
            adopt_orphans()
            meter = CpuMeter()
            sshd = Sshd(work.disk / "ssh")
            meter.sshd_pid = sshd.pid
            self._measure(work, meter, sshd)
        except Ended as e:
            self._remarks.append("Interrupted: what is here is not complete.")
            return 128 + e.args[0]
        except OSError as e:  # others may fill the disk, too
            self._remarks.append(f"The bench was given up: {e}")
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            say("cleaning up; with a million files this takes a minute")
            if sshd:
                end_started(sshd.pid, GRACE_S)
                sshd.close()
            if meter:
                meter.close()
            work.close()
            self._report()
        return 0

    def _leave_out_tmpfs(self) -> None:
        """A container's /dev/shm is often too small: the other cases need not wait for a better one."""
        _, shm_bytes = cases.count_space(self._args.names, self._scale, self._args.runs)
        if shm_bytes and (lack := scratch.describe_lack(scratch.SHM, shm_bytes)):
            self._remarks.append(f"The case tmpfs is left out: {lack}.")
            say(self._remarks[-1])
            self._args.names.remove("tmpfs")

    def _measure(self, work: Scratch, meter: CpuMeter, sshd: Sshd) -> None:
        args = self._args
        box = Toolbox(sshd.client_config, work.disk)
        if missing := box.find_missing():
            self._remarks.append(missing)
            return
        for lack in filter(None, (box.why_no_limit, box.why_no_ring)):
            say(lack)
            self._remarks.append(lack)
        self._facts = machine.gather(work.disk.parent, box.escp_command, ROOT)
        self._facts["CPU seconds"] = meter.how
        self._facts["runs"] = (
            f"{args.runs} rounds, interleaved; `one` {self._scale.one_rounds}, `memory` at most 3"
        )
        if args.quick:
            self._facts["runs"] += "; QUICK: these figures mean nothing"
        if not scratch.drop_caches():
            self._remarks.append("Caches can't be dropped without root: all figures are with warm caches.")
        maker = cases.Cases(work, box, self._scale, args.runs)
        chosen = [maker.make(name) for name in args.names]
        self._make_sources(chosen)
        runner = Runner(meter, sshd.pid, work.disk, QUICK_TIMEOUT_S if args.quick else TIMEOUT_S)
        for case in chosen:
            runs: list[Run] = []
            self._results.append((case, runs))
            try:
                play(case, runner, work, box.agent_pid_file, runs)
            except Exception as e:  # the other cases are worth having
                self._remarks.append(f"{case.name} was given up: {type(e).__name__}: {e}")
                say(self._remarks[-1])

    def _make_sources(self, chosen: list[Case]) -> None:
        """All of them first: whatever was deleted on the disk before the bench has time to be forgotten."""
        start = time.monotonic()
        made = set()
        for case in chosen:
            for data in case.datasets:
                if data.path not in made:
                    say(f"making {data.path.name}: {data.n_files:,} × {data.file_bytes:,} bytes")
                    data.make()
                    made.add(data.path)
        scratch.drop_caches()
        rest_s = INODE_REST_S - (time.monotonic() - start)
        if any(case.keeps_targets for case in chosen) and rest_s > 0 and not self._args.quick:
            say(f"waiting {rest_s:.0f} s: ext4 is slow with inodes that were deleted a moment ago")
            time.sleep(rest_s)

    def _report(self) -> None:
        self._facts["load at end"] = machine.read_load()
        for name, value in self._facts.items():
            print(f"{name + ':':14} {value}")
        lines = [line for case, runs in self._results for line in table.make_lines(case, runs)]
        if lines:
            print("\n" + table.format_table(lines) + "\n")
        notes = [note for case, runs in self._results for note in table.make_notes(case, runs)]
        for text in self._remarks + notes:
            print(f"- {text}")
        if self._args.json:
            self._args.json.write_text(json.dumps(self._as_json(notes), indent=1) + "\n")

    def _as_json(self, notes: list[str]) -> dict[str, object]:
        described = []
        for case, runs in self._results:
            rows = table.make_rows(case, runs)
            verdicts = [asdict(table.judge(case, bound, rows)) for bound in case.bounds]
            described.append({
                "name": case.name, "unit": case.unit, "verdicts": verdicts,
                "rows": [asdict(row) for row in rows.values()], "runs": [run.as_json() for run in runs],
            })  # fmt: skip
        return {"machine": self._facts, "notes": self._remarks + notes, "cases": described}


def end(number: int, _frame: object) -> None:
    raise Ended(number)


def main() -> int:
    args = parse_arguments()
    for number in SIGNALS:
        signal.signal(number, end)
    try:
        return Bench(args).run()
    except (NoScratch, NoSshd) as e:
        print(f"bench: {e}", file=sys.stderr)
        return 0


if __name__ == "__main__":
    sys.exit(main())

"""What `build.py mutations [NUMBER...]` runs: does a test notice when a guarantee is broken?

In copies of the working tree, in a folder of their own, each mutation of `table` is made alone, compiled if
its file is native, and the tests that it names are run: one must fail. Before, all must pass as they are; how
long that takes says how long they may take later.
With --table it prints the table of docs/mutations.md instead.
"""

import argparse
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.mutations.table import MUTATIONS, Mutation, format_table  # noqa: E402

TESTS_FAILED = 1  # pytest's exit code; others mean that it could not run them
TOLD = r"\d+ (failed|error)|it hangs"  # without it there was no pytest, whose exit code is 1 then, too
NOTICED_BY = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
COMPILE_S = 600.0
# A single test that hangs is pytest's to end. These are of all that a mutation names, at first and later:
FIRST_S = 120.0  # for each
BEGIN_S, TIMES = 180.0, 4  # and so many times what they took in the first run, on however busy a machine


class Broken(Exception):
    """The table is wrong, or the tests can't be run: nothing is known about the guarantee."""


class Copy:
    """A copy of the checkout that a mutation may be made in, with all that is compiled."""

    def __init__(self, folder: Path):
        self.folder = folder
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
        )
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
        made = [*ROOT.glob("escp/_fast/_native.*.so"), ROOT / "escp" / "_fast" / "_build_info.py"]
        for name in [*names, *(os.fspath(path.relative_to(ROOT)) for path in made)]:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        # Not all of build/: sanitizers and fuzzers have trees of their own there.
        for made in (ROOT / "build" / "cython", *ROOT.glob("build/temp.*")):
            shutil.copytree(made, folder / made.relative_to(ROOT))
        (self._library,) = folder.glob("escp/_fast/_native.*.so")
        self._kept = folder / "as-it-was"
        self._kept.mkdir()

    def check(self, mutation: Mutation, took_s: float) -> str:
        """What became of it: "noticed", by what, or "SURVIVED". *took_s*: its tests, without it."""
        path = self.folder / mutation.file
        files = [path, *(self._made_of(mutation) if mutation.is_native else ())]
        for number, file in enumerate(files):
            shutil.copy2(file, self._kept / str(number))
        path.write_text(mutation.apply(path.read_text()))
        try:
            if mutation.is_native:
                self._compile()
            code, said = self.test(mutation.tests, BEGIN_S + TIMES * took_s, "-x")
        finally:
            for number, file in enumerate(files):  # with their times: nothing is compiled again for it
                shutil.copy2(self._kept / str(number), file)
        if code not in (0, TESTS_FAILED) or (code and not re.search(TOLD, said)):
            raise Broken(f"pytest could not run {mutation.tests}:\n{said[-3000:]}")
        if not code:
            return "SURVIVED"
        found = NOTICED_BY.search(said)
        return f"noticed by {found[1].rpartition('::')[2]}" if found else "noticed: it hangs"

    def _made_of(self, mutation: Mutation) -> list[Path]:
        """What is made of the file: C, an object, the library. Any object may include a header."""
        if mutation.file.endswith(".h"):
            return [*self.folder.glob("build/temp.*/build/cython/**/*.o"), self._library]
        name = Path(mutation.file).with_suffix("")
        objects = self.folder.glob(f"build/temp.*/build/cython/{name}.o")
        return [self.folder / "build" / "cython" / f"{name}.c", *objects, self._library]

    def _compile(self) -> None:
        command = [sys.executable, "setup.py", "-q", "build_ext", "-i"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=COMPILE_S)
        if done.returncode:
            raise Broken(f"it does not compile:\n{done.stderr[-3000:]}")

    def test(self, tests: tuple[str, ...], limit_s: float, *options: str) -> tuple[int, str]:
        """pytest's exit code and what it said."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *options]
        env = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
        running = subprocess.Popen([*command, *tests], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True)  # fmt: skip
        try:
            said, _ = running.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # what a test has started, too
            running.communicate()
            return TESTS_FAILED, "it hangs"
        return running.returncode, said

    def measure(self, tests: list[str], n_jobs: int) -> dict[str, float]:
        """Seconds that each of the tests takes as things are. Raises Broken when one fails."""
        report = self.folder / "report.xml"
        options = ("-n", str(2 * n_jobs), "--dist", "loadfile", f"--junitxml={report}")
        code, said = self.test(tuple(tests), FIRST_S * len(tests), *options)
        if code:
            raise Broken(f"these tests fail without any mutation:\n{said[-6000:]}")
        took_s = dict.fromkeys(tests, 0.0)
        for case in ElementTree.parse(report).iter("testcase"):
            path = case.get("classname", "").replace(".", "/") + ".py"
            name = case.get("name", "").partition("[")[0]
            for test in took_s.keys() & {path, f"{path}::{name}"}:
                took_s[test] += float(case.get("time", 0))
        return took_s


def check_all(
    mutations: list[Mutation], took_s: dict[str, float], folder: Path, n_jobs: int
) -> dict[Mutation, str]:
    """What became of each, by several copies at once."""
    waiting: queue.SimpleQueue[Mutation] = queue.SimpleQueue()
    found: dict[Mutation, str] = {}
    for mutation in mutations:
        waiting.put(mutation)

    def work(number: int) -> None:
        copy = Copy(folder / str(number))
        while True:
            try:
                mutation = waiting.get_nowait()
            except queue.Empty:
                return
            begin_s = time.monotonic()
            try:
                found[mutation] = copy.check(mutation, sum(took_s[test] for test in mutation.tests))
            except (Broken, ValueError, OSError, subprocess.SubprocessError) as error:
                found[mutation] = f"BROKEN: {error}"
            took = f"{time.monotonic() - begin_s:.0f} s"
            print(f"{mutation.guarantee:2} {mutation.what}: {found[mutation]} ({took})", flush=True)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(n_jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", metavar="NUMBER", type=int, nargs="*", help="of the guarantees; all")
    parser.add_argument("--native", action="store_true", help="only those that must be compiled")
    parser.add_argument("--jobs", type=int, default=2, help="copies that work at a time (2)")
    parser.add_argument("--table", action="store_true", help="print the table for docs/mutations.md")
    arguments = parser.parse_args()
    if arguments.table:
        print(format_table())
        return 0
    mutations = [m for m in MUTATIONS if not arguments.numbers or m.guarantee in arguments.numbers]
    mutations = [m for m in mutations if m.is_native or not arguments.native]
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="escp-mutations-") as folder:
        copy = Copy(Path(folder, "unchanged"))
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        print(f"{len(mutations)} mutations; first their {len(tests)} tests as they are", flush=True)
        try:
            took_s = copy.measure(tests, arguments.jobs)
        except Broken as error:
            print(f"mutations: error: {error}", file=sys.stderr)
            return 1
        found = check_all(mutations, took_s, Path(folder), arguments.jobs)
    bad = [mutation for mutation in mutations if not found.get(mutation, "").startswith("noticed")]
    minutes = (time.monotonic() - begin_s) / 60
    print(f"{len(mutations) - len(bad)} of {len(mutations)} noticed, in {minutes:.0f} minutes")
    for mutation in bad:
        print(
            f"mutations: error: {mutation.guarantee}: {mutation.what}: {found.get(mutation)}", file=sys.stderr
        )
    return 1 if bad or len(found) < len(mutations) else 0


if __name__ == "__main__":
    sys.exit(main())

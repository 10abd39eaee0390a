"""Fuzzes escp: `python packaging/fuzz.py [TARGET...] [--seconds N] [--again FILE]`; see docs/testing.md.

atheris (libFuzzer, with the coverage of Python's bytecode) runs the targets of tests/fuzz/targets/ over an
escp/_fast that clang compiled with the coverage of native code, ASan and UBSan. All of it is in build/fuzz/:
the tree's copy (variants.py), atheris, what was found. Nothing here changes the checkout.
"""

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import variants
from freeze import ROOT
from system_packages import find_root_prefix

FOLDER = ROOT / "build" / "fuzz"
PINS = ROOT / "tests" / "fuzz" / "requirements.txt"
TARGETS = sorted(path.stem for path in (ROOT / "tests" / "fuzz" / "targets").glob("*.py"))
CLANG_PACKAGES = [
    "clang",
    "libclang-rt-14-dev",
]  # Debian 12's; on others: whatever brings clang's compiler-rt
MAX_INPUT_BYTES = 4096
TIMEOUT_S = 30  # of one execution: hundreds in a second are usual
MEMORY_MB = 4096


def find_clang() -> str:
    """clang's program; it is installed where it is missing and can be."""
    for name in ("clang", "clang-14"):
        if shutil.which(name):
            return name
    prefix = find_root_prefix()
    if prefix is None or not shutil.which("apt-get"):
        raise SystemExit(
            f"build: error: fuzzing needs clang\nbuild: hint: apt-get install {' '.join(CLANG_PACKAGES)}"
        )
    print(f"build: installing {' '.join(CLANG_PACKAGES)}", flush=True)
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *CLANG_PACKAGES]
    subprocess.run([*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *install], check=True)
    return "clang"


def get_atheris() -> Path:
    """The folder it is installed in."""
    folder = FOLDER / "atheris"
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != PINS.read_bytes():
        print("build: installing atheris into build/fuzz", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
        pip += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--target", str(folder)]
        if subprocess.run([*pip, "-r", str(PINS)], check=False).returncode:
            raise SystemExit(
                "build: error: atheris can't be installed: its wheels are for CPython 3.11 to 3.13"
            )
        shutil.copy(PINS, stamp)
    return folder


def compile_tree(clang: str) -> int:
    """Brings the tree up to date. As long as the descriptor that is returned is open no other call changes
    it: two at once have one tree, that of the first."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lock = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"build: {FOLDER / 'tree'}: in use, and stays as it is", flush=True)
    else:
        print(f"build: {FOLDER / 'tree'}: compiling with {clang}", flush=True)
        variants.make_variant(FOLDER / "tree", variants.environment(ESCP_BUILD="fuzz", CC=clang))
    fcntl.flock(lock, fcntl.LOCK_SH)  # where another call compiles: once it is done
    return lock


class Target:
    """One target, and what is kept of it between runs."""

    def __init__(self, name: str, atheris: Path, clang: str):
        self.name = name
        self.kept = FOLDER / "corpus" / name  # what added coverage
        self.crashes = FOLDER / "crashes" / name
        self.tree = FOLDER / "tree"
        # No leaks: CPython leaves much of what it has to its end. pymalloc would hide overflows from ASan.
        asan = "detect_leaks=0:allocator_may_return_null=1:handle_segv=1:symbolize=1"
        self.env = variants.environment(
            LD_PRELOAD=str(atheris / "asan_with_fuzzer.so"), PYTHONPATH=f"{self.tree}:{atheris}",
            ESCP_CONFIG="",
            ASAN_OPTIONS=asan, UBSAN_OPTIONS="print_stacktrace=1", PYTHONMALLOC="malloc",
        )  # fmt: skip
        if symbolizer := shutil.which("llvm-symbolizer") or shutil.which("llvm-symbolizer-14"):
            self.env["ASAN_SYMBOLIZER_PATH"] = symbolizer
        self.command = [sys.executable, str(self.tree / "tests" / "fuzz" / "drive.py"), name]

    def run(self, seconds: int) -> bool:
        """Fuzzes that long and tells the figures; False if it found something."""
        for folder in (self.kept, self.crashes):
            folder.mkdir(parents=True, exist_ok=True)
        before = set(self.crashes.iterdir())
        options = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", f"-timeout={TIMEOUT_S}"]
        options += [f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={self.crashes}/", "-print_final_stats=1"]
        folders = [str(self.kept), str(ROOT / "tests" / "fuzz" / "corpus" / self.name)]
        log = FOLDER / f"{self.name}.log"
        with (
            open(log, "wb") as file,
            tempfile.TemporaryDirectory(dir="/dev/shm", prefix="escp-fuzz-") as scratch,
        ):
            env = self.env | {"TMPDIR": scratch}
            command = [*self.command, *options, *[folder for folder in folders if os.path.isdir(folder)]]
            code = subprocess.run(
                command, cwd=scratch, env=env, stdout=file, stderr=file, check=False
            ).returncode
        print(f"{self.name:<16}{describe(log.read_text(errors='replace'))}", flush=True)
        found = sorted(set(self.crashes.iterdir()) - before)
        if code:
            print(f"build: error: {self.name} found something, or could not start: {log}", flush=True)
        for path in found:
            print(f"build: again: python3 build.py fuzz {self.name} --again {path}", flush=True)
        return code == 0

    def run_again(self, path: str) -> bool:
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="escp-fuzz-") as scratch:
            env = self.env | {"TMPDIR": scratch}
            return subprocess.run([*self.command, path], cwd=scratch, env=env, check=False).returncode == 0


def describe(log: str) -> str:
    """The figures of libFuzzer's last lines."""
    last = (re.findall(r"^#\d+\s.*", log, re.M) or [""])[-1]
    figure = {name: (re.findall(rf"\b{name}: (\d+)", last) or ["?"])[0] for name in ("cov", "ft")}
    total = (re.findall(r"number_of_executed_units: (\d+)", log) or re.findall(r"^#(\d+)", last) or ["?"])[0]
    rate = (re.findall(r"average_exec_per_sec: +(\d+)", log) or ["?"])[0]
    corpus = (re.findall(r"corp: (\S+)", last) or ["?"])[0]
    coverage = f"coverage {figure['cov']:>6}  features {figure['ft']:>6}  corpus {corpus}"
    return f"{total:>10} executions{rate:>7}/s  {coverage}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py fuzz", description=f"targets: {', '.join(TARGETS)}")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target, 60 by default")
    parser.add_argument(
        "--again", metavar="FILE", help="run the target once with this input, all it says on the terminal"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    clang, atheris = find_clang(), get_atheris()
    lock = compile_tree(clang)
    targets = [Target(name, atheris, clang) for name in arguments.targets or TARGETS]
    if arguments.again:
        good = [target.run_again(str(Path(arguments.again).resolve())) for target in targets]
    else:
        good = [target.run(arguments.seconds) for target in targets]
    os.close(lock)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

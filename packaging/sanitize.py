"""Runs tests with sanitizers: `python packaging/sanitize.py [asan] [tsan] [ARGUMENT OF PYTEST...]`.

Each kind has a copy of the tree, build/sanitize-KIND/, with a Python of its own (variants.py). Whatever a
process of the tests finds, agents too, it writes into a file below findings/. One such file is a failure,
whatever pytest says.
"""

import shutil
import subprocess
import sys
from time import monotonic

import variants
from freeze import ROOT

# Kind: ESCP_BUILD for setup.py, and what Python is linked with.
KINDS = {"asan": ("debug", ["-fsanitize=address,undefined"]), "tsan": ("tsan", ["-fsanitize=thread"])}
# Of native code; tests/repository/test_sanitizers.py knows why the others are not among them.
FOLDERS = [
    f"tests/{name}"
    for name in "_fast agent api doctor fault fuzz integration process streams vectors".split()
]
N_WORKERS = "2"


def run_tests(kind: str, arguments: list[str]) -> list[str]:
    """What went wrong, a line each."""
    build, flags = KINDS[kind]
    folder = ROOT / "build" / f"sanitize-{kind}"
    findings = folder / "findings"
    print(f"build: {folder}: compiling with {' '.join(flags)}", flush=True)
    env = variants.environment(ESCP_BUILD=build)
    variants.make_variant(folder, env)
    suppressions = folder / "tests" / "sanitizers" / f"{kind}.txt"
    texts = [f'-DFINDINGS="{findings}"', f'-DSUPPRESSIONS="{suppressions}"']
    source = folder / "tests" / "sanitizers" / "python.c"
    python = variants.make_python(folder / "python", source, [*flags, *texts], env)
    shutil.rmtree(findings, ignore_errors=True)
    findings.mkdir()
    findings.chmod(0o1777)  # some tests' agents are nobody's
    if not any((ROOT / word.partition("::")[0]).exists() for word in arguments):
        arguments = [*FOLDERS, *arguments]
    # TSan's memory has fixed places, which randomised addresses of newer kernels run into.
    command = [
        "setarch",
        "--addr-no-randomize",
        str(python),
        "-m",
        "pytest",
        "-n",
        N_WORKERS,
        "--dist",
        "loadfile",
        "-o",
        "timeout=900",
    ]
    start_s = monotonic()
    env = variants.environment()
    code = subprocess.run([*command, *arguments], cwd=folder, env=env, check=False).returncode
    print(f"build: {kind}: {monotonic() - start_s:.0f} s", flush=True)
    reports = sorted(findings.iterdir())
    for report in reports:
        print(f"--- {report}\n{report.read_text(errors='replace')}", flush=True)
    faults = [f"{kind}: {len(reports)} processes found something (above)"] if reports else []
    return faults + ([f"{kind}: tests failed"] if code else [])


def main(words: list[str]) -> int:
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if unknown := [word for word in words[:1] if word.endswith("san") and word not in KINDS]:
        raise SystemExit(f"build: error: no sanitizer {unknown[0]!r}; there are {', '.join(KINDS)}")
    kinds = [word for word in words if word in KINDS] or list(KINDS)
    arguments = [word for word in words if word not in KINDS]
    faults = [fault for kind in kinds for fault in run_tests(kind, arguments)]
    for fault in faults:
        print(f"build: error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

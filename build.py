#!/usr/bin/env python3
"""usage: python3 build.py VERB [ARGUMENT...]

  setup   install what is missing (system packages, .venv, pinned Python packages),
          compile escp/_fast in place, leave a working .venv/bin/escp
  demo    setup, then copy real files over loopback (sealed, verified, no ssh) and compare them
  test    setup, then pytest; arguments go to pytest:    build.py test -k layering
          with --quick: the rooms that need nothing compiled, and only the Python packages
          with --frozen: freeze, then tests/cli and tests/integration with the frozen programs,
          and with one of them at one end and the source at the other
          with --sanitize: those that run native code, with ASan and UBSan, then with TSan; or
          with one of them: --sanitize=asan, --sanitize=tsan
  fuzz    setup, then each target of tests/fuzz/targets for 60 s, with coverage, ASan and UBSan:
          build.py fuzz [TARGET...] [--seconds N] [--again FILE]; installs clang and atheris
  bench   setup, then tests/bench/bench.py; arguments go to it:    build.py bench -- --help
  freeze  setup, then dist/escp/ and dist/escp-VERSION-linux-ARCH: escp for hosts without Python
  release setup, then the same in dist/release/ for old systems too (glibc 2.17); on Debian 12 only
  package setup, then dist/packages/: deb, rpm, tar.gz, wheels, SHA256SUMS; of what `release` made
          if that is there, else of a new frozen tree; or of the one in a folder:    build.py package dist
  mutations  setup, then breaks each guarantee of docs/security.md in a copy, and says whether a
          test notices; numbers choose some of them:    build.py mutations 5 6
  lint    setup, then ruff, mypy, cython-lint and the layering test
  man     setup, then the manual pages into dist/man, the shells' completions into dist/completions

With --wheels DIR a verb takes the Python packages from that folder, and asks no index: `build.py setup
--wheels DIR`. docs/install.md says how to fill it.

What is done already is not done again. Each verb installs what it needs and says so before; nothing that
it installs runs or starts at boot. System packages need root or passwordless sudo; without them, build.py
names what to install and stops. ESCP_BUILD=debug compiles with bounds
checks and sanitizers; the top of setup.py describes this and further variables.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "packaging"))
import system_packages  # noqa: E402

VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
FAST = ROOT / "escp" / "_fast"
NATIVE_LIBRARY = "_native.*.so"
DIST = ROOT / "dist"
FROZEN_TESTS = ("tests/cli", "tests/integration")
QUICK_TESTS = tuple(
    f"tests/{room}" for room in ("lean", "control", "options", "ui", "names", "remote", "jobs")
)
LINTERS = (  # .pre-commit-config.yaml has the same
    "ruff check .",
    "ruff format --check .",
    "mypy",
    "cython-lint escp/_fast",
    "pytest -q tests/repository/test_layering.py",
)
MAX_TEST_WORKERS = 4
RUN_LISTS = ("requirements.txt", "requirements-build.txt")  # what escp runs with and is compiled with
DEV_LISTS = ("requirements-dev.txt",)  # what it is tested, looked at and packed with
HINT = "try `python3 build.py --help`; wheels are made with `pip wheel .`"
IS_DEBUG = os.environ.get("ESCP_BUILD", "") == "debug"


class Stop(Exception):
    """Ends build.py with a message and an exit code: 1 a step failed, 2 the caller must do something."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def say(text):
    print("build: " + text, flush=True)


# --- Running other programs ---------------------------------------------------------------------


def try_run(*command, what, env=None, is_quiet=True):
    """Runs a command to its end; False when it failed. A quiet one shows its output only then."""
    with tempfile.TemporaryFile() if is_quiet else contextlib.nullcontext() as log:
        try:
            code = subprocess.call(
                [str(word) for word in command], cwd=str(ROOT), env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT if log else None,
            )  # fmt: skip
        except OSError as error:
            say(f"{what}: cannot start {command[0]}: {error.strerror}")
            return False
        if code and log:
            log.seek(0)
            sys.stdout.buffer.write(log.read())
    return code == 0


def run(*command, what, env=None, is_quiet=True):
    if not try_run(*command, what=what, env=env, is_quiet=is_quiet):
        raise Stop(f"{what} failed; its output is above")


def become(*command):
    """Replaces this process: signals and the exit code need no relaying."""
    sys.stdout.flush()
    os.chdir(str(ROOT))
    os.execve(str(command[0]), [str(word) for word in command], native_env())


def native_env():
    """The environment for a Python that imports _fast: the sanitizers' library must come first."""
    if not IS_DEBUG:
        return dict(os.environ)
    asan = subprocess.check_output(["gcc", "-print-file-name=libasan.so"]).decode().strip()
    ubsan = "halt_on_error=1:print_stacktrace=1"
    return dict(os.environ, LD_PRELOAD=asan, ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS=ubsan)


# --- Steps of setup -----------------------------------------------------------------------------


def is_stamped(name, text):
    path = VENV / name
    return path.exists() and path.read_text() == text


def launcher_text(python):
    """What .venv/bin/escp contains. With -I nothing of the user's Python settings leaks in."""
    body = "from escp.__main__ import run\nrun()\n"
    if " " not in str(python) and len(str(python)) < 120:  # what old kernels take after #!
        return f"#!{python} -I\n{body}"
    return f"#!/bin/sh\n'''exec' \"{python}\" -I \"$0\" \"$@\"\n' '''\n{body}"


def read_installed():
    """{list: SHA-256} of what .venv has; {} where there is none, or it is another checkout's."""
    stamp = VENV / "escp-environment"
    lines = stamp.read_text().splitlines() if stamp.exists() else []
    if not os.access(str(VENV_PYTHON), os.X_OK) or lines[:1] != [str(ROOT)]:
        return {}
    return dict(line.partition(" ")[::2] for line in lines[1:])


def prepare_venv(lists):
    """Brings the pinned packages of *lists* into .venv; one whose pins have changed is made anew."""
    pins = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in RUN_LISTS + DEV_LISTS}
    installed = read_installed()
    if any(pins.get(name) != digest for name, digest in installed.items()):
        installed = {}
    missing = [name for name in lists if name not in installed]
    if installed and not missing:
        return
    if not installed:
        say("creating .venv")
        python = getattr(sys, "_base_executable", None) or sys.executable
        run(python, "-m", "venv", "--clear", VENV, what="creating .venv")
        missing = list(lists)
    say(f"installing the Python packages of {' and '.join(missing)} into .venv; this may take a minute")
    words = [word for name in missing for word in ("-r", name)]
    pip = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
    run(*pip, "--no-deps", "--require-hashes", *words, what="pip install")
    # Not `pip install -e .`: that compiles everything once more, and its launcher imports more than it needs.
    find_site = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.check_output([str(VENV_PYTHON), "-c", find_site]).decode().strip()
    Path(site, "escp-checkout.pth").write_text(f"{ROOT}\n")
    launcher = VENV / "bin" / "escp"
    launcher.write_text(launcher_text(VENV_PYTHON))
    launcher.chmod(0o755)
    lines = [str(ROOT)] + [f"{name} {pins[name]}" for name in pins if name in installed or name in missing]
    (VENV / "escp-environment").write_text("\n".join(lines) + "\n")


def describe_sources():
    """Whatever changes this text may change what is compiled."""
    paths = [ROOT / "setup.py", VENV / "pyvenv.cfg"]
    for kind in ("pyx", "pxd", "h", "c"):
        paths += sorted(FAST.rglob("*." + kind))
    lines = [f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in paths]
    names = ["CC", "CFLAGS", "ESCP_BUILD", "ESCP_REQUIRE"]
    names += sorted(name for name in os.environ if name.startswith("ESCP_") and name.endswith("_PREFIX"))
    return "\n".join(lines + [f"{name}={os.environ.get(name, '')}" for name in names])


def compile_fast():
    sources = describe_sources()
    if list(FAST.glob(NATIVE_LIBRARY)) and is_stamped("escp-compiled", sources):
        return
    say(f"compiling escp/_fast{' with sanitizers' if IS_DEBUG else ''}; all of it takes about a minute")
    n_jobs = min(4, os.cpu_count() or 1)
    run(VENV_PYTHON, "setup.py", "-q", "build_ext", "-i", f"-j{n_jobs}", what="compiling", is_quiet=False)
    imports = "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]"
    found = (pyx.relative_to(FAST).with_suffix("") for pyx in FAST.rglob("*.pyx"))
    modules = sorted(".".join(("escp._fast", *path.parts)) for path in found)
    run(VENV_PYTHON, "-c", imports, *modules, what="importing what was compiled", env=native_env())
    (VENV / "escp-compiled").write_text(sources)


# --- Verbs --------------------------------------------------------------------------------------


def setup(verb="setup", is_native=True):
    """What *verb* needs. *is_native*: for what runs native code; without, the Python packages are enough."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two build.py at once take turns
        try:
            if is_native:
                system_packages.install_missing(verb, try_run, say)
        except system_packages.CannotInstall as error:
            raise Stop(str(error), code=2) from None
        prepare_venv(RUN_LISTS if verb in ("setup", "demo") else RUN_LISTS + DEV_LISTS)
        if is_native:
            compile_fast()
        # Where PYTHONDONTWRITEBYTECODE is set each start of escp would compile all of it: 40 ms.
        run(VENV_PYTHON, "-m", "compileall", "-q", ROOT / "escp", what="compiling escp's Python")
    finally:
        os.close(folder)


def demo():
    setup("demo")
    become(VENV_PYTHON, ROOT / "tests" / "demo.py")


def test(*arguments):
    is_quick = "--quick" in arguments
    setup("test", is_native=not is_quick)
    # A file's tests stay together: many share hosts and servers that take a while to start.
    # And they wait more than they work, so there are two workers a CPU.
    n_workers = min(MAX_TEST_WORKERS, 2 * len(os.sched_getaffinity(0)))
    pytest = [VENV_PYTHON, "-m", "pytest", "-n", str(n_workers), "--dist", "loadfile"]
    # Long files come first (tests/support/order.py); pytest-xdist begins with those that have most tests.
    pytest.append("--no-loadscope-reorder")
    kinds = [word for word in arguments if word.partition("=")[0] == "--sanitize"]
    if kinds:
        words = [kind.partition("=")[2] for kind in kinds if "=" in kind]
        words += [word for word in arguments if word not in kinds]
        become(VENV_PYTHON, ROOT / "packaging" / "sanitize.py", *words)
    elif "--frozen" in arguments:
        test_frozen([*pytest, *(word for word in arguments if word != "--frozen")])
    elif is_quick:
        become(*pytest, *QUICK_TESTS, *(word for word in arguments if word != "--quick"))
    else:
        become(*pytest, *arguments)


def test_frozen(pytest):
    """The suites that start escp, with the frozen programs in the roles they have in real life."""
    freeze_programs()
    tree = DIST / "escp" / "bin" / "escp"
    # The newest: that of an earlier version may lie beside it.
    one_file = max(DIST.glob("escp-*-linux-*"), key=lambda path: path.stat().st_mtime)
    source = f"{VENV_PYTHON} -m escp"
    failed = []
    for command, agent in ((tree, tree), (one_file, tree), (tree, one_file), (source, tree), (tree, source)):
        say(f"{command} with {agent} at the other end")
        env = dict(native_env(), ESCP_TEST_COMMAND=str(command), ESCP_TEST_AGENT_COMMAND=str(agent))
        if subprocess.call([str(word) for word in [*pytest, *FROZEN_TESTS]], cwd=str(ROOT), env=env):
            failed.append(f"{command} with {agent}")
    if failed:
        raise Stop("failed: " + "; ".join(failed))


def freeze_programs():
    run(VENV_PYTHON, ROOT / "packaging" / "freeze.py", DIST, what="freezing", is_quiet=False)


def freeze():
    setup("freeze")
    freeze_programs()


def package(folder=None):
    setup("package")
    chosen = Path(folder) if folder else DIST / "release"
    if not folder and not (chosen / "escp").is_dir():
        chosen = DIST
        freeze_programs()
    become(VENV_PYTHON, ROOT / "packaging" / "package.py", chosen.resolve())


def release():
    if not system_packages.can_release():
        raise Stop("`release` works on Debian 12 only: it needs that system's static libraries", code=2)
    setup("release")
    become(VENV_PYTHON, ROOT / "packaging" / "release.py", DIST / "release")


def bench(*arguments):
    setup("bench")
    become(VENV_PYTHON, ROOT / "tests" / "bench" / "bench.py", *arguments)


def fuzz(*arguments):
    setup("fuzz")
    become(VENV_PYTHON, ROOT / "packaging" / "fuzz.py", *arguments)


def mutations(*arguments):
    setup("mutations")
    become(VENV_PYTHON, ROOT / "tests" / "mutations" / "run.py", *arguments)


def lint():
    setup("lint")
    env = dict(
        os.environ, PATH=f"{VENV / 'bin'}:{os.environ.get('PATH', '')}"
    )  # cython-lint starts pycodestyle
    failed = []
    for command in LINTERS:
        say(command)
        program, *arguments = command.split()
        if subprocess.call([str(VENV / "bin" / program), *arguments], cwd=str(ROOT), env=env):
            failed.append(command)
    if failed:
        raise Stop("not clean: " + "; ".join(failed))


def man():
    setup("man")
    for script in ("manpages.py", "completions.py"):
        run(VENV_PYTHON, ROOT / "packaging" / script, what=script, is_quiet=False)


VERBS = {
    "setup": setup, "demo": demo, "test": test, "freeze": freeze, "release": release, "bench": bench,
    "lint": lint, "man": man, "package": package, "fuzz": fuzz, "mutations": mutations,
}  # fmt: skip


def require_python(argv):
    """Goes on under a newer Python where this one is too old (RHEL 8 and 9 have 3.6 and 3.9)."""
    if sys.version_info >= (3, 11):
        return
    for minor in range(20, 10, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, __file__, *argv])
    raise Stop("Python 3.11 or newer is needed; RHEL 8 and 9: dnf install python3.11", code=2)


def take_wheels(arguments):
    """The arguments without `--wheels DIR` or `--wheels=DIR`, which pip is told, that of tests, too."""
    for i, word in enumerate(arguments):
        name, is_joined, folder = word.partition("=")
        if name != "--wheels":
            continue
        folder = folder if is_joined else "".join(arguments[i + 1 : i + 2])
        if not Path(folder).is_dir() or not folder:
            raise Stop(f"--wheels: there is no folder '{folder}'", code=2)
        os.environ.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=Path(folder).resolve().as_uri())
        return arguments[:i] + arguments[i + (1 if is_joined else 2) :]
    return arguments


def main(argv):
    if not argv or argv[0] in ("-h", "--help", "help") or argv[1:2] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0 if argv else 2
    verb, arguments = argv[0], argv[1:]
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    try:
        require_python(argv)
        if verb not in VERBS:
            raise Stop(f"unknown argument {verb!r}\nbuild: hint: {HINT}", code=2)
        arguments = take_wheels(arguments)
        takes_any = verb in ("test", "bench", "fuzz", "mutations")
        if arguments and not takes_any and (verb != "package" or arguments[1:]):
            raise Stop(f"`{verb}` takes no arguments, got {arguments[-1]!r}\nbuild: hint: {HINT}", code=2)
        VERBS[verb](*arguments)
    except Stop as stop:
        sys.stdout.flush()
        print(f"build: error: {stop}", file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

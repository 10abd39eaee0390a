"""Freezes escp for old systems: `python packaging/release.py FOLDER`; glibc 2.17 is enough for all of it.

    FOLDER/escp/                     as of packaging/freeze.py
    FOLDER/escp-VERSION-linux-ARCH

CPython (Debian's source) and escp/_fast are compiled by zig, which knows every glibc's symbols, with Debian's
static libraries; other Python packages are their projects' wheels for manylinux2014: see docs/release.md.
Everything is made below build/release/ and kept there until what it is made of changes.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import bootloader
import cpython
import elf
from cache import Cache, hash_of, hash_of_files
from debian_source import fetch_source
from folder import read_folder
from freeze import FROZEN_BY, ONE_FILE, ROOT, source_date_epoch
from pins import pip_install, read_pins

ARCH = platform.machine()
ZIG = ROOT / "packaging" / "zig"
GLIBC = (2, 17)  # RHEL 7's
GLIBC_LIMIT = (2, 28)  # RHEL 8's: what a release may need at most
SUITE = "trixie"
PYTHON = "3.13"  # Debian maintains this source until 2028, with LTS until 2030

# What the release's Python gets; versions and hashes are those of the project's lists.
PACKAGES = ["pyyaml", "rich", "cython", "setuptools", "pyinstaller-hooks-contrib", "altgraph", "packaging"]

LIBRARY_FOLDER = Path("/usr/lib", f"{ARCH}-linux-gnu")
INCLUDES = [Path("/usr/include"), Path("/usr/include", LIBRARY_FOLDER.name)]
STATIC = ["crypto", "zstd", "z", "ffi_pic"] + (["IPSec_MB"] if ARCH == "x86_64" else [])
HEADERS = ["openssl/*.h", "zstd*.h", "xxh*.h", "zlib.h", "zconf.h", "ffi*.h", "intel-ipsec-mb.h"]

# What native code is compiled from, and what is frozen with it.
NATIVE_SOURCES = ["setup.py", "pyproject.toml", "README.md", "LICENSE", "escp/__init__.py", "escp/_fast/**/*"]
OTHER_SOURCES = ["build.py", "escp/**/*", "packaging/**/*"]
MADE_ELSEWHERE = {".so", ".pyc"}
INHERITED = ["PATH", "HOME", "TMPDIR"]  # of the environment; the rest could change what is made


def say(text: str) -> None:
    print(f"build: {text}", flush=True)


def run(command: list, what: str, *, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(words, cwd=cwd, env=env, text=True, errors="replace", check=False, **streams)
    if done.returncode:
        raise SystemExit(f"{done.stdout}build: error: {what} failed; its output is above")


def describe(env: dict[str, str]) -> str:
    """What of an environment changes what is compiled in it."""
    names = sorted(env.keys() - {*INHERITED, "SOURCE_DATE_EPOCH"})
    return "\n".join(f"{name}={env[name]}" for name in names)


def list_sources(patterns: list[str]) -> list[Path]:
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return [path for path in paths if path.suffix not in MADE_ELSEWHERE and path.name != "_build_info.py"]


def copy_sources(paths: list[Path], folder: Path) -> None:
    for path in paths:
        to = folder / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)


Make = Callable[[Path], None]  # fills a new folder


class Release:
    """Its methods are the steps, in their order: all that was made before is an input of what is compiled."""

    def __init__(self, cache: Cache):
        self._cache = cache
        self._keys: list[str] = []
        self.env = {name: os.environ[name] for name in INHERITED if name in os.environ}

    def _get(self, name: str, inputs: str, make: Make, what: str, *, is_fetched: bool = False) -> Path:
        key = hash_of(name, inputs, *([] if is_fetched else self._keys))
        self._keys.append(key)
        return self._cache.get(name, key, make, what)

    def add_compiler(self) -> None:
        pins = ZIG / "requirements.txt"
        zig = self._get("zig", hash_of(pins), lambda to: pip_install(to, pins), "fetching zig (100 MB)")
        # A copy: the checkout may change while this runs.
        names = sorted(path for path in ZIG.iterdir() if path.name != pins.name)

        def make(folder: Path) -> None:
            for path in names:
                shutil.copy(path, folder)

        what = "setting up the compiler"
        self._compiler = self._get("compiler", hash_of_files(ZIG, names), make, what)
        objects = str(self._cache.folder / "zig-objects")
        self.env |= {
            "CC": str(self._compiler / "cc"),
            "LDSHARED": f"{self._compiler / 'cc'} -shared",
            "ESCP_ZIG": str(zig / "ziglang" / "zig"),
            "ESCP_ZIG_TARGET": f"{ARCH}-linux-gnu.{elf.format_version(GLIBC)}",
            "ZIG_GLOBAL_CACHE_DIR": objects,
            "ZIG_LOCAL_CACHE_DIR": objects,
            "SOURCE_DATE_EPOCH": source_date_epoch(),
            "LC_ALL": "C.UTF-8",
        }

    def gather_libraries(self) -> Path:
        """A prefix with Debian's static libraries and their headers, and without its C library."""
        archives = [LIBRARY_FOLDER / f"lib{name}.a" for name in STATIC]
        if missing := [path.name for path in archives if not path.exists()]:
            raise SystemExit(
                f"build: error: {LIBRARY_FOLDER} has no {', '.join(missing)}\n"
                "build: hint: they are in libssl-dev, libzstd-dev, zlib1g-dev, libffi-dev and libipsec-mb-dev"
            )
        found = [(top, path) for top in INCLUDES for name in HEADERS for path in top.glob(name)]
        headers = {path.relative_to(top): path for top, path in found}

        def make(folder: Path) -> None:
            (folder / "lib").mkdir()
            for path in archives:
                shutil.copy(path, folder / "lib")
            for name, path in headers.items():
                (folder / "include" / name.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / "include" / name)
            more = folder / "newer_glibc.o"
            source = self._compiler / "newer_glibc.c"
            run([self.env["CC"], "-O2", "-fPIC", "-c", source, "-o", more], "zig cc", env=self.env)
            run(["ar", "rs", folder / "lib" / "libffi_pic.a", more], "ar")

        inputs = hash_of(*archives, *headers.values(), describe(self.env))
        return self._get("libraries", inputs, make, "gathering static libraries")

    def fetch_python(self) -> Path:
        """A folder with source/ and its version."""

        def make(folder: Path) -> None:
            (folder / "version").write_text(fetch_source(f"python{PYTHON}", SUITE, folder))

        what = f"fetching the source of Python {PYTHON} from Debian's {SUITE}"
        return self._get("source", hash_of(PYTHON, SUITE), make, what, is_fetched=True)

    def compile_python(self, fetched: Path, libraries: Path) -> Path:
        def make(folder: Path) -> None:
            cpython.build(fetched / "source", folder, libraries, self.env, run)

        inputs = hash_of(Path(cpython.__file__), describe(self.env))
        what = f"compiling CPython {(fetched / 'version').read_text()}; this takes some minutes"
        return self._get("python", inputs, make, what)

    def fetch_packages(self) -> Path:
        """The Python packages, in wheels for any glibc from 2.17 on."""
        pins = read_pins()
        wanted = "".join(pins[name] for name in PACKAGES)

        def make(folder: Path) -> None:
            (folder / "requirements.txt").write_text(wanted)
            kind = [f"--platform=manylinux2014_{ARCH}", f"--python-version={PYTHON}"]
            pip_install(folder / "site", folder / "requirements.txt", *kind)

        return self._get("packages", wanted, make, "fetching Python packages", is_fetched=True) / "site"

    def compile_pyinstaller(self) -> Path:
        """PyInstaller with a start-up program of our own, for old systems too."""
        inputs = hash_of(*bootloader.SOURCES, read_pins()["pyinstaller"], describe(self.env))

        def make(folder: Path) -> None:
            bootloader.compile_pyinstaller(folder, self.env)

        return self._get("pyinstaller", inputs, make, "compiling PyInstaller's start-up program") / "site"

    def compile_fast(self, python: Path) -> Path:
        """A copy of the sources with escp/_fast compiled in place: the checkout keeps its own."""
        paths = list_sources(NATIVE_SOURCES)
        # Bsymbolic: Debian's libzstd.a is not compiled for shared libraries.
        settings = {"LDFLAGS": f"-Wl,-Bsymbolic -Wl,--version-script={self._compiler / 'exports.map'}"}

        def make(folder: Path) -> None:
            copy_sources(paths, folder)
            command = [python, "setup.py", "-q", "build_ext", "-i"]
            run(command, "compiling escp/_fast", cwd=folder, env=self.env | settings)

        inputs = hash_of(hash_of_files(ROOT, paths), describe(self.env | settings))
        return self._get("escp", inputs, make, "compiling escp/_fast")

    def freeze(self, python: Path, compiled: Path) -> Path:
        paths = list_sources(OTHER_SOURCES)

        def make(folder: Path) -> None:
            tree = folder / "sources"
            shutil.copytree(compiled, tree, ignore=shutil.ignore_patterns("build"))
            copy_sources(paths, tree)
            run([python, tree / "packaging" / "freeze.py", folder], "freezing", cwd=tree, env=self.env)

        inputs = hash_of(hash_of_files(ROOT, paths), self.env["SOURCE_DATE_EPOCH"])
        return self._get("frozen", inputs, make, "freezing")


def make_release(to: Path) -> None:
    release = Release(Cache(ROOT / "build" / "release", say))
    release.add_compiler()
    libraries = release.gather_libraries()
    fetched = release.fetch_python()
    prefix = release.compile_python(fetched, libraries)
    python = prefix / "bin" / f"python{PYTHON}"
    names = ["CRYPTO", "ZSTD", "XXHASH"] + (["IPSEC_MB"] if ARCH == "x86_64" else [])
    packages = [release.fetch_packages(), release.compile_pyinstaller()]
    release.env |= {f"ESCP_{name}_PREFIX": str(libraries) for name in names}
    release.env |= {
        "ESCP_REQUIRE": "imb" if ARCH == "x86_64" else "",
        "LD_LIBRARY_PATH": str(prefix / "lib"),  # not a run path: it would end in what is frozen
        "PYTHONPATH": ":".join(str(folder) for folder in packages),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ESCP_PYINSTALLER": str(packages[1]),
    }
    compiled = release.compile_fast(python)
    release.env["ESCP_PYTHON_COPYRIGHT"] = str(fetched / "source" / "debian" / "copyright")
    frozen = release.freeze(python, compiled)
    glibc = check(frozen)
    to.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(to / "escp", ignore_errors=True)
    shutil.copytree(frozen / "escp", to / "escp", symlinks=True)
    shutil.copy2(frozen / ONE_FILE, to / ONE_FILE)
    shutil.copy2(frozen / FROZEN_BY, to / FROZEN_BY)
    version = (fetched / "version").read_text()
    say(f"CPython is Debian's {version}; to ask for a newer one: rm -r build/release")
    said = subprocess.run(
        [to / "escp" / "bin" / "escp", "--version", "-v"], capture_output=True, text=True, check=True
    )
    libraries = next(line for line in said.stdout.splitlines() if line.startswith("libraries: "))
    say(f"holds {libraries.removeprefix('libraries: ')}")
    say(f"{to / 'escp'}, {to / ONE_FILE}: for glibc {glibc} and newer")


def check(frozen: Path) -> str:
    """The glibc that the release needs. It is no release if that is too new or anything else is missing."""
    files = [*elf.list_elf_files(frozen / "escp"), frozen / ONE_FILE]
    faults, newest = elf.list_faults(frozen / "escp", files, GLIBC_LIMIT)
    for program in (frozen / "escp" / "bin" / "escp", frozen / ONE_FILE):
        faults += elf.list_weaknesses(program, is_program=True)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise SystemExit(f"build: error: this is no release:\n{lines}")
    return elf.format_version(newest)


if __name__ == "__main__":
    chosen = read_folder(__doc__)
    with Cache(ROOT / "build" / "release", say).locked():
        make_release(chosen)

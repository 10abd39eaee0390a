"""Freezes escp for old systems: `python packaging/release.py FOLDER`; nothing in it needs a glibc newer than 2.17.

    FOLDER/escp/                     as of packaging/freeze.py
    FOLDER/escp-VERSION-linux-ARCH

CPython (Debian's source) and escp/_fast are compiled by zig, which knows every glibc's symbols, with Debian's static
libraries; other Python packages are their projects' wheels for manylinux2014. docs/release.md tells why, and how to test.
Everything is made below build/release/ and kept there until what it is made of changes.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import cpython
import elf
from cache import Cache, hash_of, hash_of_files
from debian_source import fetch_source
from freeze import ONE_FILE, ROOT, source_date_epoch

ARCH = platform.machine()
ZIG = ROOT / "packaging" / "zig"
GLIBC = (2, 17)  # RHEL 7's
GLIBC_LIMIT = (2, 28)  # RHEL 8's: what a release may need at most
SUITE = "trixie"
PYTHON = "3.13"  # Debian maintains this source until 2028, with LTS until 2030

# What the release's Python gets; versions and hashes are those of the project's lists.
PACKAGES = ["pyyaml", "rich", "cython", "setuptools", "pyinstaller", "pyinstaller-hooks-contrib", "altgraph", "packaging"]  # fmt: skip
LISTS = ["requirements.txt", "requirements-dev.txt"]

LIBRARY_FOLDER = Path("/usr/lib", sysconfig.get_config_var("MULTIARCH") or f"{ARCH}-linux-gnu")
INCLUDES = [Path("/usr/include"), Path("/usr/include", LIBRARY_FOLDER.name)]
STATIC = ["crypto", "zstd", "z", "ffi_pic"] + (["IPSec_MB"] if ARCH == "x86_64" else [])
HEADERS = ["openssl/*.h", "zstd*.h", "xxh*.h", "zlib.h", "zconf.h", "ffi.h", "ffitarget.h", "intel-ipsec-mb.h"]

# What the compiled copy is made of.
SOURCES = ["build.py", "setup.py", "pyproject.toml", "README.md", "LICENSE", "escp/**/*", "packaging/**/*"]
MADE_ELSEWHERE = {".so", ".pyc"}
INHERITED = ["PATH", "HOME", "TMPDIR"]  # of the environment; the rest could change what is made


def say(text: str) -> None:
    print(f"build: {text}", flush=True)


def run(command: list, what: str, *, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout}build: error: {what} failed; its output is above")
    return done.stdout


def pip_install(folder: Path, requirements: Path, *options: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q", "--no-compile"]
    pip += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--target", folder, "-r", requirements]
    run([*pip, *options], "pip install")


def describe(env: dict[str, str]) -> str:
    return "\n".join(f"{name}={env[name]}" for name in sorted(env) if name not in [*INHERITED, "SOURCE_DATE_EPOCH"])


# --- What is made, in this order ----------------------------------------------------------------


class Release:
    def __init__(self, cache: Cache):
        self._cache = cache
        self._keys: list[str] = []

    def get(self, name: str, inputs: str, make, what: str) -> Path:
        """A folder that depends on *inputs* and on all that was made before it."""
        key = hash_of(name, inputs, *self._keys)
        self._keys.append(key)
        return self._cache.get(name, key, make, what)

    def zig(self) -> dict[str, str]:
        """The compiler; returns an environment in which it is CC and nothing of ours or the user's gets in its way."""
        pins = ZIG / "requirements.txt"
        folder = self.get("zig", hash_of(pins), lambda to: pip_install(to, pins), "fetching zig (100 MB)")
        env = {name: os.environ[name] for name in INHERITED if name in os.environ}
        own_cache = str(self._cache.folder / "zig-objects")
        return env | {
            "CC": str(ZIG / "cc"),
            "ESCP_ZIG": str(folder / "ziglang" / "zig"),
            "ESCP_ZIG_TARGET": f"{ARCH}-linux-gnu.{elf.format_version(GLIBC)}",
            "ZIG_GLOBAL_CACHE_DIR": own_cache,
            "ZIG_LOCAL_CACHE_DIR": own_cache,
            "SOURCE_DATE_EPOCH": source_date_epoch(),
            "LC_ALL": "C.UTF-8",
        }

    def libraries(self, env: dict[str, str]) -> Path:
        """A prefix with Debian's static libraries and their headers, and none of the host's C library."""
        archives = [LIBRARY_FOLDER / f"lib{name}.a" for name in STATIC]
        if missing := [path.name for path in archives if not path.exists()]:
            raise SystemExit(f"build: error: {missing[0]} is not in {LIBRARY_FOLDER}: Debian's -dev packages have it")
        headers = {path.relative_to(top): path for top in INCLUDES for glob in HEADERS for path in top.glob(glob)}

        def make(folder: Path) -> None:
            (folder / "lib").mkdir()
            for path in archives:
                shutil.copy(path, folder / "lib")
            for name, path in headers.items():
                (folder / "include" / name.parent).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / "include" / name)
            more = folder / "newer_glibc.o"
            run([env["CC"], "-O2", "-fPIC", "-c", ZIG / "newer_glibc.c", "-o", more], "compiling", env=env)
            run(["ar", "rs", folder / "lib" / "libffi_pic.a", more], "ar", env=env)

        inputs = hash_of(*archives, *headers.values(), *sorted(ZIG.iterdir()))
        return self.get("libraries", inputs, make, "gathering static libraries")

    def python_source(self) -> Path:
        def make(folder: Path) -> None:
            (folder / "version").write_text(fetch_source(f"python{PYTHON}", SUITE, folder))

        what = f"fetching the source of Python {PYTHON} from Debian"
        return self.get("source", hash_of(PYTHON, SUITE), make, what)

    def python(self, env: dict[str, str], source: Path, libraries: Path) -> Path:
        def make(folder: Path) -> None:
            cpython.build(source / "source", folder, libraries, env, run)

        what = f"compiling CPython {(source / 'version').read_text()} (some minutes)"
        return self.get("python", hash_of(Path(cpython.__file__), describe(env)), make, what)

    def site(self) -> Path:
        """The Python packages, in wheels for any glibc from 2.17 on."""
        pins = "\n".join((ROOT / name).read_text() for name in LISTS)
        entries = {}
        for entry in re.split(r"^(?=[\w.-]+==)", pins, flags=re.MULTILINE)[1:]:
            entries[entry.partition("==")[0]] = entry
        wanted = "".join(entries[name].partition("    # via")[0].rstrip() + "\n" for name in PACKAGES)

        def make(folder: Path) -> None:
            listed = folder / "requirements.txt"
            listed.write_text(wanted)
            pip_install(folder / "site", listed, f"--platform=manylinux2014_{ARCH}", f"--python-version={PYTHON}")

        return self.get("site", wanted, make, "fetching Python packages") / "site"

    def compiled(self, python: str, env: dict[str, str]) -> Path:
        """A copy of the sources with escp/_fast compiled in place: the checkout keeps its own."""
        paths = {path for glob in SOURCES for path in ROOT.glob(glob) if path.is_file()}
        paths = {path for path in paths if path.suffix not in MADE_ELSEWHERE and path.name != "_build_info.py"}

        def make(folder: Path) -> None:
            for path in paths:
                to = folder / path.relative_to(ROOT)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)
            run([python, "setup.py", "-q", "build_ext", "-i", "-j2"], "compiling escp/_fast", cwd=folder, env=env)

        inputs = hash_of(hash_of_files(ROOT, paths), describe(env))
        return self.get("escp", inputs, make, "compiling escp/_fast")


def make_release(to: Path) -> None:
    release = Release(Cache(ROOT / "build" / "release", say))
    env = release.zig()
    libraries = release.libraries(env)
    source = release.python_source()
    prefix = release.python(env, source, libraries)
    python = str(prefix / "bin" / f"python{PYTHON}")
    names = ("CRYPTO", "ZSTD", "XXHASH") + (("IPSEC_MB",) if ARCH == "x86_64" else ())
    env |= {f"ESCP_{name}_PREFIX": str(libraries) for name in names}
    env |= {
        "ESCP_REQUIRE": "imb" if ARCH == "x86_64" else "",
        "LDSHARED": f"{env['CC']} -shared",
        # Bsymbolic: Debian's libzstd.a is not compiled for shared libraries.
        "LDFLAGS": f"-Wl,-Bsymbolic -Wl,--version-script={ZIG / 'exports.map'}",
        "LD_LIBRARY_PATH": str(prefix / "lib"),  # not a run path: it would end in what is frozen
        "PYTHONPATH": str(release.site()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    tree = release.compiled(python, env)
    epoch = env["SOURCE_DATE_EPOCH"]

    def make(folder: Path) -> None:
        run([python, tree / "packaging" / "freeze.py", folder], "freezing", cwd=tree, env=env)

    frozen = release.get("frozen", epoch, make, "freezing")
    version = check(frozen)
    to.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(to / "escp", ignore_errors=True)
    shutil.copytree(frozen / "escp", to / "escp", symlinks=True)
    shutil.copy2(frozen / ONE_FILE, to / ONE_FILE)
    say(f"CPython is Debian's {(source / 'version').read_text()}; `rm -r build/release` to ask for a newer one")
    say(f"{to / 'escp'}, {to / ONE_FILE}: glibc {version} or newer")


def check(frozen: Path) -> str:
    """The glibc that the release needs. It is no release if that is too new or anything else is missing."""
    files = list(elf.list_elf_files(frozen))
    faults, newest = elf.list_faults(frozen, files, GLIBC_LIMIT)
    if faults or not files:
        lines = "".join(f"  {fault}\n" for fault in faults)
        raise SystemExit(f"build: error: the release would not run on old systems:\n{lines}".rstrip())
    return elf.format_version(newest)


if __name__ == "__main__":
    cache = Cache(ROOT / "build" / "release", say)
    with cache.locked():
        make_release(Path(sys.argv[1]).resolve())

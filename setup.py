"""Compiles escp/_fast: one extension module per .pyx, all of them in one shared library.

Everything else about the package is in pyproject.toml.

In place, for development: python setup.py build_ext -i -j2 (build.py does it). The environment can say:
    ESCP_IPSEC_MB_PREFIX, ESCP_CRYPTO_PREFIX, ESCP_ZSTD_PREFIX, ESCP_XXHASH_PREFIX   where a library lives
    ESCP_REQUIRE=imb       an optional library that must be there (releases set it)
    ESCP_BUILD=debug       bounds checks, -O1 -g, AddressSanitizer and UBSan
    ESCP_BUILD=tsan        the same with ThreadSanitizer in their place
    ESCP_BUILD=fuzz        the first, with the coverage that libFuzzer asks for: CC must be clang
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

ROOT = Path(__file__).resolve().parent
FAST = Path("escp/_fast")  # relative: setuptools and Cython want it so
INCLUDED = (FAST / "base", FAST / "crypto", FAST / "io")  # where our headers are
LIBRARY = "escp._fast._native"  # escp/_fast/__init__.py finds the modules in it
BUILD_DIR = "build/cython"  # the generated C; tests/repository/test_no_gil.py reads it
INFO_NAME = "_build_info.py"
SANITIZERS = {
    "": [],
    "debug": ["-fsanitize=address,undefined"],
    "tsan": ["-fsanitize=thread"],
    "fuzz": [
        *["-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-recover=undefined"],
        "-Wno-unknown-warning-option",  # clang says so of gcc's
    ],
}
MODE = os.environ.get("ESCP_BUILD", "")
IS_DEBUG = MODE != ""

# --- How they are compiled ----------------------------------------------------------------------

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": IS_DEBUG,
    "initializedcheck": IS_DEBUG,
    "wraparound": False,  # these two change what the code means, so they do not depend on the mode
    "cdivision": True,
    "binding": False,  # plain C functions: what more a Cython function has nobody here asks for, in 0.1 MB
    "embedsignature": False,
    "auto_pickle": False,  # nothing here is to be copied: it holds keys, threads and buffers
    "show_performance_hints": not IS_DEBUG,  # bounds checks without the GIL are one
}
MACROS = [("_GNU_SOURCE", None), ("LINUX", None)]  # LINUX: intel-ipsec-mb.h aligns its key data only then
CFLAGS = [
    *(["-O1", "-g"] if IS_DEBUG else ["-O3", "-g1"]),  # -g1: line numbers for perf, little else
    *["-std=gnu11", "-pthread", "-fno-strict-aliasing", "-fvisibility=hidden", "-fstack-protector-strong"],
    # Off: what Cython generates sets off, and what looks at `if f(&x) < 0` and `<void>read(…)` too narrowly.
    *["-Wall", "-Wno-unused-function", "-Wno-sign-compare", "-Wno-maybe-uninitialized", "-Wno-unused-result"],
    "-U_FORTIFY_SOURCE",  # a distribution's compiler may have another level of its own
    *([*SANITIZERS.get(MODE, []), "-fno-omit-frame-pointer"] if IS_DEBUG else []),
]
LDFLAGS = [
    *["-pthread", "-Wl,-z,relro,-z,now,-z,noexecstack"],
    "-Wl,--compress-debug-sections=zlib",  # a third of the library; perf and gdb read them
    *SANITIZERS.get(MODE, []),
]
# Of each the first that the compiler knows. A debug build has none: the sanitizers see more.
HARDENING = ("-D_FORTIFY_SOURCE=3 -D_FORTIFY_SOURCE=2", "-fstack-clash-protection", "-fcf-protection")
# Errors are warnings about what it does not know, and fortification at another level than what was asked for.
HARDENING_PROBE = (
    "#include <string.h>\n#if _FORTIFY_SOURCE + 0 > __USE_FORTIFY_LEVEL\n#error unknown here\n#endif\n"
)


# --- Where the libraries are --------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """A C library, how to show that it is usable, and what to install where it is not."""

    name: str
    header: str
    debian: str
    rhel: str
    env: str = ""  # ESCP_<env>_PREFIX
    pkg_config: str = ""
    link: str = ""  # -l name when pkg-config does not know better
    needs: str = "1"  # preprocessor condition: new enough
    version: str = "0"  # preprocessor expression
    call: str = "0"  # something that must compile and link
    macro: str = ""  # defined to 1 in modules that use it
    is_optional: bool = False


LIBRARIES = {
    "python": Library(
        name="Python's headers", header="Python.h", debian="python3-dev",
        rhel=f"python3.{sys.version_info.minor}-devel", version="PY_VERSION",
    ),
    "imb": Library(
        name="libIPSec_MB", header="intel-ipsec-mb.h", debian="libipsec-mb-dev", rhel="intel-ipsec-mb-devel",
        env="IPSEC_MB", link="IPSec_MB", needs="IMB_VERSION_NUM >= 0x10000", version="IMB_VERSION_STR",
        call="alloc_mb_mgr(0) != 0", macro="ESCP_HAVE_IMB", is_optional=True,
    ),
    "crypto": Library(
        name="libcrypto", header="openssl/kdf.h", debian="libssl-dev", rhel="openssl-devel",
        env="CRYPTO", pkg_config="libcrypto", link="crypto", needs="OPENSSL_VERSION_NUMBER >= 0x30000000L",
        version="OPENSSL_VERSION_STR", call='EVP_KDF_fetch(0, "HKDF", 0) != 0',
    ),
    "zstd": Library(
        name="libzstd", header="zstd.h", debian="libzstd-dev", rhel="libzstd-devel",
        env="ZSTD", pkg_config="libzstd", link="zstd", needs="ZSTD_VERSION_NUMBER >= 10400",
        version="ZSTD_VERSION_MAJOR.ZSTD_VERSION_MINOR.ZSTD_VERSION_RELEASE", call="ZSTD_createCCtx() != 0",
    ),
    "xxhash": Library(
        name="xxHash", header="xxhash.h", debian="libxxhash-dev", rhel="xxhash-devel",
        env="XXHASH", needs="XXH_VERSION_NUMBER >= 800",
        version="XXH_VERSION_MAJOR.XXH_VERSION_MINOR.XXH_VERSION_RELEASE",
        call='XXH3_128bits_withSeed("", 0, 1).low64 != 0',
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    version: str
    cflags: tuple[str, ...]
    ldflags: tuple[str, ...]


def _output_of(*command: str, source: str = "") -> str | None:
    """What the command prints, or None when it fails or does not exist."""
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def _flags_of(library: Library) -> tuple[list[str], list[str]] | None:
    """(compiler flags, linker flags): by ESCP_…_PREFIX, then pkg-config, then the compiler's own paths."""
    links = [f"-l{library.link}"] if library.link else []
    if prefix := os.environ.get(f"ESCP_{library.env}_PREFIX", ""):
        if not Path(prefix, "include", library.header).exists():
            return None  # not the one that was asked for
        folders = [str(path) for path in (Path(prefix, "lib64"), Path(prefix, "lib")) if path.is_dir()]
        # A static library is part of the module: there is nothing to find when it is loaded.
        shared = [folder for folder in folders if any(Path(folder).glob(f"lib{library.link}.so*"))]
        rpaths = [f"-Wl,-rpath,{folder}" for folder in shared] if links else []
        return [f"-I{prefix}/include"], [f"-L{folder}" for folder in folders] + rpaths + links
    if library.pkg_config and _output_of("pkg-config", "--exists", library.pkg_config) is not None:
        # Two calls: asked for a version and flags at once, pkg-config prints no flags and returns 0.
        cflags = _output_of("pkg-config", "--cflags", library.pkg_config) or ""
        ldflags = _output_of("pkg-config", "--libs", library.pkg_config) or ""
        return shlex.split(cflags), shlex.split(ldflags)
    return ([f"-I{sysconfig.get_path('include')}"] if library.header == "Python.h" else []), links


def find_library(library: Library) -> Found | None:
    """Compiles and links a small program with it: what pkg-config says is only where to look."""
    if library.link == "IPSec_MB" and platform.machine() not in ("x86_64", "AMD64"):
        return None
    if (flags := _flags_of(library)) is None:
        return None
    cflags, ldflags = flags
    include = f"#define XXH_INLINE_ALL\n#include <{library.header}>\n"
    body = f"#if !({library.needs})\n#error too old\n#endif\nint main(void) {{ return {library.call}; }}\n"
    command = [*_compiler(), "-DLINUX", *cflags, "-x", "c", "-"]
    with tempfile.TemporaryDirectory() as folder:
        if _output_of(*command, "-o", f"{folder}/probe", *ldflags, source=include + body) is None:
            return None
    text = _output_of(*command, "-E", "-P", source=include + library.version) or "?"
    version = text.strip().splitlines()[-1].replace(" ", "").replace('"', "")
    return Found(version, tuple(cflags), tuple(ldflags))


def find_hardening() -> list[str]:
    """What this compiler can do of HARDENING."""
    probe = [*_compiler(), *"-O2 -Werror -U_FORTIFY_SOURCE -c -x c - -o /dev/null".split()]

    def is_known(flag: str) -> bool:
        return _output_of(*probe, flag, source=HARDENING_PROBE) is not None

    firsts = (next(filter(is_known, choices), "") for choices in map(str.split, HARDENING))
    return [] if IS_DEBUG else [flag for flag in firsts if flag]


def find_libraries() -> dict[str, Found]:
    """All that is there. Stops with one message for all that is missing and needed."""
    if _output_of(*_compiler(), "--version") is None:
        raise SystemExit(
            f"escp: error: no C compiler: `{' '.join(_compiler())}` does not run\n"
            "escp: hint: Debian: apt-get install gcc libc6-dev; RHEL: dnf install gcc"
        )
    required = set(os.environ.get("ESCP_REQUIRE", "").split(",")) - {""}
    if unknown := required - set(LIBRARIES):
        raise SystemExit(f"escp: error: ESCP_REQUIRE names {unknown.pop()!r}; known: {', '.join(LIBRARIES)}")
    found = {name: hit for name, library in LIBRARIES.items() if (hit := find_library(library))}
    missing = [LIBRARIES[name] for name in LIBRARIES if name not in found]
    needed = [
        lib for lib in missing if not lib.is_optional or any(LIBRARIES[name] is lib for name in required)
    ]
    if needed:
        lines = [f"escp: error: cannot compile and link with {', '.join(lib.name for lib in needed)}"]
        for lib in needed:
            where = f"; if it is elsewhere set ESCP_{lib.env}_PREFIX" if lib.env else ""
            condition = f" ({lib.needs})" if lib.needs != "1" else ""
            lines.append(f"  {lib.name}: <{lib.header}>{condition}{where}")
        lines.append(f"escp: hint: Debian: apt-get install {' '.join(lib.debian for lib in needed)}")
        lines.append(f"            RHEL: dnf install {' '.join(lib.rhel for lib in needed)}")
        raise SystemExit("\n".join(lines))
    for lib in missing:
        print(
            f"escp: built without {lib.name} (optional; Debian: {lib.debian}, RHEL: {lib.rhel})",
            file=sys.stderr,
        )
    return found


# --- Building -----------------------------------------------------------------------------------


def describe_build(found: dict[str, Found], hardening: list[str]) -> str:
    """The text of escp/_fast/_build_info.py. When it changes, everything is compiled again."""
    compiler = (_output_of(*_compiler(), "--version") or "?").splitlines()[0]
    versions = {LIBRARIES[name].name: hit.version for name, hit in found.items() if name != "python"}
    flags = [flag for name, hit in found.items() if name != "python" for flag in hit.cflags + hit.ldflags]
    return (
        '"""Written by setup.py: what this build was made of, for `escp --version -v`. Not in git."""\n\n'
        f"BUILD = {MODE or 'release'!r}\n"
        f"AEAD_BACKENDS = {('ipsec_mb', 'openssl') if 'imb' in found else ('openssl',)!r}\n"
        f"COMPILER = {compiler!r}\n"
        f"LIBRARIES = {versions!r}\n"
        f"FLAGS = {' '.join([*CFLAGS, *hardening, *LDFLAGS, *flags])!r}\n"
    )


def declare_library() -> Extension:
    """Of all .pyx and .c that there are; what it needs is filled in once the build starts."""
    return Extension(LIBRARY, [str(path) for path in sorted((*FAST.rglob("*.pyx"), *FAST.rglob("*.c")))])


def headers_of(paths: list[str]) -> list[str]:
    """Our own headers among the paths, and those that they and the C files among them include in turn."""
    todo, seen = [Path(path) for path in paths if FAST in Path(path).parents], set()
    while todo:
        path = todo.pop()
        if path not in seen and path.exists():
            seen.add(path)
            names = re.findall(r'^\s*#\s*include\s+"(.+)"', path.read_text(), re.M)
            todo += [folder / name for name in names for folder in INCLUDED]
    return sorted(str(path) for path in seen if path.suffix == ".h")


@contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """Adds what was written to stderr, child processes' words too, to the list; shows it at the end."""
    text: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile("w+") as log:
        os.dup2(log.fileno(), 2)
        try:
            with redirect_stderr(log):
                yield text
        finally:
            log.flush()
            os.dup2(saved, 2)
            os.close(saved)
            log.seek(0)
            # Cython's worker processes add a traceback of their own to the message that says it all.
            text.append(re.sub(r"^Traceback .*\n(?:  .*\n)+\S*CompileError:.*\n", "", log.read(), flags=re.M))
            sys.stderr.write(text[0])


def translate(extensions: list[Extension], build_dir: str, *, force: bool = False, n_jobs: int = 0) -> None:
    """Cython to C, under build_dir. A performance hint is an error: it names a hidden use of the GIL."""
    from Cython.Build import cythonize
    from Cython.Compiler.Errors import CompileError

    before = {path: path.stat().st_mtime_ns for path in Path(build_dir).rglob("*.c")}
    translated = None
    with _captured_stderr() as text, suppress(CompileError):
        translated = cythonize(
            extensions, compiler_directives=DIRECTIVES, build_dir=build_dir, force=force, nthreads=n_jobs
        )
    hinted = [Path(name) for name in re.findall(r"^performance hint: (.+?):\d+:", text[0], re.MULTILINE)]
    for path in Path(build_dir).rglob("*.c") if hinted else ():
        is_its_own = path.stem in {source.stem for source in hinted if source.suffix == ".pyx"}
        is_shared = any(source.suffix != ".pyx" for source in hinted)
        if before.get(path) != path.stat().st_mtime_ns and (is_its_own or is_shared):
            path.unlink()  # so that the next build says it again
    if translated is None:
        raise SystemExit("escp: error: Cython failed (its messages are above)")
    if hinted:
        raise SystemExit(
            f"escp: error: {len(hinted)} performance hints of Cython (above): CONTRIBUTING.md, Native code"
        )
    for extension, new in zip(extensions, translated, strict=True):
        extension.sources, extension.depends = new.sources, new.depends


class BuildFast(build_ext):
    """Finds the libraries, translates, compiles, links one library, and writes down what was chosen."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or min(4, os.cpu_count() or 1)

    def run(self):
        if sys.platform != "linux":
            raise SystemExit("escp: error: escp runs on Linux only")
        if MODE not in SANITIZERS:
            known = ", ".join(filter(None, SANITIZERS))
            raise SystemExit(f"escp: error: ESCP_BUILD={MODE!r}; known: {known}")
        found = find_libraries()
        hardening = find_hardening()
        info = describe_build(found, hardening)
        self._forget_other_builds(info)
        self._headers = self._translate_all()
        library = self.extensions[0]
        library.sources = list(self._headers)
        library.include_dirs = [str(folder) for folder in INCLUDED]
        library.define_macros = MACROS + [(m, "1") for name in found if (m := LIBRARIES[name].macro)]
        library.extra_compile_args = [*CFLAGS, *hardening]
        library.extra_compile_args += [flag for hit in found.values() for flag in hit.cflags]
        library.extra_link_args = [*LDFLAGS, *(flag for hit in found.values() for flag in hit.ldflags)]
        info_path = (FAST if self.inplace else Path(self.build_lib) / FAST) / INFO_NAME
        super().run()
        if not info_path.exists() or info_path.read_text() != info:
            info_path.parent.mkdir(parents=True, exist_ok=True)
            info_path.write_text(info)

    def _translate_all(self) -> dict[str, list[str]]:
        """Every C file, translated or ours, and the headers of ours that it includes."""
        modules = [
            Extension(".".join(pyx.with_suffix("").parts), [str(pyx)]) for pyx in sorted(FAST.rglob("*.pyx"))
        ]
        translate(modules, BUILD_DIR, force=bool(self.force), n_jobs=self.parallel)
        for header in Path(BUILD_DIR).rglob("*.h"):
            header.unlink()  # Cython's copies: the originals are found by -I, and never out of date
        files = {module.sources[0]: headers_of(module.depends) for module in modules}
        return files | {str(path): headers_of([str(path)]) for path in sorted(FAST.rglob("*.c"))}

    def build_extension(self, ext: Extension) -> None:
        """Compiles what has changed, several files at a time, and links all of it.

        setuptools would compile every file of an extension again, one after the other.
        """

        def compile_file(source: str) -> str:
            (made,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
            if self.force or newer_group([source, *self._headers[source]], made):
                self.compiler.compile(
                    [source], output_dir=self.build_temp, macros=ext.define_macros,
                    include_dirs=ext.include_dirs, extra_postargs=ext.extra_compile_args,
                )  # fmt: skip
            return made

        with ThreadPoolExecutor(self.parallel) as pool:
            objects = list(pool.map(compile_file, ext.sources))
        path = self.get_ext_fullpath(ext.name)
        if self.force or newer_group(objects, path):
            self.compiler.link_shared_object(objects, path, extra_postargs=ext.extra_link_args)

    def _forget_other_builds(self, info: str) -> None:
        """What was compiled with other flags or libraries is not up to date, whatever its time says."""
        stamp = Path(self.build_temp) / INFO_NAME
        if stamp.exists() and stamp.read_text() == info:
            return
        for folder in (self.build_temp, BUILD_DIR):
            shutil.rmtree(folder, ignore_errors=True)
        for library in (Path(self.build_lib) / FAST).glob("*.so"):
            library.unlink()
        stamp.parent.mkdir(parents=True)
        stamp.write_text(info)


if __name__ == "__main__":
    os.chdir(ROOT)
    setup(ext_modules=[declare_library()], cmdclass={"build_ext": BuildFast})

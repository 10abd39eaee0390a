"""CPython from its source, by the CC of the environment: a shared library with its modules built in."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

# Modules that escp and PyInstaller never import, or that would need further libraries.
LEFT_OUT = """
    _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _curses _curses_panel _dbm
    _elementtree _gdbm _hashlib _interpchannels _interpqueues _interpreters _lsprof _lzma
    _multibytecodec _sqlite3 _ssl _statistics _tkinter _uuid _zoneinfo nis readline xxlimited xxlimited_35
    xxsubtype
""".split()
# Modules that stay out of the library: PyInstaller needs them while it works, escp never.
SHARED = ["_ctypes", "pyexpat"]


def build(source: Path, prefix: Path, libraries: Path, env: dict[str, str], run: Callable[..., None]) -> None:
    """Installs into PREFIX. run(command, what, cwd=, env=) runs a command or ends the program."""
    work = prefix / "work"
    work.mkdir()
    settings = {
        "MODULE_BUILDTYPE": "static",  # in libpython: one file to load at a start instead of thirty
        "OPT": "-O3 -DNDEBUG -fwrapv",
        "CXX": "false",
        "PKG_CONFIG": "false",  # knows the host's libraries only
        "ZLIB_CFLAGS": f"-I{libraries}/include",
        "ZLIB_LIBS": f"{libraries}/lib/libz.a",
        "LIBFFI_CFLAGS": f"-I{libraries}/include",
        "LIBFFI_LIBS": f"{libraries}/lib/libffi_pic.a",
        **{f"py_cv_module_{name}": "n/a" for name in LEFT_OUT},
    }
    options = [f"--prefix={prefix}", "--enable-shared", "--without-static-libpython", "--with-pkg-config=no"]
    options += ["--without-ensurepip", "--disable-test-modules"]
    run([source / "configure", "-q", *options], "configuring CPython", cwd=work, env=env | settings)
    modules = (work / "Modules" / "Setup.stdlib").read_text().splitlines()
    shared = [line for line in modules if line.partition(" ")[0] in SHARED]
    (work / "Modules" / "Setup.local").write_text("\n".join(["*shared*", *shared, ""]))
    # Without libpython3.so, which zig cannot link and only foreign modules would need.
    make = ["make", "-s", f"-j{len(os.sched_getaffinity(0))}", "PY3LIBRARY="]
    # Bsymbolic: Debian's libz.a is not compiled for shared libraries; and calls get shorter.
    env = env | {"LDFLAGS": "-Wl,-Bsymbolic"}  # not for configure: Debian's forgets it
    run([*make, "Makefile"], "configuring CPython", cwd=work, env=env)  # Setup.local is new
    run(make, "compiling CPython", cwd=work, env=env)
    run([*make, "install"], "installing CPython", cwd=work, env=env)
    shutil.rmtree(work)

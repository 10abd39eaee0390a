"""CPython from its source, by whatever CC is in the environment: a shared library with its modules built in."""

import os
import shutil
from pathlib import Path

# Modules that escp and PyInstaller never import, or that would need further libraries.
LEFT_OUT = """
    _bz2 _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _curses _curses_panel _dbm _decimal
    _elementtree _gdbm _hashlib _interpchannels _interpqueues _interpreters _lsprof _lzma _multibytecodec
    _sqlite3 _ssl _statistics _tkinter _uuid _zoneinfo audioop nis readline xxlimited xxlimited_35 xxsubtype
""".split()
# Modules that stay out of the library: PyInstaller needs them while it works, escp never.
SHARED = ["_ctypes", "pyexpat"]


def build(source: Path, prefix: Path, libraries: Path, env: dict[str, str], run) -> None:
    """Installs into PREFIX. run(command, what, cwd=, env=) runs a command or ends the program."""
    work = prefix / "work"
    work.mkdir()
    include, lib = f"-I{libraries}/include", libraries / "lib"
    settings = {
        "MODULE_BUILDTYPE": "static",  # in libpython: one file to load at a start instead of thirty
        "OPT": "-O3 -DNDEBUG -fwrapv",
        "CXX": "false",
        "PKG_CONFIG": "false",  # knows the host's libraries only
        "ZLIB_CFLAGS": include,
        "ZLIB_LIBS": f"{lib}/libz.a",
        "LIBFFI_CFLAGS": include,
        "LIBFFI_LIBS": f"{lib}/libffi_pic.a",
        **{f"py_cv_module_{name}": "n/a" for name in LEFT_OUT},
    }
    options = ["--enable-shared", "--without-static-libpython", "--without-ensurepip", "--disable-test-modules"]
    options += ["--with-pkg-config=no", f"--prefix={prefix}"]
    run([source / "configure", "-q", *options], "configuring CPython", cwd=work, env=env | settings)
    modules = (work / "Modules" / "Setup.stdlib").read_text().splitlines()
    shared = [line for line in modules if line.split()[:1] and line.split()[0] in SHARED]
    (work / "Modules" / "Setup.local").write_text("\n".join(["*shared*", *shared, ""]))
    # Without libpython3.so, which zig cannot link and only foreign modules would need. make notices that
    # Setup.local is new and asks to be run once more.
    make = ["make", "-s", f"-j{len(os.sched_getaffinity(0))}", "PY3LIBRARY="]
    # Bsymbolic: Debian's libz.a is not compiled for shared libraries; and calls get shorter.
    env = env | {"LDFLAGS": "-Wl,-Bsymbolic"}  # not for configure: Debian's forgets it
    run([*make, "Makefile"], "compiling CPython", cwd=work, env=env)
    run(make, "compiling CPython", cwd=work, env=env)
    run([*make, "install"], "installing CPython", cwd=work, env=env)
    shutil.rmtree(work)

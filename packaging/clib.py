"""Makes what C programs need to share memory with escp (docs/shmem.md): header, library, pkg-config file.

The library is static: there is nothing to be found when a program starts, and it may go into a shared object
of the program's own.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "packaging" / "clib"
LAYOUT = ROOT / "escp" / "_fast" / "io"  # segment.h, which the engine is made of, too
# Relocatable: the folder may be unpacked anywhere.
PKG_CONFIG = """\
prefix=${{pcfiledir}}/../..
Name: escp-shmem
Description: a program's memory as the source or target of escp --ioengine=shmem
Version: {version}
Cflags: -I${{prefix}}/include
Libs: -L${{prefix}}/lib -lescp_shmem -pthread
"""


def build_library(folder: Path, version: str) -> None:
    """Below *folder*: include, lib, share/pkgconfig. One compiler ($CC, or cc) makes the same bytes."""
    for name in ("include", "lib", "share/pkgconfig"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCES / "escp_shmem.h", folder / "include" / "escp_shmem.h")
    (folder / "share" / "pkgconfig" / "escp-shmem.pc").write_text(PKG_CONFIG.format(version=version))
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            *shlex.split(os.environ.get("CC") or "cc"),
            *("-O2", "-g0", "-fPIC", "-std=gnu11", "-Wall", "-Wextra", "-fvisibility=default", "-pthread"),
            *(f"-ffile-prefix-map={ROOT}=.", f"-I{SOURCES}", f"-I{LAYOUT}"),
            *("-c", str(SOURCES / "escp_shmem.c"), "-o", f"{scratch}/escp_shmem.o"),
        ]
        subprocess.run(command, check=True)
        library = folder / "lib" / "libescp_shmem.a"
        library.unlink(missing_ok=True)
        subprocess.run(["ar", "rcD", str(library), f"{scratch}/escp_shmem.o"], check=True)
        subprocess.run(["ranlib", "-D", str(library)], check=True)

"""PyInstaller with a start-up program of our own.

That of its wheel lies at a fixed address, binds late, needs the host's libz, and loses its child's exit
status where SIGCHLD is ignored.
"""

import shlex
from pathlib import Path

from cache import Cache, hash_of
from pins import ROOT, pip_install, read_pins

BUILDERS = ROOT / "packaging" / "builders.txt"
HEADER = Path(__file__).with_suffix(".h")
SOURCES = (BUILDERS, Path(__file__), HEADER)  # what is made of them changes with these
SETTINGS = {
    "PYINSTALLER_COMPILE_BOOTLOADER": "1",
    "PYI_STATIC_ZLIB": "1",
    # Its own build fortifies for gcc only.
    "CFLAGS": f"-fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -include {shlex.quote(str(HEADER))}",
    "LDFLAGS": "-pie -Wl,-z,relro,-z,now,-z,noexecstack",
}


def compile_pyinstaller(folder: Path, env: dict[str, str]) -> None:
    """Into FOLDER/site, by the CC of *env*."""
    pip_install(folder / "builders", BUILDERS)
    requirements = folder / "requirements.txt"
    requirements.write_text(read_pins()["pyinstaller"])
    options = ["--no-binary=pyinstaller", "--no-build-isolation", "--no-cache-dir"]
    settings = env | SETTINGS | {"PYTHONPATH": str(folder / "builders")}
    pip_install(folder / "site", requirements, *options, env=settings)


def get_pyinstaller() -> Path:
    """The folder to import it from, for this system; made once."""
    cache = Cache(ROOT / "build" / "bootloader", lambda text: print(f"build: {text}", flush=True))
    with cache.locked():
        key = hash_of(*SOURCES, read_pins()["pyinstaller"])
        what = "compiling PyInstaller's start-up program"
        return cache.get("pyinstaller", key, lambda folder: compile_pyinstaller(folder, {}), what) / "site"

"""Copies of the tree below build/ in which escp/_fast is compiled in another way: the checkout keeps its own.

What did not change since the last time is neither copied nor compiled again.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from freeze import ROOT

COPIED = [
    *["escp", "tests", "packaging", "docs", ".ci", "setup.py", "build.py", "pyproject.toml", "MANIFEST.in"],
    *[
        "requirements.txt",
        "requirements-build.txt",
        "requirements-dev.txt",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    ],
]
MADE_THERE = {".so", ".pyc", "_build_info.py"}  # of the copy: neither brought nor removed


def make_variant(folder: Path, env: dict[str, str]) -> None:
    """Brings *folder* up to date with the checkout, and compiles there in the environment *env*."""
    copy_tree(folder)
    command = [sys.executable, "setup.py", "-q", "build_ext", "-i"]
    if subprocess.run(command, cwd=folder, env=env, check=False).returncode:
        raise SystemExit(f"build: error: compiling in {folder} failed; its output is above")


def copy_tree(folder: Path) -> None:
    wanted = {path.relative_to(ROOT) for name in COPIED for path in list_files(ROOT / name)}
    for name in {path.relative_to(folder) for top in COPIED for path in list_files(folder / top)} - wanted:
        (folder / name).unlink()
    for name in wanted:
        source, copy = ROOT / name, folder / name
        if not copy.exists() or copy.stat().st_mtime_ns != source.stat().st_mtime_ns:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)


def list_files(top: Path) -> list[Path]:
    files = [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]
    return [path for path in files if not {path.suffix, path.name} & MADE_THERE]


def make_python(folder: Path, source: Path, flags: list[str], env: dict[str, str]) -> Path:
    """A Python with a sanitizer in it and the packages of .venv; returns the program.

    LD_PRELOAD would reach ssh, sshd and every other child, and would not reach agents: they are started by
    sshd, in a new environment.
    """
    bin, site = folder / "bin", folder / sysconfig.get_path("purelib").removeprefix(sys.prefix + "/")
    for made in (bin, site):
        made.mkdir(parents=True, exist_ok=True)
    (site / "packages-of-venv.pth").write_text(sysconfig.get_path("purelib") + "\n")
    shutil.copy2(Path(sys.prefix, "pyvenv.cfg"), folder)
    libraries = sysconfig.get_config_var("LIBDIR")
    command = [*shlex.split(env.get("CC", "gcc")), *flags, str(source), "-o", str(bin / "python")]
    command += [f"-I{sysconfig.get_path('include')}", f"-L{libraries}", f"-Wl,-rpath,{libraries}"]
    command += [f"-lpython{sysconfig.get_config_var('LDVERSION')}"]
    subprocess.run(command, env=env, check=True)
    return bin / "python"


def environment(**settings: str) -> dict[str, str]:
    """This one, without what could change how escp is compiled or behaves, and with *settings*."""
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith("ESCP_") or "PREFIX" in name
    }
    return {**kept, **settings}

"""Lays out what is installed: the frozen tree, pages, completions, documents, licences, SBOM."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import elf
import freeze
import licences
import sbom
from clib import build_library
from components import find_components
from documents import lay_out

HERE = Path(__file__).resolve().parent
# What the executable takes from the host before it can look at its own libraries: Debian's and rpm's name.
HOST_LIBRARIES = {"libz.so.1": ("zlib1g", "libz.so.1()(64bit)")}


@dataclass(frozen=True)
class Release:
    """What a package says about what is in it."""

    version: str
    machine: str  # as `uname -m`
    epoch: int
    glibc: str
    libraries: tuple[str, ...]  # of HOST_LIBRARIES


def describe(tree: Path) -> Release:
    needs = {path: elf.read_needs(path) for path in elf.list_elf_files(tree)}
    glibc = elf.format_version(max(need.glibc for need in needs.values()))
    foreign = set(needs[tree / "lib" / "escp" / "escp"].libraries) - set(elf.GLIBC_LIBRARIES)
    foreign = {name for name in foreign if not name.startswith("ld-linux")}
    if unknown := foreign - HOST_LIBRARIES.keys():
        raise ValueError(f"the executable needs {', '.join(sorted(unknown))} of the host")
    epoch = int(freeze.source_date_epoch())
    return Release(freeze.VERSION, os.uname().machine, epoch, glibc, tuple(sorted(foreign)))


def stage(tree: Path, folder: Path, release: Release) -> None:
    """Makes *folder* what PREFIX will hold: bin, lib, share."""
    shutil.copytree(tree, folder, symlinks=True)
    share = folder / "share"
    documents = share / "doc" / "escp"
    documents.mkdir(parents=True)
    lay_out(documents)
    components = find_components(tree)
    licences.write_licences(components, documents / "licenses")
    digest = hashlib.sha256((tree / freeze.MANIFEST).read_bytes()).hexdigest()
    sbom.write_sbom(sbom.build_sbom(components, digest, release.epoch), documents / "sbom.cdx.json")
    _make_pages(share, release)
    units = folder / "lib" / "systemd" / "system"
    units.mkdir(parents=True)
    for path in sorted(HERE.glob("systemd/*")):  # nobody enables them but the administrator
        shutil.copyfile(path, units / path.name)
    build_library(folder, release.version)
    finish(folder, release)


def _make_pages(share: Path, release: Release) -> None:
    """Manual pages and completions, from the parser."""
    # TZ: the pages bear a date.
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(release.epoch), TZ="UTC", PYTHONPATH=str(freeze.ROOT))
    places = {
        "escp.1": share / "man" / "man1",
        "escp.conf.5": share / "man" / "man5",
        "escp": share / "bash-completion" / "completions",
        "_escp": share / "zsh" / "site-functions",
        "escp.fish": share / "fish" / "vendor_completions.d",
    }
    with tempfile.TemporaryDirectory() as made:
        for script in ("manpages.py", "completions.py"):
            command = [sys.executable, str(HERE / script), made]
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
        for name, folder in places.items():
            folder.mkdir(parents=True)
            shutil.copyfile(Path(made, name), folder / name)


def compress(path: Path) -> None:
    """As `gzip -9n`."""
    Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()


def compress_pages(share: Path) -> None:
    for page in share.glob("man/man*/*"):
        compress(page)


def finish(folder: Path, release: Release) -> None:
    """Modes that do not depend on the umask, and one date."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            is_program = path.is_dir() or (path.name == "escp" and elf.is_elf(path))
            path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (release.epoch, release.epoch), follow_symlinks=False)

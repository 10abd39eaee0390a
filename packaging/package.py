"""Makes dist/packages/ of a frozen tree: `python packaging/package.py FOLDER`, FOLDER as freeze.py made it.

    escp_VERSION_ARCH.deb  escp-VERSION-1.ARCH.rpm  escp-VERSION-linux-ARCH.tar.gz  escp-VERSION-linux-ARCH
    escp-VERSION.tar.gz (the source)  wheels/  SHA256SUMS

The same tree gives the same bytes. With --no-wheels nothing is compiled or downloaded.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import freeze
from components import UnknownPart
from deb import build_deb
from rpm import build_rpm
from stage import describe, stage
from tarball import build_tarball
from wheels import build_source, build_wheels

OUT = freeze.ROOT / "dist" / "packages"
PROGRAMS = ("dpkg-query", "dpkg-deb", "rpmbuild", "objdump")


class Missing(Exception):
    """Something to make packages with, or of, is not there."""


def package(folder: Path, out: Path, has_wheels: bool) -> None:
    """Replaces *out* only once everything is made. Wheels need an index of packages; the rest doesn't."""
    tree = folder / "escp"
    parts = (tree / freeze.MANIFEST, folder / freeze.ONE_FILE, folder / freeze.FROZEN_BY)
    if not all(part.is_file() for part in parts):
        raise Missing(f"{folder} has no frozen escp {freeze.VERSION}: `build.py freeze` makes one")
    # Pages and completions are made of the sources that are here: they must be those of the program.
    if json.loads((folder / freeze.FROZEN_BY).read_text()).get("sources") != freeze.hash_sources():
        verb = "release" if folder.name == "release" else "freeze"
        raise Missing(f"{tree} was made of other sources than these: run `build.py {verb}` again")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".package-") as scratch:
        made = Path(scratch, "packages")
        made.mkdir()
        release = describe(tree)
        staged = Path(scratch, "staged")
        stage(tree, staged, release)
        for build in (build_deb, build_rpm):
            build(staged, Path(scratch), made, release)
        build_tarball(staged, made, release)
        shutil.copy2(folder / freeze.ONE_FILE, made)
        failure = None
        if has_wheels:
            source = build_source(made, Path(scratch), release.epoch)
            try:
                build_wheels(source, made / "wheels", Path(scratch), release.epoch)
            except subprocess.CalledProcessError as error:
                failure = error
                shutil.rmtree(made / "wheels", ignore_errors=True)
        write_sums(made)
        for path in [made, *made.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.name == freeze.ONE_FILE else 0o644)
        shutil.rmtree(out, ignore_errors=True)
        os.replace(made, out)
    print(f"build: {out}: of {tree}, for glibc {release.glibc} or newer", flush=True)
    if failure:
        words = " ".join(str(word) for word in failure.cmd[:4])
        raise Missing(f"{out} has no wheels: `{words} …` failed; its output is above. All else is there")


def write_sums(folder: Path) -> None:
    """SHA256SUMS of all that lies in *folder*, as `sha256sum -c` reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--no-wheels", action="store_true")
    arguments = parser.parse_args()
    try:
        for program in PROGRAMS:
            if shutil.which(program) is None:
                raise Missing(f"{program} is needed and not in PATH; packages are made on Debian")
        package(arguments.folder.resolve(), arguments.out.resolve(), has_wheels=not arguments.no_wheels)
    except (UnknownPart, Missing) as error:
        print(f"build: error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"build: error: {error.cmd[0]} failed; its output is above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

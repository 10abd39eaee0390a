"""A copy of the checkout, in which packages are made by another Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import ROOT


def copy_checkout(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        here, there = ROOT / name, to / name
        if not here.exists():
            there.unlink(missing_ok=True)
        elif not there.exists() or here.stat().st_mtime_ns != there.stat().st_mtime_ns:
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(here, there)


def list_made(checkout: Path) -> set[str]:
    """Names of the packages without their versions."""
    paths = (checkout / "dist" / "packages").iterdir()
    return {path.name.partition("-0")[0].partition("_0")[0] for path in paths}

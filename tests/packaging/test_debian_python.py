"""Packages made by the system's own Python, which has other libraries, and no fixes of later ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import copy_checkout, list_made
from tests.support.command import ROOT, needs_root

SYSTEM_PYTHON = Path("/usr/bin/python3")
FOLDER = ROOT / "build" / "debian-python"  # kept: what is compiled there needs not be compiled again


@pytest.mark.timeout(900)
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="no Python of the system's")
@pytest.mark.skipif(
    Path(sys.base_prefix) == Path("/usr"), reason="the other tests run under the system's Python already"
)
@needs_root  # what Debian's Python lacks (headers, ensurepip) is installed
def test_packages_are_made_by_debians_python(tmp_path):
    copy_checkout(FOLDER)
    for command in (["build.py", "freeze"], ["packaging/package.py", "dist", "--no-wheels"]):
        python = SYSTEM_PYTHON if command[0] == "build.py" else FOLDER / ".venv" / "bin" / "python"
        done = subprocess.run([python, *command], cwd=FOLDER, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stdout + done.stderr
    assert list_made(FOLDER) == {"SHA256SUMS", "escp"}
    shutil.unpack_archive(next((FOLDER / "dist" / "packages").glob("*.tar.gz")), tmp_path, filter="tar")
    (unpacked,) = tmp_path.iterdir()
    subprocess.run([unpacked / "bin" / "escp", "--selftest"], cwd=tmp_path, timeout=60, check=True)

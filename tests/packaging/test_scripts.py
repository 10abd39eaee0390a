"""The scripts of packaging/ that are run by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "packaging"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if "\nif __name__ ==" in path.read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_what_it_does_and_makes_nothing(name, tmp_path):
    command = [sys.executable, str(FOLDER / name), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 3, done.stderr
    assert list(tmp_path.iterdir()) == []

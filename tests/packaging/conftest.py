"""The frozen programs, made once for all tests of a run: half a minute."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import ROOT

FOLDER = ROOT / "build" / "test-freeze"
FREEZING_S = 600  # on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the programs waits until they are made, in its own time."""
    for item in items:
        if "frozen_folder" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(2 * FREEZING_S))


@pytest.fixture(scope="session")
def frozen_folder(request) -> Path:
    """What packaging/freeze.py made of these sources: `escp/` and the one file."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp = FOLDER / "run"
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one run share it
        if not stamp.exists() or stamp.read_text() != run:
            command = [sys.executable, str(ROOT / "packaging" / "freeze.py"), str(FOLDER)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=FREEZING_S)
            assert done.returncode == 0, done.stdout + done.stderr
            stamp.write_text(run)
    return FOLDER


@pytest.fixture(scope="session")
def frozen_tree(frozen_folder) -> Path:
    """The folder with bin/ and lib/."""
    return frozen_folder / "escp"


@pytest.fixture(scope="session")
def one_file(frozen_folder) -> Path:
    (path,) = frozen_folder.glob("escp-*-linux-*")
    return path


@pytest.fixture
def installed_tree(frozen_tree, folder) -> Path:
    """A copy of the tree that any user may read, as an installation is."""
    folder.chmod(0o755)
    shutil.copytree(frozen_tree, folder / "opt", symlinks=True)
    return folder / "opt"

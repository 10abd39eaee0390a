"""Examples run as users run them: their packages beside escp's, and a configuration in place of options."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from pins import pip_install

from tests.support.command import COMMAND, ROOT, Escp
from tests.support.configuration import copy_environment
from tests.support.leftovers import MARK

EXAMPLES = ROOT / "examples"
PINS = Path(__file__).with_name("requirements.txt")
FOLDER = ROOT / "build" / "test-examples"
INSTALLING_S = 300  # on a busy machine
TIMEOUT_S = 100.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the packages installs them, in its own time."""
    for item in items:
        if "packages" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(INSTALLING_S + 2 * TIMEOUT_S))


@pytest.fixture(scope="session")
def packages() -> Path:
    """A folder with what the examples import, and .venv does not have. It is kept for the next run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    site, stamp = FOLDER / "site", FOLDER / "requirements.txt"
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one run share it
        if not stamp.exists() or stamp.read_bytes() != PINS.read_bytes():
            shutil.rmtree(site, ignore_errors=True)
            pip_install(site, PINS)
            _write_entry_points(site / "escp-0.dist-info")
            shutil.copy(PINS, stamp)
    return site


def _write_entry_points(folder: Path) -> None:
    """What an installed escp tells other packages, fsspec for one: a checkout is not installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = ["Metadata-Version: 2.1", "Name: escp", "Version: 0"]
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {what}\n" for name, what in points.items())
        for group, points in project["entry-points"].items()
    ]
    (folder / "entry_points.txt").write_text("\n".join(groups))


@pytest.fixture
def settings(escp: Escp) -> dict[str, object]:
    """What a user's escp.conf says of the host `box`; a test may add to it before it runs an example."""
    return {"ssh-config": escp.sshd.client_config, "escp": escp.agent, "escp-port": escp.port}


@pytest.fixture
def run(
    escp: Escp, folder: Path, settings: dict[str, object]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in *folder*, to its end. `escp` there is the escp under test."""
    (folder / "bin").mkdir()
    command = folder / "bin" / "escp"
    command.write_text(f'#!/bin/sh\nexec env PYTHONPATH={ROOT} {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)

    def run(*words: object, site: Path | None = None, code: int = 0, is_log: bool = False) -> str:
        """Its output, of a log with what it says on standard error."""
        (folder / "escp.conf").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        env = copy_environment() | {
            "ESCP_CONFIG": str(folder / "escp.conf"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{site}" if site else str(ROOT),
            "HOME": str(escp.home),
            MARK: escp.mark,
        }
        done = subprocess.run(
            [str(word) for word in words], cwd=folder, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT if is_log else subprocess.PIPE,
            text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + (done.stderr or "")
        return done.stdout

    return run


@pytest.fixture
def python(run, packages: Path) -> Callable[..., str]:
    """Runs a program in Python with the examples' packages."""

    def python(*words: object, **how: object) -> str:
        return run(sys.executable, *words, site=packages, **how)

    return python


def assert_page_shows(example: str, said: str) -> None:
    """Each line of what an example said stands on its page, with other numbers."""
    page = (EXAMPLES / example / "README.md").read_text()
    shown = {_mask(line) for line in page.splitlines()}
    missing = [line for line in said.splitlines() if line.strip() and _mask(line) not in shown]
    assert not missing, f"examples/{example}/README.md does not show {missing}"


def _mask(line: str) -> str:
    """Numbers, their units and how wide they are differ from run to run."""
    return re.sub(r" *\d[\d,]*(?:\.\d+)?(?: (?:[kMGT]?B|bytes?)\b)?", " 0", line).strip()

"""Fixtures of the tests that run whole copies: integration, cli and fault. The others need none of them.

What the developer has configured for escp does not count: the environment is cleared of it, for children too.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.command import Escp
from tests.configuration import forget_configuration
from tests.sshd import Sshd

forget_configuration(os.environ)

# How long an example takes says something about who else is at work on this machine; pytest's own time limit
# finds what hangs. Each run looks at other examples, but in CI: there a commit is always judged alike.
settings.register_profile(
    "escp",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("escp")


def remove_folder(folder: Path) -> None:
    """Not pytest's tmp_path: that keeps the last three runs, and these files are large."""
    for top, names, _ in os.walk(folder):  # shutil alone stops at directories that forbid it
        for name in names:
            path = os.path.join(top, name)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.chmod(path, 0o700)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    folder = Path(tempfile.mkdtemp(prefix="escp-sshd-"))
    server = Sshd(folder)
    yield server
    server.stop()
    remove_folder(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty directory, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="escp-test-"))
    yield path
    remove_folder(path)


@pytest.fixture
def escp(folder: Path, sshd: Sshd) -> Iterator[Escp]:
    """escp with a home and ports of its own. Whatever the test did, nothing of it may be left running."""
    one = Escp(folder, sshd)
    try:
        yield one
        one.assert_nothing_left()
    finally:
        one.close()


@pytest.fixture
def source(folder: Path) -> Path:
    path = folder / "source"
    path.mkdir()
    return path


@pytest.fixture
def target(folder: Path) -> Path:
    path = folder / "target"
    path.mkdir()
    return path

"""Fixtures of the tests that run whole copies: integration, cli and fault; those in fast use `target`.

What the developer has configured for escp does not count: the environment is cleared of it, for children too.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.command import Escp
from tests.support.configuration import forget_configuration
from tests.support.folders import new_folder
from tests.support.order import find_place
from tests.support.sshd import Sshd
from tests.support.together import Together

forget_configuration(os.environ)
# Nor does what whoever started the tests ignores (nohup, `&` in a script): escp leaves that ignored.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# How long an example takes says something about who else is at work on this machine; pytest's own time limit
# finds what hangs. Each run looks at other examples, but in CI: there a commit is always judged alike.
settings.register_profile(
    "escp",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("escp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: find_place(str(item.path)))


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    with new_folder("escp-sshd-") as folder, Sshd(folder) as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty directory, removed at the end."""
    with new_folder() as path:
        yield path


@pytest.fixture
def escp(folder: Path, sshd: Sshd) -> Iterator[Escp]:
    """escp with a home and ports of its own. Whatever the test did, nothing of it may be left running."""
    with Escp(folder, sshd) as one:
        yield one


@pytest.fixture
def together(sshd: Sshd) -> Together:
    """For cases that mostly wait: `together(cases, check)` runs them side by side."""
    return Together(sshd)


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

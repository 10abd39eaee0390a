"""Fixtures of several files here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.restricted import RestrictedHost


@pytest.fixture
def host(folder: Path) -> Iterator[RestrictedHost]:
    host = RestrictedHost(folder)
    try:
        yield host
        host.escp.assert_nothing_left()
        host.assert_untouched()
    finally:
        host.close()

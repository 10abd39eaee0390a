"""The four arrangements of a copy, for tests of what must be the same in all of them."""

from collections import namedtuple
from pathlib import Path

import pytest

from tests.support.command import local, remote


class Direction(namedtuple("Direction", "name is_from_remote is_to_remote is_embedded", defaults=[False])):
    """Where the sources and the target are: paths of this host as words of the command line."""

    __slots__ = ()

    def source(self, path: str | bytes | Path) -> str | bytes | Path:
        return remote(path) if self.is_from_remote else path

    def target(self, path: str | bytes | Path) -> str | bytes | Path:
        if self.is_embedded:
            return local(path)
        return remote(path) if self.is_to_remote else path

    def host_of_source(self, path: str | bytes | Path) -> str:
        """How messages name it."""
        return f"box:{path}" if self.is_from_remote else str(path)

    def host_of_target(self, path: str | bytes | Path) -> str:
        return f"box:{path}" if self.is_to_remote else str(path)


PUSH = Direction("push", False, True)
PULL = Direction("pull", True, False)
LOCAL = Direction("local", False, False)
RELAY = Direction("relay", True, True)
EMBEDDED = Direction("embedded", False, True, True)  # without ssh
ALL = (PUSH, PULL, LOCAL, RELAY)

in_all_directions = pytest.mark.parametrize("way", ALL, ids=lambda way: way.name)

"""What a sending agent may tell of: names that were accepted, and what lies below directories among them."""

from collections.abc import Sequence

from escp.errors import ProtocolError
from escp.names.manifest import is_below, is_inside
from escp.names.nameset import NameSet

KINDS = frozenset(("file", "directory", "link", "device"))


class Told:
    """`accept` names, then `check` what it says of them. Memory: some 20 bytes for each name accepted."""

    def __init__(self, *, is_recursive: bool):
        self._is_recursive = is_recursive
        self._names, self._trees = NameSet(), NameSet()

    def accept(self, names: Sequence[bytes], directories: Sequence[object]) -> None:
        """Paths below the target; b"" is the target itself."""
        for name, is_directory in zip(names, directories, strict=True):
            (self._trees if is_directory and self._is_recursive else self._names).add(name)

    def check(self, path: bytes) -> None:
        """Raises ProtocolError. *path*: as of `Itemized` and `Listed`."""
        name = path.removeprefix(b"/").removesuffix(b"/")
        is_plain = is_inside(name) if name else len(path) < 2
        if not is_plain or not (self._names.has(name) or is_below(name, self._trees)):
            raise ProtocolError("the other escp tells of a file that is none of what was copied")

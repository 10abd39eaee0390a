"""Puts escp's own modules of a frozen tree into one file: a start opens that instead of 140 (`bundle_start`).

The file: how long the index is, in 4 bytes, least first; the index and the codes, by marshal. The index
is {module's name: (whether it is a package, where its code begins behind the index, how many bytes it has)}.
"""

import marshal
from pathlib import Path

NAME = "modules"  # within escp's folder
_HEADER_BYTES = 16  # of a .pyc: PEP 552


def bundle(folder: Path) -> None:
    """Replaces all .pyc files below *folder*, that of the package `escp`, by one file."""
    index, codes = {}, bytearray()
    for path in sorted(folder.rglob("*.pyc")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        code = path.read_bytes()[_HEADER_BYTES:]
        index[".".join(parts[:-1] if is_package else parts)] = is_package, len(codes), len(code)
        codes += code
        path.unlink()
    head = marshal.dumps(index)
    (folder / NAME).write_bytes(len(head).to_bytes(4, "little") + head + codes)
    for inner in sorted(folder.rglob("*"), reverse=True):
        if inner.is_dir() and not any(inner.iterdir()):
            inner.rmdir()

"""docs/scp-differences.md as the suite reads it: which cases may differ from scp, and how each ends.

The tables' columns are `what | scp | escp | why | cases`. `scp` and `escp` begin with "succeeds" or "fails";
`cases` are patterns of case ids in backticks, where `*` stands for anything.
"""

import re
from collections import namedtuple
from collections.abc import Iterable

from tests.support.command import ROOT

DOCUMENT = ROOT / "docs" / "scp-differences.md"
HEADER = ["what", "scp", "escp", "why", "cases"]
_ENDS = {"succeeds": True, "fails": False}


class Difference(namedtuple("Difference", "what scp_succeeds escp_succeeds patterns")):
    """One row."""

    __slots__ = ()

    def find_cases(self, ids: Iterable[str]) -> set[str]:
        return {name for name in ids for pattern in self.patterns if match_id(name, pattern)}


def match_id(name: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def parse_differences(text: str) -> list[Difference]:
    """Every row of the tables; ValueError for one that says too little."""
    found = []
    is_inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells == HEADER:
            is_inside = True
        elif not cells:
            is_inside = False
        elif is_inside and set(line) - set("|-: "):
            found.append(_parse_row(cells))
    return found


def _parse_row(cells: list[str]) -> Difference:
    if len(cells) != len(HEADER) or not all(cells):
        raise ValueError(f"a row needs {len(HEADER)} columns, none of them empty: {cells}")
    what, scp, escp, _, cases = cells
    patterns = re.findall("`([^`]+)`", cases)
    ends = [_ENDS.get(re.split(r"\W", cell)[0]) for cell in (scp, escp)]
    if None in ends or not patterns:
        raise ValueError(f"a row says how each ends and names cases: {cells}")
    return Difference(what, *ends, patterns)

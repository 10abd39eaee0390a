"""escp does what scp does, but for what docs/scp-differences.md lists.

The same command runs with both on equal trees. Compared are the whole trees afterwards and whether the exit
status is 0. A difference must be listed in the document, and what is listed there must differ.
"""

import re
import shutil
import subprocess
from collections import Counter

import pytest

from tests.conformance.arena import Outcome
from tests.conformance.cases import CASES, make_cases
from tests.conformance.differences import DOCUMENT, parse_differences

DIFFERENCES = parse_differences(DOCUMENT.read_text())
N_LEAST = 150


def find_scp_version() -> tuple[int, ...]:
    """OpenSSH's; (0,) if there is no scp."""
    if not shutil.which("scp"):
        return (0,)
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr
    return tuple(map(int, re.findall(r"OpenSSH_(\d+)\.(\d+)", said)[0]))


needs_scp = pytest.mark.skipif(find_scp_version() < (9, 0), reason="needs scp of OpenSSH 9.0 or later")


def compare(scp: Outcome, escp: Outcome) -> str:
    """What differs, for people; "" if nothing does."""
    lines = []
    if scp.succeeded != escp.succeeded:
        lines.append(f"exit status: scp {scp.code}, escp {escp.code}")
    for name in sorted(scp.tree.keys() | escp.tree.keys()):
        theirs, ours = scp.tree.get(name, "nothing"), escp.tree.get(name, "nothing")
        if theirs != ours:
            lines += [f"{name!r}:", f"    scp:  {theirs}", f"    escp: {ours}"]
    return "\n".join(lines)


def judge(scp: Outcome, escp: Outcome, difference) -> str:
    """What is wrong about the two outcomes, given the document's row for the case or None; "" if nothing."""
    found = compare(scp, escp)
    if "Traceback" in escp.err or escp.code == 3:
        return "escp broke down"
    if difference is None:
        return found and f"not listed in {DOCUMENT.name}:\n{found}"
    if not found:
        return f"listed in {DOCUMENT.name} ({difference.what}), but nothing differs"
    if (scp.succeeded, escp.succeeded) != (difference.scp_succeeds, difference.escp_succeeds):
        return f"{DOCUMENT.name} ({difference.what}) has other ends than:\n{found}"
    return ""


@needs_scp
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.id)
def test_escp_does_what_scp_does(case, outcomes):
    scp, escp = outcomes[case.id].result()
    rows = [row for row in DIFFERENCES if row.find_cases([case.id])]
    wrong = judge(scp, escp, rows[0] if rows else None)
    said = f"scp said: {scp.err}\nescp said: {escp.err}"
    assert not wrong, f"{' '.join([*case.options, *map(repr, case.words)])}\n{wrong}\n{said}"


@needs_scp
def test_nothing_is_left_of_any_case(arena, outcomes):
    for future in outcomes.values():
        future.exception()
    arena.assert_nothing_left()


def test_cases_are_many_and_told_apart():
    twice = [name for name, n in Counter(case.id for case in make_cases()).items() if n > 1]
    assert not twice
    assert len(CASES) >= N_LEAST
    for start in ("push/", "pull/", "local/", "relay/"):
        assert sum(name.startswith(start) for name in CASES) >= 20


def test_every_listed_difference_has_cases_of_its_own():
    seen = Counter()
    for row in DIFFERENCES:
        for pattern in row.patterns:
            assert row._replace(patterns=[pattern]).find_cases(CASES), f"`{pattern}` is no case"
        seen.update(row.find_cases(CASES))
    assert [name for name, n in seen.items() if n > 1] == []

"""What --chmod says, as chmod(1) and rsync have it, as rules for a receiver (docs/protocol.md 3.2)."""

import os
import re

from escp.errors import UsageError

MAX_RULES = 64
FULL_MODE = 0o7777
KEEPS_SHIFT = 12
NOT_DIRECTORIES, NOT_OTHERS, NEEDS_EXECUTE = 1 << 24, 1 << 25, 1 << 26
COPIES_SHIFT, TAKES = 27, 1 << 29
_EXECUTE = 0o111
_WHO = {"u": 0o100, "g": 0o010, "o": 0o001, "a": 0o111}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0o1000, "a": 0o7000}
_BITS = {"r": 4, "w": 2, "x": 1, "X": 1}
_SET_ID, _STICKY = 0o6000, 0o1000
_CHANGE = "[-+=](?:[ugo]|[rwxXst]*)"  # what a class may is copied alone, as with chmod
_HINT = "write modes as for chmod, with D or F in front for directories or files: D755,F644 or go-w,Fa-x"


def parse_chmod(text: str) -> tuple[int, ...]:
    """One or two rules for each clause, in their order. Raises UsageError."""
    rules: list[int] = []
    for clause in text.split(","):
        match = re.fullmatch(rf"([DF]?)(?:([0-7]{{1,4}})|([ugoa]*)((?:{_CHANGE})+))", clause)
        if match is None:
            raise UsageError(f"option --chmod: '{clause}' is no mode", _HINT)
        kind, octal, who, changes = match.groups()
        if octal is not None:
            rules.append({"": 0, "D": NOT_OTHERS, "F": NOT_DIRECTORIES}[kind] | int(octal, 8))
            continue
        for change in re.findall(_CHANGE, changes):
            rules += _make_rules(kind, who, change[0], change[1:])
    if len(rules) > MAX_RULES:
        raise UsageError("option --chmod: too many modes", "32 changes always fit")
    return tuple(rules)


def _make_rules(kind: str, who: str, operator: str, letters: str) -> list[int]:
    """One rule where directories and others are treated alike, two where they are not."""
    if operator != "=" and not kind:
        return [_make_rule(who, operator, letters)]
    return [
        excluded | _make_rule(who, operator, letters, is_for_directories=one == "D")
        for one, excluded in (("D", NOT_OTHERS), ("F", NOT_DIRECTORIES))
        if kind in ("", one)
    ]


def _make_rule(who: str, operator: str, letters: str, *, is_for_directories: bool = False) -> int:
    """The bits that stay and those that come, of one symbolic clause."""
    where = special = 0
    for letter in who or "a":
        where |= _WHO[letter]
        special |= _SPECIAL[letter]
    copied = "ugo".find(letters) + 1 if letters else 0
    bits = where * (7 if copied else _sum_bits(letters)) & (FULL_MODE if who else ~_read_umask())
    if "s" in letters:
        bits |= special & _SET_ID
    if "t" in letters:
        bits |= special & _STICKY
    copies = copied << COPIES_SHIFT
    if operator == "-" and copied:
        return TAKES | copies | FULL_MODE << KEEPS_SHIFT | bits
    if operator == "-":
        return (FULL_MODE & ~bits) << KEEPS_SHIFT
    keeps = FULL_MODE
    if operator == "=":
        keeps &= ~(where * 7 | special)
        if is_for_directories and "s" not in letters:  # as with chmod it stays, unless it is named
            keeps |= _SET_ID
    needs = NEEDS_EXECUTE if "X" in letters and "x" not in letters else 0
    return copies | needs | keeps << KEEPS_SHIFT | bits


def _sum_bits(letters: str) -> int:
    total = 0
    for letter in letters:
        total |= _BITS.get(letter, 0)
    return total


def _read_umask() -> int:
    """The umask. As with chmod(1), a clause that does not say for whom leaves alone what that takes away."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

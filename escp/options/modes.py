"""What --chmod says, as chmod(1) and rsync have it, as rules for a receiver (docs/protocol.md 3.2)."""

import os
import re

from escp.errors import UsageError

MAX_RULES = 64
FULL_MODE = 0o7777
KEEPS_SHIFT = 12
NOT_DIRECTORIES, NOT_OTHERS, NEEDS_EXECUTE = 1 << 24, 1 << 25, 1 << 26
_EXECUTE = 0o111
_WHO = {"u": 0o100, "g": 0o010, "o": 0o001, "a": 0o111}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0o1000, "a": 0o7000}
_BITS = {"r": 4, "w": 2, "x": 1, "X": 1}
_SET_ID, _STICKY = 0o6000, 0o1000
_HINT = "write modes as for chmod, with D or F in front for directories or files: D755,F644 or go-w,Fa-x"


def parse_chmod(text: str) -> tuple[int, ...]:
    """One or two rules for each clause, in their order. Raises UsageError."""
    rules: list[int] = []
    for clause in text.split(","):
        match = re.fullmatch(r"([DF]?)(?:([0-7]{1,4})|([ugoa]*)([-+=])([rwxXst]*))", clause)
        if match is None:
            raise UsageError(f"option --chmod: '{clause}' is no mode", _HINT)
        kind, octal, who, operator, letters = match.groups()
        if octal is not None:
            rules.append({"": 0, "D": NOT_OTHERS, "F": NOT_DIRECTORIES}[kind] | int(octal, 8))
        elif operator != "=" and not kind:
            rules.append(_make_rule(who, operator, letters))
        else:
            for one, excluded in (("D", NOT_OTHERS), ("F", NOT_DIRECTORIES)):
                if kind in ("", one):
                    rules.append(excluded | _make_rule(who, operator, letters, is_for_directories=one == "D"))
    if len(rules) > MAX_RULES:
        raise UsageError("option --chmod: too many modes with commas between them", "32 always fit")
    return tuple(rules)


def _make_rule(who: str, operator: str, letters: str, *, is_for_directories: bool = False) -> int:
    """The bits that stay and those that come, of one symbolic clause."""
    where = special = 0
    for letter in who or "a":
        where |= _WHO[letter]
        special |= _SPECIAL[letter]
    bits = where * _sum_bits(letters) & (FULL_MODE if who else ~_read_umask())
    if "s" in letters:
        bits |= special & _SET_ID
    if "t" in letters:
        bits |= special & _STICKY
    if operator == "-":
        return (FULL_MODE & ~bits) << KEEPS_SHIFT
    keeps = FULL_MODE
    if operator == "=":
        keeps &= ~(where * 7 | special)
        if is_for_directories and "s" not in letters:  # as with chmod it stays, unless it is named
            keeps |= _SET_ID
    needs = NEEDS_EXECUTE if "X" in letters and "x" not in letters else 0
    return needs | keeps << KEEPS_SHIFT | bits


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

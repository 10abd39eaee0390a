"""Small files of /proc and /sys, read as numbers."""

import os

from escp.process.numbers import parse_numbers


def _read(root: str, name: str) -> str | None:
    try:
        with open(os.path.join(root, name), errors="replace") as file:
            return file.read().strip() or None
    except OSError:  # EINVAL, too: the speed of a device that has none
        return None


def _read_int(root: str, name: str) -> int | None:
    text = _read(root, name)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _read_bool(root: str, name: str) -> bool | None:
    number = _read_int(root, name)
    return None if number is None else number != 0


def _read_three(root: str, name: str) -> tuple[int, ...] | None:
    words = (_read(root, name) or "").split()
    is_right = len(words) == 3 and all(word.isascii() and word.isdigit() for word in words)
    return tuple(map(int, words)) if is_right else None


def _read_numbers(root: str, name: str) -> int | None:
    """How many a list such as 0-3,8 names."""
    text = _read(root, name)
    try:
        return None if text is None else len(parse_numbers(text))
    except ValueError:
        return None

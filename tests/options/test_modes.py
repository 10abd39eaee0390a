"""--chmod's grammar, against the chmod of this system where it knows the same."""

import os
import stat
import subprocess

import pytest

from escp.errors import UsageError
from escp.options.modes import (
    COPIES_SHIFT,
    NEEDS_EXECUTE,
    NOT_DIRECTORIES,
    NOT_OTHERS,
    TAKES,
    parse_chmod,
)


def apply(rules: tuple[int, ...], mode: int, *, is_directory: bool) -> int:
    """As docs/protocol.md 3.2 has it."""
    is_executable = is_directory or mode & 0o111
    for rule in rules:
        if not rule & (NOT_DIRECTORIES if is_directory else NOT_OTHERS):
            adds = rule & 0o7777
            if rule & NEEDS_EXECUTE and not is_executable:
                adds &= ~0o111
            if copied := rule >> COPIES_SHIFT & 3:
                adds &= (mode >> 3 * (3 - copied) & 7) * 0o111
            mode = mode & ~adds if rule & TAKES else mode & rule >> 12 & 0o7777 | adds
    return mode


SAME = [
    "640",
    "u=rw,go=",
    "go-w",
    "+x",
    "-w",
    "a+X",
    "u+s",
    "g-s",
    "+t",
    "o=rX",
    "ug=rwx,o=",
    "a=",
    "=r",
    "u=rws",
    "u+xt",
    "o+t",
    "u=g",
    "go=u",
    "g+u",
    "u-o",
    "=g",
    "+u",
    "a-g",
    "g=u,o=g",
    "u+r-w",
    "u+s-x",
    "go=rX+w",
    "u=g-w",
    "+x-w",
    "a=-",
]


@pytest.mark.parametrize("is_directory", [False, True])
@pytest.mark.parametrize("umask", [0o022, 0o007])
@pytest.mark.parametrize("text", SAME)
def test_modes_are_those_of_chmod(tmp_path, text, umask, is_directory):
    before = os.umask(umask)
    try:
        for mode in (0o644, 0o755, 0o4711, 0o2600, 0o777):
            path = tmp_path / f"{mode:o}"
            path.mkdir() if is_directory else path.write_text("")
            path.chmod(mode)
            subprocess.run(["chmod", text, path], check=False, stderr=subprocess.DEVNULL)
            wanted = stat.S_IMODE(path.stat().st_mode)
            found = apply(parse_chmod(text), mode, is_directory=is_directory)
            if is_directory:  # chmod leaves a directory's s bits alone unless they are named
                wanted, found = wanted & ~0o6000, found & ~0o6000
            assert f"{found:o}" == f"{wanted:o}"
    finally:
        os.umask(before)


def test_kinds_are_told_apart():
    rules = parse_chmod("D2755,F600,Fa+X")
    assert apply(rules, 0o700, is_directory=True) == 0o2755
    assert apply(rules, 0o644, is_directory=False) == 0o600
    assert apply(rules, 0o755, is_directory=False) == 0o711


@pytest.mark.parametrize(
    "text", ["", "u", "rwx", "8", "u+q", "F", "DF644", "644,", "u=gr", "u=go", "77777", "u+r+8", "u+rg"]
)
def test_what_is_no_mode_is_told(text):
    with pytest.raises(UsageError, match=r"option --chmod: '.*' is no mode"):
        parse_chmod(text)


def test_number_of_modes_is_bounded():
    assert len(parse_chmod(",".join(["644"] * 64))) == len(parse_chmod(",".join(["a=r"] * 32))) == 64
    with pytest.raises(UsageError, match="too many modes"):
        parse_chmod(",".join(["644"] * 65))

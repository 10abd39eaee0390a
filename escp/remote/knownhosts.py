"""Hosts that this user's ssh has heard of, as far as files of this host tell. Nobody is asked."""

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIGURATIONS = ("~/.ssh/config", "/etc/ssh/ssh_config")
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
_HOSTS = "/etc/hosts"
_MAX_BYTES = 1 << 20  # of one file
_MAX_DEPTH = 3  # of files that include others


def is_known_host(name: str) -> bool:
    """Whether ssh's configuration, its known hosts or /etc/hosts has *name*, a word without `user@`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return False
    name = name.lower()
    return (
        any(_is_configured(name, path, 0) for path in _CONFIGURATIONS)
        or any(name in line.lower().split()[1:] for line in _read_lines(_HOSTS))
        or any(_is_in_field(name, field) for path in _KNOWN_HOSTS for field in _read_fields(path))
    )


def _read_lines(path: str) -> "Iterator[str]":
    try:
        with open(os.path.expanduser(path), errors="replace") as file:
            text = file.read(_MAX_BYTES)
    except (OSError, ValueError):
        return
    for line in text.splitlines():
        if (line := line.strip()) and not line.startswith("#"):
            yield line


def _is_configured(name: str, path: str, depth: int) -> bool:
    """Whether a Host line names it: by itself, or by a pattern that does not begin with a wildcard."""
    from fnmatch import fnmatchcase  # lazy, as is all here

    for line in _read_lines(path):
        key, *words = line.replace("=", " ", 1).replace('"', "").split()
        if key.lower() == "host" and any(
            fnmatchcase(name, word.lower()) for word in words if word[0] not in "*?!"
        ):
            return True
        if key.lower() == "include" and depth < _MAX_DEPTH:
            from glob import glob  # lazy, as above

            for word in words:
                place = os.path.expanduser(os.path.join(os.path.dirname(path), os.path.expanduser(word)))
                if any(_is_configured(name, one, depth + 1) for one in sorted(glob(place))):
                    return True
    return False


def _read_fields(path: str) -> "Iterator[str]":
    """The hosts' field of each line of a file of known hosts."""
    for line in _read_lines(path):
        words = line.split()
        at = 1 if words[0].startswith("@") else 0
        yield from words[at : at + 1]


def _is_in_field(name: str, field: str) -> bool:
    """Names with commas, in brackets with a port, or one that is hashed."""
    if not field.startswith("|1|"):
        names = re.findall(r"\[?([^],\[]+)(?:\]:[0-9]+)?(?:,|$)", field.lower())
        return name in names
    import hmac  # lazy, as above
    from base64 import b64decode

    try:
        salt, digest = (b64decode(part, validate=True) for part in field[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)

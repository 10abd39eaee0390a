"""Which hosts have an escp that was sent along, so that a plain call looks for it there as well.

One small file a host in the user's own cache, and nothing depends on it: without it, or where the tree there
is gone, a host has the escp that is installed, or none.
"""

import os

from escp.options.location import Location

_IDENTITY_CHARS = 64
_MAX_NAME = 200


def _find_path(location: Location) -> str | None:
    name = f"{location.ssh_destination()}:{location.port or ''}"
    if "/" in name or "\0" in name or len(os.fsencode(name)) > _MAX_NAME:
        return None
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not cache.startswith("/"):
        cache = os.path.expanduser("~/.cache")
    return os.path.join(cache, "escp", "hosts", name)


def remember(location: Location, identity: str) -> None:
    """The tree *identity* is in its place on that host."""
    path = _find_path(location)
    if path is None or recall(location) == identity:
        return
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "x") as file:
            file.write(identity)
        os.rename(temporary, path)
    except OSError:
        return  # then it is not remembered


def recall(location: Location) -> str:
    """The identity of the tree that was sent there last; "" for none."""
    path = _find_path(location)
    if path is None:
        return ""
    try:
        with open(path) as file:
            text = file.read(_IDENTITY_CHARS + 1)
    except (OSError, ValueError):
        return ""
    return text if len(text) == _IDENTITY_CHARS and not text.strip("0123456789abcdef") else ""

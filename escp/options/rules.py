"""What a host's administrator lets sessions of others do: `--restrict` and its like, and the `server:` block.

The block counts in /etc/escp.conf alone: nobody who logs in writes there, and neither an agent's environment
nor an initiator's orders are asked. The words of a forced command (`--restrict DIR`) can only take more away.
Anything wrong with either ends the agent before it does anything. `agent/site` holds a session to this.
"""

import os

from escp.errors import UsageError
from escp.lean.record import Record
from escp.options import config
from escp.options.values import (
    MAX_DELETIONS,
    MAX_PORT,
    parse_bytes,
    parse_count,
    parse_rate,
    parse_time,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


RESTRICT, READ_ONLY, WRITE_ONLY = "restrict", "read-only", "write-only"
MAX_COUNT = 999_999_999

# By key of the block. LIST: paths.
KINDS = {
    RESTRICT: config.Kind(config.VALUE, RESTRICT),
    "allow": config.Kind(config.LIST, "allow"),
    "deny": config.Kind(config.LIST, "deny"),
    READ_ONLY: config.Kind(config.FLAG, READ_ONLY, True, False),
    WRITE_ONLY: config.Kind(config.FLAG, WRITE_ONLY, True, False),
    "escp-port": config.Kind(config.VALUE, "escp-port"),
    "escp-portrange": config.Kind(config.VALUE, "escp-portrange"),
    "limit": config.Kind(config.VALUE, "limit"),
    "max-files": config.Kind(config.VALUE, "max-files"),
    "max-bytes": config.Kind(config.VALUE, "max-bytes"),
    "max-delete": config.Kind(config.VALUE, "max-delete"),
    "max-time": config.Kind(config.VALUE, "max-time"),
    "owner": config.Kind(config.FLAG, "owner", True, True),
    "devices": config.Kind(config.FLAG, "devices", True, True),
}


# Which no option has: where they stand outside of the block somebody has meant it.
OWN_KEYS = (RESTRICT, "allow", "deny", READ_ONLY, WRITE_ONLY, "max-files", "max-bytes", "max-time")


class Rules(Record):
    """Of one session. None and () are no rule; `origins`: by key, where it is written."""

    restrict: tuple[str, ...]  # directories in which all must lie: each of them narrows what is left
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    is_read_only: bool
    is_write_only: bool
    first_port: int | None
    n_more_ports: int | None
    limit_bytes_per_s: int | None
    max_files: int | None
    max_bytes: int | None
    max_deletions: int | None
    max_time_s: int | None
    takes_owner: bool
    takes_devices: bool
    origins: "dict[str, str]"

    @property
    def is_confining(self) -> bool:
        """Whether some files are out of reach."""
        return bool(self.restrict or self.allow or self.deny or self.is_read_only or self.is_write_only)

    def who(self, key: str) -> str:
        """'max-files in /etc/escp.conf, line 3', or '--restrict /data'."""
        origin = self.origins.get(key, "")
        return f"{key} in {origin}" if origin.startswith("/") else origin or key


def make_rules(block: "config.Block | None", words: "Sequence[tuple[str, str]]") -> Rules | None:
    """*block*: of the file; *words*: of the agent's command, key and value. None: nothing is forbidden.

    All of them count: of several directories what lies in each, of several numbers the least.

    Raises UsageError.
    """
    if block is None and not words:
        return None
    settings = () if block is None else block.settings
    values, lists = config.merge_blocks(() if block is None else [block], KINDS, check_rule)
    origins = {setting.key: setting.origin for setting in settings}
    restrict = [_find_path(values[RESTRICT])] if values.get(RESTRICT) is not None else []
    for key, value in words:
        if key == RESTRICT:
            check_rule(RESTRICT, value)
            restrict.append(_find_path(value))
        elif key in _CHECKS:
            number, before = _CHECKS[key](value), _number(values, key)
            if before is not None and before <= number:
                continue
            values[key] = value
        else:
            values[key] = True
        origins[key] = f"--{key} {value}" if value else f"--{key}"
    rules = Rules(
        restrict=tuple(restrict),
        allow=tuple(_find_path(text) for _, text in lists.get("allow", [])),
        deny=tuple(_find_path(text) for _, text in lists.get("deny", [])),
        is_read_only=bool(values.get(READ_ONLY)),
        is_write_only=bool(values.get(WRITE_ONLY)),
        first_port=_number(values, "escp-port"),
        n_more_ports=_number(values, "escp-portrange"),
        limit_bytes_per_s=_number(values, "limit"),
        max_files=_number(values, "max-files"),
        max_bytes=_number(values, "max-bytes"),
        max_deletions=_number(values, "max-delete"),
        max_time_s=_number(values, "max-time"),
        takes_owner=values.get("owner", True),
        takes_devices=values.get("devices", True),
        origins=origins,
    )
    if "/" in rules.deny:
        raise UsageError(
            f"{rules.who('deny')}: / leaves nothing to be done",
            "name what is out of reach; allow names all else",
        )
    if rules.is_read_only and rules.is_write_only:
        raise UsageError(
            f"{rules.who(READ_ONLY)} and {rules.who(WRITE_ONLY)} leave nothing to be done", "keep one of them"
        )
    return rules


def check_rule(key: str, text: str) -> object:
    """A value of the block by itself. Raises UsageError."""
    if key in (RESTRICT, "allow", "deny"):
        if not text.startswith(("/", "~")):
            raise UsageError(f"option --{key}: '{text}' is no absolute path", "write /data, or ~ or ~/in")
        return text
    return _CHECKS[key](text)


def _number(values: "Mapping[str, str | None]", key: str) -> int | None:
    text = values.get(key)
    return None if text is None else _CHECKS[key](text)


def _find_path(text: str) -> str:
    """As the kernel writes it, whether it is there or not; ~ is the home directory of who logs in."""
    path = os.path.expanduser(text)
    if not path.startswith("/"):
        raise UsageError(f"there is no home directory for '{text}'", "write an absolute path")
    return os.path.realpath(path)


_CHECKS: "dict[str, Callable[[str], int]]" = {
    "escp-port": lambda text: parse_count(text, "escp-port", 1, MAX_PORT),
    "escp-portrange": lambda text: parse_count(text, "escp-portrange", 0, MAX_PORT),
    "limit": parse_rate,
    "max-files": lambda text: parse_count(text, "max-files", 0, MAX_COUNT),
    "max-bytes": lambda text: parse_bytes(text, "max-bytes"),
    "max-delete": lambda text: parse_count(text, "max-delete", 0, MAX_DELETIONS),
    "max-time": lambda text: parse_time(text, "max-time", is_never=False),
}

"""What manual pages and completions say of an option besides its help: kind of value, unit, choices, side.

Values go by their placeholder (`metavar`): a new option with a known kind of value needs nothing here.
"""

from collections import namedtuple

from escp.constants import MAX_STREAMS
from escp.options.agentoptions import KEYS as KEYS_OF_EACH_END
from escp.options.values import ENGINES, FALLBACKS, MAX_PORT, TUNNEL_CHOICES


class ValueType(namedtuple("ValueType", "kind unit choices", defaults=("", ()))):
    """What may stand for a placeholder. A quantity has a unit, which the option's help must name, too."""

    __slots__ = ()
    kind: str  # in the words of escp.conf.5
    unit: str
    choices: tuple[str, ...]


VALUE_TYPES = {
    "ADDRESS": ValueType("IP address in numbers"),
    "CIPHER": ValueType("name of one of ssh's ciphers"),
    "COMMAND": ValueType("command for a shell"),
    "DAYS": ValueType("number of days, 1 to 3650", unit="days"),
    "DEST": ValueType("[USER@]HOST[:PORT], several with commas"),
    "DIR": ValueType("directory"),
    "ENGINE": ValueType("ENGINE or SENDER::RECEIVER, each", choices=ENGINES),
    "FALLBACK": ValueType("", choices=FALLBACKS),
    "FD": ValueType("number of an open file descriptor"),
    "FILE": ValueType("path"),
    "HOST": ValueType("host name or address"),
    "LIMIT": ValueType("rate in Kbit/s, or with a suffix", unit="Kbit/s"),
    "MASK": ValueType("mask, hexadecimal", unit="hexadecimal"),
    "NAMES": ValueType("number of names", unit="files and directories"),
    "MODES": ValueType("modes as for chmod, with commas"),
    "OPTION": ValueType("NAME=VALUE"),
    "PATH": ValueType("command"),
    "PATTERN": ValueType("pattern"),
    "PORT": ValueType(f"TCP port, 1 to {MAX_PORT}", unit="port"),
    "PORTS": ValueType(f"number of ports, 0 to {MAX_PORT}", unit="ports"),
    "PROGRAM": ValueType("program"),
    "SIZE": ValueType("size in bytes, or with K, M", unit="bytes"),
    "STREAMS": ValueType(f"number of TCP streams, 1 to {MAX_STREAMS}", unit="TCP streams"),
    "TIMES": ValueType("number of times, 0 to 1000", unit="times"),
    "TIME": ValueType("time in seconds, or with m, h", unit="seconds"),
    "WHEN": ValueType("", choices=TUNNEL_CHOICES),
}

# Where an option has its effect: what the other end must know is told to it (escp/jobs/orders.py,
# escp/streams/leg.py).
THIS_END = "this end"
BOTH_ENDS = "both ends"
EACH_END = "each end by its own files"
_SIDE_OF_GROUP = {
    "copying": BOTH_ENDS,
    "selecting": BOTH_ENDS,
    "attributes": BOTH_ENDS,
    "ssh": THIS_END,
    "tls": THIS_END,
    "network": BOTH_ENDS,
    "tuning": BOTH_ENDS,
    "output": THIS_END,
}
_SIDE_OF_KEY = {"null": THIS_END, "bind": THIS_END, **dict.fromkeys(KEYS_OF_EACH_END, EACH_END)}


def find_side(group: str, key: str) -> str:
    return _SIDE_OF_KEY.get(key) or _SIDE_OF_GROUP[group]


def find_value_type(action) -> ValueType | None:
    """Of the value that an option takes; None for a flag."""
    if action.nargs == 0:
        return None
    if action.metavar not in VALUE_TYPES:
        raise ValueError(f"VALUE_TYPES must say what {action.metavar} of {action.option_strings[-1]} is")
    return VALUE_TYPES[action.metavar]

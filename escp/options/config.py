"""Defaults of the options: /etc/escp.conf, then ~/.config/escp.conf, then ESCP_… in the environment.

    /etc/escp.conf ─► its hosts: blocks ─► ~/.config/escp.conf ─► its hosts: blocks ─► ESCP_… ─► flags
    weakest                                                                                  strongest

What a key is worth (`Kind`) comes from the parser, so that a new option is a new key; an agent, which must
load no argparse, brings its own few. `configfile` reads the files.
"""

from escp.errors import UsageError
from escp.lean.record import Record

TYPE_CHECKING = False  # typing would cost 4 ms before ssh can start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

PREFIX = "ESCP_"
HOSTS = "hosts"  # the key of what is for some hosts only
FORM_HINT = "escp.conf.example shows a whole file"

FLAG, CHOICE, COUNT, VALUE, LIST = "flag", "choice", "count", "value", "list"
_SHAPES = {
    FLAG: "true or false",
    CHOICE: "true or false",
    COUNT: "a number from 0 to 9, true or false",
    VALUE: "one value",
    LIST: "a value or a list of values",
}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Kind(Record):
    """How a key is used: `shape` is one of FLAG to LIST; `const` is what a FLAG or CHOICE sets `dest` to.

    A CHOICE is one of several keys that set the same `dest`: relay and direct, ipv4 and ipv6.
    """

    shape: str
    dest: str
    const: object = None
    default: object = None  # what the parser has without any configuration


class Setting(Record):
    """One key of one place. `value` is a bool, an int (COUNT), a str, a tuple (LIST), or None: no default."""

    key: str  # with dashes
    value: "Any"
    origin: str  # '/etc/escp.conf, line 3'


class Block(Record):
    """Settings for all hosts (`pattern` is None) or for those that a pattern names."""

    pattern: str | None
    settings: tuple[Setting, ...]


class Node(Record):
    """What is written for a key: kind is "scalar", "list" or "map"; a map's value is a list of pairs."""

    kind: str
    value: "Any"
    line: int
    is_plain: bool  # a scalar without quotes


def normalise_key(text: str) -> str:
    """`escp_port` and `escp-port` are the same key."""
    return text.replace("_", "-")


def variable_name(key: str) -> str:
    """The environment's name of a key: ESCP_SSH_PORT."""
    return PREFIX + key.replace("-", "_").upper()


def read_environment(environ: "Mapping[str, str]", kinds: "Mapping[str, Kind]") -> Block:
    """Settings from ESCP_… variables. Others of that prefix belong to somebody else and are passed over.

    Empty means no default, so that it takes back what a file says. A LIST has one value a line.
    """
    settings = []
    for key, kind in kinds.items():
        name = variable_name(key)
        text = environ.get(name)
        if text is None:
            continue
        node: Node | None
        if kind.shape == LIST:
            node = Node("list", [Node("scalar", one, 0, False) for one in text.splitlines() if one], 0, False)
        elif kind.shape in (FLAG, CHOICE) and text in ("0", "1"):
            node = Node("scalar", ("false", "true")[int(text)], 0, True)
        else:
            node = Node("scalar", text, 0, kind.shape != VALUE)
        value = check_shape(key, kind.shape, node, f"environment, {name}") if text else None
        settings.append(Setting(key, value, f"environment, {name}"))
    check_contradictions(settings, kinds)
    return Block(None, tuple(settings))


def select_blocks(blocks: "Iterable[Block]", hosts: "Iterable[tuple[str, str]]" = ()) -> list[Block]:
    """What counts for a command with these hosts, weakest first.

    `hosts`: of each its name and user@name as written, the most important first. Within a file a host block
    counts more than the keys outside, a later block more than an earlier one.
    """
    ordered = list(hosts)[::-1]
    selected: list[Block] = []
    own: list[Block] = []  # host blocks of the file that is being looked at

    def close_file() -> None:
        for names in ordered:
            selected.extend(block for block in own if _matches(names, block.pattern or ""))
        own.clear()

    for block in blocks:
        if block.pattern is None:
            close_file()
            selected.append(block)
        else:
            own.append(block)
    close_file()
    return selected


def merge_blocks(
    blocks: "Iterable[Block]", kinds: "Mapping[str, Kind]", check: "Callable[[str, str], object]"
) -> "tuple[dict[str, Any], dict[str, list[tuple[str, str]]]]":
    """Blocks, weakest first, as values by `dest`, and as lists of (key, text) by `dest`.

    Lists add up, the strongest block's items first, because of ssh's options and of filters the first that
    fits counts; an empty list takes back what weaker blocks said. `check` raises UsageError for a bad text.
    """
    values: dict[str, Any] = {}
    lists: dict[str, list[tuple[str, str]]] = {}
    for block in blocks:
        added: dict[str, list[tuple[str, str]]] = {}
        for key, value, origin in block.settings:
            kind = kinds[key]
            if kind.shape == LIST:
                if not value:
                    lists[kind.dest] = [item for item in lists.get(kind.dest, []) if item[0] != key]
                for text in value or ():
                    _check_value(check, key, text, origin)
                    added.setdefault(kind.dest, []).append((key, text))
                continue
            if kind.shape == VALUE and value is not None:
                _check_value(check, key, value, origin)
            if value is None:
                values[kind.dest] = kind.default
            elif kind.shape in (FLAG, CHOICE):
                chosen = _choose(kind, is_wanted=value)
                if chosen is not None:
                    values[kind.dest] = chosen
                elif values.get(kind.dest) == kind.const:
                    values[kind.dest] = kind.default
            else:
                values[kind.dest] = value
        for dest, items in added.items():
            lists[dest] = items + lists.get(dest, [])
    return values, lists


def _choose(kind: Kind, *, is_wanted: bool) -> object:
    """What a FLAG or CHOICE sets: `relay: false` means direct. None: `ipv4: false` says nothing by itself."""
    if is_wanted:
        return kind.const
    return not kind.const if isinstance(kind.const, bool) else None


def _check_value(check: "Callable[[str, str], object]", key: str, text: str, origin: str) -> None:
    try:
        check(key, text)
    except UsageError as e:
        words = str(e)
        if words.startswith("option "):
            words = words.partition(": ")[2]
        raise UsageError(f"{origin}, {key}: {words}", e.hint) from e


def _matches(names: "Iterable[str]", pattern: str) -> bool:
    from fnmatch import fnmatchcase  # hardly a run needs it

    return any(fnmatchcase(name, pattern) for name in names)


def check_shape(key: str, shape: str, node: Node, origin: str) -> "bool | int | str | tuple[str, ...]":
    """The node's value, if it is of that shape."""
    if shape == LIST:
        items = [node] if node.kind == "scalar" else node.value if node.kind == "list" else None
        if items is not None and all(_is_text(item) for item in items):
            return tuple(item.value for item in items)
    elif node.kind == "scalar":
        is_boolean = node.is_plain and node.value.lower() in _BOOLEANS
        if shape == VALUE:
            if _is_text(node):
                return str(node.value)
        elif is_boolean:
            return _BOOLEANS[node.value.lower()]
        elif shape == COUNT and len(node.value) == 1 and node.value in "0123456789":
            return int(node.value)
    shown = f"'{node.value}'" if node.kind == "scalar" and node.value else f"a {node.kind}"
    if node.kind == "scalar" and not node.value:
        shown = "nothing"
    raise UsageError(f"{origin}: {key}: {shown} is not {_SHAPES[shape]}", _hint_for(shape, node))


def _hint_for(shape: str, node: Node) -> str:
    if shape in (VALUE, LIST) and node.kind == "scalar" and node.value:
        return f"a text that looks like this stands in quotes: '{node.value}'"
    return FORM_HINT


def _is_text(node: Node) -> bool:
    """A text or number: not empty, and neither true nor false unless in quotes."""
    if node.kind != "scalar" or not node.value or "\0" in node.value:
        return False
    return not (node.is_plain and node.value.lower() in (*_BOOLEANS, "null", "~"))


def check_contradictions(settings: list[Setting], kinds: "Mapping[str, Kind]") -> None:
    chosen: dict[str, tuple[str, object]] = {}
    for key, value, origin in settings:
        kind = kinds[key]
        if kind.shape != CHOICE or value is None:
            continue
        now = _choose(kind, is_wanted=value)
        other, before = chosen.get(kind.dest, ("", None))
        if now is not None and before is not None and now != before:
            raise UsageError(f"{origin}: '{key}' contradicts '{other}'", "keep one of them")
        if now is not None:
            chosen[kind.dest] = (key, now)

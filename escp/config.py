"""Defaults of the options: /etc/escp.conf, then ~/.config/escp.conf, then ESCP_… in the environment.

    /etc/escp.conf ─► its hosts: blocks ─► ~/.config/escp.conf ─► its hosts: blocks ─► ESCP_… ─► flags
    weakest                                                                                  strongest

What a key is worth (`Kind`) comes from the parser, so that a new option is a new key; an agent, which must
load no argparse, brings its own few. Scalars are taken as they are written, not as YAML would convert them:
`cpumask: 10` is the text "10". PyYAML only splits the file into tokens, and only if there is a file: no
object is made, aliases and tags are refused, so nothing in a file can grow or run.
"""

import os
import stat

from escp.errors import UsageError, describe_errno
from escp.record import Record

TYPE_CHECKING = False  # typing would cost 4 ms before ssh can start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

SYSTEM_FILE = "/etc/escp.conf"
USER_FILE = "escp.conf"  # below $XDG_CONFIG_HOME or ~/.config
PREFIX = "ESCP_"
FILES_VARIABLE = "ESCP_CONFIG"  # names the one file to read instead of the two; empty: none
HOSTS = "hosts"
MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 4  # the file, hosts, a host, a list

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


class _Node(Record):
    """A piece of the file: kind is "scalar", "list" or "map"; a map's value is a list of pairs of nodes."""

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


def find_files(environ: "Mapping[str, str]") -> "list[tuple[str, bool]]":
    """The files to read, weakest first, each with whether it has to be there."""
    if FILES_VARIABLE in environ:
        named = environ[FILES_VARIABLE]
        return [(named, True)] if named else []
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not folder.startswith("/"):  # the XDG specification: anything else is ignored
        folder = os.path.join(os.path.expanduser("~"), ".config")
    return [(SYSTEM_FILE, False), (os.path.join(folder, USER_FILE), False)]


def read_files(
    environ: "Mapping[str, str]", kinds: "Mapping[str, Kind]", refused: "Mapping[str, str] | None" = None
) -> list[Block]:
    """All blocks of the configuration files, weakest first.

    `refused`: keys that must not be there, each with the reason. None: keys that are not among `kinds`, and
    the host blocks, are none of the caller's business and are passed over. Raises UsageError.
    """
    blocks: list[Block] = []
    for path, must_exist in find_files(environ):
        text = _read_file(path, must_exist=must_exist)
        if text.strip():
            blocks += _parse_file(path, text, kinds, refused)
    return blocks


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
        node: _Node | None
        if kind.shape == LIST:
            node = _Node(
                "list", [_Node("scalar", one, 0, False) for one in text.splitlines() if one], 0, False
            )
        elif kind.shape in (FLAG, CHOICE) and text in ("0", "1"):
            node = _Node("scalar", ("false", "true")[int(text)], 0, True)
        else:
            node = _Node("scalar", text, 0, kind.shape != VALUE)
        value = _check_shape(key, kind.shape, node, f"environment, {name}") if text else None
        settings.append(Setting(key, value, f"environment, {name}"))
    _check_contradictions(settings, kinds)
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


# ---- One file ---------------------------------------------------------------------------------------


def _read_file(path: str, *, must_exist: bool) -> str:
    """The text, "" if the file is not there. Refuses what somebody else could have written, as ssh does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as e:
        if must_exist:
            raise UsageError(f"{path}: {describe_errno(e.errno or 0)}", f"{FILES_VARIABLE} names it") from e
        return ""
    except (OSError, ValueError) as e:
        reason = describe_errno(e.errno or 0) if isinstance(e, OSError) else str(e)
        raise UsageError(f"cannot read the configuration {path}: {reason}", "") from e
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3):
                return ""  # /dev/null
            raise UsageError(f"the configuration {path} is not a file", "")
        if info.st_uid not in (0, os.geteuid()) or info.st_mode & 0o022:
            raise UsageError(
                f"others may write to the configuration {path}",
                f"it must belong to you or to root, and not be writable for others: chmod go-w {path}",
            )
        if info.st_size > MAX_FILE_BYTES:
            raise UsageError(f"the configuration {path} is larger than 1 MiB", "")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError as e:
        raise UsageError(f"cannot read the configuration {path}: {describe_errno(e.errno or 0)}", "") from e
    finally:
        os.close(fd)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8", "") from e


def _parse_file(
    path: str, text: str, kinds: "Mapping[str, Kind]", refused: "Mapping[str, str] | None"
) -> list[Block]:
    root = _load(path, text)
    if root is None:
        return []
    if root.kind != "map":
        raise UsageError(f"{path}, line {root.line}: not `key: value`", _FORM_HINT)
    general: list[Setting] = []
    blocks: list[Block] = []
    for name, node in _pairs(path, root):
        if name.value == HOSTS:
            if refused is not None:
                blocks += _parse_hosts(path, node, kinds, refused)
            continue
        general += _parse_setting(path, name, node, kinds, refused)
    _check_contradictions(general, kinds)
    return [Block(None, tuple(general)), *blocks]


def _parse_hosts(
    path: str, hosts: _Node, kinds: "Mapping[str, Kind]", refused: "Mapping[str, str]"
) -> "Iterator[Block]":
    if hosts.kind != "map":
        raise UsageError(f"{path}, line {hosts.line}: {HOSTS}: not `host: keys`", _FORM_HINT)
    for pattern, keys in _pairs(path, hosts):
        if keys.kind != "map":
            raise UsageError(
                f"{path}, line {keys.line}: {HOSTS}: '{pattern.value}' has no keys of its own", _FORM_HINT
            )
        settings: list[Setting] = []
        for name, node in _pairs(path, keys):
            settings += _parse_setting(path, name, node, kinds, refused)
        _check_contradictions(settings, kinds)
        yield Block(pattern.value, tuple(settings))


_FORM_HINT = "docs/escp.conf.example shows a whole file"


def _pairs(path: str, node: _Node) -> "Iterator[tuple[_Node, _Node]]":
    seen: dict[str, int] = {}
    for name, value in node.value:
        if name.kind != "scalar" or not name.value:
            raise UsageError(f"{path}, line {name.line}: a key is no name", _FORM_HINT)
        key = normalise_key(name.value)
        if key in seen:
            raise UsageError(
                f"{path}, line {name.line}: '{name.value}' is there twice", f"first in line {seen[key]}"
            )
        seen[key] = name.line
        yield name, value


def _parse_setting(
    path: str, name: _Node, node: _Node, kinds: "Mapping[str, Kind]", refused: "Mapping[str, str] | None"
) -> "Iterator[Setting]":
    key = normalise_key(name.value)
    origin = f"{path}, line {node.line}"
    if key not in kinds:
        if refused is None:
            return
        if key in refused:
            raise UsageError(f"{path}, line {name.line}: '{name.value}' {refused[key]}", "")
        raise UsageError(
            f"{path}, line {name.line}: there is no key '{name.value}'", _suggest(key, [*kinds, HOSTS])
        )
    if node.kind == "scalar" and node.is_plain and node.value.lower() in ("null", "~"):
        yield Setting(key, None, origin)
    else:
        yield Setting(key, _check_shape(name.value, kinds[key].shape, node, origin), origin)


def _suggest(key: str, keys: list[str]) -> str:
    from difflib import get_close_matches  # lazy: only a mistake needs it

    close = get_close_matches(key.lower(), keys, 1)
    return f"did you mean '{close[0]}'?" if close else "keys are the long options without their dashes"


def _check_shape(key: str, shape: str, node: _Node, origin: str) -> "bool | int | str | tuple[str, ...]":
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


def _hint_for(shape: str, node: _Node) -> str:
    if shape in (VALUE, LIST) and node.kind == "scalar" and node.value:
        return f"a text that looks like this stands in quotes: '{node.value}'"
    return _FORM_HINT


def _is_text(node: _Node) -> bool:
    """A text or number: not empty, and neither true nor false unless in quotes."""
    if node.kind != "scalar" or not node.value or "\0" in node.value:
        return False
    return not (node.is_plain and node.value.lower() in (*_BOOLEANS, "null", "~"))


def _check_contradictions(settings: list[Setting], kinds: "Mapping[str, Kind]") -> None:
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


# ---- YAML -------------------------------------------------------------------------------------------


def _load(path: str, text: str) -> _Node | None:
    """The one document of a YAML text as nodes. Raises UsageError with the line."""
    try:
        import yaml  # lazy: 20 ms, and only if there is a file
    except ImportError as e:
        raise UsageError(
            f"cannot read the configuration {path}: the Python package PyYAML is missing",
            "install it, or set ESCP_CONFIG to nothing: then no configuration is read",
        ) from e
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _compose(path, yaml.parse(text, Loader=loader))
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(e, "problem", None) or getattr(e, "reason", None) or "not YAML"
        raise UsageError(f"{path}{at}: {problem}", _FORM_HINT) from e


def _compose(path: str, events: "Iterable[Any]") -> _Node | None:
    """Nodes from PyYAML's events. Bounded by the file's size: no aliases, no tags, little depth."""
    roots: list[_Node] = []
    open_nodes: list[tuple[_Node, list[_Node]]] = []  # each with its children so far
    for event in events:
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if kind == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise UsageError(
                f"{path}, line {line}: anchors (&) and aliases (*) are not allowed", _QUOTES_HINT
            )
        if getattr(event, "tag", None) is not None:
            raise UsageError(f"{path}, line {line}: tags ({event.tag}) are not allowed", _QUOTES_HINT)
        if kind == "DocumentStartEvent" and roots:
            raise UsageError(f"{path}, line {line}: a second document begins", _FORM_HINT)
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(open_nodes) >= MAX_DEPTH:
                raise UsageError(f"{path}, line {line}: too deep", _FORM_HINT)
            node = _Node("map" if kind == "MappingStartEvent" else "list", [], line, False)
            open_nodes.append((node, []))
            continue
        if kind == "ScalarEvent":
            node = _Node("scalar", event.value, line, event.style in (None, ""))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            node, children = open_nodes.pop()
            pairs = zip(children[::2], children[1::2], strict=True)
            node.value.extend(pairs if node.kind == "map" else children)
        else:
            continue
        if open_nodes:
            open_nodes[-1][1].append(node)
        else:
            roots.append(node)
    return roots[0] if roots and (roots[0].kind != "scalar" or roots[0].value) else None


_QUOTES_HINT = "a value that begins with one of & * ! stands in quotes"

"""The configuration files: found, read and checked key by key, with the line in each complaint.

Scalars are taken as they are written, not as YAML would convert them: `cpumask: 10` is the text "10". PyYAML
only splits a file into tokens, and only if there is one: no object is made, aliases and tags are refused, so
nothing in a file can grow or run.
"""

import os
import stat

from escp.errors import UsageError, describe_errno
from escp.options.config import (
    FORM_HINT,
    HOSTS,
    Block,
    Node,
    Setting,
    check_contradictions,
    check_shape,
    normalise_key,
)

TYPE_CHECKING = False  # typing would cost 4 ms before ssh can start
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from escp.options.config import Kind

SYSTEM_FILE = "/etc/escp.conf"
SERVER_BLOCK = "server"  # of SYSTEM_FILE: what this host lets others do
USER_FILE = "escp.conf"  # below $XDG_CONFIG_HOME or ~/.config
FILES_VARIABLE = "ESCP_CONFIG"  # names the one file to read instead of the two; empty: none
MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 4  # the file, hosts, a host, a list
# Of KEYS in agentoptions: no rules.
_OUTSIDE = dict.fromkeys(
    ("logfile", "log-files", "cpumask", "nodemask"), f"belongs beside '{SERVER_BLOCK}:', not into it"
)
_NONE_HINT = f"{FILES_VARIABLE}= before the command reads none"
_QUOTES_HINT = "a value that begins with one of & * ! stands in quotes"


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
    environ: "Mapping[str, str]", kinds: "Mapping[str, Kind]", refused: "Mapping[str, str] | None" = None,
    wrong: list[UsageError] | None = None, unreached: list[str] | None = None,
) -> list[Block]:  # fmt: skip
    """All blocks of the configuration files, weakest first.

    `refused`: keys that must not be there, each with the reason. None: keys that are not among `kinds`, and
    the host blocks, are none of the caller's business and are passed over. *wrong* takes what is wrong with
    single keys, which are left out then. *unreached* takes the user's file where nobody can tell whether
    there is one: the home directory is another account's (`su`, cron), or its server refuses.
    Raises UsageError.
    """
    blocks: list[Block] = []
    for path, must_exist in find_files(environ):
        if path != SYSTEM_FILE and not must_exist and is_out_of_reach(path):
            if unreached is not None:
                unreached.append(path)
            continue
        text = _read_file(path, must_exist=must_exist)
        if text.strip():
            blocks += _parse_file(path, text, kinds, refused, wrong)
    return blocks


def is_out_of_reach(path: str) -> bool:
    """Whether a directory that leads there may not be entered."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return False


def read_server_block(kinds: "Mapping[str, Kind]", own: "Sequence[str]") -> Block | None:
    """What the administrator of this host says to the sessions of others, whatever the environment says.

    A key that is not among *kinds* is an error here: a rule that is misspelt must not be one that is missing.
    Nor may one be missing because the block has another name or place. *own*: keys that nothing else has.
    Raises UsageError.
    """
    text = _read_file(SYSTEM_FILE, must_exist=False)
    root = _load(SYSTEM_FILE, text) if text.strip() else None
    if root is None:
        return None
    if root.kind != "map":
        raise UsageError(f"{SYSTEM_FILE}, line {root.line}: not `key: value`", FORM_HINT)
    found: Block | None = None
    for name, block in _pairs(SYSTEM_FILE, root):
        if name.value != SERVER_BLOCK:
            _check_beside(name, block, own)
            continue
        if block.kind != "map":
            raise UsageError(f"{SYSTEM_FILE}, line {block.line}: {SERVER_BLOCK}: not `key: value`", FORM_HINT)
        settings: list[Setting] = []
        for key, node in _pairs(SYSTEM_FILE, block):
            settings += _parse_setting(SYSTEM_FILE, key, node, kinds, _OUTSIDE, others=[])
            if settings[-1].value in (None, ()):  # ~ is YAML's null: a rule must not be lost by that
                raise UsageError(
                    f"{settings[-1].origin}: {key.value}: there is no value", "~ stands in quotes: '~'"
                )
        found = Block(None, tuple(settings))
    return found


def _check_beside(name: Node, node: Node, own: "Sequence[str]") -> None:
    """Raises UsageError for rules that stand beside the block, below a host, or in a block that is none."""
    key = normalise_key(name.value).lower()
    if key == HOSTS and node.kind == "map":
        for _, keys in _pairs(SYSTEM_FILE, node):
            for inner, value in _pairs(SYSTEM_FILE, keys) if keys.kind == "map" else ():
                _check_beside(inner, value, own)
    elif key in (*own, SERVER_BLOCK) or (node.kind == "map" and key != HOSTS):
        where = f"belongs into the block '{SERVER_BLOCK}:'" if key in own else "is no block here"
        raise UsageError(
            f"{SYSTEM_FILE}, line {name.line}: '{name.value}' {where}",
            f"'{SERVER_BLOCK}:' begins a line, without blanks before it, and its keys are indented",
        )


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
        raise UsageError(f"can't read the configuration {path}: {reason}", _NONE_HINT) from e
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3):
                return ""  # /dev/null
            raise UsageError(f"the configuration {path} is not a file", _NONE_HINT)
        if info.st_uid not in (0, os.geteuid()):
            raise UsageError(
                f"the configuration {path} belongs to another user",
                f"it must belong to you or to root; {_NONE_HINT}",
            )
        if info.st_mode & 0o022:
            raise UsageError(f"others may write to the configuration {path}", f"chmod go-w {path}")
        if info.st_size > MAX_FILE_BYTES:
            raise UsageError(f"the configuration {path} is larger than 1 MiB", "")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError as e:
        raise UsageError(f"can't read the configuration {path}: {describe_errno(e.errno or 0)}", "") from e
    finally:
        os.close(fd)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        hint = "it is UTF-16, as Windows writes it: convert it with iconv" if is_wide else "write it in UTF-8"
        raise UsageError(f"{path}, line {line}: not UTF-8", hint) from e


def _parse_file(
    path: str, text: str, kinds: "Mapping[str, Kind]", refused: "Mapping[str, str] | None",
    wrong: list[UsageError] | None,
) -> list[Block]:  # fmt: skip
    root = _load(path, text)
    if root is None:
        return []
    if root.kind != "map":
        raise UsageError(f"{path}, line {root.line}: not `key: value`", FORM_HINT)
    general: list[tuple[Node, Node]] = []
    blocks: list[Block] = []
    for name, node in _pairs(path, root):
        if name.value == SERVER_BLOCK:
            if path != SYSTEM_FILE:
                raise UsageError(
                    f"{path}, line {name.line}: '{SERVER_BLOCK}' counts in {SYSTEM_FILE} only",
                    "it is for this host's administrator: take it out",
                )
            continue  # `read_server_block`
        if name.value == HOSTS:
            if refused is not None:
                blocks += _parse_hosts(path, node, kinds, refused, wrong)
            continue
        general.append((name, node))
    return [Block(None, _parse_settings(path, general, kinds, refused, wrong)), *blocks]


def _parse_settings(
    path: str, pairs: "Iterable[tuple[Node, Node]]", kinds: "Mapping[str, Kind]",
    refused: "Mapping[str, str] | None", wrong: list[UsageError] | None,
) -> tuple[Setting, ...]:  # fmt: skip
    """*wrong* takes what is wrong with each, instead of an exception for the first."""
    settings: list[Setting] = []
    for name, node in pairs:
        try:
            settings += _parse_setting(path, name, node, kinds, refused)
        except UsageError as e:
            if wrong is None:
                raise
            wrong.append(e)
    check_contradictions(settings, kinds)
    return tuple(settings)


def _parse_hosts(
    path: str, hosts: Node, kinds: "Mapping[str, Kind]", refused: "Mapping[str, str]",
    wrong: list[UsageError] | None,
) -> "Iterator[Block]":  # fmt: skip
    if hosts.kind != "map":
        raise UsageError(f"{path}, line {hosts.line}: {HOSTS}: not `host: keys`", FORM_HINT)
    for pattern, keys in _pairs(path, hosts):
        if keys.kind != "map":
            raise UsageError(
                f"{path}, line {keys.line}: {HOSTS}: '{pattern.value}' has no keys of its own", FORM_HINT
            )
        yield Block(pattern.value, _parse_settings(path, _pairs(path, keys), kinds, refused, wrong))


def _pairs(path: str, node: Node) -> "Iterator[tuple[Node, Node]]":
    seen: dict[str, int] = {}
    for name, value in node.value:
        if name.kind != "scalar" or not name.value:
            raise UsageError(f"{path}, line {name.line}: a key is no name", FORM_HINT)
        key = normalise_key(name.value)
        if key in seen:
            raise UsageError(
                f"{path}, line {name.line}: '{name.value}' is there twice", f"first in line {seen[key]}"
            )
        seen[key] = name.line
        yield name, value


def _parse_setting(
    path: str, name: Node, node: Node, kinds: "Mapping[str, Kind]", refused: "Mapping[str, str] | None",
    others: "Sequence[str]" = (HOSTS,),
) -> "Iterator[Setting]":  # fmt: skip
    key = normalise_key(name.value)
    origin = f"{path}, line {node.line}"
    if key not in kinds:
        if refused is None:
            return
        if key in refused:
            raise UsageError(f"{path}, line {name.line}: '{name.value}' {refused[key]}", "")
        raise UsageError(
            f"{path}, line {name.line}: there is no key '{name.value}'", _suggest(key, [*kinds, *others])
        )
    if node.kind == "scalar" and node.is_plain and node.value.lower() in ("null", "~"):
        yield Setting(key, None, origin)
    else:
        yield Setting(key, check_shape(name.value, kinds[key].shape, node, origin), origin)


def _suggest(key: str, keys: list[str]) -> str:
    from escp.options.habits import find_close  # lazy: only a mistake needs it

    close = find_close(key, keys)
    return f"did you mean '{close}'?" if close else "keys are the long options without their dashes"


# ---- YAML -------------------------------------------------------------------------------------------


def _load(path: str, text: str) -> Node | None:
    """The one document of a YAML text as nodes. Raises UsageError with the line."""
    from escp.options.plainyaml import YamlError, load_yaml, read_events  # lazy: only if there is a file

    yaml = load_yaml(
        f"the configuration {path}",
        "install it, or set ESCP_CONFIG to nothing: then no configuration is read",
    )
    try:
        return _compose(path, read_events(yaml, text))
    except YamlError as e:
        at = f", line {e.line}" if e.line is not None else ""
        raise UsageError(f"{path}{at}: {e}", e.hint or FORM_HINT) from e


def _compose(path: str, events: "Iterable[tuple[str, Any, int]]") -> Node | None:
    """Nodes from PyYAML's events. Bounded by the file's size: no aliases, no tags, little depth."""
    roots: list[Node] = []
    open_nodes: list[tuple[Node, list[Node]]] = []  # each with its children so far
    for kind, event, line in events:
        if kind == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise UsageError(
                f"{path}, line {line}: anchors (&) and aliases (*) are not allowed", _QUOTES_HINT
            )
        if getattr(event, "tag", None) is not None:
            raise UsageError(f"{path}, line {line}: tags ({event.tag}) are not allowed", _QUOTES_HINT)
        if kind == "DocumentStartEvent" and roots:
            raise UsageError(f"{path}, line {line}: a second document begins", FORM_HINT)
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(open_nodes) >= MAX_DEPTH:
                raise UsageError(f"{path}, line {line}: too deep", FORM_HINT)
            node = Node("map" if kind == "MappingStartEvent" else "list", [], line, False)
            open_nodes.append((node, []))
            continue
        if kind == "ScalarEvent":
            node = Node("scalar", event.value, line, event.style in (None, ""))
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

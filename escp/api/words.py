"""A call's arguments as the command line's words: so both have the same options, checked in one place."""

import os
from collections.abc import Iterable, Mapping
from typing import SupportsFloat, SupportsIndex

from escp.errors import UsageError
from escp.options.options import Options, parse_options
from escp.options.parser import build_parser

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

# They are about the command's terminal, its output or its process.
FOR_COMMANDS = frozenset(
    "quiet verbose bits itemize stats json json_fd metrics notify retry fallback cpumask nodemask server "
    "selftest doctor licence version help clean_agents check listen make_ca make_cert revoke days "
    "show_config check_config".split()
)

# They are about how it is logged in to a host: of a connection, not of one copy.
OF_LOGINS = frozenset(
    "ssh_port identity ssh_config jump ssh_cipher ssh_option ssh forward_agent batch escp push_agent "
    "agent_tree embedded logfile tls_dir".split()
)
NOT_OF_CONNECTIONS = frozenset("direct relay filelist null".split())  # other hosts are none of its business


def check_options(named: Iterable[str], allowed: frozenset[str], call: str) -> None:
    """Raises UsageError for an option that there is not, or that means nothing for *call*."""
    keys = build_parser().list_keys()
    for name in named:
        if name not in allowed and name.replace("_", "-") not in keys:
            raise UsageError(f"there is no option {name}", "api.md has those that there are")
        if name not in allowed:
            raise UsageError(f"option {name}: {call} has no use for it", "leave it out")


def _to_word(path: Path) -> str:
    """*path* as an operand. A pathlib.Path is one of this host, whatever its name looks like."""
    text = os.fsdecode(path)
    if isinstance(path, str | bytes) or os.path.isabs(text):
        return text
    return os.path.join(".", text)


def _to_words(name: str, value: object, *, takes_value: bool) -> list[str]:
    """Raises UsageError for what would be another word than it looks like."""
    option = "--" + name.replace("_", "-")
    if value is None or value is False:
        return []
    if value is True:
        if takes_value:  # or the next word would be its value: an option, or an operand's `--`
            raise UsageError(f"option {name}: True is no value", "give it one, or leave it out")
        return [option]
    if isinstance(value, str | bytes | os.PathLike):
        text = os.fsdecode(value)
        if "\0" in text:
            raise UsageError(f"option {name}: a NUL byte is in its value", "no command line can hold it")
        return [f"{option}={text}"]
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytearray | memoryview):
        return [word for one in value for word in _to_words(name, one, takes_value=takes_value)]
    if not isinstance(value, SupportsIndex | SupportsFloat):  # numpy's numbers are these
        raise UsageError(f"option {name}: {type(value).__name__} is no value", "give it text or a number")
    if name == "chmod":  # 0o644 would be read as 420
        raise UsageError("option chmod: a number is no mode", "write it as text: '644'")
    return [f"{option}={value}"]


def read_call(sources: Path | Iterable[Path], target: Path, named: Mapping[str, object]) -> Options:
    """The options of a call, with their defaults from the configuration. Raises UsageError."""
    words = []
    keys = build_parser().list_keys()
    for name, value in named.items():
        if name in FOR_COMMANDS:
            raise UsageError(f"option {name}: it is the command's, not a program's", "leave it out")
        if "-" in name or name.replace("_", "-") not in keys:
            raise UsageError(f"there is no option {name}", "escp --help lists them; write _ for their -")
        takes_value = keys[name.replace("_", "-")].nargs != 0
        words += _to_words(name, value, takes_value=takes_value)
    if isinstance(sources, str | bytes | os.PathLike):
        sources = [sources]
    elif not isinstance(sources, Iterable):
        raise TypeError(f"sources: a path, or several of them, not {type(sources).__name__}")
    operands = [_to_word(path) for path in (*sources, target)]
    if len(operands) == 1 and not named.get("filelist"):
        raise UsageError("there are no sources", "name one at least")
    for word in operands:
        if "\0" in word:  # no command line can hold it
            shown = word.replace("\0", "\\0")
            raise UsageError(f"the path '{shown}' holds a NUL byte", "no file has such a name")
    options = parse_options([*words, "--", *operands])
    if options.reads_standard_input or options.writes_standard_output or options.filelist == "-":
        raise UsageError(
            "standard input and output are the program's own", "write ./- for a file of that name"
        )
    return options

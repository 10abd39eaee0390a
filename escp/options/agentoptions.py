"""What an agent takes from its own side: the words before `--server`, and its host's configuration files.

It takes nothing from the initiator's messages. Who may log in may copy files; which CPUs this host gives, and
where its log is written, is for this host's user to say. It loads no argparse, and PyYAML only if there is a
file: an agent must start fast.
"""

import os

from escp.constants import EMBEDDED, SERVER
from escp.errors import EscpError, UsageError
from escp.lean.record import Record
from escp.options import config, configfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from escp.options.rules import Rules

_VALUES, LOG_FILES = ("cpumask", "nodemask", "logfile"), "log-files"
KEYS = (*_VALUES, LOG_FILES)  # of the files' keys; the others are the initiator's affair
RESTRICT = "restrict"
RULE_NUMBERS = ("limit", "max-files", "max-bytes", "max-delete", "max-time")
# Of a forced command, or of a certificate: options/rules.
RULE_WORDS = (RESTRICT, "read-only", "write-only", *RULE_NUMBERS)
RULE_FLAGS = ("--read-only", "--write-only")
_KINDS = {key: config.Kind(config.VALUE, key) for key in _VALUES}
_KINDS[LOG_FILES] = config.Kind(config.FLAG, LOG_FILES, True, False)


class AgentOptions(Record):
    """What the agent's own side asked for."""

    cpumask: int | None  # bits
    nodemask: int | None
    logfile: str | None  # a path or LOCAL0 to LOCAL7
    is_embedded: bool
    is_logfile_configured: bool = False  # by a file, not by its words
    logs_files: bool = False
    rules: "Rules | None" = None  # what this host forbids a session


def parse_agent_options(argv: "Sequence[str]", environ: "Mapping[str, str]") -> AgentOptions:
    """The agent's options: its words, else its files'. Raises UsageError, which the initiator can be told."""
    try:
        words, own = _parse_words(argv)
        rules = _find_rules(own)
        blocks = config.select_blocks(configfile.read_files(environ, _KINDS))
        values, _ = config.merge_blocks(blocks, _KINDS, _check)
    except EscpError as e:
        raise UsageError(f"the remote escp's own options: {e}", e.hint) from e
    if values.get("logfile") is not None:
        values["logfile"] = os.path.expanduser(values["logfile"])
    values.update(words)
    if LOG_FILES in words and values.get("logfile") is None:
        raise UsageError(
            f"the remote escp's own options: option --{LOG_FILES}: there is no log",
            "write --logfile FILE, too",
        )
    return AgentOptions(
        cpumask=_read_mask("cpumask", values.get("cpumask")),
        nodemask=_read_mask("nodemask", values.get("nodemask")),
        logfile=values.get("logfile"),
        is_embedded=EMBEDDED in argv,
        is_logfile_configured="logfile" not in words and values.get("logfile") is not None,
        logs_files=bool(values.get(LOG_FILES)),
        rules=rules,
    )


def _find_rules(own: "Sequence[tuple[str, str]]") -> "Rules | None":
    """Of the words, and of this host's file."""
    if not own and not os.path.lexists(configfile.SYSTEM_FILE):
        return None
    from escp.options import rules  # lazy: most hosts forbid nothing

    return rules.make_rules(configfile.read_server_block(rules.KINDS, rules.OWN_KEYS), own)


def _parse_words(argv: "Sequence[str]") -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What the agent is told to do, and what it may not do."""
    words: dict[str, str] = {}
    rules: list[tuple[str, str]] = []
    left = iter(argv)
    for word in left:
        if word in (SERVER, EMBEDDED):
            continue
        name, has_value, value = word.partition("=")
        key = name.removeprefix("--")
        if word in RULE_FLAGS:
            rules.append((key, ""))
            continue
        if word == f"--{LOG_FILES}":
            words[LOG_FILES] = "true"
            continue
        if (key not in _VALUES and key not in (RESTRICT, *RULE_NUMBERS)) or name == key:
            known = ", ".join(f"--{one}" for one in (*KEYS, *RULE_WORDS))
            raise UsageError(f"'{word}' is not for the agent", f"it takes {known}")
        value = value if has_value else next(left, "")
        if not value or value == SERVER:
            raise UsageError(f"option {name} needs a value")
        if key in _VALUES:
            _check(key, value)
            words[key] = value
        else:
            rules.append((key, value))
    return words, rules


def _read_mask(key: str, text: str | None) -> int | None:
    if text is None:
        return None
    from escp.options.values import parse_mask  # not at the top: most agents have none

    return parse_mask(text, f"--{key}")


def _check(key: str, text: str) -> object:
    from escp.options.values import check_logfile, parse_mask  # not at the top, as above

    return check_logfile(text) if key == "logfile" else parse_mask(text, f"--{key}")

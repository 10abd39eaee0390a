"""For `--show-config` and `--check-config`: each option's value and where it comes from; what is wrong."""

import os

from escp.errors import UsageError
from escp.lean.record import Record
from escp.options import config, configfile, rules
from escp.options.grammar import Words
from escp.options.keys import NOT_CONFIGURABLE, list_kinds
from escp.options.operands import find_hosts, read_operands
from escp.options.options import merge_words
from escp.options.parser import build_parser
from escp.options.values import check_setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from escp.options.grammar import OptionParser

COMMAND_LINE, DEFAULT = "command line", "default"


class Shown(Record):
    """A key of the configuration; *value* is a bool, an int, a str, a list of str, or None: not set."""

    name: str
    value: object
    origin: str


def list_settings(argv: list[str]) -> list[Shown]:
    """What would count for a command with these options, and with the host that stands in place of operands.

    Raises UsageError.
    """
    parser = build_parser()
    command = parser.split_options(argv)
    kinds = list_kinds(parser)
    hosts = find_hosts(read_operands(command))
    if len(command.operands) > 1 or len(hosts) != len(command.operands):
        raise UsageError("option --show-config: name one host, or none", "escp --show-config [[user@]host]")
    blocks = [
        *config.select_blocks(configfile.read_files(os.environ, kinds, NOT_CONFIGURABLE), hosts),
        config.read_environment(os.environ, kinds),
    ]
    values = vars(merge_words(parser, command.options, blocks, kinds))
    origins = _find_origins(parser, command, blocks, kinds)
    shown = []
    for key, kind in sorted(kinds.items()):
        value = values[kind.dest]
        if kind.shape == config.LIST:
            value = [one[1] if isinstance(one, tuple) else one for one in value if _is_of(key, one)]
        elif kind.shape == config.CHOICE:
            value = value == kind.const
        shown.append(Shown(key, value, ", ".join(origins.get(_origin_key(key, kind), [DEFAULT]))))
    block = configfile.read_server_block(rules.KINDS, rules.OWN_KEYS)
    for setting in block.settings if block is not None else ():
        value = list(setting.value) if isinstance(setting.value, tuple) else setting.value
        shown.append(Shown(f"{configfile.SERVER_BLOCK}.{setting.key}", value, setting.origin))
    return shown


def _is_of(key: str, item: object) -> bool:
    """--include and --exclude are one list."""
    return not isinstance(item, tuple) or item[0] == (key == "include")


def _origin_key(key: str, kind: config.Kind) -> str:
    return key if kind.shape == config.LIST else kind.dest


def _find_origins(
    parser: "OptionParser", command: Words, blocks: list[config.Block], kinds: dict[str, config.Kind]
) -> dict[str, list[str]]:
    """By `dest`, or of a list by its key: the place whose value counts; of a list all that add to it."""
    origins: dict[str, list[str]] = {}
    for block in blocks:
        for key, value, origin in block.settings:
            name = _origin_key(key, kinds[key])
            is_adding = kinds[key].shape == config.LIST and bool(value)
            origins[name] = [*(origins.get(name, []) if is_adding else []), origin]
    own = parser.list_keys()
    names = {one: key for key, action in own.items() for one in action.option_strings}
    for word in command.options:
        key = names.get(word.partition("=")[0]) or names.get(word[:2], "")
        if key in kinds:
            name = _origin_key(key, kinds[key])
            is_adding = kinds[key].shape == config.LIST
            before = [one for one in origins.get(name, []) if one != COMMAND_LINE] if is_adding else []
            origins[name] = [*before, COMMAND_LINE]
    return origins


def check_files() -> tuple[list[tuple[str, str]], list[UsageError]]:
    """Each place that is read, with what was found there, and all that is wrong with it."""
    kinds = list_kinds(build_parser())
    found: list[tuple[str, str]] = []
    wrong: list[UsageError] = []
    files = configfile.find_files(os.environ)
    if not files:
        found.append((configfile.FILES_VARIABLE, "no file is read"))
    for path, must_exist in files:
        if not must_exist and not os.path.lexists(path):
            is_lost = path != configfile.SYSTEM_FILE and configfile.is_out_of_reach(path)
            found.append((path, "can't be reached: permission denied" if is_lost else "not there"))
            continue
        _check(path, lambda path=path: _read_only(path, kinds, wrong), kinds, found, wrong)  # type: ignore[misc]
    if not wrong and os.path.lexists(configfile.SYSTEM_FILE):
        _check(f"{configfile.SYSTEM_FILE}, {configfile.SERVER_BLOCK}", _read_rules, rules.KINDS, found, wrong,
               rules.check_rule)  # fmt: skip
    _check("environment", lambda: [config.read_environment(os.environ, kinds)], kinds, found, wrong)
    return found, wrong


def _read_rules() -> list[config.Block]:
    block = configfile.read_server_block(rules.KINDS, rules.OWN_KEYS)
    rules.make_rules(block, ())
    return [] if block is None else [block]


def _read_only(path: str, kinds: dict[str, config.Kind], wrong: list[UsageError]) -> list[config.Block]:
    return configfile.read_files({configfile.FILES_VARIABLE: path}, kinds, NOT_CONFIGURABLE, wrong)


def _check(
    place: str, read: "Callable[[], list[config.Block]]", kinds: dict[str, config.Kind],
    found: list[tuple[str, str]], wrong: list[UsageError],
    check: "Callable[[str, str], object]" = check_setting,
) -> None:  # fmt: skip
    before = len(wrong)
    n = 0
    try:
        for block in read():
            for setting in block.settings:
                n += 1
                try:
                    config.merge_blocks([config.Block(None, (setting,))], kinds, check)
                except UsageError as e:
                    wrong.append(e)
    except UsageError as e:
        wrong.append(e)
    found.append((place, f"{n} setting{'s' if n != 1 else ''}" if len(wrong) == before else "wrong"))

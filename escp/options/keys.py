"""Which options the configuration may set, and of which kind their values are."""

from escp.lean.untranslated import argparse
from escp.options import config
from escp.options.grammar import OptionParser

# Why a long option is no key of the configuration.
_FOR_ONE_COMMAND = "is for one command: write it there"
NOT_CONFIGURABLE = {
    "filelist": _FOR_ONE_COMMAND,
    "delete": _FOR_ONE_COMMAND,
    "manifest": _FOR_ONE_COMMAND,
    "check": _FOR_ONE_COMMAND,
    "no-target-directory": _FOR_ONE_COMMAND,
    "embedded": _FOR_ONE_COMMAND,
    "json-fd": _FOR_ONE_COMMAND,
    "clean-agents": _FOR_ONE_COMMAND,
    "listen": _FOR_ONE_COMMAND,
    "make-ca": _FOR_ONE_COMMAND,
    "make-cert": _FOR_ONE_COMMAND,
    "revoke": _FOR_ONE_COMMAND,
    "days": _FOR_ONE_COMMAND,
    "help": _FOR_ONE_COMMAND,
    "show-config": _FOR_ONE_COMMAND,
    "check-config": _FOR_ONE_COMMAND,
    "version": _FOR_ONE_COMMAND,
    "licence": _FOR_ONE_COMMAND,
    "selftest": _FOR_ONE_COMMAND,
    "doctor": _FOR_ONE_COMMAND,
    "server": "is what escp calls itself with: it can't be set",
}


def list_kinds(parser: OptionParser) -> dict[str, config.Kind]:
    """The keys that a configuration may have, made from the parser's options."""
    return {
        key: config.Kind(_find_shape(action), action.dest, action.const, parser.get_default(action.dest))
        for key, action in parser.list_keys().items()
        if key not in NOT_CONFIGURABLE
    }


def _find_shape(action: argparse.Action) -> str:
    if action.nargs != 0:
        return config.LIST if isinstance(action, argparse._AppendAction) else config.VALUE
    if isinstance(action, argparse._CountAction):
        return config.COUNT
    return config.FLAG if isinstance(action, argparse._StoreTrueAction) else config.CHOICE

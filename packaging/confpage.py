"""The text of escp.conf.5: each key from the parser's options, the rest from escp.conf.inc."""

import re
from argparse import Action
from pathlib import Path

from argparse_manpage.compat import get_reproducible_date
from optiontable import find_side, find_value_type
from roff import bold, escape

from escp import __version__
from escp.options import config
from escp.options.grammar import OptionParser
from escp.options.keys import NOT_CONFIGURABLE, list_kinds
from escp.options.parser import build_parser

INCLUDE = Path(__file__).resolve().with_name("escp.conf.inc")
KEYS_MARK, EXCEPTIONS_MARK = "[keys]\n", "[exceptions]"
_FORMS = {
    config.FLAG: "flag",
    config.CHOICE: "flag",
    config.COUNT: "number from 0 to 9, or flag",
    config.VALUE: "{}",
    config.LIST: "{}, or a list of them",
}


def build_conf_page() -> str:
    exceptions = ", ".join(sorted(bold(key) for key in NOT_CONFIGURABLE if key != "server"))
    before, after = INCLUDE.read_text().replace(EXCEPTIONS_MARK, exceptions).split(KEYS_MARK)
    date = get_reproducible_date()
    header = f'.TH ESCP.CONF "5" "{date}" "escp {__version__}" "File Formats"\n'
    return header + before + "\n".join(_format_keys(build_parser())) + "\n" + after


def _format_keys(parser: OptionParser) -> list[str]:
    """A paragraph for each key, in the groups and the order of `--help`."""
    kinds = list_kinds(parser)
    lines = []
    for group in parser._action_groups:
        keys = [
            (key, action)
            for key, action in parser.list_keys().items()
            if action in group._group_actions and key in kinds
        ]
        if keys:
            lines.append(f".SS {group.title}")
        for key, action in keys:
            names = ", ".join(bold(name) for name in action.option_strings)
            side = find_side(group.title, key)
            lines += [".TP", f"{bold(key)} ({names})", *_describe(action, kinds[key], side)]
    return lines


def _describe(action: Action, kind: config.Kind, side: str) -> list[str]:
    text, default = split_help(action.help % vars(action))
    if kind.shape in (config.FLAG, config.CHOICE):
        default = "true" if kind.const == kind.default else "false"
    elif kind.shape == config.COUNT:
        default = "0"
    value = find_value_type(action)
    form = _FORMS[kind.shape]
    if value is not None:
        choices = " or ".join(filter(None, [", ".join(value.choices[:-1]), *value.choices[-1:]]))
        form = form.format(f"{value.kind} {choices}".strip())
    return [escape(text), ".br", escape(f"Value: {form}."), escape(f"Default: {default}."),
            escape(f"Applies to: {side}.")]  # fmt: skip


def split_help(text: str) -> tuple[str, str]:
    """An option's help without its default, and the default: 'number of TCP streams', '4'."""
    match = re.search(r" ?\((?:([^()]*); )?default: ((?:[^()]|\([^()]*\))*)\)", text)
    if match is None:
        return text, ""
    more = f" ({match[1]})" if match[1] else ""
    return text[: match.start()] + more + text[match.end() :], match[2]

"""Writes dist/man/escp.1 and dist/man/escp.conf.5, from the parser and the tables of the code.

    escp/options/parser.py  escp/errors.py  escp.inc ──► argparse-manpage ──► escp.1
    escp/options/parser.py  optiontable.py  escp.conf.inc ──► confpage.py ──► escp.conf.5

Run by `build.py man` with .venv's Python; nothing compiled is needed. $SOURCE_DATE_EPOCH gives the date.
"""

import sys
from pathlib import Path

from argparse_manpage.manpage import Manpage
from confpage import build_conf_page
from folder import read_folder
from roff import bold, escape, mark_placeholders

from escp import __version__
from escp.errors import EXIT_MEANINGS
from escp.options.config import variable_name
from escp.options.grammar import OptionParser
from escp.options.keys import list_kinds
from escp.options.parser import USAGE, build_parser

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "dist" / "man"  # unless the command names another folder
SUMMARY = "copy files between hosts over several encrypted TCP streams, and verify them"
_HELP = "--HELP"  # argparse-manpage leaves out what is called --help


def build_command_page() -> str:
    parser = build_parser()
    parser.description = parser.epilog = None  # escp.inc says it in more words
    for action in parser._actions:
        if action.help[0] in ".'":
            raise ValueError(f"argparse-manpage would lose this help: {action.help!r}")
        action.option_strings = [_HELP if name == "--help" else name for name in action.option_strings]
    settings = {
        "project_name": "escp",
        "version": __version__,
        "manual_title": "User Commands",
        "description": SUMMARY,
        "include": str(HERE / "escp.inc"),
    }
    page = Manpage(parser, settings)
    page.add_section("synopsis", "=", _format_synopsis())
    page.add_section("exit status", "=", _format_exit_status())
    page.add_section("environment", ">", _format_variables())
    text = str(page).replace(escape(_HELP), escape("--help")).replace(r"\-\-\-help", r"\-\-help")
    lines = [_mend_line(line) for line in text.splitlines()]
    lines[0] = lines[0].replace("\\-", "-")  # mandoc can't read the date otherwise
    return "\n".join(_nest_groups(lines, parser)) + "\n"


def _format_synopsis() -> str:
    """The usage lines without what they say about the direction: DESCRIPTION has it."""
    forms = [line.strip().split("   ")[0] for line in USAGE.splitlines()]
    return "\n.br\n".join(map(mark_placeholders, forms))


def _format_exit_status() -> str:
    items = [f".TP 8\n{bold(str(code))}\n{escape(meaning)}" for code, meaning in EXIT_MEANINGS.items()]
    return "\n".join([".PD 0", *items, ".PD"])


def _format_variables() -> str:
    names = sorted(variable_name(key) for key in list_kinds(build_parser()))
    return "\n.PP\n" + ",\n".join(map(bold, names)) + "."


def _mend_line(line: str) -> str:
    """argparse-manpage escapes only backslashes and dashes."""
    if line.startswith((".", "'")):
        return line
    return line.replace("~", "\\(ti").replace("^", "\\(ha").replace("`", "\\(ga")


def _nest_groups(lines: list[str], parser: OptionParser) -> list[str]:
    """The groups of options as parts of OPTIONS: argparse-manpage makes each a section of its own."""
    titles = [group.title for group in parser._action_groups if group.title and group.title != "operands"]
    nested = []
    for line in lines:
        title = line.removeprefix(".SH ").lower()
        if line.startswith(".SH ") and title in titles:
            line = f".SS {title[0].upper()}{title[1:]}" if title != "ssh" else ".SS ssh"
            if ".SH OPTIONS" not in nested:
                nested.append(".SH OPTIONS")
        if line:  # a blank line is vertical space, and .TP brings its own
            nested.append(line)
    return nested


def main() -> None:
    out = read_folder(__doc__, OUT)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("escp.1", build_command_page()), ("escp.conf.5", build_conf_page())):
        (out / name).write_text(text)
        sys.stdout.write(f"{out / name}\n")


if __name__ == "__main__":
    main()

"""Writes dist/completions/: escp (bash), _escp (zsh) and escp.fish, from the parser and completions/escp.*.

Not by shtab (1.13): its files complete no `--tunnel=au` in bash and no hosts anywhere, and offer options
after the first operand, where escp takes none. Run by `build.py man`; nothing compiled is needed.
"""

import re
import sys
from argparse import Action, _AppendAction, _CountAction
from pathlib import Path

from confpage import split_help
from folder import read_folder
from optiontable import find_value_type

from escp.options.parser import build_parser

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "dist" / "completions"  # unless the command names another folder
SHELLS = {"bash": "escp", "zsh": "_escp", "fish": "escp.fish"}  # with the name that its file has to have

# What completes the value of a placeholder. Where it is not here and there are no choices, nothing does.
_BASH = {
    "FILE": "_filedir",
    "DIR": "_filedir -d",
    "PROGRAM": 'COMPREPLY=($(compgen -c -- "$cur"))',
    "PATH": 'COMPREPLY=($(compgen -c -- "$cur"))',
    "HOST": '_known_hosts_real -a -- "$cur"',
    "DEST": '_known_hosts_real -a -- "$cur"',
    "CIPHER": 'COMPREPLY=($(compgen -W "$(ssh -Q cipher 2>/dev/null)" -- "$cur"))',
}
_ZSH = {
    "FILE": "_files",
    "DIR": "_files -/",
    "PROGRAM": "_command_names -e",
    "PATH": "_command_names -e",
    "HOST": "_ssh_hosts",
    "DEST": "_ssh_hosts",
    "CIPHER": '{compadd - ${(f)"$(_call_program ciphers ssh -Q cipher)"}}',
}
_FISH = {
    "FILE": "-rF",
    "DIR": "-xa '(__fish_complete_directories)'",
    "PROGRAM": "-xa '(__fish_complete_command)'",
    "PATH": "-xa '(__fish_complete_command)'",
    "HOST": "-xa '(__fish_print_hostnames)'",
    "DEST": "-xa '(__fish_complete_user_at_hosts)'",
    "CIPHER": "-xa '(ssh -Q cipher 2>/dev/null)'",
}


def build_completion(shell: str) -> str:
    template = (HERE / "completions" / f"escp.{shell}").read_text()
    actions = [
        action
        for action in build_parser()._actions
        if action.option_strings and not action.help.startswith(("accepted because", "==SUPPRESS=="))
    ]
    return template % {"bash": _fill_bash, "zsh": _fill_zsh, "fish": _fill_fish}[shell](actions)


def _describe(action: Action) -> str:
    """The beginning of the option's help, one short line."""
    text, _ = split_help(action.help % vars(action))
    return re.split(r"[;:]| \(", text)[0]


def _find_choices(action: Action) -> str:
    value = find_value_type(action)
    return " ".join(value.choices) if value else ""


# --- bash -----------------------------------------------------------------------------------------


def _fill_bash(actions: list[Action]) -> dict[str, str]:
    takers = [action for action in actions if action.nargs != 0]
    flags = "".join(sorted(_letters([action for action in actions if action.nargs == 0])))
    by_command: dict[str, list[Action]] = {}
    for action in takers:
        choices = _find_choices(action)
        command = (
            f"COMPREPLY=($(compgen -W '{choices}' -- \"$cur\"))" if choices else _BASH.get(action.metavar)
        )
        if command:
            by_command.setdefault(command, []).append(action)
    cases = [
        f"        {_match(some, flags)})\n            {command}\n            return\n            ;;"
        for command, some in by_command.items()
    ]
    options = " ".join(name for action in actions for name in action.option_strings)
    return {"values": "\n".join(cases), "valued": _match(takers, flags), "options": options}


def _match(takers: list[Action], flags: str) -> str:
    """A pattern for the word before a value: a long option, or letters of which the last takes it (-rP)."""
    long = [name for action in takers for name in action.option_strings if name.startswith("--")]
    letters = _letters(takers)
    return " | ".join([*([f"-*([{flags}])[{letters}]"] if letters else []), *long])


def _letters(actions: list[Action]) -> str:
    return "".join(name[1] for action in actions for name in action.option_strings if len(name) == 2)


# --- zsh ------------------------------------------------------------------------------------------


def _fill_zsh(actions: list[Action]) -> dict[str, str]:
    return {"options": "\n".join(f"  {_format_zsh(action)} \\" for action in actions)}


def _format_zsh(action: Action) -> str:
    """'(-P --ssh-port)'{-P+,--ssh-port=}'[port of the remote ssh server]:PORT: '"""
    names = action.option_strings
    rest = "[" + re.sub(r"([][:\\])", r"\\\1", _describe(action)) + "]"
    if action.nargs != 0:
        choices = _find_choices(action)
        rest += f":{action.metavar}:" + (f"({choices})" if choices else _ZSH.get(action.metavar, " "))
        names = [name + ("=" if name.startswith("--") else "+") for name in names]
    may_repeat = isinstance(action, _AppendAction | _CountAction)
    before = "*" if may_repeat else f"({' '.join(action.option_strings)})"
    if len(names) == 1:
        return _quote(before + names[0] + rest)
    return f"{_quote(before)}{{{','.join(names)}}}{_quote(rest)}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish -----------------------------------------------------------------------------------------


def _fill_fish(actions: list[Action]) -> dict[str, str]:
    return {"options": "\n".join(map(_format_fish, actions))}


def _format_fish(action: Action) -> str:
    words = ["complete -c escp"]
    for name in action.option_strings:
        words.append(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}")
    if action.nargs != 0:
        choices = _find_choices(action)
        words.append(f"-xa '{choices}'" if choices else _FISH.get(action.metavar, "-x"))
    description = _describe(action).replace("\\", "\\\\").replace("'", "\\'")
    return " ".join([*words, f"-d '{description}'"])


def main() -> None:
    out = read_folder(__doc__, OUT)
    out.mkdir(parents=True, exist_ok=True)
    for shell, name in SHELLS.items():
        (out / name).write_text(build_completion(shell))
        sys.stdout.write(f"{out / name}\n")


if __name__ == "__main__":
    main()

"""How a command line is taken apart: scp's manners on top of argparse. `parser` has the options."""

from escp.errors import UsageError
from escp.lean.record import Record
from escp.lean.untranslated import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn


class UnknownOption(UsageError):
    """*word*: the word of the command line in which the option stands."""

    def __init__(self, name: str, word: str):
        super().__init__(f"unknown option {name}")
        self.name = name
        self.word = word


class Words(Record):
    """A command line, taken apart."""

    options: list[str]  # each with its value: -t8, --parallel=8
    operands: list[str]
    is_ended: bool  # by `--`, so that operands may begin with a dash
    written: dict[str, str]  # an option's full name -> how the user wrote it
    taken: "tuple[str, str] | None"  # the last option that took the word behind it, and that word


class OptionParser(argparse.ArgumentParser):
    """argparse with scp's manners: the first operand ends the options, and errors are `UsageError`."""

    def parse_command(self, argv: list[str]) -> argparse.Namespace:
        """Parse `argv` (without the program's name). Every word from the first operand on is an operand.

        So a file called `-r.txt` among the results of a shell pattern stays a file.
        """
        words = self.split_options(argv)
        namespace = self.parse_args(words.options)
        namespace.operands = words.operands
        return namespace

    def list_keys(self) -> dict[str, argparse.Action]:
        """The options by their long names without dashes, as the configuration calls them."""
        keys = {}
        for action in self._actions:
            for name in action.option_strings:
                if name.startswith("--"):
                    keys[name[2:].replace("_", "-")] = action
        return keys

    def error(self, message: str) -> "NoReturn":
        raise UsageError(message)

    def split_options(self, argv: list[str]) -> Words:
        """Options, each in a word of its own together with its value; then the operands.

        In long names a dash and an underscore are the same. argparse would let options follow operands,
        refuse values that begin with a dash, and call the z in `-rz` an "ignored explicit argument".
        """
        words: list[str] = []
        written: dict[str, str] = {}
        taken: tuple[str, str] | None = None
        left = iter(argv)
        for word in left:
            if word == "--":
                return Words(words, list(left), True, written, taken)
            if word == "-" or not word.startswith("-"):
                return Words(words, [word, *left], False, written, taken)
            if word.startswith("--"):
                own, has_value, value = word.partition("=")
                name = self._find_name(own, word)
                written[name] = own
                if not self._takes_value(name):
                    if has_value:
                        raise UsageError(f"option {name} takes no value")
                    words.append(name)
                    continue
                found = _find_value(name, value if has_value else None, left)
                words.append(f"{name}={found}")
                taken = taken if has_value else (name, found)
                continue
            for at, letter in enumerate(word[1:], 2):
                name = self._find_name("-" + letter, word)
                if self._takes_value(name):
                    found = _find_value(name, word[at:] or None, left)
                    words.append(name + found)
                    taken = taken if word[at:] else (name, found)
                    break
                words.append(name)
        return Words(words, [], False, written, taken)

    def find_spellings(self, name: str) -> list[str]:
        """All names of the option that is called *name*; "": the names of all options."""
        action = self._option_string_actions.get(name)
        found = action.option_strings if action is not None else [] if name else self._option_string_actions
        return list(found)

    def _find_name(self, name: str, word: str) -> str:
        """The option's full name."""
        known = self._option_string_actions
        if name in known:
            return name
        for one in known if name.startswith("--") else ():
            if one.replace("_", "-") == name.replace("_", "-"):
                return one
        raise UnknownOption(name, word)

    def _takes_value(self, name: str) -> bool:
        return self._option_string_actions[name].nargs != 0


def _find_value(name: str, value: str | None, left: "Iterator[str]") -> str:
    """*value*, or, if there is none, the next word. `--` is no value: argparse would drop it.

    After `=` an empty value stays empty: of `--logfile=$LOG a host:` the file must not become the log.
    """
    value = next(left, "") if value is None else value
    if value in ("", "--"):
        raise UsageError(f"option {name} needs a value")
    return value


class _Joined(str):
    """A value from the command line, not from a configuration."""


class Join(argparse.Action):
    """Joins the values of a command line by commas; together they replace what a configuration says."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, value: object, option: object = None
    ) -> None:
        old = getattr(namespace, self.dest)
        setattr(namespace, self.dest, _Joined(f"{old},{value}" if isinstance(old, _Joined) else value))


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Always 80 columns: also saves the import of shutil, which only measures the terminal."""

    def __init__(self, prog: str):
        super().__init__(prog, width=80, max_help_position=26)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """`-P, --ssh-port PORT`: Python before 3.13 says `-P PORT, --ssh-port PORT`."""
        if not action.option_strings:
            return str(action.metavar)
        value = "" if action.nargs == 0 else f" {action.metavar}"
        return ", ".join(action.option_strings) + value

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Wrapped lines; "(default:" stays with what comes next."""
        lines = super()._split_lines(text.replace("(default: ", "(default:\0"), width)
        return [line.replace("\0", " ") for line in lines]

"""The grammar: scp's manners, help that fits and says enough, one sentence for each mistake."""

import re
import shlex
import subprocess
import sys

import pytest
from optiontable import VALUE_TYPES

from escp.errors import UsageError
from escp.options.options import parse_options
from escp.options.parser import build_parser


def parse(*argv):
    return build_parser().parse_command(list(argv))


def visible_actions():
    return [
        action
        for action in build_parser()._actions
        if action.option_strings and action.help != "==SUPPRESS=="
    ]


def test_help_fits_80_columns():
    assert max(map(len, build_parser().format_help().splitlines())) <= 80


def test_help_does_not_depend_on_the_terminal(monkeypatch):
    wide = build_parser().format_help()
    monkeypatch.setenv("COLUMNS", "40")
    assert build_parser().format_help() == wide


def find_faults(action):
    """What the help of an option leaves out: what it does, its default, its unit or the words it takes."""
    if not action.help:
        return ["no help"]
    text = action.help % vars(action)
    faults = []
    if not re.match(r"[a-z]|POSIX ", text) or text.endswith("."):
        faults.append("style")
    is_exempt = action.nargs == 0 and re.search(r"exit$|no effect$", text)
    if not is_exempt and "default: " not in text:
        faults.append("no default")
    if isinstance(action.default, str) and not text.endswith(f"default: {action.default})"):
        faults.append("another default")
    if action.nargs == 0:
        return faults
    if action.metavar not in VALUE_TYPES:
        return [*faults, "unknown placeholder"]
    value = VALUE_TYPES[action.metavar]
    if value.unit not in text:
        faults.append("no unit")
    faults += [f"no {choice}" for choice in value.choices if choice not in text]
    return faults


@pytest.mark.parametrize("action", visible_actions(), ids=lambda a: a.option_strings[0])
def test_help_of_each_option_says_what_it_does_its_default_and_its_unit(action):
    assert find_faults(action) == []


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        ({"metavar": "PORT"}, ["no help"]),
        ({"metavar": "PORT", "help": "port to use"}, ["no default"]),
        ({"metavar": "PORT", "help": "where to (default: 7)"}, ["no unit"]),
        ({"metavar": "PORT", "help": "port to use (default: 7)", "default": "8"}, ["another default"]),
        ({"metavar": "N", "help": "number of things (default: 7)"}, ["unknown placeholder"]),
        ({"help": "number of things (default: 7)"}, ["unknown placeholder"]),
        ({"metavar": "WHEN", "help": "auto or always (default: auto)"}, ["no never"]),
        ({"action": "store_true", "help": "do it"}, ["no default"]),
        ({"action": "store_true", "help": ".do it (default: off)"}, ["style"]),
        ({"action": "store_true", "help": "do it and exit"}, []),
    ],
)
def test_option_that_says_too_little_is_found(settings, faults):
    assert find_faults(build_parser().add_argument("--new", **settings)) == faults


def test_help_begins_with_the_directions_and_its_examples_can_be_run(monkeypatch):
    monkeypatch.setenv("ESCP_CONFIG", "")
    text = build_parser().format_help()
    assert re.search(
        r"\A(.* to another host\n.* from other hosts\n.* between two hosts\n.* on this host)\n", text
    )
    examples = re.findall(r"^  (escp .*?)  +\w", text.partition("examples:")[2], flags=re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        assert parse_options(shlex.split(example)[1:]).sources


def test_groups_of_the_help():
    groups = re.findall(r"^(\w+):$", build_parser().format_help(), flags=re.MULTILINE)
    options = ["copying", "selecting", "attributes", "ssh", "tls", "network", "tuning", "output"]
    assert groups == ["examples", "operands", *options]


def test_server_is_hidden_but_understood():
    assert "--server" not in build_parser().format_help()
    assert parse("--server").is_server


def test_options_end_at_the_first_operand_as_with_scp():
    args = parse("-r", "a", "-p", "h:", "--", "-q")
    assert args.is_recursive and not args.keeps_attributes and not args.is_quiet
    assert args.operands == ["a", "-p", "h:", "--", "-q"]


def test_two_dashes_end_the_options():
    assert parse("-r", "--", "-p", "h:").operands == ["-p", "h:"]


def test_a_single_dash_is_an_operand():
    assert parse("-", "h:").operands == ["-", "h:"]


@pytest.mark.parametrize("argv", [["-rpvP", "2222"], ["-rpvP2222"], ["-r", "-pv", "-P", "2222"]])
def test_short_options_cluster(argv):
    args = parse(*argv, "a", "h:")
    assert args.is_recursive and args.keeps_attributes
    assert (args.verbosity, args.ssh_port) == (1, "2222")
    assert args.operands == ["a", "h:"]


def test_values_may_begin_with_a_dash_or_hold_spaces_and_equal_signs():
    args = parse("-i", "-key", "-oProxyCommand=nc -X 5 %h %p", "-o", "A=b", "--escp=a=b c", "x", "h:")
    assert args.identities == ["-key"]
    assert args.ssh_options == ["ProxyCommand=nc -X 5 %h %p", "A=b"]
    assert args.agent_command == "a=b c"


def test_long_options_take_their_value_either_way():
    assert (
        parse("--parallel", "8").n_streams == parse("--parallel=8").n_streams == parse("-t8").n_streams == "8"
    )


def test_options_of_scp_without_effect_are_accepted():
    assert parse("-OsTX", "nrequests=5", "-r", "a", "h:").operands == ["a", "h:"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-z"], "unknown option -z"),
        (["-rz", "a", "h:"], "unknown option -z"),
        (["-9", "a", "h:"], "unknown option -9"),
        (["--paral", "4"], "unknown option --paral"),
        (["--frobnicate=1"], "unknown option --frobnicate"),
        (["-P"], "option -P needs a value"),
        (["-rP"], "option -P needs a value"),
        (["-i", ""], "option -i needs a value"),
        (["--logfile="], "option --logfile needs a value"),
        (["--logfile=", "a", "h:"], "option --logfile needs a value"),  # and a stays what it is
        (["-t", "--", "a", "h:"], "option -t needs a value"),
        (["--logfile=--", "a", "h:"], "option --logfile needs a value"),
        (["--json=1"], "option --json takes no value"),
    ],
)
def test_a_mistake_is_one_sentence_naming_the_option(argv, message):
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_errors_of_argparse_itself_are_usage_errors_too():
    with pytest.raises(UsageError):
        build_parser().parse_args(["--nonsense"])


def test_start_up_imports_little():
    """What stands here took from 4 to 20 ms each before ssh could be started."""
    heavy = "subprocess logging json pathlib typing dataclasses socket shutil asyncio rich escp._fast escp.ui"
    program = (
        "import sys; from escp.options.options import parse_options; parse_options(['-rp', 'a', 'h:b']);"
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    # -S: what site-packages' .pth files import is not ours
    output = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[]"

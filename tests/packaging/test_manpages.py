"""escp.1 and escp.conf.5: clean roff, complete, and what they show works."""

import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from confpage import build_conf_page, split_help
from manpages import build_command_page
from roff import escape

from escp import errors
from escp.options.agentoptions import KEYS
from escp.options.config import variable_name
from escp.options.keys import NOT_CONFIGURABLE, list_kinds
from escp.options.options import parse_options
from escp.options.parser import USAGE, build_parser

ROOT = Path(__file__).parents[2]
PAGES = {"escp.1": build_command_page, "escp.conf.5": build_conf_page}

needs_mandoc = pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    for name, build in PAGES.items():
        (folder / name).write_text(build())
    return folder


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def pages(folder):
    """The pages as a reader sees them: each a dictionary of its sections."""
    if shutil.which("mandoc") is None:
        pytest.skip("no mandoc here")
    return {name: read_sections(folder / name) for name in PAGES}


def read_sections(path):
    text = run("mandoc", "-T", "utf8", "-O", "width=78", path).stdout
    plain = re.sub(".\b", "", text)
    parts = re.split(r"^([A-Z][A-Z ]+)$", plain, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# --- Form -----------------------------------------------------------------------------------------


@needs_mandoc
@pytest.mark.parametrize("name", PAGES)
def test_mandoc_finds_neither_errors_nor_warnings(folder, name):
    done = run("mandoc", "-T", "lint", "-W", "warning", folder / name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_say(folder, name):
    done = run("groff", "-man", "-ww", "-z", "-Tutf8", folder / name)
    assert (done.returncode, done.stderr) == (0, "")


@needs_mandoc
def test_text_that_would_be_a_request_is_found_or_shielded(tmp_path):
    page = '.TH X "1" "2026-01-01" "x" "y"\n.SH NAME\nx \\- y\n.SH TEXT\n'
    path = tmp_path / "x.1"
    path.write_text(page + ".hidden files\n")
    assert run("mandoc", "-T", "lint", "-W", "error", path).returncode != 0
    for text in (".hidden files", "'quoted' words", "~/.x -y `z` ^a ssh's"):
        path.write_text(page + escape(text) + "\n")
        assert run("mandoc", "-T", "lint", "-W", "error", path).returncode == 0
        assert text in read_sections(path)["TEXT"]


def test_help_that_argparse_manpage_would_lose_is_refused(monkeypatch):
    parser = build_parser()
    parser.add_argument("--all", action="store_true", help=".hidden files, too (default: off)")
    monkeypatch.setattr("manpages.build_parser", lambda: parser)
    with pytest.raises(ValueError, match="hidden files"):
        build_command_page()


def test_pages_are_the_same_when_made_twice(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    for build in PAGES.values():
        assert build() == build()
        assert '"1970-01-02"' in build().splitlines()[0]


# --- escp.1 ---------------------------------------------------------------------------------------


def test_sections_of_the_command(pages):
    wanted = (
        "NAME SYNOPSIS DESCRIPTION OPERANDS OPTIONS EXAMPLES FILES,EXIT STATUS,ENVIRONMENT SECURITY,SEE ALSO"
    )
    assert list(pages["escp.1"]) == re.split(r",| (?!STATUS|ALSO)", wanted)


def test_every_option_is_explained(pages):
    text = pages["escp.1"]["OPTIONS"]
    for action in build_parser()._actions:
        if not action.option_strings or action.dest == "is_server":
            continue
        value = "" if action.nargs == 0 else f" {action.metavar}"
        names = ", ".join(name + value for name in action.option_strings)
        assert re.search(rf"^       {re.escape(names)}(\n| +[a-z])", text, flags=re.MULTILINE), names
        first_words = " ".join(action.help.split()[:3])
        assert first_words % vars(action) in " ".join(text.split()), names


def test_synopsis_is_the_usage(pages):
    shown = [line.strip() for line in pages["escp.1"]["SYNOPSIS"].strip().splitlines()]
    assert shown == [re.split("  +", line.strip())[0] for line in USAGE.splitlines()]


def test_every_exit_code_is_explained(pages):
    named = {number for name, number in vars(errors).items() if re.match("EXIT_(?!SIGNAL|MEANINGS)", name)}
    of_classes = {
        cls.exit_code for cls in vars(errors).values() if isinstance(cls, type) and hasattr(cls, "exit_code")
    }
    assert of_classes <= named
    text = pages["escp.1"]["EXIT STATUS"]
    shown = dict(line.strip().split(maxsplit=1) for line in text.strip().splitlines())
    assert shown == {str(code): meaning for code, meaning in errors.EXIT_MEANINGS.items()}
    assert {int(code) for code in shown if code.isdigit()} == named
    readme = (ROOT / "README.md").read_text().partition("## Exit status")[2].partition("\n## ")[0]
    assert named <= set(map(int, re.findall(r"\b\d+\b", readme)))


def find_variables():
    """ESCP_… in the strings of the Python and of the native code."""
    found = set()
    for path in (ROOT / "escp").glob("**/*.py*"):
        if path.suffix == ".py":
            strings = [node.value for node in ast.walk(ast.parse(path.read_text()))
                       if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
        elif path.suffix == ".pyx":
            strings = re.findall(r'"[^"\n]*"', path.read_text())
        else:
            continue
        found |= {name for text in strings for name in re.findall(r"ESCP_[A-Z][A-Z_]*[A-Z]", text)}
    return found


def test_every_variable_is_explained(pages):
    found = find_variables()
    assert {"ESCP_CONFIG", "ESCP_AEAD", "ESCP_JSON"} <= found
    text = pages["escp.1"]["ENVIRONMENT"]
    shown = set(re.findall(r"\bESCP_[A-Z0-9_]+", text))
    assert found - shown == set()
    assert {variable_name(key) for key in list_kinds(build_parser())} <= shown
    assert not {variable_name(key) for key in NOT_CONFIGURABLE} & shown


def list_examples(text):
    """The command lines of escp in a text, each without what stands before it in a pipe."""
    lines = [line.strip().rpartition("| escp ") for line in text.splitlines()]
    return [
        end if pipe else end.removeprefix("escp ")
        for _, pipe, end in lines
        if pipe or end.startswith("escp ")
    ]


def test_every_example_can_be_run(pages, monkeypatch):
    monkeypatch.setenv("ESCP_CONFIG", "")
    indented = re.findall(r"^ {14}.*", pages["escp.1"]["EXAMPLES"], flags=re.MULTILINE)
    examples = list_examples("\n".join(indented))
    readme = list_examples(
        "\n".join(re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S))
    )
    assert len(examples) >= 15 and len(readme) >= 20
    for example in examples + readme:
        options = parse_options(shlex.split(example.partition(" | ")[0], comments=True))
        is_other = options.is_selftest or options.is_doctor or options.cleans_agents
        assert is_other or options.target.path or options.target.is_remote, example


# --- escp.conf.5 ----------------------------------------------------------------------------------


def test_every_key_is_explained(pages):
    text = pages["escp.conf.5"]["KEYS"]
    paragraphs = dict(re.findall(r"^       (\S+) \(-.*?\)\n((?:^ {14}.*\n)+)", text, flags=re.MULTILINE))
    kinds = list_kinds(build_parser())
    assert paragraphs.keys() == kinds.keys()
    for key, paragraph in paragraphs.items():
        words = " ".join(paragraph.split())
        assert re.search(r"\S Value: \S.*\. Default: \S.*\. Applies to: (.* end.*)\.$", words), key
        assert ("each end" in words) == (key in KEYS)
    assert "Value: flag. Default: true. Applies to: both ends." in " ".join(paragraphs["relay"].split())
    assert "Value: auto, never or always. Default: auto." in " ".join(paragraphs["tunnel"].split())
    assert "Value: number of TCP streams, 1 to 64. Default: 4." in " ".join(paragraphs["parallel"].split())


def test_options_that_are_no_keys_are_named(pages):
    text = " ".join(pages["escp.conf.5"]["DESCRIPTION"].split())
    (named,) = re.findall(r"for one command only: ([a-z, -]+)\.", text)
    assert set(named.split(", ")) == NOT_CONFIGURABLE.keys() - {"server"}


def test_example_of_a_file_is_read_as_it_says(pages, tmp_path, monkeypatch):
    example = pages["escp.conf.5"]["EXAMPLES"].partition("       A file that")[0]
    path = tmp_path / "escp.conf"
    path.write_text("\n".join(line[7:] for line in example.splitlines()))
    monkeypatch.setenv("ESCP_CONFIG", str(path))
    elsewhere = parse_options(["a", "elsewhere:"])
    assert (elsewhere.n_streams, elsewhere.cpumask, len(elsewhere.filters)) == (8, 0xFF, 2)
    inside = parse_options(["a", "root@dtn2.example.org:"])
    assert (inside.n_streams, inside.agent_command, inside.data_host) == (
        16,
        "/opt/escp/bin/escp",
        "10.1.0.2",
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("compress (default: off)", ("compress", "off")),
        ("print (docs/json.md; default: off)", ("print (docs/json.md)", "off")),
        ("rate (1 Kbit = 1024 bits), powers (default: no limit)",
         ("rate (1 Kbit = 1024 bits), powers", "no limit")),
        ("print it and exit", ("print it and exit", "")),
    ],
)  # fmt: skip
def test_default_is_split_from_help(text, parts):
    assert split_help(text) == parts

"""What the documents point at is there."""

import ast
import errno
import re
from pathlib import Path

import pytest

from escp.cli import pages as about
from escp.errors import describe_errno
from escp.options.parser import build_parser

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *EXAMPLES]


def find_paths(text: str) -> set[str]:
    """Files of the project that a document names: in backticks, or as the target of a link."""
    named = set(re.findall(r"`((?:escp|tests|docs|packaging|examples)/[\w/-]+(?:\.\w+|/))`", text))
    return named | set(re.findall(r"\]\(([\w./-]+)\)", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(document):
    paths = find_paths(document.read_text())
    missing = [p for p in paths if not (ROOT / p).exists() and not (document.parent / p).exists()]
    assert not missing, f"{document.name} names {missing}"


def test_missing_file_is_found():
    assert find_paths("see `tests/unit/test_nothing.py` and [x](docs/none.md)") == {
        "tests/unit/test_nothing.py",
        "docs/none.md",
    }


def test_every_security_guarantee_names_a_test():
    text = (ROOT / "docs" / "security.md").read_text()
    guarantees = re.split(r"^\d+\. ", text.partition("## Guarantees")[2].partition("\n## ")[0], flags=re.M)[
        1:
    ]
    assert len(guarantees) >= 10
    for guarantee in guarantees:
        assert re.search(r"`tests/[\w./-]+`", guarantee), guarantee


def test_licence_that_escp_prints_is_the_projects():
    assert (ROOT / "LICENSE").read_text().strip() == about.LICENCE.strip()


def test_tuning_has_every_finding_of_the_doctor():
    source = (ROOT / "escp" / "doctor" / "advice.py").read_text()
    subjects = set(re.findall(r'(?:_make|Finding)\((?:[A-Z]+, )?"(\w+)"', source))
    subjects |= set(re.findall(r'"(tcp_\w+)"', source))
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "tuning.md").read_text()))
    assert {"numa", "data_port", "losses", "tcp_rmem"} <= subjects
    assert subjects - named == set()


def find_habits(text: str) -> list[list[str]]:
    """The rows of the table: wanted, scp, rsync, escp."""
    table = text.partition("| wanted | scp | rsync | escp |\n")[2].partition("\n\n")[0]
    return [re.split(r" ?\| ?", row)[1:-1] for row in table.splitlines()[1:]]


def test_habits_are_of_options_that_there_are():
    text = (ROOT / "docs" / "scp-differences.md").read_text()
    known = set(build_parser().find_spellings(""))
    rows = find_habits(text)
    assert len(rows) > 20 and all(len(row) == 4 for row in rows)
    for row in rows:
        words = [word for quoted in re.findall(r"`([^`]+)`", row[3]) for word in quoted.split()]
        options = [word for word in words if re.fullmatch(r"--?[a-zA-Z][\w-]*", word)]
        joined = [f"-{letter}" for word in options if re.fullmatch(r"-\w{2,}", word) for letter in word[1:]]
        lacking = {word for word in options if not re.fullmatch(r"-\w{2,}", word)} | set(joined)
        assert lacking <= known, row


# ---- Troubleshooting --------------------------------------------------------------------------------

TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
QUOTED = re.findall(r"^escp: (?:error|hint|warning): (.+)$", TROUBLESHOOTING.read_text(), flags=re.M)
PLACEHOLDERS = r"(?:'?\b(?:[A-Z]{2,}|N)\b'?|LOCAL[0-9]|\d+|[(), :-])*"  # HOST, 'PATH', PORT-PORT


def read_text(node: ast.expr) -> list[str]:
    """A literal's fixed parts; what an f-string fills in comes between them."""
    parts = [""]
    for value in node.values if isinstance(node, ast.JoinedStr) else [node]:
        if isinstance(value, ast.Constant):
            parts[-1] += str(value.value)
        else:
            parts.append("")
    return parts


def find_texts() -> list[re.Pattern[str]]:
    """Patterns: what in escp's source could be a sentence, the system's words, and `WHAT: WHY (HOW)`."""
    texts = [["", ": ", ""], ["", " (", ")"], *([describe_errno(number)] for number in errno.errorcode)]
    for path in sorted((ROOT / "escp").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                texts += [parts for parts in [read_text(node)] if sum(map(len, parts)) >= 6]
            elif isinstance(node, ast.IfExp):  # f"{'to' if ... else 'from'} {host}"
                texts += [read_text(one) for one in (node.body, node.orelse) if isinstance(one, ast.Constant)]
    for path in sorted((ROOT / "escp" / "_fast").rglob("*.pyx")):
        found = re.findall(r'fail\(&?err, FAST_\w+, [^"]*"(\w+)"', path.read_text())  # what was being done
        texts += [[text] for text in found]
    unique = {tuple(parts) for parts in texts}
    return [re.compile(gap.join(map(re.escape, parts))) for parts in unique for gap in ("(.*?)", "(.*)")]


def is_printed(sentence: str, texts: list[re.Pattern[str]], known: dict[str, bool] | None = None) -> bool:
    """Whether a text fits, and what it is filled in with is placeholders or fits a text itself.

    *known*: what has been found of parts already, or it would take ages where many texts fit.
    """
    known = {} if known is None else known
    if sentence not in known:
        known[sentence] = bool(re.fullmatch(PLACEHOLDERS, sentence))  # no part of itself
        known[sentence] = known[sentence] or any(
            all(is_printed(part, texts, known) for part in match.groups())
            for match in filter(None, (text.fullmatch(sentence) for text in texts))
        )
    return known[sentence]


@pytest.fixture(scope="module")
def texts() -> list[re.Pattern[str]]:
    return find_texts()


@pytest.mark.parametrize("sentence", sorted(set(QUOTED)))
def test_troubleshooting_quotes_what_escp_prints(sentence, texts):
    assert is_printed(sentence, texts)


def find_bare(page: str) -> list[str]:
    """The last lines of quotes that nothing is said about."""
    parts = page.split("```\n")
    return [
        quote.splitlines()[-1]
        for quote, behind in zip(parts[1::2], parts[2::2], strict=True)
        if not behind.strip() or behind.lstrip().startswith("#")
    ]


def test_troubleshooting_says_something_about_each_quote():
    assert find_bare(TROUBLESHOOTING.read_text()) == []


def test_quote_that_nothing_is_said_about_is_found():
    quote = "```\nescp: error: {}\n```\n\n"
    page = (
        "# Page\n\n" + quote.format("a") + "That.\n\n" + quote.format("b") + quote.format("c") + "## Next\n"
    )
    assert find_bare(page) == ["escp: error: b", "escp: error: c"]


@pytest.mark.parametrize(
    "sentence",
    ["ssh could not log in", "ssh could not log into HOST", "PATH: no room left on device",
     "PATH: the file is bad", "there is no escp on HOST or elsewhere", "can't write to 'PATH': no reason"],
)  # fmt: skip
def test_sentence_that_escp_does_not_print_is_found(sentence, texts):
    assert len(QUOTED) > 50
    assert not is_printed(sentence, texts)

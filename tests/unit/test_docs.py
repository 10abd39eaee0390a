"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

from escp import about

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def find_paths(text: str) -> set[str]:
    """Files of the project that a document names: in backticks, or as the target of a link."""
    named = set(re.findall(r"`((?:escp|tests|docs|packaging)/[\w/-]+(?:\.\w+|/))`", text))
    return named | set(re.findall(r"\]\(([\w./-]+)\)", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
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

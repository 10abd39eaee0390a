"""The table of mutations can't rot: each still fits its file, each guarantee has one, each test is there."""

import ast
import re
from pathlib import Path

import pytest

from tests.mutations.table import MUTATIONS, format_table

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs" / "security.md").read_text().partition("## Guarantees")[2].partition("\n## ")[0]
GUARANTEES = dict(re.findall(r"^(\d+)\. ((?:.|\n(?!\d+\. ))*)", SECURITY, flags=re.MULTILINE))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.guarantee} {one.what}")
def test_mutation_fits_its_file_and_its_tests_are_there(mutation):
    text = (ROOT / mutation.file).read_text()
    assert mutation.apply(text) != text
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert name in names if name else any(name.startswith("test_") for name in names), test


@pytest.mark.parametrize("number", GUARANTEES)
def test_each_guarantee_is_broken_and_names_the_tests_that_notice(number):
    files = {
        test.partition("::")[0] for one in MUTATIONS if one.guarantee == int(number) for test in one.tests
    }
    assert files
    assert not [path for path in files if f"`{path}`" not in GUARANTEES[number]]


def test_guarantees_are_all_found():
    assert list(map(int, GUARANTEES)) == list(range(1, len(GUARANTEES) + 1))
    assert {one.guarantee for one in MUTATIONS} == set(map(int, GUARANTEES))
    assert [one.guarantee for one in MUTATIONS] == sorted(one.guarantee for one in MUTATIONS)


def test_document_has_the_table():
    assert format_table() in (ROOT / "docs" / "mutations.md").read_text(), (
        "python tests/mutations/run.py --table"
    )


def test_mutation_that_fits_nowhere_or_twice_is_told():
    one = MUTATIONS[0]
    for text in ("", one.old + one.old):
        with pytest.raises(ValueError, match="instead of once"):
            one.apply(text)

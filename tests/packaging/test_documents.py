"""The pages that are given away: what is named anywhere in a package is there."""

import re
import sys

import pytest

from escp.options.parser import build_parser
from tests.support.command import ROOT

sys.path.insert(0, str(ROOT / "packaging"))
import documents
import manpages

PAGE = re.compile(r"(?<![\w/.-])(?:\.\./|docs/)?[\w-]+(?:\.md\b|\.conf\.example|\.schema\.json)")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    documents.lay_out(folder)
    return folder


def test_all_pages_are_there(folder):
    assert len({path.name for path in documents.list_documents()}) == len(documents.list_documents())
    pages = {path.name for path in (ROOT / "docs").iterdir()} | {path.name for path in ROOT.glob("*.md")}
    assert pages | {"LICENSE"} == {path.name for path in folder.iterdir()}


def test_every_link_of_a_page_leads_to_one(folder):
    links = [(path.name, link) for path in folder.glob("*.md") for link in LINK.findall(path.read_text())]
    assert len(links) > 40
    assert [link for link in links if not (folder / link[1]).is_file()] == []


def test_every_page_that_is_named_is_there(folder):
    """Where users look: CONTRIBUTING.md and what is about the sources name files of a checkout."""
    users = [path for path in folder.iterdir() if path.name not in ("CONTRIBUTING.md", "LICENSE")]
    named = [(path.name, name) for path in users for name in PAGE.findall(path.read_text())]
    assert len(named) > 60
    assert [one for one in named if not (folder / one[1]).is_file()] == []


def test_help_manual_pages_and_hints_name_pages_by_their_names_alone(folder):
    texts = [build_parser().format_help(), manpages.build_command_page(), manpages.build_conf_page()]
    for path in (ROOT / "escp").rglob("*.py"):  # what is in quotes, but not what is for who reads the sources
        texts += re.findall(r'"[^"\n]*"', re.sub(r'(?s)""".*?"""', "", path.read_text()))
    named = [name for text in texts for name in PAGE.findall(text)]
    assert len(named) >= 2
    assert [name for name in named if not (folder / name).is_file()] == []


def test_links_follow_a_distributions_names(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "LICENSE").rename(tmp_path / "copyright")
    documents.relink(tmp_path, {"LICENSE": "copyright"})
    links = {link for path in tmp_path.glob("*.md") for link in LINK.findall(path.read_text())}
    assert "copyright" in links and [link for link in links if not (tmp_path / link).is_file()] == []

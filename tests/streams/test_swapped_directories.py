"""Whoever owns a tree puts links in its directories' places while somebody else lists or reads it."""

import errno
import hashlib
import os

import pytest

from escp._fast.files.beneath import open_directory, open_inside
from escp.names.inventory import Inventory, identify_all
from tests.names.test_survey import Asked
from tests.support.swapping import swapping

LED_OUT = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV)


@pytest.fixture
def trees(tmp_path):
    """A tree, and one of others in which the same directories hold something else."""
    for top in ("top", "outside"):
        (tmp_path / top / "a" / "b" / "c").mkdir(parents=True)
        for at in ("", "a", "a/b", "a/b/c"):
            (tmp_path / top / at / f"of-{top}").write_text(top)
    return tmp_path / "top", tmp_path / "outside"


@pytest.fixture
def asked():
    one = Asked(open_directory, open_inside)
    yield one
    one.survey.close()
    one.loop.close()


def replace(trees):
    top, outside = trees
    (top / "a").rename(top.parent / "away")
    (top / "a").symlink_to(outside / "a")


@pytest.mark.parametrize("after", [2, 3], ids=["one below", "two below"])
def test_listing_for_check_stays_in_the_tree(asked, trees, monkeypatch, after):
    with swapping(monkeypatch, ["scandir"], after, lambda: replace(trees)) as count:
        names = asked.find(trees[0], [b""])
    assert count() >= after
    assert names and not [name for name in names if b"outside" in name]
    failed = [number for one in asked.told for number in one.errnos]
    assert failed and set(failed) <= {*LED_OUT, errno.ENOENT}


@pytest.mark.parametrize("after", [2, 3], ids=["one below", "two below"])
def test_listing_for_delete_stays_in_the_sources(trees, monkeypatch, after):
    top = os.fsencode(trees[0])
    inventory = Inventory(
        identify_all([(top, b"top")], keeps_links=True), keeps_links=True,
        find_excluded=lambda paths: [False] * len(paths), open_below=open_directory,
    )  # fmt: skip
    with swapping(monkeypatch, ["scandir"], after, lambda: replace(trees)) as count:
        page = inventory.next_page()
    inventory.close()
    assert count() >= after
    assert b"of-top" in page.names and b"of-outside" not in page.names
    assert page.sys_errno in LED_OUT and page.failed.startswith(top + b"/a")


def test_no_digest_of_what_a_link_out_of_the_target_leads_to(asked, trees):
    top, _ = trees
    replace(trees)
    (top / "d").mkdir()
    (top / "d" / "x").write_text("x")
    (top / "inside").symlink_to("d")
    (top / "file").symlink_to(trees[1] / "of-outside")
    names = [b"of-top", b"inside/x", b"a/of-outside", b"file"]
    found = asked.measure(top, names, is_confined=True)
    assert [digest for digest, *_ in found[:2]] == [hashlib.sha256(text).digest() for text in (b"top", b"x")]
    assert [(digest, number in LED_OUT) for digest, _, _, number in found[2:]] == [(b"", True)] * 2
    asked.told.clear()
    assert [number for *_, number in asked.measure(top, names)] == [0] * 4

"""A source keeps to its own place in the target, whatever links an earlier copy of it has left there."""

import os

import pytest

from tests.support.directions import in_all_directions
from tests.support.trees import list_tree


@pytest.fixture
def keys(target):
    """What somebody's home directory holds beside the copy; it looks the same afterwards."""
    (target / ".ssh").mkdir()
    (target / ".ssh" / "authorized_keys").write_text("good")
    os.utime(target / ".ssh", ns=(10**18, 10**18))
    before = list_tree(target / ".ssh")
    yield target / ".ssh"
    assert list_tree(target / ".ssh") == before
    assert (target / ".ssh").stat().st_mtime_ns == 10**18


@in_all_directions
@pytest.mark.parametrize("options", [["-r"], ["-rp"], ["-r", "--hard-links"]], ids=" ".join)
def test_link_that_becomes_a_directory_leads_nothing_elsewhere_in_the_target(
    escp, source, target, keys, way, options
):
    (source / "proj").mkdir()
    (source / "proj" / "link").symlink_to("../.ssh")
    escp.copy("-r", "--links", way.source(source / "proj"), way.target(target))
    (source / "proj" / "link").unlink()
    (source / "proj" / "link").mkdir()
    (source / "proj" / "link" / "authorized_keys").write_text("evil")
    (source / "proj" / "link" / "other").hardlink_to(source / "proj" / "link" / "authorized_keys")
    done = escp.fail(16, *options, way.source(source / "proj"), way.target(target))
    assert "proj/link" in done.err and "link" in done.hint
    assert sorted(os.listdir(target)) == [".ssh", "proj"]


@in_all_directions
def test_source_that_was_a_link_itself_is_not_followed(escp, source, target, keys, way):
    (source / "proj").symlink_to(".ssh")
    escp.copy("-r", "--links", way.source(source / "proj"), way.target(target))
    (source / "proj").unlink()
    (source / "proj").mkdir()
    (source / "proj" / "authorized_keys").write_text("evil")
    escp.fail(16, "-r", way.source(source / "proj"), way.target(target))
    assert os.readlink(target / "proj") == ".ssh"
    (target / "proj").unlink()  # as the hint says
    escp.copy("-r", way.source(source / "proj"), way.target(target))
    assert (target / "proj" / "authorized_keys").read_text() == "evil"


@in_all_directions
def test_link_that_is_named_as_the_target_is_followed(escp, source, target, way):
    (source / "proj").mkdir()
    (source / "proj" / "a").write_text("a")
    (target / "real").mkdir()
    (target / "link").symlink_to("real")
    escp.copy("-r", way.source(source / "proj"), way.target(f"{target}/link/"))
    assert (target / "real" / "proj" / "a").read_text() == "a"


@in_all_directions
def test_link_that_stays_inside_the_copy_is_followed(escp, source, target, way):
    (source / "proj" / "link").mkdir(parents=True)
    (source / "proj" / "link" / "a").write_text("a")
    (target / "proj" / "real").mkdir(parents=True)
    (target / "proj" / "link").symlink_to("real")
    escp.copy("-r", way.source(source / "proj"), way.target(target))
    assert (target / "proj" / "real" / "a").read_text() == "a"


def test_name_from_a_file_list_is_reached_over_no_link(escp, source, target, keys, folder):
    (source / "a").write_text("evil")
    (target / "2026").symlink_to(".ssh")
    (folder / "list.yaml").write_text(f"- [{source / 'a'}, 2026/authorized_keys]\n")
    escp.fail(16, "--filelist", folder / "list.yaml", target)

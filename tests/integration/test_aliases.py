"""A link in the target makes two paths of one directory: what arrives under both is one file, and noticed."""

import pytest

from tests.support.directions import in_all_directions
from tests.support.trees import list_tree

SIZES = {"small": 10, "large": 300_000}


@pytest.fixture
def two_paths(source, target):
    """Sources a/d/real/… and b/d/alias/…, where the target's alias leads to its real."""
    for folder, name in (("a", "real"), ("b", "alias")):
        place = source / folder / "d" / name / "deep"
        place.mkdir(parents=True)
        for file, size in SIZES.items():
            (place / file).write_bytes(folder.encode() * size)
        (place / f"only-{folder}").write_text(folder)
    (target / "d" / "real").mkdir(parents=True)
    (target / "d" / "alias").symlink_to("real")
    return source / "a" / "d", source / "b" / "d"


@in_all_directions
@pytest.mark.parametrize("options", [[], ["--inplace"]], ids=" ".join)
def test_second_source_gets_no_name_that_the_first_has(escp, target, two_paths, way, options):
    done = escp.fail(1, "-r", "-t", "1", *options, *map(way.source, two_paths), way.target(target))
    place = target / "d" / "real" / "deep"
    assert {path.name for path in place.iterdir()} == {*SIZES, "only-a", "only-b"}
    for name, size in SIZES.items():
        assert (place / name).read_bytes() == b"a" * size
        assert f"d/alias/deep/{name}: not copied: this copy has given the name" in done.err, done.err
    assert done.err.count("escp: error: ") == len(SIZES), done.err
    assert (target / "d" / "alias").is_symlink()


def test_next_copy_replaces_what_is_there(escp, source, target, two_paths):
    """Through the link, too: this copy has given none of the names."""
    for folder in two_paths:
        escp.copy("-r", folder, target)
    assert (target / "d" / "real" / "deep" / "large").read_bytes() == b"b" * SIZES["large"]
    assert len(list_tree(target / "d" / "real" / "deep")) == len(SIZES) + 2

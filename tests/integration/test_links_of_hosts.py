"""--hard-links with sources of several hosts: what is one file on one of them is one file at the target."""

from tests.support.command import needs_source, remote
from tests.support.trees import write_random

pytestmark = needs_source  # of a list each line needs its host's name


def make_pairs(source):
    """Two files with two names each."""
    for name in ("ours", "theirs"):
        (source / name).mkdir()
        write_random(source / name / "1", 200_000, seed=len(name))
        (source / name / "2").hardlink_to(source / name / "1")
    return source / "ours", source / "theirs"


def test_sources_of_each_host_are_one_job_wherever_they_stand(escp, source, target):
    ours, theirs = make_pairs(source)
    for path in (ours, theirs):
        (path / "2").rename(path / f"{path.name}-2")
        (path / "1").rename(path / f"{path.name}-1")
    escp.copy("--hard-links", remote(theirs / "theirs-1"), ours / "ours-1", remote(theirs / "theirs-2"),
              ours / "ours-2", target)  # fmt: skip
    for name in ("ours", "theirs"):
        assert (target / f"{name}-1").samefile(target / f"{name}-2")
        assert (target / f"{name}-1").read_bytes() == (source / name / f"{name}-1").read_bytes()
    assert not (target / "ours-1").samefile(target / "theirs-1")


def test_a_list_that_comes_back_to_a_host_is_refused(escp, source, target, folder):
    ours, theirs = make_pairs(source)
    pairs = [f"- [box:{theirs}/1, a]\n", f"- [{ours}/1, b]\n", f"- [box:{theirs}/2, c]\n"]
    (folder / "list").write_text("".join(pairs))
    done = escp.fail(2, "--hard-links", "--filelist", folder / "list", target)
    assert "box has more sources behind those of other hosts" in done.error and "sort the list" in done.hint
    (folder / "list").write_text("".join(sorted(pairs)))
    escp.copy("--hard-links", "--filelist", folder / "list", target)
    assert (target / "a").samefile(target / "c") and not (target / "a").samefile(target / "b")

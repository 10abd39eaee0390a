"""What scp, cp and rsync do by -a, -T and their like, in all four directions over real logins."""

import os
import shlex
import stat
import sys
from pathlib import Path

import pytest

from tests.support.command import needs_root
from tests.support.directions import PULL, PUSH, RELAY, in_all_directions
from tests.support.trees import list_tree, write_random

OLD_NS = 1_600_000_000_123_456_789


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# ---- -a ---------------------------------------------------------------------------------------------


@in_all_directions
def test_archive_keeps_times_modes_links_and_hard_links(escp, source, target, way):
    write_random(source / "a", 1000)
    (source / "a").chmod(0o640)
    os.link(source / "a", source / "b")
    (source / "link").symlink_to("nowhere")
    (source / "d").mkdir(mode=0o750)
    for name in ("a", "d"):
        os.utime(source / name, ns=(OLD_NS, OLD_NS))
    escp.copy("-a", way.source(source), way.target(target))
    top = target / "source"
    assert mode_of(top / "a") == 0o640 and mode_of(top / "d") == 0o750
    assert (top / "a").stat().st_mtime_ns == (top / "d").stat().st_mtime_ns == OLD_NS
    assert os.path.samefile(top / "a", top / "b") and os.readlink(top / "link") == "nowhere"


@needs_root
@in_all_directions
def test_archive_keeps_owners_where_the_writing_side_is_root(escp, source, target, way):
    (source / "a").write_text("x")
    os.chown(source / "a", 12345, 23456)
    escp.copy("-a", "--numeric-ids", way.source(source), way.target(target))
    found = (target / "source" / "a").stat()
    assert (found.st_uid, found.st_gid) == (12345, 23456)


@needs_root
def test_archive_asks_nobody_else_for_owners(escp, source, target):
    """Whoever is not root writes files of their own, without an error."""
    (source / "a").write_text("x")
    os.chown(source / "a", 12345, 23456)
    escp.copy("-a", source, target, prefix=("unshare", "--user", "--map-user=1000"))
    assert (target / "source" / "a").stat().st_uid == os.getuid()


# ---- -T ---------------------------------------------------------------------------------------------


@in_all_directions
def test_exact_target_gets_the_contents_of_a_directory(escp, source, target, way):
    (source / "a").write_text("new")
    (target / "old").write_text("old")
    escp.copy("-r", "-T", way.source(source), way.target(target))
    assert sorted(os.listdir(target)) == ["a", "old"]
    escp.copy("-rT", way.source(source), way.target(target / "new"))
    assert os.listdir(target / "new") == ["a"]


@in_all_directions
@pytest.mark.parametrize("is_there", [True, False])
def test_exact_target_is_new_only_if_it_was_not_there(escp, source, target, way, is_there):
    (source / "a").write_text("x")
    source.chmod(0o755)
    to = target / "to"
    if is_there:
        to.mkdir(mode=0o700)
    done = escp.copy("-rT", "--itemize", way.source(source), way.target(to))
    assert (f"{to}/" in done.out.split()) != is_there
    if not way.is_to_remote:  # as with cp; scp that pushes sets the source's mode
        assert mode_of(to) == (0o700 if is_there else 0o755)


@in_all_directions
def test_exact_target_that_is_a_directory_is_refused_for_a_file(escp, source, target, way):
    (source / "a").write_text("x")
    done = escp.fail(16, "--no-target-directory", way.source(source / "a"), way.target(target))
    assert done.error.endswith(f"option -T: the target '{target}' is a directory")
    assert not os.listdir(target)
    escp.copy("-T", way.source(source / "a"), way.target(target / "b"))
    assert (target / "b").read_text() == "x"


@in_all_directions
def test_single_source_that_is_not_there_is_one_fault_whatever_the_target_is(escp, source, target, way):
    """It is told before anything is asked of the target, or made there."""
    (source / "a").write_text("x")
    (source / "link").symlink_to("nothing")
    targets = {"-T": target, "-rT": target / "new", "-r": f"{target}/new/", "--mkpath": target / "1" / "2"}
    for word, to in targets.items():
        done = escp.fail(1, word, way.source(source / "nothing"), way.target(to))
        assert done.error == f"{way.host_of_source(source / 'nothing')}: no such file or directory"
    done = escp.run("--json", way.source(source / "nothing"), way.target(target))
    assert (done.code, done.json[-1]["error"]["errno"]) == (1, "ENOENT")
    done = escp.fail(1, "-T", way.source(source / "link"), way.target(target))
    assert done.error == f"{way.host_of_source(source / 'link')}: no such file or directory"
    assert not os.listdir(target)


@pytest.mark.parametrize("way", [PULL], ids=["pull"])
def test_exact_target_for_a_pattern_that_fits_several(escp, source, target, way):
    for name in "ab":
        (source / name).write_text(name)
    done = escp.fail(16, "-T", way.source(source / "*"), way.target(target / "new"))
    assert done.error.startswith("option -T: several sources")
    assert not (target / "new").exists()


# ---- --mkpath ---------------------------------------------------------------------------------------


@in_all_directions
def test_path_to_the_target_is_made(escp, source, target, way):
    (source / "a").write_text("x")
    escp.copy("--mkpath", way.source(source / "a"), way.target(target / "1" / "2" / "b"))
    assert (target / "1" / "2" / "b").read_text() == "x"
    escp.copy("--mkpath", way.source(source / "a"), way.target(f"{target}/3/4/"))
    assert (target / "3" / "4" / "a").read_text() == "x"
    escp.copy("-r", "--mkpath", way.source(source), way.target(target / "5" / "6"))
    assert os.listdir(target / "5" / "6") == ["a"]
    escp.copy("-r", "--mkpath", way.source(source / "a"), way.source(source), way.target(target / "7" / "8"))
    assert sorted(os.listdir(target / "7" / "8")) == ["a", "source"]


@in_all_directions
def test_without_mkpath_nothing_is_made(escp, source, target, way):
    (source / "a").write_text("x")
    done = escp.run(way.source(source / "a"), way.target(target / "1" / "2"))
    assert done.code in (14, 15) and not os.listdir(target)


@in_all_directions
def test_path_is_not_made_in_a_dry_run(escp, source, target, way):
    (source / "a").write_text("x")
    for path in ("1/2/b", "1/2/"):
        done = escp.copy("-n", "--mkpath", way.source(source / "a"), way.target(f"{target}/{path}"))
        assert f"{target}/1/2" in done.out and not os.listdir(target)


# ---- --ignore-existing ------------------------------------------------------------------------------


@in_all_directions
@pytest.mark.parametrize("is_dry", [False, True], ids=["copy", "dry"])
def test_what_is_there_is_left_alone(escp, source, target, way, is_dry):
    top = target / "source"
    for name in ("file", "dir/file", "over-link", "over-dir"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("new")
    (source / "link").symlink_to("new")
    (source / "fresh-link").symlink_to("new")
    (source / "link-over-file").symlink_to("new")
    write_random(source / "large", 1 << 20)
    write_random(source / "fresh", 1 << 20)
    (top / "dir").mkdir(parents=True)
    (top / "over-dir").mkdir()
    for name in ("file", "large", "link-over-file"):
        (top / name).write_text("old")
    (top / "link").symlink_to("old")
    (top / "over-link").symlink_to("nowhere")
    words = ["-n"] if is_dry else []
    done = escp.copy("-r", "--links", "--ignore-existing", *words, way.source(source), way.target(target))
    new = {"dir/file", "fresh", "fresh-link"}
    if is_dry:
        listed = {line.partition("source/")[2] for line in done.out.splitlines() if not line.endswith("/")}
        assert listed == new and (top / "file").read_text() == "old"
        return
    assert "3 files" in done.err and "6 " in done.err.partition("files")[2], done.err
    for name in ("file", "large", "link-over-file"):
        assert (top / name).read_text() == "old"
    assert os.readlink(top / "link") == "old" and os.readlink(top / "over-link") == "nowhere"
    assert (top / "over-dir").is_dir() and os.readlink(top / "fresh-link") == "new"
    assert (top / "fresh").read_bytes() == (source / "fresh").read_bytes()
    assert (top / "dir" / "file").read_text() == "new"


@in_all_directions
def test_sources_that_are_there_are_no_failure(escp, source, target, way):
    for name in "ab":
        (source / name).write_text("new")
    (source / "l").symlink_to("x")
    (target / "a").write_text("old")
    (target / "l").write_text("old")
    words = [way.source(source / name) for name in "abl"]
    escp.copy("--links", "--ignore-existing", *words, way.target(target))
    assert (target / "a").read_text() == "old" and (target / "b").read_text() == "new"
    assert (target / "l").read_text() == "old"


@in_all_directions
def test_names_of_one_link_are_no_other_files_names(escp, source, target, way):
    """Where the first name is taken there, the other one is not linked to what has it."""
    (source / "l1").symlink_to("ours")
    os.link(source / "l1", source / "l2", follow_symlinks=False)
    (source / "f1").write_text("ours")
    os.link(source / "f1", source / "f2")
    top = target / "source"
    top.mkdir()
    (top / "l1").symlink_to("theirs")
    (top / "f1").write_text("theirs")
    escp.copy("-a", "--ignore-existing", way.source(source), way.target(target))
    assert os.readlink(top / "l2") == "ours" and (top / "f2").read_text() == "ours"
    assert os.readlink(top / "l1") == "theirs" and (top / "f1").read_text() == "theirs"


# ---- --chmod ----------------------------------------------------------------------------------------

# The option, and what becomes of a directory of 755 and files of 644 and 755.
CHMOD = {
    "D750,F600": (0o750, 0o600, 0o600),
    "go-rwx": (0o700, 0o600, 0o700),
    "Dg+s,ug+w,Fo-r,+X": (0o2775, 0o660, 0o771),
    "a=rX": (0o555, 0o444, 0o555),
    "Fu+s": (0o755, 0o4644, 0o4755),
    "u=rw,Da+x": (0o755, 0o644, 0o655),
    "go=u": (0o777, 0o666, 0o777),
    "g=u-w,o=": (0o750, 0o640, 0o750),
    "D700,Fo-g,Fg+u": (0o700, 0o660, 0o770),
}


@in_all_directions
@pytest.mark.parametrize("modes", CHMOD)
def test_modes_are_changed_with_p(escp, source, target, way, modes):
    (source / "d").mkdir(mode=0o755)
    for name, mode in (("plain", 0o644), ("tool", 0o755)):
        write_random(source / "d" / name, 300_000 if name == "tool" else 10)
        (source / "d" / name).chmod(mode)
    escp.copy("-rp", "--chmod", modes, way.source(source / "d"), way.target(target))
    top = target / "d"
    assert (mode_of(top), mode_of(top / "plain"), mode_of(top / "tool")) == CHMOD[modes]


@in_all_directions
def test_modes_of_new_files_are_changed_without_p(escp, source, target, way):
    for name in ("new", "old"):
        (source / name).write_text("x")
        (source / name).chmod(0o644)
    top = target / "source"
    top.mkdir()
    (top / "old").write_text("y")
    (top / "old").chmod(0o604)
    escp.copy("-r", "--chmod=F640", "--chmod", "Fu+x", way.source(source), way.target(target))
    assert mode_of(top / "new") == 0o740 and mode_of(top / "old") == 0o604


@in_all_directions
@pytest.mark.parametrize("umask", [0o022, 0o007])
def test_without_p_modes_are_less_the_umask_and_have_no_special_bits(escp, source, target, way, umask):
    """In every direction the same: without --chmod a push sets the source's modes, as scp does."""
    (source / "d").mkdir()
    (source / "d" / "a").write_text("x")
    (target / "source").mkdir(mode=0o711)
    agent = escp.write_agent("masked", f"umask {umask:o}")
    words = ("--chmod", "D2777,F6666", way.source(source), way.target(target))
    done = escp.copy("-r", *words, agent=agent, prefix=("sh", "-c", f'umask {umask:o}; exec "$@"', "sh"))
    top = target / "source"
    assert (mode_of(top), mode_of(top / "d")) == (0o711, 0o777 & ~umask)
    assert mode_of(top / "d" / "a") == 0o666 & ~umask
    assert "--chmod sets no setuid, setgid and sticky bits without -p" in done.err
    words = ("--chmod", "D755", way.source(source), way.target(target / "new"))
    assert not escp.copy("-rT", *words, agent=agent).err.count("warning")
    assert mode_of(target / "new") == 0o755 & ~(umask if way.is_to_remote else 0o022)


# ---- Sizes ------------------------------------------------------------------------------------------


@in_all_directions
@pytest.mark.parametrize("more", [[], ["--skip-unchanged", "-p"], ["-n"]], ids=["copy", "select", "dry"])
def test_sizes_leave_files_out(escp, source, target, way, more):
    (source / "d").mkdir()
    for size in (0, 999, 1000, 1024, 1025, 300_000):
        write_random(source / "d" / str(size), size)
    (source / "link").symlink_to("d/0")
    done = escp.copy(
        "-r", "--links", "--min-size=1KB", "--max-size", "1K", *more, way.source(source), way.target(target)
    )
    if "-n" in more:
        found = {line.rpartition("/")[2] for line in done.out.splitlines() if not line.endswith("/")}
    else:
        found = {
            os.path.basename(os.fsdecode(name))
            for name, what in list_tree(target).items()
            if what != "directory"
        }
    assert found == {"1000", "1024", "link"}
    assert "3 files" in done.err or "-n" in more, done.err


@in_all_directions
def test_sources_of_another_size_are_no_failure(escp, source, target, way):
    for name, size in (("small", 10), ("large", 300_000)):
        write_random(source / name, size)
    words = [way.source(source / name) for name in ("small", "large")]
    escp.copy("--max-size", "1K", *words, way.target(target))
    assert os.listdir(target) == ["small"]
    escp.copy("--min-size", "1K", "--ignore-existing", *words, way.target(target))
    assert sorted(os.listdir(target)) == ["large", "small"]


@needs_root
def test_unreadable_files_of_another_size_are_no_failure(escp, source, target):
    for name in ("a", "bbb"):
        (source / name).write_text(name)
    os.chown(source / "bbb", 12345, 12345)
    (source / "bbb").chmod(0)
    user = ("unshare", "--user", "--map-user=1000")
    done = escp.copy("-r", "--max-size=2", source, target, prefix=user)
    assert os.listdir(target / "source") == ["a"], done.err


# ---- An older escp ----------------------------------------------------------------------------------

FOR_THE_WRITER = ["-a", "-T", "--mkpath", "--chmod=F600"]
FOR_THE_READER = ["--max-size=1", "--min-size=2"]


@pytest.mark.parametrize("word", [*FOR_THE_WRITER, *FOR_THE_READER, "--ignore-existing"])
@pytest.mark.parametrize("way", [PUSH, PULL, RELAY], ids=lambda way: way.name)
def test_older_agent_is_not_asked_for_what_it_does_not_know(escp, source, target, way, word):
    (source / "a").write_text("x")
    if word in {PUSH: FOR_THE_READER, PULL: FOR_THE_WRITER}.get(way, []):
        return  # of this side's work
    code = (
        "from escp.agent import agent; agent.FEATURES.remove('habits'); from escp.__main__ import run; run()"
    )
    command = shlex.join([sys.executable, "-c", code])
    old = escp.write_agent("old", command=f'exec {command} "$@"')
    done = escp.fail(11, word, way.source(source / "a"), way.target(target / "b"), agent=old)
    assert "is too old for it" in done.error and not (target / "b").exists()

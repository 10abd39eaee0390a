"""File lists, filters, updates and dry runs, in all four directions over real logins."""

import os
import time
from pathlib import Path

import pytest

from tests.support.command import remote
from tests.support.directions import ALL, LOCAL, PULL, PUSH, in_all_directions
from tests.support.trees import list_tree, make_tree, write_random

OLD_NS = 1_600_000_000_123_456_789
SECOND_NS = 10**9

# ---- File lists -------------------------------------------------------------------------------------

NAMES = [
    b"plain",
    b"with space ",
    b"#not a comment",
    b"*",
    b"[a]",
    b"back\\slash",
    b"- dash",
    b"\xff\xfe",
    b"~",
]


def make_named(top: Path, names: list[bytes]) -> None:
    for number, name in enumerate(names):
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            file.write(os.urandom(100 * number))


def write_list(path: Path, way, source: Path, names: list[bytes], end: bytes = b"\n") -> Path:
    words = [os.fsencode(way.source(os.path.join(os.fsencode(source), name))) for name in names]
    path.write_bytes(b"".join(word + end for word in words))
    return path


@in_all_directions
def test_filelist_of_lines(escp, source, target, folder, way):
    """Names are what they are: no pattern, no comment, no character set. The target is made if need be."""
    make_named(source, [*NAMES, b"not listed"])
    (source / "tree").mkdir()
    make_named(source / "tree", [b"x", b"y"])
    filelist = write_list(folder / "list", way, source, [*NAMES, b"", b"tree"])
    with open(filelist, "rb") as file:
        lines = file.read().replace(os.fsencode(way.source(os.fsencode(source) + b"/")) + b"\n", b"\n")
    filelist.write_bytes(lines)
    escp.copy("-r", "--filelist", filelist, way.target(target / "new"))
    wanted = list_tree(source)
    del wanted[b"not listed"]
    assert list_tree(target / "new") == wanted


@in_all_directions
def test_filelist_of_nul_separated_names(escp, source, target, folder, way):
    names = [*NAMES, b"new\nline", b"- [a, b]", b"\n"]
    make_named(source, names)
    filelist = write_list(folder / "list", way, source, names, b"\0")
    escp.copy("-0", "--filelist", filelist, way.target(target))
    assert list_tree(target) == list_tree(source) and len(list_tree(target)) == len(names)


@in_all_directions
def test_filelist_of_pairs(escp, source, target, folder, way):
    make_named(source, [b"a", b"b", b"c"])
    (source / "tree" / "below").mkdir(parents=True)
    make_named(source / "tree" / "below", [b"x"])
    lines = [
        "# a comment",
        f"- [{os.fsdecode(way.source(source / 'a'))}, renamed]",
        f'- ["{os.fsdecode(way.source(source / "b"))}", "deep/er/b \\u20ac"]',
        f"- [{os.fsdecode(way.source(source / 'tree'))}, deep/tree]",
        f"- {os.fsdecode(way.source(source / 'c'))}",
    ]
    filelist = folder / "list"
    filelist.write_text("\n".join(lines))
    (target / "deep").mkdir()
    escp.copy("-r", "--filelist", filelist, way.target(target))
    found = list_tree(target)
    assert {name for name, what in found.items() if what != "directory"} == {
        b"renamed", "deep/er/b €".encode(), b"deep/tree/below/x", b"c"
    }  # fmt: skip
    assert (target / "renamed").read_bytes() == (source / "a").read_bytes()
    assert (target / "deep" / "tree" / "below" / "x").is_file()


@pytest.mark.parametrize("way", [PUSH, PULL], ids=lambda way: way.name)
def test_filelist_from_a_pipe_that_is_slow(escp, source, target, way):
    """Behind the sources of the command line; what has come is copied before the rest comes."""
    make_named(source, [b"a", b"b", b"c"])
    reader, writer = os.pipe()
    process = escp.start("--filelist", "-", way.source(source / "a"), way.target(target), stdin=reader)
    os.close(reader)
    with open(writer, "wb", 0) as pipe:
        for name in (b"b", b"c"):
            pipe.write(os.fsencode(way.source(source / os.fsdecode(name))) + b"\n")
            end_s = time.monotonic() + 10
            while not (target / os.fsdecode(name)).exists() and time.monotonic() < end_s:
                time.sleep(0.02)
            assert (target / os.fsdecode(name)).exists()
    done = escp.finish(process)
    assert done.code == 0 and list_tree(target) == list_tree(source), done.err


@pytest.mark.parametrize("is_to_remote", [False, True], ids=["pull", "push"])
def test_filelist_of_several_hosts(escp, source, target, folder, is_to_remote):
    make_named(source, [b"a", b"b", b"c", b"d", b"e"])
    hosts = ["", "box:", "box:", "127.0.0.1:", ""]
    filelist = folder / "list"
    filelist.write_text(
        "".join(f"{host}{source}/{name}\n" for host, name in zip(hosts, "abcde", strict=True))
    )
    done = escp.copy("--filelist", filelist, remote(target / "new") if is_to_remote else target / "new")
    assert list_tree(target / "new") == list_tree(source) and "5 files" in done.err


@in_all_directions
def test_missing_entries_are_named_and_the_others_copied(escp, source, target, folder, way):
    make_named(source, [b"a", b"b"])
    filelist = write_list(folder / "list", way, source, [b"missing", b"a", b"no/where", b"b"])
    done = escp.fail(1, "--filelist", filelist, way.target(target))
    for name in ("missing", "no/where"):
        assert f"{way.host_of_source(source / name)}: no such file" in done.err
    assert list_tree(target) == list_tree(source) and "2 failed" in done.err


@in_all_directions
def test_directory_in_a_list_needs_r(escp, source, target, folder, way):
    make_named(source, [b"a"])
    (source / "d").mkdir()
    filelist = write_list(folder / "list", way, source, [b"d", b"a"])
    done = escp.fail(1, "--filelist", filelist, way.target(target))
    assert f"{way.host_of_source(source / 'd')}: is a directory" in done.err and os.listdir(target) == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"- [{}, ../out]\n", "line 1: the target '../out' leads upwards"),
        (b"- [{}, /etc/x]\n", "line 1: the target '/etc/x' is absolute"),
        (b"- [{}]\n", "line 1: a pair is [source, target], not 1 names"),
        (b"{}\nb\0c\n", "line 2: a NUL in a name"),
        (b"--- \nkey: {}\n", "line 2: not a list"),
    ],
    ids=["upwards", "absolute", "single", "nul", "mapping"],
)
@pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
def test_bad_list_ends_the_copy(escp, source, target, folder, way, text, message):
    make_named(source, [b"a"])
    (folder / "list").write_bytes(text.replace(b"{}", os.fsencode(source / "a")))
    done = escp.fail(2, "--filelist", folder / "list", way.target(target))
    assert done.error == f"file list '{folder}/list', {message}" and done.hint
    assert set(os.listdir(target)) <= {"a"} and not (folder / "out").exists()


def test_list_that_cannot_be_read_or_is_empty(escp, source, target, folder):
    logins = escp.sshd.n_logins
    done = escp.fail(14, "--filelist", folder / "missing", remote(target))
    assert "can't read the file list" in done.error
    (folder / "list").write_text("\n\n")
    done = escp.fail(2, "--filelist", folder / "list", remote(target))
    assert "is empty" in done.error and escp.sshd.n_logins == logins


# ---- Filters ----------------------------------------------------------------------------------------

TREE = [
    "a.log",
    "a.txt",
    "build/x",
    "keep.log",
    "d/build/y",
    "d/a.log",
    "d/keep.log",
    "d/z",
    "cache/1/2",
    "cache/k",
]


@in_all_directions
def test_filters(escp, source, target, way):
    for name in TREE:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    options = "--include keep.log --exclude *.log --exclude /source/build/ --exclude cache/**".split()
    escp.copy(*options, "-r", way.source(source), way.target(target))
    copied = {os.fsdecode(name) for name, what in list_tree(target / "source").items() if what != "directory"}
    assert copied == {"a.txt", "keep.log", "d/build/y", "d/keep.log", "d/z"}
    assert not (target / "source" / "build").exists()


@pytest.mark.parametrize("way", ALL[:3], ids=lambda way: way.name)
def test_filters_hold_for_named_sources_too(escp, source, target, way):
    make_named(source, [b"a.txt", b"b.log"])
    escp.copy(
        "--exclude", "*.log", way.source(source / "a.txt"), way.source(source / "b.log"), way.target(target)
    )
    assert os.listdir(target) == ["a.txt"]
    if way is PULL:
        escp.copy("--exclude", "a*", f"box:{source}/*", target / "new")
        assert os.listdir(target / "new") == ["b.log"]


# ---- What is there already --------------------------------------------------------------------------


def write_at(path: Path, text: str, time_ns: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(time_ns, time_ns))


# (contents and time there): the source is "source" of OLD_NS. What each option makes of it.
THERE = {
    "same": ("source", OLD_NS),
    "other-contents": ("SOURCE", OLD_NS),
    "newer": ("newer there", OLD_NS + SECOND_NS),
    "older": ("older there", OLD_NS - SECOND_NS),
    "touched": ("source", OLD_NS + 5 * SECOND_NS),
    "missing": None,
}
KEPT = {
    "--update": {"same", "other-contents", "newer", "touched"},
    "--skip-unchanged": {"same", "other-contents"},
    "--checksum": {"same", "touched"},
}


@in_all_directions
@pytest.mark.parametrize("option", KEPT)
def test_what_is_there_is_skipped(escp, source, target, way, option):
    (target / "source").mkdir()
    inodes = {}
    for name, there in THERE.items():
        write_at(source / name, "source", OLD_NS)
        if there:
            write_at(target / "source" / name, *there)
            inodes[name] = (target / "source" / name).stat().st_ino
    done = escp.copy("-r", option, way.source(source), way.target(target))
    kept = {name for name, inode in inodes.items() if (target / "source" / name).stat().st_ino == inode}
    assert kept == KEPT[option]
    for name in THERE:
        wanted = THERE[name][0] if name in kept else "source"
        assert (target / "source" / name).read_text() == wanted, name
    assert f"{len(kept)} unchanged" in done.err and f"{len(THERE) - len(kept)} file" in done.err


@pytest.mark.parametrize("way", [PUSH, PULL], ids=lambda way: way.name)
def test_second_copy_with_times_sends_no_file(escp, source, target, way):
    make_tree(source, n_directories=1)
    words = ["-rp", "--skip-unchanged", "--json", way.source(source), way.target(target)]
    assert escp.copy(*words).json[-1]["skipped"] == 0
    result = escp.copy(*words).json[-1]
    assert result["files"] == result["bytes"] == 0 and result["skipped"] == 11
    assert list_tree(source) == list_tree(target / "source")


@in_all_directions
@pytest.mark.parametrize(
    ("options", "is_warned"),
    [(["--skip-unchanged"], True), (["-p", "--skip-unchanged"], False), (["--checksum"], False)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_times_that_are_not_kept_are_warned_of(escp, source, target, way, options, is_warned):
    """Every run would copy everything again, and say nothing."""
    (source / "a").write_text("a")
    words = ["-r", *options, way.source(source), way.target(target)]
    for _ in range(2):
        done = escp.copy(*words)
        assert done.err.count("escp: warning: --skip-unchanged compares times, and without -p") == is_warned
    assert ("1 unchanged" in done.err) is not is_warned, done.err


# ---- Dry runs ---------------------------------------------------------------------------------------


def snapshot(top: Path) -> dict[str, tuple]:
    """All that a copy could change."""
    found = {}
    for path in sorted([top, *top.rglob("*")]):
        status = path.lstat()
        found[str(path)] = (
            status.st_ino,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    return found


@in_all_directions
def test_dry_run_lists_and_writes_nothing(escp, source, target, folder, way):
    """Neither to the target nor anywhere else, and it makes no target that is missing."""
    make_tree(source, n_directories=1, n_files=2)
    (source / "link").symlink_to("empty file")
    (source / "skipped.log").touch()
    temporary = folder / "temporary"
    temporary.mkdir()
    env = {"TMPDIR": str(temporary)}
    agent = escp.write_agent("elsewhere", f"export TMPDIR={temporary}")
    before = snapshot(target)
    options = ["-n", "-r", "--exclude", "*.log", "--links"]
    for at, top in ((target, "target/source"), (target / "new", "target/new")):
        done = escp.copy(*options, way.source(source), way.target(at), agent=agent, env=env)
        names = [name for name in list_tree(source) if name != b"skipped.log"]
        wanted = {f"{folder}/{top}/{os.fsdecode(name)}" for name in names} | {f"{folder}/{top}"}
        assert {line.rstrip("/").partition(" -> ")[0] for line in done.out.splitlines()} == wanted
        assert "would copy" in done.err and "verified" not in done.err
        assert snapshot(target) == before and os.listdir(temporary) == []


@in_all_directions
def test_dry_run_says_what_an_update_would_copy(escp, source, target, way):
    (target / "source").mkdir()
    for name, there in THERE.items():
        write_at(source / name, "source", OLD_NS)
        if there:
            write_at(target / "source" / name, *there)
    before = snapshot(target)
    done = escp.copy("--json", "-n", "-r", "--skip-unchanged", way.source(source), way.target(target))
    listed = {line["path"] for line in done.json if line["type"] == "listed"}
    wanted = set(THERE) - KEPT["--skip-unchanged"]
    assert listed - {f"{target}/source/"} == {f"{target}/source/{name}" for name in wanted}
    result = done.json[-1]
    assert result["dry_run"] is True and result["skipped"] == 2
    assert result["files"] == len(wanted) and result["bytes"] == 0
    assert snapshot(target) == before


@in_all_directions
def test_dry_run_of_one_file_and_of_a_missing_one(escp, source, target, way):
    write_random(source / "a", 300_000)
    done = escp.copy("-n", way.source(source / "a"), way.target(target / "b"))
    assert done.out == f"{target}/b\n" and os.listdir(target) == []
    done = escp.fail(1, "-n", way.source(source / "a"), way.source(source / "missing"), way.target(target))
    assert f"{way.host_of_source(source / 'missing')}: no such file" in done.err
    assert done.out == f"{target}/a\n" and os.listdir(target) == []


@pytest.mark.parametrize("way", [PUSH, PULL], ids=lambda way: way.name)
def test_dry_run_fails_where_the_copy_would(escp, source, target, way):
    """The target's parent is missing, or is a file."""
    (source / "a").write_text("a")
    (target / "file").touch()
    for parent in ("missing", "file"):
        words = "-r", way.source(source), way.target(target / parent / "new")
        wet, dry = escp.run(*words), escp.run("-n", *words)
        assert dry.code == wet.code == (15 if way.is_to_remote else 14)
        assert dry.error == wet.error and dry.hint == wet.hint
    assert os.listdir(target) == ["file"]

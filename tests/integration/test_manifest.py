"""--manifest and --check: what was copied, as sha256sum reads it, and what has become of it."""

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.command import remote
from tests.support.directions import LOCAL, PUSH, RELAY, in_all_directions
from tests.support.trees import write_random

NAMES = (
    b"a", b"d/e/b", b"new\nline", b"back\\slash", b"both\\\n\\n", b"cr\rin", b"end\r", b"\xff\xfe",
    b" blank ", b"*star", b"#hash", b"d/quote\"'", "d/ä".encode(),
)  # fmt: skip
BOTH_SIDES = pytest.mark.parametrize("way", (LOCAL, PUSH), ids=lambda way: way.name)


@pytest.fixture
def tree(source):
    for name in NAMES:
        path = os.path.join(os.fsencode(source), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(name)
    write_random(source / "large", 1_500_000)
    (source / "empty").mkdir()
    (source / "link").symlink_to("a")
    return source


def check_with_coreutils(manifest: Path, folder: Path) -> None:
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", manifest], cwd=folder, check=True)


def read(manifest: Path) -> dict[bytes, tuple[str, int, int]]:
    """Name: digest, size, time. By other rules than escp's own: sha256sum's."""
    found = {}
    about = None
    for line in manifest.read_bytes().split(b"\n"):
        if line.startswith(b"#file "):
            _, size, stamp = line.split(b" ")
            seconds, ns = stamp.split(b".")
            about = int(size), int(seconds) * 10**9 + int(ns)
        elif line and not line.startswith(b"#"):
            is_escaped = line.startswith(b"\\")
            digest, name = line.removeprefix(b"\\").split(b"  ", 1)
            if is_escaped:
                name = (
                    name.replace(b"\\\\", b"\0")
                    .replace(b"\\n", b"\n")
                    .replace(b"\\r", b"\r")
                    .replace(b"\0", b"\\")
                )
            assert name not in found
            found[name] = (digest.decode(), *about)
    return found


def expect(top: Path, folder: Path) -> dict[bytes, tuple[str, int, int]]:
    """What a manifest of *top* has to say, with names below *folder*."""
    found = {}
    for where, _, names in os.walk(os.fsencode(top)):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.stat(path)
            found[os.path.relpath(path, os.fsencode(folder))] = (digest, status.st_size, status.st_mtime_ns)
    return found


@in_all_directions
def test_all_that_was_copied_has_its_line(escp, tree, target, way, folder):
    (target / "beside").write_text("not copied")
    manifest = folder / "manifest"
    escp.copy("-r", "--manifest", manifest, way.source(tree), way.target(target))
    check_with_coreutils(manifest, target)
    assert read(manifest) == expect(target / "source", target)
    done = escp.copy("--check", manifest, way.target(target))
    assert done.out == f"{len(NAMES) + 2} files as the manifest says\n"


def test_straight_from_host_to_host(escp, tree, target, folder):
    manifest = folder / "manifest"
    escp.copy("-R", "-r", "--manifest", manifest, remote(tree), remote(target))
    assert read(manifest) == expect(target / "source", target)


@pytest.mark.parametrize(
    "words", [("--skip-unchanged",), ("--checksum",), ("--ignore-existing",), ("--update",)]
)
@in_all_directions
def test_what_was_there_has_its_line_too(escp, tree, target, way, words, folder):
    manifest = folder / "manifest"
    command = ("-rp", *words, way.source(tree), way.target(target))
    escp.copy(*command)
    (tree / "new").write_text("new")
    escp.copy("--manifest", manifest, *command)
    assert read(manifest) == expect(target / "source", target)


@in_all_directions
def test_resumed(escp, tree, target, way, folder):
    """What is known from a first run is in the second one's manifest."""
    manifest = folder / "manifest"
    command = ("-r", way.source(tree), way.target(target))
    escp.copy(*command)
    escp.copy("--resume", "--manifest", manifest, *command)
    assert read(manifest) == expect(target / "source", target)


@in_all_directions
def test_a_new_directory_and_a_new_name(escp, tree, target, way, folder):
    manifest = folder / "manifest"
    escp.copy("-r", "--manifest", manifest, way.source(tree), way.target(target / "new"))
    assert read(manifest) == expect(target / "new", target / "new")
    (target / "new" / "extra").write_text("x")
    done = escp.run("--check", manifest, way.target(target / "new"))
    assert done.code == 1 and "extra       extra\n" in done.out
    escp.copy("--manifest", manifest, way.source(tree / "a"), way.target(target / "b"))
    assert list(read(manifest)) == [b"b"]
    check_with_coreutils(manifest, target)
    escp.copy("--check", manifest, way.target(target))


@BOTH_SIDES
def test_each_difference_is_named(escp, tree, target, way, folder):
    manifest = folder / "manifest"
    escp.copy("-r", "--manifest", manifest, tree, target)
    top = target / "source"
    before = os.stat(top / "a")
    (top / "a").write_text("b")
    os.utime(top / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    (top / "large").write_text("short")
    (top / "#hash").unlink()
    shutil.rmtree(top / "d" / "e")
    os.utime(top / "*star", ns=(1, 1))  # that alone is no difference
    (top / " blank ").unlink()
    (top / " blank ").mkdir()
    (top / "empty" / "extra").write_text("x")
    (top / "d" / "new\nname").write_text("x")
    (target / "beside").write_text("not below what was copied")
    done = escp.run("--check", manifest, way.target(target))
    assert done.code == 1 and done.err == ""
    *lines, last = done.out.splitlines()
    assert sorted(lines) == [
        "changed     source/ blank : it is a directory now",
        "changed     source/a: other contents, of the same size and time",
        "changed     source/large: 5 bytes instead of 1,500,000",
        "extra       source/d/new\\nname",
        "extra       source/empty/extra",
        "missing     source/#hash",
        "missing     source/d/e/b",
    ]
    assert last == f"{len(NAMES) + 2 - 5} files as the manifest says, 2 missing, 3 changed, 2 extra"
    done = escp.run("-p", "--check", manifest, way.target(target))
    assert "changed     source/*star: another time, and the same contents" in done.out
    lines = escp.run("--json", "--check", manifest, way.target(target)).json
    assert Counter(line["status"] for line in lines if line["type"] == "difference") == {
        "missing": 2, "changed": 3, "extra": 2,
    }  # fmt: skip
    (checked,) = [line for line in lines if line["type"] == "checked"]
    assert (checked["missing"], checked["changed"], checked["extra"], checked["unreadable"]) == (2, 3, 2, 0)
    assert lines[-1]["exit_code"] == 1 and lines[-1]["type"] == "result"


@BOTH_SIDES
def test_lists_of_other_programs(escp, tree, way, folder):
    for words, extra in ((["sha256sum"], 0), (["sha256sum", "--tag"], 0), (["sha256sum", "-b"], 0)):
        listed = subprocess.run(
            ["find", ".", "-type", "f", "-exec", *words, "{}", "+"], cwd=tree, check=True, capture_output=True
        ).stdout
        manifest = folder / "manifest"
        manifest.write_bytes(listed)
        assert escp.copy("--check", manifest, way.target(tree)).code == extra
    (tree / "more").write_text("x")
    with open(manifest) as lines:
        done = escp.run("--check", "-", way.target(tree), stdin=lines)
    assert done.code == 1 and done.out.startswith("extra       more\n")


def test_a_damaged_line_is_named_and_nothing_compared(escp, tree, target, folder):
    manifest = folder / "manifest"
    escp.copy("-r", "--manifest", manifest, tree, target)
    whole = manifest.read_bytes().splitlines(keepends=True)
    for lines, line in (
        ([*whole[:4], b"0123 x\n", *whole[4:]], 5),
        ([*whole[:5], *whole[7:]], len(whole) - 2),  # a file's lines are gone
        (whole[:-1], len(whole) - 1),
        ([*whole[:3], b"0" * 64 + b"  ../x\n", *whole[4:]], 4),
        ([*whole[:3], b"0" * 64 + b"  /etc/passwd\n", *whole[4:]], 4),
        ([*whole[:2], b"#file 1 x\n", *whole[3:]], 3),
        ([b"\0" * 70_000], 1),
    ):
        manifest.write_bytes(b"".join(lines))
        done = escp.run("--check", manifest, remote(target))
        assert done.code == 2 and done.out == "", done
        assert done.error.startswith(f"the manifest '{manifest}' is damaged: line {line}"), done.error
    manifest.write_text("")
    assert escp.run("--check", manifest, target).error == f"the manifest '{manifest}' is empty"
    assert escp.run("--check", folder / "none", target).code == 14


def test_it_is_there_as_a_whole_or_not_at_all(escp, tree, target, folder):
    manifest = folder / "manifest"
    manifest.write_text("old")
    done = escp.run("-r", "--manifest", manifest, folder / "no such", target)
    assert done.code == 1 and manifest.read_text() == "old"
    (target / "source").write_text("in the way")
    assert escp.run("-r", "--manifest", manifest, tree, target).code != 0
    assert sorted(os.listdir(folder)) == sorted(os.listdir(folder)) and not [
        name for name in os.listdir(folder) if name.startswith(".manifest")
    ]
    assert escp.run("--manifest", folder / "no" / "file", tree / "a", target).code == 14
    assert not (target / "a").exists()  # it was said before
    assert escp.run("--manifest", folder, tree / "a", target).code == 14


def test_what_failed_has_no_line(escp, tree, target, folder):
    (tree / "pipe").unlink(missing_ok=True)
    os.mkfifo(tree / "pipe")
    (target / "source" / "a").mkdir(parents=True)
    manifest = folder / "manifest"
    done = escp.run("-r", "--manifest", manifest, tree, target)
    assert done.code == 1 and b"source/a" not in read(manifest)
    assert len(read(manifest)) == len(NAMES) + 1  # one failed, large and link are there


def test_to_standard_output_a_pipe_and_through_a_link(escp, tree, target, folder):
    done = escp.copy("-q", "--manifest", "-", tree / "a", target)
    digest = hashlib.sha256(b"a").hexdigest()
    assert done.out.startswith("# escp manifest 1\n#file 1 ") and f"\n{digest}  a\n#end 1\n" in done.out
    real = folder / "real"
    real.write_text("")
    (folder / "link").symlink_to(real)
    escp.copy("--manifest", folder / "link", tree / "a", target)
    assert (folder / "link").is_symlink() and read(real)
    escp.copy("--manifest", "/dev/null", tree / "a", target)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_sources_that_are_removed_are_in_it(escp, tree, target, folder):
    manifest = folder / "manifest"
    escp.copy("-r", "--remove-source-files", "--manifest", manifest, tree, remote(target))
    assert read(manifest) == expect(target / "source", target)


def test_one_for_several_hosts_and_a_list(escp, tree, target, folder):
    manifest = folder / "manifest"
    names = folder / "names.yaml"
    names.write_text(f"- ['{tree}/a', '2026/first']\n- '{tree}/large'\n- '{os.fsdecode(remote(tree))}/d'\n")
    (target / "2026").mkdir()
    (target / "2026" / "other").write_text("not copied, and no directory of it was")
    escp.copy("-r", "--manifest", manifest, "--filelist", names, target)
    assert set(read(manifest)) == {b"2026/first", b"large", b"d/e/b", b"d/quote\"'", "d/ä".encode()}
    escp.copy("--check", manifest, target)


def test_each_digest_as_json(escp, tree, target, folder):
    manifest = folder / "manifest"
    done = escp.copy("--json", "-r", "--manifest", manifest, tree, remote(target))
    told = [line for line in done.json if line["type"] == "digest"]
    by_name = {
        bytes.fromhex(line["path_hex"]) if "path_hex" in line else line["path"].encode(): (
            line["sha256"], line["bytes"], int(line["mtime"].replace(".", "")),
        )
        for line in told
    }  # fmt: skip
    assert by_name == read(manifest)


OTHERS = "standard output has other lines"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--manifest", "m", "-n"), "--manifest: with --dry-run nothing is written"),
        (("--manifest", "m", "--ioengine", "dummy"), "--manifest: with --ioengine=dummy nothing is written"),
        (("--manifest", "-", "--json"), f"--manifest: with --json {OTHERS}"),
        (("--manifest", "-", "--json-fd=1"), f"--manifest: with --json-fd=1 {OTHERS}"),
        (("--manifest", "-", "--itemize"), f"--manifest: with --itemize {OTHERS}"),
        (("--check", "m"), "--check: 2 trees given to compare with the manifest"),
    ],
)
def test_what_makes_no_sense_is_refused(escp, tree, target, words, said):
    done = escp.run(*words, tree / "a", target)
    text = done.error if done.error else done.json[-1]["error"]["message"]
    assert (done.code, text) == (2, f"option {said}")
    assert not (target / "a").exists()


def test_an_escp_that_knows_none_is_named(escp, tree, target, folder):
    program = "from escp.agent import agent; agent.FEATURES.remove('manifest'); from escp.__main__ import run"
    program += "; run()"
    old = escp.write_agent("old", command=f'exec {shlex.join([sys.executable, "-c", program])} "$@"')
    done = escp.run("--manifest", folder / "m", tree / "a", remote(target), agent=old)
    assert done.code == 11 and done.error == "option --manifest: the escp on box is too old for it"
    (folder / "m").write_text("0" * 64 + "  a\n")
    done = escp.run("--check", folder / "m", remote(target), agent=old)
    assert done.code == 11 and done.error == "option --check: the escp on box is too old for it"


@pytest.mark.parametrize("way", (PUSH, RELAY), ids=lambda way: way.name)
def test_what_is_gone_again_is_told(escp, tree, target, way, folder):
    """Between its copy and its digest somebody removes it."""
    gone = str(target / "a")
    program = f"""
import os, escp.names.survey as survey
from escp.__main__ import run
take = survey.Survey.take
remove = lambda: os.path.exists({gone!r}) and os.unlink({gone!r})
survey.Survey.take = lambda self, message: (remove(), take(self, message))
run()"""
    agent = escp.write_agent("agent", command=f'exec {shlex.join([sys.executable, "-c", program])} "$@"')
    done = escp.run("--manifest", folder / "m", way.source(tree / "a"), way.target(target), agent=agent)
    assert done.code == 1 and done.err.count("it is not in the manifest: no such file or directory") == 1
    assert read(folder / "m") == {}


@BOTH_SIDES
def test_a_directory_with_none_of_the_files_is_told_once_more(escp, source, target, tmp_path, way):
    (source / "a").write_text("a")
    (source / "b").write_text("b")
    manifest = tmp_path / "m"
    escp.copy("-r", "--manifest", manifest, source, target)
    for wrong in ("source", "nowhere"):  # a level too deep, or not there
        done = escp.run("--check", manifest, way.target(target / wrong))
        assert done.code == 1 and f"no file of the manifest is below '{target / wrong}'" in done.err
        assert done.out.count("missing  ") == 2
    assert "no file of the manifest" not in escp.run("-q", "--check", manifest, way.target(target / "x")).err
    (target / "source" / "a").unlink()
    assert escp.run("--check", manifest, way.target(target)).err == ""


@BOTH_SIDES
def test_programs_hear_how_a_check_ended(escp, source, target, folder, way):
    (source / "a").write_text("a")
    manifest = folder / "manifest"
    escp.copy("-r", "--manifest", manifest, source, target)
    for code in (0, 1):
        told = ("--metrics", folder / "m", "--notify", f'echo "$ESCP_RESULT_EXIT_CODE" > {folder}/n')
        assert escp.run(*told, "--check", manifest, way.target(target)).code == code
        assert f'exit_code{{job="m"}} {code}' in (folder / "m").read_text()
        assert (folder / "n").read_text() == f"{code}\n"
        (target / "source" / "a").write_text("b")


@pytest.mark.parametrize("option", ["--manifest", "--metrics"])
def test_data_that_is_named_by_mistake_is_not_written_over(escp, source, target, folder, option):
    """`--manifest $M a b HOST:` with M unset, for one."""
    for name in ("a", "b"):
        write_random(source / name, 1000)
    done = escp.fail(14, option, source / "a", source / "b", target)
    assert "a file of another kind" in done.error and (source / "a").stat().st_size == 1000
    assert os.listdir(target) == []
    done = escp.run(option, target / "b", source / "b", target)
    assert "a file of another kind" in done.err
    assert (target / "b").read_bytes() == (source / "b").read_bytes()
    (folder / "own").touch()
    for _ in range(2):  # empty, then its own
        escp.copy(option, folder / "own", source / "b", target)

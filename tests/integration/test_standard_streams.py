"""`-`: standard input as the source, standard output as the target."""

import os
import subprocess

import pytest

from tests.support.command import remote
from tests.support.directions import LOCAL, PULL, PUSH
from tests.support.trees import write_random

SIZES = [0, 1, 1000, 3_000_001]
to_a_file = pytest.mark.parametrize("way", [PUSH, LOCAL], ids=lambda way: way.name)
to_a_pipe = pytest.mark.parametrize("way", [PULL, LOCAL], ids=lambda way: way.name)


@to_a_file
@pytest.mark.parametrize("size", SIZES)
def test_pipe_becomes_a_file(escp, source, target, way, size):
    write_random(source / "a", size)
    process = escp.start("-", way.target(target / "b"), stdin=subprocess.PIPE)
    with process.stdin:
        process.stdin.write((source / "a").read_bytes())
    process.stdin = None
    done = escp.finish(process)
    assert done.code == 0 and not done.out and "1 file" in done.err, done.err
    assert (target / "b").read_bytes() == (source / "a").read_bytes()
    umask = os.umask(0)
    os.umask(umask)
    assert (target / "b").stat().st_mode & 0o777 == 0o666 & ~umask


@to_a_file
def test_redirected_file_is_read_where_it_lies(escp, source, target, way):
    write_random(source / "a", 500_000)
    with open(source / "a", "rb") as file:
        escp.copy("-a", "-", way.target(target / "b"), stdin=file, env={"TMPDIR": "/nowhere"})
    assert (target / "b").read_bytes() == (source / "a").read_bytes() and not (target / "b").is_symlink()


@to_a_file
def test_what_was_read_of_a_file_is_not_read_again(escp, source, target, way):
    (source / "a").write_bytes(b"head" + b"x" * 500_000)
    with open(source / "a", "rb", 0) as file:
        file.read(4)
        escp.copy("-", way.target(target / "b"), stdin=file)
    assert (target / "b").read_bytes() == b"x" * 500_000


@to_a_file
def test_standard_input_has_no_name_in_a_directory(escp, source, target, way):
    (source / "a").write_bytes(b"x")
    with open(source / "a", "rb") as file:
        done = escp.fail(16, "-", way.target(target), stdin=file)
    assert done.error == f"the target '{target}' is a directory, and standard input has no name"
    assert os.listdir(target) == []


def test_no_room_for_what_comes_is_told(escp, target):
    done = escp.fail(14, "-", target / "b", stdin=subprocess.DEVNULL, env={"TMPDIR": "/nowhere"})
    assert done.error.startswith("can't keep what comes from standard input in '/nowhere': ")


@to_a_pipe
@pytest.mark.parametrize("size", SIZES)
def test_file_goes_to_a_pipe(escp, source, way, size):
    write_random(source / "a", size)
    process = escp.start(way.source(source / "a"), "-", stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out == (source / "a").read_bytes()
    assert b"1 file" in err and b"verified" in err


@to_a_pipe
def test_output_goes_on_where_a_file_was_left(escp, source, folder, way):
    write_random(source / "a", 2_500_000)
    path = folder / "out"
    with open(path, "wb", 0) as file:
        file.write(b"head")
        escp.copy(way.source(source / "a"), "-", stdout=file)
        file.write(b"tail")
    assert path.read_bytes() == b"head" + (source / "a").read_bytes() + b"tail"


@to_a_pipe
def test_reader_that_wants_no_more_is_as_for_other_tools(escp, source, way):
    write_random(source / "a", 8_000_000)
    process = escp.start(way.source(source / "a"), "-", stdout=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    done = escp.finish(process)
    assert done.code == 141 and not done.error, done.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--dry-run", "box:a", "-"], 2, "option --dry-run: standard output, -, is the target"),
        (["box:a", "box:b", "-"], 2, "standard output, -, takes one file, not 2 sources"),
        (["--filelist", "names", "-"], 2, "standard output, -, takes one file, not a file list"),
        (["-", "a", "box:"], 2, "standard input, -, is a source for itself"),
        (["--filelist", "x", "-", "box:"], 2, "standard input, -, is a source for itself"),
    ],
)
def test_what_does_not_go_together(escp, words, code, message):
    assert escp.fail(code, *words).error == message


def test_directory_is_no_output(escp, source):
    done = escp.fail(16, "-r", remote(source), "-")
    assert not done.out and done.error == "standard output, -, takes one file, not a directory"


def test_json_lines_and_data_do_not_mix(escp):
    done = escp.run("--json", "box:a", "-")
    assert done.code == 2 and "option --json: standard output, -, is the target" in done.out


@to_a_pipe
def test_what_is_told_is_no_data(escp, source, way):
    (source / "a").write_text("contents")
    done = escp.copy("--itemize", way.source(source / "a"), "-")
    assert done.out == "contents" and "contents                 8  -" in done.err

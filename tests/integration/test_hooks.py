"""--json-fd, --metrics and --notify: what programs hear of a run that people watch."""

import json
import os
import shutil
import stat

import pytest

from escp.errors import EscpError
from escp.ui.notice import Notice
from tests.support.command import IS_SOURCE, needs_root, remote
from tests.support.schema import check_lines
from tests.support.trees import write_random


def run_with_pipe(escp, *words, **more):
    """How it ended, and the lines that came through the descriptor."""
    reader, writer = os.pipe()
    process = escp.start("--json-fd", str(writer), *words, pass_fds=(writer,), **more)
    os.close(writer)
    with open(reader, "rb") as pipe:
        lines = [json.loads(line) for line in pipe.read().splitlines()]
    return escp.finish(process), lines


def test_json_has_a_descriptor_of_its_own(escp, source, target):
    write_random(source / "a", 100_000)
    done, lines = run_with_pipe(escp, source / "a", remote(target))
    assert done.code == 0 and not done.out and "1 file" in done.err
    assert lines[0]["type"] == "start" and lines[-1]["type"] == "result" and lines[-1]["files"] == 1


def test_json_beside_data_on_standard_output(escp, source):
    write_random(source / "a", 100_000)
    reader, writer = os.pipe()
    process = escp.start("--json-fd", str(writer), remote(source / "a"), "-", pass_fds=(writer,))
    os.close(writer)
    out, _ = process.communicate(timeout=60)
    with open(reader, "rb") as pipe:
        result = json.loads(pipe.read().splitlines()[-1])
    assert out == (source / "a").read_bytes() and result["ok"] is True


def test_errors_of_every_kind_come_through_it(escp, source, target):
    done, lines = run_with_pipe(escp, source / "missing", target)
    assert done.code == 1 and done.error and lines[-1]["exit_code"] == 1
    (source / "a").write_text("x")
    done, lines = run_with_pipe(escp, source / "a", "nohost:")
    assert done.code == 10 and lines[-1]["exit_code"] == 10


@pytest.mark.parametrize("verb", [
    ("--version",), ("--help",), ("--licence",), ("--show-config",), ("--check-config",),
    ("--clean-agents", "box"), ("--make-ca", "ca"),
])  # fmt: skip
def test_every_verb_tells_it(escp, folder, verb):
    done, lines = run_with_pipe(escp, *verb, cwd=folder)
    if not IS_SOURCE and "there is no cryptography" in done.err:
        pytest.skip("the one file has no logins by TLS")
    assert done.code == 0 and done.out and not done.out.startswith("{")
    check_lines("\n".join(map(json.dumps, lines)))
    (folder / "ca").exists() and shutil.rmtree(folder / "ca")
    check_lines(escp.copy("--json-fd=1", *verb, cwd=folder).out)


def test_nothing_else_is_on_a_standard_output_that_it_is(escp, source, target):
    (source / "a").write_text("x")
    done = escp.copy("--json-fd=1", "-n", "--itemize", source / "a", target)
    assert "would copy 1 file" in done.err and check_lines(done.out)[-1]["ok"]


def test_lines_that_are_lost_are_told(escp, source, target):
    (source / "a").write_text("x")
    with open("/dev/full", "w") as full:
        done = escp.fail(14, f"--json-fd={full.fileno()}", source / "a", target, pass_fds=(full.fileno(),))
    assert "no space" in done.error and (target / "a").exists()


def test_ssh_does_not_inherit_it(escp, source, target, folder):
    """Else who reads would wait for a ControlPersist master to end."""
    (source / "a").write_text("x")
    path = folder / "ssh"
    path.write_text(f'#!/bin/sh\nls -l /proc/self/fd > {folder}/fds\nexec ssh "$@"\n')
    path.chmod(0o755)
    reader, writer = os.pipe()
    escp.copy("--json-fd", str(writer), "-S", path, source / "a", remote(target), pass_fds=(writer,))
    os.close(writer)
    inode = os.fstat(reader).st_ino
    os.close(reader)
    assert f"pipe:[{inode}]" not in (folder / "fds").read_text()


@pytest.mark.parametrize("fd", ["0", "2", "77", "x"])
def test_descriptor_that_can_not_be_written_to(escp, fd):
    assert escp.fail(2, "--json-fd", fd, "a", "b").error.startswith("option --json-fd: ")


def read_metrics(path):
    found = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name.partition("{")[0].removeprefix("escp_last_run_")] = float(value)
    return found


def test_metrics_are_prometheus_text(escp, source, target, folder):
    write_random(source / "a", 1000)
    path = folder / 'nightly "x".prom'
    escp.copy("--metrics", path, "-r", source, target)
    text = path.read_text()
    assert 'escp_last_run_files{job="nightly \\"x\\""} 1\n' in text
    assert "# TYPE escp_last_run_bytes gauge\n" in text and text.count("# HELP") == text.count("# TYPE") == 10
    found = read_metrics(path)
    assert found["success"] == 1 and found["exit_code"] == 0 and found["bytes"] == 1000
    assert path.stat().st_mode & 0o444 == 0o444 and sorted(os.listdir(folder)).count(path.name) == 1
    assert not [name for name in os.listdir(folder) if name.startswith(f".{path.name}")]


def test_metrics_of_a_name_that_is_no_utf8(escp, source, target, folder):
    """The format has three escapes: another one would make its reader refuse the file."""
    (source / "a").write_text("x")
    name = b"q\\\n\xff.prom"
    escp.copy("--metrics", os.fsencode(folder) + b"/" + name, source / "a", target)
    text = (folder / os.fsdecode(name)).read_text()
    assert 'exit_code{job="q\\\\\\n\ufffd"} 0\n' in text


def test_metrics_of_failures(escp, source, target, folder):
    path = folder / "m.prom"
    escp.fail(1, "--metrics", path, source / "missing", target)
    assert read_metrics(path)["exit_code"] == 1 and "files" not in read_metrics(path)
    escp.run("--metrics", path, source / "missing", source / "too", target)
    found = read_metrics(path)
    assert found["success"] == 0 and found["failed"] == 2
    (source / "a").write_text("x")
    escp.fail(10, "--metrics", path, source / "a", "nohost:")
    assert read_metrics(path)["exit_code"] == 10


@needs_root
def test_metrics_to_a_device_or_pipe_go_into_it(escp, source, target, folder):
    (source / "a").write_text("a")
    null, full, pipe = folder / "null", folder / "full", folder / "pipe"
    os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(full, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
    os.mkfifo(pipe)
    assert "can't write" not in escp.copy("--metrics", null, source / "a", target).err
    done = escp.copy("--metrics", full, source / "a", target)
    assert f"can't write metrics to '{full}': no space left on device" in done.err
    assert "can't write metrics" in escp.copy("--metrics", pipe, source / "a", target).err  # nobody reads
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    escp.copy("--metrics", pipe, source / "a", target)
    assert b"exit_code" in os.read(reader, 1 << 16)
    os.close(reader)
    assert stat.S_ISCHR(null.lstat().st_mode) and stat.S_ISCHR(full.lstat().st_mode) and pipe.is_fifo()


def test_metrics_of_a_linked_name_leave_the_link(escp, source, target, folder):
    (source / "a").write_text("a")
    (folder / "x.prom").symlink_to("y.prom")
    escp.copy("--metrics", folder / "x.prom", source / "a", target)
    assert (folder / "x.prom").is_symlink() and read_metrics(folder / "y.prom")["exit_code"] == 0


def test_metrics_that_can_not_be_written(escp, source, target, folder):
    (source / "a").write_text("x")
    for path in (folder, folder / "nowhere" / "m.prom"):
        done = escp.fail(14, "--metrics", path, source / "a", target)
        assert done.error == f"can't write metrics to '{path}'" and os.listdir(target) == []


def test_command_is_told_what_came_of_it(escp, source, target, folder):
    write_random(source / "a", 1000)
    told = 'echo "$ESCP_RESULT_EXIT_CODE $ESCP_RESULT_FILES $ESCP_RESULT_BYTES $ESCP_RESULT_FAILED"'
    done = escp.copy("--notify", f"{told} > {folder}/said; echo out", source / "a", remote(target))
    assert (folder / "said").read_text() == "0 1 1000 0\n" and not done.out and "out" in done.err
    done = escp.fail(10, "--notify", f'echo "$ESCP_RESULT_EXIT_CODE $ESCP_RESULT_ERROR" > {folder}/said',
                     source / "a", "nohost:")  # fmt: skip
    assert (folder / "said").read_text().startswith("10 ssh could not log in")


def test_command_is_told_what_another_host_said(folder):
    """Whose words may hold what no environment does."""
    Notice(f'printf %s "$ESCP_RESULT_ERROR" > {folder}/said', print).fail(EscpError("a\0b"))
    assert (folder / "said").read_text() == "a\ufffdb"


def test_no_other_host_keeps_the_command_from_being_told(folder):
    """By an error that is longer than any variable may be."""
    Notice(f'printf %s "$ESCP_RESULT_ERROR" > {folder}/said', print).fail(EscpError("\u20ac" * 500_000))
    assert set((folder / "said").read_text()) == {"\u20ac"}


def test_command_that_fails_changes_no_exit_status(escp, source, target):
    (source / "a").write_text("x")
    done = escp.copy("--notify", "exit 7", source / "a", target)
    assert "escp: warning: the command of --notify failed: exit status 7" in done.err

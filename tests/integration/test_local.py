"""Copies within this host: no ssh, no network, the same care."""

import os
import re
import select
import socket
import sys
from pathlib import Path

import pytest

from tests.support.command import COMMAND, DRIVER, IS_SOURCE, needs_source
from tests.support.trees import list_tree, make_tree, write_random


def test_tree(escp, source, target):
    make_tree(source)
    done = escp.copy("-r", "-p", source, target, has_ports=False)
    assert list_tree(source) == list_tree(target / "source") and "verified" in done.err
    names = ["d0/f1", "d1/deeper", "empty directory"]
    assert [(target / "source" / name).stat().st_mtime_ns for name in names] == [
        (source / name).stat().st_mtime_ns for name in names
    ]


@pytest.mark.parametrize("size", [0, 1, 131072, 131073, (9 << 20) + 5])
@pytest.mark.parametrize("options", [[], ["-C"], ["--nodirect"], ["-t", "1"], ["--nochecksum"]], ids="".join)
def test_one_file(escp, source, target, size, options):
    write_random(source / "a", size)
    escp.copy(*options, source / "a", target / "b")
    assert (target / "b").read_bytes() == (source / "a").read_bytes()


def test_neither_ssh_nor_a_socket_is_used(escp, source, target, folder):
    make_tree(source)
    strace = ["strace", "-f", "-e", "trace=socket,execve,fork,vfork", "-o", str(folder / "calls")]
    escp.copy("-r", "-S", "/bin/false", source, target, command=[*strace, *COMMAND])
    calls = (folder / "calls").read_text()
    started = re.findall(r'execve\("([^"]+)"', calls)
    assert "AF_INET" not in calls
    assert {os.path.realpath(program) for program in started} == {os.path.realpath(COMMAND[0])}
    if IS_SOURCE:  # a frozen program's loader starts itself once more
        assert len(started) == 1 and "fork(" not in calls


def test_pipe_and_device_as_target(escp, source, target):
    write_random(source / "a", 3 << 20)
    os.mkfifo(target / "pipe")
    reader = os.open(target / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    process = escp.start(source / "a", target / "pipe")
    assert select.select([reader], [], [], 30)[0]
    got = b""
    while len(got) < 3 << 20:
        more = os.read(reader, 1 << 20)
        assert more, "it ended early"
        got += more
    os.close(reader)
    assert got == (source / "a").read_bytes() and escp.finish(process).code == 0
    escp.copy(source / "a", "/dev/null")


def test_onto_and_into_itself(escp, source, target):
    (source / "a").write_text("mine")
    (source / "link").hardlink_to(source / "a")
    for name in ("a", "link"):
        done = escp.fail(1, source / "a", source / name)
        assert "same file" in done.err
    done = escp.fail(1, "-r", source, source / "inside")
    assert "into itself" in done.err
    assert (source / "a").read_text() == "mine"


def test_special_files_and_missing_ones_are_named(escp, source, target):
    (source / "a").write_text("a")
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "socket"))
        done = escp.fail(1, "-r", source, target)
    assert f"{source}/pipe: not a regular file" in done.err and f"{source}/socket: " in done.err
    assert os.listdir(target / "source") == ["a"] and "standard input" not in done.err
    read, write = os.pipe()
    done = escp.fail(1, f"/dev/fd/{read}", target, pass_fds=(read,))
    assert "not a regular file (- as the source is standard input: escp - TARGET <FILE)" in done.err
    os.close(read)
    os.close(write)
    assert "no such file" in escp.fail(1, source / "missing", target).err


def test_full_disk_is_a_local_error(escp, source, folder):
    disk = folder / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1M none {disk}"):
        pytest.skip("no tmpfs may be mounted here")
    try:
        write_random(source / "a", 3 << 20)
        done = escp.fail(14, source / "a", disk)
        assert f"{disk}/a: no space left on device" in done.err and os.listdir(disk) == []
    finally:
        os.system(f"umount {disk}")


@needs_source
@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_corruption_is_found(escp, source, target, size):
    write_random(source / "a", size)
    done = escp.run(
        source / "a", target, env=escp.write_driver(fault_offset=10), command=[sys.executable, str(DRIVER)]
    )
    assert done.code == 12 and f"{target}/a" in done.err and os.listdir(target) == []


def test_existing_file_stays_whole_when_killed(escp, source, target):
    write_random(source / "a", 64 << 20)
    (target / "a").write_text("old")
    process = escp.start("-q", source / "a", target)
    while not Path(f"/proc/{process.pid}/task").exists():
        pass
    process.kill()
    escp.finish(process)
    assert (target / "a").read_bytes() in (b"old", (source / "a").read_bytes())
    assert os.listdir(target) == ["a"]

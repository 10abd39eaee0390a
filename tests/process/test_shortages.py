"""What ran out is told as one sentence, whoever met it."""

import errno
import os

import pytest

from escp._fast.errors import raise_error
from escp.process import shortages
from escp.process.shortages import explain_shortage, explain_tasks


def native(code, sys_errno):
    try:
        raise_error(code, sys_errno, "buffers", -1)
    except Exception as e:
        return e


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (OSError(errno.EMFILE, "x"), "too many open files: the limit is "),
        (OSError(errno.ENFILE, "x"), "too many open files: the limit is "),
        (ImportError("/x/y.so: cannot open shared object file: Too many open files"), "too many open files"),
        (MemoryError(), "out of memory: the system gives no more"),
        (OSError(errno.ENOMEM, "x"), "out of memory"),
        (native(11, 0), "out of memory"),
        (native(1, errno.ENOMEM), "out of memory"),
        (ImportError("libcrypto.so.3: failed to map segment from shared object"), "out of memory"),
        (ImportError("libcrypto.so.3: cannot allocate memory in static TLS block"), "out of memory"),
        (RuntimeError("can't start new thread"), "no more processes or threads can be started"),
        (OSError(errno.EAGAIN, "can't start a thread: x"), "no more processes or threads can be started"),
    ],
)
def test_shortage_is_explained(error, start):
    sentence, hint = explain_shortage(error)
    assert sentence.startswith(start) and not sentence.endswith(".") and hint


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "x"), OSError(errno.EAGAIN, "x"), ImportError("no module x"), RuntimeError("x"),
     KeyError("errno"), native(1, errno.EIO)],
    ids=str,
)  # fmt: skip
def test_what_is_no_shortage_is_not(error):
    assert explain_shortage(error) is None


def test_limits_are_named(monkeypatch):
    limits = {"Max address space": "67108864", "Max data size": "33554432", "Max processes": "77"}

    def read(path):
        assert path.startswith("/proc/self/")
        return "".join(f"{name:26}{soft:21}unlimited            bytes\n" for name, soft in limits.items())

    monkeypatch.setattr("escp.process.shortages._read", read)
    monkeypatch.setattr("escp.process.shortages._find_group_limit", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (
        explain_shortage(MemoryError())[0] == "out of memory: the limit is 64 MiB for a process (ulimit -v)"
    )
    assert explain_tasks()[0].endswith("the limit is 77 for a user (ulimit -u)")
    limits.update({"Max address space": "unlimited", "Max processes": "unlimited"})
    assert explain_shortage(MemoryError())[0].endswith("the limit is 32 MiB for a process (ulimit -d)")
    assert explain_tasks()[0].endswith("a limit of the system is reached")


@pytest.mark.parametrize("root", ["", "pids"])
def test_control_group_that_refused_is_found(folder, monkeypatch, root):
    """Version 2, where all controllers have one tree, and 1."""
    group = folder / root / "a" / "b"
    group.mkdir(parents=True)
    for place, limit, n_refused in ((group, "max", 3), (group.parent, "17", 2)):
        (place / "pids.max").write_text(f"{limit}\n")
        (place / "pids.events").write_text(f"max {n_refused}\n")
    monkeypatch.setattr("escp.process.shortages._CGROUP", str(folder))
    groups = f"3:cpu:/x\n4:{root}:/a/b\n"
    read = shortages._read
    monkeypatch.setattr(shortages, "_read", lambda path: groups if "/cgroup" in path else read(path))
    assert explain_tasks()[0].endswith("the limit is 17 in this control group (pids.max)")
    (group.parent / "pids.events").write_text("max 0\n")
    assert "control group" not in explain_tasks()[0]

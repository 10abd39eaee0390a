"""Fixtures of the tests that use native code: each leaves no thread and no descriptor behind."""

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from escp._fast.crypto import aead


def describe_process() -> tuple[list[str], set[str]]:
    """Native threads of escp, and what each descriptor leads to."""
    threads = []
    for task in os.listdir("/proc/self/task"):
        try:
            threads.append(Path("/proc/self/task", task, "comm").read_text().strip())
        except OSError:
            continue  # ended meanwhile
    fds = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            continue
    return sorted(name for name in threads if name.startswith("escp-")), fds


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    _, before = describe_process()
    yield
    end_s = time.monotonic() + 5
    while True:
        gc.collect()  # planes that a failed test's frame still holds
        threads, fds = describe_process()
        if not threads and fds <= before:
            return
        # A joined thread stays in /proc for a moment longer.
        assert time.monotonic() < end_s, (
            f"left behind: threads {threads}, descriptors {sorted(fds - before)[:5]}"
        )
        time.sleep(0.01)


@pytest.fixture(params=aead.available_backends())
def backend(request) -> str:
    return str(request.param)


@pytest.fixture
def small(tmp_path: Path) -> tuple[bytes, bytes]:
    """A file that travels in a bundle: its path, and its name at the target."""
    path = tmp_path / "small"
    path.write_bytes(b"contents")
    return os.fsencode(path), b"named"

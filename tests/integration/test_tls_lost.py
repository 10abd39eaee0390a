"""A copy outlives its login by TLS, as it outlives ssh."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.test_tls import alice, host, place, there  # noqa: F401
from tests.support.command import needs_source
from tests.support.leftovers import find_processes

pytestmark = needs_source


def find_login(mark: str) -> int:
    (pid,) = [pid for pid, line in find_processes(mark).items() if " --tls-login " in line]
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("direction", ["push", "pull"])
def test_login_that_is_lost(host, alice, escp, source, there, number, direction):  # noqa: F811
    data = os.urandom(12_000_000)
    ends = {"push": (source / "large", host.place(there)), "pull": (host.place(there / "large"), source)}
    (source if direction == "push" else there).joinpath("large").write_bytes(data)
    process = escp.start("-v", "--tls-dir", alice, "-l", "2M", *ends[direction], login=())
    end_s = time.monotonic() + 20
    while b"AES-128-GCM" not in process.stderr.readline():
        assert time.monotonic() < end_s and process.poll() is None
    time.sleep(1)
    os.kill(find_login(escp.mark), number)
    done = escp.finish(process, 60)
    assert done.code == 0, done
    assert Path((there if direction == "push" else source) / "large").read_bytes() == data
    end_s = time.monotonic() + 20
    while host.list_children():
        assert time.monotonic() < end_s
        time.sleep(0.05)

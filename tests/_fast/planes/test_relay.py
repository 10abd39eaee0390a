"""The relay's threads: what a session over it looks like is in tests/integration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EINVAL = 22

CHILD = """
import socket
from escp._fast.planes.relay import RelayPlane
from tests.support.refusal import POLL, refuse

near, far = socket.socketpair(), socket.socketpair()
for pair in (near, far):
    pair[0].setblocking(False)
plane = RelayPlane(1)
plane.attach(0, near[0].fileno(), far[0].fileno())
refuse(POLL, %d)
plane.start()
plane.join()
print(plane.sys_errno, near[1].recv(1), far[1].recv(1))
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_wait_that_fails_ends_the_streams_and_says_why():
    """It used to be tried again for ever."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD % EINVAL], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == f"{EINVAL} b'' b''", done.stderr

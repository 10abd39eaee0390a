"""Where a process's TCP connection goes, as the kernel shows it; and which own address leads to a host."""

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from escp.remote.reached import find_connection, find_own_address, normalize_address

CHILD = """
import socket, sys
sockets = [socket.create_connection((sys.argv[1], int(port))) for port in sys.argv[2:]]
others = socket.socketpair(), socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def child(address, *ports):
    command = [sys.executable, "-c", CHILD, address, *map(str, ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate()


@pytest.mark.parametrize(
    ("listens", "connects", "found"),
    [("127.0.0.5", "127.0.0.5", "127.0.0.5"), ("::1", "::1", "::1"),
     ("::", "::ffff:127.0.0.5", "127.0.0.5")],
)  # fmt: skip
def test_connection_of_a_process(listens, connects, found):
    family = socket.AF_INET6 if ":" in listens else socket.AF_INET
    try:
        listener = socket.create_server((listens, 0), family=family, dualstack_ipv6=listens == "::")
    except OSError:
        pytest.skip("no IPv6 here")
    with listener, child(connects, listener.getsockname()[1]) as pid:
        own, peer = find_connection(pid)
        assert peer == found and own == ("127.0.0.1" if "." in found else "::1")


@pytest.mark.parametrize("n", [0, 2])
def test_other_than_one_connection_says_nothing(n):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with child("127.0.0.1", *[listener.getsockname()[1]] * n) as pid:
            assert find_connection(pid) is None


def test_process_that_is_gone_says_nothing():
    process = subprocess.Popen(["true"])
    process.wait()
    assert find_connection(process.pid) is None


@pytest.mark.skipif(os.getuid() == 0, reason="root may look")
def test_process_of_others_says_nothing():
    assert find_connection(1) is None


@pytest.mark.parametrize(
    ("text", "normal"),
    [("127.0.0.1", "127.0.0.1"), ("::ffff:127.0.0.1", "127.0.0.1"), ("0:0::1", "::1"),
     ("2001:DB8::A", "2001:db8::a"), ("fe80::1%eth0", "fe80::1%eth0")],
)  # fmt: skip
def test_address_is_written_in_one_way(text, normal):
    assert normalize_address(text) == normal


def test_own_address_towards_a_host():
    assert find_own_address("127.0.0.9") == "127.0.0.1"
    assert find_own_address("no address") == ""

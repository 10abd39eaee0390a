"""The data port: found in its range, shared with other copies, and told when it is blocked."""

import contextlib
import os
import socket
import subprocess
import time

import pytest

from tests.support.command import N_PORTS, Escp, needs_root, remote
from tests.support.folders import new_folder
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, write_random

START_LIMIT_S = 15


@pytest.fixture
def small(source):
    write_random(source / "a", 100_000)
    return source / "a"


def test_no_free_port(escp, small, target):
    sockets = []
    try:
        # Of create_server's kind: connections of an earlier test may still wait there for their last packets.
        for number in range(3):
            sockets.append(socket.create_server(("0.0.0.0", escp.port + number)))
        words = ["--tunnel=never", "--escp_portrange", "2", small, remote(target)]
        done = escp.run(*words)
        assert done.code == 13 and f"{escp.port}-{escp.port + 2}" in done.error and "--escp_port" in done.hint
        sockets.pop(1).close()
        escp.copy(*words)
    finally:
        for sock in sockets:
            sock.close()


@pytest.fixture
def taken(escp):
    """All ports of the range are somebody else's. On the address that ssh uses: there it listens."""
    with contextlib.ExitStack() as stack:
        for number in range(N_PORTS):
            stack.enter_context(socket.create_server(("127.0.0.1", escp.port + number)))
        yield


TAKEN_WAYS = {
    "push": ([], False, True),
    "pull": ([], True, False),
    "reverse push": (["--reverse"], False, True),
    "reverse pull": (["--reverse"], True, False),
    "relay": (["-3"], True, True),
}


@pytest.mark.parametrize("way", TAKEN_WAYS)
def test_no_free_port_leads_into_the_tunnel(escp, small, target, taken, way):
    words, *is_remote = TAKEN_WAYS[way]
    paths = [remote(path) if far else path for path, far in zip((small, target), is_remote, strict=True)]
    begin_s = time.monotonic()
    done = escp.copy("--json", *words, *paths)
    assert list_tree(target) == list_tree(small.parent)
    ports = f"{escp.port}-{escp.port + N_PORTS - 1}"
    warned = [line["message"] for line in done.json if line["type"] == "warning"]
    assert len(warned) == (2 if way == "relay" else 1)
    for text in warned:
        assert f"no free port in {ports}" in text and "through ssh" in text and "--escp_port" in text
    assert done.json[-1]["exit_code"] == 0 and time.monotonic() - begin_s < 2 * START_LIMIT_S


@pytest.mark.parametrize("way", TAKEN_WAYS)
def test_no_free_port_without_a_tunnel(escp, small, target, taken, way):
    words, *is_remote = TAKEN_WAYS[way]
    paths = [remote(path) if far else path for path, far in zip((small, target), is_remote, strict=True)]
    done = escp.run("--tunnel=never", *words, *paths)
    assert done.code == 13 and "Traceback" not in done.err
    assert "no free port in" in done.error and "in use" in done.error and "--escp_port" in done.hint


def test_no_free_port_for_a_direct_copy(escp, small, target, taken):
    done = escp.run("-R", remote(small), remote(target))
    assert done.code == 13
    assert "no free port in" in done.error and "-3" in done.hint


def test_taken_port_is_passed_over(escp, small, target):
    with socket.create_server(("127.0.0.1", escp.port)):
        done = escp.copy("--json", small, remote(target))
        assert done.json[0]["address"] == f"127.0.0.1:{escp.port + 1}"


def test_default_ports_are_1232_and_on(escp, small, target):
    done = escp.copy("--json", small, remote(target), has_ports=False)
    address, _, port = done.json[0]["address"].rpartition(":")
    assert address == "127.0.0.1" and 1232 <= int(port) <= 1242


@needs_root
@pytest.mark.parametrize("verdict", ["drop", "reject with tcp reset"])
def test_blocked_data_port(folder, source, target, verdict):
    """In a network namespace of its own, where a firewall lets ssh in and nothing else."""
    rules = (f"add table inet escp; add chain inet escp input {{ type filter hook input priority 0; }}; "
             f"add rule inet escp input tcp dport 1232-1242 {verdict}")  # fmt: skip
    script = f"ip link set lo up && nft '{rules}' && echo ready && exec sleep 300"
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline() != "ready\n":
            pytest.skip("no network namespace with nftables can be made here")
        inside = ("nsenter", "-t", str(holder.pid), "-n")
        with (
            new_folder("escp-sshd-") as place,
            Sshd(place, prefix=inside) as sshd,
            contextlib.closing(Escp(folder, sshd)) as escp,
        ):
            write_random(source / "a", 100)
            begin_s = time.monotonic()
            words = ("--tunnel", "never", source / "a", remote(target))
            done = escp.fail(13, *words, prefix=inside, has_ports=False)
            assert time.monotonic() - begin_s < START_LIMIT_S
            assert "port 1232" in done.error and "127.0.0.1" in done.error and "1232-1242" in done.hint
            assert list_tree(target) == {}
            escp.copy(*words, prefix=inside)  # the same, at another port
            done = escp.copy(*words[2:], prefix=inside, has_ports=False)
            assert "1232-1242" in done.err and "through ssh" in done.err
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_several_copies_at_a_time_share_the_range(escp, source, target):
    write_random(source / "a", 1_000_000)
    places = [target / str(number) for number in range(4)]
    running = [escp.start("-l", "1M", "--json", source / "a", remote(place)) for place in places]
    results = [escp.finish(process) for process in running]
    assert [done.code for done in results] == [0] * 4
    for place in places:
        assert place.read_bytes() == (source / "a").read_bytes()


def test_ipv6(folder, source, target):
    with new_folder("escp-sshd-") as place, contextlib.ExitStack() as stack:
        try:
            sshd = stack.enter_context(Sshd(place, address="::1"))
        except AssertionError:
            pytest.skip("no IPv6 on the loopback interface")
        escp = stack.enter_context(Escp(folder, sshd))
        write_random(source / "a", 1000)
        for words in (
            ["-6", source / "a", remote(target)],
            [source / "a", b"[::1]:" + os.fsencode(target)],
        ):
            done = escp.copy("--json", *words)
            assert done.json[0]["address"].startswith("[::1]:")
            assert list_tree(target) == list_tree(source)

"""Others who connect to the data port: they learn nothing, write nothing, and disturb nobody."""

import contextlib
import os
import socket
import struct
import sys
import threading
import time

import pytest

from tests.support.command import DRIVER, N_PORTS, local, needs_source, remote
from tests.support.leftovers import find_listeners
from tests.support.proxy import Proxy
from tests.support.trees import list_tree, make_tree, write_random
from tests.support.waiting import wait_for

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "random": os.urandom(5000),
    "zeros": bytes(56),
    "magic and random": b"ESCP" + os.urandom(52),
    "other major": struct.pack(">4sBBHII", b"ESCP", 2, 0, 0, 0, 0) + bytes(40),
    "stream beyond": struct.pack(">4sBBHII", b"ESCP", 1, 0, 64, 0, 0) + bytes(40),
    "other connection": struct.pack(">4sBBHII", b"ESCP", 1, 0, 0, 1, 0) + bytes(40),
    "wrong key": struct.pack(">4sBBHII", b"ESCP", 1, 0, 0, 0, 0) + os.urandom(40),
}
pytestmark = needs_source  # the driver leads the true streams through a proxy


class Gate:
    """Holds the true streams in front of the port until the strangers are done."""

    def __init__(self, n_free: int = 0):
        self.n_free = n_free
        self.is_open = threading.Event()

    def __call__(self, stream: int, hello: bytes) -> None:
        if stream >= self.n_free:
            self.is_open.wait(4)


def start_through(escp, proxy, *words, is_embedded=True):
    env = escp.write_driver(ports={str(escp.port): proxy.port})
    return escp.start(*words, is_embedded=is_embedded, env=env, command=[sys.executable, str(DRIVER)])


def connect_when_open(port: int) -> socket.socket:
    end_s = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.01)


def read_all(sock: socket.socket) -> bytes:
    """What comes until the connection is closed, which must be soon."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(1000):
            got += data
    return got


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_closed_at_once_and_unanswered(escp, source, target, garbage):
    make_tree(source)
    gate = Gate()
    with Proxy(escp.port, before_upstream=gate) as proxy:
        process = start_through(escp, proxy, "-r", source, local(target))
        with connect_when_open(escp.port) as stranger:
            stranger.sendall(GARBAGE[garbage])
            assert read_all(stranger) == b""
        gate.is_open.set()
        assert escp.finish(process).code == 0
    assert list_tree(target / "source") == list_tree(source)


def test_port_scan_during_the_start(escp, source, target):
    """100 silent connections, some with half a hello: more than the agent keeps."""
    make_tree(source)
    gate = Gate()
    with Proxy(escp.port, before_upstream=gate) as proxy:
        process = start_through(escp, proxy, "-r", source, remote(target), is_embedded=False)
        strangers = [connect_when_open(escp.port)]
        for number in range(100):
            stranger = connect_when_open(escp.port)
            if number % 2:
                with contextlib.suppress(OSError):
                    stranger.sendall(b"ESCP\x01\0\0"[: number % 8])
            strangers.append(stranger)
        gate.is_open.set()
        assert escp.finish(process).code == 0
        for stranger in strangers:
            assert read_all(stranger) == b""
            stranger.close()
    assert list_tree(target / "source") == list_tree(source)


def test_scanner_that_never_stops(escp, source, target):
    make_tree(source)
    is_over = threading.Event()
    gate = Gate()

    def scan() -> None:
        while not is_over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", escp.port), timeout=1) as sock,
            ):
                sock.sendall(b"x")
                gate.is_open.set()
            time.sleep(0.001)

    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        with Proxy(escp.port, before_upstream=gate) as proxy:
            assert escp.finish(start_through(escp, proxy, "-r", source, local(target))).code == 0
    finally:
        is_over.set()
        scanner.join()
    assert list_tree(target / "source") == list_tree(source)


def test_replayed_hello_of_this_session_is_refused(escp, source, target):
    """Streams 0 to 2 are proven, 3 is held: the port is open, and their hellos are known to the attacker."""
    make_tree(source)
    gate = Gate(n_free=3)
    with Proxy(escp.port, before_upstream=gate) as proxy:
        process = start_through(escp, proxy, "-r", source, local(target))
        while len(proxy.hellos) < 4:
            time.sleep(0.01)
        time.sleep(0.3)
        for stream in range(3):
            with connect_when_open(escp.port) as stranger:
                stranger.sendall(proxy.hellos[stream])
                assert read_all(stranger) == b""
            changed = struct.pack(">H", 3)  # stream 0's hello as stream 3's
            with connect_when_open(escp.port) as stranger:
                stranger.sendall(proxy.hellos[stream][:6] + changed + proxy.hellos[stream][8:])
                assert read_all(stranger) == b""
        gate.is_open.set()
        assert escp.finish(process).code == 0
    assert list_tree(target / "source") == list_tree(source)


def test_replayed_hello_of_an_earlier_session_is_refused(escp, source, target):
    make_tree(source)
    with Proxy(escp.port) as proxy:
        assert escp.finish(start_through(escp, proxy, "-r", source, local(target / "first"))).code == 0
        old = dict(proxy.hellos)
    gate = Gate()
    with Proxy(escp.port, before_upstream=gate) as proxy:
        process = start_through(escp, proxy, "-r", source, local(target / "second"))
        for hello in old.values():
            with connect_when_open(escp.port) as stranger:
                stranger.sendall(hello)
                assert read_all(stranger) == b""
        gate.is_open.set()
        assert escp.finish(process).code == 0
    assert len(old) == 4 and not set(old.values()) & set(proxy.hellos.values())
    assert list_tree(target / "second") == list_tree(source)


@pytest.mark.parametrize("way", ["push", "pull", "reverse"])
def test_port_is_closed_once_the_streams_are_there(escp, source, target, way):
    write_random(source / "a", 2_000_000)
    words = [remote(source / "a"), target] if way == "pull" else [source / "a", remote(target)]
    more = ["--reverse"] if way == "reverse" else []
    process = escp.start("-l", "1M", "--json", *more, *words)
    assert b'"start"' in process.stdout.readline()
    wait_for(lambda: not find_listeners(escp.port, N_PORTS))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", escp.port), timeout=3)
    assert process.poll() is None, "it may have ended before the port was closed"
    assert escp.finish(process).code == 0


def test_port_is_open_on_the_address_that_ssh_arrived_on_only(escp, source, target):
    make_tree(source)
    gate = Gate()
    with Proxy(escp.port, before_upstream=gate) as proxy:
        process = start_through(escp, proxy, "-r", source, remote(target), is_embedded=False)
        connect_when_open(escp.port).close()
        for address in ("127.0.0.2", "::1"):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, escp.port), timeout=3)
        gate.is_open.set()
        assert escp.finish(process).code == 0


def test_somebody_else_who_answers_on_the_port(escp, source, target):
    """The initiator was led to a stranger: it sends him nothing but its hello."""
    write_random(source / "a", 100_000)
    got = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def answer() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                got.append(sock.recv(100_000))
                sock.sendall(os.urandom(40))

    threading.Thread(target=answer, daemon=True).start()
    env = escp.write_driver(ports={str(escp.port): listener.getsockname()[1]})
    words = ("--tunnel=never", source / "a", local(target))
    done = escp.fail(13, *words, is_embedded=True, env=env, command=[sys.executable, str(DRIVER)])
    listener.close()
    assert "something else" in done.error
    assert {56} <= {len(data) for data in got} <= {0, 56}  # 0: the time was over before it was sent
    assert list_tree(target) == {}

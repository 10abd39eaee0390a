"""Between two hosts through this one (-3), with others at both data ports: each copy comes through, and soon.

The true streams are held in front of the ports, where a proxy leads them, until the strangers are there.
"""

import contextlib
import socket
import struct
import sys
import threading
import time

import pytest

from escp.constants import MAX_UNPROVEN
from tests.support.command import DRIVER, needs_source, remote
from tests.support.proxy import HELLO_BYTES, Proxy
from tests.support.trees import list_tree, make_tree
from tests.support.waiting import wait_for

pytestmark = needs_source  # the driver leads the true streams through the proxies
N_STREAMS = 4
N_COPIES = 4  # with each kind of stranger
LIMIT_S = 4.5  # below the 5 s after which the tunnel would take over
CROWD = 40


class Gate:
    """Two proxies in front of the two agents' ports, which let the true streams pass when told."""

    def __init__(self, escp, n_free: int = 0):
        self.ports = (escp.port, escp.port + 1)
        self._n_free = n_free
        self._is_open = threading.Event()
        self.proxies = [Proxy(port, before_upstream=self._hold) for port in self.ports]
        self.strangers: list[socket.socket] = []

    def _hold(self, stream: int, hello: bytes) -> None:
        if stream >= self._n_free:
            self._is_open.wait(4)

    def start(self, escp, *words):
        ports = {str(port): proxy.port for port, proxy in zip(self.ports, self.proxies, strict=True)}
        return escp.start("--tunnel=never", *words, env=escp.write_driver(ports=ports),
                          command=[sys.executable, str(DRIVER)])  # fmt: skip

    def connect(self, port: int, data: bytes = b"") -> socket.socket:
        def try_it():
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", port), timeout=10)

        sock = wait_for(try_it)
        sock.sendall(data)
        self.strangers.append(sock)
        return sock

    def open(self) -> None:
        self._is_open.set()

    def close(self) -> None:
        self.open()
        for sock in self.strangers:
            sock.close()
        for proxy in self.proxies:
            proxy.__exit__()


def preamble(stream: int) -> bytes:
    return struct.pack(">4sBBHII", b"ESCP", 1, 0, stream, 0, 0)


def be_silent(gate: Gate) -> None:
    for _ in range(CROWD):
        for port in gate.ports:
            gate.connect(port)


def be_many(gate: Gate) -> None:
    for _ in range(MAX_UNPROVEN + 20):
        for port in gate.ports:
            gate.connect(port)


def say_preambles(gate: Gate) -> None:
    """What once made the sending agent give its hello away: nothing may come back."""
    for stream in [*range(N_STREAMS)] * 3:
        for port in gate.ports:
            gate.connect(port, preamble(stream))
    time.sleep(0.3)
    for sock in gate.strangers:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def shuttle(gate: Gate) -> None:
    """Be a relay: a preamble to both, then what one says to the other, until they believe it."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sink.sendall(source.recv(HELLO_BYTES, socket.MSG_WAITALL))

    for stream in range(N_STREAMS):
        pair = [gate.connect(port, preamble(stream)) for port in gate.ports]
        for ends in (pair, reversed(pair)):
            threading.Thread(target=pump, args=tuple(ends), daemon=True).start()
    time.sleep(0.3)


STRANGERS = {"silent": be_silent, "many": be_many, "preambles": say_preambles, "shuttle": shuttle}


@pytest.mark.parametrize("kind", STRANGERS)
def test_strangers_at_both_ports(escp, source, target, kind):
    make_tree(source)
    for number in range(1 if kind == "many" else N_COPIES):
        with contextlib.closing(Gate(escp)) as gate:
            process = gate.start(escp, "-r", remote(source), remote(target / str(number)))
            STRANGERS[kind](gate)
            begin_s = time.monotonic()
            gate.open()
            done = escp.finish(process)
            assert done.code == 0, (number, done.err)
            assert time.monotonic() - begin_s < LIMIT_S
        assert list_tree(target / str(number)) == list_tree(source)


def test_recorded_hello_of_a_leg_is_refused_on_a_second_connection(escp, source, target):
    """Streams 0 to 2 are there, 3 is held: both ports are open, and an eavesdropper knows all the hellos."""
    make_tree(source)
    for number in range(N_COPIES):
        with contextlib.closing(Gate(escp, n_free=3)) as gate:
            process = gate.start(escp, "-r", remote(source), remote(target / str(number)))
            wait_for(lambda gate=gate: all(len(proxy.hellos) == N_STREAMS for proxy in gate.proxies))
            time.sleep(0.3)
            one, other = (proxy.hellos for proxy in gate.proxies)
            assert {len(hello) for hello in (*one.values(), *other.values())} == {HELLO_BYTES}
            assert not {hello[16:] for hello in one.values()} & {hello[16:] for hello in other.values()}
            for stream in range(N_STREAMS):
                for port, own, others in zip(gate.ports, (one, other), (other, one), strict=True):
                    # Of the stream that is there, of the other leg, or with the number of the missing one.
                    hellos = [others[stream], preamble(3) + own[stream % 3][16:]]
                    for hello in [own[stream], *hellos] if stream < 3 else hellos:
                        sock = gate.connect(port, hello)
                        with contextlib.suppress(ConnectionResetError):
                            assert sock.recv(1000) == b""
            gate.open()
            done = escp.finish(process)
            assert done.code == 0, (number, done.err)
        assert list_tree(target / str(number)) == list_tree(source)

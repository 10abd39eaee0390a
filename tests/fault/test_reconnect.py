"""Data connections that break: other ones are made, and the copy goes on where it was."""

import contextlib
import random
import sys
import threading
import time

import pytest

from tests.fault.test_causes import name_ends
from tests.fault.test_streams import IN_DATA, Fault, cut, drop_one, drop_some, flip, insert, repeat, reset
from tests.support.command import DRIVER, needs_source
from tests.support.parts import OPTIONS, cut_off
from tests.support.proxy import HELLO_BYTES, TO_AGENT, TO_INITIATOR, Cut, Proxy, pass_on
from tests.support.trees import list_tree, write_random

pytestmark = needs_source  # the driver leads the streams through the proxy
WAYS = ["push", "pull", "-3", "-R"]
LARGE_BYTES = 12_000_000
ANSWER_BYTES = 40  # to a hello


class Watched(Proxy):
    """Keeps every preamble, and every IV word that goes with it: by stream, connection and way."""

    def __init__(self, port: int, change=pass_on, before=None):
        self.connections: list[tuple[int, int]] = []
        self.before = before
        super().__init__(port, change, before_upstream=self._note)

    def _note(self, stream: int, hello: bytes) -> None:
        self.connections.append((stream, int.from_bytes(hello[8:12], "big")))
        if self.before is not None:
            self.before(stream, hello)


def copy_through(escp, way, source, target, proxy, *options, n_streams=2):
    env = escp.write_driver(ports={str(escp.port): proxy.port})
    return escp.run("-t", str(n_streams), *options, *name_ends(way, source, target), env=env,
                    command=[sys.executable, str(DRIVER)], timeout_s=90)  # fmt: skip


def towards(way: str, *, is_data: bool) -> str:
    """The way through the proxy in front of the agent that listens: the receiving one, but in a pull."""
    return TO_AGENT if is_data == (way != "pull") else TO_INITIATOR


def first_frame(way: str, towards_way: str) -> int:
    """Where it begins: behind the hello, and where streams are relayed behind that of the two hosts, too."""
    return (HELLO_BYTES if towards_way == TO_AGENT else ANSWER_BYTES) * (2 if way == "-3" else 1)


def fill(source):
    write_random(source / "large", LARGE_BYTES)
    for number in range(300):
        write_random(source / f"small-{number:03}", number * 100, seed=number)
    return source


@pytest.fixture
def tree(source):
    return fill(source)


def assert_whole(escp, done, tree, target) -> None:
    assert done.code == 0, (done.code, done.err)
    assert list_tree(target / tree.name) == list_tree(tree)
    escp.assert_nothing_left()


@pytest.mark.parametrize("act", [cut, reset, flip, drop_one, repeat, insert])
@pytest.mark.parametrize("way", WAYS)
def test_stream_that_breaks_goes_on(escp, tree, target, way, act):
    fault = Fault(act, IN_DATA, way=towards(way, is_data=True), stream=None)
    with Watched(escp.port, fault) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r")
    assert fault.is_done
    assert_whole(escp, done, tree, target)
    if way != "-R":
        assert "connecting again" in done.err and "connected again, after" in done.err
    assert ("brought what was not sent" in done.err) == (
        way != "pull" and act in (flip, drop_one, repeat, insert)
    )


@pytest.mark.parametrize(
    ("direction", "offset"), [("data", 100), ("data", 3000), ("results", 20), ("results", 100)]
)
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_that_was_cut_off_goes_on_over_connections_that_break(
    escp, tree, target, way, direction, offset
):
    """What the receiver says that it has may be lost: then it comes again."""
    cut_off(escp, "-t2", *name_ends(way, tree / "large", target / "large"), at=target / "large")
    fault = Fault(cut, offset, way=towards(way, is_data=direction == "data"), stream=None)
    with Watched(escp.port, fault) as proxy:
        done = copy_through(escp, way, tree / "large", target / "large", proxy, *OPTIONS, "--resume")
    assert fault.is_done and done.code == 0, (done.code, done.out, done.err)
    assert (target / "large").read_bytes() == (tree / "large").read_bytes()
    assert list(list_tree(target)) == [b"large"]


@pytest.mark.parametrize("act", [cut, reset, flip])
@pytest.mark.parametrize("offset", [100, 700])
@pytest.mark.parametrize("way", WAYS)
def test_results_that_are_lost_come_again(escp, tree, target, way, offset, act):
    if way == "-3":  # a stream has fewer results where two are passed on
        offset = min(offset, 300)
    fault = Fault(act, offset, way=towards(way, is_data=False), stream=None)
    with Watched(escp.port, fault) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r")
    assert fault.is_done
    assert_whole(escp, done, tree, target)


class Cuts:
    """Cuts each connection, one way or the other, after a number of bytes of its own."""

    def __init__(self, dice: random.Random, mean: int, most: int):
        self._dice, self._mean, self._left = dice, mean, most
        self._lock = threading.Lock()
        self._ends: dict[tuple[int, str], int] = {}

    def __call__(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        with self._lock:
            if at == 0 or (stream, way) not in self._ends:  # a new connection
                mean = self._mean if way == TO_AGENT else self._mean // 1000
                self._ends[stream, way] = int(self._dice.expovariate(1 / mean)) + 200
            if not self._left or at + len(data) < self._ends[stream, way]:
                return data
            self._left -= 1
            is_reset = self._dice.random() < 0.5
        raise Cut(is_reset=is_reset)


@pytest.mark.parametrize("n_streams", [1, 4])
@pytest.mark.parametrize("way", WAYS)
def test_many_cuts_at_random(escp, tree, target, way, n_streams):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    cuts = Cuts(random.Random(seed), 1_500_000, 12)
    with Watched(escp.port, cuts) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r", n_streams=n_streams)
    assert_whole(escp, done, tree, target)
    # No connection has the number of another one: its keys would be used twice.
    assert len(set(proxy.connections)) == len(proxy.connections) > n_streams


@pytest.mark.parametrize("way", WAYS)
def test_connections_that_all_bring_something_else(escp, tree, target, way):
    """What three connections in a row have damaged, no fourth one will bring."""
    is_data = towards(way, is_data=True)

    def damage(stream, way_now, at, data):
        return flip(data, 100_000 - at) if way_now == is_data and at <= 100_000 < at + len(data) else data

    with Watched(escp.port, damage) as proxy:
        done = copy_through(escp, way, tree / "large", target, proxy, n_streams=1)
    assert done.code == 12 and done.error and done.hint, (done.code, done.err)
    assert len(proxy.connections) >= 3  # and those that came before the agent listened again
    assert list_tree(target) == {}
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", WAYS)
def test_other_connections_that_cannot_be_made(escp, tree, target, way):
    fault = Fault(reset, IN_DATA, way=towards(way, is_data=True), stream=None)
    first = []

    def refuse(stream, hello):
        first.append(stream)
        if len(first) > 2:
            raise OSError("nobody is there")

    with Watched(escp.port, fault, refuse) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r", "--reconnect-timeout", "2",
                            "--escp_portrange", "1")  # fmt: skip
    assert done.code == 13 and done.hint, (done.code, done.err)
    assert "no other connection could be made for 2 s" in done.error
    assert list_tree(target / tree.name).items() <= list_tree(tree).items()
    escp.assert_nothing_left()


@pytest.mark.parametrize("way", WAYS)
def test_first_connection_that_is_cut_is_made_again(escp, tree, target, way):
    """One of several that breaks while they are made does not send the whole copy through ssh."""
    fault = Fault(cut, 10, way=TO_AGENT, stream=1)
    with Watched(escp.port, fault) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r")
    assert fault.is_done and "through ssh" not in done.err
    assert_whole(escp, done, tree, target)


@pytest.mark.parametrize("act", [cut, reset, drop_some])
@pytest.mark.parametrize("way", WAYS)
def test_answer_to_the_first_hello_that_is_lost(escp, tree, target, way, act):
    """The agent takes the connection for good, the other end makes another one, which is its first."""
    fault = Fault(act, 10, way=TO_INITIATOR, stream=1)
    with Watched(escp.port, fault) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r")
    assert fault.is_done and "through ssh" not in done.err
    assert_whole(escp, done, tree, target)


def is_whole_past_a_slow_hello(escp, source, target, way):
    tree = fill(source)
    held = []

    def hold(stream, hello):
        if not held:
            held.append(stream)
            time.sleep(8)

    with Watched(escp.port, before=hold) as proxy:
        done = copy_through(escp, way, tree, target, proxy, "-r", n_streams=1)
    assert held and "through ssh" not in done.err
    assert_whole(escp, done, tree, target)


def test_first_hello_that_is_slow(together):
    """Connections that stand may be answered late, by a host that is slow: they are worth more than ssh."""
    together(WAYS, is_whole_past_a_slow_hello)


@pytest.mark.parametrize("options", [["--reverse"], ["--reverse", "--data-host", "127.0.0.1"]])
@pytest.mark.parametrize("way", ["push", "pull"])
def test_streams_that_the_agent_makes(escp, tree, target, way, options):
    """Without a proxy in between: the copy as such, and its end."""
    done = escp.run("-r", "-t", "2", *options, *name_ends(way, tree, target))
    assert_whole(escp, done, tree, target)


class Standing:
    """From an offset on, the first connection that gets there brings nothing more, and nobody ends it."""

    def __init__(self, way: str, *, is_held: bool, offset: int = IN_DATA):
        self.way, self.is_held, self.offset = way, is_held, offset
        self.connection: int | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()

    def __call__(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        with self._lock:
            if (
                at == 0 and self.connection == threading.get_ident()
            ):  # the next one's, in a thread of its number
                self.connection = -1
            if self.connection is None and way == self.way and at <= self.offset < at + len(data):
                self.connection = threading.get_ident()
                data = data[: self.offset - at]
            elif self.connection != threading.get_ident():
                return data
            else:
                data = b""
        if self.is_held and not data:
            self._end.wait()
        return data

    def end(self) -> None:
        self._end.set()


def is_whole_past_what_stands(escp, source, target, case):
    way, is_held, direction = case
    tree = fill(source)
    towards_way = towards(way, is_data=direction == "data")
    offset = IN_DATA if direction == "data" else first_frame(way, towards_way) + 20
    standing = Standing(towards_way, is_held=is_held, offset=offset)
    try:
        with Watched(escp.port, standing) as proxy:
            done = copy_through(escp, way, tree, target, proxy, "-r")
    finally:
        standing.end()
    assert standing.connection is not None
    assert_whole(escp, done, tree, target)


@pytest.mark.parametrize("direction", ["data", "results"])
@pytest.mark.parametrize("is_held", [False, True], ids=["acknowledged and gone", "held"])
def test_connection_that_brings_nothing_any_more(together, is_held, direction):
    """To both hosts' systems it is sound. Who hears nothing says so twice, and it is made anew."""
    together([(way, is_held, direction) for way in WAYS], is_whole_past_what_stands)


def lengthen(data: bytes, at: int) -> bytes:
    """The frame of metadata whose IV word begins at *at* has 128 KiB more, it says."""
    return data[: at + 1] + bytes([data[at + 1] ^ 0x20]) + data[at + 2 :]


def is_whole_past_half_a_frame(escp, source, target, case):
    way, direction, act = case
    for number in range(30):
        write_random(source / f"small-{number:03}", number * 10, seed=number)
    towards_way = towards(way, is_data=direction == "data")
    offset = first_frame(way, towards_way) + (act == drop_some) * 20
    fault = Fault(act, offset, way=towards_way, stream=None)
    with Watched(escp.port, fault) as proxy:
        done = copy_through(escp, way, source, target, proxy, "-r", n_streams=1)
    assert fault.is_done
    assert_whole(escp, done, source, target)


@pytest.mark.parametrize(
    ("direction", "act"), [("data", lengthen), ("results", lengthen), ("results", drop_some)]
)
def test_frame_whose_rest_does_not_come(together, direction, act):
    """What comes later fills it up, so the connection is not silent; but very slowly."""
    together([(way, direction, act) for way in WAYS], is_whole_past_half_a_frame)


class Dripping(Standing):
    """The same; but some bytes come all the time, less than a frame needs."""

    proxy: Proxy

    def __call__(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        was_sound = self.connection is None
        passed = super().__call__(stream, way, at, data)
        if was_sound and self.connection is not None:
            threading.Thread(target=self.drip, args=(stream,), daemon=True).start()
        return passed

    def drip(self, stream: int) -> None:
        with contextlib.suppress(OSError):
            while not self._end.wait(1):
                self.proxy.send(stream, self.way, bytes(8))


def is_whole_past_drips(escp, source, target, case):
    way, direction = case
    tree = fill(source)
    towards_way = towards(way, is_data=direction == "data")
    offset = IN_DATA if direction == "data" else first_frame(way, towards_way) + 20
    drips = Dripping(towards_way, is_held=False, offset=offset)
    try:
        with Watched(escp.port, drips) as drips.proxy:
            done = copy_through(escp, way, tree, target, drips.proxy, "-r")
    finally:
        drips.end()
    assert drips.connection is not None
    assert_whole(escp, done, tree, target)


@pytest.mark.parametrize("direction", ["data", "results"])
def test_connection_that_drips(together, direction):
    together([(way, direction) for way in WAYS], is_whole_past_drips)


def test_rate_so_low_that_seconds_pass_between_packets(escp, source, target):
    """A connection that is slow on purpose carries something: it is not made anew."""
    (source / "a").write_bytes(bytes(7_500))  # of which the first 5 kB are not paced
    done = escp.copy("-l", "1", source / "a", f"box:{target}/", timeout_s=100)  # one packet in 8 s
    assert "again" not in done.err and "lost" not in done.err
    assert (target / "a").read_bytes() == bytes(7_500)

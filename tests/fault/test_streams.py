"""A network that flips, drops, doubles and cuts: where a stream has one connection only, the session ends.

Nothing unverified gets a final name.
"""

import sys
import threading

import pytest

from tests.support.command import DRIVER, local, needs_source
from tests.support.proxy import HELLO_BYTES, TO_AGENT, TO_INITIATOR, Cut, Proxy
from tests.support.trees import list_tree, write_random

pytestmark = needs_source  # the driver leads the streams through the proxy
LARGE_BYTES = 6_000_000
ONCE = ("--reconnect-timeout", "0")  # with other connections: test_reconnect.py
# Offsets in what stream 0 carries: its first frame after the hello (IV word, payload, tag), and on.
IN_METADATA, IN_DATA = HELLO_BYTES + 20, 700_001
OFFSETS = [HELLO_BYTES, HELLO_BYTES + 2, HELLO_BYTES + 5, HELLO_BYTES + 8, IN_METADATA, 100_000, IN_DATA]


class Fault:
    """Does *act* to the chunk that holds *offset* of one stream's one way, once, or in each connection.

    *stream* None: the first that gets so far. Any one of several may end with nothing to do.
    """

    def __init__(self, act, offset: int, *, way: str = TO_AGENT, stream: int | None = 0, is_repeated=False):
        self.act, self.offset, self.way, self.stream = act, offset, way, stream
        self.is_repeated = is_repeated
        self.is_done = False
        self._lock = threading.Lock()

    def __call__(self, stream: int, way: str, at: int, data: bytes) -> bytes:
        with self._lock:
            if (
                self.stream not in (None, stream)
                or way != self.way
                or not at <= self.offset < at + len(data)
                or (self.is_done and not self.is_repeated)
            ):
                return data
            self.is_done = True
        return self.act(data, self.offset - at)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def drop_one(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + 1 :]


def drop_some(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + 1000 :]


def repeat(data: bytes, at: int) -> bytes:
    return data[:at] + data[max(0, at - 100) : at + 1] + data[at:]


def insert(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(64) + data[at:]


def cut(data: bytes, at: int) -> bytes:
    raise Cut


def reset(data: bytes, at: int) -> bytes:
    raise Cut(is_reset=True)


@pytest.fixture(params=["large", "small"])
def sources(request, source):
    """Enough for stream 0, whatever the others take."""
    if request.param == "large":
        write_random(source / "large", LARGE_BYTES)
    else:
        for number in range(400):
            write_random(source / f"small-{number:03}", number * 100, seed=number)
    return source


def copy_through(escp, sources, target, fault, *options):
    with Proxy(escp.port, fault) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        done = escp.run(*ONCE, "-r", "-t", "1", *options, sources, local(target), is_embedded=True, env=env,
                        command=[sys.executable, str(DRIVER)])  # fmt: skip
    assert fault.is_done, "the fault's place was never reached"
    return done


def assert_nothing_wrong_kept(escp, sources, target) -> None:
    escp.assert_nothing_left()
    copied = list_tree(target / "source") if (target / "source").exists() else {}
    assert copied.items() <= list_tree(sources).items()
    assert b"large" not in copied


@pytest.mark.parametrize(
    ("act", "offset"),
    [(flip, offset) for offset in OFFSETS]
    + [(act, offset) for act in (drop_one, drop_some, repeat, insert) for offset in (IN_METADATA, IN_DATA)],
)
def test_changed_bytes_end_the_session(escp, sources, target, act, offset):
    done = copy_through(escp, sources, target, Fault(act, offset))
    assert done.code == 12, (done.code, done.err)
    assert done.error and done.hint and "Traceback" not in done.err
    assert_nothing_wrong_kept(escp, sources, target)


@pytest.mark.parametrize("offset", [40 + 8, 40 + 20, 40 + 30])
def test_changed_results_end_the_session(escp, sources, target, offset):
    done = copy_through(escp, sources, target, Fault(flip, offset, way=TO_INITIATOR))
    assert done.code == 12, (done.code, done.err)
    assert done.error and done.hint and "Traceback" not in done.err
    escp.assert_nothing_left()
    copied = list_tree(target / "source") if (target / "source").exists() else {}
    assert (
        copied.items() <= list_tree(sources).items()
    )  # verified on the other side before its result was sent


@pytest.mark.parametrize("offset", [HELLO_BYTES + 1, IN_METADATA, IN_DATA])
@pytest.mark.parametrize("act", [cut, reset])
def test_cut_connection_ends_the_session(escp, sources, target, act, offset):
    done = copy_through(escp, sources, target, Fault(act, offset))
    assert done.code == 13, (done.code, done.err)
    assert done.error and done.hint and "Traceback" not in done.err
    assert_nothing_wrong_kept(escp, sources, target)


def test_one_cut_stream_of_four_ends_the_session(escp, source, target):
    write_random(source / "large", 3 * LARGE_BYTES)
    fault = Fault(cut, 300_000, stream=None)
    with Proxy(escp.port, fault) as proxy:
        env = escp.write_driver(ports={str(escp.port): proxy.port})
        done = escp.fail(13, *ONCE, "--nodirect", source / "large", local(target), is_embedded=True, env=env,
                         command=[sys.executable, str(DRIVER)])  # fmt: skip
    assert fault.is_done and "cut off" in done.error
    assert list_tree(target) == {}


@pytest.mark.parametrize("act", [flip, cut, reset])
def test_damaged_hello_is_tried_again(escp, sources, target, act):
    done = copy_through(escp, sources, target, Fault(act, 30))
    assert done.code == 0
    assert list_tree(target / "source") == list_tree(sources)
    escp.assert_nothing_left()


def test_lost_end_of_a_stream_is_no_success(escp, source, target):
    """All files are there, but the stream's last frame never came: a bare FIN is an error."""
    write_random(source / "a", 10)
    sizes = []

    def measure(stream: int, way: str, at: int, data: bytes) -> bytes:
        sizes.append(at + len(data) if way == TO_AGENT else 0)
        return data

    measure.is_done = True
    assert copy_through(escp, source, target / "first", measure).code == 0
    done = copy_through(escp, source, target / "second", Fault(cut, max(sizes) - 1))
    assert done.code == 13, (done.code, done.err)
    escp.assert_nothing_left()


def test_incomplete_hello_is_made_anew(escp, source, target):
    write_random(source / "a", 10)
    done = copy_through(escp, source, target, Fault(drop_one, 30), "--tunnel=never")
    assert done.code == 0, done.err


def test_incomplete_hellos_are_not_waited_for_without_end(escp, source, target):
    write_random(source / "a", 10)
    done = copy_through(escp, source, target, Fault(drop_one, 30, is_repeated=True), "--tunnel=never")
    assert done.code == 13 and "can't reach the data port" in done.error
    escp.assert_nothing_left()
    assert list_tree(target) == {}

"""Planes for tests: what an order says and what else a plane takes, given together and by name."""

from escp._fast.planes.receive_plane import ReceivePlane
from escp._fast.planes.send_plane import SendPlane
from escp.control.messages import Receive, Send

COMMON = {"engine": "posix", "is_direct": True, "has_checksum": True, "selection": "all"}
SEND = Send(**dict.fromkeys(Send._fields, False) | COMMON | {"filters": []})
RECEIVE = Receive(
    **dict.fromkeys(Receive._fields, False) | COMMON | {"target": b"", "n_sources": 2, "job": b""}
)


def send_plane(**options) -> SendPlane:
    """*filters*: (is_include, pattern) each."""
    if "filters" in options:
        filters = options["filters"]
        options["filters"] = [(b"+" if is_include else b"-") + pattern for is_include, pattern in filters]
    return SendPlane(*_split(SEND, options), **options)


def receive_plane(**options) -> ReceivePlane:
    return ReceivePlane(*_split(RECEIVE, options), **options)


def _split(order, options):
    """The order with what of *options* is its own, which is taken out of them."""
    return [order._replace(**{name: options.pop(name) for name in order._fields if name in options})]

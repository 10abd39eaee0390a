"""What a host tells of itself for `--doctor`: a record, and the words in which an agent sends it. Pure.

`facts/system` makes the record, here or at the other end, and `doctor/advice` reads it. A fact that is not
known is None. Unknown names among a peer's words are ignored, so that later releases can tell more.
"""

import re

from escp.errors import ProtocolError
from escp.lean.record import Record
from escp.ui.display import show_text

MAX_TEXT = 200  # of one fact, in characters
_MAX_INT = 1 << 63


class HostFacts(Record):
    """One host, one directory of it and the network device of one route."""

    version: str | None  # escp's
    ssh: str | None  # the OpenSSH client's
    kernel: str | None
    machine: str | None
    cpu_flags: str | None  # those that matter here, with spaces
    n_cpus: int | None  # that this process may use
    n_cpus_online: int | None
    n_nodes: int | None  # NUMA
    aead: str | None  # the backend chosen
    aead_bytes_per_s: int | None  # of one core
    open_files: int | None  # the hard limit
    aio_free: int | None  # requests of kernel AIO that are left to all processes together
    tcp_rmem: tuple[int, ...] | None  # least, default and largest receive buffer
    tcp_wmem: tuple[int, ...] | None
    core_rmem_max: int | None
    core_wmem_max: int | None
    has_window_scaling: bool | None
    has_autotuning: bool | None  # of receive buffers
    congestion: str | None
    congestions: str | None  # those that are loaded, with spaces
    path_error: str | None  # why the directory can't be looked at; "" if it can
    file_system: str | None
    is_writable: bool | None
    has_direct: bool | None  # O_DIRECT was tried and works
    direct_error: str | None
    free_bytes: int | None
    device: str | None  # the route's network device
    device_bits_per_s: int | None
    device_mtu: int | None
    device_node: int | None  # NUMA
    device_cpus: str | None  # near it, as 0-7,16


NO_FACTS = HostFacts(*[None] * len(HostFacts._fields))


def encode_facts(facts: HostFacts) -> list[str]:
    """NAME=VALUE of each fact that is known."""
    return [f"{name}={_show(value)}" for name, value in facts._asdict().items() if value is not None]


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)[:MAX_TEXT]


def decode_facts(words: list[str]) -> HostFacts:
    """The facts that a peer sent. Raises ProtocolError.

    Texts are escaped here already: a line break in one would look like a line of advice.
    """
    found: dict[str, object] = {}
    for word in words:
        name, has_value, text = word.partition("=")
        if not has_value or name in found:
            raise ProtocolError("the peer's facts are no list of NAME=VALUE")
        if name in HostFacts._fields:
            found[name] = _read(name, text)
    return NO_FACTS._replace(**found)


def _read(name: str, text: str) -> object:
    kind = HostFacts.__annotations__[name]
    if kind == str | None and len(text) <= MAX_TEXT:
        if name == "device" and not re.fullmatch(r"[\w.:@+-]{1,15}", text, re.ASCII):
            return None  # advice puts it into commands for root
        return show_text(text)
    if kind == bool | None and text in ("0", "1"):
        return text == "1"
    if kind == int | None and re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) and int(text) < _MAX_INT:
        return int(text)
    if kind == tuple[int, ...] | None and re.fullmatch(r"[0-9]{1,18}( [0-9]{1,18}){2}", text, re.ASCII):
        return tuple(map(int, text.split()))
    raise ProtocolError(f"the peer's facts have a wrong {name!r}")


class RouteFacts(Record):
    """What one TCP connection between the two hosts tells, seen from this one."""

    rtt_s: float | None
    mtu: int | None  # as far as it has been found out
    has_window_scaling: bool | None
    n_lost: int | None  # packets sent again


NO_ROUTE = RouteFacts(None, None, None, None)

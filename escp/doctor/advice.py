"""What `--doctor` says about facts: findings with a status and, where something can be done, what. Pure.

Limits are compared with a rate: that of the slower of the two network devices, or, where one is not
known, 10 and 100 Gbit/s. A stream's window is half of its buffer: the rest is the kernel's own overhead.
"""

import re
from contextlib import suppress

from escp.constants import MAX_STREAMS, MIB
from escp.facts.facts import HostFacts, RouteFacts
from escp.lean.record import Record
from escp.process.numbers import make_mask, parse_numbers
from escp.ui.display import format_bytes, format_count, format_rate, show_name
from escp.ui.finding import LOCAL, NOTE, OK, PROBLEM, ROUTE, WARNING, Finding

USUAL_RATES = (10_000_000_000, 100_000_000_000)  # bits/s
FAR_S = 0.010  # from here on a loss costs cubic much
USUAL_RTT_S = 0.050  # the distance that buffers should do for, if no other host is named
WANTED_FILES, LEAST_FILES = 16384, 1024
WANTED_AIO = 4096
JUMBO_MTU = 9000
JUMBO_BITS_PER_S = 10_000_000_000
MAX_BUFFER_BYTES = 1 << 30
MEMORY_TYPES = ("tmpfs", "ramfs")
MAX_MASK_BIT = 1023  # of --cpumask and --nodemask
NETWORK_TYPES = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "ceph", "panfs", "pvfs2", "9p")


class Situation(Record):
    """What the facts are held against. *rates*: bits/s, one that is known or the usual ones."""

    host: str  # the other one; "" without
    rates: tuple[int, ...]
    n_streams: int
    rtt_s: float | None = None
    path: bytes = b""  # the directory that the facts are about, as the user wrote it

    @property
    def is_far(self) -> bool:
        return self.rtt_s is not None and self.rtt_s >= FAR_S


def find_rates(*hosts: HostFacts) -> tuple[int, ...]:
    """The slowest device's rate, or the usual ones where one is not known."""
    speeds = [facts.device_bits_per_s for facts in hosts]
    known = [speed for speed in speeds if speed]
    return (min(known),) if len(known) == len(speeds) else USUAL_RATES


def advise_host(facts: HostFacts, scope: str, situation: Situation) -> list[Finding]:
    """All findings about one host, in the order in which they are shown."""
    where = "" if scope == LOCAL else f" on {situation.host}"
    found = [
        *_advise_programs(facts),
        *_advise_cpu(facts, situation),
        *_advise_directory(facts, situation.path),
        *_advise_limits(facts, where),
        *_advise_buffers(facts, situation, where),
        *_advise_congestion(facts, situation, where),
        *_advise_device(facts, situation, where),
    ]
    return [finding._replace(scope=scope) for finding in found]


def _make(
    subject: str, status: str, value: str, advice: str = "", number: int | float | None = None
) -> Finding:
    return Finding(LOCAL, subject, status, value, advice, number)


def _as_root(where: str, *commands: str) -> str:
    return "\n".join([f"as root{where}:", *commands])


# ---- Programs, CPU, directory, limits -----------------------------------------------------------------


def _advise_programs(facts: HostFacts) -> list[Finding]:
    found = [_make("escp", OK, facts.version or "not known"), _make("ssh", OK, facts.ssh or "not known")]
    kernel = f"{facts.kernel or 'not known'} {facts.machine or ''}".rstrip()
    number = re.search(r"(\d{1,4})\.(\d{1,4})", facts.kernel or "")
    if number and (int(number[1]), int(number[2])) < (5, 6):
        advice = "below 5.6 names are opened step by step: trees of small files take a little longer"
        return [*found, _make("kernel", NOTE, kernel, advice)]
    return [*found, _make("kernel", OK, kernel)]


def _advise_cpu(facts: HostFacts, situation: Situation) -> list[Finding]:
    found = []
    flags = (facts.cpu_flags or "").split()
    n_cpus = facts.n_cpus or 1
    value = f"{n_cpus} of {format_count(max(facts.n_cpus_online or 0, n_cpus), 'CPU')}, {' '.join(flags)}"
    value = value.removesuffix(", ")
    if facts.cpu_flags is not None and "aes" not in flags:
        advice = "no AES instructions: the cipher limits every copy; use another host for large ones"
        found.append(_make("cpu", WARNING, value, advice, n_cpus))
    elif facts.n_cpus_online and n_cpus < facts.n_cpus_online:
        advice = "this process may not use the others: a cgroup, a batch system or taskset says so"
        found.append(_make("cpu", NOTE, value, advice, n_cpus))
    else:
        found.append(_make("cpu", OK, value, "", n_cpus))
    if facts.aead_bytes_per_s is not None:
        found.append(_advise_aead(facts, situation, n_cpus))
    return found


def _advise_aead(facts: HostFacts, situation: Situation, n_cpus: int) -> Finding:
    """Whether the cipher alone keeps up: each stream has one thread."""
    one = facts.aead_bytes_per_s or 0
    n_threads = min(n_cpus, situation.n_streams)
    value = f"{facts.aead}: {format_rate(one, in_bits=False)} a core"
    status, wanted = _compare(8 * one * n_threads, situation.rates[:1])
    if status == OK:
        return _make("aead", OK, value, "", one)
    n_wanted = min(MAX_STREAMS, -(-wanted // max(8 * one, 1)))
    advice = f"{_show_rate(wanted)} take {n_wanted} cores for the cipher alone, {n_threads} would have it"
    if n_wanted <= n_cpus:
        advice += f": use -t {n_wanted}"
    return _make("aead", status, value, advice, one)


def _advise_directory(facts: HostFacts, path: bytes) -> list[Finding]:
    if facts.path_error is None:
        return []
    shown = f"{show_name(path)}: " if path else ""
    if facts.path_error:
        value = f"{shown}can't be used: {facts.path_error}"
        return [_make("directory", PROBLEM, value, "name another directory")]
    kind = shown + (facts.file_system or "file system not known")
    space = f"{kind}, {format_bytes(facts.free_bytes)} free" if facts.free_bytes is not None else kind
    if not facts.is_writable:
        advice = f"nothing can be copied to it: {facts.direct_error or 'not writable'}"
        return [_make("directory", NOTE, space, advice, facts.free_bytes)]
    found = [_make("directory", OK, space, "", facts.free_bytes)]
    if facts.has_direct:
        status, advice = OK, ""
        if facts.file_system in NETWORK_TYPES or (facts.file_system or "").startswith("fuse"):
            status, advice = NOTE, "on a network file system try --nodirect as well: it may be faster"
        found.append(_make("o_direct", status, "works", advice))
    elif facts.file_system in MEMORY_TYPES:
        found.append(_make("o_direct", OK, f"not there, and not needed in memory: {facts.direct_error}"))
    else:
        advice = "large files go through the page cache: it costs CPU time; choose another file system"
        found.append(_make("o_direct", NOTE, f"does not work: {facts.direct_error}", advice))
    return found


def _advise_limits(facts: HostFacts, where: str) -> list[Finding]:
    found = []
    n = facts.open_files
    if n is not None:
        value = "no limit" if n >= 1 << 62 else f"{n:,} at most"
        status = OK if n >= WANTED_FILES else NOTE if n >= LEAST_FILES else WARNING
        advice = f"escp wants {WANTED_FILES:,} for many small files\n" + _as_root(
            where, f"echo '* hard nofile {WANTED_FILES}' > /etc/security/limits.d/escp.conf",
            "(or LimitNOFILE= where systemd starts it), and log in anew",
        )  # fmt: skip
        found.append(_make("open_files", status, value, "" if status == OK else advice, n))
    if facts.aio_free is not None:
        is_enough = facts.aio_free >= WANTED_AIO
        advice = "others have used them up: without them the disk has less to do at a time\n" + _as_root(
            where, "sysctl -w fs.aio-max-nr=1048576"
        )
        found.append(_make("aio", OK if is_enough else NOTE, f"{facts.aio_free:,} requests left",
                           "" if is_enough else advice, facts.aio_free))  # fmt: skip
    return found


# ---- The network --------------------------------------------------------------------------------------


def _compare(bits_per_s: float, rates: tuple[int, ...]) -> tuple[str, int]:
    """A limit against the rates: the status, and the first rate that it does not reach."""
    for at, rate in enumerate(rates):
        if bits_per_s < rate:
            return (WARNING if at == 0 else NOTE), rate
    return OK, rates[-1]


def _advise_buffers(facts: HostFacts, situation: Situation, where: str) -> list[Finding]:
    found = []
    for name, sizes in (("tcp_rmem", facts.tcp_rmem), ("tcp_wmem", facts.tcp_wmem)):
        if sizes is not None:
            found.append(_advise_buffer(name, sizes, situation, where))
    for fact, setting, what in (
        (facts.has_window_scaling, "tcp_window_scaling", "no stream has more than 64 KiB on its way"),
        (facts.has_autotuning, "tcp_moderate_rcvbuf", "receive buffers stay small"),
    ):
        if fact is False:
            advice = _as_root(where, f"sysctl -w net.ipv4.{setting}=1")
            found.append(_make(setting, WARNING, f"off: {what}", advice))
    if facts.core_rmem_max is not None:
        sizes_text = f"{_show_size(facts.core_rmem_max)}, wmem_max {_show_size(facts.core_wmem_max or 0)}"
        value = f"{sizes_text}: no limit, escp leaves the sizes to the kernel"
        found.append(_make("rmem_max", OK, value, "", facts.core_rmem_max))
    return found


def _advise_buffer(name: str, sizes: tuple[int, ...], situation: Situation, where: str) -> Finding:
    """The largest buffer against the bandwidth-delay product, shared by the streams."""
    most = sizes[2]
    n = situation.n_streams
    window_bits = 8 * n * most / 2
    streams = format_count(n, "stream")
    if situation.rtt_s is None:
        rate = situation.rates[0]
        reach_s = window_bits / rate
        value = f"{_show_size(most)} at most: {streams} fill {_show_rate(rate)} up to {_show_rtt(reach_s)}"
        status, wanted, rtt_s = (OK if reach_s >= USUAL_RTT_S else NOTE), rate, USUAL_RTT_S
    else:
        rtt_s = max(situation.rtt_s, 1e-6)
        limit = window_bits / rtt_s
        status, wanted = _compare(limit, situation.rates)
        reached = f"reach {_show_rate(limit)}" if status != OK else f"are enough for {_show_rate(wanted)}"
        value = f"{_show_size(most)} at most: {streams} {reached} over {_show_rtt(rtt_s)}"
    if status == OK:
        return _make(name, OK, value, "", most)
    needed_bytes = 2 * wanted / 8 * rtt_s / n
    size = MIB
    while size < needed_bytes and size < MAX_BUFFER_BYTES:
        size *= 2
    n_wanted = -(-int(n * needed_bytes) // max(most, 1))
    advice = f"for {_show_rate(wanted)} over {_show_rtt(rtt_s)}"
    if n_wanted <= MAX_STREAMS:
        advice += f" use -t {n_wanted}, or"
    command = f"sysctl -w net.ipv4.{name}='{sizes[0]} {sizes[1]} {size}'"
    advice += f" {_as_root(where, command)}"
    return _make(name, status, value, advice, most)


def _advise_congestion(facts: HostFacts, situation: Situation, where: str) -> list[Finding]:
    if facts.congestion is None:
        return []
    there = (facts.congestions or "").split()
    others = [name for name in there if name != facts.congestion]
    value = facts.congestion + (f" (there are also {', '.join(others)})" if others else "")
    is_old = facts.congestion in ("cubic", "reno")
    if not is_old or (situation.rtt_s is not None and not situation.is_far):
        return [_make("congestion", OK, value)]
    load = [] if "bbr" in there else ["modprobe tcp_bbr"]
    advice = "where packets get lost on a long way bbr keeps its rate\n" + _as_root(
        where, *load, "sysctl -w net.core.default_qdisc=fq", "sysctl -w net.ipv4.tcp_congestion_control=bbr"
    )
    return [_make("congestion", NOTE, value, advice)]


def _advise_device(facts: HostFacts, situation: Situation, where: str) -> list[Finding]:
    if facts.device is None:
        return []
    bits_per_s = facts.device_bits_per_s
    speed = "speed not known" if bits_per_s is None else _show_rate(bits_per_s)
    found = [_make("device", OK, f"{facts.device}, {speed}", "", bits_per_s)]
    mtu = facts.device_mtu
    if mtu is not None:
        is_fast = bits_per_s is not None and bits_per_s >= JUMBO_BITS_PER_S
        if mtu >= JUMBO_MTU or not is_fast:
            found.append(_make("mtu", OK, f"{mtu} bytes", "", mtu))
        else:
            advice = "larger packets cost less CPU time, if every switch on the way takes them\n" + _as_root(
                where, f"ip link set {facts.device} mtu {JUMBO_MTU}"
            )
            found.append(_make("mtu", NOTE, f"{mtu} bytes", advice, mtu))
    found.append(_advise_node(facts, situation, where))
    return found


def _advise_node(facts: HostFacts, situation: Situation, where: str) -> Finding:
    node = facts.device_node
    if (facts.n_nodes or 1) < 2:
        return _make("numa", OK, "one node", "", 0)
    if node is None:
        value = f"{facts.n_nodes} nodes, and that of {facts.device} is not known"
        return _make("numa", OK, value)
    value = f"{facts.device} is on node {node} of {facts.n_nodes}"
    masks = [f"--nodemask {1 << node:X}"] if node <= MAX_MASK_BIT else []
    with suppress(ValueError):
        cpus = parse_numbers(facts.device_cpus or "")
        if max(cpus) <= MAX_MASK_BIT:
            masks.append(f"--cpumask {make_mask(cpus):X}")
    options = " ".join(masks)
    advice = f"keep escp there: {options}" if not where else f"keep escp there: -D 'escp {options}'"
    return _make("numa", NOTE, value, advice, node)


# ---- Between the hosts --------------------------------------------------------------------------------


def advise_ports(host: str, ports: tuple[int, int], whose: str, *, place: str, failure: str) -> Finding:
    """Whether the data gets through: to *place*, or why not. *ports*: first and last, of the host *whose*."""
    first, last = ports
    if failure:
        advice = (
            f"{failure}: copies go through ssh, which is slower\nopen TCP ports {first}-{last} of {whose}"
        )
        advice += f", or let {host} connect to this host: --reverse" if whose == host else ""
        return Finding(ROUTE, "data_port", PROBLEM, "blocked: only ssh gets through", advice)
    if not place:
        advice = f"leave out --tunnel=always to have the ports {first}-{last} of {whose} tried"
        return Finding(ROUTE, "data_port", NOTE, "not tried: everything goes through ssh", advice)
    return Finding(ROUTE, "data_port", OK, place)


def advise_route(route: RouteFacts, local: HostFacts, remote: HostFacts, *, is_tunnel: bool) -> list[Finding]:
    """What the way between the two hosts allows. *is_tunnel*: only ssh gets through."""
    found = []
    if route.rtt_s is not None:
        how = " (through ssh)" if is_tunnel else ""
        found.append(_make("rtt", OK, _show_rtt(route.rtt_s) + how, "", round(route.rtt_s, 6)))
    rates = find_rates(local, remote)
    if rates != USUAL_RATES:
        found.append(_make("bandwidth", OK, f"{_show_rate(rates[0])}: the slower device's", "", rates[0]))
    else:
        value = "not known: the findings are for 10 and 100 Gbit/s"
        found.append(_make("bandwidth", OK, value))
    if route.mtu is not None:
        mtus = [mtu for mtu in (local.device_mtu, remote.device_mtu) if mtu is not None]
        is_less = bool(mtus) and route.mtu < min(*mtus, 65535)  # no IP packet is larger, lo's MTU is
        advice = "something on the way takes smaller packets than both devices: a tunnel or a VPN?"
        value = f"{route.mtu} bytes, as far as it is known"
        found.append(_make("path_mtu", NOTE if is_less else OK, value, advice if is_less else "", route.mtu))
    if route.has_window_scaling is False and local.has_window_scaling and remote.has_window_scaling:
        advice = "a firewall on the way takes the option out of the packets: ask who runs it"
        found.append(_make("scaling", WARNING, "TCP windows stay below 64 KiB", advice))
    if route.n_lost:
        advice = "packets got lost in the first second: look at cables, duplex and switches (ip -s link)"
        found.append(_make("losses", WARNING, format_count(route.n_lost, "packet"), advice, route.n_lost))
    if local.version is not None and remote.version is not None and local.version != remote.version:
        advice = "install the same release on both hosts"
        found.append(_make("versions", NOTE, f"{local.version} here, {remote.version} there", advice))
    return [finding._replace(scope=ROUTE) for finding in found]


def _show_rate(bits_per_s: float) -> str:
    return format_rate(bits_per_s / 8, in_bits=True).replace(".0 ", " ")


def _show_rtt(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _show_size(n_bytes: int) -> str:
    return f"{n_bytes / MIB:.3g} MiB" if n_bytes >= MIB else f"{n_bytes / 1024:.3g} KiB"

"""What can be told of the way to another host: device, speed, MTU, congestion control."""

import os
import socket
import struct

from escp.facts.facts import NO_ROUTE, RouteFacts
from escp.facts.proc import _read, _read_int
from escp.lean.sockets import Socket

_RTM_GETROUTE, _NLM_F_REQUEST, _NLMSG_ERROR = 26, 1, 2


_RTA_DST, _RTA_SRC, _RTA_OIF = 1, 2, 4


def find_device(peer: str, own: str = "") -> str | None:
    """The network device of the way to *peer* for packets from *own*, both addresses: asks the kernel."""
    peer, _, scope = peer.removeprefix("::ffff:").partition("%")
    own = own.removeprefix("::ffff:").partition("%")[0]
    if scope:
        return scope
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        target = socket.inet_pton(family, peer)
        origin = socket.inet_pton(family, own) if own else b""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:  # 0: NETLINK_ROUTE
            sock.settimeout(1.0)
            for source in dict.fromkeys((origin, b"")):  # one that is not ours is refused
                index = _ask_route(sock, family, target, source)
                if index:
                    return socket.if_indextoname(index)
    except (OSError, ValueError, struct.error):
        pass
    return None


def _ask_route(sock: socket.socket, family: int, target: bytes, source: bytes) -> int | None:
    body = struct.pack("=8BI", family, 8 * len(target), 8 * len(source), 0, 0, 0, 0, 0, 0)
    for kind, address in ((_RTA_DST, target), (_RTA_SRC, source)):
        if address:
            body += struct.pack("=HH", 4 + len(address), kind) + address
    sock.send(struct.pack("=IHHII", 16 + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body)
    answer = sock.recv(65536)
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        return None
    at = 16 + 12
    while at + 4 <= len(answer):
        n_bytes, kind = struct.unpack_from("=HH", answer, at)
        if kind == _RTA_OIF:
            return int(struct.unpack_from("=I", answer, at + 4)[0])
        at += max(4, (n_bytes + 3) & ~3)
    return None


def pick_device(root: str = "/") -> str | None:
    """The fastest network device that is up, where no route is asked about; real ones before virtual ones."""
    devices = []
    folder = os.path.join(root, "sys/class/net")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name != "lo" and _read(root, f"sys/class/net/{name}/operstate") == "up":
            is_real = os.path.exists(os.path.join(folder, name, "device"))
            devices.append((is_real, _read_int(root, f"sys/class/net/{name}/speed") or 0, name))
    return max(devices)[2] if devices else None


def examine_device(device: str, root: str = "/") -> dict[str, object]:
    """Speed, MTU and place of a network device. A VLAN or bond lies on others, which have the place."""
    base = f"sys/class/net/{device}"
    megabits = _read_int(root, f"{base}/speed")  # -1 or an error where it is not known
    node, cpus = _find_place(root, device)
    return {
        "device": device,
        "device_bits_per_s": megabits * 1_000_000 if megabits else None,
        "device_mtu": _read_int(root, f"{base}/mtu"),
        "device_node": node,
        "device_cpus": cpus,
    }


def _find_place(root: str, device: str, depth: int = 3) -> tuple[int | None, str | None]:
    base = f"sys/class/net/{device}"
    node = _read_int(root, f"{base}/device/numa_node")
    if node is not None:
        return node, _read(root, f"{base}/device/local_cpulist")
    folder = os.path.join(root, base)
    for name in sorted(os.listdir(folder)) if depth and os.path.isdir(folder) else []:
        if name.startswith("lower_"):
            found = _find_place(root, name.removeprefix("lower_"), depth - 1)
            if found[0] is not None:
                return found
    return None, None


def examine_connection(sock: Socket) -> RouteFacts:
    """What the kernel knows about a connected TCP socket."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:
        return NO_ROUTE  # a socket of the tunnel
    # struct tcp_info: options in byte 5, tcpi_pmtu, tcpi_rtt and tcpi_min_rtt, microseconds
    mtu, rtt_us = (int(struct.unpack_from("=I", info, at)[0]) for at in (60, 68))
    least_us = int(struct.unpack_from("=I", info, 148)[0]) if len(info) >= 152 else 0
    n_lost = int(struct.unpack_from("=I", info, 100)[0])
    rtt_us = min(rtt_us, least_us or rtt_us)
    return RouteFacts(
        rtt_s=rtt_us / 1e6 if rtt_us else None,
        mtu=mtu or None,
        has_window_scaling=bool(info[5] & 4),
        n_lost=n_lost,
    )

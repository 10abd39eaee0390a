"""Where ssh really went: the TCP connection of its process, as this host's kernel shows it.

What an agent itself says of its host's addresses is not relied on.
"""

import os
import struct

from escp.lean import sockets

_MAPPED = bytes(10) + b"\xff\xff"  # in front of an IPv4 address in an IPv6 one
# <linux/netlink.h>, <linux/inet_diag.h>
_NETLINK_SOCK_DIAG, _TCP_OF_ALL_FAMILIES, _REQUEST_DUMP, _ESTABLISHED = 4, 18, 0x301, 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST = struct.Struct("=52xI4x")  # inet_diag_req: states
_CONNECTION = struct.Struct("=B7x16s16s28xI")  # inet_diag_msg: family, both addresses and the inode


def find_connection(pid: int) -> tuple[str, str] | None:
    """Addresses of this host and of the other one in the only TCP connection of process *pid*.

    None where that can't be told: behind a jump host ssh has a pipe, and with a shared connection a local
    socket. Nor for link-local addresses, which the kernel shows without their interface.
    """
    try:
        inodes = _find_sockets(pid)
        found = _find_pairs(inodes)
    except OSError:
        return None
    if len(found) != 1 or any(address.startswith("fe80:") for address in found[0]):
        return None
    return found[0]


def has_connection(pids: list[int]) -> bool:
    """Whether one of these processes has a TCP connection. Raises OSError where that can't be told."""
    inodes = set().union(*map(_find_sockets, pids))
    return bool(_find_pairs(inodes))


def _find_sockets(pid: int) -> set[int]:
    """The inode numbers of a process's sockets of any kind."""
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return {int(link[len("socket:[") : -1]) for link in links if link.startswith("socket:[")}


def _find_pairs(inodes: set[int]) -> list[tuple[str, str]]:
    """Both addresses of each established TCP connection that has one of these numbers.

    By sock_diag(7): /proc/net/tcp tells the same, but takes 12 ms where there are a thousand others. For each
    question the kernel goes through a table whose size is the memory's, however few connections there are:
    1 ms here. So it is one for both families, which the newer kind (SOCK_DIAG_BY_FAMILY) can't be.
    """
    found: list[tuple[str, str]] = []
    sock = sockets.Socket(sockets.AF_NETLINK, sockets.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
    try:
        request = _REQUEST.pack(1 << _ESTABLISHED)
        header = _HEADER.pack(_HEADER.size + len(request), _TCP_OF_ALL_FAMILIES, _REQUEST_DUMP, 1, 0)
        sock.sendto(header + request, (0, 0))
        while True:
            data = sock.recv(1 << 16)
            at = 0
            while at < len(data):
                n, kind, *_ = _HEADER.unpack_from(data, at)
                if kind != _TCP_OF_ALL_FAMILIES:  # the end, or an error
                    return found
                family, own, peer, inode = _CONNECTION.unpack_from(data, at + _HEADER.size)
                if inode in inodes:
                    size = 4 if family == sockets.AF_INET else 16
                    found.append((_show(own[:size]), _show(peer[:size])))
                at += -(-n // 4) * 4
    finally:
        sock.close()


def _show(packed: bytes) -> str:
    packed = packed.removeprefix(_MAPPED) if len(packed) == 16 else packed
    return sockets.inet_ntop(sockets.AF_INET6 if len(packed) == 16 else sockets.AF_INET, packed)


def normalize_address(text: str) -> str:
    """The one way to write an address, so that two can be compared; its scope stays."""
    address, percent, scope = text.partition("%")
    family = sockets.AF_INET6 if ":" in address else sockets.AF_INET
    return _show(sockets.inet_pton(family, address)) + percent + scope


def find_own_address(peer: str) -> str:
    """The address of this host that its routes use towards *peer*, a numeric one; "" where none leads there.

    Nothing is sent.
    """
    sock = sockets.Socket(sockets.AF_INET6 if ":" in peer else sockets.AF_INET, sockets.SOCK_DGRAM)
    try:
        sock.connect(sockets.getaddrinfo(peer, 9, 0, sockets.SOCK_DGRAM, 0, sockets.AI_NUMERICHOST)[0][4])
        return sockets.show_address(sock.getsockname())
    except OSError:
        return ""
    finally:
        sock.close()

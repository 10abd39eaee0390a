"""Sockets without what `socket` puts on top of them: its enums and files take 4 ms of an agent's start.

`_socket` is what `socket` is made of. Addresses, options and errors are the same.
"""

from _socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    AI_NUMERICHOST,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_V6ONLY,
    MSG_PEEK,
    SHUT_RDWR,
    SHUT_WR,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_INFO,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_MAXSEG,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
    getaddrinfo,
    inet_ntop,
    inet_pton,
    socketpair,
)
from _socket import socket as Socket

__all__ = [
    "AF_INET",
    "AF_INET6",
    "AF_NETLINK",
    "AF_UNIX",
    "AI_NUMERICHOST",
    "IPPROTO_IP",
    "IPPROTO_IPV6",
    "IPPROTO_TCP",
    "IPV6_V6ONLY",
    "MSG_PEEK",
    "SHUT_RDWR",
    "SHUT_WR",
    "SOCK_DGRAM",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SO_ERROR",
    "SO_KEEPALIVE",
    "SO_REUSEADDR",
    "TCP_INFO",
    "TCP_KEEPCNT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_MAXSEG",
    "TCP_NODELAY",
    "TCP_NOTSENT_LOWAT",
    "Socket",
    "accept",
    "getaddrinfo",
    "has_dual_stack",
    "inet_ntop",
    "inet_pton",
    "show_address",
    "socketpair",
]


def accept(listener: Socket) -> Socket:
    """Take a connection in. Raises OSError, BlockingIOError when none is there."""
    fd, _ = listener._accept()  # type: ignore[attr-defined]  # typeshed has not heard of it
    return Socket(fileno=fd)


def show_address(address: "tuple[object, ...]") -> str:
    """The numeric address; a link-local one with its interface, which Python tells separately."""
    text = str(address[0])
    scope = address[3] if len(address) == 4 else 0
    return text if not scope or "%" in text else f"{text}%{scope}"


def has_dual_stack() -> bool:
    """Whether one listener can take IPv4 and IPv6: there are kernels without the latter."""
    try:
        sock = Socket(AF_INET6, SOCK_STREAM)
    except OSError:
        return False
    try:
        sock.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
    except OSError:
        return False
    finally:
        sock.close()
    return True

"""Addresses of hosts, as numbers."""

from escp.lean import sockets

MAX_ADDRESSES = 8  # of one host, that are tried, at either end


def is_address(text: str) -> bool:
    """Whether *text* is an IPv4 or IPv6 address, and not a name."""
    try:
        sockets.inet_pton(sockets.AF_INET6 if ":" in text else sockets.AF_INET, text.partition("%")[0])
        socket_address(text, 0)  # the scope: a peer's may be anything
    except (OSError, ValueError):
        return False
    return True


def socket_address(host: str, port: int) -> tuple[object, ...]:
    """What connect and bind take for a numeric address, which may have an IPv6 scope (fe80::1%eth0)."""
    return find_addresses(host, port, flags=sockets.AI_NUMERICHOST)[0]


def find_addresses(host: str, port: int | None, family: int = 0, flags: int = 0) -> list[tuple[object, ...]]:
    """The socket addresses of a host for TCP. Raises OSError, or UnicodeError for what can't be a name.

    A name in bytes saves Python 3 ms of importing IDNA.
    """
    name = host.encode() if host.isascii() else host
    return [info[4] for info in sockets.getaddrinfo(name, port, family, sockets.SOCK_STREAM, flags=flags)]


def is_own_address(address: str) -> bool:
    """Whether this host has that address, so that a listener may be bound to it."""
    sock = sockets.Socket(sockets.AF_INET6 if ":" in address else sockets.AF_INET)
    try:
        sock.bind(socket_address(address, 0))
    except OSError:
        return False
    finally:
        sock.close()
    return True

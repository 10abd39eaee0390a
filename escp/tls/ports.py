"""Where a daemon listens: the sockets that systemd has opened for it, or its own."""

import errno
import os
import socket

from escp.constants import TLS_PORT
from escp.errors import UsageError, describe_errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BACKLOG = 512


def open_sockets(word: str | None) -> list[socket.socket]:
    """Those of systemd, else at *word*, `ADDRESS:PORT`, either of which may be missing. Raises UsageError."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and word is None and (found := _take_over()):
        return found
    address, port = _parse_place(word or "")
    try:
        infos = socket.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        if not address:
            infos = [info for info in infos if info[0] == socket.AF_INET6] or infos
        return [
            _open_socket(info[0], info[4], is_any=not address) for info in infos[: 1 if not address else 8]
        ]
    except OSError as e:
        if not address and e.errno == errno.EAFNOSUPPORT:
            return [_open_socket(socket.AF_INET, ("", port), is_any=True)]
        why = e.strerror if isinstance(e, socket.gaierror) else describe_errno(e.errno or 0)
        raise UsageError(f"option --listen: {address or 'any address'}, port {port}: {why}", "") from e


def _take_over() -> list[socket.socket]:
    """Those of systemd, from descriptor 3 on. Raises UsageError."""
    try:
        n = int(os.environ.get("LISTEN_FDS", "0"))
        found = [socket.socket(fileno=fd) for fd in range(3, 3 + n)]
        # A connection, as of Accept=yes, would be ready for ever, and never give another one.
        are_right = all(
            sock.type == socket.SOCK_STREAM
            and sock.family in (socket.AF_INET, socket.AF_INET6)
            and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            for sock in found
        )
    except (OSError, ValueError):
        are_right = False
    if not are_right:
        raise UsageError(
            "option --listen: what systemd has opened is no TCP socket that listens",
            "ListenStream=1231, without Accept=yes",
        )
    for sock in found:
        os.set_inheritable(sock.fileno(), False)
    return found


def _open_socket(family: int, place: "Any", *, is_any: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not is_any)
    sock.bind(place)
    sock.listen(BACKLOG)
    return sock


def _parse_place(word: str) -> tuple[str, int]:
    """Raises UsageError."""
    address, colon, port = word.rpartition(":") if not word.endswith("]") else (word, "", "")
    if not colon and not word.isdigit():
        address, port = word, ""
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"option --listen: '{word}' has a bad port", "escp --listen [ADDRESS][:PORT]")
    return address, int(port) if port else TLS_PORT

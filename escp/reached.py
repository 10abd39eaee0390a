"""Where ssh really went: the TCP connection of its process, as this host's kernel shows it.

What an agent says of its host's addresses is only a word; this is not.
"""

import os
import sys

from escp import sockets

_MAPPED = bytes(10) + b"\xff\xff"  # in front of an IPv4 address in an IPv6 one
_ESTABLISHED = b"01"


def find_connection(pid: int) -> tuple[str, str] | None:
    """Addresses of this host and of the other one in the only TCP connection of process *pid*.

    None where that can't be told: behind a jump host ssh has a pipe, and with a shared connection a local
    socket. Nor for link-local addresses, which the kernel shows without their interface.
    """
    try:
        inodes = _find_sockets(pid)
        found = [pair for table in ("tcp", "tcp6") for pair in _find_pairs(f"/proc/{pid}/net/{table}", inodes)]
    except OSError:
        return None
    if len(found) != 1 or any(address.startswith("fe80:") for address in found[0]):
        return None
    return found[0]


def _find_sockets(pid: int) -> list[bytes]:
    """The inode numbers of a process's sockets of any kind."""
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return [link[len("socket:[") : -1].encode() for link in links if link.startswith("socket:[")]


def _find_pairs(path: str, inodes: list[bytes]) -> list[tuple[str, str]]:
    """Both addresses of each connection in one of the kernel's tables that has one of these numbers."""
    found = []
    with open(path, "rb", 0) as file:
        table = file.read()
    for inode in inodes:
        at = table.find(b" " + inode + b" ")
        while at >= 0:
            words = table[table.rfind(b"\n", 0, at) + 1 : table.find(b"\n", at)].split()
            if words[3] == _ESTABLISHED and words[9] == inode:
                found.append((_read_address(words[1]), _read_address(words[2])))
            at = table.find(b" " + inode + b" ", at + 1)
    return found


def _read_address(word: bytes) -> str:
    """ADDRESS:PORT in hexadecimal, in words of 32 bits of this host's byte order."""
    digits = word.partition(b":")[0]
    words = [int(digits[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(digits), 8)]
    return _show(b"".join(words))


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

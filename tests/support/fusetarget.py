"""A file system that runs here and can be written to, until it ends or its disk does (`fuse`)."""

import errno
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.fuse import FuseServer, mount_server

LOOKUP, GETATTR, SETATTR, MKDIR, UNLINK, RMDIR, RENAME = 1, 3, 4, 9, 10, 11, 12
READ, WRITE, READDIR, CREATE, RENAME2 = 15, 16, 28, 35, 45
SET_MODE, SET_SIZE, SET_MTIME = 1, 8, 32
IS_DIRECTORY = 0o40000


class Node:
    def __init__(self, mode: int):
        self.mode = mode
        self.data = bytearray()
        self.names: dict[str, int] = {}  # of a directory
        self.mtime = (1_600_000_000, 0)


class TargetServer(FuseServer):
    """Files and directories in memory. After *n_files* were made it ends, or all gives *number*."""

    def __init__(self, fd: int, n_files: int, number: int = 0):
        super().__init__(fd, {})
        self.nodes = {1: Node(IS_DIRECTORY | 0o755)}
        self.n_left = n_files
        self.number = number

    def is_over(self, opcode: int, node: int) -> bool:
        return self.n_left <= 0 and not self.number

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | int:
        if self.n_left <= 0:
            return self.number
        if opcode not in (
            LOOKUP,
            GETATTR,
            SETATTR,
            MKDIR,
            UNLINK,
            RMDIR,
            RENAME,
            RENAME2,
            READ,
            WRITE,
            CREATE,
        ):
            return super().answer(opcode, node, body)
        try:
            return self.do(opcode, self.nodes[node], node, body)
        except KeyError:
            return errno.ENOENT

    def do(self, opcode: int, at: Node, node: int, body: bytes) -> bytes:
        if opcode == LOOKUP:
            return self.entry(at.names[to_names(body)[0]])
        if opcode == MKDIR:
            return self.make(at, IS_DIRECTORY | struct.unpack_from("<I", body)[0], body[8:])
        if opcode == CREATE:
            self.n_left -= 1
            made = self.make(at, struct.unpack_from("<I", body, 4)[0], body[16:])
            return made + struct.pack("<QII", 0, 0, 0)
        if opcode in (UNLINK, RMDIR):
            del at.names[to_names(body)[0]]
            return b""
        if opcode in (RENAME, RENAME2):
            old, new = to_names(body[16 if opcode == RENAME2 else 8 :])
            self.nodes[struct.unpack_from("<Q", body)[0]].names[new] = at.names.pop(old)
            return b""
        if opcode == WRITE:
            offset, size = struct.unpack_from("<QI", body, 8)
            at.data[len(at.data) :] = bytes(max(0, offset - len(at.data)))
            at.data[offset : offset + size] = body[40 : 40 + size]
            return struct.pack("<II", size, 0)
        if opcode == READ:
            offset, size = struct.unpack_from("<QI", body, 8)
            return bytes(at.data[offset : offset + size])
        if opcode == SETATTR:
            self.change(at, body)
        return struct.pack("<QII", 0, 0, 0) + self.attributes(node)

    def make(self, at: Node, mode: int, name: bytes) -> bytes:
        number = max(self.nodes) + 1
        self.nodes[number] = Node(mode)
        at.names[to_names(name)[0]] = number
        return self.entry(number)

    @staticmethod
    def change(at: Node, body: bytes) -> None:
        valid, size, mtime, mtime_ns, mode = struct.unpack_from("<I12xQ16xQ12xI4xI", body)
        if valid & SET_MODE:
            at.mode = mode
        if valid & SET_SIZE:
            at.data[:] = at.data[:size] + bytes(max(0, size - len(at.data)))
        if valid & SET_MTIME:
            at.mtime = (mtime, mtime_ns)

    def entry(self, number: int) -> bytes:
        return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + self.attributes(number)

    def attributes(self, node: int) -> bytes:
        one = self.nodes[node]
        seconds, ns = one.mtime
        times = (seconds, seconds, seconds, ns, ns, ns)
        return struct.pack("<6Q10I", node, len(one.data), 0, *times, one.mode, 1, 0, 0, 0, 4096, 0)

    def list_names(self, offset: int) -> bytes:
        return b""  # nobody here lists it while it lives


def to_names(body: bytes) -> list[str]:
    return [name.decode() for name in body.split(b"\0")[:-1]]


@contextmanager
def dying_target(at: Path, n_files: int, number: int = 0) -> Iterator[Path]:
    with mount_server(at, lambda fd: TargetServer(fd, n_files, number)):
        yield at

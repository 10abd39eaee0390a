"""A file system that runs here, in the kernel's own words (linux/fuse.h): its files say what a test wants.

Needs root and /dev/fuse. One directory, read only; a file may have several names.
"""

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, STATFS, RELEASE, FLUSH = 1, 2, 3, 4, 14, 15, 17, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 26, 27, 28, 29, 36, 42
DIRECT_IO = 1  # reads ask this file system, whatever the size says
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


class FuseFile:
    """*size*: what stat says; None: the truth. *fails_at*: a read there gives EIO.

    *is_deadly*: any read ends the server.
    """

    def __init__(
        self,
        contents: bytes,
        size: int | None = None,
        fails_at: int | None = None,
        is_deadly: bool = False,
    ):
        self.is_deadly = is_deadly
        self.contents = contents
        self.size = len(contents) if size is None else size
        self.fails_at = fails_at

    def read(self, offset: int, size: int) -> bytes | int:
        if self.fails_at is not None and offset + size > self.fails_at:
            return errno.EIO
        return self.contents[offset : offset + size]


class FuseServer(threading.Thread):
    def __init__(self, fd: int, files: dict[str, FuseFile]):
        super().__init__(daemon=True)
        self.fd = fd
        self.names = files
        self.files = list(dict.fromkeys(files.values()))  # of which node 2 is the first

    def run(self) -> None:
        while True:
            try:
                request = os.read(self.fd, 1 << 18)
            except OSError as e:
                if e.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # ENODEV: it is unmounted
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            if self.is_over(opcode, node):
                os.close(self.fd)  # the mount stays
                self.fd = -1
                return
            answer = self.answer(opcode, node, request[40:])
            number, body = (answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), -number, unique) + body)

    def is_over(self, opcode: int, node: int) -> bool:
        return opcode == READ and self.files[node - 2].is_deadly

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | int:
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHH8I", 7, 23, 1 << 17, 0, 16, 12, 1 << 17, 1, 0, 0, *[0] * 8)
        if opcode == LOOKUP:
            name = body.rstrip(b"\0").decode()
            if name not in self.names:
                return errno.ENOENT
            found = self.files.index(self.names[name]) + 2
            return struct.pack("<QQQQII", found, 0, 60, 60, 0, 0) + self.attributes(found)
        if opcode in (GETATTR, SETATTR):  # which changes nothing
            return struct.pack("<QII", 60, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, DIRECT_IO if opcode == OPEN else 0, 0)
        if opcode == READ:
            return self.files[node - 2].read(*struct.unpack_from("<QI", body, 8))
        if opcode == READDIR:
            return self.list_names(struct.unpack_from("<Q", body, 8)[0])
        if opcode == STATFS:
            return struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6)
        return b"" if opcode in (RELEASE, RELEASEDIR, FLUSH) else errno.ENOSYS

    def attributes(self, node: int) -> bytes:
        size, mode, n_links = 0, 0o40755, 1
        if node != 1:
            file = self.files[node - 2]
            size, mode, n_links = file.size, 0o100644, list(self.names.values()).count(file)
        times = [1_600_000_000] * 3
        return struct.pack("<6Q10I", node, size, 0, *times, 0, 0, 0, mode, n_links, 0, 0, 0, 4096, 0)

    def list_names(self, offset: int) -> bytes:
        out = b""
        for i, name in enumerate(list(self.names)[offset:], int(offset) + 1):
            raw = name.encode()
            out += struct.pack("<QQII", i + 1, i, len(raw), 8) + raw + bytes(-len(raw) % 8)
        return out if len(out) < 4096 else pytest.fail("too many names for one answer")


@contextmanager
def mounted(at: Path, files: dict[str, FuseFile]) -> Iterator[Path]:
    with mount_server(at, lambda fd: FuseServer(fd, files)):
        yield at


@contextmanager
def mount_server(at: Path, make: Callable[[int], FuseServer]) -> Iterator[None]:
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse")
    at.mkdir(exist_ok=True)
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"odd", os.fsencode(at), b"fuse.odd", 6, options) != 0:  # no setuid programs, no devices
        os.close(fd)
        pytest.skip(f"mount: {os.strerror(ctypes.get_errno())}")
    server = make(fd)
    server.start()
    try:
        yield
    finally:
        libc.umount2(os.fsencode(at), MNT_DETACH)
        server.join(10)
        if server.fd >= 0:
            os.close(fd)

"""The frozen tree that `--push-agent` sends: where it is, what it is called, and its bytes as one archive.

folder/bin/escp               -> ../lib/escp/escp; made anew on the other host
folder/lib/escp/escp          the program
folder/lib/escp/_internal/    its libraries and modules
folder/lib/escp/MANIFEST      `sha256sum -c` lines of all files but itself; its own SHA-256 names the tree
"""

import os
import re

from escp.errors import EscpError, IntegrityError, UsageError, describe_errno
from escp.lean.record import Record
from escp.process.environment import frozen_folder, unpacked_folder

TYPE_CHECKING = False  # typing would cost 4 ms before ssh can start
if TYPE_CHECKING:
    import gzip
    from collections.abc import Iterator

MANIFEST = "lib/escp/MANIFEST"
PROGRAM = "lib/escp/escp"
_INTERNAL = "lib/escp/_internal/"
_CARRIED = (
    "agent"  # the one-file program has what it lacks of the tree below this folder (packaging/freeze.py)
)
_LINE = re.compile(r"([0-9a-f]{64})  ((?!/)[\x21-\x5b\x5d-\x7e]+)")
MAX_MANIFEST_BYTES = 1 << 20
PIECE_BYTES = 1 << 18
# Of a tree of 33 MB level 1 makes 12.5 MB in 0.46 s, 4 11.8 MB in 0.60 s, 6 11.4 MB in 1.2 s (EPYC,
# 2026-11-22).
COMPRESSION = 4
# e_machine of an ELF header -> `uname -m`
_MACHINES = {62: "x86_64", 183: "aarch64", 21: "ppc64le", 22: "s390x", 243: "riscv64"}


class AgentTree(Record):
    """A tree whose MANIFEST was read; its files are looked at when they are packed."""

    identity: str  # 64 hexadecimal digits
    folder: str  # what holds lib/escp; of the one-file program: where it unpacked itself
    is_one_file: bool

    def path_of(self, name: str) -> str:
        """Where a file of the tree is on this host."""
        if not self.is_one_file:
            return os.path.join(self.folder, name)
        if name.startswith(_INTERNAL):
            return os.path.join(self.folder, name[len(_INTERNAL) :])
        return os.path.join(self.folder, _CARRIED, os.path.basename(name))

    def machine(self) -> str:
        """What `uname -m` says on hosts where the program can run."""
        with open(self.path_of(PROGRAM), "rb") as file:
            header = file.read(20)
        if header[:4] != b"\x7fELF":
            return os.uname().machine  # a script: no tree of ours, but for tests
        return _MACHINES.get(int.from_bytes(header[18:20], "little" if header[5] == 1 else "big"), "")


def find_tree(folder: str | None) -> AgentTree | None:
    """The tree in *folder*, or the one that this program itself is of; None: it runs from source.

    Raises UsageError when there is no tree in *folder*.
    """
    if folder is not None:
        return _open_tree(folder, is_one_file=False)
    own = frozen_folder()
    if own is None:
        return None
    if unpacked_folder() is not None:
        return _open_tree(own, is_one_file=True)
    return _open_tree(os.path.dirname(os.path.dirname(os.path.dirname(own))), is_one_file=False)


def _open_tree(folder: str, *, is_one_file: bool) -> AgentTree:
    import hashlib  # lazy: 2 ms, and few need it

    tree = AgentTree("", folder, is_one_file)
    try:
        return tree._replace(identity=hashlib.sha256(_read_manifest(tree)).hexdigest())
    except OSError as e:
        raise UsageError(
            f"there is no frozen escp in {folder}: {tree.path_of(MANIFEST)}: {describe_errno(e.errno or 0)}",
            "--agent-tree names the folder that has bin/escp and lib/escp: dist/escp after `build.py freeze`",
        ) from e


def _read_manifest(tree: AgentTree) -> bytes:
    with open(tree.path_of(MANIFEST), "rb") as file:
        return file.read(MAX_MANIFEST_BYTES)


def _open_scratch() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("escp-agent")
    import tempfile  # lazy: a Python that was built for a glibc older than 2.27

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Archive:
    """The tree as a tar.gz, in memory where the system can: no file system need hold it. `close()` frees it.

    `pack()` makes it, a piece each time it is asked for the next; it checks every file against MANIFEST.
    """

    def __init__(self, tree: AgentTree):
        self._tree = tree
        self._fd = _open_scratch()
        self.n_bytes = 0

    def pack(self) -> "Iterator[None]":
        import gzip  # lazy: with tarfile 10 ms
        import tarfile

        with (
            os.fdopen(os.dup(self._fd), "wb") as file,
            gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed,
        ):
            manifest = _read_manifest(self._tree)
            yield from self._add(packed, MANIFEST, self._tree.identity)
            for line in manifest.decode(errors="replace").splitlines():
                match = _LINE.fullmatch(line)
                if match is None or ".." in match[2].split("/"):
                    raise self._damaged(MANIFEST)
                yield from self._add(packed, match[2], match[1])
            packed.write(bytes(2 * tarfile.BLOCKSIZE))
        self.n_bytes = os.fstat(self._fd).st_size

    def _add(self, packed: "gzip.GzipFile", name: str, digest: str) -> "Iterator[None]":
        import hashlib  # lazy, see above
        import tarfile

        path = self._tree.path_of(name)
        try:
            with open(path, "rb", 0) as file:
                status = os.fstat(file.fileno())
                header = tarfile.TarInfo(name)
                header.size = status.st_size
                header.mode = 0o700 if status.st_mode & 0o111 else 0o600
                packed.write(header.tobuf(tarfile.GNU_FORMAT))
                n_left, found = status.st_size, hashlib.sha256()
                while n_left and (data := file.read(min(n_left, PIECE_BYTES))):
                    n_left -= len(data)
                    found.update(data)
                    packed.write(data)
                    yield
        except OSError as e:
            raise self._damaged(name, describe_errno(e.errno or 0)) from e
        if n_left or found.hexdigest() != digest:
            raise self._damaged(name)
        packed.write(bytes(-status.st_size % tarfile.BLOCKSIZE))

    def _damaged(self, name: str, reason: str = "it is not what MANIFEST says") -> EscpError:
        return IntegrityError(
            f"this escp can't be sent: {self._tree.path_of(name)}: {reason}", "install it anew on this host"
        )

    def read(self, offset: int) -> bytes:
        return os.pread(self._fd, PIECE_BYTES, offset)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

from collections.abc import Iterable

from escp._fast.crypto.channel import Channel

FILE_FAILED: int
FATAL: int
FINISHED: int
ROOM: int
LISTED: int  # where: file, directory, link or device, offset: its size, path: below the target
SELECTIONS: dict[str, int]

# kind, code, errno, where, offset, is_remote, path
Event = tuple[int, int, int, str, int, bool, bytes]

class Plane:
    def attach(self, fd: int, channel: Channel) -> None: ...
    def start(self) -> None: ...
    @property
    def event_fd(self) -> int: ...
    def take_events(self) -> list[Event]: ...
    def counters(self) -> dict[str, int]: ...
    def stop(self) -> None: ...
    def join(self) -> None: ...

class SendPlane(Plane):
    def __init__(
        self,
        *,
        n_streams: int,
        block_bytes: int,
        engine: str = "posix",
        is_direct: bool = True,
        direct_bytes: int = 0,
        has_checksum: bool = True,
        has_compression: bool = False,
        is_recursive: bool = False,
        n_walkers: int = 2,
        fault_offset: int = -1,
        follows_links: bool = True,
        keeps_hard_links: bool = False,
        keeps_xattrs: bool = False,
        keeps_acls: bool = False,
        keeps_owner_names: bool = False,
        finds_holes: bool = False,
        sends_devices: bool = False,
        filters: Iterable[tuple[bool, bytes]] = (),
        selection: str = "all",
        compares_digests: bool = False,
        is_dry_run: bool = False,
    ) -> None: ...
    def add_source(
        self, source: bytes, target: bytes, *, waits: bool = False, tells_absent: bool = False
    ) -> bool: ...
    def end_sources(self) -> None: ...

class ReceivePlane(Plane):
    def __init__(
        self,
        *,
        root_fd: int,
        n_streams: int,
        block_bytes: int,
        engine: str = "posix",
        is_direct: bool = True,
        direct_bytes: int = 0,
        has_checksum: bool = True,
        has_compression: bool = False,
        keeps_attributes: bool = False,
        follows_umask: bool = False,
        target_name: bytes = b"",
        in_place_fd: int = -1,
        has_openat2: bool = True,
        has_tmpfile: bool = True,
        keeps_owner: bool = False,
        keeps_xattrs: bool = False,
        keeps_acls: bool = False,
        makes_sparse: bool = False,
        makes_links: bool = False,
        makes_hard_links: bool = False,
        makes_devices: bool = False,
        has_roots: bool = False,
        selection: str = "all",
        compares_digests: bool = False,
        is_dry_run: bool = False,
    ) -> None: ...
    def allow(self, name: bytes, is_directory: bool = False) -> None: ...

# Instead of attach(), for a copy within this host; before start(). The sender's start() starts both planes,
# stop() and join() of either are those of both. Both report FINISHED, or FATAL, or nothing after stop().
# A file that fails at the receiver is reported by both: the sender's event has is_remote.
def link_local(sender: SendPlane, receiver: ReceivePlane) -> None: ...

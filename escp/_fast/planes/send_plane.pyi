from collections.abc import Iterable

from escp._fast.planes.plane import Plane
from escp._fast.planes.receive_plane import ReceivePlane

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

# Instead of attach(), for a copy within this host; before start(). The sender's start() starts both planes,
# stop() and join() of either are those of both. Both report FINISHED, or FATAL, or nothing after stop().
# A file that fails at the receiver is reported by both: the sender's event has is_remote.
def link_local(sender: SendPlane, receiver: ReceivePlane) -> None: ...

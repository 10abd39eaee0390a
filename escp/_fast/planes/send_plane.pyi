from escp._fast.io.block_source import BlockSource
from escp._fast.planes.plane import Plane
from escp._fast.planes.receive_plane import ReceivePlane

class SendPlane(Plane):
    def __init__(
        self,
        order: object,  # read by the names of escp.control.messages.Send
        *,
        n_streams: int,
        block_bytes: int,
        direct_bytes: int = 0,
        n_walkers: int = 2,
        max_open: int = ...,
        has_openat2: bool = True,
        fault_offset: int = -1,
        limit_bytes_per_s: int = 0,
        reconnects: bool = False,
        memory: BlockSource | None = None,
    ) -> None: ...
    def limit_large(self, n: int) -> None: ...
    def tell_begun(self) -> None: ...
    def tell_copied(self) -> None: ...
    def keep_record(self, seed: int, records: bytes) -> None: ...
    def take_record(self) -> bytes: ...
    def keep_parts(self, partial_min: int, resumes: bool) -> None: ...
    def add_source(
        self, source: bytes, target: bytes, *, waits: bool = False, tells_absent: bool = False
    ) -> bool: ...
    def end_sources(self) -> None: ...

# Instead of attach(), for a copy within this host; before start(). The sender's start() starts both planes,
# stop() and join() of either are those of both. Both report FINISHED, or FATAL, or nothing after stop().
# A file that fails at the receiver is reported by both: the sender's event has is_remote.
def link_local(sender: SendPlane, receiver: ReceivePlane) -> None: ...

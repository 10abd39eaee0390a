from escp._fast.io.block_sink import BlockSink
from escp._fast.planes.plane import Plane

class ReceivePlane(Plane):
    def __init__(
        self,
        order: object,  # read by the names of escp.control.messages.Receive
        *,
        root_fd: int,
        n_streams: int,
        block_bytes: int,
        direct_bytes: int = 0,
        target_name: bytes = b"",
        n_cached: int = ...,
        n_held: int = ...,
        n_dirty: int = ...,
        follows_umask: bool = False,
        in_place_fd: int = -1,
        has_openat2: bool = True,
        has_tmpfile: bool = True,
        brings_root: bool = False,
        has_old_root: bool = False,
        reconnects: bool = False,
        memory: BlockSink | None = None,
    ) -> None: ...
    def allow(self, name: bytes, is_directory: bool = False) -> None: ...
    def expect(self, path: bytes, digest: bytes) -> None: ...
    def tell_copied(self) -> None: ...

from escp._fast.planes.plane import Plane

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

"""FastError: what native code reports, as plain facts. `escp.errors` gives them words and exit codes."""

_FAST_MEMORY = 11  # of types.pxd


class BuffersError(MemoryError):
    """*wanted*: for what there is no memory; *n_free_mib*: of it, where it was asked before it was taken;
    *group_mib*: what the control group may have that leaves no more, or 0."""

    def __init__(self, n_streams: int, block_mib: int, n_mib: int, n_free_mib: int | None, group_mib: int):
        streams = "1 stream" if n_streams == 1 else f"{n_streams} streams"
        need = "needs" if n_streams == 1 else "need"
        self.wanted = f"{streams} with blocks of {block_mib} MiB {need} {n_mib} MiB for their buffers"
        super().__init__(self.wanted)
        self.n_free_mib = n_free_mib
        self.group_mib = group_mib


class FastError(Exception):
    """A native failure: code (`fast_code` in types.pxd), errno or 0, the call that failed, offset or -1."""

    def __init__(self, code: int, sys_errno: int, where: str, offset: int):
        super().__init__(code, sys_errno, where, offset)
        self.code = code
        self.sys_errno = sys_errno
        self.where = where
        self.offset = offset


class FastMemoryError(FastError, MemoryError):
    """There was none."""


def raise_error(code: int, sys_errno: int, where: str, offset: int) -> None:
    raise (FastMemoryError if code == _FAST_MEMORY else FastError)(code, sys_errno, where, offset)

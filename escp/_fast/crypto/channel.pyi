DEFAULT_EPOCH_LIMIT: int

class Channel:
    def __init__(
        self,
        secret: bytes | bytearray | memoryview,
        stream: int,
        *,
        is_sender: bool,
        block_bytes: int,
        connection: int = 0,
        backend: str | None = None,
        epoch_limit: int = ...,
    ) -> None: ...
    @property
    def stream(self) -> int: ...
    def seal(self, is_data: bool, payload: bytes) -> bytes: ...
    def seal_memory(self, n_bytes: int, n_times: int) -> None: ...
    def expect(self, iv: bytes | bytearray | memoryview) -> tuple[bool, int]: ...
    def open(self, frame: bytes) -> tuple[bool, bytes]: ...

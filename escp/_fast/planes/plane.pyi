from escp._fast.crypto.channel import Channel

FILE_FAILED: int
FATAL: int
FINISHED: int
ROOM: int
CUT: int  # offset: the stream whose connection broke; code: how
RESUMED: int  # offset: the stream, over another connection
PART: int  # where: a key of escp.jobs.parts.NEWS, offset: bytes of it that are kept, path: below the target
ITEM: int  # code: why, else as LISTED; behind a NUL and the path: a file's digest
COPIED: int  # after tell_copied(): as ITEM without code; path: a sender's own, or below a receiver's target
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

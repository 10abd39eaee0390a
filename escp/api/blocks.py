"""Blocks: a file there that is written from memory, in any order; a file there that comes as blocks."""

import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from operator import index
from typing import Self

from escp.api.copy import Flag
from escp.api.memory import END_S, FOR_RECEIVING, MemoryCopy, receive_memory
from escp.api.outcome import Result
from escp.api.waiting import LEFT_OUT, check_process, find_timeout, make_look
from escp.api.words import OF_LOGINS, Path, check_options
from escp.constants import MEMORY_BLOCK_BYTES
from escp.errors import OutcomeUnknown, UsageError
from escp.names.globbing import quote
from escp.names.standard import explain_kept, open_kept
from escp.options.location import parse_location
from escp.streams.blocks import (
    FULL,
    LATE,
    SLICE_BYTES,
    SMALL_BYTES,
    STOPPED,
    Block,
    BlockGrid,
    BlockSink,
    BlockSource,
    check_contiguous,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from escp.remote.child import AgentProcess

SLICE_MS = 100  # between two looks at time and flag
MIN_BLOCK, MAX_BLOCK = 1 << 12, 1 << 25
FULL_S = 10.0  # that a block is waited for which would complete others

Look = Callable[[object, Flag | None], Callable[[], None]]  # of a timeout and a flag
Start = Callable[[BlockSource, int, int], MemoryCopy]  # contents, size, block of the streams; it starts


def find_stream_block(block: int) -> int:
    """What blocks of the program are cut into: equal pieces where they can be, several for the streams."""
    n = block // SLICE_BYTES
    if block % SLICE_BYTES or n == 1:
        return SLICE_BYTES
    return SLICE_BYTES * max(k for k in (1, 2, 3, 4, 8) if n % k == 0 and (k == 1 or n // k >= 4))


def _must_wait(_offset: object, _data: "Buffer", /) -> bool:
    return False


class _Kept:
    """Blocks of a file that is sent when all have come: one whose size is not known, or a small one."""

    def __init__(self, size: int | None, block: int):
        self._grid = BlockGrid(size, block)
        self._fd, self._folder = open_kept("blocks")
        self._close = weakref.finalize(self, os.close, self._fd)

    def write(self, offset: int, data: "Buffer", _wait_ms: int) -> int:
        check_contiguous(data)
        whole = memoryview(data)
        left = whole.cast("B") if whole.nbytes else memoryview(b"")  # an empty array of rows can't be cast
        self._grid.add(offset, left.nbytes)
        try:
            while left:
                n = os.pwrite(self._fd, left, offset)
                left, offset = left[n:], offset + n
        except OSError as e:
            raise explain_kept(e, self._folder, "blocks") from e
        return 0

    def finish(self) -> int:
        return self._grid.finish()

    def as_source(self) -> tuple[BlockSource, int]:
        size = self._grid.finish()
        data = mmap.mmap(self._fd, size, prot=mmap.PROT_READ) if size else b""
        return BlockSource(size, 0, SLICE_BYTES, data), size

    def stop(self) -> None:
        self._close()


class BlockWriter:
    """A file there that is written block by block; docs/api.md. Any number of threads may write.

    `block` is the blocks' size, `size` the file's, or None while it is not known.
    """

    def __init__(self, name: str, size: int | None, block: int, *, look: Look, start: Start):
        block, size = index(block), None if size is None else index(size)  # numpy's numbers are fine
        if not MIN_BLOCK <= block <= MAX_BLOCK:
            raise ValueError("a block has 4 KiB to 32 MiB")
        if size is not None and not 0 <= size < 1 << 63:
            raise ValueError("a size is a number of bytes below 2^63, or None")
        self.name, self.block, self._size = name, block, size
        self._make_look, self._start = look, start
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._n_writing = 0
        self._is_closed = self._is_aborted = False
        self._copy: MemoryCopy | None = None
        self._result: Result | None = None
        self._write_at_once: Callable[[object, Buffer], bool] = _must_wait
        self._store: BlockSource | _Kept
        if size is None or size <= SMALL_BYTES:
            self._store = _Kept(size, block)
        else:
            stream_block = find_stream_block(block)
            self._store = BlockSource(size, block, stream_block)
            self._write_at_once = self._store.write_at_once
            self._run(self._store, size, stream_block)

    def _run(self, source: BlockSource, size: int, stream_block: int) -> MemoryCopy:
        self._copy = self._start(source, size, stream_block)
        self._end = weakref.finalize(self, self._copy.stop)
        return self._copy

    @property
    def size(self) -> int | None:
        return self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.leave()
        else:
            self.abort()

    def leave(self, *, cancel: Flag | None = None) -> None:
        """As at the end of a `with` in which nothing was raised: commit what has not been given up."""
        if self._is_aborted:
            return
        try:
            self.commit(cancel=cancel)
        except BaseException:
            self.abort()
            raise

    def write_block(
        self, offset: int, data: "Buffer", *, timeout: object = LEFT_OUT, cancel: Flag | None = None
    ) -> None:
        """Hand over the block at *offset*, a multiple of `block`, or several that lie together.

        The file's last one may be shorter. Waits while the sender is behind: TimeUpError after *timeout*
        seconds, CancelledError once *cancel* is set. Then the same may be written again, with the same
        contents. When this returns the memory of *data* is the program's again. Raises ValueError for a block
        that must not come, and what has ended the copy.
        """
        if self._write_at_once(offset, data):
            return  # a small one, for which half a microsecond counts
        check_process(self._pid)
        offset = index(offset)
        look = None if timeout is LEFT_OUT and cancel is None else self._make_look(timeout, cancel)
        with self._lock:
            self._check_open()
            self._n_writing += 1
        try:
            since_s = 0.0
            while (late := self._store.write(offset, data, SLICE_MS)) == LATE or late == FULL:
                # Most blocks are taken at once; the connection's own time begins a slice later.
                look = look or self._make_look(timeout, cancel)
                look()
                now_s = time.monotonic()
                since_s = 0.0 if late == LATE else since_s or now_s
                if late == FULL and now_s - since_s > FULL_S:
                    raise ValueError(
                        f"no room for the block at offset {offset:,}: too many are there whose neighbours, "
                        "of the same 256 KiB, are missing; write those first, or larger blocks"
                    )
            if late == STOPPED:
                self._raise_end()
        finally:
            with self._lock:
                self._n_writing -= 1

    def _check_open(self) -> None:
        if self._is_aborted:
            raise ValueError(f"the blocks of '{self.name}' have been given up")
        if self._is_closed:
            raise ValueError(f"all blocks of '{self.name}' have been written: it is closed")

    def close(self) -> None:
        """There are no more blocks. Raises ValueError if some are missing, or are being written."""
        check_process(self._pid)
        with self._lock:
            if self._is_closed:
                return
            self._check_open()
            if self._n_writing:
                raise ValueError(f"other threads are still writing blocks of '{self.name}'")
            self._store.finish()
            self._is_closed = True
            self._write_at_once = _must_wait

    def commit(self, *, timeout: object = LEFT_OUT, cancel: Flag | None = None) -> Result:
        """Publish the file: it has its name when this returns. May be called again.

        Raises OutcomeUnknown when the connection is lost, or the time is over, before the answer is there.
        """
        check_process(self._pid)
        look = self._make_look(timeout, cancel)
        if self._copy is not None and self._copy.is_over and self._result is None:
            self._raise_end()
        self.close()
        if self._is_aborted:
            self._check_open()
        if self._result is not None:
            return self._result
        copy = self._copy
        if copy is None:
            assert isinstance(self._store, _Kept)
            source, self._size = self._store.as_source()
            copy = self._run(source, self._size, 0)
        assert isinstance(copy.memory, BlockSource)
        copy.memory.commit()
        try:
            while not copy.wait(SLICE_MS / 1000):
                look()
        except BaseException:
            copy.stop()
            if isinstance(copy.error, OutcomeUnknown):
                raise copy.error from None
            if copy.result is None:
                raise
        if copy.result is None:
            self._raise_end()
        self._result = copy.result
        self._store.stop()
        assert self._result is not None
        return self._result

    def abort(self) -> None:
        """Give up: what was there stays. Does nothing once `commit` has returned, or in a child."""
        if self._result is not None or os.getpid() != self._pid:
            return
        self._is_aborted = True
        self._write_at_once = _must_wait
        self._store.stop()
        if self._copy is not None:
            self._end()

    def _raise_end(self) -> None:
        """What has ended the copy."""
        if self._is_aborted or self._copy is None:
            self._check_open()
        assert self._copy is not None
        self._copy.wait(END_S)
        if self._copy.error is not None:
            raise self._copy.error
        self._check_open()
        raise ValueError(f"the copy of '{self.name}' is over")


class Blocks(Iterator[Block]):
    """The blocks of a file there, as they come: in no order, each verified. docs/api.md.

    Whether the *file* is well only the end tells: the iterator ends, and `result` is there, or it raises.
    """

    def __init__(self, copy: MemoryCopy, look: Look):
        self._copy = copy
        self._make_look = look
        self._pid = os.getpid()
        self._is_closed = False
        self._end = weakref.finalize(self, copy.stop)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Block:
        block = self.next_block()
        if block is None:
            raise StopIteration
        return block

    def next_block(self, *, timeout: object = LEFT_OUT, cancel: Flag | None = None) -> Block | None:
        """The next one, None at the end of a file that is well. *timeout*, *cancel*: of the waiting alone."""
        check_process(self._pid)
        sink = self._copy.memory
        assert isinstance(sink, BlockSink)
        look = self._make_look(timeout, cancel)
        while not self._is_closed:
            is_over = self._copy.is_over  # before: what came until then is there
            block = sink.take(0 if is_over else SLICE_MS)
            if block is not None:
                return block
            if is_over:
                break
            look()
        if self._copy.error is not None and not self._is_closed:
            raise self._copy.error
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def result(self) -> Result | None:
        """Of the whole file, once all of its blocks are there: it was compared with its source's digest."""
        return self._copy.result

    def close(self) -> None:
        """No more are wanted. Blocks that the program has stay until it releases them."""
        self._is_closed = True
        self._end()


def begin_receiving(
    source: Path,
    shown: str,
    options: Mapping[str, object],
    begin: Callable[[Flag], "AgentProcess"] | None,
    look: Look,
) -> Blocks:
    """*source*: an operand; *shown*: for people.

    *begin*: starts the agent, given a flag that ends that; None logs in.
    """
    sink = BlockSink()
    chosen = {"blocksize": str(MEMORY_BLOCK_BYTES), **options}

    def run(cancel: threading.Event) -> Result:
        start_agent = None if begin is None else lambda _: begin(cancel)
        return receive_memory(sink, source, chosen, name=shown, cancel=cancel, start_agent=start_agent)

    return Blocks(MemoryCopy(sink, run), look)


def receive_blocks(
    source: Path, *, timeout: float | None = None, cancel: Flag | None = None, **options: object
) -> Blocks:
    """The contents of the file *source*, `host:path`, as blocks in no order, each verified; docs/api.md.

    *timeout*: for each block, in seconds; the first waits for the login, too. *cancel* ends it all.
    *options*: of escp.copy those about the login and the streams, and `blocksize`.
    """
    check_options(options, FOR_RECEIVING | OF_LOGINS, "receive_blocks")
    base = parse_location(os.fsencode(source))
    if not base.is_remote:
        raise UsageError(
            f"escp.receive_blocks: '{os.fsdecode(source)}' is on no other host", "write host:path"
        )

    def look(own: object, own_cancel: Flag | None) -> Callable[[], None]:
        limit_s = find_timeout(timeout if own is LEFT_OUT else own)
        return make_look(time.monotonic(), limit_s, own_cancel or cancel)

    operand = os.fsencode(str(base._replace(path=quote(base.path))))
    return begin_receiving(operand, os.fsdecode(source), options, None, look)

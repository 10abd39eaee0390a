"""The same for asyncio. Each call has a thread of its own; the event loop never waits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from escp.api.connection import DEFAULT_BLOCK, Remote
from escp.api.connection import connect as connect_here
from escp.api.copy import copy as copy_here
from escp.api.entry import Entry
from escp.api.expected import Digest
from escp.api.outcome import Progress, Result
from escp.api.waiting import LEFT_OUT
from escp.api.words import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from escp.api.blocks import BlockWriter
    from escp.streams.blocks import Block

_Done = TypeVar("_Done")
_Told = Callable[[Progress], object]


async def _run(
    work: Callable[[threading.Event, _Told | None], _Done], progress: _Told | None = None
) -> _Done:
    """What *work* returns, given its flag and callback. Cancelling the task ends it, and waits for that."""
    loop = asyncio.get_running_loop()
    cancel = threading.Event()
    raised: list[BaseException] = []

    def call(now: Progress) -> None:
        assert progress is not None
        if raised:
            return
        try:
            progress(now)
        except BaseException as e:
            raised.append(e)
            cancel.set()

    def pass_on(now: Progress) -> None:
        loop.call_soon_threadsafe(call, now)

    executor = ThreadPoolExecutor(1, thread_name_prefix="escp")
    task = loop.run_in_executor(executor, work, cancel, None if progress is None else pass_on)
    try:
        result = await asyncio.shield(task)
    except asyncio.CancelledError:
        cancel.set()
        while not task.done():  # who cancels again waits, too
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        task.exception()  # it has been looked at
        raise
    except BaseException:
        if raised:
            raise raised[0] from None
        raise
    finally:
        executor.shutdown(wait=False)
    if raised:  # by the last call
        raise raised[0]
    return result


async def copy(
    sources: Path | Iterable[Path],
    target: Path,
    *,
    progress: _Told | None = None,
    expected_digest: Digest | Mapping[Path, Digest] | None = None,
    **options: object,
) -> Result:
    """As escp.copy. *progress* is called in the event loop's thread.

    Cancelling the task ends the copy: CancelledError of asyncio is raised once nothing of it is left.
    """

    def work(cancel: threading.Event, tell: _Told | None) -> Result:
        return copy_here(
            sources, target, progress=tell, cancel=cancel, expected_digest=expected_digest, **options
        )

    return await _run(work, progress)


@asynccontextmanager
async def connect(
    host: str, *, timeout: float | None = None, **options: object
) -> AsyncIterator["AsyncRemote"]:
    """As escp.connect: `async with escp.aio.connect("dtn2") as remote`."""
    remote = await _run(lambda cancel, _: connect_here(host, timeout=timeout, cancel=cancel, **options))
    try:
        yield AsyncRemote(remote)
    finally:
        await _run(lambda _, __: remote.close())


class AsyncBlockWriter:
    """As escp.BlockWriter. Cancelling a task ends its call; its block may be written again."""

    def __init__(self, writer: "BlockWriter"):
        self._writer = writer

    @property
    def size(self) -> int | None:
        return self._writer.size

    async def write_block(self, offset: int, data: "Buffer", *, timeout: object = LEFT_OUT) -> None:
        await _run(lambda cancel, _: self._writer.write_block(offset, data, timeout=timeout, cancel=cancel))

    async def close(self) -> None:
        await _run(lambda _, __: self._writer.close())

    async def commit(self, *, timeout: object = LEFT_OUT) -> Result:
        return await _run(lambda cancel, _: self._writer.commit(timeout=timeout, cancel=cancel))

    async def abort(self) -> None:
        await _run(lambda _, __: self._writer.abort())

    async def leave(self) -> None:
        """At the end of its `async with`: commits what has not been given up."""
        await _run(lambda cancel, _: self._writer.leave(cancel=cancel))


class AsyncRemote:
    """As escp.Remote. Cancelling a task ends its call, and no other."""

    def __init__(self, remote: Remote):
        self._remote = remote

    @property
    def host(self) -> str:
        return self._remote.host

    async def put(
        self, sources: Path | Iterable[Path], target: Path = "", *, progress: _Told | None = None,
        timeout: object = LEFT_OUT, expected_digest: Digest | Mapping[Path, Digest] | None = None,
        **options: object,
    ) -> Result:  # fmt: skip
        def work(cancel: threading.Event, tell: _Told | None) -> Result:
            return self._remote.put(
                sources, target, progress=tell, cancel=cancel, timeout=timeout,
                expected_digest=expected_digest, **options,
            )  # fmt: skip

        return await _run(work, progress)

    async def get(
        self, sources: Path | Iterable[Path], target: Path, *, progress: _Told | None = None,
        timeout: object = LEFT_OUT, expected_digest: Digest | Mapping[Path, Digest] | None = None,
        **options: object,
    ) -> Result:  # fmt: skip
        def work(cancel: threading.Event, tell: _Told | None) -> Result:
            return self._remote.get(
                sources, target, progress=tell, cancel=cancel, timeout=timeout,
                expected_digest=expected_digest, **options,
            )  # fmt: skip

        return await _run(work, progress)

    async def stat(self, path: Path, *, follow_symlinks: bool = True, timeout: object = LEFT_OUT) -> Entry:
        return await _run(
            lambda cancel, _: self._remote.stat(
                path, follow_symlinks=follow_symlinks, timeout=timeout, cancel=cancel
            )
        )

    async def exists(self, path: Path, *, timeout: object = LEFT_OUT) -> bool:
        return await _run(lambda cancel, _: self._remote.exists(path, timeout=timeout, cancel=cancel))

    async def list(self, path: Path = "", *, timeout: object = LEFT_OUT) -> list[Entry]:
        return await _run(lambda cancel, _: self._remote.list(path, timeout=timeout, cancel=cancel))

    async def digest(self, path: Path, *, timeout: object = LEFT_OUT) -> bytes:
        return await _run(lambda cancel, _: self._remote.digest(path, timeout=timeout, cancel=cancel))

    async def read(
        self, path: Path, offset: int = 0, length: int | None = None, *, timeout: object = LEFT_OUT
    ) -> bytes:
        return await _run(
            lambda cancel, _: self._remote.read(path, offset, length, timeout=timeout, cancel=cancel)
        )

    async def write(
        self, path: Path, data: "Buffer", *, exclusive: bool = False, timeout: object = LEFT_OUT
    ) -> None:
        await _run(
            lambda cancel, _: self._remote.write(
                path, data, exclusive=exclusive, timeout=timeout, cancel=cancel
            )
        )

    @asynccontextmanager
    async def open_blocks(
        self, name: Path, *, size: int | None = None, block: int = DEFAULT_BLOCK,
        timeout: object = LEFT_OUT, **options: object,
    ) -> AsyncIterator["AsyncBlockWriter"]:  # fmt: skip
        """As escp.Remote's: `async with remote.open_blocks(...) as w: await w.write_block(offset, data)`."""
        writer = await _run(
            lambda _, __: self._remote.open_blocks(name, size=size, block=block, timeout=timeout, **options)
        )
        one = AsyncBlockWriter(writer)
        try:
            yield one
        except BaseException:
            await one.abort()
            raise
        await one.leave()

    async def receive_blocks(
        self, name: Path, *, timeout: object = LEFT_OUT, **options: object
    ) -> AsyncIterator["Block"]:
        """As escp.Remote's: `async for block in remote.receive_blocks(...)`. It ends if the file is well."""
        blocks = await _run(lambda _, __: self._remote.receive_blocks(name, timeout=timeout, **options))
        try:
            while (block := await _run(lambda cancel, _: blocks.next_block(cancel=cancel))) is not None:
                yield block
        finally:
            await _run(lambda _, __: blocks.close())

    async def mkdir(
        self, path: Path, *, parents: bool = False, exist_ok: bool = False, timeout: object = LEFT_OUT
    ) -> None:
        await _run(
            lambda cancel, _: self._remote.mkdir(
                path, parents=parents, exist_ok=exist_ok, timeout=timeout, cancel=cancel
            )
        )

    async def rename(
        self, path: Path, to: Path, *, replace: bool = False, timeout: object = LEFT_OUT
    ) -> None:
        await _run(
            lambda cancel, _: self._remote.rename(path, to, replace=replace, timeout=timeout, cancel=cancel)
        )

    async def remove(self, path: Path, *, recursive: bool = False, timeout: object = LEFT_OUT) -> None:
        await _run(
            lambda cancel, _: self._remote.remove(path, recursive=recursive, timeout=timeout, cancel=cancel)
        )

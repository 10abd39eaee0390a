"""escp.aio.copy(): the same for asyncio. Each copy has a thread of its own; the event loop never waits."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from escp.api.copy import copy as copy_here
from escp.api.expected import Digest
from escp.api.outcome import Progress, Result
from escp.api.words import Path


async def copy(
    sources: Path | Iterable[Path],
    target: Path,
    *,
    progress: Callable[[Progress], object] | None = None,
    expected_digest: Digest | Mapping[Path, Digest] | None = None,
    **options: object,
) -> Result:
    """As escp.copy. *progress* is called in the event loop's thread.

    Cancelling the task ends the copy: CancelledError of asyncio is raised once nothing of it is left.
    """
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
    work = loop.run_in_executor(
        executor,
        lambda: copy_here(
            sources,
            target,
            progress=None if progress is None else pass_on,
            cancel=cancel,
            expected_digest=expected_digest,
            **options,
        ),
    )
    try:
        result = await asyncio.shield(work)
    except asyncio.CancelledError:
        cancel.set()
        await asyncio.wait([work])
        work.exception()  # it has been looked at
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

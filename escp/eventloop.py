"""One thread's waiting: descriptors with callbacks, in the kernel until something happens."""

import select
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Watch(Protocol):
        def __call__(self, fd: int, callback: Callable[[], None], *, for_writing: bool = False) -> None: ...
else:
    Watch = object


class EventLoop:
    """`watch` descriptors, then call `wait` again and again; callbacks run inside it."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, callback: Callable[[], None], *, for_writing: bool = False) -> None:
        self._callbacks[fd] = callback
        self._poll.register(fd, select.EPOLLOUT if for_writing else select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, timeout_s: float) -> None:
        """Run the callbacks of what is ready, after *timeout_s* at the latest."""
        for fd, _ in self._poll.poll(max(0.0, timeout_s)):
            callback = self._callbacks.get(fd)
            if callback is not None:  # an earlier callback may have removed it
                callback()

    def close(self) -> None:
        self._callbacks.clear()
        self._poll.close()

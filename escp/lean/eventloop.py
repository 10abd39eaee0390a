"""One thread's event loop: descriptors with callbacks; it sleeps in epoll until one of them is ready."""

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Watch(Protocol):
        def __call__(self, fd: int, callback: "Callable[[], None]", *, for_writing: bool = False) -> None: ...

    _Callback = Callable[[], None] | None
else:
    Watch = object


STOPPED_S = 2.0  # if the clock was not looked at for longer, this process stood still, or did not listen


class EventLoop:
    """`watch` descriptors, then call `wait` again and again; callbacks run inside it.

    `now` is the clock for whoever waits for somebody, in seconds. It leaves out the time in which this
    process was stopped (Ctrl-Z): nobody could be heard then. The monotonic clock itself leaves out the time
    in which the machine slept.
    """

    def __init__(self) -> None:
        self._seen_s = time.monotonic()
        self._lost_s = 0.0
        self._poll = select.epoll()
        self._callbacks: dict[int, tuple[_Callback, _Callback]] = {}  # for reading, for writing

    def watch(self, fd: int, callback: "Callable[[], None]", *, for_writing: bool = False) -> None:
        """Call *callback* whenever *fd* is readable, or writable; both may be watched at a time."""
        reading, writing = self._callbacks.get(fd, (None, None))
        self._set(fd, reading if for_writing else callback, callback if for_writing else writing)

    def unwatch(self, fd: int) -> None:
        if fd in self._callbacks:
            self._set(fd, None, None)

    def pause(self, fd: int, *, for_writing: bool = False) -> None:
        """Forget one of the two callbacks of *fd*, if it is there."""
        reading, writing = self._callbacks.get(fd, (None, None))
        if (writing if for_writing else reading) is not None:
            self._set(fd, reading if for_writing else None, None if for_writing else writing)

    def _set(self, fd: int, reading: "_Callback", writing: "_Callback") -> None:
        is_known = fd in self._callbacks
        mask = (select.EPOLLIN if reading else 0) | (select.EPOLLOUT if writing else 0)
        if not mask:
            del self._callbacks[fd]
            self._poll.unregister(fd)
        elif is_known:
            self._poll.modify(fd, mask)
        else:
            self._poll.register(fd, mask)
        if mask:
            self._callbacks[fd] = (reading, writing)

    def now(self) -> float:
        return self._look(0.0)

    def _look(self, expected_s: float) -> float:
        """The time now. If nothing stood still, the last look was *expected_s* ago."""
        seen_s = time.monotonic()
        over_s = seen_s - self._seen_s - expected_s
        if over_s > STOPPED_S:
            self._lost_s += over_s
        self._seen_s = seen_s
        return seen_s - self._lost_s

    def wait(self, timeout_s: float) -> None:
        """Run the callbacks of what is ready, after *timeout_s* at the latest."""
        timeout_s = max(0.0, timeout_s)
        self._look(0.0)
        ready = self._poll.poll(timeout_s)
        self._look(timeout_s)
        for fd, events in ready:
            is_broken = events & (select.EPOLLHUP | select.EPOLLERR)
            if events & select.EPOLLOUT or is_broken:
                self._run(fd, 1)
            if events & select.EPOLLIN or is_broken:
                self._run(fd, 0)

    def _run(self, fd: int, which: int) -> None:
        callback = self._callbacks.get(fd, (None, None))[which]  # another callback may have removed it
        if callback is not None:
            callback()

    def close(self) -> None:
        self._callbacks.clear()
        self._poll.close()

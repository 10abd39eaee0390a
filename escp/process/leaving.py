"""What ends this process when its main thread can't: a disk, a pipe or a network file system hangs.

A signal's handler runs once the main thread comes back from the kernel, and a plane's threads are waited for.
If a file system hangs, neither may ever happen. So another thread looks on, which touches no file system.
"""

import os
import select
import time
from _thread import allocate_lock, start_new_thread

from escp.lean import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Sequence

PATIENCE_S = 3.0  # from the signal, or from the end of the control channel
CLOSING_S = 30.0  # after an error: a slow disk may finish what it has begun
TELL_S = 10.0  # for the last words, on a busy machine: a log may hang as well
LOOK_S = 0.25
CUT_MS = 50
_POLLRDHUP = 0x2000  # <poll.h>; Python's select has no name for it before 3.12


class Exit:
    """*end(number, error)* is called in the other thread when the main one has not ended in time.

    It tells why and returns the exit status. *number*: of the signal that ends this process, 0 for none;
    *error*: of `begin`.
    """

    def __init__(
        self, numbers: "Sequence[int]", end: "Callable[[int, Exception | None], int]", fd: int = -1,
        write_fd: int = -1,
    ):  # fmt: skip
        """To be called by the main thread, which handles the signals *numbers*.

        *fd*: if its other side goes away, this process is to end, too; *write_fd*: the way to there, of which
        see `outlive_channel`.
        """
        self._numbers = numbers
        self._end = end
        self._channel_fd, self._write_fd = fd, write_fd
        self.is_outliving = self.is_replaced = False
        self._number = 0
        self._error: Exception | None = None
        self._due_s = float("inf")
        self._turn = allocate_lock()  # held by the thread that tells how this ends
        self._is_told_here = False
        global _own
        _own = self
        self._wake_fd = -1
        try:
            # Python's own handlers wait for the main thread, but say here at once that they will be called.
            self._wake_fd, wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            signals.set_wakeup_fd(wake_fd)
            # Blocked in the new thread from its first moment: a signal that it took would wake nobody.
            before = signals.pthread_sigmask(signals.SIG_BLOCK, numbers)
            try:
                start_new_thread(self._run, ())
            finally:
                signals.pthread_sigmask(signals.SIG_SETMASK, before)
        except (OSError, RuntimeError):
            return  # no descriptor or no thread is left: nobody looks on

    def begin(self, error: Exception) -> None:
        """The main thread begins to close what it has, because of *error*; then it calls `over`."""
        self._error = self._error or error
        self._due_s = min(self._due_s, time.monotonic() + CLOSING_S)

    def over(self) -> None:
        """The main thread has closed everything."""
        self._error = None
        if not self._number:
            self._due_s = float("inf")

    def take_turn(self) -> bool:
        """Whether the main thread is to tell how this ends: it has not been told. Once only.

        While the other thread is telling it, this does not return: that thread ends the process.
        """
        if self._is_told_here or not self._turn.acquire(blocking=False):
            if not self._is_told_here:
                self._turn.acquire()  # never released
            return False
        self._is_told_here = True
        return True

    def hasten(self, number: int) -> None:
        """It is to end soon."""
        self._number = self._number or number
        self._due_s = min(self._due_s, time.monotonic() + PATIENCE_S)

    def _run(self) -> None:
        # Signals are blocked in this thread only: so `sigpending` shows what waits for the main thread.
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        if self._channel_fd >= 0:
            poll.register(self._channel_fd, _POLLRDHUP)
        has_ended = is_cut = False
        while time.monotonic() < self._due_s:
            for fd, _ in poll.poll(1000 * LOOK_S):
                if fd == self._wake_fd:
                    for number in os.read(fd, 64):
                        if number in self._numbers:
                            self.hasten(number)
                else:
                    poll.unregister(fd)
                    has_ended, is_cut = True, _is_cut(self._write_fd)
            if has_ended and not self.is_replaced and not (self.is_outliving and is_cut):
                self.hasten(0)
            for number in signals.sigpending():
                if number in self._numbers:
                    self.hasten(number)
        if self._turn.acquire(blocking=False):
            status = [128 + self._number]
            is_telling = allocate_lock()
            is_telling.acquire()
            start_new_thread(self._tell, (status, is_telling))
            is_telling.acquire(timeout=TELL_S)
            os._exit(status[-1])

    def _tell(self, status: list[int], is_telling: "LockType") -> None:
        status.append(self._end(self._number, self._error))
        is_telling.release()


def _is_cut(fd: int) -> bool:
    """Whether nobody reads what is written there."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(CUT_MS))


_own: Exit | None = None


def is_to_be_told() -> bool:
    """Whether nobody has told yet how this process ends; see `Exit.take_turn`."""
    return _own is None or _own.take_turn()


def begin_closing(error: Exception) -> None:
    """What is closed now may hang: see `Exit.begin`."""
    if _own is not None:
        _own.begin(error)


def outlive_channel(*, is_replaced: bool = False) -> None:
    """If both pipes of the channel end, the main thread waits for another way. *is_replaced*: it has one."""
    if _own is not None:
        _own.is_outliving = True
        _own.is_replaced = _own.is_replaced or is_replaced


def follow_channel() -> None:
    """The main thread waits for no other way any more."""
    if _own is not None:
        _own.is_outliving = _own.is_replaced = False


def end_closing() -> None:
    if _own is not None:
        _own.over()

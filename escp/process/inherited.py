"""What a parent may leave a process with: closed descriptors, signals ignored or blocked.

It runs before all else, at both ends, so it imports nothing that would have to be loaded for it.
"""

import os
import sys

from escp.lean import signals

# Input is opened for writing and output for reading: so reading or writing fails, as it does for cp.
# /dev/full, because a program that opens /dev/stdout anew must not write into nothing.
_FILLERS = (
    (("/dev/null", os.O_WRONLY), ("/", os.O_RDONLY)),
    (("/dev/full", os.O_RDONLY), ("/dev/null", os.O_RDONLY), ("/", os.O_RDONLY)),
    (("/dev/null", os.O_WRONLY), ("/", os.O_RDONLY)),
)


def put_right() -> None:
    """Open what is closed of 0, 1 and 2, and undo what the parent did to signals.

    Later files must not become standard input, output or error. Signals that end a process stay ignored if
    they are (`interrupts`). But where SIGCHLD is ignored children leave no exit status, and an ignored
    SIGALRM ends nothing. No signal stays blocked: what ends this process must reach it. Ctrl-C ends it
    without a word, as SIGTERM does, until there is a handler for both.
    """
    for fd, fillers in enumerate(_FILLERS):
        try:
            os.fstat(fd)
        except OSError:
            _fill(fd, fillers)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", errors="backslashreplace", closefd=False)
    if signals.getsignal(signals.SIGINT) != signals.SIG_IGN:
        signals.signal(signals.SIGINT, signals.SIG_DFL)
    for number in (signals.SIGCHLD, signals.SIGALRM):
        signals.signal(number, signals.SIG_DFL)
    for number in (
        signals.SIGUSR1,
        signals.SIGUSR2,
    ):  # SIGUSR1 asks how far it is, see `interrupts`; SIGUSR2 is a batch system's warning
        signals.signal(number, signals.SIG_IGN)
    signals.pthread_sigmask(signals.SIG_SETMASK, ())


def _fill(fd: int, fillers: tuple[tuple[str, int], ...]) -> None:
    for path, how in fillers:
        try:
            os.open(path, how | os.O_NOCTTY)  # the lowest free number: those before it are open
        except OSError:
            continue
        os.set_inheritable(fd, True)
        return

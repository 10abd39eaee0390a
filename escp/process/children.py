"""Children of this process: pipes to them, how they have ended, and how to hear of it."""

import os

LOOK_S = 0.02  # between two looks, where the kernel does not say when a child ends


def open_pipes() -> list[tuple[int, int]]:
    """For a child's standard input, output and error, its end and ours. OSError leaves none open."""
    pipes: list[tuple[int, int]] = []
    try:
        for _ in range(3):
            pipes.append(os.pipe2(os.O_CLOEXEC))
    except OSError:
        for fds in pipes:
            for fd in fds:
                os.close(fd)
        raise
    return pipes


def exit_code(status: int) -> int:
    """Of a status of wait(2), as a shell has it: 128 + n after signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def open_end(pid: int) -> int:
    """A descriptor that becomes readable when the child ends.

    -1 where the kernel has none (before Linux 5.3), or there is no descriptor left.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1

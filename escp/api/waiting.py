"""How long a call of a program waits: until its time is over, or its flag is set."""

import os
import time
from collections.abc import Callable
from math import isnan
from typing import SupportsFloat

from escp.api.copy import TIMED_OUT, Flag, check_flag
from escp.errors import CancelledError, InternalError, TimeUpError, UsageError

LEFT_OUT = object()  # a timeout that is the connection's


def find_timeout(timeout: object) -> float | None:
    """Raises UsageError for what is none."""
    if timeout is None:
        return None
    wrong = UsageError("timeout: it is a number of seconds, or None", "leave it out for the connection's")
    if not isinstance(timeout, SupportsFloat):  # numpy's are no int or float; a str is none
        raise wrong
    try:
        found = float(timeout)
    except OverflowError:  # of an int; as of a float that is as large
        return float("inf") if isinstance(timeout, int) and timeout > 0 else float("-inf")
    if isnan(found):
        raise wrong
    return found


def make_look(start_s: float, timeout: float | None, cancel: Flag | None) -> Callable[[], None]:
    """What is looked at while something is waited for. Raises TypeError for what is no flag."""
    check_flag(cancel)

    def look() -> None:
        if cancel is not None and cancel.is_set():
            raise CancelledError
        if timeout is not None and time.monotonic() - start_s > timeout:
            raise TimeUpError(TIMED_OUT)

    return look


def check_process(pid: int) -> None:
    """Raises InternalError in a child of fork(): the threads that would do the work are not there."""
    if os.getpid() != pid:
        raise InternalError("blocks stay with the process that copies them", "connect after os.fork()")

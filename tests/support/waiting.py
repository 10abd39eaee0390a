"""Waiting for what must come true soon, on a busy machine too."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.sanitized import PATIENCE

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float = 20.0 * PATIENCE) -> T:
    """Until it does: what the condition returned then. A failure if it takes longer."""
    end_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end_s, f"still not so after {timeout_s} s"
        time.sleep(0.005)
    return found

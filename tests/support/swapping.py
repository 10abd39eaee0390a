"""Somebody else changes names between two system calls."""

import os
from contextlib import contextmanager


@contextmanager
def swapping(monkeypatch, calls, after, swap):
    """*swap* is called once, behind call *after* of *calls*, names in os. Gives how many there were."""
    n = 0

    def wrap(call):
        def run(*args, **kwargs):
            nonlocal n
            try:
                return call(*args, **kwargs)
            finally:
                n += 1
                if n == after:
                    swap()

        return run

    with monkeypatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield lambda: n

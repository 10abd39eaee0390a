"""The one-file program's life: it ends with its parent, and what it unpacked goes with it.

PyInstaller's one file is two processes: a parent that unpacks everything into a temporary folder, and its
child, which runs from there: this one. The parent hands on signals and removes the folder at the end; when it
is killed, nobody would. So the kernel tells us of its death (prctl), and we end and tidy up ourselves.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from escp._fast.base.process import signal_at_parents_end
from escp.process.environment import is_program


@contextmanager
def tidy_up(folder: str) -> Iterator[None]:
    """Run the program within: *folder* is removed afterwards if the parent can't do it any more."""
    parent = os.getppid()
    if signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:  # as `interrupts`
        signal.signal(signal.SIGTERM, lambda *_: _end(folder))  # until the program has a handler of its own
    signal_at_parents_end(signal.SIGTERM)
    if not is_program(parent):  # it died before the kernel was asked
        _end(folder)
    try:
        yield
    finally:
        if os.getppid() != parent:
            shutil.rmtree(folder, ignore_errors=True)


def _end(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + signal.SIGTERM)

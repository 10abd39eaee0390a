"""`python -m escp`, the installed command and the frozen program."""

import gc
import os
import sys

gc.disable()  # until what a copy needs is loaded: nothing of it is garbage, and looking takes 1 ms
from escp.process.inherited import put_right  # noqa: E402


def run() -> None:
    """Run escp and end the process at once, without Python's tidying up of what is about to be gone.

    That takes 8 ms, and at the remote end ssh waits for it.
    """
    put_right()  # before anything is opened that stays open
    from escp.cli.main import main  # not at the top: from here on Ctrl-C leaves no traceback

    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # it is closed, or nobody reads it: what wrote there has dealt with that
    os._exit(code)


if __name__ == "__main__":
    run()

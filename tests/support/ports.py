"""Ports for a test: a range that no other test on this machine has meanwhile, of whichever run it is."""

import random
import socket

from tests.support.leftovers import find_listeners

N_CLAIMED = 20
FIRST_PORTS = range(10000, 32000, N_CLAIMED)  # below the ephemeral ports, which connections take at any time


class Ports:
    """A claim on the ports `first` and the 19 behind it. It ends with `close()`, or with this process.

    The claim is an abstract name of a Unix socket. The kernel gives it to one socket at a time, in the same
    network namespace as the ports, and takes it back from whoever dies.
    """

    def __init__(self) -> None:
        for self.first in random.sample(FIRST_PORTS, len(FIRST_PORTS)):
            self._claim = socket.socket(socket.AF_UNIX)
            try:
                self._claim.bind(f"\0escp-test-ports-{self.first}")
            except OSError:  # another test's
                self._claim.close()
                continue
            if not find_listeners(self.first, N_CLAIMED):
                return
            self._claim.close()
        raise AssertionError(f"no {N_CLAIMED} ports in a row are free")

    def close(self) -> None:
        self._claim.close()

"""Runs a command and writes the most memory that it had, in bytes: `peak.py FILE COMMAND...`

In a small process of its own: what the kernel counts includes the parent's memory at the fork.
"""

import os
import signal
import sys

if __name__ == "__main__":
    pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status, usage = os.wait4(pid, 0)
    with open(sys.argv[1], "w") as file:
        file.write(str(usage.ru_maxrss * 1024))
    sys.exit(os.waitstatus_to_exitcode(status))

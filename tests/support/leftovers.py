"""What a run of escp must not leave behind: processes, listening ports and unfinished files."""

import os
import time
from pathlib import Path

MARK = "ESCP_TEST_RUN"  # in the environment of all that one test starts, on both ends


def find_processes(mark: str) -> dict[int, str]:
    """Number and command line of each process that a test started, directly or through ssh."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if wanted in Path("/proc", pid, "environ").read_bytes().split(b"\0"):
                words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
                found[int(pid)] = b" ".join(words).decode(errors="replace").strip()
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


def find_worker(pid: int) -> int:
    """The process that does the work: of a frozen one-file program its child, else itself."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        for other in filter(str.isdigit, os.listdir("/proc")):
            try:
                parent = int(Path("/proc", other, "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid and os.readlink(f"/proc/{other}/exe") == program:
                    return int(other)
            except OSError:
                continue  # ended meanwhile, or another user's
    except OSError:
        pass
    return pid


def find_agents(mark: str) -> dict[int, str]:
    """The processes `escp --server` among them; wrappers not yet replaced by escp are none."""
    found = {
        pid: line
        for pid, line in find_processes(mark).items()
        if " --server" in line and not line.startswith("ssh ") and "/sh " not in line
    }
    return {pid: line for pid, line in found.items() if find_worker(pid) == pid}


def find_listeners(first_port: int, n_ports: int, net: Path = Path("/proc/net")) -> list[int]:
    """Ports of the range on which somebody listens."""
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in (net / table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                ports.add(int(words[1].rpartition(":")[2], 16))
    return sorted(port for port in ports if first_port <= port < first_port + n_ports)


def find_unfinished(folder: Path) -> list[str]:
    """Temporary names below *folder*."""
    return [
        os.path.join(top, name)
        for top, _, names in os.walk(os.fspath(folder))
        for name in names
        if name.startswith(".escp-")
    ]


def assert_nothing_left(mark: str, folder: Path, first_port: int, n_ports: int, within_s: float) -> None:
    end_s = time.monotonic() + within_s
    while True:
        left = (find_processes(mark), find_listeners(first_port, n_ports), find_unfinished(folder))
        if not any(left):
            return
        if time.monotonic() > end_s:
            raise AssertionError(f"left behind: processes {left[0]}, ports {left[1]}, files {left[2]}")
        time.sleep(0.02)

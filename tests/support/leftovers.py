"""What a run of escp must not leave behind: processes, listening ports and unfinished files."""

import os
import socket
import struct
import time
from pathlib import Path

MARK = "ESCP_TEST_RUN"  # in the environment of all that one test starts, on both ends

# <linux/netlink.h>, <linux/inet_diag.h>, <net/tcp_states.h>
NETLINK_SOCK_DIAG, TCPDIAG_GETSOCK, REQUEST_DUMP, DONE, LISTEN = 4, 18, 0x301, 3, 10


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


def find_ssh(mark: str) -> int:
    """The only ssh among them."""
    (ssh,) = [pid for pid, line in find_processes(mark).items() if line.startswith("ssh ")]
    return ssh


def find_listeners(first_port: int, n_ports: int) -> list[int]:
    """Ports of the range on which somebody listens.

    By sock_diag(7): each test reads this a few times, and the kernel takes 25 ms or more to write
    /proc/net/tcp, for it goes through all connections, those that have ended included.
    """
    ports = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as link:
        request = struct.pack("=52xI4x", 1 << LISTEN)  # inet_diag_req
        link.send(struct.pack("=IHHII", 16 + len(request), TCPDIAG_GETSOCK, REQUEST_DUMP, 1, 0) + request)
        while True:
            data = link.recv(1 << 16)
            while data:
                size, kind = struct.unpack_from("=IH", data)
                if kind != TCPDIAG_GETSOCK:
                    assert kind == DONE, f"sock_diag failed: {data!r}"
                    return sorted(port for port in ports if first_port <= port < first_port + n_ports)
                ports.add(struct.unpack_from("!H", data, 20)[0])  # idiag_sport
                data = data[-(-size // 4) * 4 :]


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

"""Collects the facts about this host for `--doctor`, at either end: from /proc and /sys, and by short tries.

Whatever can't be read is None; nothing here raises because of what it finds. *root* stands for / in tests,
where this machine lacks what they are about. At most 0.1 s of CPU time: an agent does it for any initiator.
"""

import errno
import fcntl
import mmap
import os
import resource
import secrets
import socket
import struct

from escp import __version__
from escp.errors import EscpError, describe_errno
from escp.facts.facts import NO_FACTS, NO_ROUTE, HostFacts, RouteFacts
from escp.lean.sockets import Socket
from escp.names.destination import expand_home
from escp.process.environment import child_environment
from escp.process.limits import parse_numbers
from escp.streams.sealing import choose_aead, measure_aead

MEASURE_S = 0.1
SSH_TIMEOUT_S = 2.0
PROBE_BYTES = 65536  # a multiple of every alignment that O_DIRECT is known to ask for
CPU_FLAGS = ("aes", "pclmulqdq", "avx2", "avx512f", "vaes", "vpclmulqdq", "pmull")
UNLIMITED = (1 << 63) - 1
# No file can be made, with a name or without.
_NOT_HERE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


def examine_host(path: bytes, device: str | None, *, ssh_program: str = "ssh") -> HostFacts:
    """All facts: about *path* as well (relative to the working directory, or with ~), and about *device*."""
    facts = examine_system()
    try:
        aead = choose_aead()
        facts = facts._replace(aead=aead, aead_bytes_per_s=measure_aead(MEASURE_S))
    except EscpError:
        pass  # $ESCP_AEAD names none: a copy says so
    facts = facts._replace(version=__version__, ssh=read_ssh_version(ssh_program))
    facts = facts._replace(**examine_directory(path))
    return facts if device is None else facts._replace(**examine_device(device))


# ---- The system ---------------------------------------------------------------------------------------


def examine_system(root: str = "/") -> HostFacts:
    """What /proc, /sys and this process's limits tell."""
    system = os.uname()
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n_online = _read_numbers(root, "sys/devices/system/cpu/online")
    n_nodes = _read_numbers(root, "sys/devices/system/node/online")
    aio_max, aio_used = (_read_int(root, f"proc/sys/fs/aio-{name}") for name in ("max-nr", "nr"))
    ipv4 = "proc/sys/net/ipv4/tcp"
    return NO_FACTS._replace(
        kernel=f"{system.sysname} {system.release}",
        machine=system.machine,
        cpu_flags=_read_cpu_flags(root),
        n_cpus=len(os.sched_getaffinity(0)),
        n_cpus_online=n_online,
        n_nodes=n_nodes,
        open_files=UNLIMITED if hard_limit == resource.RLIM_INFINITY else hard_limit,
        aio_free=None if aio_max is None or aio_used is None else max(0, aio_max - aio_used),
        tcp_rmem=_read_three(root, f"{ipv4}_rmem"),
        tcp_wmem=_read_three(root, f"{ipv4}_wmem"),
        core_rmem_max=_read_int(root, "proc/sys/net/core/rmem_max"),
        core_wmem_max=_read_int(root, "proc/sys/net/core/wmem_max"),
        has_window_scaling=_read_bool(root, f"{ipv4}_window_scaling"),
        has_autotuning=_read_bool(root, f"{ipv4}_moderate_rcvbuf"),
        congestion=_read(root, f"{ipv4}_congestion_control"),
        congestions=_read(root, f"{ipv4}_available_congestion_control"),
    )


def _read(root: str, name: str) -> str | None:
    try:
        with open(os.path.join(root, name), errors="replace") as file:
            return file.read().strip() or None
    except OSError:  # EINVAL, too: the speed of a device that has none
        return None


def _read_int(root: str, name: str) -> int | None:
    text = _read(root, name)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _read_bool(root: str, name: str) -> bool | None:
    number = _read_int(root, name)
    return None if number is None else number != 0


def _read_three(root: str, name: str) -> tuple[int, ...] | None:
    words = (_read(root, name) or "").split()
    is_right = len(words) == 3 and all(word.isascii() and word.isdigit() for word in words)
    return tuple(map(int, words)) if is_right else None


def _read_numbers(root: str, name: str) -> int | None:
    """How many a list such as 0-3,8 names."""
    text = _read(root, name)
    try:
        return None if text is None else len(parse_numbers(text))
    except ValueError:
        return None


def _read_cpu_flags(root: str) -> str | None:
    """Of the first CPU, those that matter to AES-GCM and to digests."""
    for line in (_read(root, "proc/cpuinfo") or "").splitlines():
        name, _, text = line.partition(":")
        if name.strip() in ("flags", "Features"):
            there = set(text.split())
            return " ".join(flag for flag in CPU_FLAGS if flag in there)
    return None


def read_ssh_version(program: str) -> str | None:
    """`OpenSSH_9.2p1 …` as the client calls itself; sshd does not tell."""
    import subprocess  # not at the top: only here, and it takes 10 ms

    try:
        done = subprocess.run(
            [program, "-V"], env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SSH_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()
    return lines[0].partition(",")[0][:100] if lines else None


# ---- A directory --------------------------------------------------------------------------------------


def examine_directory(path: bytes, root: str = "/") -> dict[str, object]:
    """The facts about a directory: what is mounted there, and whether O_DIRECT works, by a nameless file."""
    try:
        path = expand_home(path)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as e:
        return {"path_error": describe_errno(e.errno or 0)}
    except (EscpError, ValueError) as e:
        return {"path_error": str(e)}
    try:
        space = os.fstatvfs(folder)
        facts: dict[str, object] = {
            "path_error": "",
            "file_system": find_file_system(os.path.realpath(path), root),
            "free_bytes": space.f_bavail * space.f_frsize,
        }
        try:
            fd = _open_nameless(folder)
        except OSError as e:
            return {**facts, "is_writable": False, "direct_error": describe_errno(e.errno or 0)}
        try:
            error = try_direct(fd)
        finally:
            os.close(fd)
        return {**facts, "is_writable": True, "has_direct": not error, "direct_error": error}
    finally:
        os.close(folder)


def _open_nameless(folder: int) -> int:
    """A new file that no name leads to, so that nothing can be left behind."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(b".", os.O_TMPFILE | flags, 0o600, dir_fd=folder)
    except OSError as e:
        if e.errno in _NOT_HERE:
            raise
    name = f".escp-{secrets.token_hex(8)}".encode()  # NFS and others have no O_TMPFILE
    fd = os.open(name, os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=folder)
    os.unlink(name, dir_fd=folder)
    return fd


def try_direct(fd: int) -> str:
    """Write and read a little with O_DIRECT, aligned as escp does; why that failed, or ""."""
    data, found = mmap.mmap(-1, PROBE_BYTES), mmap.mmap(-1, PROBE_BYTES)  # page-aligned
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)
        data.write(os.urandom(PROBE_BYTES))
        if os.pwritev(fd, [data], 0) != PROBE_BYTES or os.preadv(fd, [found], 0) != PROBE_BYTES:
            return "only a part was written or read"
        return "" if data[:] == found[:] else "other bytes were read than had been written"
    except OSError as e:
        return describe_errno(e.errno or 0)
    finally:
        data.close()
        found.close()


def find_file_system(path: bytes, root: str = "/") -> str | None:
    """The type of what is mounted at *path*, which has no links in it."""
    best, best_length = None, -1
    for line in (_read(root, "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        words, kinds = before.split(" "), after.split(" ")
        if len(words) < 5 or not kinds[0]:
            continue
        place = os.fsencode(words[4]).decode("unicode_escape").encode("latin-1", "replace")  # \040: a blank
        below = place.rstrip(b"/") + b"/"
        if (path + b"/").startswith(below) and len(below) >= best_length:  # the later one covers the earlier
            best, best_length = kinds[0], len(below)
    return best


# ---- The network --------------------------------------------------------------------------------------

_RTM_GETROUTE, _NLM_F_REQUEST, _NLMSG_ERROR = 26, 1, 2
_RTA_DST, _RTA_SRC, _RTA_OIF = 1, 2, 4


def find_device(peer: str, own: str = "") -> str | None:
    """The network device of the way to *peer* for packets from *own*, both addresses: asks the kernel."""
    peer, _, scope = peer.removeprefix("::ffff:").partition("%")
    own = own.removeprefix("::ffff:").partition("%")[0]
    if scope:
        return scope
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        target = socket.inet_pton(family, peer)
        origin = socket.inet_pton(family, own) if own else b""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:  # 0: NETLINK_ROUTE
            sock.settimeout(1.0)
            for source in dict.fromkeys((origin, b"")):  # one that is not ours is refused
                index = _ask_route(sock, family, target, source)
                if index:
                    return socket.if_indextoname(index)
    except (OSError, ValueError, struct.error):
        pass
    return None


def _ask_route(sock: socket.socket, family: int, target: bytes, source: bytes) -> int | None:
    body = struct.pack("=8BI", family, 8 * len(target), 8 * len(source), 0, 0, 0, 0, 0, 0)
    for kind, address in ((_RTA_DST, target), (_RTA_SRC, source)):
        if address:
            body += struct.pack("=HH", 4 + len(address), kind) + address
    sock.send(struct.pack("=IHHII", 16 + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body)
    answer = sock.recv(65536)
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        return None
    at = 16 + 12
    while at + 4 <= len(answer):
        n_bytes, kind = struct.unpack_from("=HH", answer, at)
        if kind == _RTA_OIF:
            return int(struct.unpack_from("=I", answer, at + 4)[0])
        at += max(4, (n_bytes + 3) & ~3)
    return None


def pick_device(root: str = "/") -> str | None:
    """The fastest network device that is up, where no route is asked about; real ones before virtual ones."""
    devices = []
    folder = os.path.join(root, "sys/class/net")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name != "lo" and _read(root, f"sys/class/net/{name}/operstate") == "up":
            is_real = os.path.exists(os.path.join(folder, name, "device"))
            devices.append((is_real, _read_int(root, f"sys/class/net/{name}/speed") or 0, name))
    return max(devices)[2] if devices else None


def examine_device(device: str, root: str = "/") -> dict[str, object]:
    """Speed, MTU and place of a network device. A VLAN or bond lies on others, which have the place."""
    base = f"sys/class/net/{device}"
    megabits = _read_int(root, f"{base}/speed")  # -1 or an error where it is not known
    node, cpus = _find_place(root, device)
    return {
        "device": device,
        "device_bits_per_s": megabits * 1_000_000 if megabits else None,
        "device_mtu": _read_int(root, f"{base}/mtu"),
        "device_node": node,
        "device_cpus": cpus,
    }


def _find_place(root: str, device: str, depth: int = 3) -> tuple[int | None, str | None]:
    base = f"sys/class/net/{device}"
    node = _read_int(root, f"{base}/device/numa_node")
    if node is not None:
        return node, _read(root, f"{base}/device/local_cpulist")
    folder = os.path.join(root, base)
    for name in sorted(os.listdir(folder)) if depth and os.path.isdir(folder) else []:
        if name.startswith("lower_"):
            found = _find_place(root, name.removeprefix("lower_"), depth - 1)
            if found[0] is not None:
                return found
    return None, None


def examine_connection(sock: Socket) -> RouteFacts:
    """What the kernel knows about a connected TCP socket."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:
        return NO_ROUTE  # a socket of the tunnel
    # struct tcp_info: options in byte 5, tcpi_pmtu, tcpi_rtt and tcpi_min_rtt, microseconds
    mtu, rtt_us = (int(struct.unpack_from("=I", info, at)[0]) for at in (60, 68))
    least_us = int(struct.unpack_from("=I", info, 148)[0]) if len(info) >= 152 else 0
    n_lost = int(struct.unpack_from("=I", info, 100)[0])
    rtt_us = min(rtt_us, least_us or rtt_us)
    return RouteFacts(
        rtt_s=rtt_us / 1e6 if rtt_us else None,
        mtu=mtu or None,
        has_window_scaling=bool(info[5] & 4),
        n_lost=n_lost,
    )

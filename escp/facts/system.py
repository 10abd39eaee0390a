"""Collects the facts about this host for `--doctor`, at either end: from /proc and /sys, and by short tries.

Whatever can't be read is None; nothing here raises because of what it finds. Tests give another *root* in
place of /, with files that this machine lacks. At most 0.1 s of CPU time: an agent does it for any initiator.
"""

import os
import resource

from escp import __version__
from escp.errors import EscpError
from escp.facts.directory import examine_directory
from escp.facts.facts import NO_FACTS, HostFacts
from escp.facts.network import examine_device
from escp.facts.proc import _read, _read_bool, _read_int, _read_numbers, _read_three
from escp.process.environment import child_environment
from escp.streams.sealing import choose_aead, measure_aead

MEASURE_S = 0.1
SSH_TIMEOUT_S = 2.0
CPU_FLAGS = ("aes", "pclmulqdq", "avx2", "avx512f", "vaes", "vpclmulqdq", "pmull")
UNLIMITED = (1 << 63) - 1


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


# ---- The network --------------------------------------------------------------------------------------

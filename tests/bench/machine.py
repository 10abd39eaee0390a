"""Facts about the machine: a figure without them says nothing."""

import os
import platform
import subprocess
import time
from pathlib import Path

from scratch import SHM, find_filesystem

WORTHY_FLAGS = ("vaes", "vpclmulqdq", "avx512f", "avx2", "aes")


def read_load() -> str:
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


def describe_cpu() -> str:
    model, flags = platform.machine(), set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            model = value.strip()
        elif name.strip() == "flags":
            flags = set(value.split())
    known = [flag for flag in WORTHY_FLAGS if flag in flags]
    return f"{model} ({', '.join(known)})" if known else model


def describe_memory() -> str:
    sizes = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) * 1024
    return f"{sizes['MemTotal'] / 1e9:.1f} GB, {sizes['MemAvailable'] / 1e9:.1f} GB available"


def describe_folder(folder: Path) -> str:
    return f"{find_filesystem(folder)}, {folder}"


def ask(command: list[str]) -> list[str]:
    """What it prints, line by line; one line that says so where that fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as e:
        return [f"{command[0]}: {e}"]
    return (done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]


def describe_commit(root: Path) -> str:
    commit = ask(["git", "-C", str(root), "log", "-1", "--format=%h"])[0]
    is_changed = ask(["git", "-C", str(root), "status", "--porcelain", "-uno"]) != ["exit status 0"]
    return commit + (" and changes that are not committed" if is_changed else "")


def gather(disk: Path, escp_command: list[str], root: Path) -> dict[str, str]:
    """What is known before the first run; the load at the end is added by the caller."""
    about = ask([*escp_command, "-V", "-v"])
    aead = next((line.partition(":")[2].strip() for line in about if line.startswith("AEAD:")), about[-1])
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "CPU": describe_cpu(),
        "cores": f"{os.cpu_count()}, usable {len(os.sched_getaffinity(0))}",
        "memory": describe_memory(),
        "kernel": platform.release(),
        "disk": describe_folder(disk),
        "tmpfs": describe_folder(SHM),
        "TCP": congestion.read_text().strip() if congestion.exists() else "unknown",
        "ssh": ask(["ssh", "-V"])[0],
        "escp": f"{about[0]}, {describe_commit(root)}, {' '.join(escp_command)}",
        "AEAD": aead,
        "load at start": read_load(),
    }

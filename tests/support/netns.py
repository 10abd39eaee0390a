"""Hosts of a network of the tests' own: network namespaces, joined by pairs of virtual Ethernet devices.

A namespace lives as long as a process that holds it, and that ends with the tests: nothing has to be cleaned
up, and `ip netns` doesn't show it. Commands run inside with `namespace.prefix` in front.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

TIMEOUT_S = 20
PROBE = "ip link set lo up && ip link add x0 type veth peer name x1 && nft list ruleset"


def why_none() -> str:
    """Why there can't be such namespaces here; "" if there can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft", "unshare", "nsenter", "setpriv", "sshd"):
        if not shutil.which(program) and not Path("/usr/sbin", program).exists():
            return f"network namespaces need the program '{program}'"
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", PROBE], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    return f"network namespaces are not permitted here: {done.stderr.strip()}" if done.returncode else ""


class Namespace:
    """One host. It has its own /etc/hosts if *hosts*, (name, address) pairs, are given."""

    def __init__(self, folder: Path, hosts: list[tuple[str, str]] | None = None):
        own = os.readlink("/proc/self/ns/net")
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "-n", "-m", "sleep", "infinity"]
        self._holder = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.prefix = ("nsenter", "-t", str(self._holder.pid), "-n", "-m")
        end_s = time.monotonic() + TIMEOUT_S
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == own or not self._is_asleep():
            if self._holder.poll() is not None or time.monotonic() > end_s:
                self.stop()
                raise AssertionError("no network namespace was made")
            time.sleep(0.005)
        self.run("ip", "link", "set", "lo", "up")
        if hosts:
            path = folder / f"hosts-{self._holder.pid}"
            path.write_text(
                "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in hosts)
            )
            self.run("mount", "--bind", str(path), "/etc/hosts")
            self.run("mount", "--bind", "/dev/null", "/etc/resolv.conf")  # no name server: no waiting for one

    def _is_asleep(self) -> bool:
        """Whether the holder has come as far as `sleep`: then the mount namespace is there too."""
        return Path(f"/proc/{self._holder.pid}/comm").read_text() == "sleep\n"

    def run(self, *command: str, text: str = "") -> str:
        """What a command said inside. It must succeed."""
        done = subprocess.run(
            [*self.prefix, *command], input=text, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def ip(self, *commands: str) -> None:
        """Several commands of ip, without that word."""
        self.run("ip", "-batch", "-", text="\n".join(commands) + "\n")

    def forward(self) -> None:
        """Make it a router."""
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def load_rules(self, rules: str) -> None:
        self.run("nft", "-f", "-", text=rules)

    def read_counters(self) -> dict[str, int]:
        """Bytes of each named counter of nft."""
        listed = json.loads(self.run("nft", "-j", "list", "counters"))["nftables"]
        return {one["counter"]["name"]: one["counter"]["bytes"] for one in listed if "counter" in one}

    def find_listeners(self, first_port: int, n_ports: int) -> list[int]:
        lines = self.run("ss", "--no-header", "--listening", "--tcp", "--numeric").splitlines()
        ports = {int(line.split()[3].rpartition(":")[2]) for line in lines}
        return sorted(port for port in ports if first_port <= port < first_port + n_ports)

    def stop(self) -> None:
        self._holder.kill()
        self._holder.wait()


def join(
    one: Namespace, device: str, addresses: list[str], other: Namespace, other_device: str, others: list[str]
) -> None:
    """A cable between two hosts; addresses with the length of their prefix (`10.0.0.1/24`, `fd00::1/64`)."""
    one.ip(f"link add {device} type veth peer name {other_device} netns {other.prefix[2]}")
    for host, name, own in ((one, device, addresses), (other, other_device, others)):
        # nodad: an IPv6 address can be used at once.
        host.ip(
            f"link set {name} up",
            *(f"addr add {address} dev {name}{' nodad' if ':' in address else ''}" for address in own),
        )

"""The hosts of the data path's tests, with a firewall between them that treats each address in its own way.

    here ─── wall ─┬─ box, other       10.77.2.N, 10.77.3.N and fd77:2::N, fd77:3::N
    10.77.1.2      ├─ hidden           10.77.4.N behind addresses 10.77.1.N of the wall (NAT)
                   └─ jump ─── inner   10.77.6.N, to which the wall has no route
    here ─── box: a second cable with nothing but link-local addresses
    here ─── neighbour: somebody else who has hidden's address; the wall can lead connections to it

`here` starts escp and has more addresses: .3 is allowed where others are not, .4 is masqueraded by the wall,
.5 can't be connected to. A `Place` is an address on box (or hidden) and one on other that one test has for
itself: the wall treats it by its kind, and counts the bytes of ssh and of the data ports.
"""

import getpass
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

from tests.support.netns import Namespace, join
from tests.support.sshd import Sshd

FIRST_PORT, N_PORTS = 1232, 11
DATA = f"{FIRST_PORT}-{FIRST_PORT + N_PORTS - 1}"
# What the wall does with packets from or to one place; {ip} is ip or ip6, {a} its address, {o} that on other.
KINDS = {
    "open": [],
    "drop": ["{ip} daddr {a} tcp dport {data} drop"],
    "reject": ["{ip} daddr {a} tcp dport {data} reject with tcp reset"],
    "forbid": ["{ip} daddr {a} tcp dport {data} reject with icmpx admin-prohibited"],
    "ssh": ["{ip} daddr {a} tcp dport != 22 drop", "{ip} saddr {a} tcp sport != 22 drop"],
    "picky": ["ip daddr {a} tcp dport {data} ip saddr != 10.77.1.3 drop"],
    "other-drop": ["ip saddr 10.77.2.0/24 ip daddr {o} tcp dport {data} drop"],
    "both-drop": [
        "{ip} daddr {a} tcp dport {data} drop",
        "ip daddr {o} tcp dport {data} drop",
    ],
    "few": ["{ip} daddr {a} tcp dport {data} ct state new ct count over 2 drop"],
    "silent": [],
    "web": [],
    "nat": [],
    "nat-ssh": [],
    "nat-taken": [],
}  # fmt: skip
INNER_BLACKHOLE, INNER_UNREACHABLE = "10.77.6.2", "10.77.6.3"
LINK_LOCAL = "fe80::77:2%side0"  # box, as here calls it
REJECTING, NOBODY = "10.77.2.9", "10.77.2.8"  # nobody's: the wall says so, or says nothing
TAKEN = "10.77.9.9"  # hidden's own address, and that of a neighbour whom here has a route to
STRANGER_ADDRESS = "10.77.7.2"  # the neighbour, as the wall calls it
SILENT_PORT, WEB_PORT = 7, 80
# Lets everybody connect: at one port it never says a word, at the other it is a proxy that wants HTTP.
STRANGER = """
import socket, sys, threading
silent, web, first, n = map(int, sys.argv[1:])
silent = [socket.create_server(("", port)) for port in (silent, *range(first, first + n))]
web = socket.create_server(("", web))
def answer():
    while True:
        sock, _ = web.accept()
        sock.recv(10)
        sock.sendall(b"HTTP/1.1 400 Bad Request\\r\\nServer: proxy\\r\\nContent-Length: 0\\r\\n\\r\\n")
        sock.close()
threading.Thread(target=answer, daemon=True).start()
print("listening", flush=True)
sys.stdin.read()
"""


class Place(namedtuple("Place", "name kind address address6 address_on_other public")):
    """Addresses of one test: on box (kind "nat…": on hidden), on other, and the wall's for hidden."""

    __slots__ = ()


def make_place(name: str, kind: str, number: int) -> Place:
    address = TAKEN if kind == "nat-taken" else f"10.77.{4 if kind.startswith('nat') else 2}.{number}"
    return Place(name, kind, address, f"fd77:2::{number}", f"10.77.3.{number}", f"10.77.1.{number}")


class Hosts:
    """All of them, running. `ssh_config` knows each place by its name; NAME-other is the one on other."""

    def __init__(self, folder: Path, places: list[Place]):
        self._folder = folder
        self._places = places
        self._namespaces: dict[str, Namespace] = {}
        self._sshds: dict[str, Sshd] = {}
        self._stranger: subprocess.Popen | None = None
        names = [(f"{place.name}-data", place.address) for place in places]
        # A name with two addresses: nobody answers at the first.
        names += [(f"{p.name}-multi", a) for p in places for a in (REJECTING, p.address)]
        names += [(f"{p.name}-dual", a) for p in places for a in (p.address6, p.address)]
        try:
            self._make_namespaces(names)
            self._join()
            self._guard()
            self._start_sshds()
            self._stranger = self._start_stranger()
        except BaseException:
            self.stop()
            raise
        self.ssh_config = folder / "config"
        self._write_ssh_config()

    @property
    def here(self) -> Namespace:
        return self._namespaces["here"]

    @property
    def n_logins(self) -> dict[str, int]:
        return {name: sshd.n_logins for name, sshd in self._sshds.items()}

    def count(self, place: Place) -> dict[str, int]:
        """Bytes that passed the wall from and to a place: of ssh, and of the data ports there.

        …6 those of them over IPv6, other_… those of the address on other.
        """
        counters = self._namespaces["wall"].read_counters()
        found = {}
        for what in ("ssh", "data"):
            found[f"{what}6"] = counters[f"{place.name}_{what}6"]
            found[what] = counters[f"{place.name}_{what}"] + found[f"{what}6"]
            found[f"other_{what}"] = counters[f"{place.name}_other_{what}"]
        return found

    def find_listeners(self) -> dict[str, list[int]]:
        """Ports of the data's range that are open, but for the neighbour's."""
        found = {name: one.find_listeners(FIRST_PORT, N_PORTS) for name, one in self._namespaces.items()}
        return {name: ports for name, ports in found.items() if ports and name != "neighbour"}

    def stop(self) -> None:
        if self._stranger is not None:
            self._stranger.communicate()
        for sshd in self._sshds.values():
            sshd.stop()
        for namespace in self._namespaces.values():
            namespace.stop()

    # ---- Building -----------------------------------------------------------------------------------

    def _make_namespaces(self, names: list[tuple[str, str]]) -> None:
        for name in ("here", "wall", "box", "other", "hidden", "jump", "inner", "neighbour"):
            self._namespaces[name] = Namespace(self._folder, names if name == "here" else None)

    def _join(self) -> None:
        spaces = self._namespaces
        wall = spaces["wall"]
        wall.forward()
        nat = [place for place in self._places if place.kind.startswith("nat")]
        plain = [place for place in self._places if place not in nat]
        own = {
            "here": [f"10.77.1.{number}/24" for number in (2, 3, 4, 5)],
            "box": [f"{place.address}/24" for place in plain],
            "other": [f"{place.address_on_other}/24" for place in self._places],
            "hidden": [f"{place.address}/24" for place in nat if place.address != TAKEN],
            "jump": [],
        }
        own["box"] += [f"{place.address6}/64" for place in plain]
        public = [f"{place.public}/24" for place in nat]
        for number, (name, more) in enumerate(own.items(), 1):
            first = [f"10.77.{number}.2/24", f"fd77:{number}::2/64"]
            gate = [f"10.77.{number}.1/24", f"fd77:{number}::1/64"]
            addresses = [*first, *(address for address in more if address not in first)]
            gates = gate + (public if name == "here" else [])
            join(spaces[name], "net0", addresses, wall, name, gates)
            spaces[name].ip(f"route add default via 10.77.{number}.1", f"route add ::/0 via fd77:{number}::1")
        wall.ip(
            "route add blackhole 10.77.6.0/24",
            f"route add unreachable {INNER_UNREACHABLE}/32",
            f"route add {TAKEN}/32 via 10.77.4.2",
        )
        jump, inner = spaces["jump"], spaces["inner"]
        inner_addresses = [f"{INNER_BLACKHOLE}/24", f"{INNER_UNREACHABLE}/24"]
        join(jump, "inner0", ["10.77.6.1/24"], inner, "net0", inner_addresses)
        join(spaces["here"], "side0", ["fe80::77:1/64"], spaces["box"], "edge0", ["fe80::77:2/64"])
        # The same private address twice: hidden's, and a neighbour's, where somebody listens and is silent.
        join(spaces["here"], "near0", ["10.77.8.1/24"], spaces["neighbour"], "net0", ["10.77.8.2/24"])
        join(wall, "neighbour", ["10.77.7.1/24"], spaces["neighbour"], "wall0", [f"{STRANGER_ADDRESS}/24"])
        spaces["neighbour"].ip("route add default via 10.77.7.1")
        spaces["here"].ip(f"route add {TAKEN}/32 via 10.77.8.2")
        for name in ("hidden", "neighbour"):
            spaces[name].ip(f"addr add {TAKEN}/32 dev lo")

    def _start_stranger(self) -> subprocess.Popen:
        """The neighbour's program."""
        ports = (SILENT_PORT, WEB_PORT, FIRST_PORT, N_PORTS)
        command = [*self._namespaces["neighbour"].prefix, sys.executable, "-c", STRANGER, *map(str, ports)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"listening\n"
        return process

    def _guard(self) -> None:
        """The wall's rules: first it counts, then the kinds' rules."""
        counters, counts, rules, forwards = [], [], [], []
        for place in self._places:
            for ip, address, before, after in (
                ("ip", place.address, "", ""),
                ("ip6", place.address6, "", "6"),
                ("ip", place.address_on_other, "other_", ""),
            ):
                for what, ports in (("ssh", "22"), ("data", DATA)):
                    name = f"{place.name}_{before}{what}{after}"
                    counters.append(f"counter {name} {{\n packets 0 bytes 0\n}}")
                    counts.append(f"{ip} daddr {address} tcp dport {ports} counter name {name}")
                    counts.append(f"{ip} saddr {address} tcp sport {ports} counter name {name}")
                if not before:
                    rules += [
                        rule.format(data=DATA, ip=ip, a=address, o=place.address_on_other)
                        for rule in KINDS[place.kind]
                        if rule.startswith(("{ip}", f"{ip} "))
                    ]
            if place.kind in ("silent", "web"):
                stranger = f"{STRANGER_ADDRESS}:{SILENT_PORT if place.kind == 'silent' else WEB_PORT}"
                forwards.append(f"ip daddr {place.address} tcp dport {DATA} dnat ip to {stranger}")
            if place.kind.startswith("nat"):
                ports = "22" if place.kind == "nat-ssh" else f"{{ 22, {DATA} }}"
                forwards.append(f"ip daddr {place.public} tcp dport {ports} dnat ip to {place.address}")
        lines = "\n".join
        self._namespaces["wall"].load_rules(
            f"""\
table inet wall {{
{lines(counters)}
chain forward {{
type filter hook forward priority 0;
{lines(counts)}
ip daddr {REJECTING} reject with tcp reset
ip daddr {NOBODY} drop
ip daddr 10.77.1.5 tcp dport {DATA} drop
iifname "here" ip daddr 10.77.4.0/24 ct state new ct status & dnat == 0 drop
{lines(rules)}
}}
chain before {{
type nat hook prerouting priority -100;
{lines(forwards)}
}}
chain after {{
type nat hook postrouting priority 100;
ip saddr 10.77.1.4 masquerade
oifname "here" ip saddr 10.77.4.0/24 masquerade
}}
}}
"""
        )

    def _start_sshds(self) -> None:
        for name in ("box", "other", "hidden", "jump", "inner"):
            folder = self._folder / name
            folder.mkdir()
            for key in ("host_key", "user_key", "user_key.pub"):
                if self._sshds:  # the same keys for all
                    shutil.copy(self._folder / "box" / key, folder / key)
            # The tunnel is the session itself: it doesn't need sshd's leave to forward ports.
            settings = "" if name == "jump" else "AllowTcpForwarding no"
            self._sshds[name] = Sshd(
                folder, prefix=self._namespaces[name].prefix, address="0.0.0.0", addresses=("::",), port=22,
                settings=settings,
            )  # fmt: skip

    def _write_ssh_config(self) -> None:
        def name(host: str, address: str, *lines: str) -> str:
            return "\n    ".join([f"Host {host}", f"HostName {address.replace('%', '%%')}", *lines])

        jump = "ProxyJump jump"
        blocks = [
            name("jump", "10.77.5.2"),
            name("inner-blackhole", INNER_BLACKHOLE, jump),
            name("inner-unreachable", INNER_UNREACHABLE, jump),
            name("link-local", LINK_LOCAL),
        ]
        for place in self._places:
            blocks += [
                name(place.name, place.public if place.kind.startswith("nat") else place.address),
                name(f"{place.name}-6", place.address6),
                name(f"{place.name}-other", place.address_on_other),
                name(f"{place.name}-multi", f"{place.name}-multi"),
                name(f"{place.name}-dual", f"{place.name}-dual"),
            ]
        blocks.append(
            f"""\
Host *
    User {getpass.getuser()}
    IdentityFile {self._folder}/box/user_key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""
        )
        self.ssh_config.write_text("\n".join(blocks))

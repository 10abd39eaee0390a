"""The outage table: a cable is pulled in mid-copy for some seconds; the copy ends verified, soon after.

    python3 -m tests.fault.outages [--ways push,pull,-3,-R] [--what link,ssh,sleep] [--seconds 5,20]

Three hosts in network namespaces, with a cable between each two. What goes over the wires is counted; "again"
is what was more than in the same copy without an outage, in per cent of that (-3: each byte on two wires).
With `sleep` all processes of `here` are stopped meanwhile, as those of a laptop that sleeps.
"""

import argparse
import os
import shlex
import signal
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

from tests.support.command import Escp
from tests.support.folders import new_folder
from tests.support.leftovers import find_agents
from tests.support.netns import Namespace, join
from tests.support.sshd import Sshd
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for

# Of each host the cables that it has, and its address on the first one.
CABLES = [("here", "one", 1), ("here", "two", 2), ("one", "two", 3)]
ADDRESSES = {"one": "10.98.1.2", "two": "10.98.2.2"}


class Outage(namedtuple("Outage", "code after_s n_bytes err")):
    """How a run ended: exit code, seconds from the cable's return to the end, bytes on the wires."""

    __slots__ = ()


class Hosts:
    def __init__(self, folder: Path):
        self.spaces = {name: Namespace(folder) for name in ("here", "one", "two")}
        for one, other, n in CABLES:
            join(self.spaces[one], f"to-{other}", [f"10.98.{n}.1/24"],
                 self.spaces[other], f"to-{one}", [f"10.98.{n}.2/24"])  # fmt: skip
        # The addresses that `here` knows lead one to the other over their own cable.
        self.spaces["one"].ip("route add 10.98.2.2/32 via 10.98.3.2")
        self.spaces["two"].ip("route add 10.98.1.2/32 via 10.98.3.1")
        for space in self.spaces.values():
            space.load_rules("table inet cut {\nchain in {\ntype filter hook input priority 0;\n}\n}\n")
        self.sshds = []
        for name in ADDRESSES:
            home = folder / f"sshd-{name}"
            home.mkdir()
            if self.sshds:
                for key in ("host_key", "user_key", "user_key.pub"):
                    (home / key).write_bytes((self.sshds[0].folder / key).read_bytes())
                    (home / key).chmod(0o600)
            self.sshds.append(Sshd(home, prefix=self.spaces[name].prefix, address="0.0.0.0", port=22))
        config = self.sshds[0].client_config
        named = "".join(f"Host {name}\n    HostName {address}\n" for name, address in ADDRESSES.items())
        config.write_text(named + config.read_text())

    def stop(self) -> None:
        for sshd in self.sshds:
            sshd.stop()
        for space in self.spaces.values():
            space.stop()

    def count(self) -> int:
        """Bytes that have come to any of them."""
        n = 0
        for space in self.spaces.values():
            for line in space.run("cat", "/proc/net/dev").splitlines():
                name, _, numbers = line.strip().partition(":")
                if name.startswith("to-"):
                    n += int(numbers.split()[0])
        return n

    def cut(self, what: str, *, is_cut: bool) -> None:
        """*what*: `link` or `sleep`, all of `one`'s; `ssh`, packets of ssh alone are lost."""
        one = self.spaces["one"]
        if what == "ssh":
            for name in ("here", "one", "two"):
                rules = "add rule inet cut in tcp dport 22 drop\nadd rule inet cut in tcp sport 22 drop\n"
                self.spaces[name].load_rules(rules if is_cut else "flush chain inet cut in\n")
            return
        # Not the device down: that would take its routes along.
        for device in ("to-here", "to-two"):
            one.load_rules(
                f'add rule inet cut in iifname "{device}" drop\n' if is_cut else "flush chain inet cut in\n"
            )
        for name in ("here", "two"):
            rules = 'add rule inet cut in iifname "to-one" drop\n' if is_cut else "flush chain inet cut in\n"
            self.spaces[name].load_rules(rules)


def name_ends(way: str, source: Path, target: Path) -> list[str]:
    if way == "push":
        return [str(source), f"one:{target}"]
    if way == "pull":
        return [f"one:{source}", str(target)]
    return [way, f"one:{source}", f"two:{target}"]


def run_outage(escp: Escp, hosts: Hosts, way: str, source: Path, target: Path, what: str, seconds: float,
               *, limit: str, options=(), settle_s: float = 1.0) -> Outage:  # fmt: skip
    """Copy *source* into *target*, which is empty; after *settle_s* of data the network is cut."""
    before = hosts.count()
    process = escp.start("-r", "-l", limit, *options, *name_ends(way, source, target),
                         prefix=hosts.spaces["here"].prefix, has_ports=False)  # fmt: skip
    back: list[float] = []

    def cut() -> None:
        wait_for(lambda: any(target.rglob("small-000*")) or process.poll() is not None)
        time.sleep(settle_s)
        if what == "sleep":
            os.killpg(process.pid, signal.SIGSTOP)
        hosts.cut(what, is_cut=True)
        time.sleep(seconds)
        hosts.cut(what, is_cut=False)
        if what == "sleep":
            os.killpg(process.pid, signal.SIGCONT)
        back.append(time.monotonic())

    thread = threading.Thread(target=cut)
    if seconds:
        thread.start()
    done = escp.finish(process, timeout_s=seconds + 120)
    end_s = time.monotonic()
    if seconds:
        thread.join()
    return Outage(done.code, end_s - back[0] if back else 0.0, hosts.count() - before, done.err)


def make_source(folder: Path, mib: int) -> int:
    folder.mkdir()
    n_bytes = mib << 20
    write_random(folder / "large", n_bytes)
    for number in range(100):
        n_bytes += 1000 * number
        write_random(folder / f"small-{number:03}", 1000 * number, seed=number)
    return n_bytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ways", default="push,pull,-3,-R")
    parser.add_argument("--what", default="link")
    parser.add_argument("--seconds", default="5,20,60")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--limit", default="10M")
    parser.add_argument("--options", default="")
    args = parser.parse_args()
    with new_folder("escp-outage-") as home:
        hosts = Hosts(home)
        try:
            run_all(hosts, home, args)
        finally:
            hosts.stop()


def run_all(hosts: Hosts, home: Path, args: argparse.Namespace) -> None:
    with new_folder() as folder, Escp(folder, hosts.sshds[0]) as escp:
        make_source(folder / "source", args.mib)
        for way in args.ways.split(","):
            whole = 0
            for what in args.what.split(","):
                for seconds in (0.0, *map(float, args.seconds.split(","))):
                    target = folder / "target"
                    target.mkdir()
                    found = run_outage(escp, hosts, way, folder / "source", target, what, seconds,
                                       limit=args.limit, options=shlex.split(args.options))  # fmt: skip
                    same = list_tree(target / "source") == list_tree(folder / "source")
                    whole = whole or found.n_bytes
                    again = 100 * (found.n_bytes - whole) / whole
                    state = "whole" if same else "NOT WHOLE"
                    print(f"{way:5} {what:5} {seconds:5.0f} s  exit {found.code:3} {state}  end after "
                          f"{found.after_s:6.1f} s  again {again:5.2f} %", flush=True)  # fmt: skip
                    if found.code or not same:
                        print(found.err, flush=True)
                    wait_for(lambda: not find_agents(escp.mark))
                    os.system(shlex.join(["rm", "-rf", str(target)]))


if __name__ == "__main__":
    sys.exit(main())

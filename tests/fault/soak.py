"""Soak: what must stay true over many sessions, many files, many bytes, many keys.

    python3 -m tests.fault.soak [sessions ports files bytes epochs huge] [--sessions 500] [--at-once 60]
                                [--files 2000000] [--tib 1] [--epochs 300] [--gib 100]

sessions  in one process, one after the other over ssh: no descriptor, thread, process, port or file is left
ports     at once, with eleven ports: each ends well, none goes through ssh
files     small ones, pushed; how much memory each end took
bytes     of a sparse file by the dummy engine; no more memory than for little
epochs    a lowered limit changes keys that often, over connections that are cut
huge      a file of mostly holes is killed and resumed: what had come is not sent again
"""

import argparse
import os
import random
import resource
import sys
import time
from pathlib import Path

import escp
from tests.support.command import Escp
from tests.support.folders import new_folder
from tests.support.leftovers import find_agents
from tests.support.nothing_left import describe_process
from tests.support.parts import count_records
from tests.support.proxy import Cut, Proxy
from tests.support.sshd import Sshd
from tests.support.trees import write_random
from tests.support.waiting import wait_for

CHANGED = """
import functools, json, os, sys
import escp.streams.streams as streams
streams.Channel = functools.partial(streams.Channel, epoch_limit={limit})
"""
AGENT = "from escp.agent.agent import run_agent\nstatus = run_agent(['--server'])\nos._exit(status)\n"
DRIVER = (
    "from tests.support import driver\n"
    "driver.apply(json.load(open(os.environ['ESCP_TEST_DRIVER'])))\n"
    "import escp.cli.main\nsys.exit(escp.cli.main.main())\n"
)


def soak_sessions(home: Escp, folder: Path, args: argparse.Namespace) -> None:
    write_random(folder / "file", 300_000)
    options = {
        "ssh_config": str(home.sshd.client_config), "escp": str(home.agent), "escp_port": home.port,
    }  # fmt: skip
    before = None
    os.environ["ESCP_TEST_RUN"] = home.mark
    for number in range(args.sessions + 1):
        source, target = folder / "file", f"box:{folder}/copy"
        if number % 2:
            source, target = f"box:{folder}/copy", str(folder / "back")
        escp.copy(source, target, **options)
        if before is None:  # the first session loads what all have
            before = describe_process()
    threads, fds = describe_process()
    assert threads == [] and len(fds) <= len(before[1]), (threads, fds - before[1])
    del os.environ["ESCP_TEST_RUN"]
    home.assert_nothing_left()
    print(f"sessions: {args.sessions} in a row, {len(fds)} descriptors before and after, nothing left")


def soak_ports(home: Escp, folder: Path, args: argparse.Namespace) -> None:
    write_random(folder / "some", 3_000_000)
    (folder / "many").mkdir()
    processes = [
        home.start("-l", "3M", folder / "some", f"box:{folder}/many/{n}") for n in range(args.at_once)
    ]
    ended = [home.finish(process, timeout_s=600) for process in processes]
    assert all(done.code == 0 for done in ended), [done for done in ended if done.code][:3]
    n_through_ssh = sum("through ssh" in done.err for done in ended)
    contents = (folder / "some").read_bytes()
    assert all(path.read_bytes() == contents for path in (folder / "many").iterdir())
    home.assert_nothing_left()
    print(f"ports: {args.at_once} sessions at once ended well, {n_through_ssh} through ssh")


def make_files(folder: Path, n: int) -> None:
    for number in range(n):
        if number % 1000 == 0:
            top = folder / f"d{number // 1000:05}"
            top.mkdir(parents=True)
        (top / f"f{number % 1000:03}").write_bytes(b"%d" % number)


def soak_files(home: Escp, folder: Path, args: argparse.Namespace) -> None:
    make_files(folder / "files", args.files)
    begin_s = time.monotonic()
    done = home.run("-r", "--json", folder / "files", f"box:{folder}/there", timeout_s=24 * 3600)
    assert done.code == 0, done
    assert done.json[-1]["files"] == args.files, done.json[-1]
    kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"files: {args.files} in {time.monotonic() - begin_s:.0f} s, at most {kib >> 10} MiB a process")


def soak_bytes(home: Escp, folder: Path, args: argparse.Namespace) -> None:
    n_bytes = int(args.tib * (1 << 40))
    with open(folder / "huge", "wb") as file:
        file.truncate(n_bytes)
    begin_s = time.monotonic()
    done = home.run("--json", "--ioengine", "dummy::dummy", folder / "huge", f"box:{folder}/x",
                    timeout_s=24 * 3600)  # fmt: skip
    assert done.code == 0 and done.json[-1]["bytes"] == n_bytes, done
    seconds = time.monotonic() - begin_s
    print(f"bytes: {args.tib} TiB in {seconds:.0f} s, {n_bytes / seconds / 1e9:.2f} GB/s")


def soak_epochs(home: Escp, folder: Path, args: argparse.Namespace) -> None:
    """A key for each MiB and a quarter, about: a frame or two."""
    limit = 1_310_720
    write_random(folder / "keyed", args.epochs * limit)
    for name, code in (("agent.py", AGENT), ("initiator.py", DRIVER)):
        (folder / name).write_text(CHANGED.format(limit=limit) + code)
    agent = home.write_agent("epochs", command=f"exec {sys.executable} {folder / 'agent.py'}")
    dice = random.Random(args.seed)
    n_cuts = 0

    def cut_some(stream: int, way: str, at: int, data: bytes) -> bytes:
        nonlocal n_cuts
        if n_cuts < 30 and dice.random() < len(data) / 12e6:
            n_cuts += 1
            raise Cut(is_reset=True)
        return data

    with Proxy(home.port, cut_some) as proxy:
        env = home.write_driver(ports={str(home.port): proxy.port})
        done = home.run("-t", "2", folder / "keyed", f"box:{folder}/keyed-there", agent=agent, env=env,
                        command=[sys.executable, str(folder / "initiator.py")], timeout_s=3600)  # fmt: skip
    assert done.code == 0, done
    assert (folder / "keyed-there").read_bytes() == (folder / "keyed").read_bytes()
    print(f"epochs: {args.epochs} and more, over {n_cuts + 2} connections")


def soak_huge(home: Escp, folder: Path, args: argparse.Namespace) -> None:
    """A GiB of data in it, at ten places."""
    with open(folder / "holes", "wb") as file:
        file.truncate(args.gib << 30)
        for number in range(10):
            file.seek(number * (args.gib << 30) // 10)
            file.write(os.urandom(args.mib // 10 << 20))
    words = ("--json", "--sparse", folder / "holes", f"box:{folder}/holes-there")
    process = home.start("-l", "100M", *words)
    wait_for(lambda: count_records(folder / "holes-there") > args.mib // 2, 600)
    process.kill()
    home.finish(process)
    wait_for(lambda: not find_agents(home.mark))
    n_kept = count_records(folder / "holes-there")
    begin_s = time.monotonic()
    done = home.run("--resume", *words, timeout_s=24 * 3600)
    assert done.code == 0, done
    n_sent = done.json[-1]["bytes"]
    assert n_sent <= (args.mib - n_kept + 16) << 20, (n_sent, n_kept)
    print(f"huge: {args.gib} GiB, {n_kept} MiB of {args.mib} kept, {n_sent >> 20} MiB sent again or first, "
          f"{time.monotonic() - begin_s:.0f} s")  # fmt: skip


SOAKS = {
    "sessions": soak_sessions, "ports": soak_ports, "files": soak_files, "bytes": soak_bytes,
    "epochs": soak_epochs, "huge": soak_huge,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("which", nargs="*", default=list(SOAKS))
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=60)
    parser.add_argument("--files", type=int, default=2_000_000)
    parser.add_argument("--tib", type=float, default=1)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--gib", type=int, default=100, help="of the file with holes")
    parser.add_argument("--mib", type=int, default=1000, help="of data in it")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with new_folder("escp-sshd-") as place, Sshd(place) as sshd:
        for name in args.which:
            with new_folder() as folder, Escp(folder, sshd) as home:
                SOAKS[name](home, folder, args)
                sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The way that the data takes between hosts: addresses, firewalls, NAT, jump hosts, the tunnel.

All runs of this file start at once, eight at a time, because most of them wait for 5 s until a port counts
as blocked. Each has addresses of its own (tests/support/hosts.py), and what the wall counted there says which
way the data really took.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.command import Done, Escp
from tests.support.hosts import DATA, INNER_BLACKHOLE, INNER_UNREACHABLE, Hosts, make_place
from tests.support.netns import why_none
from tests.support.trees import list_tree, make_tree, write_random

N_AT_A_TIME = 8
LARGE_BYTES = 2_000_000
SMALL_BYTES = 500_000  # what ssh and escp say to each other takes less
END_LIMIT_S = 20  # two times what it takes when nobody else has the machine
RUN_LIMIT_S = 60.0


class Case(namedtuple("Case", "name kind words code ways said n_warnings")):
    """One run. In *words* {n} is its host's name, {a} its address, {s} the source and {t} the target.

    ways: where more than LARGE_BYTES must have passed, everywhere else less than SMALL_BYTES must have.
    said: what the error must name. n_warnings: a tunnel that was not asked for is told, once for each host.
    """

    __slots__ = ()


def case(
    name: str,
    kind: str,
    words: str,
    ways: str = "",
    *,
    code: int = 0,
    said: str = "",
    n_warnings: int = 0,
) -> Case:
    return Case(name, kind, words, code, frozenset(ways.split()), said.split(), n_warnings)


def blocked(name: str, kind: str, words: str, said: str = "{a} port") -> Case:
    """The data can't get through, and may not take the tunnel."""
    return case(name, kind, f"--tunnel=never {words}", code=13, said=said)


def tunnelled(name: str, kind: str, words: str, ways: str = "ssh", n_warnings: int = 1) -> Case:
    return case(name, kind, words, ways, n_warnings=n_warnings)


PUSH, PULL = "-r {s} {n}:{t}", "-r {n}:{s} {t}"
CASES = [
    # ---- The port is reachable
    case("push", "open", PUSH, "data"),
    case("pull", "open", PULL, "data"),
    case("push_never_tunnels", "open", "--tunnel=never " + PUSH, "data"),
    case("push_one_stream_to_a_multihomed_host", "open", "-t 1 " + PUSH, "data"),
    case("name_with_two_addresses", "open", "--tunnel=never -r {s} {n}-multi:{t}", "data"),
    case("pull_name_with_two_addresses", "open", "--tunnel=never -r {n}-multi:{s} {t}", "data"),
    # ---- It is not
    blocked("push_dropped", "drop", PUSH),
    blocked("push_rejected", "reject", PUSH),
    blocked("push_forbidden", "forbid", PUSH),
    blocked("push_only_ssh", "ssh", PUSH),
    blocked("pull_dropped", "drop", PULL),
    blocked("pull_rejected", "reject", PULL),
    # ---- The tunnel
    tunnelled("tunnel_push_dropped", "drop", PUSH),
    tunnelled("tunnel_push_rejected", "reject", PUSH),
    tunnelled("tunnel_push_forbidden", "forbid", PUSH),
    tunnelled("tunnel_push_only_ssh", "ssh", PUSH),
    tunnelled("tunnel_pull_dropped", "drop", PULL),
    tunnelled("tunnel_pull_only_ssh", "ssh", PULL),
    tunnelled("tunnel_16_streams", "reject", "-t 16 " + PUSH),
    tunnelled("tunnel_large_blocks", "reject", "-t 2 --blocksize 32M -C " + PUSH),
    tunnelled("tunnel_with_limit", "reject", "-l 4M " + PULL),
    # A firewall that lets too few streams through, one that takes all connections itself, and a web proxy.
    blocked("push_too_few_streams", "few", PUSH),
    tunnelled("tunnel_too_few_streams", "few", PUSH),
    tunnelled("tunnel_too_few_streams_pull", "few", PULL),
    blocked("push_silent_stranger", "silent", PUSH),
    tunnelled("tunnel_silent_stranger", "silent", PUSH),
    tunnelled("tunnel_silent_stranger_pull", "silent", PULL),
    blocked("push_web_proxy", "web", PUSH),
    tunnelled("tunnel_web_proxy", "web", PULL),
    tunnelled("tunnel_json", "reject", "--json " + PUSH),
    case("tunnel_quiet", "reject", "-q " + PUSH, "ssh"),
    case("tunnel_push_always", "open", "--tunnel=always " + PUSH, "ssh"),
    case("tunnel_pull_always", "drop", "--tunnel=always " + PULL, "ssh"),
    # ---- The other direction
    case("reverse_push", "open", "--tunnel=never --reverse " + PUSH),
    case("reverse_pull", "drop", "--tunnel=never --reverse " + PULL),
    case("reverse_push_through_dropped", "drop", "--reverse " + PUSH),
    case("reverse_6", "drop", "--tunnel=never --reverse -r {s} {n}-6:{t}"),
    blocked("reverse_blocked", "open", "-oBindAddress=10.77.1.5 --reverse " + PUSH, "{n} port"),
    blocked("reverse_blocked_pull", "open", "-oBindAddress=10.77.1.5 --reverse " + PULL, "{n} port"),
    tunnelled("reverse_blocked_tunnel", "open", "-oBindAddress=10.77.1.5 --reverse " + PUSH),
    blocked("reverse_masqueraded", "open", "-oBindAddress=10.77.1.4 --reverse " + PUSH, "{n} port"),
    tunnelled("reverse_masqueraded_tunnel", "open", "-oBindAddress=10.77.1.4 --reverse " + PULL),
    case("reverse_masqueraded_data_host", "open",
         "-oBindAddress=10.77.1.4 --reverse --tunnel=never --data-host 10.77.1.3 " + PUSH),
    # ---- Own addresses
    case("bind", "picky", "--tunnel=never --bind 10.77.1.3 " + PUSH, "data"),
    case("bind_pull", "picky", "--tunnel=never --bind 10.77.1.3 " + PULL, "data"),
    blocked("bind_missing", "picky", PUSH),
    blocked("bind_other", "picky", "--bind 10.77.1.4 " + PUSH),
    case("bind_reverse", "drop",
         "-oBindAddress=10.77.1.3 --reverse --bind 10.77.1.3 --tunnel=never " + PUSH),
    case("bind_not_ours", "open", "--bind 10.99.99.99 " + PUSH, code=2, said="10.99.99.99"),
    blocked("bind_other_family", "open", "--bind fd77:1::2 " + PUSH, "fd77:1::2"),
    # ---- The target's other addresses
    case("data_host", "open", "--tunnel=never --data-host 10.77.2.2 " + PUSH),  # that one is not counted
    case("data_host_pull", "open", "--tunnel=never --data-host 10.77.2.2 " + PULL),
    case("data_host_by_name", "open", "--tunnel=never --data-host {n}-data " + PUSH, "data"),
    case("data_host_6", "open", "--tunnel=never --data-host fd77:2::2 " + PUSH),
    blocked("data_host_nobody", "open", "--data-host 10.77.2.8 " + PUSH, "10.77.2.8 port"),
    blocked("data_host_unknown", "open", "--data-host nowhere.invalid " + PUSH, "nowhere.invalid"),
    tunnelled("data_host_nobody_tunnel", "open", "--data-host 10.77.2.8 " + PULL),
    # ---- IPv6
    case("push_6", "open", "--tunnel=never -r {s} {n}-6:{t}", "data data6"),
    case("pull_6", "open", "--tunnel=never -r {n}-6:{s} {t}", "data data6"),
    case("push_6_written_out", "open", "--tunnel=never -r {s} [{a6}]:{t}", "data data6"),
    blocked("push_6_rejected", "reject", "-r {s} {n}-6:{t}", "{a6} port"),
    tunnelled("tunnel_6", "drop", "-r {s} {n}-6:{t}", "ssh ssh6"),
    case("dual_4", "open", "--tunnel=never -4 -r {s} {n}-dual:{t}", "data"),
    case("dual_6", "open", "--tunnel=never -6 -r {n}-dual:{s} {t}", "data data6"),
    case("link_local", "open", "--tunnel=never -r {s} link-local:{t}"),
    case("link_local_reverse", "open", "--tunnel=never --reverse -r {s} link-local:{t}"),
    case("link_local_pull", "open", "--tunnel=never -r [fe80::77:2%side0]:{s} {t}"),
    # ---- NAT
    case("nat", "nat", "--tunnel=never " + PUSH, "data"),
    case("nat_pull", "nat", "--tunnel=never " + PULL, "data"),
    case("nat_data_host", "nat", "--tunnel=never --data-host {p} " + PUSH, "data"),
    blocked("nat_only_ssh", "nat-ssh", PUSH, "port"),
    tunnelled("nat_only_ssh_tunnel", "nat-ssh", PULL),
    case("nat_reverse", "nat-ssh", "--tunnel=never --reverse " + PUSH),
    case("nat_address_is_somebody_elses", "nat-taken", "--tunnel=never " + PUSH, "data"),
    # ---- Jump hosts
    case("jump_goes_around", "open", "--tunnel=never -J jump " + PUSH, "data"),
    case("jump_pull_goes_around", "open", "--tunnel=never -J jump " + PULL, "data"),
    tunnelled("jump_dropped", "drop", "-J jump " + PUSH),
    blocked("jump_blackhole", "open", "-r {s} inner-blackhole:{t}", f"{INNER_BLACKHOLE} port"),
    tunnelled("jump_blackhole_tunnel", "open", "-r {s} inner-blackhole:{t}", ""),
    tunnelled("jump_blackhole_tunnel_pull", "open", "-r inner-blackhole:{s} {t}", ""),
    blocked("jump_unreachable", "open", "-r {s} inner-unreachable:{t}", f"{INNER_UNREACHABLE} port"),
    tunnelled("jump_unreachable_tunnel", "open", "-r inner-unreachable:{s} {t}", ""),
    case("jump_always", "open", "--tunnel=always -r {s} inner-blackhole:{t}"),
    # ---- Host to host
    case("relay", "open", "-r {n}:{s} {n}-other:{t}", "data other_data"),
    case("relay_3", "open", "-3 --tunnel=never -r {n}:{s} {n}-other:{t}", "data other_data"),
    tunnelled("relay_source_blocked", "drop", "-r {n}:{s} {n}-other:{t}", "ssh other_data"),
    tunnelled("relay_both_blocked", "both-drop", "-r {n}:{s} {n}-other:{t}", "ssh other_ssh", 2),
    tunnelled("relay_few", "few", "-r {n}:{s} {n}-other:{t}", "ssh other_data"),
    tunnelled("relay_silent", "silent", "-r {n}:{s} {n}-other:{t}", "ssh other_data"),
    case("relay_nat", "nat", "-r {n}:{s} {n}-other:{t}", "data other_data"),
    case("relay_to_taken", "nat-taken", "-r {n}-other:{s} {n}:{t}", "data other_data"),
    case("relay_jump", "open", "-J jump --tunnel=never -r {n}:{s} {n}-other:{t}", "data other_data"),
    tunnelled("relay_from_inner", "open", "-r inner-blackhole:{s} {n}-other:{t}", "other_data"),
    case("relay_bind", "picky",
         "--tunnel=never --bind 10.77.1.3 -r {n}:{s} {n}-other:{t}", "data other_data"),
    case("direct_6", "open", "-R -r {n}-6:{s} {n}-other:{t}", "other_data"),
    case("direct_to_nat", "nat", "-R -r {n}-other:{s} {n}:{t}", "data"),
    case("relay_always", "drop", "--tunnel=always -r {n}:{s} {n}-other:{t}", "ssh other_ssh"),
    case("direct", "open", "-R -r {n}:{s} {n}-other:{t}", "other_data"),
    case("direct_blocked", "other-drop", "-R -r {n}:{s} {n}-other:{t}", code=13, said="-3 port {o}"),
    case("direct_from_behind_jump", "open",
         "-R -r inner-blackhole:{s} {n}-other:{t}", code=13, said="-3 port {o}"),
]  # fmt: skip
# What escp does not do yet. Strict: who mends one takes it out here.
KNOWN: dict[str, str] = {}
BY_NAME = {one.name: one for one in CASES}
assert len(BY_NAME) == len(CASES)
PLACES = {one.name: make_place(one.name, one.kind, number) for number, one in enumerate(CASES, 10)}


class Run(namedtuple("Run", "done seconds target")):
    """How one ended."""

    __slots__ = ()
    done: Done
    seconds: float
    target: Path


class Runs:
    """The runs of all cases that this session's tests ask for, under way."""

    def __init__(self, folder: Path, hosts: Hosts, cases: list[Case]):
        self.hosts = hosts
        self.cases = cases
        self.source = folder / "source"
        self._folder = folder
        make_tree(self.source, n_files=3)
        write_random(self.source / "large", LARGE_BYTES)
        self.tree = list_tree(self.source)
        self._pool = ThreadPoolExecutor(N_AT_A_TIME)
        ordered = sorted(cases, key=lambda one: one.name not in KNOWN)  # those may wait longest
        self._runs: dict[str, Future] = {one.name: self._pool.submit(self._run, one) for one in ordered}

    def get(self, name: str) -> Run:
        return self._runs[name].result()

    def wait(self) -> None:
        self._pool.shutdown()

    def fill_in(self, one: Case, text: str) -> str:
        place = PLACES[one.name]
        return text.format(
            n=one.name, a=place.address, a6=place.address6, o=place.address_on_other, p=place.public,
            s=self.source, t=self._folder / one.name / "target",
        )  # fmt: skip

    def _run(self, one: Case) -> Run:
        folder = self._folder / one.name
        (folder / "target").mkdir(parents=True)
        words = [self.fill_in(one, word) for word in one.words.split()]
        with contextlib.closing(Escp(folder, SimpleNamespace(client_config=self.hosts.ssh_config))) as escp:
            begin_s = time.monotonic()
            done = escp.run(*words, prefix=self.hosts.here.prefix, has_ports=False, timeout_s=RUN_LIMIT_S)
            seconds = time.monotonic() - begin_s
            escp.assert_nothing_left()
        return Run(done, seconds, folder / "target")


def has_memory() -> bool:
    return os.path.ismount("/dev/shm") and shutil.disk_usage("/dev/shm").free > 1 << 30


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    if reason := why_none():
        pytest.skip(reason)
    wanted = [
        BY_NAME[item.callspec.params["name"]]
        for item in request.session.items
        if item.path == request.path
        and "name" in getattr(item, "callspec", SimpleNamespace(params={})).params
    ]
    # In memory where that can be: a hundred small trees, and no question of disks here.
    folder = Path(tempfile.mkdtemp(prefix="escp-hosts-", dir="/dev/shm" if has_memory() else None))
    hosts = Hosts(folder, [PLACES[one.name] for one in wanted])
    try:
        all_runs = Runs(folder, hosts, wanted)
        yield all_runs
        all_runs.wait()
    finally:
        hosts.stop()
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason=KNOWN[name])) if name in KNOWN else name
        for name in BY_NAME
    ],
)
def test_data_path(runs, name):
    one = BY_NAME[name]
    run = runs.get(name)
    done = run.done
    assert done.code == one.code, (done, run.seconds)
    assert run.seconds < END_LIMIT_S, done
    if one.code:
        assert list_tree(run.target) == {}
        said = f"{done.error} {done.hint}"
        words = [runs.fill_in(one, word) for word in one.said]
        missing = [word for word in words if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said)]
        assert not missing, said
        assert done.err.count("escp: error: ") == 1 and "Traceback" not in done.err
    else:
        assert list_tree(run.target / "source") == runs.tree
        assert (done.err + done.out).count(DATA) == one.n_warnings, (done.err, done.out)
    counts = runs.hosts.count(PLACES[name])
    assert {way for way, n_bytes in counts.items() if n_bytes > SMALL_BYTES} == one.ways, (counts, done)
    assert all(counts[way] > LARGE_BYTES for way in one.ways), counts


def test_one_login_to_each_host(runs):
    """The tunnel is the ssh connection that is already open: a second one might ask for a password again."""
    runs.wait()
    n_hosts = sum(len(re.findall(r"(?:\{n\}|\[|link-local|inner)[^ ]*:\{", one.words)) for one in runs.cases)
    assert 0 < sum(n for name, n in runs.hosts.n_logins.items() if name != "jump") <= n_hosts


def test_nothing_listens_afterwards(runs):
    runs.wait()
    assert runs.hosts.find_listeners() == {}

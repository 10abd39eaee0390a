"""From facts to findings: tables of what is told about which host, and the commands that are advised."""

import pytest

from escp.doctor.advice import USUAL_RATES, Situation, advise_host, advise_ports, advise_route, find_rates
from escp.facts.facts import NO_FACTS, NO_ROUTE, HostFacts
from escp.ui.finding import LOCAL, NOTE, OK, PROBLEM, REMOTE, ROUTE, WARNING

GOOD = HostFacts(
    version="1.0.0", ssh="OpenSSH_9.2p1", kernel="Linux 6.1.0-18", machine="x86_64", cpu_flags="aes vaes",
    n_cpus=32, n_cpus_online=32, n_nodes=1, aead="ipsec_mb", aead_bytes_per_s=10**10, open_files=1 << 20,
    aio_free=65536, tcp_rmem=(4096, 131072, 1 << 30), tcp_wmem=(4096, 16384, 1 << 30),
    core_rmem_max=212992, core_wmem_max=212992, has_window_scaling=True, has_autotuning=True,
    congestion="bbr", congestions="reno cubic bbr", path_error="", file_system="xfs", is_writable=True,
    has_direct=True, direct_error="", free_bytes=10**12, device="eth0", device_bits_per_s=100 * 10**9,
    device_mtu=9000, device_node=0, device_cpus="0-31",
)  # fmt: skip
FAST, FAR = (100 * 10**9,), 0.050
SITUATION = Situation("dtn2", FAST, 4, 0.001)


def find(facts, subject, situation=SITUATION, scope=LOCAL):
    """The finding about one subject; None if there is none."""
    found = [finding for finding in advise_host(facts, scope, situation) if finding.subject == subject]
    assert len(found) <= 1
    return found[0] if found else None


def test_nothing_is_wrong_with_a_good_host():
    assert {finding.status for finding in advise_host(GOOD, LOCAL, SITUATION)} == {OK}
    assert not any(finding.advice for finding in advise_host(GOOD, LOCAL, SITUATION))


def test_a_host_that_tells_nothing_gives_findings_all_the_same():
    assert advise_host(NO_FACTS, REMOTE, SITUATION)
    assert all(finding.scope == REMOTE for finding in advise_host(NO_FACTS, REMOTE, SITUATION))


@pytest.mark.parametrize(
    ("changes", "subject", "status", "part", "advice"),
    [
        ({"kernel": "Linux 4.18.0-553.el8"}, "kernel", NOTE, "4.18", "below 5.6"),
        ({"kernel": "Linux 5.6.0"}, "kernel", OK, "", ""),
        ({"kernel": "strange"}, "kernel", OK, "strange", ""),
        ({"cpu_flags": "avx2"}, "cpu", WARNING, "avx2", "no AES instructions"),
        ({"cpu_flags": ""}, "cpu", WARNING, "32 of 32 CPUs", "no AES"),
        ({"cpu_flags": None}, "cpu", OK, "", ""),
        ({"n_cpus": 2}, "cpu", NOTE, "2 of 32 CPUs", "cgroup"),
        # Four threads of 2 GB/s are 64 Gbit/s, of the device's 100.
        ({"aead_bytes_per_s": 2 * 10**9}, "aead", WARNING, "2.0 GB/s a core", "take 7 cores"),
        ({"aead_bytes_per_s": 2 * 10**9}, "aead", WARNING, "", "use -t 7"),
        ({"aead_bytes_per_s": 2 * 10**9, "n_cpus": 4, "n_cpus_online": 4}, "aead", WARNING, "", "4 would"),
        ({"aead_bytes_per_s": 0}, "aead", WARNING, "", ""),
        ({"path_error": "permission denied"}, "directory", PROBLEM, "permission denied", "another"),
        ({"is_writable": False, "direct_error": "read-only"}, "directory", NOTE, "xfs", "read-only"),
        ({"has_direct": False, "direct_error": "invalid argument"}, "o_direct", NOTE, "invalid argument",
         "page cache"),
        ({"has_direct": False, "direct_error": "x", "file_system": "tmpfs"}, "o_direct", OK, "memory", ""),
        ({"file_system": "lustre"}, "o_direct", NOTE, "works", "--nodirect"),
        ({"file_system": "fuse.sshfs"}, "o_direct", NOTE, "works", "--nodirect"),
        ({"open_files": 4096}, "open_files", NOTE, "4,096", "hard nofile 16384"),
        ({"open_files": 256}, "open_files", WARNING, "256", "limits.d/escp.conf"),
        ({"open_files": (1 << 63) - 1}, "open_files", OK, "no limit", ""),
        ({"aio_free": 100}, "aio", NOTE, "100", "sysctl -w fs.aio-max-nr=1048576"),
        ({"has_window_scaling": False}, "tcp_window_scaling", WARNING, "64 KiB",
         "sysctl -w net.ipv4.tcp_window_scaling=1"),
        ({"has_autotuning": False}, "tcp_moderate_rcvbuf", WARNING, "stay small",
         "sysctl -w net.ipv4.tcp_moderate_rcvbuf=1"),
        ({"device_mtu": 1500}, "mtu", NOTE, "1500 bytes", "ip link set eth0 mtu 9000"),
        ({"device_mtu": 1500, "device_bits_per_s": 10**9}, "mtu", OK, "1500", ""),
        ({"n_nodes": 2, "device_node": 1, "device_cpus": "8-15"}, "numa", NOTE, "node 1 of 2",
         "--nodemask 2 --cpumask FF00"),
        ({"n_nodes": 2, "device_node": 1, "device_cpus": "evil"}, "numa", NOTE, "", "--nodemask 2"),
        ({"n_nodes": 2, "device_node": None}, "numa", OK, "not known", ""),
        ({"device_bits_per_s": None}, "device", OK, "speed not known", ""),
    ],
)  # fmt: skip
def test_findings_about_one_host(changes, subject, status, part, advice):
    finding = find(GOOD._replace(**changes), subject)
    assert finding.status == status
    assert part in finding.value
    assert advice in finding.advice
    assert bool(finding.advice) == (status != OK)


@pytest.mark.parametrize(
    ("most", "rates", "rtt_s", "n_streams", "status", "parts"),
    [
        # 100 Gbit/s over 50 ms are 625 MB on the way: of 4 streams each needs 156 MB, and twice the buffer.
        (6 << 20, FAST, FAR, 4, WARNING, ["reach 2 Gbit/s over 50 ms", "sysctl -w net.ipv4.tcp_rmem="
                                          "'4096 131072 536870912'"]),
        (512 << 20, FAST, FAR, 4, OK, ["enough for 100 Gbit/s"]),
        (6 << 20, FAST, 0.0001, 4, OK, ["enough for 100 Gbit/s over 0.1 ms"]),
        (6 << 20, (10**9,), FAR, 4, OK, ["enough for 1 Gbit/s"]),
        (6 << 20, (10**9,), FAR, 1, WARNING, ["1 stream ", "use -t 2, or as root:"]),
        # Not even 64 streams would do.
        (64 << 10, FAST, FAR, 4, WARNING, ["100 Gbit/s over 50 ms as root:"]),
        # The rates are guesses: below 10 Gbit/s it matters to most, below 100 to some.
        (6 << 20, USUAL_RATES, FAR, 4, WARNING, ["for 10 Gbit/s over 50 ms", "'4096 131072 33554432'"]),
        (64 << 20, USUAL_RATES, FAR, 4, NOTE, ["for 100 Gbit/s over 50 ms"]),
        (512 << 20, USUAL_RATES, FAR, 4, OK, []),
        # No other host: how far it reaches.
        (6 << 20, USUAL_RATES, None, 4, NOTE, ["fill 10 Gbit/s up to 10.1 ms", "over 50 ms use -t 20"]),
        (32 << 20, USUAL_RATES, None, 4, OK, ["up to 53.7 ms"]),
        (0, FAST, FAR, 4, WARNING, []),
        (1 << 62, FAST, FAR, 4, OK, []),
        (6 << 20, FAST, 0.0, 4, OK, []),
        (6 << 20, FAST, 1e9, 64, WARNING, ["1073741824"]),
    ],
)  # fmt: skip
def test_buffers_against_the_bandwidth_delay_product(most, rates, rtt_s, n_streams, status, parts):
    facts = GOOD._replace(tcp_rmem=(4096, 131072, most))
    finding = find(facts, "tcp_rmem", Situation("dtn2", rates, n_streams, rtt_s))
    assert finding.status == status
    assert finding.number == most
    for part in parts:
        assert part in finding.value + finding.advice


def test_commands_for_the_other_host_say_so():
    facts = GOOD._replace(tcp_wmem=(4096, 16384, 1 << 20), n_nodes=2)
    situation = Situation("dtn2", FAST, 4, FAR)
    assert "as root on dtn2:\nsysctl" in find(facts, "tcp_wmem", situation, REMOTE).advice
    assert "-D 'escp --nodemask 1" in find(facts, "numa", situation, REMOTE).advice
    assert "as root:\nsysctl" in find(facts, "tcp_wmem", situation, LOCAL).advice


@pytest.mark.parametrize(
    ("congestion", "there", "rtt_s", "status", "advice"),
    [
        ("cubic", "reno cubic", FAR, NOTE, "modprobe tcp_bbr\nsysctl -w net.core.default_qdisc=fq\n"),
        ("cubic", "cubic bbr", FAR, NOTE, "as root:\nsysctl -w net.core"),
        ("cubic", "cubic bbr", 0.001, OK, ""),
        ("cubic", "cubic bbr", None, NOTE, "tcp_congestion_control=bbr"),
        ("bbr", "cubic bbr", FAR, OK, ""),
        ("htcp", "htcp", FAR, OK, ""),
    ],
)
def test_congestion_control_matters_far_away(congestion, there, rtt_s, status, advice):
    facts = GOOD._replace(congestion=congestion, congestions=there)
    finding = find(facts, "congestion", Situation("dtn2", FAST, 4, rtt_s))
    assert finding.status == status
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("speeds", "rates"),
    [((100, 25), (25,)), ((None, 25), USUAL_RATES), ((0, 25), USUAL_RATES), ((25,), (25,)),
     ((None,), USUAL_RATES)],
)  # fmt: skip
def test_the_slower_device_counts_and_unknown_ones_are_guessed(speeds, rates):
    assert find_rates(*(GOOD._replace(device_bits_per_s=speed) for speed in speeds)) == rates


def find_route(subject, route=NO_ROUTE, local=GOOD, remote=GOOD, *, is_tunnel=False):
    found = advise_route(route, local, remote, is_tunnel=is_tunnel)
    assert all(finding.scope == ROUTE for finding in found)
    return next((finding for finding in found if finding.subject == subject), None)


def test_route():
    assert find_route("rtt", NO_ROUTE._replace(rtt_s=0.0123)).value == "12.3 ms"
    assert "ssh" in find_route("rtt", NO_ROUTE._replace(rtt_s=0.0123), is_tunnel=True).value
    assert find_route("rtt") is None
    assert find_route("bandwidth").number == 100 * 10**9
    assert find_route("bandwidth", remote=NO_FACTS).number is None
    assert find_route("path_mtu", NO_ROUTE._replace(mtu=9000)).status == OK
    assert find_route("path_mtu", NO_ROUTE._replace(mtu=1400)).status == NOTE
    assert find_route("path_mtu", NO_ROUTE._replace(mtu=1400), NO_FACTS, NO_FACTS).status == OK
    assert find_route("losses", NO_ROUTE._replace(n_lost=0)) is None
    assert find_route("losses", NO_ROUTE._replace(n_lost=3)).status == WARNING
    assert find_route("versions") is None
    assert "0.9" in find_route("versions", remote=GOOD._replace(version="0.9")).value


def test_window_scaling_that_is_on_at_both_ends_but_not_between_them():
    route = NO_ROUTE._replace(has_window_scaling=False)
    assert find_route("scaling", route).status == WARNING
    assert find_route("scaling", route, GOOD._replace(has_window_scaling=False)) is None


def test_ports():
    ports = {"host": "dtn2", "ports": (1232, 1242)}
    good = advise_ports(**ports, whose="dtn2", place="192.0.2.7 port 1232", failure="")
    assert (good.status, good.value) == (OK, "192.0.2.7 port 1232")
    bad = advise_ports(**ports, whose="dtn2", place="", failure="can't reach the data port: no answer")
    assert bad.status == PROBLEM
    assert "no answer" in bad.advice and "1232-1242 of dtn2" in bad.advice and "--reverse" in bad.advice
    reverse = advise_ports(**ports, whose="this host", place="", failure="dtn2 can't reach port 1232")
    assert "--reverse" not in reverse.advice and "1232-1242 of this host" in reverse.advice
    assert advise_ports(**ports, whose="dtn2", place="", failure="").status == NOTE

"""Facts about this host, and about hosts that this machine is not: trees that look like /proc and /sys."""

import os
import socket
import time
from pathlib import Path

import pytest

from escp.facts import directory, network, system
from escp.facts.facts import NO_ROUTE, decode_facts, encode_facts


@pytest.fixture
def root(tmp_path):
    """Write files of a false / with root(PATH=text)."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path)

    return write


NET = "sys__class__net__"


def test_this_host_tells_all_that_it_can_and_soon(tmp_path):
    begin_s = time.thread_time()
    facts = system.examine_host(os.fsencode(tmp_path), "lo")
    assert time.thread_time() - begin_s < 0.5  # a few times what it may take
    assert facts.path_error == "" and facts.is_writable and facts.file_system
    assert facts.aead in ("ipsec_mb", "openssl") and facts.aead_bytes_per_s > 10**7
    assert facts.kernel.startswith("Linux ") and facts.n_cpus >= 1
    assert (facts.device, facts.device_mtu) == ("lo", int(Path("/sys/class/net/lo/mtu").read_text()))
    assert len(facts.tcp_rmem) == len(facts.tcp_wmem) == 3
    assert list(tmp_path.iterdir()) == []
    assert decode_facts(encode_facts(facts)) == facts


def test_an_empty_system_tells_nothing_and_nothing_fails(root):
    facts = system.examine_system(root())
    assert facts.tcp_rmem is None and facts.cpu_flags is None and facts.n_nodes is None
    assert network.pick_device(root()) is None
    assert set(network.examine_device("eth0", root()).values()) == {"eth0", None}


def test_a_large_machine(root):
    base = root(
        proc__cpuinfo="processor\t: 0\nflags\t\t: fpu aes sse vaes avx512f\n\nprocessor\t: 1\nflags\t: fpu\n",
        proc__sys__net__ipv4__tcp_rmem="4096\t131072\t6291456\n",
        proc__sys__net__ipv4__tcp_wmem="4096 x 6291456\n",
        proc__sys__net__ipv4__tcp_window_scaling="0\n",
        proc__sys__net__ipv4__tcp_congestion_control="cubic\n",
        proc__sys__net__ipv4__tcp_available_congestion_control="reno cubic\n",
        proc__sys__net__core__rmem_max="212992\n",
    )
    for name, text in (("aio-max-nr", "65536\n"), ("aio-nr", "65000\n")):
        (Path(base) / "proc/sys/fs").mkdir(exist_ok=True)
        (Path(base) / "proc/sys/fs" / name).write_text(text)
    root(sys__devices__system__node__online="0-3,8\n", sys__devices__system__cpu__online="0-127\n")
    facts = system.examine_system(base)
    assert facts.cpu_flags == "aes avx512f vaes"
    assert (facts.tcp_rmem, facts.tcp_wmem) == ((4096, 131072, 6291456), None)
    assert (facts.has_window_scaling, facts.has_autotuning) == (False, None)
    assert (facts.congestion, facts.congestions) == ("cubic", "reno cubic")
    assert (facts.aio_free, facts.n_nodes, facts.n_cpus_online) == (536, 5, 128)


def test_the_fastest_real_device_that_is_up_is_picked(root):
    base = root(**{f"{NET}lo__operstate": "unknown", f"{NET}down0__operstate": "down",
                   f"{NET}down0__speed": "400000", f"{NET}down0__device__numa_node": "0",
                   f"{NET}eth0__operstate": "up", f"{NET}eth0__speed": "1000",
                   f"{NET}eth0__device__numa_node": "0",
                   f"{NET}eth1__operstate": "up", f"{NET}eth1__speed": "100000",
                   f"{NET}eth1__device__numa_node": "1", f"{NET}virt0__operstate": "up",
                   f"{NET}virt0__speed": "200000"})  # fmt: skip
    assert network.pick_device(base) == "eth1"


def test_a_vlan_on_a_bond_has_the_place_of_what_it_lies_on(root):
    base = root(**{f"{NET}vlan7__speed": "200000", f"{NET}vlan7__mtu": "9000", f"{NET}bond0__speed": "200000",
                   f"{NET}eth0__device__numa_node": "1",
                   f"{NET}eth0__device__local_cpulist": "8-15"})  # fmt: skip
    for upper, lower in (("vlan7", "bond0"), ("bond0", "eth0")):
        (Path(base) / f"sys/class/net/{upper}/lower_{lower}").symlink_to(f"../{lower}")
    assert network.examine_device("vlan7", base) == {
        "device": "vlan7", "device_bits_per_s": 200 * 10**9, "device_mtu": 9000, "device_node": 1,
        "device_cpus": "8-15",
    }  # fmt: skip


def test_devices_that_lie_on_each_other_in_a_circle(root):
    base = root(**{f"{NET}a__mtu": "1500"})
    (Path(base) / "sys/class/net/a/lower_a").symlink_to("../a")
    assert network.examine_device("a", base)["device_node"] is None


@pytest.mark.parametrize("speed", ["-1", "0", "", "4294967295x"])
def test_speeds_that_are_none(root, speed):
    assert network.examine_device("eth0", root(**{f"{NET}eth0__speed": speed}))["device_bits_per_s"] is None


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /scratch rw - lustre mgs@tcp:/scratch rw
31 22 0:41 / /a\\040b rw master:1 - nfs4 server:/ rw
32 22 0:42 / /scratch rw - xfs /dev/sdb rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [(b"/", "ext4"), (b"/home/x", "ext4"), (b"/scratch", "xfs"), (b"/scratch/run", "xfs"),
     (b"/scratch2", "ext4"), (b"/a b/c", "nfs4")],
)  # fmt: skip
def test_file_system_is_that_of_the_longest_mount(root, path, kind):
    assert directory.find_file_system(path, root(proc__self__mountinfo=MOUNTS)) == kind


@pytest.mark.parametrize(
    "path", [b"/no/such/place", b"/etc/passwd", b"/dev/null", b"a\0b", b"~nobody-at-all/x"]
)
def test_what_is_no_directory_is_told(path):
    facts = directory.examine_directory(path)
    assert set(facts) == {"path_error"} and facts["path_error"]


def test_directories_that_take_no_file(tmp_path):
    facts = directory.examine_directory(b"/proc")
    assert facts["is_writable"] is False and facts["direct_error"]


def test_a_file_system_without_nameless_files(tmp_path, monkeypatch):
    really = os.open

    def refuse(path, flags, *rest, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "not supported")
        return really(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert directory.examine_directory(os.fsencode(tmp_path))["is_writable"]
    assert list(tmp_path.iterdir()) == []


def test_o_direct_that_is_refused_is_told(tmp_path):
    """A descriptor that can't be written to stands for a file system that refuses."""
    (tmp_path / "a").write_bytes(bytes(100_000))
    with open(tmp_path / "a", "rb") as file:
        assert directory.try_direct(file.fileno()) == "bad file descriptor"


@pytest.mark.parametrize(
    ("peer", "own", "device"),
    [("127.0.0.1", "", "lo"), ("127.0.0.1", "127.0.0.1", "lo"),
     ("::ffff:127.0.0.1", "::ffff:127.0.0.1", "lo"),
     ("127.0.0.1", "192.0.2.77", "lo"), ("fe80::1%eth9", "", "eth9"), ("no address", "", None),
     ("", "", None)],
)  # fmt: skip
def test_device_of_a_route(peer, own, device):
    assert network.find_device(peer, own) == device


def test_connection():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        route = network.examine_connection(sock)
    assert 0 < route.rtt_s < 1
    assert route.mtu >= 1280 and route.has_window_scaling is True and route.n_lost == 0


def test_a_socket_of_the_tunnel_tells_nothing():
    near, far = socket.socketpair()
    with near, far:
        assert network.examine_connection(near) == NO_ROUTE


def test_ssh(tmp_path):
    assert system.read_ssh_version("ssh").startswith("OpenSSH_")
    assert system.read_ssh_version(str(tmp_path / "none")) is None
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    assert system.read_ssh_version(str(silent)) is None

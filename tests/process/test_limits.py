"""--cpumask and --nodemask reach the kernel: read back from /proc, for the process and a stream's thread."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from escp.process.limits import find_nodes
from escp.process.numbers import show_numbers

CPUS = sorted(os.sched_getaffinity(0))
NODES = sorted(find_nodes())
has_numa = os.path.exists("/proc/self/numa_maps")
needs_numa = pytest.mark.skipif(not has_numa, reason="this kernel knows no NUMA nodes")


def run_bound(cpumask, nodemask, code=""):
    """Bind a process of its own, and let it run *code*; how it ended."""
    start = f"from escp.process.limits import apply_affinity\napply_affinity({cpumask}, {nodemask})\n"
    command = [sys.executable, "-c", start + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


# A plane of a send to nobody: its threads are native ones, its buffers are mapped and touched.
SEND = """
    import os, re, socket, tempfile, threading, time
    from escp._fast.crypto.channel import Channel
    from tests.support.planes import send_plane

    ends = socket.socketpair()
    plane = send_plane(n_streams=1, block_bytes=1 << 20, is_direct=False)
    plane.attach(ends[0].fileno(), Channel(bytes(32), 0, is_sender=True, block_bytes=1 << 20))
    file = tempfile.NamedTemporaryFile()
    file.truncate(64 << 20)
    plane.start()
    plane.add_source(file.name.encode(), b"x")
    plane.end_sources()
    ends[1].recv(1 << 20)
    time.sleep(0.3)
    me = threading.get_native_id()
    tasks = [int(task) for task in os.listdir("/proc/self/task") if int(task) != me]
    for task in [me, *tasks]:
        status = open(f"/proc/self/task/{task}/status").read()
        print("cpus", re.search(r"Cpus_allowed_list:\\s*(\\S+)", status)[1])
    for line in open("/proc/self/numa_maps") if os.path.exists("/proc/self/numa_maps") else ():
        pages = re.search(r" anon=(\\d+)", line)
        if pages and int(pages[1]) >= 256:
            print("policy", line.split()[1])
    plane.stop()
    plane.join()
"""


def test_cpus_are_those_of_the_mask_in_every_thread():
    cpu = CPUS[-1]
    done = run_bound(1 << cpu, None, SEND)
    cpus = re.findall(r"^cpus (.*)$", done.stdout, re.M)
    assert len(cpus) >= 3 and set(cpus) == {str(cpu)}, (done.stdout, done.stderr)


def test_without_a_mask_nothing_is_bound():
    done = run_bound(None, None, SEND)
    assert set(re.findall(r"^cpus (.*)$", done.stdout, re.M)) == {show_numbers(set(CPUS))}, done.stderr
    assert "bind" not in done.stdout


@needs_numa
def test_buffers_of_streams_are_bound_to_the_nodes():
    done = run_bound(None, 1 << NODES[0], SEND)
    policies = re.findall(r"^policy (.*)$", done.stdout, re.M)
    assert policies and set(policies) == {f"bind:{NODES[0]}"}, (done.stdout, done.stderr)


def test_cpus_and_nodes_that_are_not_there_do_no_harm_beside_others():
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    done = run_bound(1 << CPUS[0] | 1 << 1000, (1 << NODES[0] | 1 << 999) if has_numa else None, code)
    assert done.stdout.strip() == str([CPUS[0]]), done.stderr


@pytest.mark.parametrize(
    ("masks", "option", "here"),
    [((1 << 1010 | 1 << 1011, None), "--cpumask: none of the CPUs 1010-1011", CPUS),
     ((None, 1 << 1010), "--nodemask: none of the nodes 1010", NODES)],
)  # fmt: skip
def test_masks_of_nothing_name_what_there_is(masks, option, here):
    code = "print('not reached')"
    done = run_bound(*masks, code)
    assert "UsageError: option " + option in done.stderr and not done.stdout
    code = f"""
        import escp.process.limits, escp.errors
        try:
            escp.process.limits.apply_affinity{masks}
        except escp.errors.UsageError as e:
            print(e.hint)
    """
    assert run_bound(None, None, code).stdout.strip() == f"this process may use {show_numbers(set(here))}"


def test_a_kernel_that_refuses_is_told_as_the_option():
    # A seccomp filter that answers EPERM to set_mempolicy, as containers' do.
    code = """
        import ctypes, struct
        libc = ctypes.CDLL(None, use_errno=True)
        rules = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
        bpf = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(program))
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, bpf) == 0
        apply_affinity(None, {mask})
    """
    number = {"x86_64": 238, "aarch64": 237}[os.uname().machine]
    done = run_bound(None, None, code.format(number=number, mask=1 << NODES[0]))
    assert "UsageError: option --nodemask: operation not permitted" in done.stderr, done.stderr

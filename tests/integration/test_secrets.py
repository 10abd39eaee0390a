"""The session's secret goes through the agent's stdin and appears nowhere else."""

import base64
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.command import DRIVER, local, needs_source, remote
from tests.leftovers import find_agents, find_processes
from tests.proxy import Proxy
from tests.trees import write_random

pytestmark = needs_source  # the driver makes the secret a known one
SECRET = bytes(range(0x70, 0x90))


def forms_of(secret: bytes) -> list[bytes]:
    """The ways in which it, or a half of it, might be written."""
    forms = []
    for part in (secret, secret[:16], secret[16:]):
        spelled = part.hex()
        forms += [part, spelled.encode(), spelled.upper().encode(), base64.b64encode(part).rstrip(b"="),
                  base64.urlsafe_b64encode(part).rstrip(b"="), repr(part)[2:-1].encode()]  # fmt: skip
    return forms


def assert_hidden(data: bytes, where: str) -> None:
    for form in forms_of(SECRET):
        assert form not in data, f"the secret is in {where}"


def test_forms_are_found_where_they_are():
    with pytest.raises(AssertionError):
        assert_hidden(b"xx" + SECRET.hex().encode() + b"yy", "a test")


@pytest.mark.parametrize("verbosity", ["-v", "-vvv"])
def test_secret_is_nowhere_but_in_memory(escp, source, target, folder, verbosity):
    write_random(source / "a", 1_500_000)
    log = folder / "log"
    env = escp.write_driver(secret=SECRET.hex())
    process = escp.start(
        "-l", "500K", verbosity, "--json", "--logfile", log, source / "a", remote(target),
        env=env, command=[sys.executable, str(DRIVER)],
    )  # fmt: skip
    while True:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        assert_hidden(line, "the JSON output")
        if b'"start"' in line:
            break
    time.sleep(0.5)
    agents = find_agents(escp.mark)
    assert len(agents) == 1
    processes = find_processes(escp.mark)
    assert {process.pid, *agents} < set(processes)  # and ssh
    for pid, line in processes.items():
        for name in ("cmdline", "environ", "comm", "status", "maps"):
            assert_hidden(Path(f"/proc/{pid}/{name}").read_bytes(), f"{name} of {line}")
        for fd in os.listdir(f"/proc/{pid}/fd"):
            name = os.readlink(f"/proc/{pid}/fd/{fd}")
            assert "/" not in name or name.startswith(("/dev/", "/proc/", tempfile.gettempdir())), name
    for pid in (process.pid, *agents):
        assert Path(f"/proc/{pid}/limits").read_text().split("Max core file size")[1].split()[:2] == [
            "0",
            "0",
        ]
    done = escp.finish(process)
    assert done.code == 0
    assert_hidden(done.out.encode() + done.err.encode(), "what was printed")
    assert log.read_text()
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            if path.name not in ("driver.json", "a"):  # the test's own settings
                assert_hidden(path.read_bytes(), str(path))


def test_secret_of_the_driver_is_the_one_in_use(escp, source, target):
    """Or the test above would look for something that is nowhere anyway."""
    from escp.transfer import PREAMBLE, Streams

    write_random(source / "a", 10)
    with Proxy(escp.port) as proxy:
        env = escp.write_driver(secret=SECRET.hex(), ports={str(escp.port): proxy.port})
        escp.copy(
            source / "a", local(target), is_embedded=True, env=env, command=[sys.executable, str(DRIVER)]
        )
    streams = Streams(SECRET, n_streams=4, block_bytes=1 << 20, is_sender=True, backend="openssl")
    for stream, hello in proxy.hellos.items():
        assert hello[PREAMBLE.size :] == streams.hello(streams.make_channel(stream))

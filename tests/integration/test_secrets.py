"""The session's secret goes through the agent's stdin and appears nowhere else."""

import base64
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.command import AGENT_COMMAND, DRIVER, local, needs_source, remote
from tests.support.leftovers import find_agents, find_processes
from tests.support.proxy import Proxy
from tests.support.trees import write_random

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
    command = f'exec {shlex.join(AGENT_COMMAND)} --logfile {folder}/agent.log "$@"'
    process = escp.start(
        "-l", "500K", verbosity, "--json", "--logfile", log, source / "a", remote(target),
        env=env, command=[sys.executable, str(DRIVER)], agent=escp.write_agent("logging", command=command),
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
    assert log.read_text() and (folder / "agent.log").read_text()
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            if path.name not in ("driver.json", "a"):  # the test's own settings
                assert_hidden(path.read_bytes(), str(path))


def test_secret_of_the_driver_is_the_one_in_use(escp, source, target):
    """Or the test above would look for something that is nowhere anyway."""
    from escp.streams.streams import PREAMBLE, Streams

    write_random(source / "a", 10)
    with Proxy(escp.port) as proxy:
        env = escp.write_driver(secret=SECRET.hex(), ports={str(escp.port): proxy.port})
        escp.copy(
            source / "a", local(target), is_embedded=True, env=env, command=[sys.executable, str(DRIVER)]
        )
    streams = Streams(SECRET, n_streams=4, block_bytes=1 << 20, is_sender=True, backend="openssl")
    for stream, hello in proxy.hellos.items():
        assert hello[PREAMBLE.size :] == streams.hello(streams.make_channel(stream))


# ---- From its first moment, and no longer than it is needed -----------------------------------------

WAYS = {
    "push": lambda path, target: [path, remote(target)],
    "pull": lambda path, target: [remote(path), target],
    "-3": lambda path, target: [remote(path), remote(target)],
    "-R": lambda path, target: ["-R", remote(path), remote(target)],
}
# An initiator or an agent that notes whether it may be dumped, and its limit, when the secret comes to it.
WITNESS = """
import ctypes, os, resource, sys
notes = os.environ["ESCP_TEST_NOTES"]
def note():
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
    with open(notes, "a") as file:
        file.write(f"{'agent' if '--server' in sys.argv else 'own'} {dumpable} "
                   f"{resource.getrlimit(resource.RLIMIT_CORE)[0]}\\n")
import escp.cli.main, escp.agent.service
urandom, make_link = os.urandom, escp.agent.service.Service._make_link
def make_secret(n):
    if n == 32:
        note()
    return urandom(n)
def take_secret(self, link):
    note()
    make_link(self, link)
os.urandom, escp.agent.service.Service._make_link = make_secret, take_secret
os._exit(escp.cli.main.main())
"""


@pytest.mark.parametrize("way", WAYS)
def test_no_process_that_has_the_secret_can_be_dumped_or_read(escp, source, target, folder, way):
    """At both ends, from the moment that it is there: PR_SET_DUMPABLE, which also closes /proc/PID/mem."""
    write_random(source / "a", 1000)
    program, notes = folder / "witness.py", folder / "notes"
    program.write_text(WITNESS)
    lines = [f"export ESCP_TEST_NOTES={notes}"]
    agent = escp.write_agent("witness", *lines, command=f'exec {sys.executable} {program} "$@"')
    escp.copy(*WAYS[way](source / "a", target), agent=agent, env={"ESCP_TEST_NOTES": str(notes)},
              command=[sys.executable, str(program)])  # fmt: skip
    n_agents = 2 if way[0] == "-" else 1
    # The session's, that of each control channel that may come back, and each leg's of a relay.
    n_secrets = {"-3": 5, "-R": 3}.get(way, 2)
    assert sorted(notes.read_text().splitlines()) == ["agent 0 0"] * n_agents + ["own 0 0"] * n_secrets


def test_ssh_dumps_no_core(escp, source, target):
    """The secret passes through its memory."""
    write_random(source / "a", 1_500_000)
    process = escp.start("-l", "500K", "--json", source / "a", remote(target))
    assert b'"start"' in process.stdout.readline()
    children = {pid for pid, line in find_processes(escp.mark).items() if line.startswith("ssh ")}
    assert children
    for pid in children:
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert limits.split("Max core file size")[1].split()[0] == "0"
    assert escp.finish(process).code == 0


# An initiator that looks who still has the secret when the data begins to flow.
FORGETFUL = """
import gc, os, sys
import escp.cli.main, escp.ui.report
SECRET = bytes(range(0x70, 0x90))
urandom = os.urandom
os.urandom = lambda n: SECRET if n == len(SECRET) else urandom(n)
begin = escp.ui.report.Report.begin
def look(self, *words):
    gc.collect()
    holders = [one for one in gc.get_referrers(SECRET) if one is not globals()]
    with open(sys.argv.pop(1), "w") as file:
        file.write(f"{len(holders)} {holders!r:.500}")
    begin(self, *words)
escp.ui.report.Report.begin = look
os._exit(escp.cli.main.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("way", WAYS)
def test_initiator_has_forgotten_the_secret_when_the_data_flows(escp, source, target, folder, way):
    """Its channels have what they need; between two hosts nothing here needs anything."""
    write_random(source / "a", 1000)
    program, notes = folder / "forgetful.py", folder / "notes"
    program.write_text(FORGETFUL)
    escp.copy(*WAYS[way](source / "a", target), command=[sys.executable, str(program), str(notes)])
    assert notes.read_text().split()[0] == "0", notes.read_text()

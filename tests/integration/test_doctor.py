"""`escp --doctor` between two hosts: what it finds, what an agent may tell, and what is left afterwards."""

import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from escp.ui.jsonlines import JsonUi
from tests.support.command import COMMAND, ROOT, Escp, local, needs_source, remote
from tests.support.folders import new_folder
from tests.support.netns import Namespace, join, why_none
from tests.support.sshd import Sshd

STATUSES = {"ok", "note", "warning", "problem"}
DOCUMENT = (ROOT / "docs" / "json.md").read_text()


def examine(escp: Escp, *words: object, code: int | None = None, **start: object) -> dict:
    """Findings by (scope, subject), from a run with --json, checked as the document describes them."""
    done = escp.run("--doctor", "--json", *words, **start)
    *lines, result = done.json
    assert done.code in (0, 1) if code is None else done.code == code, (done.out, done.err)
    assert result["type"] == "result" and result["exit_code"] == done.code
    found = {}
    for line in lines:
        assert line.pop("type") == "finding"
        assert set(line) == {"scope", "host", "subject", "status", "value", "number", "advice", "time"}
        assert f"`{line['subject']}`" in DOCUMENT, line
        assert line["status"] in STATUSES and line["value"]
        assert (line["advice"] is None) == (line["status"] == "ok")
        assert (line["host"] is None) == (line["scope"] == "local")
        assert (line["scope"], line["subject"]) not in found
        found[line["scope"], line["subject"]] = line
    if done.code in (0, 1):
        assert (done.code == 1) == any(line["status"] == "problem" for line in found.values())
    escp.assert_nothing_left()
    return found


def test_this_host_alone(escp, folder):
    found = examine(escp, folder)
    assert {scope for scope, _ in found} == {"local"}
    assert found["local", "aead"]["number"] > 10**7
    assert found["local", "directory"]["status"] == "ok"
    assert found["local", "tcp_rmem"]["number"] > 0
    assert {path.name for path in folder.iterdir()} == {"agent", "home"}


def test_both_hosts_and_the_way_between_them(escp, target, sshd):
    n_logins = sshd.n_logins
    found = examine(escp, remote(target), code=0)
    assert sshd.n_logins == n_logins + 1
    assert {scope for scope, _ in found} == {"local", "remote", "route"}
    for subject in ("escp", "ssh", "kernel", "cpu", "aead", "directory", "tcp_rmem", "device", "open_files"):
        assert ("local", subject) in found and ("remote", subject) in found
    assert found["route", "data_port"]["value"] == f"127.0.0.1 port {escp.port}"
    assert 0 < found["route", "rtt"]["number"] < 1
    assert found["remote", "device"]["value"].startswith("lo,")
    assert list(target.iterdir()) == [] and list(escp.home.iterdir()) == []


def test_the_log_of_the_agent_tells_of_no_failure(escp, target):
    log = escp.folder / "log"
    agent = escp.write_agent("logging", command=f'exec {shlex.join(COMMAND)} --logfile {log} "$@"')
    examine(escp, remote(target), agent=agent, code=0)
    events = [line.split()[2] for line in log.read_text().splitlines()]
    assert events == ["start", "examined"]


def test_text_fits_80_columns_and_has_no_colour(escp, target):
    done = escp.run("--doctor", "/", remote(target))
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line for line in lines[:-1] if not line.startswith(" ")] == [
        "this host", "box", "between this host and box",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 80 and all(map(str.isprintable, lines))
    assert re.fullmatch(r"nothing to improve|\d+ \w+s?(, \d+ \w+s?)*", lines[-1])


def test_quiet_tells_what_matters_only(escp, target):
    done = escp.run("-q", "--doctor", remote(target))
    assert done.code == 0
    assert not re.search(r"^  (ok|note) ", done.out, flags=re.MULTILINE)


def test_a_word_without_a_colon_is_a_host_unless_it_is_a_directory_here(escp, target):
    found = examine(escp, "box")
    assert found["remote", "directory"]["host"] == "box"  # the home directory
    found = examine(escp, "target", cwd=target.parent)
    assert {scope for scope, _ in found} == {"local"}


def test_embedded(escp, target):
    assert ("remote", "aead") in examine(escp, local(target), is_embedded=True)


@pytest.mark.parametrize("words", [["a:", "b:"], ["/a", "/b"], ["a:", "/b", "/c"]])
def test_operands_that_make_no_sense(escp, words):
    assert "--doctor" in escp.fail(2, "--doctor", *words).error


@pytest.mark.parametrize(("path", "reason"), [("none", "no such file"), ("file", "not a directory")])
def test_a_directory_that_is_none_is_a_problem(escp, target, path, reason):
    (target / "file").touch()
    found = examine(escp, target / path, remote(target / path), code=1)
    for scope in ("local", "remote"):
        assert found[scope, "directory"]["status"] == "problem"
        assert reason in found[scope, "directory"]["value"]


# ---- When the other host does not answer, or not as it should -----------------------------------------


def test_a_host_that_can_not_be_reached_fails_as_in_a_copy_after_what_is_known_here(escp):
    done = escp.fail(10, "--doctor", "-o", "ProxyCommand=false", "box")
    assert "could not log in to box" in done.error
    assert "this host\n" in done.out and "tcp_rmem" in done.out


def test_no_escp_there(escp, folder):
    done = escp.fail(11, "--doctor", "box", agent=folder / "none")
    assert "there is no escp on box" in done.error


@needs_source
def test_an_older_agent_is_named_and_the_way_is_examined_all_the_same(escp, folder):
    old = "import escp.agent.agent as a; a.FEATURES = ['zstd']; a.PROTOCOL_MINOR = 0; a.run_agent()"
    agent = escp.write_agent("old", command=f'exec {sys.executable} -c "{old}"')
    found = examine(escp, "box", agent=agent, code=0)
    assert found["remote", "escp"]["status"] == "warning"
    assert "(protocol 1.0): it can't examine its host" in found["remote", "escp"]["value"]
    assert found["route", "data_port"]["status"] == "ok" and found["route", "rtt"]["number"]


def write_liar(escp: Escp, facts: list[str]) -> Path:
    """An agent that tells these facts."""
    program = escp.folder / "liar.py"
    program.write_text(
        f"import escp.facts.facts; escp.facts.facts.encode_facts = lambda _: {facts!r}\n"
        "import escp.agent.agent; escp.agent.agent.run_agent()\n"
    )
    return escp.write_agent("liar", command=f"exec {sys.executable} {program}")


@needs_source
def test_hostile_facts_are_escaped(escp):
    facts = ["kernel=Linux\x1b[2J\rx", "congestion=\u202ecubic", "direct_error=a\nas root:\nreboot",
             "path_error=", "is_writable=0", "device=x;reboot", "device_mtu=1500", "n_nodes=2"]  # fmt: skip
    done = escp.run("--doctor", "box", agent=write_liar(escp, facts))
    assert done.code == 0, done.err
    assert all(map(str.isprintable, done.out.splitlines()))
    assert "\\x1b[2J" in done.out and "x;reboot" not in done.out
    assert not re.search(r"^ *reboot", done.out, flags=re.MULTILINE)


@needs_source
@pytest.mark.parametrize(
    "facts", [["n_cpus=many"], ["n_cpus"], ["kernel=" + "x" * 1000], ["x=" + str(i) for i in range(5000)]]
)
def test_facts_that_are_none_are_refused(escp, facts):
    escp.fail(12, "--doctor", "box", agent=write_liar(escp, facts))


@needs_source
@pytest.mark.parametrize("said", ["Roots([0], [b'a'], [0], False, True)", "Examined(['n_cpus=1'])"])
def test_an_agent_that_tells_what_nobody_asked_for_is_refused(escp, said):
    program = escp.folder / "talker.py"
    program.write_text(
        "import escp.agent.agent as a\nfrom escp.control.messages import *\ntell = a.Agent._tell\n"
        "def twice(self, message):\n    tell(self, message)\n"
        f"    if isinstance(message, Hello): tell(self, {said})\n"
        "a.Agent._tell = twice\na.run_agent()\n"
    )
    agent = escp.write_agent("talker", command=f"exec {sys.executable} {program}")
    assert "nobody asked for" in escp.fail(12, "--doctor", "box", agent=agent).error


def test_every_word_of_a_finding_is_in_the_document():
    assert all(f"`{status}`" in DOCUMENT for status in STATUSES)
    assert JsonUi.finding


# ---- Over a network of its own --------------------------------------------------------------------------

pytest_reason = why_none()
needs_network = pytest.mark.skipif(bool(pytest_reason), reason=pytest_reason or "none")
HERE, BOX = "10.88.0.1", "10.88.0.2"
MTU = 1300


class Network:
    """here and box, with a cable of a small MTU."""

    def __init__(self, folder: Path):
        self.here, self.box = Namespace(folder), Namespace(folder)
        join(self.here, "cable0", [f"{HERE}/24"], self.box, "cable1", [f"{BOX}/24"])
        self.here.ip(f"link set cable0 mtu {MTU}")
        self.box.ip(f"link set cable1 mtu {MTU}")
        for host in (self.here, self.box):
            host.run("mount", "-t", "sysfs", "sysfs", "/sys")  # that of its own devices
        self.sshd = Sshd(folder, prefix=self.box.prefix, address=BOX, port=22)

    def stop(self) -> None:
        self.sshd.stop()
        self.here.stop()
        self.box.stop()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with new_folder("escp-doctor-") as folder:
        one = Network(folder)
        yield one
        one.stop()


@pytest.fixture
def far(folder: Path, network: Network) -> Iterator[Escp]:
    with Escp(folder, network.sshd) as one:
        yield one
        network.box.run("nft", "flush", "ruleset")


@needs_network
def test_buffers_are_held_against_the_measured_delay(far, network):
    """This kernel can't delay packets; buffers that are too small for a delay of 0.1 ms are the same."""
    network.box.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 8192 8192")
    network.box.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
    found = examine(far, "-t", "1", "box", prefix=network.here.prefix, code=0)
    assert found["local", "device"]["value"] == "cable0, 10 Gbit/s"  # what veth says of itself
    assert found["remote", "device"]["value"] == "cable1, 10 Gbit/s"
    assert found["route", "bandwidth"]["number"] == 10**10
    assert found["local", "mtu"]["number"] == found["route", "path_mtu"]["number"] == MTU
    assert found["remote", "congestion"]["value"].startswith("reno")
    assert 0 < found["route", "rtt"]["number"] < 0.1
    buffer = found["remote", "tcp_rmem"]
    assert (buffer["status"], buffer["number"]) == ("warning", 8192)
    assert "as root on box:\nsysctl -w net.ipv4.tcp_rmem='4096 8192 " in buffer["advice"]
    assert found["local", "tcp_rmem"]["number"] != 8192


@needs_network
def test_blocked_ports_are_a_problem_that_names_them(far, network):
    network.box.load_rules(
        "table inet wall {\n chain in {\n type filter hook input priority 0;\n"
        " tcp dport 1024-65535 ct state new drop\n }\n}\n"
    )
    begin_s = time.monotonic()
    found = examine(far, "box", prefix=network.here.prefix, code=1)
    assert time.monotonic() - begin_s < 20
    port = found["route", "data_port"]
    assert port["status"] == "problem" and "only ssh" in port["value"]
    assert (
        f"{BOX} port {far.port}" in port["advice"] and f"{far.port}-{far.port + 10} of box" in port["advice"]
    )
    assert found["route", "rtt"]["value"].endswith("(through ssh)")
    assert ("remote", "aead") in found
    assert found["remote", "device"]["value"].startswith("cable1,")
    # The other direction is open.
    found = examine(far, "--reverse", "box", prefix=network.here.prefix, code=0)
    assert found["route", "data_port"]["value"] == f"this host port {far.port}"


@needs_network
def test_ports_are_not_tried_where_the_user_wants_the_tunnel(far, network):
    found = examine(far, "--tunnel=always", "box", prefix=network.here.prefix, code=0)
    assert found["route", "data_port"]["status"] == "note"

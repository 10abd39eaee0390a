"""escp.connect(): one login, and any number of copies over it, one after the other and at once."""

import contextlib
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import escp as library
from escp import errors
from escp.remote.filelink import FileLink
from tests.api.test_copy import LARGE, OwnError, login
from tests.support.command import ROOT
from tests.support.leftovers import find_agents, find_processes
from tests.support.trees import list_tree, write_random
from tests.support.waiting import wait_for


@pytest.fixture
def remote(escp):
    with library.connect("box", **login(escp)) as one:
        yield one
    escp.assert_nothing_left()


def test_many_copies_with_one_login(escp, sshd, source, target):
    for number in range(20):
        write_random(source / str(number), 1000 * number, seed=number)
    n_before = sshd.n_logins
    with library.connect("box", **login(escp)) as remote:
        for name in "abc":
            done = remote.put(source, target / name, recursive=True)
            assert done.ok and done.files == 20 and done.verified
        (target / "here").mkdir()
        done = remote.get([target / "a", target / "b/3"], target / "here", recursive=True)
        assert done.ok and done.files == 21
        assert not find_agents(escp.mark).keys() - {
            min(find_agents(escp.mark))
        }  # those of the copies are gone
    assert sshd.n_logins == n_before + 1
    for name in ("a", "b", "c", "here/a"):
        assert list_tree(target / name) == list_tree(source)
    escp.assert_nothing_left()


def test_paths_are_relative_to_the_home_directory(escp, remote, source):
    write_random(source / "a", 5000)
    assert remote.put(source / "a").ok
    assert remote.put(source / "a", "b").ok
    assert {"a", "b"} <= set(os.listdir(escp.home))
    assert remote.get("b", source / "c").ok
    assert (source / "c").read_bytes() == (source / "a").read_bytes()


@pytest.mark.parametrize("name", ["x:y", "-", "--recursive", "scp://x", os.fsdecode(b"\xff")])
def test_names_mean_what_they_are(escp, remote, source, name, monkeypatch):
    monkeypatch.chdir(source)
    (source / name.rpartition("/")[2]).write_text("x")
    name = name.rpartition("/")[2]
    assert remote.put(name, f"./{name}").ok
    assert remote.get(f"./{name}", "there").ok
    assert (source / "there").read_text() == "x"


@pytest.mark.parametrize("way", [{}, {"tunnel": "always"}, {"reverse": True}])
def test_several_at_once(escp, source, target, way):
    write_random(source / "a", 3_000_000)
    results = []
    with library.connect("box", **login(escp), **way) as remote:

        def run(number):
            results.append(remote.put(source / "a", target / str(number)))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 6 and all(done.ok for done in results)
    assert all((target / str(n)).read_bytes() == (source / "a").read_bytes() for n in range(6))
    escp.assert_nothing_left()


def test_each_copy_has_a_secret_of_its_own(escp, remote, source, target, monkeypatch):
    from escp.remote.agentlink import AgentLink

    secrets = []
    send_of = AgentLink.__init__

    def init(self, *args):
        send_of(self, *args)
        send = self.send

        def note(message):
            if hasattr(message, "secret"):
                secrets.append(message.secret)
            send(message)

        self.send = note

    monkeypatch.setattr(AgentLink, "__init__", init)
    write_random(source / "a", 1000)
    for name in "abc":
        assert remote.put(source / "a", target / name).ok
    assert len(set(secrets)) == len(secrets) == 3


def test_what_ends_a_copy_ends_no_connection(remote, source, target):
    write_random(source / "a", LARGE)
    write_random(source / "b", 1000)
    cancel = threading.Event()

    def stop(now):
        cancel.set()

    with pytest.raises(errors.RemoteFileError):
        remote.put(source / "b", target / "absent" / "b")
    with pytest.raises(library.CancelledError):
        remote.put(source / "a", target / "a", limit="2MB", progress=stop, cancel=cancel)
    with pytest.raises(OwnError):
        remote.put(source / "a", target / "a", limit="2MB", progress=fail)
    with pytest.raises(errors.TimeUpError, match="given"):
        remote.put(source / "a", target / "a", limit="2MB", timeout=1)
    with pytest.raises(errors.UsageError):
        remote.put(source / "a", target / "a", paralel=3)
    assert not remote.get([target / "none", target / "neither"], source).ok
    assert list_tree(target) == {}
    assert remote.put(source / "b", target / "b", expected_digest=library.digest(source / "b")).ok


def fail(_):
    raise OwnError


def test_timeouts_are_the_connections_or_none_or_their_own(escp, source, target):
    write_random(source / "a", 6_000_000)
    with library.connect("box", timeout=1.5, limit="2MB", **login(escp)) as remote:
        with pytest.raises(errors.TimeUpError):
            remote.put(source / "a", target / "a")
        assert remote.put(source / "a", target / "a", timeout=None).ok
        assert remote.put(source / "a", target / "b", timeout=60).ok
        with pytest.raises(errors.UsageError):
            remote.put(source / "a", target / "b", timeout="1")


def test_login_is_cancelled_and_timed_out():
    words = {"ssh_option": "ProxyCommand=sleep 60", "batch": True}
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(library.CancelledError):
        library.connect("host", cancel=cancel, **words)
    with pytest.raises(errors.TimeUpError):
        library.connect("host", timeout=0.5, **words)
    assert not [t for t in threading.enumerate() if t.name == "escp-connection"]


@pytest.mark.parametrize(
    ("error", "host", "more"),
    [
        (errors.UsageError, "box:", {}),
        (errors.UsageError, "box:dir", {}),
        (errors.UsageError, "", {}),
        (errors.UsageError, "-oProxyCommand=x", {}),
        (errors.UsageError, "scp://box/dir", {}),
        (errors.UsageError, "box", {"paralel": 1}),
        (errors.UsageError, "box", {"timeout": "5"}),
        (errors.UsageError, "box", {"json": True}),
        (errors.UsageError, "box", {"filelist": "/etc/hostname"}),
        (errors.SshError, "host.invalid", {"batch": True}),
        (errors.AgentError, "box", {"escp": "/absent/escp"}),
    ],
)
def test_what_is_wrong_is_raised(escp, error, host, more):
    n_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(error):
        library.connect(host, **{**login(escp), **more})
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == n_before


def test_what_is_the_connections_is_no_copys(remote, source, target):
    write_random(source / "a", 1000)
    for name in ("ssh_port", "escp", "batch", "embedded", "logfile", "filelist", "relay"):
        with pytest.raises(errors.UsageError, match="connection"):
            remote.put(source / "a", target, **{name: 1})


def test_closed_connection(escp, source, target):
    write_random(source / "a", 1000)
    remote = library.connect("box", **login(escp))
    remote.close()
    remote.close()
    escp.assert_nothing_left()
    with pytest.raises(library.EscpError, match="closed"):
        remote.put(source / "a", target)


def test_forgotten_connection_is_closed(escp):
    library.connect("box", **login(escp))
    gc.collect()
    escp.assert_nothing_left()


def test_close_ends_what_still_runs(escp, source, target):
    write_random(source / "a", LARGE)
    remote = library.connect("box", **login(escp))
    raised = []

    def put():
        try:
            remote.put(source / "a", target / "a", limit="2MB", progress=lambda now: started.set())
        except errors.EscpError as e:
            raised.append(e)

    started = threading.Event()
    thread = threading.Thread(target=put)
    thread.start()
    assert started.wait(20)
    remote.close()
    thread.join(20)
    assert len(raised) == 1 and not thread.is_alive()
    escp.assert_nothing_left()
    assert list_tree(target) == {}


def test_lost_login_is_told_to_all(escp, source, target):
    write_random(source / "a", LARGE)
    raised = []
    before = set(children_of_this_process("ssh"))  # of a test whose connection was forgotten
    with library.connect("box", **login(escp)) as remote:

        def put(name):
            try:
                remote.put(source / "a", target / name, limit="2MB", progress=lambda now: started.release())
            except errors.EscpError as e:
                raised.append(e)

        started = threading.Semaphore(0)
        threads = [threading.Thread(target=put, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for _ in range(2):
            assert started.acquire(timeout=20)
        (ssh,) = set(children_of_this_process("ssh")) - before
        os.kill(ssh, signal.SIGKILL)
        for thread in threads:
            thread.join(30)
        assert len(raised) == 2 and all(isinstance(one, errors.NetworkError) for one in raised), raised
        with pytest.raises(errors.NetworkError):
            remote.put(source / "a", target / "c")
    escp.assert_nothing_left()


def children_of_this_process(name):
    lines = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [int(pid) for pid, comm in map(str.split, lines.stdout.splitlines()) if comm == name]


def test_killed_agent_of_one_copy_ends_that_one_only(escp, remote, source, target):
    write_random(source / "a", LARGE)
    own = set(find_agents(escp.mark))

    def kill_new(_):
        for pid in set(find_agents(escp.mark)) - own:
            with contextlib.suppress(ProcessLookupError):  # a frozen agent starts others that end at once
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(errors.NetworkError):
        remote.put(source / "a", target / "a", limit="2MB", progress=kill_new)
    assert remote.put(source / "a", target / "b").ok


def test_answers_that_nobody_asked_for(remote, source, monkeypatch):
    """They are no answers to what is asked later."""
    for size in (1, 2):
        write_random(source / str(size), size)
    send = FileLink.send

    def send_twice(self, question):
        send(self, question)
        self._link.send(question)

    monkeypatch.setattr(FileLink, "send", send_twice)
    with contextlib.suppress(errors.ProtocolError):
        assert remote.stat(source / "1").size == 1
    monkeypatch.undo()
    time.sleep(0.5)
    assert remote.stat(source / "2").size == 2


def find_largest_agent(escp):
    """Bytes that the largest of its agents has in memory."""
    sizes = []
    for pid, line in find_processes(escp.mark).items():
        if "--server" in line:
            status = Path(f"/proc/{pid}/status").read_text()
            sizes.append(int(status.partition("VmRSS:")[2].split()[0]) << 10)
    return max(sizes)


def test_long_connection_needs_no_more_memory(escp, remote, source, target):
    """Whatever has gone through it is kept by neither end."""
    write_random(source / "a", 20_000_000)
    remote.read(source / "a")
    before, own = find_largest_agent(escp), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(6):
        remote.read(source / "a")
        assert remote.put(source / "a", target / "b", tunnel="always").ok
    assert find_largest_agent(escp) < before + 50_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < own + 100_000


def test_idle_connection_stays(escp, remote, source, target, monkeypatch):
    """While the program thinks, both ends say that they are there; neither takes the other for lost."""
    write_random(source / "a", 1000)
    time.sleep(12)
    assert remote.put(source / "a", target / "a").ok


def test_a_connection_stays_with_its_process(escp, source, target):
    write_random(source / "a", 1000)
    with library.connect("box", **login(escp)) as remote:
        pid = os.fork()
        if not pid:
            try:
                remote.put(source / "a", target / "child")
            except library.EscpError:
                remote.close()
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert remote.put(source / "a", target / "a").ok


def test_older_agent_is_refused(escp):
    (escp.folder / "script").write_text("[]")
    script = f"{ROOT}/tests/support/scripted_agent.py {escp.folder}/script"
    agent = escp.write_agent("older", command=f"exec {sys.executable} {script}")
    with pytest.raises(errors.AgentError, match="too old"):
        library.connect("box", **login(escp, {"escp": agent}))


@pytest.mark.parametrize(
    "lines",
    [
        [["ended", {"number": 1, "status": 0}]],
        [["ended", {"number": 99, "status": 0}]],
        [["credit", {"stream": 64, "n": 1}]],
        [["credit", {"stream": 0, "n": 1 << 40}]],
        [["opened", {"names_below": True, "is_in_order": False}]],
        [["await", "begin"], ["ended", {"number": 0, "status": 0}], ["ended", {"number": 0, "status": 0}]],
    ],
)
def test_agent_that_talks_nonsense(escp, source, lines):
    """What it says is checked as everywhere; the connection ends, and says why."""
    (source / "a").write_text("x")
    script = [["features", ["carry"]], ["await", "carry"], *lines]
    (escp.folder / "script").write_text(json.dumps(script))
    command = f"exec {sys.executable} {ROOT}/tests/support/scripted_agent.py {escp.folder}/script"
    with library.connect("box", **login(escp, {"escp": escp.write_agent("liar", command=command)})) as remote:
        with pytest.raises((errors.ProtocolError, errors.AgentError)):
            remote.put(source / "a", "there", timeout=20)
        with pytest.raises(errors.ProtocolError):
            remote.put(source / "a", "there", timeout=20)
    escp.assert_nothing_left()


@pytest.fixture
def hostile(escp):
    """hostile(**lies): a connection with an agent that tells them."""

    def make(**lies: object) -> library.Remote:
        command = f"exec {sys.executable} {ROOT}/tests/support/hostile_agent.py"
        agent = escp.write_agent("hostile", f"export ESCP_TEST_HOSTILE='{json.dumps(lies)}'", command=command)
        return library.connect("box", **login(escp, {"escp": agent}))

    return make


def test_size_that_an_agent_only_says_takes_no_memory(hostile, source):
    write_random(source / "a", 300_000)
    before = resource.getrlimit(resource.RLIMIT_AS)
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    with hostile(file_size=1 << 61) as remote:
        resource.setrlimit(resource.RLIMIT_AS, (n_pages * 4096 + (1 << 30), before[1]))
        try:
            with pytest.raises(errors.RemoteFileError, match="changed while it was read"):
                remote.read(source / "a", timeout=30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", [b"", b"..", b".", b"../x", b"/x", b"a\0"])
def test_names_that_are_none_are_not_listed(hostile, source, name):
    """A program makes paths of them: of files here, or of directories that it goes down."""
    (source / "a").touch()
    with (
        hostile(entries=[name.hex()]) as remote,
        pytest.raises(errors.ProtocolError, match="name that is none"),
    ):
        remote.list(source)


PROGRAM = """
import escp, sys
remote = escp.connect("box", ssh_config=sys.argv[1], escp=sys.argv[2], escp_port=sys.argv[3])
assert remote.put(sys.argv[4], sys.argv[5]).ok
"""


def test_program_that_ends_without_closing(escp, source, target):
    write_random(source / "a", 1000)
    words = [escp.sshd.client_config, escp.agent, str(escp.port), source / "a", target]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, capture_output=True, timeout=60,
                          env={**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    escp.assert_nothing_left()


def test_killed_program_leaves_nothing(escp, source, target):
    write_random(source / "a", LARGE)
    program = PROGRAM.replace(
        "sys.argv[5])", "sys.argv[5], limit='2MB', progress=lambda now: print(flush=True))"
    )
    words = [escp.sshd.client_config, escp.agent, str(escp.port), source / "a", target]
    process = subprocess.Popen([sys.executable, "-c", program, *words], cwd=ROOT, stdout=subprocess.PIPE,
                               env={**os.environ, "ESCP_CONFIG": "", "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert process.stdout.readline()
    process.kill()
    process.communicate()
    wait_for(lambda: not find_processes(escp.mark), 20)

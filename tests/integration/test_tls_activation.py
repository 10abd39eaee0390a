"""escp.service as systemd starts it: with a socket that listens, and with no more of root's than it says."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser

import pytest

from tests.integration.test_tls import place, run, there  # noqa: F401
from tests.support.command import ROOT, needs_source
from tests.support.configuration import copy_environment
from tests.support.tlshost import TlsHost

pytestmark = needs_source
UNITS = ROOT / "packaging" / "systemd"

# As systemd does: what it gives begins with descriptor 3, and is meant for one process.
LAUNCHER = """
import os, sys
given, words = [int(word) for word in sys.argv[1].split(",")], sys.argv[2:]
copies = [os.dup2(fd, 100 + number) for number, fd in enumerate(given)]
for number, fd in enumerate(copies):
    os.dup2(fd, 3 + number)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(copies)))
os.execvp(words[0], words)
"""


def read_unit(name: str) -> ConfigParser:
    unit = ConfigParser(strict=False)
    unit.optionxform = str
    unit.read(UNITS / name)
    return unit


class Activated(TlsHost):
    """Its sockets are made before it, as its units say."""

    def start_with(self, *sockets: socket.socket) -> subprocess.Popen:
        command = [*self._prefix]
        service = read_unit("escp.service")["Service"]
        assert service["ExecStart"].endswith("/escp --listen")
        if os.getuid() == 0:
            kept = service["CapabilityBoundingSet"].replace("CAP_", "+").lower().replace(" ", ",")
            command += ["setpriv", f"--bounding-set=-all,{kept}", "--inh-caps=-all", "--no-new-privs"]
            assert service["NoNewPrivileges"] == "yes"
        given = ",".join(str(sock.fileno()) for sock in sockets)
        command += [sys.executable, "-c", LAUNCHER, given, sys.executable, "-m", "escp"]
        command += ["--tls-dir", str(self.files), "--listen"]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**copy_environment(), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[sock.fileno() for sock in sockets],
            )
        return self.process


@pytest.fixture
def host(place) -> Iterator[Activated]:  # noqa: F811
    with Activated(place) as host:
        yield host


def listen(port: int, family: int = socket.AF_INET, address: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(int(read_unit("escp.socket")["Socket"]["Backlog"]))
    return sock


def test_socket_of_systemd(host, run, source, there):  # noqa: F811
    """Who comes while it starts, or starts again, waits in the socket; a reload is a SIGHUP."""
    (source / "file").write_text("x")
    alice = host.user()
    assert read_unit("escp.socket")["Socket"]["ListenStream"] == "1231"
    with listen(host.port) as sock:
        for signs in (signal.SIGTERM, signal.SIGKILL):
            process = host.start_with(sock)
            run(alice, source / "file", host.place(there))
            (there / "file").unlink()
            host.reload()
            process.send_signal(signs)
            assert process.wait(15) == (0 if signs == signal.SIGTERM else -signs)


def test_several_sockets(host, run, source, there):  # noqa: F811
    (source / "file").write_text("x")
    alice = host.user()
    with listen(host.port) as one, listen(0) as other:
        host.start_with(one, other)
        run(alice, source / "file", host.place(there))
        port = other.getsockname()[1]
        run(alice, source / "file", f"tls://127.0.0.1:{port}/{there}/again")
    assert sorted(os.listdir(there)) == ["again", "file"]


@pytest.mark.parametrize("kind", ["udp", "unix", "file", "connection"])
def test_what_systemd_has_opened_is_something_else(host, place, kind):  # noqa: F811
    with listen(0) as listening, (place / "file").open("wb") as file:
        near, far = socket.create_connection(listening.getsockname()), listening.accept()[0]
        given = {
            "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "unix": socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            "file": file,
            "connection": far,
        }[kind]
        process = host.start_with(given)
        assert process.wait(20) == 2
        for one in (near, far, given):
            one.close()
    assert "escp: error: option --listen: what systemd has opened" in host.log
    assert "Traceback" not in host.log


@pytest.mark.parametrize("n", ["many", "99999999999", "9", "-1"])
def test_number_that_is_none(place, n):  # noqa: F811
    """Of sockets; and those meant for another process are nobody's."""
    code = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execvp(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            sys.executable,
            "-m",
            "escp",
            "--tls-dir",
            str(place / "none"),
            "--listen",
        ],
        env={**copy_environment(), "PYTHONPATH": str(ROOT), "LISTEN_FDS": n},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode in (2, 10, 14) and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.startswith("escp: error: ")

"""One login at the daemon, in a process of its own: handshake, who it is, the agent, and all that it says.

It is to the agent what sshd is. Until the daemon has said "go" it has read nothing but the daemon's files;
then it is the account, and never root again.
"""

import json
import os
import pwd
import socket
import ssl
import time

from escp.constants import SERVER, SHUTDOWN_TIMEOUT_S
from escp.errors import EXIT_REFUSED, EXIT_SSH, EscpError, ProtocolError, describe_errno
from escp.lean import signals
from escp.lean.eventloop import EventLoop
from escp.process.children import LOOK_S, open_end, open_pipes
from escp.process.environment import is_frozen, own_command
from escp.tls import frames
from escp.tls.account import become, find_account, make_environment
from escp.tls.certificate import Certificate
from escp.tls.context import read_peer_certificate
from escp.tls.keyfiles import TlsError
from escp.tls.policy import Policy
from escp.tls.pump import HIGH_BYTES, Pump, explain
from escp.tls.users import Entry

HANDSHAKE_S = 10.0
GO_S = 30.0
LINGER_S = 2.0
MAX_REPORT_BYTES = 64 << 10
GO = b"go\n"
LOST = 255  # as the exit status of ssh
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 20))


def serve(plain: socket.socket, peer: tuple[str, int], policy: Policy, report: socket.socket) -> int:
    """The exit status of the agent, or of a login that came to nothing. *report*: to the daemon."""
    deadline_s = time.monotonic() + HANDSHAKE_S
    try:
        sock = _shake_hands(plain, policy)
    except (OSError, EscpError) as e:
        _tell(report, {"failure": explain(e, whose="this host's") if isinstance(e, OSError) else str(e)})
        return EXIT_SSH
    try:
        certificate = read_peer_certificate(sock)
        sock.settimeout(max(0.1, deadline_s - time.monotonic()))
        entry, account = _admit(certificate, policy, report)
        return _Session(sock, peer, report).run(entry, certificate, account)
    except EscpError as e:
        _tell(report, {"failure": str(e)})
        _refuse(sock, e)
        return e.exit_code
    finally:
        sock.close()


def _shake_hands(plain: socket.socket, policy: Policy) -> ssl.SSLSocket:
    plain.settimeout(HANDSHAKE_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    sock = policy.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    sock.do_handshake()  # the timeout is that of all of it
    return sock


def _admit(
    certificate: Certificate, policy: Policy, report: socket.socket
) -> tuple[Entry, pwd.struct_passwd]:
    """Ask the daemon, once all is known that it has to know. Raises EscpError."""
    told = {"subject": certificate.subject, "names": certificate.names, "serial": f"{certificate.serial:x}",
            "issuer": certificate.issuer.hex(),
            "above": [(issuer.hex(), f"{serial:x}") for issuer, serial in certificate.above]}  # fmt: skip
    _tell(report, {"certificate": told})
    certificate.check_purpose(is_client=True)
    entry = policy.find(certificate)
    account = find_account(entry.account)
    _tell(report, {"account": entry.account, "words": entry.words})
    report.settimeout(GO_S)
    try:
        answer = report.recv(MAX_REPORT_BYTES)
    except OSError:
        answer = b""
    if answer != GO:
        raise TlsError(answer.decode(errors="replace").strip() or "its escp has ended", "try again later")
    return entry, account


def _tell(report: socket.socket, what: dict[str, object]) -> None:
    try:
        report.send(json.dumps(what).encode()[:MAX_REPORT_BYTES])
    except OSError:
        return  # the daemon is gone: so is this session, soon


def _refuse(sock: ssl.SSLSocket, error: EscpError) -> None:
    try:
        sock.settimeout(LINGER_S)
        sock.sendall(
            frames.encode(frames.REFUSED, frames.make_refusal(error.exit_code, str(error), error.hint))
        )
        _linger(sock)
    except OSError:
        return


def _linger(sock: ssl.SSLSocket) -> None:
    """Wait until the other side has read the last words: closing before would take them back."""
    end_s = time.monotonic() + LINGER_S
    sock.setblocking(True)
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(0.2)
    while time.monotonic() < end_s:
        try:
            if not sock.recv(1 << 16):
                return
        except TimeoutError:
            continue


class _Session:
    """From the daemon's "go" to the agent's end."""

    def __init__(self, sock: ssl.SSLSocket, peer: tuple[str, int], report: socket.socket):
        self._sock = sock
        self._report = report
        own = sock.getsockname()
        self._connection = f"{peer[0]} {peer[1]} {_plain(own[0])} {own[1]}"
        self._loop = EventLoop()
        self._pid = 0
        self._status: int | None = None
        self._reason = ""  # why the daemon ends it
        self._words_fd = -1
        self._hears_end = False  # of the agent, by the loop

    def run(self, entry: Entry, certificate: Certificate, account: pwd.struct_passwd) -> int:
        """The agent's exit status. Raises RefusedError, TlsError before there is an agent."""
        if os.geteuid() == 0:
            become(account)
        rules = [f"--{key}={value}" if value else f"--{key}" for key, value in certificate.rules]
        read_fd, write_fd, self._words_fd = self._start([*entry.words, *rules], account)
        pump = Pump(self._loop, self._sock, read_fd, write_fd, self._take, lambda _: pump.close())
        pump.send(frames.ACCEPTED)
        self._loop.watch(self._words_fd, lambda: self._pass_words(pump))
        self._loop.watch(self._report.fileno(), self._hear_daemon)
        while self._status is None and not self._reason:
            self._loop.wait(60.0 if self._hears_end else LOOK_S)
            self._reap()
        if self._status is None:
            hint = "ask the administrator of that host"
            pump.send(frames.REFUSED, frames.make_refusal(EXIT_REFUSED, self._reason, hint))
            self._kill()
        self._pass_rest(pump)
        if not self._reason:
            pump.send(frames.EXIT, bytes([self._status or 0]))
        self._say_last(pump)
        return EXIT_REFUSED if self._reason else self._status or 0

    def _start(self, words: list[str], account: pwd.struct_passwd) -> tuple[int, int, int]:
        """The agent, in this process's group; its output, its input, and what it says on standard error."""
        try:
            os.chdir(account.pw_dir)
        except OSError:
            os.chdir("/")  # as sshd does
        command = own_command()
        if not is_frozen():
            command[1:1] = [] if "-P" in command or "-I" in command else ["-P"]  # not what is in that home
        (agent_in, write_fd), (read_fd, agent_out), (words_fd, agent_err) = open_pipes()
        try:
            self._pid = os.posix_spawn(
                command[0],
                [*command, *words, SERVER],
                make_environment(account, self._connection),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, fd, number)
                    for number, fd in enumerate((agent_in, agent_out, agent_err))
                ],
                setsigdef=[signals.SIGPIPE, signals.SIGHUP, signals.SIGTERM, signals.SIGINT],
            )
        except OSError as e:
            raise TlsError(
                f"its escp can't be started as '{account.pw_name}': {describe_errno(e.errno or 0)}",
                "escp and its Python must lie where every user may run them: ask that host's administrator",
            ) from e
        finally:
            for fd in (agent_in, agent_out, agent_err):
                os.close(fd)
        fd = open_end(self._pid)
        self._hears_end = fd >= 0
        if self._hears_end:
            self._loop.watch(fd, lambda: self._loop.unwatch(fd))  # it only wakes the loop
        return read_fd, write_fd, words_fd

    def _take(self, kind: int, _payload: bytes) -> None:
        raise ProtocolError(f"a user's escp sent a TLS frame of kind {kind}")

    def _pass_words(self, pump: Pump) -> None:
        data = os.read(self._words_fd, frames.MAX_FRAME_BYTES)
        if not data:
            self._loop.unwatch(self._words_fd)
            os.close(self._words_fd)
            self._words_fd = -1
        elif pump.n_pending <= HIGH_BYTES:  # nobody reads them that fast
            pump.send(frames.WORDS, data)

    def _hear_daemon(self) -> None:
        try:
            self._reason = self._report.recv(MAX_REPORT_BYTES).decode(errors="replace").strip()
        except OSError:
            self._reason = ""
        self._reason = self._reason or "that host's escp has ended"
        self._loop.unwatch(self._report.fileno())

    def _reap(self) -> None:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else LOST  # as ssh says it

    def _kill(self) -> None:
        for number in (signals.SIGTERM, signals.SIGKILL):
            try:
                os.kill(self._pid, number)
            except OSError:
                break
            end_s = time.monotonic() + SHUTDOWN_TIMEOUT_S
            while self._status is None and time.monotonic() < end_s:
                time.sleep(LOOK_S)
                self._reap()

    def _pass_rest(self, pump: Pump) -> None:
        """What the agent has said before it ended; a slow network may take its time for that."""
        end_s = time.monotonic() + LINGER_S
        while not pump.is_lost and (pump.is_reading or self._words_fd >= 0):
            if time.monotonic() > end_s and (not pump.n_pending or self._reason):
                return
            self._loop.wait(LOOK_S)

    def _say_last(self, pump: Pump) -> None:
        end_s = time.monotonic() + LINGER_S
        while not pump.is_lost and pump.n_pending and not (self._reason and time.monotonic() > end_s):
            self._loop.wait(LOOK_S)
        if not pump.is_lost:
            try:
                _linger(self._sock)
            except OSError:
                return


def _plain(address: str) -> str:
    """An IPv4 address as such, not as an IPv6 one."""
    return address.removeprefix("::ffff:")

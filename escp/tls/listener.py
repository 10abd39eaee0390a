"""`escp --listen`: the daemon. It takes connections, has a process for each, and knows who is there as whom.

A connection costs nothing but a descriptor until it has sent the begin of a TLS handshake. Of those that are
not logged in there are so many at a time, and so many of one address; who is one too many takes the place of
the oldest that has said nothing, else of the oldest. What a session's process tells counts while it is
root's, before the daemon says "go"; then only its end does.
"""

import contextlib
import errno
import json
import os
import socket
import time

from escp.errors import EscpError, describe_errno
from escp.lean import signals
from escp.lean.eventloop import EventLoop
from escp.process.children import exit_code
from escp.process.limits import prepare_process
from escp.tls import session
from escp.tls.certificate import Certificate
from escp.tls.keyfiles import Folder, TlsError
from escp.tls.policy import Policy
from escp.tls.users import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Protocol

    class Log(Protocol):
        def __call__(self, event: str, **fields: object) -> None: ...


MAX_STRANGERS = 128  # connections that have not logged in
MAX_STRANGERS_OF_ADDRESS = 32
MAX_SESSIONS = 512
LOGIN_S = session.HANDSHAKE_S + 5.0  # from the connection to the account
LOOK_S = 2.0  # between two looks at the files
TICK_S = 0.25
ENDING_S = 8.0  # for the sessions, when the daemon ends
MAX_FAILURES_LOGGED = 30  # a minute
_HELLO = 6  # bytes that tell a TLS handshake from anything else


class _Guest:
    """A connection, and then the process that has it."""

    def __init__(self, plain: socket.socket, peer: tuple[str, int], now: float):
        self.plain: socket.socket | None = plain  # until a process has it
        self.peer = peer
        self.since_s = now
        self.pid = 0
        self.report: socket.socket | None = None
        self.certificate: Certificate | None = None
        self.entry: Entry | None = None
        self.is_in = False
        self.failure = ""
        self.due_s = float("inf")  # to have ended by itself

    @property
    def network(self) -> str:
        """The address; of IPv6 what one subscriber has."""
        address = self.peer[0]
        if ":" not in address:
            return address
        return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8].hex()


class Daemon:
    def __init__(self, sockets: list[socket.socket], folder: Folder, log: "Log"):
        """Raises EscpError for files that are missing, broken, or not safe."""
        self._sockets = sockets
        self._log = log
        self._policy = Policy(folder)
        self._loop = EventLoop()
        self._guests: list[_Guest] = []
        self._has_to_end = self._is_asked = False
        self._looked_s = 0.0
        self._failures = (0.0, 0)  # since when, how many
        prepare_process()

    def run(self) -> int:
        """Until SIGTERM or SIGINT; SIGHUP reads the files again. Returns the exit status."""
        signals.signal(signals.SIGTERM, self._end)
        signals.signal(signals.SIGINT, self._end)
        signals.signal(signals.SIGHUP, self._ask)
        signals.signal(signals.SIGPIPE, signals.SIG_IGN)
        for sock in self._sockets:
            sock.setblocking(False)
            self._loop.watch(sock.fileno(), lambda sock=sock: self._accept(sock))  # type: ignore[misc]
            address = sock.getsockname()
            self._log("listening", address=str(address[0]), port=address[1], uid=os.geteuid())
        while not self._has_to_end:
            self._loop.wait(TICK_S)
            self._tick()
        for sock in self._sockets:
            self._loop.unwatch(sock.fileno())
            sock.close()
        for guest in [*self._guests]:
            self._dismiss(guest, "that host's escp has been ended")
        end_s = time.monotonic() + ENDING_S
        while self._guests and time.monotonic() < end_s:
            self._loop.wait(TICK_S)
            for guest in [*self._guests]:
                self._reap(guest)
        self._log("ended")
        return 0

    def _end(self, _number: int, _frame: object) -> None:
        self._has_to_end = True

    def _ask(self, _number: int, _frame: object) -> None:
        self._is_asked = True

    # ---- Strangers ----------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(64):
            try:
                plain, address = listening.accept()
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self._make_room(self._strangers)
                return
            plain.setblocking(False)
            peer = (address[0].removeprefix("::ffff:"), address[1])
            guest = _Guest(plain, peer, self._loop.now())
            strangers = self._strangers
            same = [one for one in strangers if one.network == guest.network]
            if len(same) >= MAX_STRANGERS_OF_ADDRESS:
                self._make_room(same)
            elif len(strangers) >= MAX_STRANGERS:
                self._make_room(strangers)
            self._guests.append(guest)
            self._loop.watch(plain.fileno(), lambda guest=guest: self._look(guest))  # type: ignore[misc]

    @property
    def _strangers(self) -> list[_Guest]:
        """Those that end already are none."""
        return [guest for guest in self._guests if not guest.is_in and (guest.report or guest.plain)]

    def _make_room(self, strangers: list[_Guest]) -> None:
        """Whoever has said nothing yet goes first."""
        silent = [guest for guest in strangers if guest.plain is not None]
        for guest in (silent or strangers)[:1]:
            guest.failure = "others came while it had not logged in"
            self._drop(guest)

    def _look(self, guest: _Guest) -> None:
        """Whether what it has sent is the begin of a TLS handshake."""
        assert guest.plain is not None
        try:
            data = guest.plain.recv(_HELLO, socket.MSG_PEEK)
        except BlockingIOError:  # what was ready had this number before it
            return
        except OSError:
            data = b""
        if len(data) == _HELLO and data[:2] == b"\x16\x03" and data[5] == 1:
            self._begin(guest)
        elif data and len(data) < _HELLO and b"\x16\x03".startswith(data[:2]):
            self._loop.unwatch(guest.plain.fileno())  # until the next tick
        else:
            guest.failure = "it speaks no TLS"
            self._drop(guest)

    def _begin(self, guest: _Guest) -> None:
        plain, guest.plain = guest.plain, None
        assert plain is not None
        self._loop.unwatch(plain.fileno())
        try:
            own, report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            guest.pid = os.fork()
        except OSError as e:
            guest.failure = f"no process for it: {describe_errno(e.errno or 0)}"
            plain.close()
            return self._drop(guest)
        if guest.pid == 0:
            self._become_session(plain, guest.peer, report)
        with contextlib.suppress(OSError):  # it has ended
            os.setpgid(guest.pid, guest.pid)  # by whoever comes first
        plain.close()
        report.close()
        own.setblocking(False)
        guest.report = own
        self._loop.watch(own.fileno(), lambda: self._hear(guest))

    def _become_session(
        self, plain: socket.socket, peer: tuple[str, int], report: socket.socket
    ) -> "NoReturn":
        """In the new process: forget all others, and serve this one."""
        status = 3
        try:
            os.setpgid(0, 0)
            for number in (signals.SIGTERM, signals.SIGINT, signals.SIGHUP):
                signals.signal(number, signals.SIG_DFL)
            kept = {0, 1, 2, plain.fileno(), report.fileno()}
            for fd in map(int, os.listdir("/proc/self/fd")):
                if fd not in kept:
                    try:
                        os.close(fd)
                    except OSError:
                        continue  # of the list itself
            status = session.serve(plain, peer, self._policy, report)
        except EscpError as e:
            status = e.exit_code
        except BaseException as e:
            os.write(2, f"escp: error: a session failed: {type(e).__name__}: {e}\n".encode())
        finally:
            os._exit(status)

    # ---- Those that have a process ------------------------------------------------------------------

    def _hear(self, guest: _Guest) -> None:
        assert guest.report is not None
        try:
            data = guest.report.recv(session.MAX_REPORT_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._forget(guest)
        if guest.is_in:  # it is the account's process now
            return
        try:
            said: dict[str, Any] = json.loads(data)
            if "failure" in said:
                guest.failure = said["failure"]
            elif "certificate" in said:
                guest.certificate = _rebuild(said["certificate"])
            else:
                self._let_in(guest, Entry(said["account"], tuple(said["words"])))
        except (ValueError, KeyError, TypeError):  # longer than a message may be
            guest.failure = "its certificate has too long names"
            self._drop(guest)

    def _let_in(self, guest: _Guest, entry: Entry) -> None:
        """The files may have changed since its process was made."""
        assert guest.report is not None and guest.certificate is not None
        self._reload(is_asked=False)
        try:
            if self._policy.find(guest.certificate) != entry:
                raise TlsError("what this certificate may do has just changed")
            if sum(one.is_in for one in self._guests) >= MAX_SESSIONS:
                raise TlsError("its escp has too many sessions at the moment")
        except TlsError as e:
            return self._dismiss(guest, str(e))
        guest.entry, guest.is_in = entry, True
        self._send(guest, session.GO)

    def _send(self, guest: _Guest, data: bytes) -> None:
        try:
            if guest.report is not None:
                guest.report.send(data)
        except OSError:
            return  # it has ended

    def _dismiss(self, guest: _Guest, why: str) -> None:
        """It tells its user why, and ends."""
        guest.failure = why
        if guest.pid == 0 or guest.certificate is None:
            return self._drop(guest)
        guest.due_s = self._loop.now() + ENDING_S
        self._send(guest, why.encode())

    def _drop(self, guest: _Guest) -> None:
        """One that has not logged in."""
        if guest.plain is not None:
            self._loop.unwatch(guest.plain.fileno())
            guest.plain.close()
            guest.plain = None
        if guest.pid:
            self._signal(guest, signals.SIGKILL)
        self._forget(guest)

    def _forget(self, guest: _Guest) -> None:
        """It has closed its end, or is to be forgotten; its process, and what that started, are ended."""
        if guest.report is not None:
            self._loop.unwatch(guest.report.fileno())
            guest.report.close()
            guest.report = None
        if guest.pid == 0:
            return self._finish(guest, 0)
        self._signal(guest, signals.SIGTERM)
        guest.due_s = min(guest.due_s, self._loop.now() + ENDING_S)
        self._reap(guest)

    def _signal(self, guest: _Guest, number: int) -> None:
        """To all of its group. It has not been waited for, so its number is still its own."""
        try:
            os.killpg(guest.pid, number)
        except OSError:
            return

    def _reap(self, guest: _Guest) -> None:
        if guest.report is None and guest.pid:
            pid, status = os.waitpid(guest.pid, os.WNOHANG)
            if pid:
                self._finish(guest, exit_code(status))

    def _finish(self, guest: _Guest, status: int) -> None:
        if guest in self._guests:
            self._guests.remove(guest)
            self._log_end(guest, status)

    def _log_end(self, guest: _Guest, status: int) -> None:
        """One line a login, also one that was refused; of strangers some thirty a minute."""
        who = guest.certificate
        about: dict[str, object] = {"host": guest.peer[0], "port": guest.peer[1]}
        if who is not None:
            about.update(subject=who.subject, names=who.names, serial=f"{who.serial:x}")
        if guest.entry is not None:
            about["account"] = guest.entry.account
            self._log("login", **about, exit_code=status, message=guest.failure,
                      seconds=self._loop.now() - guest.since_s)  # fmt: skip
            return
        since_s, n = self._failures
        now = self._loop.now()
        if now - since_s > 60.0:
            if n > MAX_FAILURES_LOGGED:
                self._log("refused", message=f"{n - MAX_FAILURES_LOGGED} more in a minute")
            since_s, n = now, 0
        self._failures = since_s, n + 1
        if n < MAX_FAILURES_LOGGED:
            self._log("refused", **about, message=guest.failure or "it closed the connection")

    # ---- From time to time --------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._loop.now()
        for guest in [*self._guests]:
            if now > guest.due_s:
                guest.due_s = now + ENDING_S
                self._signal(guest, signals.SIGKILL)
            self._reap(guest)
        for guest in self._strangers:
            if now - guest.since_s > LOGIN_S:
                guest.failure = "it has not logged in in time"
                self._drop(guest)
            elif guest.plain is not None:
                self._loop.watch(guest.plain.fileno(), lambda guest=guest: self._look(guest))  # type: ignore[misc]
        if self._is_asked or now - self._looked_s > LOOK_S:
            self._looked_s = now
            is_asked, self._is_asked = self._is_asked, False
            self._reload(is_asked=is_asked)

    def _reload(self, *, is_asked: bool) -> None:
        before = self._policy.limits
        try:
            if not self._policy.reload(is_asked=is_asked):
                return
        except EscpError as e:
            self._log("broken", message=f"nobody is let in: {e}")
            return
        self._log("reloaded")
        for guest in [*self._guests]:
            if guest.is_in and guest.certificate is not None:
                self._check(guest, guest.certificate, has_same_limits=before == self._policy.limits)

    def _check(self, guest: _Guest, certificate: Certificate, *, has_same_limits: bool) -> None:
        try:
            if self._policy.find(certificate) != guest.entry or not has_same_limits:
                raise TlsError("what this certificate may do was changed while the copy ran")
        except TlsError as e:
            self._dismiss(guest, str(e))


def _rebuild(told: "dict[str, Any]") -> Certificate:
    """What of it counts while its session runs."""
    import datetime  # lazy: certificate has it

    never = datetime.datetime.max
    return Certificate(
        told["subject"], tuple(told["names"]), (), bytes.fromhex(told["issuer"]), int(told["serial"], 16),
        "", True, False, never, never,
        tuple((bytes.fromhex(issuer), int(serial, 16)) for issuer, serial in told["above"]),
    )  # fmt: skip

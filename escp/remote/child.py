"""The child that carries the control channel: how it is started, and how it ended."""

import errno
import os
import resource
import time
from _thread import allocate_lock

from escp.constants import SHUTDOWN_TIMEOUT_S
from escp.errors import (
    EXIT_INTERNAL,
    EXIT_REFUSED,
    EXIT_REMOTE_FS,
    EXIT_SSH,
    AgentError,
    EndedError,
    EscpError,
    LocalFileError,
    NetworkError,
    NoAgentError,
    SshError,
    from_exit_code,
)
from escp.lean import signals
from escp.process.children import LOOK_S, exit_code, open_end, open_pipes
from escp.process.environment import child_environment
from escp.process.interrupts import start_deaf
from escp.process.shortages import explain_shortage, explain_tasks
from escp.remote.remotewords import RemoteWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.loginwatch import LoginWatch
    from escp.remote.push.tree import AgentTree

LOOPBACK = "127.0.0.1"  # an embedded agent's address
_SSH_FAILED = 255
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_SAID = (EXIT_INTERNAL, EXIT_REMOTE_FS, EXIT_REFUSED)  # of an agent that says why on standard error
_ERROR, _HINT = "escp: error: ", "escp: hint: "
# What nologin, restricted shells and internal-sftp say.
_LOCKED = ("not available", "restricted", "sftp connections only", "not allowed to execute")
_SCHEMES = ("sftp", "ssh", "rsync", "ftp", "http", "https", "file")  # of hosts that nobody has


class AgentProcess:
    """The child that carries the control channel: ssh, or the embedded agent itself.

    `write_fd` and `read_fd` are the channel's ends here, `words` is its standard error. `stop()` leaves no
    process behind.
    """

    can_outlive = True  # the agent, its ssh

    def __init__(
        self,
        pid: int,
        write_fd: int,
        read_fd: int,
        host: str,
        *,
        is_embedded: bool = False,
        is_escp: bool = True,
        tree: "AgentTree | None" = None,
        can_push: bool = False,
        words_fd: int = -1,
        is_quiet: bool = False,  # ssh does not say why it fails
        is_tls: bool = False,  # it is tls/login, not ssh
    ):
        self.tree = tree  # what has to be started there, and to be sent first if it is not there
        self._can_push = can_push
        self._is_escp = is_escp  # what was started there, and not a script of ours
        self.write_fd = write_fd
        self.read_fd = read_fd
        self.host = host
        self.words = RemoteWords(words_fd, (_ERROR, _HINT) if is_tls else ())
        self._pid = pid
        self._is_embedded = is_embedded
        self._is_quiet = is_quiet
        self._is_tls = is_tls
        self._status: int | None = None
        self._was_killed = False  # the child itself, not what it started elsewhere

    def find_connection(self) -> tuple[str, str] | None:
        """Addresses of this host and of the other one between which ssh goes, if they can be told."""
        from escp.remote.reached import find_connection  # not at the top: ssh starts first

        return (LOOPBACK, LOOPBACK) if self._is_embedded else find_connection(self._pid)

    def is_asking(self) -> bool:
        """Whether ssh asks its user something now."""
        from escp.remote.asking import is_asking  # not at the top: a login is over before anybody wonders

        return not self._is_embedded and self._status is None and is_asking(self._pid)

    def watch_login(self, now: float) -> "LoginWatch | None":
        """Watches a login that has just begun; None: there is no login."""
        from escp.remote.loginwatch import LoginWatch  # not at the top: ssh starts first

        return None if self._is_embedded else LoginWatch(self._pid, self.host, now)

    def poll(self) -> int | None:
        """The exit status (128 + n after signal n), or None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._was_killed = os.WIFSIGNALED(status)
                self._status = exit_code(status)
        return self._status

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end for a while, and hear what it says."""
        if self.poll() is None:
            fd = open_end(self._pid)
            if fd < 0:
                self._look_often(time.monotonic() + timeout_s)
            else:
                try:
                    self.words.wait(fd, timeout_s)
                finally:
                    os.close(fd)
        if self.poll() is not None:
            self.words.drain()
        return self._status

    def _look_often(self, end_s: float) -> None:
        while self.poll() is None and time.monotonic() < end_s:
            self.words.wait(-1, LOOK_S)

    @property
    def last_words(self) -> list[str]:
        """The last lines of its standard error, as they came: they may hold anything."""
        return self.words.last

    def close_channel(self) -> None:
        """The agent takes the end of its input as the order to stop."""
        for fd in (self.write_fd, self.read_fd):
            if fd >= 0:
                os.close(fd)
        self.write_fd = self.read_fd = -1

    def stop(self) -> None:
        """End it; may be called twice."""
        self.close_channel()
        for number in (signals.SIGTERM, signals.SIGKILL):
            if self.wait(SHUTDOWN_TIMEOUT_S) is not None:
                break
            os.kill(self._pid, number)
        else:
            self.wait(SHUTDOWN_TIMEOUT_S)
        self.words.close()

    def _find_own_error(self) -> tuple[str, str] | None:
        """The sentence and the hint of an agent that could not even begin, if those are its last words."""
        *_, sentence, hint = ["", "", *self.last_words]
        if not sentence.startswith(_ERROR) or not hint.startswith(_HINT):
            return None
        return sentence.removeprefix(_ERROR), hint.removeprefix(_HINT)

    def _explain_tls(self, status: int | None, sentence: str, hint: str) -> EscpError:
        """What tls/login, or an agent behind it, has said last."""
        if status in (EXIT_SSH, _SSH_FAILED):
            return SshError(sentence, hint, is_retryable=status == _SSH_FAILED)
        if not sentence.startswith(f"{self.host} "):  # the login names it, an agent behind it does not
            sentence = f"{self.host}: {sentence}"
        return from_exit_code(status or EXIT_INTERNAL, sentence, hint)

    def _explain_silence(self, why: str) -> EscpError:
        """Why the channel is closed while the process that carried it still runs."""
        if self._is_embedded:
            return AgentError("the embedded agent closed its output before it answered", "")
        return SshError(
            f"ssh to {self.host} started no escp there, and does not end{why}",
            f"does `ssh -G {self.host}` show a SessionType other than default? add -o SessionType=default",
        )

    @property
    def has_lost_host(self) -> bool:
        """Once it has ended: whether ssh itself failed, so that what it had started may live on.

        255 is also that of a program which a signal has ended there.
        """
        return (
            self.can_outlive
            and not self._is_embedded
            and (self._was_killed or self._status in (None, _SSH_FAILED))
        )

    @property
    def has_said_nothing(self) -> bool:
        """It ended as if a signal had ended what it had started: of a lost connection it says something."""
        return self._status == _SSH_FAILED and not self.last_words and not self._is_quiet

    def explain_end(self, noise: bytes, *, is_past_marker: bool) -> EscpError:
        """Why the control channel closed before the session was over."""
        status = self.wait(SHUTDOWN_TIMEOUT_S)
        return self.cite(self._explain_end(status, noise, self.why, is_past_marker))

    @property
    def why(self) -> str:
        """What was said last on standard error, to stand behind a sentence; "" where nothing was."""
        from escp.remote.sshreason import find_reason  # not at the top: where all goes well nobody asks

        reason = find_reason(self.last_words)
        return f": {reason}" if reason else ""

    def cite(self, error: EscpError) -> EscpError:
        """*error* with all that was said."""
        error.said = tuple(self.last_words)
        return error

    def _explain_end(self, status: int | None, noise: bytes, why: str, is_past_marker: bool) -> EscpError:
        """*why*: what was said last on standard error."""
        if self._is_tls and (own := self._find_own_error()):
            return self._explain_tls(status, *own)
        if is_past_marker:
            how = f" (exit status {status})" if status else ""
            hint = "it may have been killed, or the ssh connection was lost"
            if status == NetworkError.exit_code:  # an agent ends so when its input does
                hint = f"its input ended: has ssh's configuration for {self.host} StdinNull?"
            return EndedError(f"the remote escp on {self.host} ended unexpectedly{how}{why}", hint)
        if status in _SAID and (own := self._find_own_error()):
            return from_exit_code(status, f"{self.host}: {own[0]}", own[1])
        if status is None:
            return self._explain_silence(why)
        if self._is_embedded:
            how = f"exit status {status}" if status < 128 else f"signal {status - 128}"
            return AgentError(f"the embedded agent did not start ({how}){why}", "")
        if status == _NOT_FOUND and self._is_escp:
            push = "; or send it along: --push-agent" if self._can_push else ""
            hint = f"{AgentError.hint}{push}; or let scp copy: --fallback scp"
            return NoAgentError(f"there is no escp on {self.host}", hint)
        if status == _NOT_EXECUTABLE and self._is_escp:
            return NoAgentError(f"escp on {self.host} can't be executed")
        if status == _SSH_FAILED and (self.last_words or self._is_quiet) and not noise:
            from escp.remote.sshreason import is_for_good  # not at the top, as above

            is_scheme = self.host in _SCHEMES
            hint = f"escp knows scp:// and tls://, not {self.host}://" if is_scheme else SshError.hint
            is_retryable = not is_for_good(self.last_words)
            return SshError(f"ssh could not log in to {self.host}{why}", hint, is_retryable=is_retryable)
        if status >= 128 and self._was_killed:
            return SshError(f"ssh to {self.host} was ended by signal {status - 128}", "")
        if status >= 128:  # ssh's own is 255 where a signal ended what it had started
            how = "" if status == _SSH_FAILED else f" by signal {status - 128}"
            return AgentError(
                f"what ssh started on {self.host} was ended{how} before an escp answered{why}",
                "something there may have killed it: look for limits of memory or processes",
            )
        said = f"; it printed: {noise[-200:].decode(errors='replace').rstrip('. ')}" if noise else ""
        how = f"(exit status {status}){said}"
        if not self._is_escp:
            return NoAgentError(
                f"no POSIX shell answered on {self.host} {how}{why}",
                "does this login allow other commands than a few?",
            )
        is_locked = any(words in f"{said}{why}" for words in _LOCKED)
        shell = f"does that account have a shell that runs commands? try `ssh {self.host} true`"
        return NoAgentError(
            f"no escp answered on {self.host} {how}{why}", shell if is_locked else NoAgentError.hint
        )


def spawn(
    command: list[str],
    host: str,
    *,
    is_embedded: bool = False,
    is_escp: bool = True,
    tree: "AgentTree | None" = None,
    can_push: bool = False,
    is_tls: bool = False,
) -> AgentProcess:
    """Start a child whose standard input, output and error are pipes to here."""
    (child_in, write_fd), (read_fd, child_out), (words_fd, child_err) = open_pipes()
    child_fds = (child_in, child_out, child_err)
    try:
        pid = start_deaf(lambda: _start_without_dumps(command, child_fds))
    except OSError as e:
        for fd in (write_fd, read_fd, words_fd):
            os.close(fd)
        if said := explain_tasks() if e.errno == errno.EAGAIN else explain_shortage(e):
            raise LocalFileError(*said) from e
        raise SshError(
            f"can't start '{command[0]}': {e.strerror}",
            "install an OpenSSH client, or name one with -S",
            is_retryable=False,
        ) from e
    finally:
        for fd in child_fds:
            os.close(fd)
    return AgentProcess(
        pid, write_fd, read_fd, host,
        is_embedded=is_embedded, is_escp=is_escp, tree=tree, can_push=can_push, words_fd=words_fd,
        is_quiet="-q" in command, is_tls=is_tls,
    )  # fmt: skip


_limit_lock = allocate_lock()  # a program may start several agents at once


def _start_without_dumps(command: list[str], fds: tuple[int, ...]) -> int:
    """The secret passes through the child's memory. It inherits the limit; the hard one stays the user's."""
    with _limit_lock:
        before = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
        try:
            return os.posix_spawnp(
                command[0],
                command,
                child_environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)],
                setsigdef=[signals.SIGPIPE],
            )
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, before)

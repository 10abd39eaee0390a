"""Starts the agent: through the system's ssh, or directly on this host. Nothing secret passes through here.

ssh keeps the terminal for its questions and stderr for its messages; the agent's stdin and stdout become
the control channel.
"""

import os

from escp import signals
from escp.constants import EMBEDDED, SERVER, SHUTDOWN_TIMEOUT_S, SSH_CONNECT_TIMEOUT_S
from escp.errors import AgentError, EscpError, NetworkError, SshError, UsageError
from escp.location import Location
from escp.options import Options
from escp.procenv import child_environment, is_frozen, own_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.agenttree import AgentTree

LOOPBACK = "127.0.0.1"  # an embedded agent's address
_SSH_FAILED = 255
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


class AgentProcess:
    """The child that carries the control channel: ssh, or the embedded agent itself.

    `write_fd` and `read_fd` are the channel's ends here. `stop()` leaves no process behind.
    """

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
    ):
        self.tree = tree  # what has to be started there, and to be sent first if it is not there
        self._can_push = can_push
        self._is_escp = is_escp  # what was started there, and not a script of ours
        self.write_fd = write_fd
        self.read_fd = read_fd
        self.host = host
        self._pid = pid
        self._is_embedded = is_embedded
        self._status: int | None = None

    def find_connection(self) -> tuple[str, str] | None:
        """Addresses of this host and of the other one between which ssh goes, if they can be told."""
        from escp.reached import find_connection  # not at the top: ssh starts first

        return (LOOPBACK, LOOPBACK) if self._is_embedded else find_connection(self._pid)

    def poll(self) -> int | None:
        """The exit status (128 + n after signal n), or None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code
        return self._status

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end for a while: a pidfd becomes readable then."""
        if self.poll() is None:
            import select

            fd = os.pidfd_open(self._pid)
            try:
                select.select([fd], [], [], timeout_s)
            finally:
                os.close(fd)
        return self.poll()

    def close_channel(self) -> None:
        """The agent takes the end of its input as the order to stop."""
        for fd in (self.write_fd, self.read_fd):
            if fd >= 0:
                os.close(fd)
        self.write_fd = self.read_fd = -1

    def stop(self) -> None:
        self.close_channel()
        for number in (signals.SIGTERM, signals.SIGKILL):
            if self.wait(SHUTDOWN_TIMEOUT_S) is not None:
                return
            os.kill(self._pid, number)
        self.wait(SHUTDOWN_TIMEOUT_S)

    def explain_end(self, noise: bytes, *, is_past_marker: bool) -> EscpError:
        """Why the control channel closed before the session was over."""
        status = self.wait(SHUTDOWN_TIMEOUT_S)
        if is_past_marker:
            how = f"the remote escp on {self.host} ended unexpectedly"
            return NetworkError(how + (f" (exit status {status})" if status else ""),
                                "it may have been killed, or the ssh connection was lost")  # fmt: skip
        if self._is_embedded:
            return AgentError(f"the embedded agent did not start (exit status {status})", "")
        if status == _NOT_FOUND and self._is_escp:
            more = f"{AgentError.hint}; or send it along: --push-agent" if self._can_push else None
            return AgentError(f"there is no escp on {self.host}", more)
        if status == _NOT_EXECUTABLE and self._is_escp:
            return AgentError(f"escp on {self.host} can't be executed")
        if status == _SSH_FAILED:
            return SshError(f"ssh could not log in to {self.host}")
        if status is not None and status >= 128:
            return SshError(f"ssh to {self.host} was ended by signal {status - 128}")
        said = f"; it printed: {noise[-200:].decode(errors='replace')}" if noise else ""
        how = f"(exit status {status}){said}"
        if not self._is_escp:
            return AgentError(
                f"no POSIX shell answered on {self.host} {how}",
                "does this login allow other commands than a few?",
            )
        return AgentError(f"no escp answered on {self.host} {how}")


def _ssh_words(options: Options, location: Location) -> list[str]:
    """ssh and its arguments in front of `-- destination`."""
    port = location.port or options.ssh_port  # scp: the port in a URI wins
    return [options.ssh_program, *options.ssh_args, *(() if port is None else ("-p", str(port)))]


def start_agent(options: Options, location: Location) -> AgentProcess:
    """Start the agent on the location's host.

    Raises SshError when ssh itself can't be started, UsageError when there is no tree that could be pushed.
    """
    options = options.for_host(location)
    host = location.host or ""
    if options.is_embedded:
        return AgentProcess(*_spawn([*own_command(), SERVER, EMBEDDED]), host, is_embedded=True)
    if not options.pushes_agent:
        command = _log_in_command(options, location, f"{options.agent_command} {SERVER}")
        return AgentProcess(*_spawn(command), host, can_push=is_frozen() or options.agent_tree is not None)
    # Lazy: most hosts have escp.
    from escp.agenttree import find_tree
    from escp.pushscript import find_command

    tree = find_tree(options.agent_tree)
    if tree is None:
        raise UsageError(
            "option --push-agent: this escp runs from source, which can't be sent to another host",
            "freeze it (`build.py freeze`) and run that, or name it with --agent-tree dist/escp",
        )
    command = _log_in_command(options, location, find_command(tree.identity))
    return AgentProcess(*_spawn(command), host, is_escp=False, tree=tree)


def start_command(options: Options, location: Location, remote_command: str) -> AgentProcess:
    """Run *remote_command* in the location's shell; *options* are already that host's. Raises SshError."""
    return AgentProcess(
        *_spawn(_log_in_command(options, location, remote_command)), location.host or "", is_escp=False
    )


def _log_in_command(options: Options, location: Location, remote_command: str) -> list[str]:
    return [
        *_ssh_words(options, location),
        f"-oConnectTimeout={SSH_CONNECT_TIMEOUT_S}",  # the user's own -o comes first and wins
        "--",
        location.ssh_destination(),
        remote_command,
    ]


def _spawn(command: list[str]) -> tuple[int, int, int]:
    """Start a child; its number, and the ends here of its standard input and output."""
    child_in, write_fd = os.pipe2(os.O_CLOEXEC)
    read_fd, child_out = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            child_environment(),
            file_actions=[(os.POSIX_SPAWN_DUP2, child_in, 0), (os.POSIX_SPAWN_DUP2, child_out, 1)],
            setsigdef=[signals.SIGPIPE],
        )
    except OSError as e:
        os.close(write_fd)
        os.close(read_fd)
        raise SshError(
            f"can't start '{command[0]}': {e.strerror}", "install an OpenSSH client, or name one with -S"
        ) from e
    finally:
        os.close(child_in)
        os.close(child_out)
    return pid, write_fd, read_fd


def configured_host_name(options: Options, location: Location) -> str:
    """The HostName that ssh's configuration gives for the location; asks ssh itself, without connecting."""
    options = options.for_host(location)
    read_fd, child_out = os.pipe2(os.O_CLOEXEC)
    command = [*_ssh_words(options, location), "-G", "--", location.ssh_destination()]
    try:
        pid = os.posix_spawnp(command[0], command, child_environment(),
                              file_actions=[(os.POSIX_SPAWN_DUP2, child_out, 1)])  # fmt: skip
    except OSError:
        os.close(read_fd)
        return location.host or ""
    finally:
        os.close(child_out)
    with os.fdopen(read_fd, "rb") as pipe:
        lines = pipe.read().splitlines()
    os.waitpid(pid, 0)
    for line in lines:
        if line.startswith(b"hostname "):
            return line[len(b"hostname ") :].decode(errors="replace")
    return location.host or ""

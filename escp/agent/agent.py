"""`escp --server`: the agent that the initiator starts through ssh. It sends or receives, as it is told.

stdin and stdout are the control channel. When stdin ends, everything ends: no process, no port and no
unfinished file stays.

The first message goes out before most of escp is imported. The imports take the time that it needs to travel
and to be answered.
"""

import errno
import os

from escp import __version__
from escp.constants import EMBEDDED, MARKER, PROTOCOL_MAJOR, PROTOCOL_MINOR, SERVER
from escp.control.channel import ControlChannel
from escp.control.course import AgentCourse
from escp.control.message import Error, Hello, Message
from escp.errors import (
    EXIT_OK,
    EscpError,
    InternalError,
    NetworkError,
    ProtocolError,
    RefusedError,
    RemoteFileError,
    UsageError,
    explain_import,
)
from escp.lean import signals
from escp.lean.eventloop import EventLoop
from escp.process.shortages import explain_shortage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp.agent.agentlog import AgentLog
    from escp.agent.files import FileService
    from escp.agent.service import Service
    from escp.agent.sessions import Sessions
    from escp.agent.site import Site

FEATURES = [
    "zstd",
    "dummy",
    "examine",
    "absent",
    "lacks",
    "begun",
    "habits",
    "durable",
    "reconnect",
    "delete",
    "resume",
    "itemize",
    "expect",
    "carry",
    "lasting",
    "files",
    "manifest",
    "shmem",
    "again",
    "apart",
    "nodes",
    "classes",
]


RESTRICTING = (
    "--restrict", "--read-only", "--write-only",
    "--limit", "--max-files", "--max-bytes", "--max-delete", "--max-time",
)  # fmt: skip
MAX_SHOWN = 100  # characters


class ControlEnded(Exception):
    """The initiator is gone."""


class Agent:
    """The process and its control channel, from the marker to the end of the channel."""

    def __init__(
        self, read_fd: int, write_fd: int, own_address: str, peer_address: str, words: "Sequence[str]"
    ):
        """The addresses between which ssh goes, "" where they are not known; *words*: the command line."""
        self._words = words
        self._log: AgentLog | None = None  # until the configuration is read
        self._read_fd, self._write_fd = read_fd, write_fd
        self._own_address, self._peer_address = own_address, peer_address
        self._loop = EventLoop()
        self._channel: ControlChannel | None = None
        self._site: Site | None = None
        self._service: Service | Sessions | FileService | None = None

    def run(self) -> int:
        """Serve the session; returns the exit code. What goes wrong is told to the initiator."""
        try:
            self._say_hello()
            self._prepare()
            self._serve()
            return EXIT_OK
        except ControlEnded:
            return NetworkError.exit_code
        except EscpError as e:
            return self._fail(e)
        except Exception as e:
            if said := explain_shortage(e):
                return self._fail(RemoteFileError(*said))
            if isinstance(e, ImportError) and (broken := explain_import(e)):
                return self._fail(broken)
            self._tell(Error(InternalError.exit_code, f"the remote escp failed: {type(e).__name__}: {e}", ""))
            raise
        finally:
            self._close()

    def _say_hello(self) -> None:
        course = AgentCourse(self._loop.now())
        try:
            os.write(self._write_fd, b"")  # fails if standard output was closed
            self._channel = ControlChannel(
                self._loop, course, self._read_fd, self._write_fd, self._take, self._end
            )
        except OSError as e:
            if e.errno not in (errno.EBADF, errno.EPERM, errno.EPIPE):
                raise
            raise ControlEnded from e
        self._channel.write(MARKER)
        self._tell(Hello(PROTOCOL_MAJOR, PROTOCOL_MINOR, __version__, FEATURES))

    def _prepare(self) -> None:
        """What must be done before the initiator's first message is read, but not before the hello."""
        from escp.streams.sealing import warm_up  # not at the top: Hello goes first

        warm_up()  # at the same time as what follows
        # Not at the top, as above.
        from escp.agent.agentlog import open_agent_log
        from escp.agent.service import Service
        from escp.options.agentoptions import parse_agent_options
        from escp.process.interrupts import SIGNALS, handle_signals
        from escp.process.leaving import Exit
        from escp.process.limits import apply_affinity, prepare_process

        prepare_process()
        handle_signals(_stop)  # only now: an import can swallow what it raises
        Exit(SIGNALS, _leave, self._read_fd, self._write_fd)
        options = parse_agent_options(self._words, os.environ)
        self._log = open_agent_log(options.logfile, is_configured=options.is_logfile_configured,
                                   lists_files=options.logs_files)  # fmt: skip
        site = None
        if options.rules is not None:
            from escp.agent.site import Site  # not at the top: most hosts forbid nothing

            site = self._site = Site(options.rules, self._loop.now())
        try:
            apply_affinity(options.cpumask, options.nodemask)
        except UsageError as e:
            raise UsageError(f"the remote escp's own options: {e}", e.hint) from e
        assert self._channel
        self._service = Service(
            self._loop, self._channel, self._log, self._own_address, self._peer_address, site
        )

    def _serve(self) -> None:
        channel = self._channel
        assert channel and self._service
        while not self._service.is_done:
            self._loop.wait(min(self._service.next_tick_s, channel.next_tick_s) - self._loop.now())
            now = self._loop.now()
            channel.tick(now)
            self._service.tick(now)

    def _take(self, message: Message) -> None:
        assert self._service and self._channel
        from escp.control.messages import Carry, Files  # not at the top: Hello goes first

        if isinstance(message, Carry | Files):
            self._replace_service(message)
        else:
            self._service.take(message)

    def _replace_service(self, message: Message) -> None:
        """This agent is to be no end of a copy."""
        # Not at the top: most agents are one.
        from escp.agent.service import Service
        from escp.control.messages import Carry

        assert self._service and self._channel
        if not isinstance(self._service, Service) or self._service.has_begun:
            raise ProtocolError("the initiator wants two things of one agent")
        self._service.close()
        if isinstance(message, Carry):
            from escp.agent.sessions import Sessions

            self._service = Sessions(self._loop, self._channel, self._words, self._site)
        else:
            if self._site is not None:
                self._site.admit(message)  # no rule of a host's holds what is done there
            from escp.agent.files import FileService

            self._service = FileService(self._loop, self._channel)

    def _tell(self, message: Message) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def _end(self) -> None:
        if self._service is None or not self._service.outlive():
            raise ControlEnded

    def _fail(self, error: EscpError) -> int:
        if self._log is not None:
            self._log.fail(error)
        cause = error.__cause__
        number = (cause.errno or 0) if isinstance(cause, OSError) else 0
        self._tell(Error(error.exit_code, str(error), error.hint, max(0, number)))
        if self._service is not None and not isinstance(error, NetworkError):
            self._service.await_initiator()
        return error.exit_code

    def _close(self) -> None:
        from escp.process.leaving import follow_channel  # not at the top: Hello goes first

        follow_channel()
        if self._channel is not None:
            self._channel.flush()
        if self._service is not None:
            self._service.close()
        if self._channel is not None:
            self._channel.close()
        self._loop.close()
        if self._log is not None:
            self._log.close()


def ssh_addresses() -> tuple[str, str]:
    """This host's address and the other side's, between which ssh goes; "" where sudo hid them."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    return (words[2], words[0]) if len(words) == 4 else ("", "")


def _check_login(words: "Sequence[str]") -> None:
    """Refuse what a login wants that a forced command restricts to this agent, and that is no copy of escp.

    sshd tells it, and nothing of it is run: neither now nor later.
    """
    if not any(word.partition("=")[0] in RESTRICTING for word in words):
        return
    wanted = os.environ.get("SSH_ORIGINAL_COMMAND")
    if wanted is None and not os.isatty(0):
        return
    if wanted is None or SERVER not in wanted:
        shown = "a shell" if wanted is None else f"'{wanted[:MAX_SHOWN]}'"
        raise RefusedError(
            f"this login copies with escp and does nothing else: {shown} is not run",
            "its key is restricted so in authorized_keys on that host: log in with another one",
        )


def run_agent(argv: "Sequence[str]" = ()) -> int:
    """Take over stdin and stdout as the control channel and serve one session. Returns the exit code."""
    signals.signal(signals.SIGPIPE, signals.SIG_IGN)
    # A stray print must not get between the messages.
    write_fd = os.dup(1)
    os.dup2(2, 1)
    _check_login(argv)
    addresses = ("127.0.0.1", "127.0.0.1") if EMBEDDED in argv else ssh_addresses()
    try:
        return Agent(0, write_fd, *addresses, argv).run()
    except _Stopped as e:
        return 128 + int(e.args[0])


def _leave(number: int, _error: Exception | None) -> int:
    """End an agent that hangs: it was told to end, or its channel is gone."""
    status = 128 + number if number else NetworkError.exit_code
    try:
        os.write(2, b"escp: ended while a disk or pipe of this host did not answer\n")
    except OSError:
        return status  # nobody is there to hear it
    return status


class _Stopped(BaseException):
    pass


def _stop(number: int, _frame: object) -> None:
    signals.signal(number, signals.SIG_IGN)
    raise _Stopped(number)

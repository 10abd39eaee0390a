"""`--logfile`: one line an event, to a file or to syslog. Only `ui` and `agent` write here.

Names and messages are escaped, so that nothing a peer or a file name holds can forge a line. A log that can't
be opened ends the run before it starts; one that can't be written to later does not stop a copy, but is the
run's error.
"""

import errno
import os
import stat
import time

from escp.errors import LocalFileError, describe_errno
from escp.options.values import is_facility
from escp.ui.display import show_name, show_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# No link is followed at the end of the path (a log in /tmp), no reader is waited for if it is a pipe, and no
# terminal becomes ours.
_OPEN_FLAGS = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
)


MAX_WAITING_BYTES = 1 << 20  # for the reader of a pipe
LAST_WORDS_S = 10.0  # for it to read the end


class TransferLog:
    """An open log: `write("start", host="dtn1", n_streams=4)`. `close()` may be called twice."""

    def __init__(self, logfile: str, *, now: "Callable[[], float]" = time.time):
        """Open a file (created with mode 0600) or a facility. Raises LocalFileError."""
        self._now = now
        self._waiting = b""  # for the reader of a pipe
        self.failure = 0  # errno
        self._fd = -1
        self._facility = logfile if is_facility(logfile) else ""
        if self._facility:
            return
        try:
            self._fd = os.open(logfile, _OPEN_FLAGS, 0o600)
        except OSError as error:
            is_link = error.errno == errno.ELOOP
            reason = "it is a symbolic link" if is_link else describe_errno(error.errno or 0)
            hint = "write the path that it leads to" if is_link else "name a file that you may write to"
            raise LocalFileError(f"cannot open the log file '{logfile}': {reason}", hint) from error
        if why := _find_stranger(os.fstat(self._fd)):
            self.close()
            raise LocalFileError(f"cannot open the log file '{logfile}': {why}", "name a file of your own")

    def write(self, event: str, *, is_error: bool = False, **fields: object) -> bool:
        """Append one line; bytes are shown as file names are, tuples in brackets. False if that failed."""
        text = format_event(event, fields)
        if self._facility:
            self._write_syslog(text, is_error=is_error)
            return True
        now_s = self._now()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))
        line = f"{stamp}.{int(now_s * 1000) % 1000:03d}Z escp[{os.getpid()}] {text}\n".encode()
        self._waiting += line
        return self._write_waiting()

    def _write_waiting(self) -> bool:
        try:
            while self._waiting:  # a line in one write: those of several runs don't mix
                self._waiting = self._waiting[os.write(self._fd, self._waiting) :]
        except BlockingIOError:  # the next line tries again
            return len(self._waiting) <= MAX_WAITING_BYTES
        except OSError as e:
            self._waiting, self.failure = b"", e.errno or 0
            return False
        return True

    def flush(self) -> bool:
        """Wait a while for a pipe's reader; False if not all could be written, to the disk or to a server."""
        if self._waiting:
            import select  # not at the top: a file takes all at once

            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            end_s = time.monotonic() + LAST_WORDS_S
            while self._waiting and (left_s := end_s - time.monotonic()) > 0 and poll.poll(1000 * left_s):
                self._write_waiting()
        try:
            if self._fd >= 0:
                os.close(os.dup(self._fd))  # a quota, or NFS
        except OSError as e:
            self.failure = e.errno or 0
        return not self._waiting and not self.failure

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write_syslog(self, text: str, *, is_error: bool) -> None:
        import syslog  # lazy: hardly a run needs it

        syslog.openlog("escp", syslog.LOG_PID, getattr(syslog, f"LOG_{self._facility}"))
        syslog.syslog(syslog.LOG_ERR if is_error else syslog.LOG_NOTICE, text)


def format_event(event: str, fields: "Mapping[str, object]") -> str:
    """`login user="alice" seconds=1.000`: one line, whatever the values hold."""
    return " ".join([event, *(f"{name}={_show_value(value)}" for name, value in fields.items())])


def _find_stranger(info: os.stat_result) -> str:
    """Why nothing may be appended to an open file: its owner would read it, or it is another file of ours."""
    if stat.S_ISCHR(info.st_mode):  # /dev/null: nobody but root makes devices
        return ""
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISFIFO(info.st_mode):
        return "it is not a file"
    if info.st_uid not in (0, os.geteuid()):  # root's: a site's log, which a group may write
        return "it belongs to another user"
    return "it has another name (a hard link)" if info.st_nlink > 1 else ""


def _show_value(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(_show_value, value)) + "]"
    if isinstance(value, (bytes, str)):
        shown = show_name(value) if isinstance(value, bytes) else show_text(value.replace("\\", "\\\\"))
        return '"' + shown.replace('"', '\\"') + '"'
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)

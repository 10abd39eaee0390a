"""A copy one end of which is this program's memory, in a thread of its own, and what came of it."""

import os
import threading
from collections.abc import Callable, Mapping

from escp.api.copy import Flag, call_copy
from escp.api.outcome import Result
from escp.api.words import Path
from escp.errors import (
    EscpError,
    OutcomeUnknown,
    RefusedError,
    RemoteFileError,
    SomeFailedError,
    system_error,
)
from escp.streams.blocks import BlockSink, BlockSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.options.location import Location
    from escp.remote.child import AgentProcess

    StartAgent = Callable[[Location], AgentProcess] | None

# The command's options that mean something for a file that is memory at one end.
_WAYS = frozenset(
    "parallel compress nochecksum limit tunnel reverse data_host bind escp_port escp_portrange ipv4 ipv6 "
    "stop_after".split()
)
FOR_WRITING = _WAYS | frozenset("blocksize fsync verify chmod mkpath reconnect_timeout".split())
FOR_RECEIVING = _WAYS | frozenset(("blocksize", "reconnect_timeout"))

# Whatever the configuration says: it is one file, whole, under the name that the program gives.
_FIXED: dict[str, object] = {
    "is_target_exact": True, "is_recursive": False, "removes_sources": False, "deletes": False,
    "filters": (), "min_bytes": 0, "below_bytes": 0, "updates": False, "skips_unchanged": False,
    "skips_existing": False, "compares_digests": False, "is_dry_run": False, "resumes": False,
    "partial_min": 0, "manifest": None, "is_inplace": False, "keeps_links": False,
    "keeps_hard_links": False, "keeps_attributes": False, "is_archive": False, "keeps_owner": False,
    "keeps_xattrs": False, "keeps_acls": False, "is_sparse": False,
}  # fmt: skip
_NEW_FILE_MODE = 0o666  # as a shell's redirection would ask for it; the umask there counts
END_S = 10.0  # that a copy is waited for which has been told to end


def make_stand_in(size: int) -> int:
    """A descriptor of a file with that size and nothing in it. Raises OSError."""
    fd = os.memfd_create("escp", os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, _NEW_FILE_MODE)
        os.truncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def send_memory(
    memory: BlockSource, size: int, target: bytes, options: Mapping[str, object], *,
    name: str, cancel: Flag | None, timeout: float | None, start_agent: "StartAgent", **fixed: object,
) -> Result:  # fmt: skip
    """*target*: an operand; *name*: for people. Raises what kept the file from being there.

    OutcomeUnknown: its end may have been told, and no answer came.
    """
    fd = make_stand_in(size)
    try:
        done = call_copy(
            [b"/proc/self/fd/%d" % fd], target, options, progress=None, cancel=cancel, expected_digest=None,
            timeout=timeout, start_agent=start_agent, contents=memory, fixed={**_FIXED, **fixed},
        )  # fmt: skip
    except EscpError as e:
        # What the system there said of the file itself is an answer, also after the end was told.
        number = e.__cause__.errno if isinstance(e.__cause__, OSError) and not e.is_unsafe else 0
        if memory.is_past and not number:
            raise OutcomeUnknown(f"whether '{name}' is written is not known: {e}") from e
        number = number or e.sys_errno
        if isinstance(e, RemoteFileError | RefusedError) and number and not e.is_unsafe:
            raise system_error(number, name) from e
        raise
    finally:
        os.close(fd)
        memory.let_go()  # jobs are circles, which the collector comes to when it likes
    for one in done.failed:
        if one.errno and done.error is None:  # without the command's advice
            raise system_error(one.errno, name)
    done.check()
    return done


def receive_memory(
    memory: BlockSink, source: Path, options: Mapping[str, object], *,
    name: str, cancel: Flag | None, start_agent: "StartAgent",
) -> Result:  # fmt: skip
    """Nothing is written: the root directory only stands for a target. Raises what kept the file back."""
    fixed = {**_FIXED, "is_target_exact": False}
    try:
        done = call_copy(
            [source], "/", options, progress=None, cancel=cancel, expected_digest=None,
            start_agent=start_agent, taker=memory, fixed=fixed,
        )  # fmt: skip
    except SomeFailedError as e:
        if isinstance(e.__cause__, OSError):  # as `check`: what the system there said
            raise OSError(e.__cause__.errno, e.__cause__.strerror, name) from e
        raise
    done.check()
    return done


class MemoryCopy:
    """A copy that runs in a thread. `stop` may be called by any, and at any time."""

    def __init__(self, memory: BlockSource | BlockSink, run: Callable[[threading.Event], Result]):
        self.memory = memory
        self.result: Result | None = None
        self.error: BaseException | None = None
        self._pid = os.getpid()
        self._cancel = threading.Event()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(run,), name="escp-blocks", daemon=True)
        self._thread.start()

    def _run(self, run: Callable[[threading.Event], Result]) -> None:
        try:
            self.result = run(self._cancel)
        except BaseException as e:
            self.error = e
        finally:
            self._is_over.set()
            if isinstance(self.memory, BlockSource):
                self.memory.stop()
            else:
                self.memory.end()

    @property
    def is_over(self) -> bool:
        return self._is_over.is_set()

    def wait(self, wait_s: float) -> bool:
        """Whether it is over."""
        return self._is_over.wait(wait_s)

    def stop(self) -> None:
        """End it, and wait until nothing of it is left, for END_S at most. Does nothing after a fork."""
        if os.getpid() != self._pid:
            return
        self._cancel.set()
        self.memory.stop()
        if threading.current_thread() is not self._thread:  # the collector runs in any
            self._thread.join(END_S)

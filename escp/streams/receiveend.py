"""The receiving end of a session in this process: its destination, a plane, and what that tells.

Both ends of a copy use it: the initiator for what is here, the agent for what is there.
"""

import os

from escp._fast.planes.plane import COPIED, CUT, FATAL, FILE_FAILED, FINISHED, PART, RESUMED
from escp._fast.planes.receive_plane import ReceivePlane
from escp.control.messages import Receive, Result
from escp.errors import LocalFileError, ProtocolError, RefusedError, RemoteFileError, explain_unsynced
from escp.failures import FAST_GONE, FAST_SYS, SEGMENT, Failure
from escp.lean.eventloop import EventLoop
from escp.names.destination import (
    Destination,
    check_proc,
    check_rights,
    explain_death,
    open_destination,
)
from escp.process.limits import share_for_receiver
from escp.streams.ends import OfferErrors, make_result, split_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from escp._fast.io.block_sink import BlockSink
    from escp.options.options import Options
    from escp.streams.endlistener import Listener, TellCopied
    from escp.streams.streams import Streams

SYNC_NAMES = "sync names"  # where the end of a copy with --fsync fails


class ReceiveEnd:
    """Writes what comes below the destination that *wanted* names."""

    def __init__(self, wanted: Receive, *, is_remote: bool):
        """Opens the target. Raises RefusedError, RemoteFileError or LocalFileError."""
        check_rights(wanted, is_remote=is_remote)
        check_proc(wanted, is_remote=is_remote)
        self.wanted = wanted
        self.allowed: set[bytes] | None = set() if wanted.has_roots else None  # directories, with --delete
        self._is_remote = is_remote
        # Without -p what --chmod makes of a mode is as new directories here have it. Else a push is as scp's.
        self._follows_umask = not is_remote or bool(wanted.mode_rules and not wanted.keeps_attributes)
        self.destination: Destination = open_destination(
            wanted.target, n_sources=wanted.n_sources, is_directory=wanted.is_directory, is_remote=is_remote,
            is_dry_run=wanted.is_dry_run, is_exact=wanted.is_target_exact, makes_path=wanted.makes_path,
            job=wanted.job if wanted.partial_min else b"", resumes=wanted.resumes,
            is_shared=wanted.engine == "shmem", follows_umask=self._follows_umask,
        )  # fmt: skip
        if wanted.reads_back and self.destination.in_place_fd >= 0:
            self.destination.close()
            raise RefusedError(
                f"option --verify: what went into '{os.fsdecode(wanted.target)}' can't be read back",
                "a pipe or device keeps nothing, or takes it in order: leave the option out",
            )
        self._expected: list[tuple[bytes, bytes]] = []
        self.max_large = 0  # files that may be open at a time, once `open` knows
        self.plane: ReceivePlane | None = None
        self.is_finished = False  # as SendEnd's
        self._loop: EventLoop | None = None

    @property
    def is_remote(self) -> bool:
        """Whether this process is another host's agent."""
        return self._is_remote

    @property
    def names_below(self) -> bool:
        """Whether the sources' names go below the target."""
        return self.destination.is_directory

    @property
    def is_in_order(self) -> bool:
        """Whether the target is a pipe or device: it takes its bytes one after the other, from one stream."""
        return self.destination.in_place_fd >= 0 and self.wanted.engine != "shmem"

    def expect(self, names: "Sequence[bytes]", digests: "Sequence[bytes]") -> None:
        """Before `open`: as `Expect`. Raises RefusedError for a target that is written at once."""
        if names:
            from escp.streams.expected import take_expected  # not at the top: only programs expect digests

            self._expected += take_expected(
                self.wanted, names, digests, n_before=len(self._expected),
                names_below=self.names_below, is_in_order=self.is_in_order,
            )  # fmt: skip

    def open(
        self,
        *,
        n_streams: int,
        block_bytes: int,
        loop: EventLoop,
        listener: "Listener",
        direct_bytes: int = 0,
        reconnects: bool = False,
        memory: "BlockSink | None" = None,
        tell_copied: "TellCopied | None" = None,
    ) -> None:
        """Make the plane; *memory* takes what comes in place of files; *tell_copied* as SendEnd.

        Raises ProtocolError when it is not offered here, OSError as SendEnd.
        """
        holds_small = self.wanted.is_durable or self.wanted.reads_back
        n_cached, self.max_large, n_held, n_dirty = share_for_receiver(
            n_streams, holds_small=holds_small, is_durable=self.wanted.is_durable
        )
        with OfferErrors(), _SharingErrors(self.wanted, is_remote=self._is_remote):
            self.plane = ReceivePlane(
                self.wanted, n_streams=n_streams, block_bytes=block_bytes, direct_bytes=direct_bytes,
                n_cached=n_cached, n_held=n_held, n_dirty=n_dirty, root_fd=self.destination.root_fd,
                target_name=self.destination.name, in_place_fd=self.destination.in_place_fd,
                follows_umask=self._follows_umask,
                brings_root=not (self.destination.is_directory or self.destination.name),
                has_old_root=self.destination.was_there,
                reconnects=reconnects, memory=memory,
            )  # fmt: skip
            for path, digest in self._expected:
                self.plane.expect(path, digest)
        self._expected.clear()
        self._tell_copied = tell_copied
        if tell_copied is not None:
            self.plane.tell_copied()
        self._loop, self._listener = loop, listener
        loop.watch(self.plane.event_fd, self.take_events)

    @property
    def tells_missing(self) -> bool:
        return self.wanted.tells_missing

    def allow(self, names: "Sequence[bytes]", directories: "Sequence[bool]", sender: str) -> None:
        """These names may be written from now on, and with -r what is below those that are directories.

        *sender*: who offers them.
        """
        assert self.plane is not None
        if self.wanted.deletes and self.allowed is not None:
            self.allowed.update(name for name, flag in zip(names, directories, strict=False) if flag)
        if not hears_of_roots(self.wanted):
            return
        try:
            for name, is_directory in zip(names, directories, strict=True):
                self.plane.allow(name, is_directory and self.wanted.is_recursive)
        except (ValueError, OverflowError) as e:
            raise ProtocolError(f"{sender} offers what can't come any more: {e}") from e

    def start(self, streams: "Streams") -> None:
        assert self.plane is not None
        streams.attach_to(self.plane)
        self.plane.start()

    def take_events(self) -> None:
        assert self.plane is not None
        for kind, code, sys_errno, where, offset, _, path in self.plane.take_events():
            if kind == FINISHED:
                self.is_finished = True
                self._listener.end_finished(self)
            elif kind == FATAL and code == FAST_GONE:
                raise explain_death(self.wanted.target, sys_errno, is_remote=self._is_remote)
            elif kind == FATAL and code == FAST_SYS and where == SYNC_NAMES:
                raise explain_unsynced(self.wanted.target, sys_errno, is_remote=self._is_remote)
            elif kind == FATAL:
                self._listener.end_failed(Failure(code, sys_errno, where, stream=offset))
            elif kind == CUT:
                self._listener.stream_lost(offset, Failure(code, sys_errno, where, stream=offset))
            elif kind == RESUMED:
                self._listener.stream_resumed(offset)
            elif kind == FILE_FAILED:
                self._listener.file_failed(self, Failure(code, sys_errno, where), path, is_receiver=True)
            elif kind == COPIED and self._tell_copied is not None:
                self._tell_copied(*split_digest(path), where, offset)
            elif kind == PART:
                self._listener.part_told(path, where, offset)

    def counters(self) -> dict[str, int]:
        assert self.plane is not None
        return self.plane.counters()

    def result(self) -> Result:
        return make_result(self.counters())

    def hold_events(self, *, is_held: bool) -> None:
        """As SendEnd's."""
        if self.plane is not None and self._loop is not None:
            if is_held:
                self._loop.unwatch(self.plane.event_fd)
            else:
                self._loop.watch(self.plane.event_fd, self.take_events)

    def forget(self) -> None:
        """All has come: nobody will go on with it."""
        self.destination.forget()

    def stop(self) -> None:
        """Begin to end the plane; `close` waits for that."""
        if self.plane is not None:
            self.plane.stop()

    def close(self) -> None:
        """Drop what is unfinished."""
        if self.plane is not None:
            assert self._loop is not None
            self._loop.unwatch(self.plane.event_fd)
            self.plane.stop()
            self.plane.join()
            self.plane = None
        self.destination.close()


class _SharingErrors:
    """Says of a target that another program should share why it can't be had."""

    def __init__(self, wanted: Receive, *, is_remote: bool):
        self._wanted, self._is_remote = wanted, is_remote

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError) and self._wanted.engine == "shmem":
            shown = os.fsdecode(self._wanted.target)
            reason = Failure(FAST_SYS, error.errno or 0, SEGMENT).reason
            raise (RemoteFileError if self._is_remote else LocalFileError)(
                f"can't share '{shown}': {reason}", "shmem.md says how a program shares its memory"
            ) from error


def hears_of_roots(wanted: "Receive | Options") -> bool:
    """Whether the sources' names reach the receiver: not in a dry run that asks it nothing."""
    return not wanted.is_dry_run or wanted.selection != "all" or wanted.itemizes

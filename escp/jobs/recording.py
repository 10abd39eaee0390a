"""--manifest: which files have arrived, and once all is copied what their digests are at the target.

The digest of a large file that the copy itself computes is one of slices, in any order; a standard tool needs
the whole file's, in order. So it is read once more, at the target.
"""

from collections.abc import Iterator, Sequence

from escp.control.messages import Message
from escp.control.survey import Measured
from escp.errors import ProtocolError, describe_errno, may_pass
from escp.jobs.measuring import Measuring, Place
from escp.names.manifest import Entry, is_inside
from escp.names.spool import Spool
from escp.options.options import Options
from escp.ui.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.lean.eventloop import EventLoop
    from escp.names.manifestfile import ManifestFile
    from escp.remote.agentlink import AgentLink


class Recording:
    """Of one job: `add` what has arrived, then `begin`, and `step` until it is done."""

    def __init__(self, options: Options, file: "ManifestFile", watcher: Events):
        self._options, self._file, self._watcher = options, file, watcher
        self._names = Spool()
        self._agent: AgentLink | None = None
        self._place: Place | None = None
        self._measuring: Measuring | None = None
        self._is_one_file = False  # the target itself is the file
        self.n_failed = 0

    def add(self, path: bytes) -> None:
        """A file that is at the target: *path* as of `Itemized`, looked at by `Told`."""
        name = path.removeprefix(b"/")
        if not path:
            self._is_one_file = True
            name = self._options.target.path.rpartition(b"/")[2]
        if not is_inside(name):
            raise ProtocolError("the other escp tells of a file that is none of what was copied")
        self._names.add(name)

    def add_trees(self, names: Sequence[bytes], directories: Sequence[object]) -> None:
        """Roots, as paths below the target; of those that are directories all is copied."""
        for name, is_directory in zip(names, directories, strict=True):
            if is_directory and self._options.is_recursive:
                self._file.add_tree(name)

    def begin(self, agent: "AgentLink | None", loop: "EventLoop") -> None:
        """*agent*: where the target is; None: here."""
        path = self._options.target.path
        if self._is_one_file:
            path = path.rpartition(b"/")[0] or (b"/" if path.startswith(b"/") else b"")
        self._agent = agent
        self._place = Place(agent, loop, self._take)
        # Nothing was written through a link that leads out. But the one file's own place may be a link.
        self._measuring = Measuring(self._place, path, self._read_names(), is_confined=not self._is_one_file)

    @property
    def has_begun(self) -> bool:
        return self._measuring is not None

    @property
    def is_done(self) -> bool:
        return self._measuring is not None and self._measuring.is_done

    def step(self) -> None:
        assert self._place and self._measuring
        self._place.tick()
        self._measuring.ask()

    def take_from(self, agent: "AgentLink", message: Message) -> bool:
        if agent is not self._agent or not isinstance(message, Measured):
            return False
        self._take(message)
        return True

    def close(self) -> None:
        if self._place is not None:
            self._place.close()
        self._names.close()

    def _read_names(self) -> Iterator[bytes]:
        at = 0
        while at < self._names.end:
            name, at = self._names.read(at)
            yield name

    def _take(self, message: Message) -> None:
        assert isinstance(message, Measured) and self._measuring
        for one in self._measuring.take(message):
            if one.sys_errno:
                self._fail(one.name, one.sys_errno)
                continue
            self._file.add(Entry(one.name, one.digest, one.size, one.mtime_ns))
            self._watcher.digested(one.name, one.digest, one.size, one.mtime_ns)

    def _fail(self, name: bytes, number: int) -> None:
        self.n_failed += 1
        self._watcher.file_error(
            self._options.target.below(name) if not self._is_one_file else self._options.target.path,
            f"it is not in the manifest: {describe_errno(number)}", host=self._options.target.host,
            sys_errno=number, is_passing=may_pass(number),
        )  # fmt: skip

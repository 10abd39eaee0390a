"""escp.connect(): one login for many copies, and for what a program does with the files of another host."""

import errno
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import index
from typing import Self, TypeVar

from escp.api.copy import Flag, call_copy, log
from escp.api.entry import Entry, read_entries
from escp.api.expected import Digest as Expectation
from escp.api.outcome import Progress, Result
from escp.api.waiting import LEFT_OUT, find_timeout, make_look
from escp.api.words import NOT_OF_CONNECTIONS, OF_LOGINS, Path, check_options, read_call
from escp.control.messages import Message
from escp.control.questions import (
    MAX_READ_BYTES,
    Change,
    Changed,
    Digest,
    Digested,
    Entries,
    Look,
    Store,
    Stored,
)
from escp.errors import EscpError, ProtocolError, UsageError, system_error
from escp.names.globbing import quote
from escp.options.location import parse_location
from escp.remote.connection import Connection
from escp.remote.filelink import FileLinks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from escp.api.blocks import Blocks, BlockWriter
    from escp.remote.child import AgentProcess
    from escp.streams.blocks import BlockSource

DEFAULT_BLOCK = 1 << 22  # of what is written block by block
_Answer = TypeVar("_Answer", Entries, Changed, Digested, Stored)


def connect(
    host: str, *, timeout: float | None = None, cancel: Flag | None = None, **options: object
) -> "Remote":
    """Log in to *host* (`[user@]host`, scp://[user@]host[:port] or tls://host[:port]), once; docs/api.md.

    *timeout*: seconds for the login, and for each call of the connection that names no other; None: none.
    *cancel*: looked at while it logs in. *options*: as escp.copy's; they are the connection's own (`ssh_…`,
    `escp`, …), or what its copies do unless a call says otherwise.

    Raises what escp.copy raises when it can't log in.
    """
    return Remote(host, timeout, cancel, options)


class Remote:
    """A host that a program is connected with. Any number of threads may use it at the same time."""

    SMALL_BYTES = MAX_READ_BYTES  # that `write` sends through ssh

    def __init__(self, host: str, timeout: float | None, cancel: Flag | None, options: Mapping[str, object]):
        start_s = time.monotonic()
        if not isinstance(host, str):
            raise TypeError(f"escp.connect: a host is a str, not {type(host).__name__}")
        base = parse_location(
            os.fsencode(host if host.startswith("scp://") or host[:6].lower() == "tls://" else f"{host}:")
        )
        if base.path or not base.is_remote:
            raise UsageError(f"escp.connect: '{host}' is not a host", "write host, or user@host")
        self._base = base
        self._timeout = find_timeout(timeout)
        self._options = dict(options)
        _refuse(NOT_OF_CONNECTIONS, options, "it can't be had over a connection", "use escp.copy for it")
        chosen = read_call([os.fsencode(str(base))], ".", self._options)
        self._connection = Connection(
            chosen, chosen.sources[0], note=lambda text: log.debug("%s", text),
            words=lambda name, line: log.info("%s: %s", name, line),
            look=make_look(start_s, self._timeout, cancel),
        )  # fmt: skip
        self._links = FileLinks(self._connection)
        self._end = weakref.finalize(self, _close, self._links, self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<escp.Remote {self.host}>"

    @property
    def host(self) -> str:
        return self._base.ssh_destination()

    @property
    def is_open(self) -> bool:
        """Whether calls may still work: it is not closed, not known to be lost, and of this process."""
        try:
            self._connection.check()
        except EscpError:
            return False
        return True

    def close(self) -> None:
        """End the connection, and what it still does: calls in other threads raise. May be called again."""
        self._end()

    # ---- Copies -------------------------------------------------------------------------------------

    def put(
        self, sources: Path | Iterable[Path], target: Path = "", *,
        progress: Callable[[Progress], object] | None = None, cancel: Flag | None = None,
        timeout: object = LEFT_OUT, expected_digest: Expectation | Mapping[Path, Expectation] | None = None,
        **options: object,
    ) -> Result:  # fmt: skip
        """Copy *sources*, which are here, to *target* there: as escp.copy does."""
        here = _list_paths(sources, _here)
        return self._copy(here, self._there(target), progress, cancel, timeout, expected_digest, options)

    def get(
        self, sources: Path | Iterable[Path], target: Path, *,
        progress: Callable[[Progress], object] | None = None, cancel: Flag | None = None,
        timeout: object = LEFT_OUT, expected_digest: Expectation | Mapping[Path, Expectation] | None = None,
        **options: object,
    ) -> Result:  # fmt: skip
        """Copy *sources*, which are there, to *target* here. Patterns in them are expanded there."""
        return self._copy(
            _list_paths(sources, self._there),
            _here(target),
            progress,
            cancel,
            timeout,
            expected_digest,
            options,
        )

    def _copy(
        self, sources: list[Path], target: Path, progress: Callable[[Progress], object] | None,
        cancel: Flag | None, timeout: object, expected: Expectation | Mapping[Path, Expectation] | None,
        options: Mapping[str, object],
    ) -> Result:  # fmt: skip
        _refuse(OF_LOGINS, options, "it is the connection's", "give it to escp.connect")
        _refuse(NOT_OF_CONNECTIONS, options, "it can't be had over a connection", "use escp.copy for it")
        look = self._look(timeout, cancel)
        return call_copy(
            sources, target, {**self._options, **options}, progress=progress, cancel=cancel,
            expected_digest=expected, timeout=self._find_timeout(timeout),
            start_agent=lambda _: self._connection.begin(look),
        )  # fmt: skip

    # ---- Files there --------------------------------------------------------------------------------

    def stat(
        self,
        path: Path,
        *,
        follow_symlinks: bool = True,
        timeout: object = LEFT_OUT,
        cancel: Flag | None = None,
    ) -> Entry:
        """What is there of that name. Raises FileNotFoundError and its like, as all of these."""
        answer = self._ask(Look(os.fsencode(path), follow_symlinks), Entries, path, timeout, cancel)
        found = read_entries(answer, is_listing=False)
        if len(found) != 1:
            raise ProtocolError(f"the remote escp on {self.host} answers something else")
        return replace(found[0], name=os.fsdecode(path))

    def exists(self, path: Path, *, timeout: object = LEFT_OUT, cancel: Flag | None = None) -> bool:
        """Whether there is something; of a link, what it leads to."""
        try:
            self.stat(path, timeout=timeout, cancel=cancel)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def list(self, path: Path = "", *, timeout: object = LEFT_OUT, cancel: Flag | None = None) -> list[Entry]:
        """What is in a directory, links not followed, in no order."""
        found: list[Entry] = []
        for page in self._links.list(os.fsencode(path), self._look(timeout, cancel)):
            self._check(page.sys_errno, path)
            found += read_entries(page, is_listing=True)
        return found

    def mkdir(
        self, path: Path, *, parents: bool = False, exist_ok: bool = False,
        timeout: object = LEFT_OUT, cancel: Flag | None = None,
    ) -> None:  # fmt: skip
        """As pathlib's. *parents*: those above, too."""
        if parents and exist_ok:
            return self._change("mkdirs", path, "", timeout, cancel)
        above = os.path.dirname(os.fsencode(path).rstrip(b"/"))
        if parents and above:
            self._change("mkdirs", above, "", timeout, cancel)
        try:
            self._change("mkdir", path, "", timeout, cancel)
        except FileExistsError:
            if not exist_ok or not self.stat(path, timeout=timeout, cancel=cancel).is_directory:
                raise
        return None

    def remove(
        self, path: Path, *, recursive: bool = False, timeout: object = LEFT_OUT, cancel: Flag | None = None
    ) -> None:
        """A file, a link, or an empty directory; with *recursive* a directory and all that is in it."""
        self._change("rmtree" if recursive else "remove", path, "", timeout, cancel)

    def rename(
        self, path: Path, to: Path, *, replace: bool = False,
        timeout: object = LEFT_OUT, cancel: Flag | None = None,
    ) -> None:  # fmt: skip
        """*replace*: a file that is there. Otherwise that raises FileExistsError."""
        try:
            self._change("replace" if replace else "rename", path, to, timeout, cancel)
        except OSError as e:  # it may be about the other name
            e.filename2 = os.fsdecode(to)
            raise

    def digest(self, path: Path, *, timeout: object = LEFT_OUT, cancel: Flag | None = None) -> bytes:
        """As escp.digest, of a file there: only the 16 bytes travel."""
        answer = self._ask(Digest(os.fsencode(path)), Digested, path, timeout, cancel)
        if len(answer.digest) != 16:
            raise ProtocolError(f"the remote escp on {self.host} tells a digest that is none")
        return answer.digest

    def read(
        self, path: Path, offset: int = 0, length: int | None = None, *,
        timeout: object = LEFT_OUT, cancel: Flag | None = None,
    ) -> bytes:  # fmt: skip
        """Some bytes of a file, through ssh; fewer than *length* at its end. None: all that is left."""
        return self.read_stamped(path, offset, length, timeout=timeout, cancel=cancel)[0]

    def read_stamped(
        self, path: Path, offset: int = 0, length: int | None = None, *,
        timeout: object = LEFT_OUT, cancel: Flag | None = None,
    ) -> tuple[bytes, bytes]:  # fmt: skip
        """The same, and what is equal as long as the file is the same and unchanged. Not for programs."""
        offset, length = index(offset), None if length is None else index(length)
        if offset < 0 or (length is not None and length < 0):
            raise ValueError("offset and length count bytes")
        if offset >= 1 << 63:  # no message holds it, and the agent there would end
            raise ValueError("an offset is below 2^63")
        try:
            return self._links.read(os.fsencode(path), offset, length, self._look(timeout, cancel))
        except OSError as e:
            raise system_error(e.errno or 0, os.fsdecode(path)) from None

    def write(
        self, path: Path, data: "Buffer", *, exclusive: bool = False,
        timeout: object = LEFT_OUT, cancel: Flag | None = None,
    ) -> None:  # fmt: skip
        """Make *path* a file of these bytes, verified; it gets its name when all of it is there.

        *exclusive*: nothing that is there is replaced; FileExistsError. Up to SMALL_BYTES go through ssh, in
        one round trip; more over streams, as by `put`.
        """
        with memoryview(data) as whole:
            if not whole.c_contiguous:
                raise ValueError("the buffer is not contiguous: give a copy of it")
            n = whole.nbytes
            contents = whole.tobytes() if n <= self.SMALL_BYTES else b""
        if n > self.SMALL_BYTES:
            if exclusive and self.exists(path, timeout=timeout, cancel=cancel):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(path))
            self._write_large(path, data, n, timeout, cancel)
            return
        from escp.streams.digests import digest_of  # not at the top: native code

        question = Store(os.fsencode(path), contents, digest_of(contents), exclusive)
        self._ask(question, Stored, path, timeout, cancel)

    def _write_large(self, path: Path, data: "Buffer", n: int, timeout: object, cancel: Flag | None) -> None:
        from escp.api.memory import FOR_WRITING, send_memory  # not at the top: native code
        from escp.streams.blocks import SLICE_BYTES, BlockSource  # not at the top, as above

        look = self._look(timeout, cancel)
        send_memory(
            BlockSource(n, 0, SLICE_BYTES, data), n, self._there(path),
            self._take_options("write", FOR_WRITING, {}), name=os.fsdecode(path), cancel=cancel,
            timeout=self._find_timeout(timeout), start_agent=lambda _: self._connection.begin(look),
        )  # fmt: skip

    def open_blocks(
        self, name: Path, *, size: int | None = None, block: int = DEFAULT_BLOCK,
        timeout: object = LEFT_OUT, **options: object,
    ) -> "BlockWriter":  # fmt: skip
        """Write the file *name* block by block, in any order and from several threads; docs/api.md.

        *size*: of the file, in bytes; None: its end is where its last block ends. Then, and for small ones,
        all is kept in a file here until `commit`. *block*: 4 KiB to 32 MiB. *timeout*: of each call of what
        this returns. *options*: of escp.copy those about streams, and `fsync`, `verify`, `chmod`, `mkpath`.
        """
        from escp.api.blocks import BlockWriter  # not at the top: native code
        from escp.api.memory import FOR_WRITING, MemoryCopy, send_memory  # not at the top, as above

        chosen = self._take_options("open_blocks", FOR_WRITING, options)
        chosen_timeout = self._find_timeout(timeout)
        connection, target, shown = self._connection, self._there(name), os.fsdecode(name)

        def start(source: "BlockSource", n: int, stream_block: int) -> MemoryCopy:
            fixed = {"block_bytes": stream_block, "reconnect_s": 0} if stream_block else {}

            def run(cancel: Flag) -> Result:
                look = make_look(time.monotonic(), None, cancel)
                return send_memory(
                    source, n, target, chosen, name=shown, cancel=cancel, timeout=None,
                    start_agent=lambda _: connection.begin(look), **fixed,
                )  # fmt: skip

            return MemoryCopy(source, run)

        return BlockWriter(
            shown, size, block, start=start,
            look=lambda own, cancel: self._look(chosen_timeout if own is LEFT_OUT else own, cancel),
        )  # fmt: skip

    def receive_blocks(self, name: Path, *, timeout: object = LEFT_OUT, **options: object) -> "Blocks":
        """The contents of the file *name*, as blocks in no order, each verified; docs/api.md.

        *timeout*: for each block. *options*: of escp.copy those about streams, and `blocksize`.
        """
        from escp.api.blocks import begin_receiving  # not at the top: native code
        from escp.api.memory import FOR_RECEIVING  # not at the top, as above

        chosen_timeout = self._find_timeout(timeout)
        connection = self._connection

        def begin(cancel: Flag) -> "AgentProcess":
            return connection.begin(make_look(time.monotonic(), None, cancel))

        return begin_receiving(
            self._there(quote(os.fsencode(name))), os.fsdecode(name),
            self._take_options("receive_blocks", FOR_RECEIVING, options), begin,
            lambda own, cancel: self._look(chosen_timeout if own is LEFT_OUT else own, cancel),
        )  # fmt: skip

    def _take_options(
        self, call: str, allowed: frozenset[str], options: Mapping[str, object]
    ) -> dict[str, object]:
        """Those of the call, which must be *allowed*, and those of the connection that are."""
        _refuse(OF_LOGINS, options, "it is the connection's", "give it to escp.connect")
        check_options(options, allowed, call)
        known = {name: value for name, value in self._options.items() if name in allowed | OF_LOGINS}
        return {**known, **options}

    def _change(self, what: str, path: Path, to: Path, timeout: object, cancel: Flag | None) -> None:
        self._ask(Change(what, os.fsencode(path), os.fsencode(to)), Changed, path, timeout, cancel)

    def _ask(
        self, question: Message, kind: type[_Answer], path: Path, timeout: object, cancel: Flag | None
    ) -> _Answer:
        answer = self._links.ask(question, self._look(timeout, cancel))
        if not isinstance(answer, kind):
            raise ProtocolError(f"the remote escp on {self.host} answers something else")
        failed = answer.path if isinstance(answer, Changed) and answer.path else path
        self._check(answer.sys_errno, failed)
        return answer

    def _check(self, sys_errno: int, path: Path) -> None:
        if sys_errno:
            raise system_error(sys_errno, os.fsdecode(path))

    # ---- Words, times -------------------------------------------------------------------------------

    def _there(self, path: Path) -> bytes:
        """*path* of the other host, as an operand."""
        return os.fsencode(str(self._base._replace(path=os.fsencode(path))))

    def _find_timeout(self, timeout: object) -> float | None:
        return find_timeout(self._timeout if timeout is LEFT_OUT else timeout)

    def _look(self, timeout: object, cancel: Flag | None) -> Callable[[], None]:
        return make_look(time.monotonic(), self._find_timeout(timeout), cancel)


def _close(links: FileLinks, connection: Connection) -> None:
    links.close()
    connection.close()


def _refuse(names: frozenset[str], options: Mapping[str, object], why: str, hint: str) -> None:
    for name in sorted(names & options.keys()):
        raise UsageError(f"option {name}: {why}", hint)


def _list_paths(paths: Path | Iterable[Path], word: Callable[[Path], Path]) -> list[Path]:
    return [word(path) for path in ([paths] if isinstance(paths, str | bytes | os.PathLike) else paths)]


def _here(path: Path) -> Path:
    """A path of this host, whatever it looks like."""
    name = os.fsencode(path)
    return name if os.path.isabs(name) else os.path.join(b".", name)

"""A file system of fsspec, `escp://host/path`: pandas, dask and zarr read and write through it (docs/api.md).

It is a client of `escp.connect`, and needs the package fsspec (`pip install 'escp[fsspec]'`).
"""

import contextlib
import datetime
import errno
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.utils import infer_storage_options, isfilelike

from escp.api.connection import Remote, connect
from escp.api.entry import Entry
from escp.api.openfiles import Reader, Text, Writer, check_mode
from escp.errors import EscpError
from escp.names.answers import store_file

_AT_ONCE_BYTES = 4 << 20  # larger files are fetched over streams of their own
# What fsspec, zarr or dask say to any file system: of the objects that it keeps, of lists that it caches, of
# asyncio. (Who asks for an asynchronous one looks at `async_impl` afterwards, and puts a thread in between.)
_OF_FSSPEC = (
    "skip_instance_cache", "use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop",
    "batch_size",
)  # fmt: skip


class _Logins:
    """Those of this process, by their arguments: fsspec keeps an object of the same ones for each thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakValueDictionary[str, Remote] = weakref.WeakValueDictionary()

    def find(self, host: str, options: dict[str, Any]) -> Remote:
        """The one that there is. A new one, if there is none or if it was lost."""
        key = repr((host, sorted(options.items())))
        with self._lock:
            remote = self._known.get(key)
            if remote is None or not remote.is_open:
                remote = self._known[key] = connect(host, **options)
            return remote


_logins = _Logins()
os.register_at_fork(after_in_child=_logins.__init__)  # type: ignore[misc]  # those stay with the parent


class EscpFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The files of one host, over one login. *options*: those of `escp.connect`.

    Any number of threads may use it. Paths are absolute. Nothing is cached but what open files read ahead.
    """

    protocol = "escp"
    root_marker = "/"

    def __init__(
        self, host: str, user: str | None = None, port: int | None = None, *, agent: str | None = None,
        **options: Any,
    ):  # fmt: skip
        """*agent*: the option `escp`, which fsspec takes for the protocol where it has an address."""
        if self._cached:
            return
        own = {name: options.pop(name) for name in _OF_FSSPEC if name in options}
        super().__init__(host=host, **own)
        self.host = host
        where = f"[{host}]" if ":" in host else host
        where = f"{user}@{where}" if user else where
        if agent is not None:
            options["escp"] = agent
        self._place = f"{where}:{port}" if port else where
        self._address = f"scp://{self._place}" if port else where
        self._options = options
        self._is_closed = False
        self._remote = _logins.find(self._address, options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = os.fspath(path)
        if text.startswith("escp://"):
            text = "/" + text.removeprefix("escp://").partition("/")[2]
        return "/" + text.strip("/") if text.strip("/") else cls.root_marker

    def unstrip_protocol(self, name: Any) -> str:
        """With the host: fsspec's own knows of none, and its address is of no file."""
        return f"escp://{self._place}{self._strip_protocol(name)}"

    @staticmethod
    def _get_kwargs_from_urls(url: str) -> dict[str, Any]:
        place = url.partition("://")[2].partition("/")[0]
        before, is_address, after = place.partition("[")
        address, _, behind = after.partition("]")  # an IPv6 address, whose colons begin no port
        found = infer_storage_options(f"escp://{before}host{behind}/" if is_address else url)
        if is_address:
            found["host"] = address
        names = {"host": "host", "username": "user", "port": "port"}
        return {names[name]: found[name] for name in names if found.get(name)}

    @property
    def remote(self) -> Remote:
        """The login; after one that was lost, and in a child of fork(), another one."""
        if not self._is_closed and not self._remote.is_open:
            self._remote = _logins.find(self._address, self._options)
        return self._remote

    def close(self) -> None:
        """End the login. Who asks fsspec for these arguments afterwards gets another object."""
        self._is_closed = True
        type(self)._cache.pop(self._fs_token, None)
        self._remote.close()

    # ---- What is there ------------------------------------------------------------------------------

    def info(self, path: Any, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        one = self.remote.stat(path, follow_symlinks=False)
        return self._describe(path, one)

    def _describe(self, path: str, one: Entry) -> dict[str, Any]:
        """A link is what it leads to, as fsspec's local file system has it."""
        is_link = one.type == "link"
        if is_link:
            with contextlib.suppress(OSError):  # it leads nowhere
                one = self.remote.stat(path)
        return {
            "name": path, "size": one.size, "type": one.type, "mtime": one.mtime, "mode": one.mode,
            "uid": one.uid, "gid": one.gid, "ino": one.inode, "nlink": one.n_links, "islink": is_link,
        }  # fmt: skip

    def exists(self, path: Any, **_: Any) -> bool:
        return self._find_type(path) != ""

    def isfile(self, path: Any) -> bool:
        return self._find_type(path) == "file"

    def isdir(self, path: Any) -> bool:
        return self._find_type(path) == "directory"

    def _find_type(self, path: Any) -> str:
        """Empty where there is nothing. fsspec's own take any error for that, a lost connection, too."""
        try:
            return str(self.info(path)["type"])
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def walk(
        self,
        path: Any,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = "omit",
        **more: Any,
    ) -> Iterator[Any]:
        """Through what links lead to, as well, but where one leads back to where it is: that has no end."""
        more["walks"] = True
        yield from super().walk(path, maxdepth=maxdepth, topdown=topdown, on_error=on_error, **more)

    def _leads_back(self, path: str, one: dict[str, Any]) -> bool:
        """Whether a link in *path* leads to that, or to one above. No device is told: so all else."""
        told = [name for name in one if name not in ("name", "islink")]
        for above in (path, *_list_above(path)):
            its = self.info(above)
            if all(its[name] == one[name] for name in told):
                return True
        return False

    def ls(self, path: Any, detail: bool = True, walks: bool = False, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        try:
            entries = self.remote.list(path)
        except NotADirectoryError:
            found = [self.info(path)]
        else:
            base = path.rstrip("/")
            found = [self._describe(f"{base}/{one.name}", one) for one in entries]
        for one in found:
            if walks and one["islink"] and one["type"] == "directory" and self._leads_back(path, one):
                one["type"] = "link"
        found.sort(key=lambda one: one["name"])
        return found if detail else [one["name"] for one in found]

    def modified(self, path: Any) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], tz=datetime.UTC)

    def created(self, path: Any) -> datetime.datetime:
        raise NotImplementedError("a host does not tell when a file was made")

    def checksum(self, path: Any) -> int:
        """Of the contents: escp's digest, as a number."""
        return int.from_bytes(self.remote.digest(self._strip_protocol(path)), "big")

    # ---- Changes ------------------------------------------------------------------------------------

    def mkdir(self, path: Any, create_parents: bool = True, **_: Any) -> None:
        self.remote.mkdir(self._strip_protocol(path), parents=create_parents)

    def makedirs(self, path: Any, exist_ok: bool = False) -> None:
        self.remote.mkdir(self._strip_protocol(path), parents=True, exist_ok=exist_ok)

    def rmdir(self, path: Any) -> None:
        path = self._strip_protocol(path)
        if not self.remote.stat(path, follow_symlinks=False).is_directory:
            raise NotADirectoryError(path)
        self.remote.remove(path)

    def rm_file(self, path: Any) -> None:
        self.remote.remove(self._strip_protocol(path))

    def _rm(self, path: Any) -> None:
        self.rm_file(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        if not recursive or maxdepth is not None:
            super().rm(path, recursive=recursive, maxdepth=maxdepth)
            return
        removed: set[str] = set()
        for one in self.expand_path(path):  # patterns, but not what is below; in order
            if not removed.isdisjoint(_list_above(one)):
                continue
            self.remote.remove(one, recursive=True)
            removed.add(one)

    def mv(
        self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **_: Any
    ) -> None:
        """A rename there; a file that is there is replaced."""
        old, new = self._strip_protocol(path1), self._strip_protocol(path2)
        if old != new:
            if str(path2).endswith("/") or self.isdir(new):
                new = f"{new.rstrip('/')}/{os.path.basename(old)}"
            self.remote.rename(old, new, replace=True)

    mv_file = mv

    def cp_file(self, path1: Any, path2: Any, **_: Any) -> None:
        """Through here: escp has no copies within another host."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        with tempfile.TemporaryDirectory() as folder:
            here = os.path.join(folder, "copy")
            self.get_file(path1, here)
            self.put_file(here, path2)

    def touch(self, path: Any, truncate: bool = True, **_: Any) -> None:
        if not truncate and self.exists(path):
            raise NotImplementedError("times can't be set there")
        self.pipe_file(path, b"")

    # ---- Contents -----------------------------------------------------------------------------------

    def cat_file(self, path: Any, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        if (start or 0) < 0 or (end or 0) < 0 or (end is None and not start):
            size = self.remote.stat(path).size
            start = max(0, size + start) if start is not None and start < 0 else start
            end = max(0, size + end) if end is not None and end < 0 else end
            if not start and end is None and size > _AT_ONCE_BYTES:
                return self._fetch(path)
        start = start or 0
        return self.remote.read(path, start, None if end is None else max(0, end - start))

    def _fetch(self, path: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            here = os.path.join(folder, "contents")
            self.remote.get(_quote(path), here, no_target_directory=True).check()
            with open(here, "rb") as file:
                return file.read()

    def pipe_file(self, path: Any, value: Any, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        if self._intrans:  # it is there at the end of the transaction, or not at all
            with self.open(path, "xb" if mode == "create" else "wb") as file:
                file.write(value)
            return
        self._store(path, value, mode)

    def _store(self, path: str, value: Any, mode: str) -> None:
        self._with_parents(path, lambda: self.remote.write(path, value, exclusive=mode == "create"))

    def get_file(self, rpath: Any, lpath: Any, callback: Any = None, **_: Any) -> None:
        rpath = self._strip_protocol(rpath)
        one = self.remote.stat(rpath)
        if isfilelike(lpath):
            lpath.write(self.cat_file(rpath))
            return
        if one.is_directory:
            os.makedirs(lpath, exist_ok=True)
            return
        os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
        if callback is not None:
            callback.set_size(one.size)
        if one.size <= self.remote.SMALL_BYTES:
            data = self.remote.read(rpath)
            store_file(os.fsencode(lpath), data, is_new=False)
            if callback is not None:
                callback.absolute_update(len(data))
            return
        self.remote.get(
            _quote(rpath), os.fspath(lpath), no_target_directory=True, progress=_tell(callback)
        ).check()

    def put_file(
        self, lpath: Any, rpath: Any, callback: Any = None, mode: str = "overwrite", **_: Any
    ) -> None:
        rpath = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
        elif self._intrans:  # as in pipe_file
            with open(lpath, "rb") as file, self.open(rpath, "xb" if mode == "create" else "wb") as there:
                shutil.copyfileobj(file, there)
        else:
            self.send_file(lpath, rpath, callback, mode)

    def send_file(self, lpath: Any, rpath: str, callback: Any, mode: str) -> None:
        """At once, whatever the transaction is."""
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(rpath)
        size = os.path.getsize(lpath)
        if callback is not None:
            callback.set_size(size)
        if size <= self.remote.SMALL_BYTES:
            with open(lpath, "rb") as file:
                self._store(rpath, file.read(), mode)
            if callback is not None:
                callback.absolute_update(size)
            return
        self._with_parents(rpath, lambda: self.remote.put(
            os.fspath(lpath), rpath, no_target_directory=True, progress=_tell(callback)
        ).check())  # fmt: skip

    def _with_parents(self, path: str, write: Callable[[], object]) -> None:
        """As an object store has it: what leads to a file is made, where it is not there."""
        try:
            write()
        except (FileNotFoundError, EscpError) as e:
            if isinstance(e, EscpError) and e.sys_errno != errno.ENOENT:
                raise
            # That it is there by now says nothing: another thread may have made it just then.
            self.remote.mkdir(os.path.dirname(path), parents=True, exist_ok=True)
            write()

    def open(self, path: Any, mode: str = "rb", **more: Any) -> Any:
        mode = check_mode(mode)
        if "b" in mode:
            return super().open(path, mode, **more)
        words = {name: more.pop(name) for name in ("encoding", "errors", "newline") if name in more}
        return Text(self.open(path, mode + "b", **more), **words)

    def _open(self, path: Any, mode: str = "rb", block_size: Any = None, autocommit: bool = True,
              cache_options: Any = None, **more: Any) -> Any:  # fmt: skip
        if mode == "rb":
            return Reader(self, path, mode, block_size or "default", autocommit=autocommit,
                          cache_options=cache_options, **more)  # fmt: skip
        path = self._strip_protocol(path)
        if mode[0] == "x" and self.exists(path):
            raise FileExistsError(path)
        file = Writer(self, path, mode, autocommit=autocommit)
        if not autocommit and mode[0] == "r":  # fsspec takes it for one that is read
            self.transaction.files.append(file)
        return file


def _list_above(path: str) -> Iterator[str]:
    while len(path) > 1:
        path = os.path.dirname(path)
        yield path


def _quote(path: str) -> str:
    """A name, not a pattern: what has a meaning there is behind a backslash."""
    return "".join("\\" + one if one in "*?[]\\" else one for one in path)


def _tell(callback: Any) -> Callable[[Any], object] | None:
    return None if callback is None else lambda now: callback.absolute_update(now.bytes_done)

"""The files of one party: key, certificate, whom it trusts, whose certificates are taken back, who is who.

A secret is in `key.pem` (an authority's: `ca-key.pem`) and nowhere else on the disk. Those two are made 0600,
and are refused where anybody else could read or write them.
"""

import os
import stat

from escp.errors import EscpError, LocalFileError, UsageError, describe_errno
from escp.lean.record import Record
from escp.process.environment import find_absolute

MAX_FILE_BYTES = 8 << 20  # a list of some 200,000 certificates that are taken back
CA, CA_KEY, CRL = "ca.pem", "ca-key.pem", "crl.pem"
CERTIFICATE, KEY, USERS = "cert.pem", "key.pem", "users"


class TlsError(EscpError):
    """A login by TLS that comes to nothing: the same exit code as ssh's."""

    exit_code = 10
    hint = "tls.md says how certificates are made, and where they belong"


class Folder(Record):
    """Where one party's files are."""

    path: str

    def find(self, name: str) -> str:
        return os.path.join(self.path, name)


def find_folder(named: str | None, *, is_daemon: bool) -> Folder:
    """*named*: by --tls-dir. A daemon of root's has its files below /etc."""
    if named is not None:
        return Folder(find_absolute(named))
    if is_daemon and os.geteuid() == 0:
        return Folder("/etc/escp/tls")
    config = os.environ.get("XDG_CONFIG_HOME", "")
    if not config.startswith("/"):
        config = os.path.join(os.path.expanduser("~"), ".config")
    return Folder(os.path.join(config, "escp", "listen" if is_daemon else "tls"))


def read_public(path: str) -> bytes:
    """A file that others may read, and only its owner or root may write. Raises LocalFileError."""
    return _read(path, stat.S_IWGRP | stat.S_IWOTH)


def read_secret(path: str) -> bytes:
    """A key. Raises LocalFileError, also where anybody else may do anything with it."""
    return _read(path, stat.S_IRWXG | stat.S_IRWXO)


def _read(path: str, refused: int) -> bytes:
    """The open file is looked at, not its name: nobody can change it in between."""
    _check_folder(os.path.dirname(path) or ".")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as e:
        raise LocalFileError(f"can't read '{path}': {describe_errno(e.errno or 0)}", TlsError.hint) from e
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise LocalFileError(f"'{path}' is no file", TlsError.hint)
        if found.st_uid not in (0, os.geteuid()):
            raise LocalFileError(
                f"'{path}' belongs to another user (uid {found.st_uid})", f"chown it: {path}"
            )
        if found.st_mode & refused:
            is_key = bool(refused & stat.S_IRGRP)
            raise LocalFileError(
                f"others may {'use' if is_key else 'write to'} '{path}' "
                f"(mode {stat.S_IMODE(found.st_mode):04o})",
                f"chmod {'600' if is_key else 'go-w'} {path}",
            )
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise LocalFileError(f"'{path}' is larger than {MAX_FILE_BYTES} bytes", "")
    return data


def _check_folder(path: str) -> None:
    """Whoever may write to it could put another file in a file's place. Raises LocalFileError."""
    try:
        found = os.stat(path)
    except OSError as e:
        raise LocalFileError(f"can't look at '{path}': {describe_errno(e.errno or 0)}", TlsError.hint) from e
    if found.st_uid not in (0, os.geteuid()):
        raise LocalFileError(f"'{path}' belongs to another user (uid {found.st_uid})", "chown it")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
        raise LocalFileError(f"others may write to '{path}'", f"chmod go-w {path}")


def make_folder(path: str) -> None:
    """Of one's own, 0700 where it is new."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as e:
        raise LocalFileError(f"can't make '{path}': {describe_errno(e.errno or 0)}") from e


def write_file(path: str, data: bytes, *, is_secret: bool = False, is_new: bool = False) -> None:
    """Whole or not at all, on the disk before it has its name; *is_new*: it must not be there."""
    if is_new and os.path.lexists(path):
        raise UsageError(f"'{path}' is there already", "choose another directory, or remove it yourself")
    temporary = f"{path}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600 if is_secret else 0o644)
            file.write(data)
            file.flush()
            os.fsync(fd)
        if is_new:
            os.link(temporary, path)  # not rename: a second one that makes it is refused
            os.unlink(temporary)
        else:
            os.rename(temporary, path)
    except OSError as e:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise LocalFileError(f"can't write '{path}': {describe_errno(e.errno or 0)}") from e


def explain_missing(error: ImportError) -> UsageError:
    """What to say where Python's ssl, or the package cryptography, is not there."""
    return UsageError(
        f"this escp can't log in by TLS: there is no {error.name or 'ssl'} in its Python",
        "install it: pip install 'escp[tls]'",
    )

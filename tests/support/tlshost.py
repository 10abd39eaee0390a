"""A host that lets users in by TLS: an authority, a daemon of the tests' own, and users with certificates."""

import datetime
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from escp.tls import authority
from escp.tls.keyfiles import Folder
from tests.support.command import COMMAND, ROOT
from tests.support.configuration import copy_environment
from tests.support.nobody import NOBODY, _open_folders
from tests.support.ports import Ports

IS_ROOT = os.getuid() == 0
# As whom users are let in.
ACCOUNT = pwd.getpwuid(NOBODY if IS_ROOT else os.getuid())
USER = "URI:escp:alice"
# In a mount namespace of its own /etc is a copy, with a file escp.conf that the test may write.
_OWN_ETC = 'cp -a /etc "$1" && mount --bind "$1/etc" /etc && shift && exec "$@"'
PAST = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=100)
FUTURE = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=10)


class TlsHost:
    """`ca`, `files` (the daemon's) and `user()`s lie in *folder*, which the account must be able to enter.

    *place*: where it listens, with {} for the port. *prefix* starts it elsewhere, in a network namespace.
    """

    def __init__(
        self,
        folder: Path,
        *,
        has_own_etc: bool = False,
        names: tuple[str, ...] = ("DNS:localhost", "IP:127.0.0.1"),
        place: str = "127.0.0.1:{}",
        prefix: tuple[str, ...] = (),
        make_ca: Callable[[str], None] = authority.make_ca,
    ):
        self.folder = folder
        self.ca = folder / "ca"
        self.files = folder / "files"
        make_ca(str(self.ca))
        authority.make_certificate(str(self.ca), str(self.files), names)
        self.map(f"{USER} {ACCOUNT.pw_name}")
        self._ports = Ports()
        self.port = self._ports.first
        self.log_file = folder / "log"
        self._place = place.format(self.port)
        self._prefix = (*prefix, *(_open_folders() if IS_ROOT else ()))
        self.config = folder / "etc" / "escp.conf"
        if has_own_etc:
            self._prefix += ("unshare", "--mount", "sh", "-c", _OWN_ETC, "sh", str(folder))
        self.process: subprocess.Popen | None = None

    def map(self, *lines: str) -> None:
        """What the file `users` says."""
        (self.files / "users").write_text("".join(f"{line}\n" for line in lines))

    def user(self, name: str = "alice", *names: str, **how: object) -> Path:
        """A folder for --tls-dir with a certificate of a user."""
        path = self.folder / name
        authority.make_certificate(str(how.pop("ca", self.ca)), str(path), names or [USER], **how)
        return path

    def start(self, *words: str, as_user: int | None = None, wait: bool = True) -> Self:
        command = [*self._prefix]
        if as_user is not None:
            command += ["setpriv", f"--reuid={as_user}", f"--regid={as_user}", "--clear-groups"]
        command += [*COMMAND, "--tls-dir", str(self.files), *words, "--listen", self._place]
        env = {**copy_environment(), "PYTHONPATH": str(ROOT)}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            self.wait_for("listening")
        return self

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for(self, words: str, within_s: float = 20.0) -> str:
        """The log, once it holds *words*."""
        end_s = time.monotonic() + within_s
        while words not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end_s, f"no {words!r} in {self.log}"
            time.sleep(0.02)
        return self.log

    def reload(self, words: str = "reloaded") -> None:
        """Have it read its files at once: else it does so within 2 s."""
        n = self.log.count(words)
        self.process.send_signal(signal.SIGHUP)
        end_s = time.monotonic() + 20
        while self.log.count(words) == n:
            assert time.monotonic() < end_s, self.log
            time.sleep(0.02)

    def place(self, path: Path | str, host: str = "127.0.0.1") -> str:
        return f"tls://{host}:{self.port}/{path}"

    @property
    def pid(self) -> int:
        """Of the daemon itself."""
        return self.process.pid  # all that is in front of it has become it

    def list_children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise
        self._ports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert "session failed" not in self.log and "Traceback" not in self.log, self.log


def s_client(host: TlsHost, *words: str | Path, send: bytes = b"", timeout_s: float = 20.0) -> str:
    """What `openssl s_client` says of a connection, with what came over it."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{host.port}", "-ign_eof", *map(str, words)]
    done = subprocess.run(command, input=send, capture_output=True, timeout=timeout_s, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def talk(host: TlsHost, *words: str | Path, until: bytes, within_s: float = 15.0) -> str:
    """The same of a connection that stands until *until* has come over it."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{host.port}", *map(str, words)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as one:
        os.set_blocking(one.stdout.fileno(), False)
        found, end_s = b"", time.monotonic() + within_s
        while until not in found and time.monotonic() < end_s:
            found += one.stdout.read() or b""
            time.sleep(0.02)
        one.kill()
    return found.decode(errors="replace")


def of(user: Path) -> list[str | Path]:
    """Words for s_client: the certificate of *user*."""
    return ["-cert", user / "cert.pem", "-key", user / "key.pem", "-CAfile", user / "ca.pem"]


def write_odd_certificate(
    host: TlsHost, path: Path, names: list[str], extensions: list[tuple[x509.ExtensionType, bool]]
) -> Path:
    """By the same authority, but not as --make-cert makes it: names are SAN URIs."""
    good = host.user(path.name)
    certificate, ca_key = authority._load_ca(Folder(str(host.ca)))
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    made = authority._begin(subject, certificate.subject, key, 10).add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names]), critical=False
    )
    for extension, is_critical in extensions:
        made = made.add_extension(extension, critical=is_critical)
    (good / "cert.pem").write_bytes(made.sign(ca_key, None).public_bytes(serialization.Encoding.PEM))
    (good / "key.pem").write_bytes(authority._dump_key(key))
    return good

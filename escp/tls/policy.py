"""Who may log in now: a daemon's files, read again when one of them has changed."""

import os
import ssl

from escp.errors import EscpError
from escp.options import configfile, rules
from escp.tls import keyfiles
from escp.tls.authority import read_authorities, read_crl
from escp.tls.certificate import Certificate
from escp.tls.context import make_context
from escp.tls.keyfiles import Folder, TlsError
from escp.tls.users import Entry, read_users

_NAMES = (keyfiles.KEY, keyfiles.CERTIFICATE, keyfiles.CA, keyfiles.CRL, keyfiles.USERS)


class Policy:
    """What the files say. Where they are broken nobody gets in."""

    def __init__(self, folder: Folder) -> None:
        """Raises EscpError: a daemon does not begin with broken files."""
        self._folder = folder
        self._seen = self._look()
        self._load()

    def _look(self) -> list[tuple[int, ...] | None]:
        found: list[tuple[int, ...] | None] = []
        for path in (*map(self._folder.find, _NAMES), configfile.SYSTEM_FILE):
            try:
                one = os.stat(path)
                found.append((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns))
            except OSError:
                found.append(None)
        return found

    def _load(self) -> None:
        self.error: EscpError | None = None
        try:
            self._context = make_context(self._folder, is_daemon=True)
            self._users = read_users(self._folder.find(keyfiles.USERS))
            authorities = read_authorities(self._folder.find(keyfiles.CA))
            self._trusted = {(one.issuer.public_bytes(), one.serial_number) for one in authorities}
            lists = read_crl(self._folder.find(keyfiles.CRL), authorities)
            self._revoked = {(crl.issuer.public_bytes(), one.serial_number) for crl in lists for one in crl}
            self._limits = _read_limits()
        except EscpError as e:
            self.error = e
            raise

    def reload(self, *, is_asked: bool) -> bool:
        """Read what has changed; whether anything did. Raises EscpError once for files that are broken."""
        seen = self._look()
        if seen == self._seen and not is_asked:
            return False
        self._seen = seen
        self._load()
        return True

    @property
    def context(self) -> ssl.SSLContext:
        """Where files are broken now, the one before: `find` then says so to whoever has shaken hands."""
        return self._context

    @property
    def limits(self) -> object:
        """What the `server:` block says: two that are equal let do the same."""
        return self._limits

    def find(self, certificate: Certificate) -> Entry:
        """As whom it may log in. Raises TlsError."""
        if self.error is not None:
            raise TlsError("its escp can't read its own files at the moment", "ask its administrator")
        for number in certificate.numbers:
            if number in self._revoked:
                whose = "" if number == certificate.numbers[0] else "an authority above "
                raise TlsError(
                    f"{whose}the certificate of {certificate.title} was revoked", "have a new one made"
                )
        if self._trusted.isdisjoint(certificate.above):  # OpenSSL has asked that when it logged in
            raise TlsError(
                f"the authority of the certificate of {certificate.title} is not in {keyfiles.CA} any more",
                "have one made by another authority",
            )
        return self._users.find(certificate)


def _read_limits() -> object:
    block = configfile.read_server_block(rules.KINDS, rules.OWN_KEYS)
    rules.make_rules(block, ())
    return None if block is None else [(one.key, one.value) for one in block.settings]

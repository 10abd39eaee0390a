"""A small authority: makes certificates for hosts and users, and takes them back. Ed25519 throughout.

A site that has one already needs none of this: docs/tls.md says what its certificates must have.
"""

import datetime
import fcntl
import ipaddress
import os
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from escp.errors import LocalFileError, UsageError
from escp.tls import keyfiles
from escp.tls.certificate import RULE, parse_rule, shorten
from escp.tls.keyfiles import Folder, TlsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CA_DAYS, HOST_DAYS, USER_DAYS = 3650, 397, 90
CRL_DAYS = 397
# The name of a file that is not there (ada, beef) must not look like a number.
_SERIAL = re.compile(r"0[xX][0-9a-fA-F]+|[0-9a-fA-F]{16,}")
_EARLY = datetime.timedelta(minutes=5)  # clocks of hosts differ
_NAMES_HINT = "DNS:dtn2.example.org or IP:192.0.2.7 for a host, URI:escp://site/alice for a user"


def make_ca(path: str) -> None:
    """A key, a certificate and an empty list of what is taken back, in a new directory. Raises EscpError."""
    keyfiles.make_folder(path)
    folder = Folder(path)
    for name in (keyfiles.CA, keyfiles.CA_KEY):
        if os.path.lexists(folder.find(name)):
            raise UsageError(f"'{folder.find(name)}' is there already", "choose another directory")
    key = Ed25519PrivateKey.generate()
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"escp CA {os.urandom(4).hex()}")])
    certificate = (
        _begin(title, title, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .sign(key, None)
    )
    keyfiles.write_file(folder.find(keyfiles.CA_KEY), _dump_key(key), is_secret=True, is_new=True)
    keyfiles.write_file(folder.find(keyfiles.CA), _dump(certificate), is_new=True)
    _write_crl(folder, certificate, key, [])


def make_certificate(
    ca: str, path: str, names: "Sequence[str]", days: int | None = None,
    not_before: datetime.datetime | None = None,
) -> str:  # fmt: skip
    """A key and a certificate in *path*, with the authority's certificate and list; its serial number.

    *names*: see `_NAMES_HINT`, and escp-rule:… for what its holder may not do. Raises EscpError.
    """
    folder, out = Folder(ca), Folder(path)
    hosts, uris = _parse_names(names)
    certificate, ca_key = _load_ca(folder)
    copied = {name: keyfiles.read_public(folder.find(name)) for name in (keyfiles.CA, keyfiles.CRL)}
    keyfiles.make_folder(path)
    for name in (keyfiles.KEY, keyfiles.CERTIFICATE):
        if os.path.lexists(out.find(name)):
            raise UsageError(f"'{out.find(name)}' is there already", "choose another directory, or remove it")
    key = Ed25519PrivateKey.generate()
    title = str(hosts[0].value if hosts else uris[0].value)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title[-64:])])
    use = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    made = (
        _begin(subject, certificate.subject, key, days or (HOST_DAYS if hosts else USER_DAYS), not_before)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=True)
        .add_extension(x509.SubjectAlternativeName([*hosts, *uris]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, None)
    )
    keyfiles.write_file(out.find(keyfiles.KEY), _dump_key(key), is_secret=True, is_new=True)
    keyfiles.write_file(out.find(keyfiles.CERTIFICATE), _dump(made), is_new=True)
    for name, data in copied.items():
        if not os.path.lexists(out.find(name)):
            keyfiles.write_file(out.find(name), data)
    return f"{made.serial_number:x}"


def revoke(ca: str, words: "Iterable[str]") -> list[str]:
    """Take certificates back: files, or serial numbers in hexadecimal. None: the list is only renewed.

    Returns the serial numbers. Raises EscpError.
    """
    folder = Folder(ca)
    certificate, key = _load_ca(folder)
    serials = [_find_serial(word, certificate) for word in words]
    fd = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # or what another one takes back meanwhile would not be in the list
        before = list(read_crl(folder.find(keyfiles.CRL), [certificate])[0])
        known = {entry.serial_number for entry in before}
        now = datetime.datetime.now(datetime.UTC)
        added = [
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            for serial in dict.fromkeys(serials) if serial not in known
        ]  # fmt: skip
        _write_crl(folder, certificate, key, [*before, *added])
    finally:
        os.close(fd)
    return [f"{serial:x}" for serial in serials]


def read_crl(path: str, authorities: "Sequence[x509.Certificate]") -> "list[x509.CertificateRevocationList]":
    """The lists in a file. Raises TlsError, LocalFileError.

    One at least is of *authorities*, and what bears the name of one is signed by it. Those of authorities in
    between, which come with whoever logs in, OpenSSL checks with the chain.
    """
    end = b"-----END X509 CRL-----"
    data = keyfiles.read_public(path)
    try:
        found = [x509.load_pem_x509_crl(part + end) for part in data.split(end)[:-1]]
    except ValueError as e:
        raise TlsError(f"'{path}' is no list of certificates that are taken back: {shorten(e)}") from e
    if not found:
        raise TlsError(f"'{path}' is no list of certificates that are taken back")
    named = {one.subject for one in authorities}
    own = [crl for crl in found if crl.issuer in named]
    if not own or not all(any(_has_signed(one, crl) for one in authorities) for crl in own):
        raise TlsError(f"'{path}' is not signed by an authority of {keyfiles.CA}")
    return found


def read_authorities(path: str) -> list[x509.Certificate]:
    """Raises TlsError, LocalFileError."""
    try:
        return x509.load_pem_x509_certificates(keyfiles.read_public(path))
    except ValueError as e:
        raise TlsError(f"'{path}' is no certificate: {shorten(e)}") from e


def _has_signed(one: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    if one.subject != crl.issuer:
        return False
    try:
        return crl.is_signature_valid(one.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError, ValueError):
        return False


def _parse_names(
    names: "Sequence[str]",
) -> tuple[list[x509.DNSName | x509.IPAddress], list[x509.UniformResourceIdentifier]]:
    hosts: list[x509.DNSName | x509.IPAddress] = []
    uris: list[x509.UniformResourceIdentifier] = []
    for word in names:
        kind, _, name = word.partition(":")
        try:
            if kind == "DNS" and re.fullmatch(r"[\w-]+([.][\w-]+)*", name):  # no patterns
                hosts.append(x509.DNSName(name.encode("idna").decode()))
            elif kind == "IP":
                hosts.append(x509.IPAddress(ipaddress.ip_address(name)))
            elif kind == "URI" and ":" in name and name.isprintable() and not name.startswith(RULE):
                uris.append(x509.UniformResourceIdentifier(name))
            elif word.startswith(RULE):
                parse_rule(word)
                uris.append(x509.UniformResourceIdentifier(word))
            else:
                raise ValueError
        except (ValueError, UnicodeError) as e:
            raise UsageError(f"'{word}' is no name for a certificate", _NAMES_HINT) from e
        except TlsError as e:
            raise UsageError(f"'{word}' is no rule for a certificate", "escp-rule:write-only") from e
    own = [uri for uri in uris if not uri.value.startswith(RULE)]
    if bool(hosts) == bool(own):
        raise UsageError("a certificate is of a host or of a user, and needs a name of it", _NAMES_HINT)
    if hosts and uris:
        raise UsageError("a host's certificate carries no rules", _NAMES_HINT)
    return hosts, [*own, *(uri for uri in uris if uri not in own)]


def _begin(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PrivateKey, days: int,
    not_before: datetime.datetime | None = None,
) -> x509.CertificateBuilder:  # fmt: skip
    begin = not_before or datetime.datetime.now(datetime.UTC) - _EARLY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=is_authority, crl_sign=is_authority,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _load_ca(folder: Folder) -> tuple[x509.Certificate, Ed25519PrivateKey]:
    data = keyfiles.read_secret(folder.find(keyfiles.CA_KEY))
    certificate = read_authorities(folder.find(keyfiles.CA))[0]
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError) as e:
        raise LocalFileError(f"'{folder.find(keyfiles.CA_KEY)}' is no key: {e}", TlsError.hint) from e
    if not isinstance(key, Ed25519PrivateKey) or key.public_key() != certificate.public_key():
        raise LocalFileError(f"the key in '{folder.path}' does not belong to its certificate", TlsError.hint)
    return certificate, key


def _write_crl(
    folder: Folder, certificate: x509.Certificate, key: Ed25519PrivateKey,
    entries: "Iterable[x509.RevokedCertificate]",
) -> None:  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(now - _EARLY)
        .next_update(now + datetime.timedelta(days=CRL_DAYS))
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    data = builder.sign(key, None).public_bytes(serialization.Encoding.PEM)
    keyfiles.write_file(folder.find(keyfiles.CRL), data)


def _find_serial(word: str, ca: x509.Certificate) -> int:
    """Of a certificate's file, or directory, or the number itself."""
    is_directory = os.path.isdir(word)
    path = os.path.join(word, keyfiles.CERTIFICATE) if is_directory else word
    if is_directory or os.path.exists(path):
        try:
            found = x509.load_pem_x509_certificate(keyfiles.read_public(path))
        except ValueError as e:
            raise UsageError(f"'{path}' is no certificate: {shorten(e)}", "") from e
        if found.issuer != ca.subject:
            raise UsageError(f"'{path}' is no certificate of this authority", "")
        serial = found.serial_number
    else:
        serial = int(word, 16) if _SERIAL.fullmatch(word) else 0
    if not 0 < serial < 1 << 160:
        raise UsageError(
            f"'{word}' is neither a certificate's file nor a serial number", "a short number begins with 0x"
        )
    if serial == ca.serial_number:
        raise UsageError(
            f"'{word}' is the authority's own certificate, which it can't take back",
            "whoever is no longer to trust it removes its ca.pem",
        )
    return serial


def _dump(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _dump_key(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

"""What a certificate says: whose it is, what it is for, and what its holder may not do.

Chain, validity and revocation are OpenSSL's affair, in the handshake. Here is what it lets pass: a
certificate without any purpose, and the rules that one may carry.
"""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from escp.errors import UsageError
from escp.lean.record import Record
from escp.options.agentoptions import RULE_FLAGS, RULE_WORDS
from escp.options.rules import check_rule
from escp.tls.keyfiles import TlsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

RULE = "escp-rule:"  # of a SAN URI: escp-rule:write-only, escp-rule:max-bytes=10T
MAX_RULES = 16
MAX_NAMES = 64


class Certificate(Record):
    """One that was read, not one that was believed."""

    subject: str  # RFC 4514: CN=alice,O=Site
    names: tuple[str, ...]  # SAN URIs that are no rules
    rules: tuple[tuple[str, str], ...]  # words of an agent, by key
    issuer: bytes  # DER
    serial: int
    digest: str  # SHA-256, in hexadecimal
    is_for_clients: bool
    is_for_servers: bool
    not_before: datetime.datetime
    not_after: datetime.datetime
    above: tuple[tuple[bytes, int], ...] = ()  # issuer and serial of its authorities' certificates

    @property
    def numbers(self) -> tuple[tuple[bytes, int], ...]:
        """Issuer and serial number, as lists of what was revoked name them: its own, then those above."""
        return (self.issuer, self.serial), *self.above

    @property
    def title(self) -> str:
        """For people: the subject, else its first name."""
        return self.subject or (self.names[0] if self.names else f"serial {self.serial:x}")

    def check_purpose(self, *, is_client: bool) -> None:
        """Raises TlsError. OpenSSL takes a certificate without any purpose for one with all."""
        if not (self.is_for_clients if is_client else self.is_for_servers):
            what = "log in" if is_client else "be a host"
            raise TlsError(
                f"the certificate of {self.title} has the wrong purpose: it is not made to {what}",
                "have another one made, with the extended key usage "
                f"{'clientAuth' if is_client else 'serverAuth'}",
            )

    def check_time(self) -> None:
        """Raises TlsError where it is not valid now."""
        now = datetime.datetime.now(datetime.UTC)
        if now > self.not_after:
            raise TlsError(
                f"the certificate of {self.title} expired on {self.not_after:%Y-%m-%d}", "have a new one made"
            )
        if now < self.not_before:
            raise TlsError(
                f"the certificate of {self.title} is not yet valid: it will be on {self.not_before:%Y-%m-%d}",
                "is this host's clock right?",
            )


def read_certificate(data: bytes, *, path: str = "", above: "Iterable[bytes]" = ()) -> Certificate:
    """Raises TlsError for what is none, and for a rule that is not known: a rule must not get lost.

    *path*: of the file that it is from, PEM; "" is DER, of a connection.
    *above*: DER, the authorities' of a chain that OpenSSL has believed.
    """
    try:
        found = x509.load_pem_x509_certificate(data) if path else x509.load_der_x509_certificate(data)
        uris = _find_uris(found)
        purposes = _find_purposes(found)
        subject = found.subject.rfc4514_string()
        is_authority = _is_authority(found)
        chain = [x509.load_der_x509_certificate(one) for one in above]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as e:
        if path:
            raise TlsError(f"'{path}' is no certificate: {shorten(e)}") from e
        raise TlsError(f"a certificate can't be read: {shorten(e)}") from e
    if is_authority:
        purposes = set()  # what signs certificates logs in nowhere, and is no host
    return Certificate(
        subject=subject,
        names=tuple(uri for uri in uris if not uri.startswith(RULE)),
        rules=tuple(parse_rule(uri) for uri in uris if uri.startswith(RULE)),
        issuer=found.issuer.public_bytes(),
        serial=found.serial_number,
        digest=found.fingerprint(hashes.SHA256()).hex(),
        is_for_clients=ExtendedKeyUsageOID.CLIENT_AUTH in purposes,
        is_for_servers=ExtendedKeyUsageOID.SERVER_AUTH in purposes,
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        above=tuple((one.issuer.public_bytes(), one.serial_number) for one in chain),
    )


def shorten(error: Exception) -> str:
    """What `cryptography` says, without its advice to programmers, which stands after the first sentence."""
    said = str(error)
    return "it holds no whole PEM block" if "PEM file" in said else said.partition(". ")[0].lower()


def _find_uris(found: x509.Certificate) -> list[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) > MAX_NAMES or sum(uri.startswith(RULE) for uri in uris) > MAX_RULES:
        raise ValueError(f"it has more than {MAX_NAMES} names or {MAX_RULES} rules")
    return uris


def _find_purposes(found: x509.Certificate) -> set[x509.ObjectIdentifier]:
    try:
        usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.digital_signature:
            return set()
    except x509.ExtensionNotFound:
        pass
    try:
        return set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return set()


def _is_authority(found: x509.Certificate) -> bool:
    try:
        return found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def parse_rule(uri: str) -> tuple[str, str]:
    """'escp-rule:max-bytes=10T' as a word of an agent and its value. Raises TlsError."""
    key, has_value, value = uri.removeprefix(RULE).partition("=")
    is_flag = f"--{key}" in RULE_FLAGS
    if key not in RULE_WORDS or is_flag == bool(has_value) or not value.isprintable():
        raise TlsError(
            f"a certificate carries '{uri[:100]}', which this escp does not know",
            "it may be made for a later release",
        )
    if not is_flag:
        try:
            check_rule(key, value)
        except UsageError as e:
            raise TlsError(f"a certificate carries '{uri[:100]}': {e}", e.hint) from e
    return key, value

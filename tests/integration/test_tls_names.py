"""Logins by TLS: which of a host's names its certificate must have, and what a name leads to."""

import ipaddress
import os
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from escp.tls import authority
from escp.tls.keyfiles import Folder
from tests.integration.test_tls import place, run, there  # noqa: F401
from tests.support.command import needs_root, needs_source
from tests.support.tlshost import TlsHost

pytestmark = [needs_source, needs_root]

# What this host's resolver says; nothing listens at ::1.
HOSTS = """
127.0.0.1 localhost
127.0.0.1 dtn2.site.test dtn2.site.test. a.b.site.test site.test xn--bcher-kva.site.test dtn9.site.test
::1       both.site.test
127.0.0.1 both.site.test
"""


@pytest.fixture
def host(place) -> Iterator[TlsHost]:  # noqa: F811
    with TlsHost(place) as host:
        yield host.start()


@pytest.fixture
def resolving(folder) -> tuple[str, ...]:
    """What stands before a command for which HOSTS are the hosts."""
    (folder / "hosts").write_text(HOSTS)
    command = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", command, "sh", str(folder / "hosts"))


def give(host: TlsHost, names: list[x509.GeneralName], title: str = "a host") -> None:
    """The daemon has a certificate with those names, whatever --make-cert would make."""
    certificate, ca_key = authority._load_ca(Folder(str(host.ca)))
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    made = authority._begin(subject, certificate.subject, key, 10).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=True
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    (host.files / "cert.pem").write_bytes(authority._dump(made.sign(ca_key, None)))
    (host.files / "key.pem").write_bytes(authority._dump_key(key))
    host.reload()


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    ("names", "right", "wrong"),
    [
        # Any of several, and no other.
        (dns("x.site.test", "dtn2.site.test", "y.site.test"), ["dtn2.site.test"], ["dtn9.site.test"]),
        ([*dns("dtn2.site.test"), LOOPBACK], ["127.0.0.1", "dtn2.site.test"], ["dtn9.site.test"]),
        # A pattern is one whole label, the first.
        (dns("*.site.test"), ["dtn2.site.test"], ["a.b.site.test", "site.test", "127.0.0.1"]),
        (dns("dtn*.site.test"), [], ["dtn2.site.test", "dtn9.site.test"]),
        (dns("*.*.site.test", "*"), [], ["a.b.site.test", "localhost"]),
        # An address is a name of its own kind, and the subject is none.
        ([LOOPBACK], ["127.0.0.1"], ["dtn2.site.test"]),
        (dns("127.0.0.1"), [], ["127.0.0.1"]),
        ([], [], ["dtn2.site.test"]),
        ([x509.UniformResourceIdentifier("https://dtn2.site.test/")], [], ["dtn2.site.test"]),
        # However it is written.
        (dns("DTN2.Site.Test"), ["dtn2.site.test", "DTN2.SITE.TEST", "dtn2.site.test."], []),
        (dns("xn--bcher-kva.site.test"), ["bücher.site.test", "xn--bcher-kva.site.test"], ["dtn2.site.test"]),
    ],
    ids=str,
)
def test_names_of_a_certificate(host, run, resolving, source, there, names, right, wrong):  # noqa: F811
    (source / "file").write_text("x")
    alice = host.user()
    give(host, names, "dtn2.site.test")
    for name in right:
        run(alice, source / "file", host.place(there, name), prefix=resolving)
        (there / "file").unlink()
    for name in wrong:
        done = run(alice, source / "file", host.place(there, name), prefix=resolving, code=10)
        assert "another host" in done.error
        assert not (there / "file").exists()


def test_name_with_several_addresses(host, run, resolving, source, there):  # noqa: F811
    """Where the first one does not answer the next one is tried; the data goes where the login went."""
    (source / "file").write_bytes(os.urandom(300_000))
    alice = host.user()
    give(host, dns("both.site.test"))
    done = run(alice, "-v", source / "file", host.place(there, "both.site.test"), prefix=resolving)
    assert " streams to both.site.test 127.0.0.1:" in done.err
    run(alice, host.place(there / "file", "both.site.test"), source / "back", prefix=resolving)
    assert (source / "back").read_bytes() == (source / "file").read_bytes()
    done = run(alice, "-6", source / "file", host.place(there, "both.site.test"), prefix=resolving, code=10)
    assert "can't be reached" in done.error

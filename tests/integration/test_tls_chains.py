"""Logins by TLS through authorities in between: their certificates come with whoever logs in, their lists lie
in crl.pem, and what is taken back of them counts while sessions run, too."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from escp.tls import authority, keyfiles
from escp.tls.keyfiles import Folder
from tests.integration.test_tls import _assert_ended, place, run, slow, there  # noqa: F401
from tests.support.command import needs_source
from tests.support.tlshost import TlsHost

pytestmark = needs_source


def make_authority(path: str, above: Path | None = None) -> None:
    """As --make-ca, which makes none that others may be below; by the one in *above*, if it is given."""
    key = Ed25519PrivateKey.generate()
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, Path(path).name)])
    top, top_key = authority._load_ca(Folder(str(above))) if above else (None, key)
    made = (
        authority._begin(title, top.subject if top else title, key, 30)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(authority._usage(is_authority=True), critical=True)
        .sign(top_key, None)
    )
    keyfiles.make_folder(path)
    keyfiles.write_file(f"{path}/{keyfiles.CA_KEY}", authority._dump_key(key), is_secret=True, is_new=True)
    keyfiles.write_file(f"{path}/{keyfiles.CA}", authority._dump(made), is_new=True)
    authority._write_crl(Folder(path), made, key, [])


class Site(TlsHost):
    """The authorities `users` and `hosts` below `ca`; the daemon's certificate is of the latter."""

    def __init__(self, folder: Path):
        super().__init__(folder, make_ca=make_authority)
        for name in ("users", "hosts"):
            make_authority(str(folder / name), self.ca)
        for name in (keyfiles.KEY, keyfiles.CERTIFICATE):
            (self.files / name).unlink()
        names = ["DNS:localhost", "IP:127.0.0.1"]
        authority.make_certificate(str(folder / "hosts"), str(self.files), names)
        self.complete(self.files, "hosts")

    def alice(self) -> Path:
        path = self.user(ca=self.folder / "users")
        self.complete(path, "users")
        return path

    def complete(self, path: Path, between: str) -> None:
        """What somebody with a certificate of *between* has in his folder."""
        (path / "ca.pem").write_bytes((self.ca / "ca.pem").read_bytes())
        with (path / "cert.pem").open("ab") as file:
            file.write((self.folder / between / "ca.pem").read_bytes())
        self.give_lists(path)

    def give_lists(self, path: Path, *without: str) -> None:
        lists = [self.folder / name / "crl.pem" for name in ("ca", "users", "hosts") if name not in without]
        (path / "crl.pem").write_bytes(b"".join(one.read_bytes() for one in lists))


@pytest.fixture
def host(place) -> Iterator[Site]:  # noqa: F811
    with Site(place) as host:
        yield host.start()


@pytest.fixture
def alice(host) -> Path:
    return host.alice()


def test_both_ends_have_certificates_of_authorities_in_between(host, alice, run, source, there):  # noqa: F811
    (source / "file").write_text("x")
    run(alice, source / "file", host.place(there))
    run(alice, host.place(there / "file", "localhost"), source / "back")
    assert (source / "back").read_text() == "x"


def test_certificate_without_the_one_above_it(host, alice, run, source, there):  # noqa: F811
    own = (alice / "cert.pem").read_text().partition("-----END CERTIFICATE-----\n")
    (alice / "cert.pem").write_text("".join(own[:2]))
    assert "another CA" in run(alice, source, host.place(there), code=10).error


def test_authority_without_a_list_at_the_host(host, alice, run, source, there):  # noqa: F811
    host.give_lists(host.files, "users")
    host.reload()
    run(alice, source, host.place(there), code=10)
    host.wait_for("unable to get certificate CRL")


def test_authority_without_a_list_at_the_user(host, alice, run, source, there):  # noqa: F811
    host.give_lists(alice, "hosts")
    assert "no list of its authority" in run(alice, source, host.place(there), code=10).error


def test_list_that_another_signed_in_its_name(host, alice, run, source, there, place):  # noqa: F811
    good = (host.folder / "users" / "crl.pem").read_bytes()
    (place / "false").mkdir()
    make_authority(str(place / "false" / "users"))
    lists = (host.files / "crl.pem").read_bytes()
    false = (place / "false" / "users" / "crl.pem").read_bytes()
    (host.files / "crl.pem").write_bytes(lists.replace(good, false))
    host.reload()
    run(alice, source, host.place(there), code=10)
    host.wait_for("unable to get certificate CRL")


def test_host_below_an_authority_that_is_revoked(host, alice, run, source, there):  # noqa: F811
    authority.revoke(str(host.ca), [str(host.folder / "hosts" / "ca.pem")])
    host.give_lists(alice)
    assert "it was revoked" in run(alice, source, host.place(there), code=10).error


@pytest.mark.parametrize("by", ["users", "ca"])
def test_authority_is_revoked_while_its_user_copies(host, alice, slow, escp, there, by):  # noqa: F811
    """*by*: its own certificate is taken back by its authority; that one's by the one above."""
    began_s = time.monotonic()
    what = alice / "cert.pem" if by == "users" else host.folder / "users" / "ca.pem"
    authority.revoke(str(host.folder / by), [str(what)])
    host.give_lists(host.files)
    words = "an authority above the certificate" if by == "ca" else "the certificate of CN=escp:alice was"
    _assert_ended(host, slow, escp, words)
    assert time.monotonic() - began_s < 15
    assert not (there / "large").exists()


def test_another_authority_is_revoked_and_this_user_goes_on(host, slow, escp):  # noqa: F811
    make_authority(str(host.folder / "others"), host.ca)
    authority.revoke(str(host.ca), [str(host.folder / "others" / "ca.pem")])
    host.give_lists(host.files)
    host.reload()
    time.sleep(1)
    assert slow.poll() is None and host.list_children()
    slow.kill()
    escp.finish(slow)

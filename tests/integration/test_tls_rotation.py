"""Authorities and certificates that others take the place of, while users copy by TLS and between."""

import time

from escp.tls import authority
from tests.integration.test_tls import _assert_ended, alice, host, place, run, slow, there  # noqa: F401
from tests.support.command import needs_source
from tests.support.tlshost import USER

pytestmark = needs_source
HOST = ["DNS:localhost", "IP:127.0.0.1"]


def make_another(host, *folders):  # noqa: F811
    """A second authority, which *folders* trust beside the first."""
    new = host.folder / "new-ca"
    authority.make_ca(str(new))
    for folder in folders:
        for name in ("ca.pem", "crl.pem"):
            (folder / name).write_bytes((host.ca / name).read_bytes() + (new / name).read_bytes())
    return new


def renew(ca, folder, names):
    for name in ("cert.pem", "key.pem"):
        (folder / name).unlink()
    authority.make_certificate(str(ca), str(folder), names)


def test_another_authority_takes_the_place(host, alice, run, source, there):  # noqa: F811
    """docs/tls.md's order: at every step those that are to get in do."""
    (source / "file").write_text("x")
    new = make_another(host, host.files, alice)
    bob = host.user("bob", ca=new)
    for name in ("ca.pem", "crl.pem"):
        (bob / name).write_bytes((alice / name).read_bytes())
    for number in range(2):
        host.reload()
        for user in (alice, bob):
            run(user, source / "file", host.place(there / f"{number}{user.name}"))
        renew(new, host.files, HOST)
    for name in ("ca.pem", "crl.pem"):
        (host.files / name).write_bytes((new / name).read_bytes())
    host.reload()
    run(bob, source / "file", host.place(there / "bob"))
    assert "another CA" in run(alice, source / "file", host.place(there / "alice"), code=10).error


def test_authority_is_trusted_no_more_while_its_user_copies(host, slow, escp):  # noqa: F811
    """What it let in goes on no longer than what it took back."""
    new = make_another(host)
    for name in ("ca.pem", "crl.pem"):
        (host.files / name).write_bytes((new / name).read_bytes())
    renew(new, host.files, HOST)
    _assert_ended(host, slow, escp, "is not in ca.pem any more")


def test_renewed_while_it_runs(host, alice, slow, escp):  # noqa: F811
    """New certificates at both ends, and an authority beside the old one, end nobody."""
    new = make_another(host, host.files, alice)
    renew(new, host.files, HOST)
    renew(new, alice, [USER])
    host.reload()
    time.sleep(1)
    assert slow.poll() is None and host.list_children()
    slow.kill()
    escp.finish(slow)

"""Logins by TLS over IPv6: addresses in certificates, names with both kinds, an interface's own addresses."""

import os
from collections.abc import Iterator

import pytest

from tests.integration.test_tls import place, run, there  # noqa: F401
from tests.support import netns
from tests.support.command import needs_source
from tests.support.folders import new_folder
from tests.support.tlshost import TlsHost

pytestmark = needs_source

NAMES = ("DNS:localhost", "IP:::1", "IP:127.0.0.1")
NO_NAMESPACE = netns.why_none()
LINK_LOCAL = "fe80::77:1"


@pytest.fixture(params=["[::1]:{}", ":{}"], ids=["its address", "any address"])
def host(request, place) -> Iterator[TlsHost]:  # noqa: F811
    with TlsHost(place, names=NAMES, place=request.param) as host:
        yield host.start()


def test_push_and_pull(host, run, source, there):  # noqa: F811
    (source / "file").write_bytes(os.urandom(3_000_000))
    alice = host.user()
    done = run(alice, "-v", source / "file", host.place(there, "[::1]"))
    assert " streams to ::1 [::1]:" in done.err
    run(alice, "-6", host.place(there / "file", "[::1]"), source / "back")
    assert (source / "back").read_bytes() == (source / "file").read_bytes()
    assert '"::1"' in host.wait_for("login")


def test_any_address_is_ipv4s_as_well(place, run, source, there):  # noqa: F811
    (source / "file").write_text("x")
    with TlsHost(place, names=NAMES, place=":{}") as host:
        host.start()
        run(host.user(), source / "file", host.place(there))
        assert '"127.0.0.1"' in host.wait_for("login", 5)


def test_certificate_of_another_address(place, run, source, there):  # noqa: F811
    with TlsHost(place, names=("DNS:localhost", "IP:::2"), place="[::1]:{}") as host:
        host.start()
        assert "another host" in run(host.user(), source, host.place(there, "[::1]"), code=10).error


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=NO_NAMESPACE)
def test_address_of_one_interface(place, escp, source, there):  # noqa: F811
    """The certificate has the address: which interface leads there is this host's affair."""
    (source / "file").write_bytes(os.urandom(3_000_000))
    with new_folder() as folder:
        space = netns.Namespace(folder)
        try:
            space.ip("link add side type veth peer name end", "link set end up", "link set side up")
            space.ip(f"addr add {LINK_LOCAL}/64 dev side nodad")
            with TlsHost(
                place, names=(f"IP:{LINK_LOCAL}",), place=f"[{LINK_LOCAL}%side]:{{}}", prefix=space.prefix
            ) as host:
                host.start()
                words = ("--tls-dir", str(host.user()), source / "file")
                target = host.place(there, f"[{LINK_LOCAL}%side]")
                escp.copy(*words, target, login=(), prefix=space.prefix)
        finally:
            space.stop()
    assert (there / "file").read_bytes() == (source / "file").read_bytes()

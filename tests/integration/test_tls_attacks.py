"""Logins by TLS: chains that nobody may have made, lists that are too old, peers that go in the middle."""

import contextlib
import datetime
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import escp as library
from escp import errors
from escp.constants import MARKER
from escp.tls import authority, frames
from escp.tls.context import make_context
from escp.tls.keyfiles import Folder
from tests.integration.test_tls import _assert_ended, place, run, there  # noqa: F401
from tests.integration.test_tls_chains import make_authority
from tests.support.command import needs_source
from tests.support.tlshost import ACCOUNT, USER, TlsHost, of, s_client
from tests.support.waiting import wait_for

pytestmark = needs_source


@pytest.fixture
def host(place) -> Iterator[TlsHost]:  # noqa: F811
    with TlsHost(place) as host:
        yield host.start()


@pytest.fixture
def alice(host) -> Path:
    return host.user()


def read_only(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


# ---- Chains -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_host", [False, True])
def test_who_has_a_certificate_makes_others(host, alice, run, source, there, is_host):  # noqa: F811
    """A certificate is no authority, whatever it is for."""
    below = host.files if is_host else alice
    key = serialization.load_pem_private_key((below / "key.pem").read_bytes(), None)
    made_by, own = read_only(below / "cert.pem"), Ed25519PrivateKey.generate()
    forged = (
        authority._begin(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), made_by.subject, own, 10)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("escp:alice")]), critical=False
        )
        .sign(key, None)
    )
    (alice / "cert.pem").write_bytes(authority._dump(forged) + authority._dump(made_by))
    (alice / "key.pem").write_bytes(authority._dump_key(own))
    assert MARKER.decode() not in s_client(host, *of(alice), "-cert_chain", below / "cert.pem")
    run(alice, source, host.place(there), code=10)
    host.wait_for("refused")
    assert os.listdir(there) == []


def test_authority_below_one_that_has_none_below_it(host, run, source, there, place):  # noqa: F811
    """--make-ca's say so; a list is there for each."""
    make_authority(str(place / "between"), host.ca)
    lists = b"".join((path / "crl.pem").read_bytes() for path in (host.ca, place / "between"))
    (host.files / "crl.pem").write_bytes(lists)
    host.reload()
    user = host.user("deep", ca=place / "between")
    for name in ("ca.pem", "crl.pem"):
        (user / name).write_bytes((host.files / name).read_bytes())
    with (user / "cert.pem").open("ab") as file:
        file.write((place / "between" / "ca.pem").read_bytes())
    run(user, source, host.place(there), code=10)
    host.wait_for("path length constraint exceeded")


# ---- Lists ------------------------------------------------------------------------------------------


def age_list(host: TlsHost, path: Path, monkeypatch) -> None:
    """The authority's list there is of last year."""
    with monkeypatch.context() as patch:
        patch.setattr(authority, "_EARLY", datetime.timedelta(days=400))
        patch.setattr(authority, "CRL_DAYS", -1)
        authority.revoke(str(host.ca), [])
    (path / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())


def test_list_that_is_too_old(host, alice, run, source, there, monkeypatch):  # noqa: F811
    """At either end. Who is told so by the host's alert alone does not look for it in his own certificate."""
    (source / "file").write_text("x")
    age_list(host, alice, monkeypatch)
    assert "list in crl.pem has expired" in run(alice, source, host.place(there), code=10).error
    age_list(host, host.files, monkeypatch)
    authority.revoke(str(host.ca), [])
    (alice / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())
    host.reload()
    done = run(alice, source, host.place(there), code=10)
    assert "this user's certificate has expired, or its own crl.pem" in done.error
    host.wait_for("CRL has expired")
    (host.files / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())
    host.reload()
    run(alice, source / "file", host.place(there))


def test_nobody_is_in_an_empty_map(host, alice, run, source, there):  # noqa: F811
    for lines in ((), ("# nobody",)):
        host.map(*lines)
        host.reload()
        assert "no account for" in run(alice, source, host.place(there), code=10).error


# ---- Taken back while it runs -------------------------------------------------------------------------


def take_back(host: TlsHost, user: Path) -> None:
    authority.revoke(str(host.ca), [str(user)])
    (host.files / "crl.pem").write_bytes((host.ca / "crl.pem").read_bytes())


@pytest.mark.parametrize("words", [(), ("--tunnel=always",), ("-3",), ("-R",)], ids=str)
@pytest.mark.parametrize("is_target", [True, False])
def test_revoked_in_every_direction(host, alice, escp, source, there, words, is_target):  # noqa: F811
    (source / "large").write_bytes(os.urandom(20_000_000))
    os.chown(source / "large", ACCOUNT.pw_uid, -1)
    os.chmod(source, 0o755)
    os.chmod(source.parent, 0o755)
    (there / "large").write_bytes(os.urandom(20_000_000))
    os.chown(there / "large", ACCOUNT.pw_uid, -1)
    here = "box:" if words in (("-3",), ("-R",)) else ""
    ends = (
        (f"{here}{source / 'large'}", host.place(there / "new"))
        if is_target
        else (host.place(there / "large"), f"{here}{source / 'new'}")
    )
    process = escp.start(
        *("-F", escp.sshd.client_config, "-D", escp.agent, "--tls-dir", alice, "-l", "1M", *words, *ends),
        login=(),
    )
    host.wait_for("listening")
    wait_for(host.list_children)
    time.sleep(3.5)  # into the data
    assert process.poll() is None
    take_back(host, alice)
    _assert_ended(host, process, escp, "was revoked")
    assert not (there / "new").exists() and not (source / "new").exists()


def test_revoked_while_a_program_is_connected(host, alice, source, there, monkeypatch):  # noqa: F811
    """A login ends that does nothing at the moment, and no other follows."""
    monkeypatch.setenv("ESCP_CONFIG", "")
    with library.connect(f"tls://127.0.0.1:{host.port}", tls_dir=str(alice)) as remote:
        remote.write(there / "a", b"x")
        take_back(host, alice)
        wait_for(lambda: not host.list_children(), 20)
        with pytest.raises(library.EscpError, match="revoked"):
            remote.stat(there / "a")
    with pytest.raises(errors.SshError, match="revoked"):
        library.connect(f"tls://127.0.0.1:{host.port}", tls_dir=str(alice))


# ---- Peers that go, or take their time ----------------------------------------------------------------


def shake_hands(host: TlsHost, user: Path) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", host.port), 10)
    return make_context(Folder(str(user)), is_daemon=False).wrap_socket(plain, server_hostname="127.0.0.1")


def read_until(sock: ssl.SSLSocket, words: bytes) -> bytes:
    found = b""
    while words not in found:
        piece = sock.recv(4096)
        assert piece, found
        found += piece
    return found


@pytest.mark.parametrize("way", ["half of TCP", "half of TLS", "reset", "end of the channel"])
def test_user_who_ends_one_half(host, alice, way):
    """Whichever it is, the session ends, and its agent with it."""
    sock = shake_hands(host, alice)
    read_until(sock, MARKER)
    if way == "half of TCP":
        socket.socket.shutdown(sock, socket.SHUT_WR)
    elif way == "half of TLS":
        sock.settimeout(5)
        with contextlib.suppress(OSError):  # the agent's words come instead of its answer
            sock.unwrap()
    elif way == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    else:
        sock.sendall(frames.encode(frames.END))
    wait_for(lambda: not host.list_children(), 20)
    sock.close()


def test_handshake_byte_by_byte(host):
    """However often something comes, there is one time for all of it."""
    began_s = time.monotonic()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
    with socket.create_connection(("127.0.0.1", host.port), 10) as sock:
        with pytest.raises(OSError):
            for byte in hello:
                sock.send(bytes([byte]))
                time.sleep(0.2)
        assert 5 < time.monotonic() - began_s < 25
    host.wait_for("refused")


def test_nothing_is_believed_before_the_word_of_the_daemon(host, alice):
    """What a user sends with his last handshake message, or before he is known, reaches no agent."""
    host.map("URI:escp:bob " + ACCOUNT.pw_name)
    host.reload()
    with shake_hands(host, alice) as sock:
        sock.sendall(frames.encode(frames.CHANNEL, b"x" * 10_000))
        assert read_until(sock, b"no account")[0] == frames.REFUSED
    wait_for(lambda: not host.list_children(), 20)
    host.map(f"{USER} {ACCOUNT.pw_name}")
    host.reload()

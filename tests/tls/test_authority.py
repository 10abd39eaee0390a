"""--make-ca, --make-cert and --revoke: what OpenSSL thinks of what they make, and what they refuse."""

import datetime
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from escp.errors import EscpError, LocalFileError, UsageError
from escp.tls import authority
from escp.tls.certificate import read_certificate
from escp.tls.context import make_context, read_own_certificate
from escp.tls.keyfiles import Folder
from tests.support.command import COMMAND, ROOT


@pytest.fixture
def ca(tmp_path) -> Path:
    authority.make_ca(str(tmp_path / "ca"))
    return tmp_path / "ca"


def make(ca: Path, name: str, *names: str, **how) -> Path:
    authority.make_certificate(str(ca), str(ca.parent / name), names, **how)
    return ca.parent / name


def verify(ca: Path, path: Path, purpose: str, *words: str) -> str:
    command = ["openssl", "verify", "-x509_strict", "-CAfile", ca / "ca.pem", "-CRLfile", ca / "crl.pem",
               "-crl_check_all", "-purpose", purpose, *words, path / "cert.pem"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "OK" if done.returncode == 0 else done.stdout + done.stderr


def test_openssl_takes_what_is_made_for_its_purpose_only(ca):
    host = make(ca, "host", "DNS:dtn2.example.org", "IP:192.0.2.7")
    user = make(ca, "user", "URI:escp://site/alice", "escp-rule:write-only")
    assert verify(ca, host, "sslserver", "-verify_hostname", "dtn2.example.org") == "OK"
    assert verify(ca, host, "sslserver", "-verify_ip", "192.0.2.7") == "OK"
    assert "mismatch" in verify(ca, host, "sslserver", "-verify_hostname", "dtn3.example.org")
    assert "purpose" in verify(ca, host, "sslclient")
    assert verify(ca, user, "sslclient") == "OK"
    assert "purpose" in verify(ca, user, "sslserver")


def test_secrets_are_0600_and_all_else_can_be_read(ca):
    os.umask(0)
    user = make(ca, "user", "URI:escp:a")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (*ca.iterdir(), *user.iterdir())}
    assert {name for name, mode in modes.items() if mode == 0o600} == {"key.pem", "ca-key.pem"}
    assert set(modes.values()) == {0o600, 0o644}
    assert stat.S_IMODE(user.stat().st_mode) == 0o700
    os.umask(0o022)


def test_what_a_certificate_holds(ca):
    user = make(ca, "user", "URI:escp://site/alice", "escp-rule:max-bytes=10T", days=30)
    found = x509.load_pem_x509_certificate((user / "cert.pem").read_bytes())
    usage = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (found.not_valid_after_utc - found.not_valid_before_utc) == datetime.timedelta(days=30)
    read = read_certificate((user / "cert.pem").read_bytes(), path="cert.pem")
    assert read.names == ("escp://site/alice",) and read.rules == (("max-bytes", "10T"),)
    top = x509.load_pem_x509_certificate((ca / "ca.pem").read_bytes())
    basic = top.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical and basic.value.ca and basic.value.path_length == 0
    assert not read_certificate((ca / "ca.pem").read_bytes(), path="ca.pem").is_for_clients


def test_revoked_by_file_directory_and_number(ca):
    users = [make(ca, f"user{n}", f"URI:escp:{n}") for n in range(4)]
    serial = authority.revoke(str(ca), [str(users[0])])
    assert authority.revoke(str(ca), [str(users[1] / "cert.pem")])
    found = x509.load_pem_x509_certificate((users[2] / "cert.pem").read_bytes())
    assert authority.revoke(str(ca), [f"{found.serial_number:X}", *serial]) == [
        f"{found.serial_number:x}", *serial,
    ]  # fmt: skip
    for user in users[:3]:
        assert "revoked" in verify(ca, user, "sslclient")
    assert verify(ca, users[3], "sslclient") == "OK"
    before = (ca / "crl.pem").read_bytes()
    assert authority.revoke(str(ca), []) == []
    assert (ca / "crl.pem").read_bytes() != before
    assert (
        len(authority.read_crl(str(ca / "crl.pem"), authority.read_authorities(str(ca / "ca.pem")))[0]) == 3
    )


@pytest.mark.parametrize(
    "word", ["ca", "ada", "beef", "DE_AD", "+ada", " ada ", "0x", "0x0", "-1", "empty", "f" * 41]
)
def test_what_is_no_serial_number_takes_nothing_back(ca, tmp_path, monkeypatch, word):
    """The name of a file that is not there, or of a directory without a certificate, was a small number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "beef").mkdir()
    before = (ca / "crl.pem").read_bytes()
    with pytest.raises(EscpError):
        authority.revoke(str(ca), [word])
    assert (ca / "crl.pem").read_bytes() == before
    assert authority.revoke(str(ca), ["0xada"]) == ["ada"]


@pytest.mark.parametrize("is_file", [True, False])
def test_authority_does_not_take_itself_back(ca, is_file):
    """Nobody would get in any more, and no host be believed."""
    before = (ca / "crl.pem").read_bytes()
    own = authority.read_authorities(str(ca / "ca.pem"))[0].serial_number
    with pytest.raises(UsageError, match="the authority's own certificate"):
        authority.revoke(str(ca), [str(ca / "ca.pem") if is_file else f"{own:x}"])
    assert (ca / "crl.pem").read_bytes() == before


def test_two_that_revoke_at_once_lose_nothing(ca):
    users = [make(ca, f"user{n}", f"URI:escp:{n}") for n in range(12)]
    threads = [threading.Thread(target=authority.revoke, args=(str(ca), [str(user)])) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = authority.read_crl(str(ca / "crl.pem"), authority.read_authorities(str(ca / "ca.pem")))[0]
    assert len(found) == 12


@pytest.mark.parametrize(
    "names",
    [[], ["alice"], ["DNS:"], ["DNS:*.a"], ["DNS:a b"], ["IP:1.2.3"], ["URI:alice"], ["DNS:a", "URI:a:b"],
     ["URI:a:b\nc"], ["URI:escp-rule:read-only"], ["escp-rule:read-only"], ["URI:a:b", "escp-rule:fly"],
     ["DNS:a", "escp-rule:read-only"],
     ["URI:a:b", "escp-rule:max-files=x"]],
)  # fmt: skip
def test_names_that_are_none(ca, names):
    with pytest.raises(UsageError):
        make(ca, "user", *names)
    assert not (ca.parent / "user" / "key.pem").exists()


def test_nothing_is_begun_where_the_authority_has_no_list(ca):
    (ca / "crl.pem").rename(ca / "crl")
    with pytest.raises(LocalFileError, match=r"crl\.pem"):
        make(ca, "user", "URI:escp:a")
    (ca / "crl").rename(ca / "crl.pem")
    make(ca, "user", "URI:escp:a")


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem", "crl.pem"])
@pytest.mark.parametrize("contents", [b"", b"\xff" * 99, b"-----BEGIN X-----\n", "half"])
def test_file_that_is_none_is_told_in_plain_words(ca, name, contents):
    user = make(ca, "user", "URI:escp:a")
    path = user / name
    path.write_bytes(path.read_bytes()[:90] if contents == "half" else contents)
    with pytest.raises(EscpError, match=r"can't be used|is no ") as caught:
        read_own_certificate(Folder(str(user)))
        make_context(Folder(str(user)), is_daemon=False)
    said = str(caught.value)
    assert str(user) in said and "http" not in said and "ssl" not in said.lower() and "lib" not in said


def test_nothing_is_replaced(ca):
    user = make(ca, "user", "URI:escp:a")
    before = {path: path.read_bytes() for path in (*ca.iterdir(), *user.iterdir())}
    with pytest.raises(UsageError, match="there already"):
        make(ca, "user", "URI:escp:b")
    with pytest.raises(UsageError, match="there already"):
        authority.make_ca(str(ca))
    assert before == {path: path.read_bytes() for path in (*ca.iterdir(), *user.iterdir())}


def test_authority_whose_key_others_may_read(ca):
    (ca / "ca-key.pem").chmod(0o640)
    with pytest.raises(LocalFileError, match="others may use"):
        make(ca, "user", "URI:escp:a")
    with pytest.raises(LocalFileError, match="others may use"):
        authority.revoke(str(ca), [])


def test_list_of_another_authority(ca, tmp_path):
    authority.make_ca(str(tmp_path / "other"))
    with pytest.raises(EscpError, match="not signed"):
        authority.read_crl(
            str(tmp_path / "other" / "crl.pem"), authority.read_authorities(str(ca / "ca.pem"))
        )
    with pytest.raises(UsageError, match="no certificate of this authority"):
        authority.revoke(str(tmp_path / "other"), [str(make(ca, "user", "URI:escp:a"))])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--make-ca", "ca"], 0), (["--make-ca", "ca", "more"], 2), (["--make-cert", "ca", "out"], 2),
        (["--make-cert", "nothing", "out", "DNS:a"], 14), (["--make-ca", "a", "--revoke", "a"], 2),
        (["--days", "0", "--make-cert", "ca", "out", "DNS:a"], 2), (["--days", "3", "--make-ca", "ca"], 2),
        (["--listen", "a", "b"], 2), (["--listen", "127.0.0.1:99999"], 2), (["--revoke", "nothing"], 14),
        (["--tls-dir", "nothing", "--listen", "127.0.0.1:0"], 2),
    ],
)  # fmt: skip
def test_command(tmp_path, words, code):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done
    assert done.stderr.startswith("escp: error: ") == bool(code) and "Traceback" not in done.stderr


def test_whole_way_by_command(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*words: str) -> str:
        return subprocess.run(
            [*COMMAND, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    run("--make-ca", "ca")
    assert "serial number" in run("--days", "7", "--make-cert", "ca", "alice", "URI:escp:alice")
    serial = run("--revoke", "ca", "alice").split()[2]
    assert "revoked" in verify(tmp_path / "ca", tmp_path / "alice", "sslclient")
    assert int(serial, 16)

"""Names that are hosts for this user's ssh; what they are taken for where a colon was forgotten."""

import base64
import hmac

import pytest

from escp.remote.knownhosts import is_known_host

CONFIG = """\
Include more/*.conf nothing
Host alpha dtn* *.example
  HostName 192.0.2.1
host = "quoted"
Host !refused ?
Host *
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("escp.remote.knownhosts._HOSTS", str(tmp_path / "hosts"))
    ssh = tmp_path / ".ssh"
    (ssh / "more").mkdir(parents=True)
    (ssh / "config").write_text(CONFIG)
    (ssh / "more" / "1.conf").write_text("Host inner\nInclude ../config\n")
    digest = hmac.digest(b"salt", b"hashed", "sha1")
    hashed = "|".join(base64.b64encode(part).decode() for part in (b"salt", digest))
    (ssh / "known_hosts").write_text(
        "# a comment\nplain,192.0.2.7 ssh-ed25519 AAAA\n[gate]:2222 ssh-rsa AAAA\n@revoked old ssh-rsa AAAA\n"
        f"|1|{hashed} ssh-ed25519 AAAA\n|1|broken\n\n"
    )
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n192.0.2.9 Table.example table\n")


@pytest.mark.parametrize(
    "name",
    ["alpha", "ALPHA", "dtn4", "quoted", "inner", "plain", "192.0.2.7", "gate", "old", "hashed", "table",
     "table.example"],
)  # fmt: skip
def test_host_is_known(name):
    assert is_known_host(name)


@pytest.mark.parametrize(
    "name", ["beta", "notes.example", "refused", "x", "ssh-rsa", "", "a/b", "*", "-x", "ä"]
)
def test_other_name_is_not(name):
    assert not is_known_host(name)


def test_nothing_to_read_is_nothing_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert not is_known_host("alpha")

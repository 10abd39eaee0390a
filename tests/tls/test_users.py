"""The file `users` of a daemon."""

import datetime
from pathlib import Path

import pytest

from escp.errors import UsageError
from escp.tls.certificate import Certificate
from escp.tls.keyfiles import TlsError
from escp.tls.users import Entry, Users, read_users

NEVER = datetime.datetime.max


def read(folder: Path, text: str) -> Users:
    path = folder / "users"
    path.write_text(text)
    path.chmod(0o644)
    return read_users(str(path))


def certificate(subject: str, *names: str) -> Certificate:
    return Certificate(subject, names, (), b"", 1, "", True, False, NEVER, NEVER)


def test_subjects_and_uris(tmp_path):
    users = read(
        tmp_path,
        """
        # a comment
        "CN=Alice Example,O=Site"   alice
        CN=bob,O=Site bob --read-only # another
        URI:escp://site/daq daq --write-only --restrict "/data/in here" --max-bytes=10T
        """,
    )
    assert users.find(certificate("CN=Alice Example,O=Site")) == Entry("alice", ())
    assert users.find(certificate("CN=bob,O=Site", "x:y")) == Entry("bob", ("--read-only",))
    words = ("--write-only", "--restrict=/data/in here", "--max-bytes=10T")
    assert users.find(certificate("CN=x", "escp://site/daq")) == Entry("daq", words)


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("CN=bob", ()), ("CN=bob,O=Site,C=XX", ()), ("O=Site,CN=bob", ()), ("", ()), ("", ("CN=bob,O=Site",)),
        ("CN=x", ("escp://site/bobby",)), ("CN=x", ("ESCP://site/bob",)),
        ("cn=BOB,O=Site", ()),
    ],
)  # fmt: skip
def test_names_are_compared_whole(tmp_path, subject, names):
    users = read(tmp_path, "CN=bob,O=Site bob\nURI:escp://site/bob bob\n")
    with pytest.raises(TlsError, match="no account"):
        users.find(certificate(subject, *names))


def test_a_comment_begins_at_a_word(tmp_path):
    """Else /data#1 would be /data, and --restrict something else than what stands there."""
    users = read(
        tmp_path,
        """\ufeffURI:a:b alice --restrict /data#1 # it's alice's
        URI:a:c#d alice --restrict="/in #2" #x
        'CN=a # b' alice --restrict=/x\\ #3
        "URI:a:f \\" # b" bob#s#comment
        #URI:a:e alice""",
    )
    assert users.find(certificate("", "a:b")) == Entry("alice", ("--restrict=/data#1",))
    assert users.find(certificate("", "a:c#d")) == Entry("alice", ("--restrict=/in #2",))
    assert users.find(certificate("CN=a # b")) == Entry("alice", ("--restrict=/x #3",))
    assert len(users._entries) == 4


def test_names_of_several_accounts(tmp_path):
    users = read(tmp_path, "CN=bob bob\nURI:a:b alice\nURI:a:c bob\nURI:a:d bob --read-only\n")
    assert users.find(certificate("CN=bob", "a:c", "a:x")).account == "bob"
    for names in (["a:b"], ["a:d"]):
        with pytest.raises(TlsError, match="several accounts"):
            users.find(certificate("CN=bob", *names))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"" bob', "there is no name"),
        ("CN=bob", "no account"), ("CN=bob --read-only", "no account"), ("bob bob", "neither a subject"),
        ("URI:bob bob", "neither"), ("CN=a a\nCN=a b", "line 2: 'CN=a' stands there twice"),
        ("CN=a a --fly", "'--fly' is no rule"), ("CN=a a read-only", "no rule"),
        ("CN=a a --read-only=no", "no rule"), ("CN=a a --restrict data", "no absolute path"),
        ("CN=a a --max-bytes", "max-bytes"), ("CN=a a --max-files many", "max-files"),
        ('CN=a "a', "quotation"), ("CN=a a --logfile /x", "no rule"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, line, message):
    with pytest.raises(UsageError, match="users, line") as caught:
        read(tmp_path, line)
    assert message in str(caught.value)

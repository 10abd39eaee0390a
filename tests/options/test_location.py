"""scp's rules for what is remote (each of the first table's lines was tried with scp of OpenSSH 9.2)."""

import os

import pytest

from escp.errors import UsageError
from escp.options.location import Location, parse_location


@pytest.mark.parametrize(
    ("word", "user", "host", "port", "path"),
    [
        (b"h:", None, "h", None, b""),
        (b"h:x", None, "h", None, b"x"),
        (b"h:x:y", None, "h", None, b"x:y"),
        (b"u@h:/x y", "u", "h", None, b"/x y"),
        (b"a@b@h:x", "a@b", "h", None, b"x"),
        (b"h:~/x", None, "h", None, b"~/x"),
        (b"h:a@b", None, "h", None, b"a@b"),
        (b"h:\xff\n", None, "h", None, b"\xff\n"),
        (b"[h]:x", None, "h", None, b"x"),
        (b"[::1]:x", None, "::1", None, b"x"),
        (b"u@[fe80::1%eth0]:/x", "u", "fe80::1%eth0", None, b"/x"),
        (b"a:b@[c]:d", None, "a", None, b"b@[c]:d"),
        (b"scp://h", None, "h", None, b""),
        (b"scp://h/", None, "h", None, b""),
        (b"scp://h/x", None, "h", None, b"x"),
        (b"SCP://h/x", None, "SCP", None, b"//h/x"),  # as scp has it
        (b"scp://h//tmp/x", None, "h", None, b"/tmp/x"),
        (b"scp://u%41@h:99/c+d%20e", "uA", "h", 99, b"c d e"),
        (b"scp://u;fingerprint=x@h/y", "u", "h", None, b"y"),
        (b"scp://u@[::1]:22/%ff", "u", "::1", 22, b"\xff"),
        (b"scp://u@h/x@y", "u", "h", None, b"x@y"),
        (b"SCP://h/x", None, "SCP", None, b"//h/x"),
    ],
)
def test_remote(word, user, host, port, path):
    location = parse_location(word)
    assert location == Location(user, host, port, path)
    assert location.is_remote and not location.is_tls
    assert parse_location(os.fsencode(str(location))) == location


@pytest.mark.parametrize(
    ("word", "host", "port", "path"),
    [
        (b"tls://h", "h", None, b""),
        (b"TLS://h/x", "h", None, b"x"),
        (b"tls://h/", "h", None, b""),
        (b"tls://h/dir/", "h", None, b"dir/"),
        (b"tls://h:99//tmp/x%20y", "h", 99, b"/tmp/x y"),
        (b"tls://[::1]:1231/x", "::1", 1231, b"x"),
    ],
)
def test_login_by_tls(word, host, port, path):
    location = parse_location(word)
    assert location == Location(None, host, port, path, is_tls=True)
    assert parse_location(os.fsencode(str(location))) == location
    assert location.ssh_destination() == f"tls://{host}"
    with pytest.raises(UsageError, match="not this host"):
        location.check_embedded(word)


@pytest.mark.parametrize(
    "word", [b"tls://u@h/x", b"tls:///x", b"tls://-h/x", b"tls://h:0/x", b"tls://h;id/x"]
)
def test_bad_tls(word):
    with pytest.raises(UsageError):
        parse_location(word)


@pytest.mark.parametrize(
    "word",
    [
        b"a",
        b"./a:b",
        b"/a:b",
        b"d/a:b",
        b":x",
        b"[::1:x",
        b"[::1]",
        b"a@b",
        b"-x",
        b"",
        b"u@[x/y]:z",
        b"\xff",
    ],
)
def test_local(word):
    location = parse_location(word)
    assert location == Location(None, None, None, word)
    assert not location.is_remote
    assert os.fsencode(str(location)) == word


@pytest.mark.parametrize(
    "word",
    [
        b"-oProxyCommand=x:y", b"[-oProxyCommand=x]:y", b"-u@h:x", b"u@-h:x", b"scp://-h/x", b"scp://u@-h/x",
        b"scp://%2Du@h/x", b"@h:x", b"u@:x", b"[]:x", b"scp:///x", b"scp://@h/x", b"a b:x", b"u\n@h:x",
        b"h\x1b:x", b"h\x7f:x", b"h\xff:x", "h\u202e:x".encode(), "h\u00a0:x".encode(), b"h;reboot:x",
        b"$(reboot):x",
        b"`id`:x", b"u|v@h:x", b"u\\@h:x", b"h\\:x", b"scp://a@b@h/q", b"scp://h:/q", b"scp://h:0/q",
        b"scp://h:65536/q", b"scp://h:ssh/q", b"scp://[::1]x/q", b"scp://::1/q", b"scp://h/a%zz", b"scp://h/a%4",
        b"scp://h/a%00b", b"scp://u%0a@h/x", b"scp://h%2e/x%",
    ],
)  # fmt: skip
def test_refused(word):
    with pytest.raises(UsageError) as caught:
        parse_location(word)
    assert os.fsdecode(word) in str(caught.value)


def test_ssh_destination_has_neither_brackets_nor_port():
    assert parse_location(b"scp://u@[::1]:22/x").ssh_destination() == "u@::1"
    assert parse_location(b"[::1]:x").ssh_destination() == "::1"
    assert parse_location(b"a@b@h:x").ssh_destination() == "a@b@h"


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (Location("u", "h", None, b"x"), "u@h:x"),
        (Location(None, "::1", None, b"x"), "[::1]:x"),
        (Location("u", "::1", 22, b"/a b%"), "scp://u@[::1]:22//a%20b%25"),
        (Location("a:b/c", "h", None, b""), "scp://a%3Ab%2Fc@h"),
    ],
)
def test_quoting_back(location, text):
    assert str(location) == text
    assert parse_location(text.encode()) == location

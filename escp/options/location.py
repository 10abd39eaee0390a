"""Where a file is: `[user@]host:path`, `scp://[user@]host[:port][/path]`, `tls://host[:port][/path]` or a
local path.

Follows scp (OpenSSH misc.c: colon(), parse_uri()): only a colon before any slash, and outside brackets, makes
a word remote. Paths are bytes from end to end. What could be taken for an option by ssh, or for shell syntax
by a ProxyCommand that holds %h or %r, is refused here.
"""

import os
import re

from escp.errors import UsageError
from escp.lean.record import Record

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_URI_PREFIX, _TLS_PREFIX = b"scp://", b"tls://"
# ssh 9.6's own rules (ssh.c: valid_hostname, valid_ruser), for older ssh programs as well.
_BAD_IN_HOST = frozenset("'`\"$\\;&<>|(){}@/,[] ")
_BAD_IN_USER = frozenset("'`\";&<>|(){} ")
_PLAIN_PATH = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-~")


class Location(Record):
    """A source or a target. `host` is None for a local one; an IPv6 address has no brackets.

    A remote `path` is relative to the home directory unless it begins with a slash; b"" is that directory.
    """

    user: str | None
    host: str | None
    port: int | None
    path: bytes
    is_tls: bool = False  # the login is by a certificate, not by ssh

    @property
    def is_remote(self) -> bool:
        return self.host is not None

    @property
    def is_dash(self) -> bool:
        """Standard input or output."""
        return self.host is None and self.path == b"-"

    def below(self, name: bytes) -> bytes:
        """The path of *name* in this directory; b"" is the place itself."""
        return os.path.join(self.path, name) if name else self.path

    def check_embedded(self, word: bytes) -> None:
        """Raises UsageError where *word*, which says this, names another host than this one."""
        if self.is_remote and (self.host not in LOCAL_HOSTS or self.user is not None or self.is_tls):
            raise UsageError(
                f"option --embedded: '{os.fsdecode(word)}' is not this host",
                "write localhost:path, without a user",
            )

    def ssh_destination(self) -> str:
        """`host` or `user@host` for ssh's command line; the port goes into `-p`. Remote locations only.

        With TLS `tls://host`, which no host of ssh's is called.
        """
        assert self.host is not None
        if self.is_tls:
            return f"tls://{self.host}"
        return self.host if self.user is None else f"{self.user}@{self.host}"

    def __str__(self) -> str:
        """Quote back: `parse_location(os.fsencode(str(location)))` gives the same location.

        Not for display: bytes that are no UTF-8 are surrogates, control characters stay as they are.
        """
        path = os.fsdecode(self.path)
        if self.host is None:
            return path
        host = f"[{self.host}]" if ":" in self.host else self.host
        if (
            not self.is_tls
            and self.port is None
            and (self.user is None or re.fullmatch(r"[A-Za-z0-9._@+-]+", self.user))
        ):
            return f"{host}:{path}" if self.user is None else f"{self.user}@{host}:{path}"
        user = "" if self.user is None else _quote(os.fsencode(self.user)).replace("/", "%2F") + "@"
        port = "" if self.port is None else f":{self.port}"
        return f"{'tls' if self.is_tls else 'scp'}://{user}{host}{port}" + (
            f"/{_quote(self.path)}" if self.path else ""
        )


NOWHERE = Location(None, None, None, b"")


def parse_location(word: bytes) -> Location:
    """Parse one operand. Raises UsageError naming the word if it is remote and not well formed."""
    is_tls = (
        word[: len(_TLS_PREFIX)].lower() == _TLS_PREFIX
    )  # scp:// is as scp has it, which has no other one
    if is_tls or word.startswith(_URI_PREFIX):
        return _parse_uri(word, is_tls=is_tls)
    at = _find_colon(word)
    if at < 0:
        return Location(None, None, None, word)
    user, has_user, host = word[:at].rpartition(b"@")
    return Location(
        _check_user(user, word) if has_user else None,
        _check_host(_strip_brackets(host), word),
        None,
        word[at + 1 :],
    )


def _find_colon(word: bytes) -> int:
    """Offset of the colon that ends the host, or -1 if the word is a local path."""
    head = word.partition(b"/")[0]
    colon = head.find(b":")
    bracket = 0 if head.startswith(b"[") else head.find(b"@[")
    if bracket >= 0 and (colon < 0 or bracket < colon):
        colon = head.find(b"]:", bracket) + 1
    return colon or -1  # a leading colon belongs to a file name


def _parse_uri(word: bytes, *, is_tls: bool) -> Location:
    """Both prefixes are of the same length. The path is relative to the home directory, as scp has it."""
    authority, has_path, path = word[len(_URI_PREFIX) :].partition(b"/")
    userinfo, has_user, rest = authority.partition(b"@")
    if not has_user:
        userinfo, rest = b"", authority
    if rest.startswith(b"["):
        host, bracket, port = rest.partition(b"]")
        host += bracket
    else:
        host, colon, port = rest.partition(b":")
        port = colon + port
    if is_tls and has_user:
        raise UsageError(
            f"a user in '{os.fsdecode(word)}'", "with tls:// the certificate says who logs in: leave it out"
        )
    user = _unquote(userinfo.partition(b";")[0], word)  # RFC 4253's ;parameters are ignored, as by scp
    return Location(
        _check_user(user, word) if has_user else None,
        _check_host(_strip_brackets(host), word),
        _parse_port(port, word),
        _unquote(path, word) if has_path else b"",
        is_tls,
    )


def _parse_port(text: bytes, word: bytes) -> int | None:
    if not text:
        return None
    if not re.fullmatch(rb":[0-9]{1,5}", text) or not 1 <= int(text[1:]) <= 65535:
        raise UsageError(f"bad port in '{os.fsdecode(word)}'", "a port is a number from 1 to 65535")
    return int(text[1:])


def _strip_brackets(host: bytes) -> bytes:
    return host[1:-1] if host.startswith(b"[") and host.endswith(b"]") else host


def _check_host(host: bytes, word: bytes) -> str:
    return _check_word(host, word, "host name", _BAD_IN_HOST)


def _check_user(user: bytes, word: bytes) -> str:
    name = _check_word(user, word, "user name", _BAD_IN_USER)
    if name.endswith("\\"):
        raise UsageError(f"user name ends in a backslash in '{os.fsdecode(word)}'")
    return name


def _check_word(text: bytes, word: bytes, what: str, bad: frozenset[str]) -> str:
    hint = "write [user@]host:path, or ./name for a local file with a colon in its name"
    shown = os.fsdecode(word)
    if not text:
        raise UsageError(f"empty {what} in '{shown}'", hint)
    if text.startswith(b"-"):
        raise UsageError(f"{what} begins with a dash in '{shown}'", hint)
    name = text.decode("utf-8", "surrogateescape")
    # isprintable is false for controls, bidi marks, surrogates and every space but U+0020
    if not name.isprintable() or not bad.isdisjoint(name):
        raise UsageError(f"{what} with a character that is not allowed in '{shown}'", hint)
    return name


def _unquote(text: bytes, word: bytes) -> bytes:
    """Percent-decoding as scp does it: a plus is a space."""

    def decode(match: re.Match[bytes]) -> bytes:
        digits = match[1]
        if not re.fullmatch(rb"[0-9A-Fa-f]{2}", digits) or digits == b"00":
            raise UsageError(f"bad percent sign in '{os.fsdecode(word)}'", "write %25 for a percent sign")
        return bytes((int(digits, 16),))

    return re.sub(rb"(?s)%(.{0,2})", decode, text.replace(b"+", b" "))


def _quote(text: bytes) -> str:
    return "".join(chr(byte) if byte in _PLAIN_PATH else f"%{byte:02X}" for byte in text)

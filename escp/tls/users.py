"""Who may log in, and as whom: the file `users` of a daemon.

    # subject or SAN URI          account   what it may not do, as in a forced command
    "CN=alice,O=Site"             alice
    URI:escp://site/instrument    daq       --write-only --restrict /data/in --max-bytes 10T

A name stands there once. A certificate with names of several accounts logs in nowhere.
"""

import codecs
import shlex

from cryptography import x509

from escp.errors import UsageError
from escp.lean.record import Record
from escp.options.agentoptions import RULE_FLAGS, RULE_WORDS
from escp.options.rules import check_rule
from escp.tls import keyfiles
from escp.tls.certificate import Certificate
from escp.tls.keyfiles import TlsError

URI = "URI:"


class Entry(Record):
    """A line of the file."""

    account: str
    words: tuple[str, ...]  # of the agent, with what it may not do


class Users:
    def __init__(self, entries: dict[str, Entry]):
        """*entries*: by `URI:…`, or by a subject in RFC 4514's form."""
        self._entries = entries

    def find(self, certificate: Certificate) -> Entry:
        """Raises TlsError."""
        names = [certificate.subject, *(URI + name for name in certificate.names)]
        found = {self._entries[name] for name in names if name in self._entries}
        if not found:
            raise TlsError(
                f"there is no account for the certificate of {certificate.title}",
                "the host's administrator writes it into the file `users`",
            )
        if len(found) > 1:
            raise TlsError(
                f"the names in the certificate of {certificate.title} are of several accounts",
                "have one made for each account",
            )
        return found.pop()


def read_users(path: str) -> Users:
    """Raises UsageError naming the line, LocalFileError."""
    text = keyfiles.read_public(path).removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    entries: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        origin = f"{path}, line {number}"
        try:
            words = shlex.split(_strip_comment(line))
        except ValueError as e:
            raise UsageError(f"{origin}: {str(e).lower()}", "a name with blanks stands in quotes") from e
        if not words:
            continue
        if len(words) < 2 or words[1].startswith("-"):
            raise UsageError(f"{origin}: there is no account", '"CN=alice,O=Site" alice')
        name = _read_name(words[0], origin)
        if name in entries:
            raise UsageError(f"{origin}: '{words[0]}' stands there twice", "keep one of the lines")
        entries[name] = Entry(words[1], tuple(_read_words(words[2:], origin)))
    return Users(entries)


def _strip_comment(line: str) -> str:
    """What stands before a # that begins a word. (shlex would end /data#1 within, and so change a rule.)"""
    quote, before = "", " "
    for at, one in enumerate(line):
        if one == "#" and not quote and before.isspace():
            return line[:at]
        if before == "\\" and quote != "'":
            before = "x"  # it is a letter like others
            continue
        if one == quote:
            quote = ""
        elif one in "\"'" and not quote:
            quote = one
        before = one
    return line


def _read_name(word: str, origin: str) -> str:
    if not word:  # it would be that of all certificates without a subject
        raise UsageError(f"{origin}: there is no name", '"CN=alice,O=Site" or URI:escp://site/alice')
    if word.startswith(URI) and ":" in word[len(URI) :]:
        return word
    try:
        return x509.Name.from_rfc4514_string(word).rfc4514_string()
    except ValueError as e:
        raise UsageError(
            f"{origin}: '{word}' is neither a subject nor a URI", '"CN=alice,O=Site" or URI:escp://site/alice'
        ) from e


def _read_words(words: list[str], origin: str) -> list[str]:
    """As an agent takes them: --restrict=/data, --read-only."""
    found = []
    left = iter(words)
    for word in left:
        name, has_value, value = word.partition("=")
        key = name.removeprefix("--")
        if name == key or key not in RULE_WORDS or (word.partition("=")[0] in RULE_FLAGS and has_value):
            raise UsageError(f"{origin}: '{word}' is no rule", f"--{', --'.join(RULE_WORDS)}")
        if name in RULE_FLAGS:
            found.append(name)
            continue
        value = value if has_value else next(left, "")
        try:
            check_rule(key, value)
        except UsageError as e:
            raise UsageError(f"{origin}: {e}", e.hint) from e
        found.append(f"{name}={value}")
    return found

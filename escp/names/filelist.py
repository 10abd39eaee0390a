"""File lists of `--filelist`: names one a line, NUL-separated, or YAML; read as a stream, in constant memory.

- Lines end with \\n and nothing else: a carriage return, a space and a leading # belong to the name, because
  names are bytes. Empty lines are skipped; the last line may lack its end.
- With `is_nul` each name ends with a NUL and may hold anything else; no other form is looked for.
- YAML is a sequence of strings and `[source, target]` pairs. What is written is the name: `007`, `no` and
  `null` are names too. Anchors, aliases, tags and further documents are refused.

A list is YAML if its name ends in .yaml or .yml, or if its first line that is neither blank nor a comment
begins with `- ` or is `---` (a comment may follow). Never by trying: a plain list of names is a valid YAML
scalar of many lines. A name one a line that begins with a dash and a space is written `./- name`.
"""

import codecs
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import Any, NoReturn, cast

from escp.constants import KIB, MAX_NAME_BYTES, MAX_PATH_BYTES
from escp.errors import LocalFileError, UsageError, describe_errno
from escp.options.plainyaml import YamlError, load_yaml, read_events

MAX_ENTRY_BYTES = 64 * KIB  # of a line, or of a name in YAML
_CHUNK_BYTES = 64 * KIB
_YAML_START = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t\r]*(?:#[^\n]*)?\n)*(?:- |---[ \t\r]*(?:[#\n]|$))")
_YAML_HINT = "a YAML list holds strings and [source, target] pairs, each after '- '"
_NUL_HINT = "a list with a NUL after each name needs -0"
_UTF8_HINT = "names that are no UTF-8 fit into a list one a line, or with -0"

Entry = tuple[bytes, bytes | None]


def read_filelist(path: str, *, is_nul: bool) -> Iterator[Entry]:
    """Yield (source, target or None) for each entry of the list at *path*; `-` is standard input.

    A source is a word as on the command line, its bytes as they are. A target is relative, without empty, `.`
    or `..` components. Nothing is opened before the first entry is asked for. Raises UsageError with file and
    line (with `is_nul`: entry) for a bad entry, after those before it; LocalFileError if it can't be read.
    """
    name = "standard input" if path == "-" else f"'{path}'"
    with _open(path, name) as file:
        chunks = _read_chunks(file, name)
        if is_nul:
            yield from _read_words(chunks, b"\0", f"{name}, entry")
            return
        is_yaml = path.lower().endswith((".yaml", ".yml"))
        if not is_yaml:
            head = _read_head(chunks)
            is_yaml, chunks = _YAML_START.match(head) is not None, _chain(head, chunks)
        yield from _read_yaml(chunks, name) if is_yaml else _read_words(chunks, b"\n", f"{name}, line")


# ---- Reading ----------------------------------------------------------------------------------------


@contextmanager
def _open(path: str, name: str) -> Iterator[FileIO]:
    try:
        file = FileIO(0, closefd=False) if path == "-" else FileIO(path)
    except OSError as e:
        raise _explain(e, name) from e
    with file:
        yield file


def _read_chunks(file: FileIO, name: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = cast("bytes | None", file.read(_CHUNK_BYTES))
        except OSError as e:
            raise _explain(e, name) from e
        if chunk is None:  # somebody made it non-blocking: the end would look the same to a buffered reader
            import select

            select.select([file], [], [])
        elif chunk:
            yield chunk
        else:
            return


def _explain(error: OSError, name: str) -> LocalFileError:
    return LocalFileError(f"can't read the file list {name}: {describe_errno(error.errno or 0)}")


def _read_head(chunks: Iterator[bytes]) -> bytes:
    """As much as it takes to see the first line that is neither blank nor a comment, but 128 KiB at most."""
    head = b""
    for chunk in chunks:
        head += chunk
        is_known = any(line.strip() and not line.lstrip().startswith(b"#") for line in head.split(b"\n")[:-1])
        if is_known or len(head) > MAX_ENTRY_BYTES:
            break
    return head


def _chain(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


# ---- Lines and NUL-separated names ------------------------------------------------------------------


def _read_words(chunks: Iterator[bytes], separator: bytes, where: str) -> Iterator[Entry]:
    number, left = 0, b""
    for chunk in _chain_end(chunks, separator):
        *words, left = (left + chunk).split(separator)
        for word in words:
            number += 1
            if word:
                yield _check_source(word, f"{where} {number}"), None
            elif separator == b"\0":
                _refuse(f"{where} {number}", "a name is empty", "each name ends with one NUL")
        if len(left) > MAX_ENTRY_BYTES:
            _check_source(left, f"{where} {number + 1}")


def _chain_end(chunks: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    """The chunks, and a separator behind the last word if it has none."""
    last = separator
    for last in chunks:
        yield last
    if not last.endswith(separator):
        yield separator


# ---- YAML -------------------------------------------------------------------------------------------


class _YamlText:
    """The text that the YAML parser reads. It is given little more than it has turned into events."""

    def __init__(self, chunks: Iterator[bytes], name: str, forbidden: re.Pattern[str]):
        self.n_unused = 0  # characters read since the parser last gave an event
        self.error: UsageError | None = None
        self._chunks = chunks
        self._name = name
        self._forbidden = forbidden
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._line = 1

    def read(self, _: int) -> str:
        try:
            return self._read()
        except UsageError as e:
            self.error = e  # libyaml may report it as an error of its own
            raise

    def _read(self) -> str:
        if self.n_unused > MAX_ENTRY_BYTES:
            _refuse(f"{self._name}, line {self._line}", f"an entry is longer than {MAX_ENTRY_BYTES} bytes")
        text = ""
        while not text:
            chunk = next(self._chunks, b"")
            try:
                text = self._decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as e:
                line = self._line + bytes(e.object).count(b"\n", 0, e.start)
                _refuse(f"{self._name}, line {line}", "no UTF-8", _UTF8_HINT)
            if not chunk:
                break
        if match := self._forbidden.search(text):
            line = self._line + text.count("\n", 0, match.start())
            what = f"a character that YAML forbids, U+{ord(match[0]):04X}"
            _refuse(f"{self._name}, line {line}", what, 'write it as "\\xNN", in double quotes')
        self._line += text.count("\n")
        self.n_unused += len(text)
        return text


def _read_yaml(chunks: Iterator[bytes], name: str) -> Iterator[Entry]:
    yaml = load_yaml(f"the file list {name}", "install it, or give a list with one name a line")
    text = _YamlText(chunks, name, yaml.reader.Reader.NON_PRINTABLE)
    try:
        yield from _read_entries(read_events(yaml, text), text, name)
    except YamlError as e:
        if text.error is not None:
            raise text.error from e
        _refuse(name if e.line is None else f"{name}, line {e.line}", f"no YAML: {e}", e.hint or _YAML_HINT)


def _read_entries(events: Iterator[tuple[str, Any, int]], text: _YamlText, name: str) -> Iterator[Entry]:
    pair: list[bytes] | None = None
    depth = n_documents = 0
    for kind, event, line in events:
        text.n_unused = 0
        where = f"{name}, line {line}"
        if kind == "AliasEvent" or getattr(event, "anchor", None):
            _refuse(where, "anchors and aliases are not allowed", "write the name out")
        elif getattr(event, "tag", None) not in (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq"):
            _refuse(where, "tags are not allowed", "write the name without it")
        elif kind == "DocumentStartEvent":
            n_documents += 1
            if n_documents > 1:
                _refuse(where, "a second document begins", "put all entries into one list")
        elif kind == "MappingStartEvent" or (kind == "ScalarEvent" and depth == 0):
            what = "not a list" if depth == 0 else "neither a string nor a [source, target] pair"
            _refuse(where, what, "a name that holds ': ' stands in quotes" if depth else _YAML_HINT)
        elif kind == "SequenceStartEvent":
            depth += 1
            if depth > 2:
                _refuse(where, "neither a string nor a [source, target] pair", _YAML_HINT)
            pair = [] if depth == 2 else None
        elif kind == "SequenceEndEvent":
            depth -= 1
            if pair is not None:
                if len(pair) != 2:
                    _refuse(where, f"a pair is [source, target], not {len(pair)} names", _YAML_HINT)
                yield _check_source(pair[0], where), _check_target(pair[1], where)
                pair = None
        elif kind == "ScalarEvent":
            try:
                word = event.value.encode()
            except UnicodeEncodeError:  # "\ud800"
                _refuse(where, "a name with half a character", _UTF8_HINT)
            if pair is None:
                yield _check_source(word, where), None
            elif len(pair) < 2:
                pair.append(word)
            else:
                _refuse(where, "a pair is [source, target], not more names", _YAML_HINT)


# ---- Checks -----------------------------------------------------------------------------------------


def _check_source(word: bytes, where: str) -> bytes:
    if not word:
        _refuse(where, "a source is empty")
    return _check_word(word, where)


def _check_target(word: bytes, where: str) -> bytes:
    """The target, without what names nothing (`a//./b` is `a/b`)."""
    shown = os.fsdecode(word)
    if not word:
        _refuse(where, "a target is empty")
    _check_word(word, where)
    parts = word.split(b"/")
    if word.startswith(b"/"):
        _refuse(where, f"the target '{shown}' is absolute", "write it relative to the command's target")
    if b".." in parts:
        _refuse(where, f"the target '{shown}' leads upwards", "write it relative to the command's target")
    names = [part for part in parts if part not in (b"", b".")]
    if parts[-1] in (b"", b"."):
        _refuse(where, f"the target '{shown}' ends without a name", "write the name that the copy shall have")
    if len(b"/".join(names)) > MAX_PATH_BYTES or max(map(len, names)) > MAX_NAME_BYTES:
        _refuse(where, "the target is too long", f"a name has at most {MAX_NAME_BYTES} bytes")
    return b"/".join(names)


def _check_word(word: bytes, where: str) -> bytes:
    if len(word) > MAX_ENTRY_BYTES:
        _refuse(where, f"an entry is longer than {MAX_ENTRY_BYTES} bytes")
    if b"\0" in word:
        is_wide = word.startswith((b"\xff\xfe", b"\xfe\xff"))
        hint = "the list is UTF-16, as Windows writes it: convert it with iconv" if is_wide else _NUL_HINT
        _refuse(where, "a NUL in a name", hint)
    return word


def explain_name(name: bytes) -> str:
    """What may be wrong with a name of a list where nothing of that name is there; or ""."""
    if name.endswith(b"\r"):
        return "; the list's lines end in carriage returns, as Windows writes them: dos2unix it"
    if name.startswith(codecs.BOM_UTF8):
        return "; the list begins with a byte order mark, as Windows writes it: dos2unix it"
    if name.startswith((b"#", b";")):
        return "; a list of names has no comments"
    return ""


def _refuse(where: str, what: str, hint: str = "") -> NoReturn:
    raise UsageError(f"file list {where}: {what}", hint)

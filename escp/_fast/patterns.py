"""Patterns of rules, taken apart into tokens. Pure; loaded only where a copy has rules.

What a pattern means stands in files/filter.pxd, which matches tokens against paths.
"""

MAX_PATTERN_BYTES = 4096  # this and the tokens: as in files/filter.pxd
BYTE, ANY, CLASS, STAR, STARS = range(5)
_SLASH = ord("/")


def parse_pattern(pattern: bytes) -> tuple[bool, bool, bool, int, bytes, bytes, bytes]:
    """(is_anchored, is_directory, is_name, n_upper, kind of each token, byte of each, classes) of a pattern.

    *classes*: 32 bytes for each CLASS, a bit for each byte in it. ValueError says what is wrong.
    """
    if not pattern or b"\0" in pattern or len(pattern) > MAX_PATTERN_BYTES:
        raise ValueError(f"a pattern has 1 to {MAX_PATTERN_BYTES} bytes and no NUL")
    is_directory = len(pattern) > 1 and pattern.endswith(b"/")
    body = pattern[:-1] if is_directory else pattern
    is_anchored = body.startswith(b"/")
    is_name = b"/" not in body and b"**" not in body
    if is_anchored:
        body = body[1:]
    elif body.startswith(b"**/") and body[3:]:
        body = body[3:]  # from any component on: what an unanchored pattern does anyway, and the top is one
    if not body:
        raise ValueError(f"the pattern {pattern!r} names nothing")
    n_upper = 0
    if body.endswith(b"/***") and len(body) > 4:
        n_upper = len(_parse_tokens(body[:-1])) - 2  # with the wildcards: they make backslashes escape
    tokens = _parse_tokens(body)
    kinds = bytes(kind for kind, _ in tokens)
    values = bytes(value if isinstance(value, int) else 0 for _, value in tokens)
    classes = b"".join(_to_bits(value) for _, value in tokens if not isinstance(value, int))
    return is_anchored, is_directory, is_name, n_upper, kinds, values, classes


def _to_bits(members: frozenset[int]) -> bytes:
    return sum(1 << member for member in members).to_bytes(32, "little")


def _parse_tokens(pattern: bytes) -> list[tuple[int, int | frozenset[int]]]:
    """(kind, byte or members of the class) of each token of a pattern without its anchor and last slash."""
    if not any(c in b"*?[" for c in pattern):
        return [(BYTE, c) for c in pattern]
    tokens: list[tuple[int, int | frozenset[int]]] = []
    i = 0
    while i < len(pattern):
        c = pattern[i : i + 1]
        i += 1
        if c == b"*":
            n = len(pattern) - i - len(pattern[i:].lstrip(b"*"))  # that follow it
            i += n
            tokens.append((STARS if n else STAR, 0))
        elif c == b"?":
            tokens.append((ANY, 0))
        elif c == b"[":
            members, i = _parse_class(pattern, i)
            tokens.append((CLASS, members))
        else:
            if c == b"\\" and i < len(pattern):
                c = pattern[i : i + 1]
                i += 1
            tokens.append((BYTE, c[0]))
    return tokens


def _parse_class(pattern: bytes, i: int) -> tuple[frozenset[int], int]:
    """(its bytes, offset behind it) of the class whose first byte, after '[', is at *i*."""
    found: set[int] = set()
    is_negated = pattern[i : i + 1] in (b"!", b"^")
    i += is_negated
    start = i
    while True:
        if i >= len(pattern):
            raise ValueError(f"a '[' without its ']' in the pattern {pattern!r}")
        if pattern[i : i + 1] == b"]" and i > start:
            break
        if pattern[i : i + 2] == b"[:" and (end := pattern.find(b":]", i)) > 0:
            name = pattern[i + 2 : end].decode(errors="replace")
            if name not in _CLASSES:
                raise ValueError(f"no class [:{name}:] in the pattern {pattern!r}")
            found.update(_CLASSES[name])
            i = end + 2
            continue
        first, i = _parse_member(pattern, i)
        last = first
        if pattern[i : i + 1] == b"-" and pattern[i + 1 : i + 2] not in (b"]", b""):
            last, i = _parse_member(pattern, i + 1)
        found.update(range(first, last + 1))
    if is_negated:
        found = set(range(256)) - found
    return frozenset(found - {_SLASH}), i + 1


def _parse_member(pattern: bytes, i: int) -> tuple[int, int]:
    """(byte, offset behind it) of one member of a class."""
    if pattern[i : i + 1] == b"\\":
        i += 1
    if i >= len(pattern):
        raise ValueError(f"a '[' without its ']' in the pattern {pattern!r}")
    return pattern[i], i + 1


_DIGITS, _LOWER, _UPPER = b"0123456789", bytes(range(97, 123)), bytes(range(65, 91))
_GRAPH = bytes(range(33, 127))
# POSIX classes of the C locale, as rsync knows them.
_CLASSES = {
    "alnum": _DIGITS + _LOWER + _UPPER, "alpha": _LOWER + _UPPER, "digit": _DIGITS, "lower": _LOWER,
    "upper": _UPPER, "space": b" \t\n\r\v\f", "blank": b" \t", "cntrl": bytes(range(32)) + b"\x7f",
    "graph": _GRAPH, "print": b" " + _GRAPH, "xdigit": _DIGITS + b"abcdefABCDEF",
    "punct": _GRAPH.translate(None, _DIGITS + _LOWER + _UPPER),
}  # fmt: skip

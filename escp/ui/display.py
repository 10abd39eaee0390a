"""How names, sizes, rates and times look to a person. Pure text, for `log` and all that draws or prints.

A name is hostile until it has passed `show_name`: it could move the cursor, forge a line of output or hide
its own end. Sizes and rates are decimal (1 GB = 1e9 bytes), as networks and disks are sold.
"""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FILLERS = "\u115f\u1160\u3164\uffa0"  # of Hangul: letters that look like a blank
_UNITS = ("", "k", "M", "G", "T", "P", "E")


def show_name(name: bytes) -> str:
    """A file name on one line: controls, bidi marks, invalid UTF-8 and backslashes as escapes.

    Two names never look alike by their escapes; bytes that are no UTF-8 are `\\xNN`, characters `\\uNNNN`.
    """
    return show_text(name.decode("utf-8", "surrogateescape").replace("\\", "\\\\"))


def show_text(text: str) -> str:
    """Any text on one line, as `show_name` but with backslashes left alone: for messages."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def show_foreign(text: str) -> str:
    """Any text on one line, as `show_text`, and what nobody would see of it as escapes, too: marks that
    change the character before them, fillers. Not for names: many languages write with such marks.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_show_foreign, text))


def cut_foreign(text: str, n_columns: int) -> list[str]:
    """*text* in pieces that take no more columns than that when `show_foreign` has shown them; one at least.

    Where no one can say how wide a character is (CJK, emoji) it counts as two. An escape stays whole.
    """
    if len(text) <= n_columns and text.isascii() and text.isprintable():
        return [text]
    pieces, begin, n_used = [], 0, 0
    for at, char in enumerate(text):
        shown = _show_foreign(char)
        n = len(shown) if shown.isascii() else 2
        if n_used + n > n_columns and at > begin:
            pieces.append(text[begin:at])
            begin, n_used = at, 0
        n_used += n
    return [*pieces, text[begin:]]


def _show_foreign(char: str) -> str:
    if char.isascii() and char.isprintable():
        return char
    import unicodedata  # lazy: other hosts say hardly anything, and that in ASCII

    is_seen = char.isprintable() and char not in _FILLERS and unicodedata.category(char) not in ("Mn", "Me")
    return char if is_seen else _escape(char)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape carried
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _SHORT.get(char, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def format_count(n: int, noun: str) -> str:
    """'1 file', '20,000 files', '2 directories'."""
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") else f"{n:,} {noun}s"


def format_bytes(n_bytes: float) -> str:
    """'1 byte', '999 bytes', '8.1 MB', '82 MB', '16.4 GB'."""
    return format_count(int(n_bytes), "byte") if n_bytes < 999.5 else _scale(n_bytes) + "B"


def format_rate(bytes_per_s: float, *, in_bits: bool) -> str:
    """'58 MB/s', or '464 Mbit/s' with `in_bits`."""
    return _scale(bytes_per_s * 8) + "bit/s" if in_bits else _scale(bytes_per_s) + "B/s"


def format_duration(seconds: float) -> str:
    """'0.04 s', '1.4 s', '85 s', '2 min 05 s', '3 h 07 min'."""
    if seconds < 0.0995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_clock(seconds: float) -> str:
    """'0:07', '12:30', '1:02:05': as short as a meter needs it."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def format_address(place: str) -> str:
    """'192.0.2.7:1232', '[fd00::1]:1232' of 'A port N', for programs; ssh's way as it is."""
    address, is_port, port = place.rpartition(" port ")
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}" if is_port else place


def to_valid_text(text: str | bytes) -> str:
    """Text that UTF-8 and JSON can hold: what was no UTF-8 becomes U+FFFD."""
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)


def _scale(value: float) -> str:
    """Three places at most, a decimal for values under 10 and from giga on: '8.1 M', '82 M', '16.4 G'."""
    at = 0
    while value >= 999.5 and at < len(_UNITS) - 1:
        value /= 1000
        at += 1
    has_decimal = at > 0 and (value < 9.95 or at >= 3)
    return f"{value:.1f} {_UNITS[at]}" if has_decimal else f"{value:.0f} {_UNITS[at]}"

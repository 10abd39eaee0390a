"""JSON by the C half of `json`: its Python half needs `re`, and together they take 4 ms of an agent's start.

`_json` is what `json` is made of where there is C; the tests compare the two.
"""

from _json import encode_basestring_ascii, make_scanner

_SPACE = " \t\n\r"


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


class _Grammar:
    """What the scanner asks of `json.JSONDecoder`."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse)  # NaN and Infinity


_scan = make_scanner(_Grammar)  # type: ignore[arg-type]  # any object with these attributes


def read_json(data: bytes) -> object:
    """The value of a JSON text in UTF-8. Raises ValueError, or RecursionError where it is nested too deep."""
    text = data.decode().strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("no JSON value") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def write_json(value: object) -> str:
    """*value* as JSON in ASCII: strings, whole numbers, bools and None, in lists and dicts of them."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{encode_basestring_ascii(key)}: {write_json(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join([write_json(item) for item in value]) + "]"
    raise TypeError(f"{type(value).__name__} can't be JSON here")

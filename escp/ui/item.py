"""What --itemize says of each name: why it was copied, or was not to stay. A closed set. Pure."""

MISSING, TYPE, CONTENTS, ATTRIBUTES, ONLY_THERE = "missing", "type", "contents", "attributes", "only there"
_OF_NUMBERS = (CONTENTS, MISSING, TYPE, CONTENTS, ATTRIBUTES)  # a reason_kind each; 0: it is not known better
SAME = 5  # a number that says: it was not copied
WIDTH = len(ATTRIBUTES)


def find_reason(number: int) -> str:
    """In words, for a peer's number."""
    return _OF_NUMBERS[number] if 0 <= number < len(_OF_NUMBERS) else CONTENTS


def format_item(name: str, reason: str, size: int | None) -> str:
    """'missing           1,234  dir/name'. *size*: None for what has none."""
    shown = "-" if size is None else f"{size:,}"
    return f"{reason:<{WIDTH}} {shown:>15}  {name}"

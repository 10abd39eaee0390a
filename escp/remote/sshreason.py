"""Why ssh ended, from what it said: the line that matters, and whether to try again. Pure."""

from escp.ui.display import show_text

# In its own words. What a server or a network may have got over in a minute is not among them.
_FOR_GOOD = (
    "Could not resolve hostname",
    "Permission denied",
    "Host key verification failed",
    "HOST IDENTIFICATION HAS CHANGED",
    "Too many authentication failures",
    "No more authentication methods",
    "Unable to negotiate",
    "Bad configuration option",
    "Bad owner or permissions",
    "command-line",
    "Bad port",
    "Bad local forwarding",
    "Unsupported",
    "Can't open user config file",
)
_NOT_YET = "Temporary failure in name resolution"
_EMPTY = ("debug", "Connection closed by UNKNOWN", "Transferred:", "Bytes per second:")  # with -v; of a jump
MAX_REASON = 160  # characters


def find_reason(lines: list[str]) -> str:
    """The last line that says something, harmless and short; "" where there is none.

    It comes behind escp's own words, so nothing in it may look like the begin of others.
    """
    for line in reversed(lines):
        words = " ".join(line.split())
        shown = show_text(words).encode("ascii", "backslashreplace").decode()
        if shown and not shown.startswith(_EMPTY) and "escp:" not in shown.lower():
            shown = shown.removeprefix("ssh: ").rstrip(".")
            return shown if len(shown) <= MAX_REASON else f"{shown[: MAX_REASON - 3]}..."
    return ""


def is_for_good(lines: list[str]) -> bool:
    """Whether the same login would fail again."""
    said = "\n".join(lines)
    return _NOT_YET not in said and any(words in said for words in _FOR_GOOD)

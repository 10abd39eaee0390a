"""Text as roff for man(7): what a reader copies from the page is what was meant."""

import re

# Without these, groff makes quotation marks, hyphens and accents of what are characters of a command.
_ESCAPES = {"\\": "\\e", "-": "\\-", "~": "\\(ti", "^": "\\(ha", "`": "\\(ga"}


def escape(text: str) -> str:
    """One paragraph. A leading dot or quote would be taken for a request and vanish: it is shielded."""
    escaped = re.sub(r"[\\~^`-]", lambda match: _ESCAPES[match[0]], text)
    escaped = re.sub(r"(?<!\w)'|'(?!\w)", r"\\(aq", escaped)  # not the apostrophe of "ssh's"
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def bold(text: str) -> str:
    return f"\\fB{escape(text)}\\fR"


def mark_placeholders(text: str) -> str:
    """`escp [OPTION]... FILE...` with the program bold and what the reader fills in italic."""
    marked = re.sub(r"[A-Z]{2,}[0-9]?", lambda match: f"\\fI{match[0]}\\fR", escape(text))
    return re.sub(r"^\w+", lambda match: f"\\fB{match[0]}\\fR", marked)

"""What `--doctor` and `--selftest` find: the records, and how they look as text. Pure."""

from escp.lean.record import Record
from escp.ui.display import format_count, show_text

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"
LOCAL, REMOTE, ROUTE = "local", "remote", "route"
WIDTH = 80
_INDENT = 23  # two blanks, the longest status, the longest subject, and a blank after each
_ADVICE_INDENT = 10  # a command shall fit on its line, to be copied


class Finding(Record):
    """One thing that was looked at. *advice* is empty where it is ok; *number*: *value* in figures."""

    scope: str  # LOCAL, REMOTE, or ROUTE: between the two
    subject: str
    status: str
    value: str
    advice: str = ""
    number: int | float | None = None


class Check(Record):
    """One check of the self-test, and why it failed, or what it saw."""

    name: str
    is_ok: bool
    text: str


def format_finding(finding: Finding) -> list[str]:
    """Its lines: 80 columns wide unless a single word is longer, and harmless to a terminal."""
    head = f"  {finding.status:<8}{finding.subject:<12} "
    lines = _wrap(show_text(finding.value), head, " " * _INDENT)
    first = " " * _ADVICE_INDENT + "-> "
    for part in finding.advice.split("\n") if finding.advice else ():
        lines += _wrap(show_text(part), first, " " * len(first))
        first = " " * len(first)
    return lines


def format_check(check: Check) -> list[str]:
    head = f"{'ok' if check.is_ok else 'FAILED':<8}{check.name:<15}"
    return _wrap(show_text(check.text), head, " " * len(head))


def _wrap(text: str, first: str, others: str) -> list[str]:
    """Lines of whole words. textwrap would also break at hyphens, of options for example."""
    lines, line = [], first
    has_word = False
    for word in text.split(" "):
        if has_word and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line, has_word = others, False
        line += f" {word}" if has_word else word
        has_word = True
    return [*lines, line.rstrip()]


def format_scope(scope: str, host: str) -> str:
    """The line above the findings of one scope."""
    shown = show_text(host)
    return {LOCAL: "this host", REMOTE: shown, ROUTE: f"between this host and {shown}"}[scope]


def format_count_of(findings: list[Finding]) -> str:
    """'1 problem, 2 warnings, 3 notes', or that there is nothing to do."""
    counts = [(status, sum(f.status == status for f in findings)) for status in (PROBLEM, WARNING, NOTE)]
    return ", ".join(format_count(n, status) for status, n in counts if n) or "nothing to improve"

"""From the runs to the table: medians, escp's figure over that of its reference, the project's bounds."""

import statistics
from dataclasses import dataclass

from cases import Bound, Case
from run import Run

HEADINGS = ("case", "tool", "median", "min–max", "unit", "CPU s/GB", "compared with", "ratio", "bound", "met")
NUMBERS = ("median", "CPU s/GB", "ratio", "bound")  # set to the right
NOISE = 0.10
LEAST_GB = 0.001  # below, CPU seconds per GB mean nothing
DIGITS = {"GB/s": 3, "s": 3, "MiB": 1, "files/s": 0}


@dataclass
class Row:
    """One figure of a case: several come from one tool where both sides are measured."""

    name: str
    median: float
    low: float
    high: float
    cpu_s_per_gb: float | None


@dataclass
class Verdict:
    """`ratio` None: the figure itself is bounded. `is_met` None: nothing is asked, or a figure is missing."""

    row: str
    reference: str
    ratio: float | None
    bound: str
    is_met: bool | None


def make_rows(case: Case, runs: list[Run]) -> dict[str, Row]:
    """In the order of the tools; a tool none of whose runs succeeded has no row."""
    rows = {}
    for tool in case.tools:
        good = [run for run in runs if run.tool == tool.name and not run.error]
        gb = tool.dataset.n_bytes / 1e9 if tool.dataset else 0
        for name in good[0].values if good else ():
            values = [run.values[name] for run in good]
            cpu = statistics.median(run.cpu_s for run in good) / gb if gb >= LEAST_GB else None
            if case.watches_memory:
                cpu = None  # files of 16 bytes, and a watcher beside
            rows[name] = Row(name, statistics.median(values), min(values), max(values), cpu)
    return rows


def judge(case: Case, bound: Bound, rows: dict[str, Row]) -> Verdict:
    sign = "≥" if bound.is_at_least else "≤"
    digits = 2 if bound.references else 0
    text = f"{sign} {bound.limit:.{digits}f}" if bound.limit is not None else "–"
    if bound.remark:
        text += f" ({bound.remark})"
    row = rows.get(bound.row)
    if not bound.references:
        is_met = None if row is None else _holds(row.median, bound)
        return Verdict(bound.row, "", None, text, is_met)
    there = [rows[name] for name in bound.references if name in rows]
    if row is None or not there:
        return Verdict(bound.row, " or ".join(bound.references), None, text, None)
    is_rate = case.unit.endswith("/s")
    best = (max if is_rate else min)(there, key=lambda one: one.median)
    ratio = row.median / best.median
    what = ""
    if bound.is_time and is_rate:
        ratio, what = 1 / ratio, ", time"
    return Verdict(bound.row, best.name + what, ratio, text, _holds(ratio, bound))


def _holds(figure: float, bound: Bound) -> bool | None:
    if bound.limit is None:
        return None
    return figure >= bound.limit if bound.is_at_least else figure <= bound.limit


def _format_row(case: Case, row: Row) -> list[str]:
    digits = DIGITS[case.unit]
    cpu = "–" if row.cpu_s_per_gb is None else f"{row.cpu_s_per_gb:.2f}"
    spread = f"{row.low:.{digits}f}–{row.high:.{digits}f}"
    return [case.name, row.name, f"{row.median:.{digits}f}", spread, case.unit, cpu]


def _format_verdict(verdict: Verdict) -> list[str]:
    ratio = "" if verdict.ratio is None else f"{verdict.ratio:.2f}"
    if verdict.ratio is None and verdict.is_met is None:
        return [verdict.reference, "not measured", verdict.bound, "?"]
    met = {True: "yes", False: "NO", None: "–"}[verdict.is_met]
    return [verdict.reference, ratio, verdict.bound, met]


def make_lines(case: Case, runs: list[Run]) -> list[list[str]]:
    """The cells of the table; a row with several verdicts goes on in lines of its own."""
    rows = make_rows(case, runs)
    verdicts = [judge(case, bound, rows) for bound in case.bounds]
    names = list(rows) + [v.row for v in verdicts if v.row not in rows]
    lines = []
    for name in dict.fromkeys(names):
        left = [case.name, name, "failed" if runs else "not run", "", case.unit, ""]
        if name in rows:
            left = _format_row(case, rows[name])
        mine = [_format_verdict(verdict) for verdict in verdicts if verdict.row == name]
        for right in mine or [[""] * 4]:
            lines.append(left + right)
            left = [""] * 6
    return lines


def format_table(lines: list[list[str]]) -> str:
    """Markdown that is readable as it is."""
    widths = [max(len(line[i]) for line in [HEADINGS, *lines]) for i in range(len(HEADINGS))]

    def format_line(cells):
        padded = [
            cell.rjust(width) if heading in NUMBERS else cell.ljust(width)
            for cell, width, heading in zip(cells, widths, HEADINGS, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + (":" if heading in NUMBERS else "-")
        for width, heading in zip(widths, HEADINGS, strict=True)
    ]
    return "\n".join([format_line(HEADINGS), format_line(rule), *map(format_line, lines)])


def make_notes(case: Case, runs: list[Run]) -> list[str]:
    """What must be known to trust the figures: failed runs, and other work on the machine."""
    notes = []
    for run in runs:
        if run.error:
            notes.append(f"{case.name}, {run.tool}, run {run.round + 1} failed and is left out: {run.error}")
    noisy = [run for run in runs if run.others_share > NOISE]
    if noisy:
        worst = max(run.others_share for run in noisy)
        notes.append(
            f"{case.name}: in {len(noisy)} of {len(runs)} runs other processes used more than {NOISE:.0%} "
            f"of the CPUs (up to {worst:.0%}): do not trust its figures"
        )
    return notes

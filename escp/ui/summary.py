"""The outcome of a copy in one line, and its exit status. Pure."""

from escp.errors import EXIT_OK, EXIT_SOME_FAILED, EscpError
from escp.ui.display import format_bytes, format_count, format_duration, format_rate
from escp.ui.progress import Summary


def compose_summary(summary: Summary, *, shows_bits: bool) -> str:
    """'20,000 files, 82 MB in 1.4 s (58 MB/s), verified'. The rate is that of the whole run."""
    rate = format_rate(summary.bytes / max(summary.seconds, 1e-3), in_bits=shows_bits)
    parts = [
        format_count(summary.files, "file"),
        f"{format_bytes(summary.bytes)} in {format_duration(summary.seconds)} ({rate})",
    ]
    if summary.files == 0 and summary.directories:
        parts.insert(0, format_count(summary.directories, "directory"))
    if summary.is_dry_run:
        parts = [f"would copy {parts[-2 if summary.directories and not summary.files else 0]}"]
    if summary.n_skipped:
        parts.append(f"{summary.n_skipped:,} unchanged")
    if summary.n_failed:
        parts.append(f"{summary.n_failed:,} failed")
    if summary.is_dry_run:
        pass
    elif summary.is_verified:
        parts.append("the others verified" if summary.n_failed else "verified")
    else:
        parts.append("not verified")
    if summary.is_dummy:
        parts.append("no disk used")
    return ", ".join(parts)


def find_exit_code(summary: Summary, error: EscpError | None) -> int:
    """The exit status of a session that ran to its end."""
    if error is not None:
        return error.exit_code
    return EXIT_SOME_FAILED if summary.n_failed else EXIT_OK

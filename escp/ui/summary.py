"""The outcome of a copy in one line, and its exit status. Pure."""

from escp.errors import EXIT_OK, EXIT_SOME_FAILED, EscpError
from escp.ui.display import format_bytes, format_count, format_duration, format_rate
from escp.ui.progress import Snapshot, Summary


def compose_summary(summary: Summary, *, shows_bits: bool) -> str:
    """'20,000 files, 82 MB in 1.4 s (82 MB/s), verified'.

    The time is that of the whole run, with the login; the rate is that of the data, as everywhere. Only what
    was copied has been verified.
    """
    if summary.is_dry_run:
        has_files = summary.files or not summary.directories
        what = (summary.files, "file") if has_files else (summary.directories, "directory")
        return ", ".join([f"would copy {format_count(*what)}", *_count_others(summary)])
    took = format_duration(summary.seconds)
    if not summary.files and (summary.n_skipped or summary.n_failed or summary.n_deleted):
        return ", ".join([f"no file copied in {took}", *_count_others(summary)])
    if not summary.files and summary.directories:
        return f"{format_count(summary.directories, 'directory')} in {took}"
    parts = [format_count(summary.files, "file"), f"{format_bytes(summary.bytes)} in {took}"]
    if summary.rate_bytes_per_s:
        parts[-1] += f" ({format_rate(summary.rate_bytes_per_s, in_bits=shows_bits)})"
    if summary.is_verified and summary.n_failed and not summary.n_skipped:
        parts += [*_count_others(summary), "the others verified"]
    else:
        parts += ["verified" if summary.is_verified else "not verified", *_count_others(summary)]
    if summary.is_dummy:
        parts.append("no disk used")
    return ", ".join(parts)


def _count_others(summary: Summary) -> list[str]:
    """What was not copied."""
    deleted = "to delete" if summary.is_dry_run else "deleted"
    counts = ((summary.n_skipped, "unchanged"), (summary.n_deleted, deleted), (summary.n_failed, "failed"))
    return [f"{n:,} {what}" for n, what in counts if n]


def compose_complete(snapshot: Snapshot) -> str:
    """'complete by then: 12 of 40 files', of a copy that ended early."""
    least = "" if snapshot.is_total_final else "at least "
    total = format_count(snapshot.files_total, "file")
    return f"complete by then: {snapshot.files_done:,} of {least}{total}"


def find_exit_code(summary: Summary, error: EscpError | None) -> int:
    """The exit status of a session that ran to its end."""
    if error is not None:
        return error.exit_code
    return EXIT_SOME_FAILED if summary.n_failed else EXIT_OK

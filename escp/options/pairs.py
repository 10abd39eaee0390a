"""Options that do nothing without another one, or twice the same: on a command line that is a mistake.

In a configuration they wait for the other one, as `max-delete` does for `--delete`.
"""

from escp.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


def check_pairs(args: "Namespace", is_given: "Callable[[str], bool]") -> None:
    """*is_given*: whether the option of that name stands on the command line. Raises UsageError."""
    for is_idle, option, reason, hint in (
        (
            args.logs_files and args.logfile is None,
            "--log-files", "there is no log", "write --logfile FILE, too",
        ),
        (
            args.is_null_separated and args.filelist is None,
            "--null", "there is no --filelist", "write --filelist FILE, too, or leave it out",
        ),
        (
            args.max_deletions is not None and not args.deletes,
            "--max-delete", "nothing is removed without --delete", "write both, or leave it out",
        ),
        (
            args.days is not None and args.makes_certificate is None,
            "--days", "no certificate is made", "write --make-cert DIR, too, or leave it out",
        ),
        (
            args.trusts_parts and not args.resumes,
            "--trust-partial", "nothing that is there is used without --resume", "write both",
        ),
        (
            args.json and args.json_fd == "1",
            "--json-fd", "1 is standard output, which has the lines of --json", "use one of them",
        ),
    ):  # fmt: skip
        if is_idle and is_given(option):
            raise UsageError(f"option {option}: {reason}", hint)

"""`--make-ca`, `--make-cert`, `--revoke`, and `--listen`, which serves those who have such certificates."""

import os
import sys

from escp.errors import EXIT_OK, UsageError
from escp.tls.keyfiles import explain_missing, find_folder
from escp.ui.display import show_text
from escp.ui.lines import find_lines
from escp.ui.ui import has_json_output, make_json_uis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from escp.options.options import Options


def run_tls(options: "Options") -> int:
    """Raises EscpError."""
    verbs: tuple[tuple[object, Callable[[Options], int]], ...] = (
        (options.listens, _listen), (options.makes_ca, _make_ca), (options.revokes, _revoke),
        (options.makes_certificate, _make_certificate),
    )  # fmt: skip
    chosen = [verb for is_wanted, verb in verbs if is_wanted]
    if len(chosen) > 1:
        raise UsageError("options --listen, --make-ca, --make-cert, --revoke: each is for itself", "use one")
    try:
        code = chosen[0](options)
        for ui in make_json_uis(options):
            ui.end(None)
        return code
    except ImportError as e:
        if (e.name or "").partition(".")[0] not in ("ssl", "_ssl", "cryptography"):
            raise
        raise explain_missing(e) from e


def _say(options: "Options", text: str) -> None:
    for ui in make_json_uis(options):
        ui.announce(text)
    if not has_json_output(options):
        find_lines(sys.stdout).write(show_text(text))


def _make_ca(options: "Options") -> int:
    from escp.tls.authority import make_ca  # lazy: cryptography

    if options.words:
        raise UsageError("option --make-ca: it takes one directory", "escp --make-ca DIR")
    make_ca(options.makes_ca or "")
    _say(
        options,
        f"{options.makes_ca}: ca.pem and crl.pem are for all hosts and users, ca-key.pem for nobody else",
    )
    return EXIT_OK


def _make_certificate(options: "Options") -> int:
    from escp.tls.authority import make_certificate  # lazy: cryptography

    if len(options.words) < 2:
        raise UsageError(
            "option --make-cert: a directory for the new files, and a name",
            "escp --make-cert CA-DIR DIR DNS:dtn2.example.org, or URI:escp://site/alice",
        )
    path, *names = options.words
    serial = make_certificate(options.makes_certificate or "", path, names, options.days)
    _say(options, f"{path}: serial number {serial}; key.pem is a secret")
    return EXIT_OK


def _revoke(options: "Options") -> int:
    from escp.tls.authority import revoke  # lazy: cryptography

    for serial in revoke(options.revokes or "", options.words):
        _say(options, f"serial number {serial} is taken back")
    _say(options, f"{options.revokes}/crl.pem is new: copy it to all hosts that have this authority's ca.pem")
    return EXIT_OK


def _listen(options: "Options") -> int:
    # Lazy: ssl and cryptography.
    from escp.tls.listener import Daemon
    from escp.tls.ports import open_sockets

    if len(options.words) > 1:
        raise UsageError("option --listen: more than one address", "escp --listen [ADDRESS][:PORT]")
    folder = find_folder(options.tls_folder, is_daemon=True)
    write = _open_log(options)
    return Daemon(open_sockets(options.words[0] if options.words else None), folder, write).run()


def _open_log(options: "Options") -> "Callable[..., None]":
    """Writes to the log that is named, else to standard error, which is systemd's journal.

    Without a thread, for the daemon forks. Raises LocalFileError.
    """
    # Lazy: a daemon only.
    from escp.ui.log import TransferLog, format_event

    log = None if options.logfile is None else TransferLog(options.logfile)

    def write(event: str, **fields: "Any") -> None:
        if log is not None:
            log.write(event, **fields)
            return
        try:
            os.write(2, f"escp: {format_event(event, fields)}\n".encode())
        except OSError:
            return  # nobody reads it any more

    return write

"""What JSON lines and logs call the same things: one set of names (docs/json.md)."""

import os

from escp.errors import EscpError
from escp.ui.progress import PHASES, StartInfo, Summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from escp.options.options import Options

MAX_SOURCES = 100  # that are told, of the command line


def find_user() -> str:
    """Who runs this process."""
    from pwd import getpwuid  # lazy: it may ask a server

    try:
        return getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def name_command(options: "Options") -> "dict[str, Any]":
    """Of `StartInfo`: what the user asked for."""
    *sources, target = options.words or ("",)
    return {
        "sources": tuple(sources[:MAX_SOURCES]), "n_sources": len(sources), "target": target,
        "options": options.option_words,
    }  # fmt: skip


def describe_start(info: StartInfo) -> "dict[str, Any]":
    return {
        "host": info.host,
        "address": info.address,
        "streams": info.n_streams,
        "block_bytes": info.block_bytes,
        "aead": info.aead,
        "embedded": info.is_embedded,
        "user": find_user(),
        "local_host": os.uname().nodename,
        "options": info.options,
        "sources": info.sources,
        "sources_total": info.n_sources,
        "target": info.target,
    }


def describe_summary(summary: Summary) -> "dict[str, Any]":
    return {
        "files": summary.files,
        "directories": summary.directories,
        "bytes": summary.bytes,
        "seconds": round(summary.seconds, 6),
        **{f"{name}_seconds": round(spent, 6) for name, spent in zip(PHASES, summary.phases, strict=True)},
        "data_seconds": round(summary.data_seconds, 6),
        "rate_bytes_per_s": round(summary.rate_bytes_per_s),
        "bytes_network": summary.bytes_network,
        "verified": summary.is_verified,
        "failed": summary.n_failed,
        "aead": summary.aead,
        "streams": summary.n_streams,
        "dummy": summary.is_dummy,
        "skipped": summary.n_skipped,
        "deleted": summary.n_deleted,
        "dry_run": summary.is_dry_run,
        "bytes_disk": summary.bytes_disk,
        "bytes_compressed": summary.bytes_compressed,
    }


def describe_session(
    about: "Mapping[str, object]", numbers: "Mapping[str, object]", exit_code: int | None, message: str
) -> "dict[str, Any]":
    """The one line of a session that an audit needs, of either end. *about*: what was asked for, of whom.

    *exit_code* None: it ended without one.
    """
    return {
        "user": find_user(),
        "local_host": os.uname().nodename,
        **{
            name: about.get(name)
            for name in ("host", "role", "sources", "sources_total", "target", "options")
        },
        **{
            name: numbers.get(name)
            for name in ("files", "directories", "bytes", "failed", "skipped", "deleted")
        },
        "seconds": numbers.get("seconds"),
        "ok": exit_code == 0,
        "exit_code": exit_code,
        "message": message,
    }


def explain_replaced(program: str, exit_code: int) -> EscpError | None:
    """Why a copy that another program made in escp's place failed, as far as that says."""
    if exit_code == 0:
        return None
    error = EscpError(
        f"{program}, which copied in escp's place, ended with exit status {exit_code}",
        "it has said why on standard error", is_retryable=False,
    )  # fmt: skip
    error.exit_code = exit_code
    return error


def describe_failure(error: EscpError | None) -> str:
    return "" if error is None else str(error)

"""`--fallback scp`: where the other host has no escp, the system's scp copies in its place.

Options that scp has, too, are handed on. Options that change what is copied, and that scp lacks, are refused
by name. Options for escp's own streams and speed mean nothing to scp, and are left out.
"""

import os
import select
import sys
import time
from typing import Any

from escp.errors import AgentError, NoAgentError, TimeUpError
from escp.options.options import Options
from escp.options.sshargs import SSH_SAFETY_ARGS
from escp.process.children import LOOK_S, exit_code, open_end
from escp.process.environment import child_environment
from escp.ui.events import Events
from escp.ui.lines import find_lines

_NAME = "scp"
_LONG_S = 3600.0

# Fields of Options that scp has nothing for, and the options that set them.
_LACKING = {
    "filelist": "--filelist", "filters": "--exclude",
    "skips_existing": "--ignore-existing",
    "updates": "--update", "skips_unchanged": "--skip-unchanged", "compares_digests": "--checksum",
    "deletes": "--delete",
    "removes_sources": "--remove-source-files", "is_durable": "--fsync", "reads_back": "--verify",
    "itemizes": "--itemize", "manifest": "--manifest",
    "is_dry_run": "--dry-run", "min_bytes": "--min-size", "below_bytes": "--max-size",
    "is_archive": "--archive",
    "keeps_owner": "--owner", "keeps_xattrs": "--xattrs", "keeps_acls": "--acls", "keeps_links": "--links",
    "keeps_hard_links": "--hard-links", "is_sparse": "--sparse", "is_inplace": "--inplace",
    "keeps_devices": "--devices", "mode_rules": "--chmod", "is_target_exact": "--no-target-directory",
    "makes_path": "--mkpath", "reads_standard_input": "standard input as a source",
    "writes_standard_output": "standard output as the target",
}  # fmt: skip


def run_scp(options: Options, error: NoAgentError, report: Events, due_s: float) -> int:
    """The exit status of scp, which copies in place of escp; *error* is why, *due_s* of --stop-after.

    Raises AgentError where scp can't do what is asked for, or is not there, and TimeUpError.
    """
    lacking = [name for field, name in _LACKING.items() if getattr(options, field)]
    if {"dummy", "shmem"} & {options.send_engine, options.receive_engine}:
        lacking.append("--ioengine")
    if any(place.is_tls for place in (*options.sources, options.target)):
        lacking.append("login by TLS")
    if lacking:
        named = ", ".join(lacking)
        hint = "leave out what scp lacks, or install escp there (or --push-agent sends it along)"
        raise AgentError(f"{error}, and scp, which is to copy in its place, has no {named}", hint)
    program = _find_program()
    if program is None:
        raise AgentError(f"{error}, and there is no scp here that could copy in its place", error.hint)
    unlisted = ", and no log lists its files" if options.logs_files else ""
    report.warn(f"{error}: scp copies in its place, through ssh, and nothing is verified{unlisted}")
    report.replace(_NAME)
    for stream in (sys.stdout, sys.stderr):
        find_lines(stream).wait()  # what is said comes before scp's own words
    code = _run([program, *_make_options(options), "--", *options.words], _direct_output(options), due_s)
    report.replaced(_NAME, code)
    return code


def _find_program() -> str | None:
    """That of the PATH; one that is another name of escp is passed over."""
    for folder in os.get_exec_path():
        path = os.path.join(folder, _NAME)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            if not os.path.basename(os.path.realpath(path)).startswith("escp"):
                return path
    return None


def _make_options(options: Options) -> list[str]:
    remote = [place for place in (options.target, *options.sources) if place.is_remote]
    options = options.for_host(remote[0]) if remote else options
    words = [word for word in options.ssh_args[len(SSH_SAFETY_ARGS) :] if word != "-oForwardAgent=no"]
    if options.ssh_program != "ssh":
        words += ["-S", options.ssh_program]
    if options.ssh_port is not None:
        words += ["-P", str(options.ssh_port)]
    if options.limit_bytes_per_s is not None:
        words += ["-l", str(max(1, options.limit_bytes_per_s * 8 // 1024))]
    if options.target.is_remote and any(source.is_remote for source in options.sources):
        words.append("-R" if options.is_direct_hosts else "-3")
    for is_set, word in (
        (options.is_recursive, "-r"), (options.keeps_attributes, "-p"), (options.has_compression, "-C"),
        (options.verbosity == 1, "-v"),
    ):  # fmt: skip
        if is_set:
            words.append(word)
    return words


def _direct_output(options: Options) -> list[tuple[Any, ...]]:
    """Where scp's standard output goes, on which it has a meter for a terminal, and nothing else."""
    if options.is_quiet:  # scp's own -q would take its errors away, and ssh's
        return [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    return [(os.POSIX_SPAWN_DUP2, 2, 1)] if options.json or options.json_fd == 1 else []


def _run(command: list[str], directions: list[tuple[Any, ...]], due_s: float) -> int:
    pid = os.posix_spawn(command[0], command, child_environment(), file_actions=directions)
    try:
        status = _await_end(pid, due_s)
    except BaseException:  # a signal: what it does to scp is scp's matter, but it must not stay behind
        os.kill(pid, 15)
        os.waitpid(pid, 0)
        raise
    return exit_code(status)


def _await_end(pid: int, due_s: float) -> int:
    poll = select.poll()
    end_fd = open_end(pid)
    look_s = LOOK_S
    if end_fd >= 0:
        poll.register(end_fd, select.POLLIN)
        look_s = _LONG_S
    try:
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            left_s = due_s - time.monotonic()
            if left_s <= 0:
                raise TimeUpError
            poll.poll(1000 * min(left_s, look_s))
    finally:
        if end_fd >= 0:
            os.close(end_fd)
    return ended[1]

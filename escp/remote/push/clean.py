"""`--clean-agents`: removes from a host what `--push-agent` left there: one login, one script."""

import contextlib
import os
import re
import time

from escp.constants import MIB
from escp.errors import AgentError, RefusedError
from escp.lean.eventloop import EventLoop
from escp.lean.record import Record
from escp.options.location import Location
from escp.options.options import Options
from escp.remote.child import AgentProcess
from escp.remote.push.script import answer_pattern, clean_command, clean_script
from escp.remote.push.tree import find_tree
from escp.remote.ssh import start_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from escp.ui.events import Events

MAX_OUTPUT_BYTES = 1 * MIB  # a tree takes 100
STEP_S = 0.1
_ANSWER = answer_pattern(b"[a-z]+")
_TREE = re.compile(r"(\d{1,12}) ([0-9a-f]{64})")


class Tree(Record):
    """What became of one of the host's trees."""

    action: str  # a key of ACTIONS
    identity: str
    bytes: int  # on the disk there


ACTIONS = {
    "removed": "removed",
    "damaged": "removed: it was damaged",
    "kept": "kept: this escp's own",
    "used": "left: it is running",
    "unfinished": "left: it is being sent, or was within the last day",
    "link": "left: it is a link",
    "failed": "could not be removed",
}
REMOVED = ("removed", "damaged")


def clean_agents(
    options: Options, location: Location, started: "list[AgentProcess]", ui: "Events"
) -> list[Tree]:
    """Clean one host; *started* gets the ssh that must be stopped, whatever happens. Raises EscpError.

    *ui* hears what comes on ssh's standard error, and what is waited for.
    """
    options = options.for_host(location)
    own = find_tree(options.agent_tree)
    identity = own.identity if own else ""
    process = start_command(options, location, clean_command(identity))
    started.append(process)
    with contextlib.suppress(BrokenPipeError):  # reading says why
        os.write(process.write_fd, clean_script(identity))  # a pipe takes as much at once
    output = _read(process, ui)
    trees = list(_parse(output, process.host))
    if not re.search(rb"\x1eESCP agent done\x1e", output):
        raise process.explain_end(_ANSWER.sub(b"", output)[-200:].strip(), is_past_marker=False)
    return trees


def _read(process: AgentProcess, ui: "Events") -> bytes:
    """Standard output until its end."""
    output, loop = bytearray(), EventLoop()

    def read() -> None:
        data = os.read(process.read_fd, 1 << 16)
        if not data:
            loop.unwatch(process.read_fd)
            process.close_channel()
        elif len(output) < MAX_OUTPUT_BYTES:
            output.extend(data)

    loop.watch(process.read_fd, read)
    process.words.listen(loop, lambda line: ui.words(process.host, line))
    login = process.watch_login(loop.now())
    while process.read_fd >= 0:
        loop.wait(STEP_S)
        if login is not None and not output:
            login.check(loop.now())
        process.words.tick(time.monotonic())
        ui.wait_for(f"{process.host} to answer (ssh logs in)", process.is_asking)
        ui.tick()
    ui.wait_for("", process.is_asking)
    process.words.leave()
    loop.close()
    return bytes(output)


def _parse(output: bytes, host: str) -> "Iterator[Tree]":
    for word, text in _ANSWER.findall(output):
        action, shown = word.decode(), text.decode(errors="replace")
        if action == "foreign":
            raise RefusedError(f"'{shown}' on {host} belongs to somebody else", "escp leaves it alone")
        if action == "done":
            return
        match = _TREE.fullmatch(shown)
        if match is None or action not in ACTIONS:
            raise AgentError(
                f"{host} answers what was not asked", "is there a POSIX shell, and no restricted one?"
            )
        yield Tree(action, match[2], int(match[1]) << 10)

"""The talk with a host that may lack escp, in front of the agent's marker: `--push-agent`, this side's half.

    find_command ─► found ───────────────────────────────────────────────► the agent's marker
                 └► missing ─ script ─► send ─ archive ─► (checks, renames) ─► the agent's marker
                                     └► refused         └► refused

The session's course skips noise with it, so everything that comes passes here. The archive is packed and
written piece by piece, as the pipe to ssh takes it: nothing waits here.
"""

import os
import re
import time
from collections.abc import Callable, Iterator

from escp.constants import ANSWER_TIMEOUT_S, SHUTDOWN_TIMEOUT_S
from escp.control.noise import NoiseSkipper
from escp.errors import (
    AgentError,
    EscpError,
    IntegrityError,
    NetworkError,
    RefusedError,
    RemoteFileError,
)
from escp.lean.eventloop import EventLoop
from escp.remote.child import AgentProcess
from escp.remote.push.script import answer_pattern, install_script
from escp.remote.push.tree import AgentTree, Archive
from escp.ui.display import format_bytes, show_text

_ANSWER = answer_pattern(b"ready|found|missing|send|refused")  # KEPT_BYTES of noise hold the longest
_TELL_S = 10.0  # between two messages on how far it is
_OWN_HINT = "install escp there, and name it with -D /path/to/escp"

_ASKED, _PACKING, _OFFERED, _SENDING, _SENT = range(5)


class PushSkipper(NoiseSkipper):
    """Skips noise as its parent does, and answers what the other host's scripts say in it.

    *heard()*: the archive got on. *announce(text)* is for the user.
    """

    def __init__(
        self,
        process: AgentProcess,
        tree: AgentTree,
        loop: EventLoop,
        heard: Callable[[], None],
        announce: Callable[[str], None],
    ):
        super().__init__()
        self._process = process
        self._host = process.host
        self._tree = tree
        self._loop = loop
        self._heard = heard
        self._announce = announce
        self._state = _ASKED
        self._is_found = False
        self._archive: Archive | None = None
        self._packing: Iterator[None] = iter(())
        self._head = b""  # to be written before the archive
        self._n_sent = 0
        self._begin_s = self._told_s = 0.0
        self._patience_s = ANSWER_TIMEOUT_S

    def feed(self, data: bytes) -> bytes:
        if self.is_past_marker:
            return data
        while (match := _ANSWER.search(text := self._tail + data)) is not None and match[1] != b"ready":
            self._tail, data = text[: match.start()], text[match.end() :]
            self._answer(match[1].decode(), (match[2] or b"").decode(errors="replace"))
        return super().feed(data)

    def _meet_marker(self) -> None:
        if self._state == _ASKED and not self._is_found:  # no script of ours was run
            raise RefusedError(
                f"option --push-agent: for this login {self._host} starts its own escp and nothing else",
                "leave the option out: that escp does it (a forced command in authorized_keys)",
            )
        super()._meet_marker()

    def limit_s(self) -> float:
        """How long to wait for an answer; without end while ssh may be asking for a password."""
        return self._patience_s if self._is_found or self._state != _ASKED else super().limit_s()

    def _answer(self, word: str, text: str) -> None:
        if word == "refused":
            raise self._explain(*text.partition(" ")[::2])
        is_first = self._state == _ASKED and not self._is_found
        if word in ("found", "missing") and is_first:
            self._check_system(text)  # of what is found, too: hosts of two kinds may share a home directory
        if word == "found" and is_first:
            self._is_found = True
        elif word == "missing" and is_first:
            self._write(install_script(self._tree.identity), _OFFERED)
        elif word == "send" and self._state == _OFFERED:
            self._archive = Archive(self._tree)
            self._packing = self._archive.pack()
            self._write(b"", _PACKING)
        else:
            raise AgentError(f"{self._host} says '{word}' when escp is not there yet", _OWN_HINT)

    def _check_system(self, system: str) -> None:
        own = f"Linux {self._tree.machine()}"
        if system != own:
            theirs = show_text(system) or "a system without uname"
            raise AgentError(
                f"this escp is for {own}, and {self._host} is {theirs}",
                f"{_OWN_HINT}; or --agent-tree names one that was frozen for such a host",
            )

    # ---- Writing ------------------------------------------------------------------------------------

    def _write(self, head: bytes, state: int) -> None:
        self._head, self._state = head, state
        self._loop.watch(self._process.write_fd, self._go_on, for_writing=True)

    def _go_on(self) -> None:
        """Write one piece of what is to be written."""
        if self._state == _PACKING:
            if next(self._packing, self) is self:
                self._begin_sending()
            return
        data = self._head or self._read_archive()
        try:
            n_written = os.write(self._process.write_fd, data) if data else 0
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more: reading says why
            n_written, data = 0, b""
        if not data:
            self._loop.pause(self._process.write_fd, for_writing=True)
            if self._state == _SENDING:
                self._close_archive()
                self._state = _SENT
                # ssh and the network have taken all, but it is not there yet: a slow one may need as long
                # again.
                self._patience_s += time.monotonic() - self._begin_s
            return
        self._heard()
        if self._head:
            self._head = self._head[n_written:]
        else:
            self._n_sent += n_written
            self._tell()

    def _read_archive(self) -> bytes:
        return self._archive.read(self._n_sent) if self._archive and self._state == _SENDING else b""

    def _begin_sending(self) -> None:
        assert self._archive
        size = format_bytes(self._archive.n_bytes)
        self._announce(f"sending escp to {self._host}, {size}, only this once")
        self._begin_s = self._told_s = time.monotonic()
        self._write(b"%d\n" % self._archive.n_bytes, _SENDING)

    def _tell(self) -> None:
        assert self._archive
        now = time.monotonic()
        if now - self._told_s >= _TELL_S:
            self._told_s = now
            sent, size = format_bytes(self._n_sent), format_bytes(self._archive.n_bytes)
            self._announce(f"sending escp to {self._host}: {sent} of {size}")

    def _close_archive(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def close(self) -> None:
        self._close_archive()

    # ---- Failures -----------------------------------------------------------------------------------

    def _explain(self, why: str, text: str) -> EscpError:
        """What the install script refused for."""
        host, text = self._host, show_text(text.strip())
        if why == "tools":
            return AgentError(
                f"{host} lacks {', '.join(text.split())}: escp can't be unpacked there", _OWN_HINT
            )
        if why == "home":
            return AgentError(f"there is no home directory for escp on {host}", _OWN_HINT)
        if why == "unsafe":
            return RefusedError(
                f"somebody else could have written to '{text}' on {host}",
                "it must belong to you, and not be writable for others: escp runs from there",
            )
        if why == "noexec":
            return AgentError(
                f"no program can be run from '{text}' on {host}: it is mounted noexec",
                "set XDG_CACHE_HOME there to a directory where they can, or install escp in one and name it "
                "with -D",
            )
        if why == "damaged":
            return IntegrityError(f"escp arrived damaged on {host}")
        if why == "start":
            return self._explain_start(*text.partition(" ")[::2])
        for reason in ("No space left on device", "Disk quota exceeded"):
            if reason in text:
                return RemoteFileError(
                    f"can't put escp on {host}: {reason[:1].lower() + reason[1:]}",
                    "make room in the home directory there, or set XDG_CACHE_HOME there to where some is",
                )
        return RemoteFileError(f"can't put escp on {host}: {text}", _OWN_HINT)

    def _explain_start(self, status: str, text: str) -> EscpError:
        if needed := re.search(r"GLIBC_([0-9.]*[0-9])", text):
            return AgentError(
                f"{self._host} has a glibc older than {needed[1]}, which this escp needs",
                "take a build for older systems (`build.py release`), here or with --agent-tree",
            )
        said = f": {text}" if text else ""
        return AgentError(f"this escp does not run on {self._host} (exit status {status}){said}", _OWN_HINT)

    def explain_end(self) -> EscpError:
        """Why ssh ended before the agent's marker came."""
        if self._state == _ASKED and not self._is_found:
            return self._process.explain_end(self.noise, is_past_marker=False)
        status = self._process.wait(SHUTDOWN_TIMEOUT_S)
        how = (f" (exit status {status})" if status else "") + self._process.why
        if self._is_found:
            return self._process.cite(AgentError(
                f"the escp that was sent to {self._host} does not start there{how}",
                f"escp --clean-agents {self._host} removes it if it is damaged; then run the copy again",
            ))  # fmt: skip
        return self._process.cite(NetworkError(
            f"{self._host} went away while escp was sent to it{how}", "check the network between the hosts"
        ))  # fmt: skip

"""`escp --selftest`: does this escp compute, read, write and copy as it should, on this machine?

Known answers for every AEAD backend and the digest, the engines in the working directory, and a copy over
sealed streams of the loopback interface: in under 1 s, without ssh or files of its own, so that it is the
smoke test of the frozen program, too. It works in a directory that is gone afterwards.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial

from escp._fast.crypto import aead
from escp._fast.crypto.channel import Channel
from escp._fast.crypto.digest import digest_of
from escp._fast.errors import FastError
from escp.doctor.loopback import N_STREAMS, LoopbackCopy
from escp.errors import EXIT_OK, EscpError, IntegrityError, LocalFileError, describe_errno
from escp.facts.directory import examine_directory
from escp.facts.facts import NO_FACTS
from escp.process.limits import prepare_process
from escp.process.shortages import explain_shortage
from escp.streams.sealing import choose_aead
from escp.ui.events import Events
from escp.ui.finding import Check

BLOCK_BYTES = 1 << 18
# For the copies, where the working directory can't be written to: $TMPDIR and its like, then memory.
OTHER_FOLDERS = (None, "/dev/shm")  # noqa: S108 - mkdtemp makes it safe

# The tags of frames of docs/protocol.md 4.2, made by the Python package cryptography: the data frames of
# stream 1 to the receiver that hold i % 251 for i below the length, one after the other, under the secret
# 0, 1, … 31. (NIST's vectors don't fit: here the additional data is always a part of the nonce.)
# tests/vectors/frames.json has the frames, whole.
SECRET = bytes(range(32))
TAGS = (
    (0, "0cd746aa6677f05c74828e795076f4d7"),
    (1, "1acff3d3b590b9120f87a815323eefbb"),
    (15, "5204f57325c7e9edff99f806f86225dc"),
    (16, "d44dcc186372fd945ba88cbfb3eede43"),
    (17, "714e2064ac451abc4ee19ffcd6b4c304"),
    (255, "f4ecab0f7cbdbc9cd899f378f3909ea1"),
    (256, "9b0df7ddc8c34e3041f3cb2c516701f6"),
    (257, "e416ae195e1baf589ef90b6a093e1e8b"),
    (1000, "950fcaea39ae72474a75296baab919f2"),
    (4160, "792b97b83295f0c122d9b57b59183064"),
)
# Of files whose byte i is i * 31 + i // 256 mod 256; made by the Python package xxhash (XXH3-128, section 6).
DIGESTS = (
    (0, "2c0a8a99dc147d5445c3b49d035665b2"),
    (1, "5e79ae406e85355c521c17117323b0ae"),
    (17, "a0d2c7b20443f4dd17e611d32a0d724a"),
    (240, "0cb2372e42f57c6cc13f22fcf132b16a"),
    (241, "121411543971cb1e98c5d0060d4cace9"),
    (4096, "6f7f40c3f9ad989ba5f3a35cea02d21d"),
    (262145, "15b5f7e3e640a9f3904becbb4259017d"),
)


class SelfTest:
    """`run()` shows the checks and returns the exit status: that of the first one that failed."""

    def __init__(self, report: Events):
        self._report = report
        self._exit_code = EXIT_OK
        self._n_failed = 0

    def run(self) -> int:
        begin_s = time.monotonic()
        prepare_process()
        for name in aead.available_backends():
            self._check(f"aead {name}", partial(check_aead, name))
        self._check("digest", check_digest)
        self._check("directory", check_directory)
        self._check_copies()
        seconds = time.monotonic() - begin_s
        result = f"{self._n_failed} failed" if self._n_failed else "all is well"
        self._report.conclude(self._exit_code, f"{result}, {seconds:.2f} s")
        return self._exit_code

    def _check(self, name: str, work: Callable[[], str]) -> None:
        """One check: what it says, or why it failed."""
        try:
            text, error = work(), None
        except EscpError as e:
            error = e
        except Exception as e:  # a native module that is broken in any way is what this is for
            if said := explain_shortage(e):
                error = LocalFileError(*said)
            elif isinstance(e, OSError):
                error = LocalFileError(describe_errno(e.errno or 0))
            else:
                error = IntegrityError(f"{type(e).__name__}: {e}")
        if error is not None:
            text = str(error)
            self._n_failed += 1
            self._exit_code = self._exit_code or error.exit_code
        self._report.check(Check(name, error is None, text))

    def _check_copies(self) -> None:
        folder, where = "", ""
        try:
            for place in (".", *OTHER_FOLDERS):
                try:
                    folder = tempfile.mkdtemp(prefix=".escp-selftest-", dir=place)
                except OSError:
                    continue  # the check of the directory has said it
                where = "" if place == "." else f", in {os.path.dirname(folder)}"
                break
            self._check("engine", lambda: check_engine(folder) + where)
            self._check("loopback", lambda: check_loopback(folder, has_compression=False))
            self._check("compression", lambda: check_loopback(folder, has_compression=True))
        finally:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


# ---- Arithmetic ---------------------------------------------------------------------------------------


def check_aead(backend: str) -> str:
    """Both directions of one backend: what it seals is known, and what was changed it does not open."""
    sealing, opening = (
        Channel(SECRET, 1, is_sender=is_sender, block_bytes=BLOCK_BYTES, backend=backend)
        for is_sender in (True, False)
    )
    for n_bytes, tag in TAGS:
        payload = bytes(i % 251 for i in range(n_bytes))
        frame = sealing.seal(True, payload)
        if frame[-16:].hex() != tag:
            raise IntegrityError(f"{n_bytes} bytes were sealed wrongly")
        changed = frame[:-1] + bytes([frame[-1] ^ 1])
        try:
            opening.open(changed)
        except FastError:
            pass
        else:
            raise IntegrityError(f"{n_bytes} bytes with a wrong tag were opened")
        if opening.open(frame) != (True, payload):
            raise IntegrityError(f"{n_bytes} bytes were opened wrongly")
    is_chosen = backend == choose_aead()
    return f"AES-128-GCM, {len(TAGS)} known answers{', in use' if is_chosen else ''}"


def check_digest() -> str:
    for n_bytes, digest in DIGESTS:
        data = bytes((i * 31 + i // 256) % 256 for i in range(n_bytes))
        if digest_of(data).hex() != digest:
            raise IntegrityError(f"the digest of {n_bytes} bytes is wrong")
    return f"XXH3-128, {len(DIGESTS)} known answers"


# ---- The working directory ----------------------------------------------------------------------------


def check_directory() -> str:
    """A nameless file, written and read with O_DIRECT where the file system can."""
    facts = NO_FACTS._replace(**examine_directory(b"."))
    kind = facts.file_system or "file system not known"
    if facts.path_error:
        raise LocalFileError(f"the working directory can't be used: {facts.path_error}")
    if not facts.is_writable:
        raise LocalFileError(f"the working directory ({kind}) can't be written to: {facts.direct_error}")
    return f"{kind}, O_DIRECT works" if facts.has_direct else f"{kind}, no O_DIRECT: {facts.direct_error}"


def check_engine(folder: str) -> str:
    """Copies within this host by the posix engine: with O_DIRECT where it works, and without."""
    _need(folder)
    for is_direct in (True, False):
        LoopbackCopy(folder, is_direct=is_direct).run_local()
    return "posix, with O_DIRECT where it works and without, verified"


def check_loopback(folder: str, *, has_compression: bool) -> str:
    """A copy as between two hosts, sealed and verified."""
    _need(folder)
    n_file_bytes, n_bytes = LoopbackCopy(folder, has_compression=has_compression).run_streams()
    if not has_compression:
        return f"{N_STREAMS} sealed streams over 127.0.0.1, verified"
    if n_bytes >= n_file_bytes:
        raise IntegrityError(f"{n_file_bytes} bytes of text became {n_bytes}")
    return f"zstd, {n_file_bytes:,} bytes as {n_bytes:,}, verified"


def _need(folder: str) -> None:
    if not folder:
        raise LocalFileError("no directory can be written to, $TMPDIR and /dev/shm neither")

"""The sealing of the data, and the native code for it: which backend, how fast, of what it was built."""

import os
import time

from escp._fast.crypto import aead
from escp._fast.crypto.aead import warm_up
from escp._fast.crypto.channel import Channel
from escp.constants import SECRET_BYTES
from escp.errors import UsageError

__all__ = ["choose_aead", "describe_build", "measure_aead", "warm_up"]


def choose_aead() -> str:
    """The AEAD backend of this end; raises UsageError when $ESCP_AEAD names one that is not here."""
    try:
        return str(aead.choose_backend())
    except ValueError as e:
        raise UsageError(str(e), "leave ESCP_AEAD unset to let escp choose") from e


def measure_aead(seconds: float) -> int:
    """Bytes per second of CPU time that one core seals with the chosen backend; takes about *seconds*."""
    block_bytes = 1 << 20
    channel = Channel(os.urandom(SECRET_BYTES), 0, is_sender=True, block_bytes=block_bytes)
    channel.seal_memory(block_bytes, 1)  # now the code and the keys are in the caches
    n_blocks, begin_s, end_s = 0, time.thread_time(), time.monotonic() + seconds
    while not n_blocks or time.monotonic() < end_s:
        channel.seal_memory(block_bytes, 4)
        n_blocks += 4
    return int(n_blocks * block_bytes / max(time.thread_time() - begin_s, 1e-9))


def describe_build() -> dict[str, str]:
    """What the native modules were built from and with."""
    from escp._fast import _build_info as info

    return {
        "AEAD backends here": ", ".join(aead.available_backends()),
        "libraries": ", ".join(f"{name} {version}" for name, version in info.LIBRARIES.items()),
        "compiler": info.COMPILER,
        "build": info.BUILD,
    }

"""Keys leave the memory with the channel that had them. Another process looks: this one has copies itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from escp._fast.crypto import aead
from tests.support.memory import read_memory
from tests.support.sanitized import not_sanitized

pytestmark = not_sanitized  # whose shadow memory is terabytes

SECRET = bytes(range(0x51, 0x71))
ROOT = Path(__file__).parents[2]
N_CHANNELS = 8
# Says which state it is in, and goes on when it is told to.
HOLDER = """
import gc, sys
from escp._fast.crypto.channel import Channel
def tell(word):
    print(word, flush=True)
    sys.stdin.readline()
secret, backend, n = bytes.fromhex(sys.argv[1]), sys.argv[2], int(sys.argv[3])
tell("ready")
held = [Channel(secret, stream, is_sender=True, block_bytes=1 << 20, backend=backend, epoch_limit=100)
        for stream in range(n)]
tell("keyed")
for channel in held:
    channel.seal(True, bytes(200))
    channel.seal(True, bytes(200))
tell("rolled")
del held, channel
gc.collect()
tell("ended")
"""


class Holder:
    def __init__(self, backend: str):
        words = [sys.executable, "-c", HOLDER, SECRET.hex(), backend, str(N_CHANNELS)]
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def look(self, state: str) -> bytes:
        """Its memory once it has come to that state."""
        assert self._process.stdout.readline().strip() == state
        found = read_memory(self._process.pid)
        if not found:
            pytest.skip("this system lets nobody look into another process")
        return found

    def go_on(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def holder(backend):
    one = Holder(backend)
    yield one
    one.close()


def count_keys(memory: bytes, epoch: int) -> int:
    """How many times a key of that epoch is there: a key schedule begins with its key (FIPS 197, 5.2)."""
    keys = [aead.derive_key(SECRET, stream, way, epoch)[0] for stream in range(N_CHANNELS) for way in (0, 1)]
    return sum(memory.count(key) for key in keys)


def test_keys_and_secret_are_wiped_with_their_channel_and_with_their_epoch(holder):
    memory = holder.look("ready")
    n_secrets = memory.count(SECRET)
    assert count_keys(memory, 0) == 0
    holder.go_on()

    memory = holder.look("keyed")
    assert count_keys(memory, 0) == 2 * N_CHANNELS, "the test must find what is there, and nothing beside it"
    n_others = memory.count(SECRET) - N_CHANNELS
    assert 1 <= n_others <= n_secrets, "bytes.fromhex leaves one on the stack, until others write there"
    holder.go_on()

    memory = holder.look("rolled")
    assert count_keys(memory, 0) == N_CHANNELS, "the other direction's"
    assert count_keys(memory, 1) == 0 and count_keys(memory, 2) == N_CHANNELS
    holder.go_on()

    memory = holder.look("ended")
    assert count_keys(memory, 0) == count_keys(memory, 2) == 0
    assert 1 <= memory.count(SECRET) <= n_others

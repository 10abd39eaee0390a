"""What a stream says of a large file comes with something that keeps the file open until it has been read.

Streams are read one after the other: a receiver may have all blocks and the end of a file before it looks at
another stream. A LARGE that it finds there then would begin the file anew, and its end would never come.
"""

import os
import select

import pytest

from escp._fast.wire.payloads import decode_entries
from tests.support.loopback import BLOCK
from tests.support.peers import (
    ASKS_PART,
    DIRECTORY,
    END,
    ENTRIES,
    IS_WANTED,
    LARGE,
    LARGE_END,
    Receiver,
    encode_kept,
    unpack,
)

N_STREAMS = 4
N_FILES = 24
ZEROES = bytes(16)  # the digest of a block of zeroes


class Story:
    """What came over each stream, in its order: (what, id)."""

    def __init__(self, receiver: Receiver, kept: int):
        self._receiver, self._kept = receiver, kept
        self.of = [[] for _ in receiver.pairs]
        self._asked, self._n_ended = set(), 0

    def hear(self) -> None:
        while self._n_ended < len(self.of):
            sockets = [near for near, _ in self._receiver.pairs]
            for sock in select.select(sockets, [], [], 30)[0]:
                self._take(sockets.index(sock))

    def _take(self, stream: int) -> None:
        is_data, payload = self._receiver.receive_frame(stream)
        if is_data:
            self.of[stream].append(("block", int.from_bytes(payload[:8], "big")))
        elif payload[0] == END:
            self._n_ended += 1
        elif payload[0] == ENTRIES:
            for entry in decode_entries(unpack(payload)):
                self._hear_entry(stream, entry)

    def _hear_entry(self, stream: int, entry: dict) -> None:
        id = entry["id"]
        if entry["kind"] in (LARGE_END, DIRECTORY):
            self.of[stream].append(("end", id))
            self._receiver.send_result(id, digest=entry["digest"], stream=stream)
        elif entry["kind"] == LARGE and entry["flags"] & ASKS_PART and id not in self._asked:
            self._asked.add(id)  # no block comes before the answer
            for number in range(self._kept):
                self._receiver.send(encode_kept(id, (number, ZEROES)), stream=stream)
            self._receiver.send_result(id, flags=IS_WANTED, stream=stream)
        elif entry["kind"] == LARGE:
            self.of[stream].append(("told", id))


@pytest.mark.parametrize("kept", [0, 2, 3], ids=["nothing kept", "blocks kept", "all kept"])
@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize("resumes", [False, True])
def test_streams_tell_of_a_file_with_a_block_of_it_or_its_end(tmp_path, resumes, n_blocks, kept):
    for number in range(N_FILES):
        (tmp_path / str(number)).write_bytes(bytes(n_blocks * BLOCK))
    source = os.fsencode(tmp_path), b"there"
    least = BLOCK if kept else 4 * BLOCK  # which files ask
    with Receiver(source, n_streams=N_STREAMS, partial_min=least, resumes=resumes) as receiver:
        story = Story(receiver, min(kept, n_blocks))
        story.hear()
    for heard in story.of:
        for at, (what, id) in enumerate(heard):
            assert what != "told" or heard[at + 1] in (("block", id), ("end", id)), heard[at : at + 3]

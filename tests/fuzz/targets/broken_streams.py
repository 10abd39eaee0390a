"""Streams that break, and what each end says then (test_fuzz_reconnect), told by a fuzzer."""

import os
import tempfile
from pathlib import Path

from tests.fuzz.arena import Arena
from tests.fuzz.choices import Choices
from tests.fuzz.test_fuzz_receiver import SELECTIONS
from tests.fuzz.test_fuzz_reconnect import MAX_CUTS, tell_receiver, tell_sender
from tests.fuzz.test_fuzz_sender import plant

SCRATCH = tempfile.TemporaryDirectory(prefix="escp-broken-", dir=os.environ.get("TMPDIR"))
SOURCE = Path(SCRATCH.name, "tree")
plant(SOURCE)
ARENA = Arena()


def test_one(data: bytes) -> None:
    story = Choices(data)
    errs = story.choice([0.0, 0.0, 0.1])
    n_streams = 1 + story.randrange(3)
    is_sender = story.randrange(2) == 1
    with ARENA as folder:
        if is_sender:
            end, _ = tell_sender(
                SOURCE, story, n_streams, errs=errs, selection=story.choice(["all", "changed"])
            )
            assert errs or end == 0, end
        else:
            tell_receiver(
                folder, story, story, n_streams, n_cuts=MAX_CUTS, errs=errs, **story.choice(SELECTIONS)
            )

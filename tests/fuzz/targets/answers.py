"""A sender that is answered with properly sealed results, right ones and others (test_fuzz_sender)."""

import os
import tempfile
from pathlib import Path

from tests.fuzz.choices import Choices
from tests.fuzz.test_fuzz_sender import plant, tell

SCRATCH = tempfile.TemporaryDirectory(prefix="escp-answers-", dir=os.environ.get("TMPDIR"))
SOURCE = Path(SCRATCH.name, "tree")
plant(SOURCE)


def test_one(data: bytes) -> None:
    story = Choices(data)
    n_open = len(os.listdir("/proc/self/fd"))
    tell(SOURCE, story, is_dry_run=story.randrange(5) == 1, n_walkers=1 + story.randrange(3))
    assert len(os.listdir("/proc/self/fd")) <= n_open, "a descriptor is left open"

"""A receiver that is told what makes sense more often than not (test_fuzz_receiver), told by a fuzzer."""

from tests.fuzz.arena import Arena
from tests.fuzz.choices import Choices
from tests.fuzz.test_fuzz_receiver import SELECTIONS, tell

ARENA = Arena()
MODES = [
    {},
    {"keeps_attributes": True, "keeps_owner": True, "keeps_xattrs": True, "keeps_acls": True},
    {"is_sparse": True, "has_tmpfile": False},
    {"engine": "dummy"},
]


def test_one(data: bytes) -> None:
    story = Choices(data)
    options = story.choice(MODES) | story.choice(SELECTIONS)
    n_streams, has_compression = 1 + story.randrange(3), story.randrange(2) == 1
    with ARENA as folder:
        tell(folder, story, n_streams, has_compression=has_compression, **options)

"""A copy that is killed again and again gets on each time; the long version is tests/fault/kills.py."""

import pytest

from tests.fault.kills import WAYS, check, make_source, run_kills
from tests.support.command import needs_source

pytestmark = needs_source  # the driver leads the streams through the proxy


@pytest.mark.parametrize("way", WAYS)
def test_each_side_is_killed_in_turn_and_the_copy_goes_on(escp, folder, target, way):
    n_bytes = make_source(folder / "from", 64, 300, seed=5)
    n_came = run_kills(escp, folder / "from", target, 6, 5, way=way, longest_s=1.0, limit="8M")
    check(n_bytes, n_came, 6)

"""Some storms of seeds that are new each time, but in CI; $ESCP_TEST_STORMS says how many each way (1)."""

import os
import random

import pytest

from tests.fault.storms import WAYS, make_source, run_storm
from tests.support.command import needs_source

pytestmark = needs_source  # the driver leads the streams through the proxy


@pytest.mark.parametrize("way", WAYS)
def test_copies_in_a_storm_end_verified(sshd, tmp_path, way):
    make_source(tmp_path / "source")
    for number in range(int(os.environ.get("ESCP_TEST_STORMS", "1"))):
        seed = number if os.environ.get("CI") else random.randrange(1 << 31)  # there always alike
        print("seed", seed)
        run_storm(sshd, tmp_path / "source", seed, way)

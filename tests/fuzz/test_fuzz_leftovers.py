"""What lies there when a copy goes on (targets/leftovers), by seeds."""

import random

import pytest

from tests.fuzz.targets import leftovers


@pytest.mark.parametrize("first_seed", range(0, 200, 50))
def test_nothing_that_lies_there_becomes_a_wrong_file(first_seed):
    for seed in range(first_seed, first_seed + 50):
        dice = random.Random(seed)
        leftovers.test_one(dice.randbytes(dice.randrange(80)))

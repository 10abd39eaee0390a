"""What comes nowhere is told from what waits for a disk, by what both ends' systems have counted."""

from types import SimpleNamespace

import pytest

from escp.control.messages import Mute
from escp.errors import NetworkError
from escp.jobs.standstill import STILL_S
from escp.jobs.swallowed import Swallowed

LIMIT_S = 60.0


class Story:
    """Two agents that say every 5 s what they have, or (*here*) one and what this host has."""

    def __init__(self, *, here: tuple[int, int, int] | None = None):
        self.swallowed = Swallowed(LIMIT_S)
        self.legs = {}
        if here is not None:
            streams = SimpleNamespace(
                find_mute=lambda now: {0: self.here}, number=lambda stream: self.here[0]
            )
            self.here, self.legs = here, {"one": SimpleNamespace(streams=streams)}

    def ends_at(self, until_s: float, **said: tuple[int, int, int]) -> float:
        """When the copy ends; infinity: not until then. *said*: connection, bytes received, acknowledged."""
        for now in range(0, int(until_s), 5):
            for name, (number, n_received, n_acked) in said.items():
                self.swallowed.hear(name, Mute(0, number, n_received, n_acked), float(now))
            try:
                self.swallowed.check(float(now), STILL_S + now, self.legs)
            except NetworkError as e:
                assert "data stream 1 has come nowhere" in str(e)
                return now
        return float("inf")


@pytest.mark.parametrize("here", [(0, 1000, 5000), (0, 0, 1001)])
def test_more_was_acknowledged_than_came(here):
    assert Story(here=here).ends_at(300, one=(0, 900, 1000)) == LIMIT_S
    assert Story().ends_at(300, one=(0, 900, 1000), other=here) == LIMIT_S


def test_disks_that_stand_still_are_waited_for():
    for counts in (
        (0, 1000, 900),
        (0, 1001, 899),
    ):  # a byte more at one end: of the connection's beginning or end
        assert Story(here=counts).ends_at(9000, one=(0, 900, 1000)) == float("inf")
    assert Story(here=(0, 0, 5000)).ends_at(9000) == float("inf")  # who hears something, says nothing


def test_hellos_that_no_answer_comes_to():
    """One end takes a connection each time, and hears nothing; the other one has the old one still."""
    assert Story(here=(1, 40, 56)).ends_at(300, one=(0, 900, 1000)) == LIMIT_S
    assert Story(here=(0, 900, 1000)).ends_at(300, one=(3, 56, 40)) == LIMIT_S
    assert Story().ends_at(300, one=(1, 40, 56), other=(0, 900, 1000)) == LIMIT_S


def test_of_what_was_taken_for_good_one_word_is_enough():
    """The other end takes one more before each of the next words would be due."""
    story = Story(here=(0, 900, 1000))
    story.swallowed.hear("one", Mute(0, 1, 56, 40), 0.0)
    assert story.ends_at(300) == LIMIT_S


def test_another_connection_that_both_get_in_time_is_no_reason():
    story = Story(here=(0, 900, 900))
    assert story.ends_at(50, one=(1, 56, 40)) == float("inf")
    story.here = (1, 40, 56)
    assert story.ends_at(9000, one=(1, 56, 40)) == float("inf")


def test_what_moves_again_begins_anew():
    story = Story(here=(0, 0, 5000))
    assert story.ends_at(50, one=(0, 900, 1000)) == float("inf")
    story.swallowed.check(52.0, 0.0, story.legs)  # something moves
    story.swallowed.hear("one", Mute(0, 0, 900, 1000), 55.0)
    story.swallowed.check(55.0, STILL_S, story.legs)
    story.swallowed.hear("one", Mute(0, 0, 900, 1000), 110.0)
    story.swallowed.check(110.0, STILL_S, story.legs)
    story.swallowed.hear("one", Mute(0, 0, 900, 1000), 115.0)
    with pytest.raises(NetworkError):
        story.swallowed.check(115.0, STILL_S, story.legs)


def test_after_the_end_nobody_misses_it():
    story = Story(here=(0, 0, 5000))
    story.swallowed.end()
    assert story.ends_at(300, one=(0, 900, 1000)) == float("inf")

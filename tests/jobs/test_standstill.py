"""Copies that stand still: noticed, and whose turn it is."""

import pytest

from escp.jobs.standstill import NETWORK, SOURCE, STILL_S, TARGET, Standstill, find_turn


@pytest.mark.parametrize(
    "moves", ["bytes_network", "files", "directories", "failed", "skipped", "found_files"]
)
def test_only_what_moves_nothing_stands_still(moves):
    still = Standstill(0.0)
    assert not still.look(0.0, {})
    assert not still.look(STILL_S - 1, {})
    assert still.look(STILL_S, {}) == STILL_S
    still.is_told = True
    assert still.look(STILL_S + 5, {}) == STILL_S + 5
    assert not still.look(STILL_S + 6, {moves: 1})
    assert not still.is_told


def test_copy_that_waits_for_its_list_does_not_stand_still():
    still = Standstill(0.0)
    still.look(0.0, {})
    still.begin(STILL_S)
    assert not still.look(STILL_S + 1, {})


ALL_IS_WELL = {"unheard": "", "is_all_sent": False, "is_taken": True, "is_unread": False}


@pytest.mark.parametrize(
    ("ends", "facts", "turn", "words"),
    [
        (("", "box"), {"unheard": "box", "is_taken": False}, NETWORK, "box is not heard"),
        (("", "box"), {"is_taken": False}, TARGET, "box takes nothing more"),
        (("", "box"), {"is_all_sent": True}, TARGET, "box takes nothing more"),
        (("", "box"), {}, SOURCE, "this host has more to read"),
        (("box", ""), {"is_unread": True}, TARGET, "this host takes nothing more"),
        (("box", ""), {}, SOURCE, "box has more to read"),
        (("one", "two"), {"is_taken": False}, TARGET, "two takes nothing more"),
        (("one", "two"), {}, SOURCE, "one has more to read"),
    ],
)
def test_turn(ends, facts, turn, words):
    source, target = ends
    found, said = find_turn(source=source, target=target, **{**ALL_IS_WELL, **facts})
    assert found == turn and said.startswith(words)
    assert ("its escp answers" in said) == (turn != NETWORK and "this host" not in said)

"""Runs the selected cases a few at a time, each with scp and with escp."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.conformance.arena import ESCP, N_WORKERS, SCP, Arena, Outcome
from tests.support.folders import new_folder

Outcomes = dict[str, "Future[tuple[Outcome, Outcome]]"]


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena]:
    with new_folder("escp-arena-") as folder, closing(Arena(folder)) as one:
        yield one


@pytest.fixture(scope="session")
def outcomes(arena: Arena, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """What scp and escp did, by case id: started for all selected tests at once, in their order."""
    # Other rooms have parameters named "case" too, of kinds of their own.
    asking = [item for item in request.session.items if "outcomes" in getattr(item, "fixturenames", ())]
    calls = [getattr(item, "callspec", None) for item in asking]
    cases = [call.params["case"] for call in calls if call is not None and "case" in call.params]
    workers = ThreadPoolExecutor(N_WORKERS)
    yield {
        case.id: workers.submit(lambda case=case: (arena.run(case, SCP), arena.run(case, ESCP)))
        for case in cases
    }
    workers.shutdown(cancel_futures=True)

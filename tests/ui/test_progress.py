"""Rates and estimates under a clock that the test moves."""

import pytest

from escp.ui.progress import RateMeter, Snapshot, Summary


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def snapshot(done, total=10_000, *, final=True, files=(0, 1)):
    return Snapshot(done, total, *files, final)


def run(meter, clock, rate, seconds, start=0, step_s=0.1):
    done = start
    for _ in range(round(seconds / step_s)):
        clock.now_s += step_s
        done += rate * step_s
        meter.update(snapshot(int(done), 10**9))
    return int(done)


def test_no_more_has_come_than_there_is():
    """A receiver may tell before the sender does."""
    names = ("bytes", "found_bytes", "files", "found_files", "is_walked", "skipped")
    early = Snapshot.of(dict(zip(names, (700, 0, 7, 0, 0, 0), strict=True)))
    assert (early.bytes_done, early.bytes_total, early.files_done, early.files_total) == (700, 700, 7, 7)


def test_nothing_is_known_at_first():
    meter = RateMeter(Clock())
    assert meter.rate_bytes_per_s == 0 and meter.eta_s is None
    meter.update(snapshot(5))  # the clock stands still
    assert meter.rate_bytes_per_s == 0 and meter.eta_s is None


def test_steady_rate_is_right_from_the_first_sample_on():
    clock = Clock()
    meter = RateMeter(clock)
    run(meter, clock, 1000, 0.1)
    assert meter.rate_bytes_per_s == pytest.approx(1000)
    run(meter, clock, 1000, 20, start=100)
    assert meter.rate_bytes_per_s == pytest.approx(1000, rel=0.01)


def test_rate_does_not_depend_on_how_often_it_is_asked_for():
    clocks = Clock(), Clock()
    meters = [RateMeter(clock) for clock in clocks]
    run(meters[0], clocks[0], 1000, 5, step_s=0.05)
    run(meters[1], clocks[1], 1000, 5, step_s=1)
    assert meters[0].rate_bytes_per_s == pytest.approx(meters[1].rate_bytes_per_s, rel=0.01)


def test_stall_shows_within_seconds():
    clock = Clock()
    meter = RateMeter(clock)
    done = run(meter, clock, 1000, 10)
    run(meter, clock, 0, 10, start=done)
    assert meter.rate_bytes_per_s < 50


def test_counters_that_go_back_give_no_negative_rate():
    clock = Clock()
    meter = RateMeter(clock)
    done = run(meter, clock, 1000, 1)
    clock.now_s += 1
    meter.update(snapshot(done // 2))
    assert meter.rate_bytes_per_s >= 0


def test_eta_only_when_the_total_is_final():
    clock = Clock()
    meter = RateMeter(clock)
    clock.now_s += 1
    meter.update(snapshot(1000, 5000, final=False))
    assert meter.eta_s is None
    clock.now_s += 1
    meter.update(snapshot(2000, 5000))
    assert meter.eta_s == pytest.approx(3.0)
    clock.now_s += 1
    meter.update(snapshot(6000, 5000))  # a source that grew
    assert meter.eta_s == 0


def test_eta_is_an_estimate_once_the_files_are_counted():
    clock = Clock()
    meter = RateMeter(clock)
    clock.now_s += 1
    now = Snapshot(1000, 2000, 10, 20, False, 100)
    meter.update(now)
    assert now.is_estimate and now.expected_bytes == 10_000
    assert meter.eta_s == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((50, 100, 0, 1, True), 0.5),
        ((50, 100, 0, 1, False), None),
        ((0, 0, 1, 4, True), 0.25),  # empty files only
        ((0, 0, 0, 0, True), 1.0),
        ((150, 100, 1, 1, True), 1.0),
        ((50, 100, 5, 10, False, 40), 0.125),  # four times as many files as have been found
        ((50, 100, 5, 10, False, 7), 0.5),  # fewer than have been found: some came meanwhile
        ((50, 100, 5, 10, True, 40), 0.5),  # what was found is all
        ((0, 0, 5, 10, False, 40), 0.125),
        ((0, 0, 0, 0, False, 40), None),
    ],
)
def test_fraction(args, expected):
    assert Snapshot(*args).fraction == expected


def test_records_are_frozen():
    with pytest.raises(AttributeError):
        snapshot(1).bytes_done = 2


def test_data_rate_of_a_summary():
    assert Summary(1, 0, 1000, 3.0, 2.0, 1100, True, 0, 4, "x").rate_bytes_per_s == 500
    assert Summary(1, 0, 0, 3.0, 0.0, 0, True, 0, 4, "x").rate_bytes_per_s == 0

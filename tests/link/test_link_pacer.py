"""The pacer: deadlines to the nanosecond, what is made up for and what is not, and what the report says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError
from rawproto.link.pacer import CATCH_UP_NS, Histogram, Pacer, PacerReport

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
START = 1_700_000_000 * SECOND


def on_time(pacer: Pacer, sizes: Iterable[int]) -> list[int]:
    """The deadlines, from the start, of a sender that is always ready in time."""
    found: list[int] = []
    now = START
    for size in sizes:
        now = max(now, pacer.deadline(size, now))
        pacer.sent(1, now)
        found.append(now - START)
    return found


def test_a_rate_does_not_drift() -> None:
    deadlines = on_time(Pacer.rate(3), [60] * 3001)
    assert deadlines[:4] == [0, 333_333_334, 666_666_667, SECOND]
    assert deadlines[3000] == 1000 * SECOND


@given(
    st.fractions(min_value=Fraction(1, 1000), max_value=10**7, max_denominator=1000),
    st.integers(min_value=1, max_value=50),
)
def test_the_deadlines_of_a_rate_are_the_exact_ones_rounded_up(rate: Fraction, count: int) -> None:
    for number, deadline in enumerate(on_time(Pacer.rate(rate), [60] * count)):
        assert 0 <= deadline - number * SECOND / rate < 1


def test_bits_count_the_frames_before_with_their_overhead() -> None:
    sizes = [60, 1514, 60, 60]
    assert on_time(Pacer.bits(1_000_000), sizes) == [0, 480_000, 12_592_000, 13_072_000]
    assert on_time(Pacer.bits(1_000_000, overhead=24), sizes) == [0, 672_000, 12_976_000, 13_648_000]


def test_bits_do_not_drift() -> None:
    assert on_time(Pacer.bits(7 * 8 * 60), [60] * 7001)[-1] == 1000 * SECOND


@pytest.mark.parametrize(
    ("speed", "deadlines"), [(1, [0, 10, 10, 1010]), (2, [0, 5, 5, 505]), (0.5, [0, 20, 20, 2020]), (3, [0, 4, 4, 337])]
)
def test_times_are_those_of_the_capture_scaled(speed: float, deadlines: list[int]) -> None:
    assert on_time(Pacer.times([777, 787, 787, 1787], speed), [60] * 4) == deadlines


def test_a_timestamp_that_goes_backwards_is_no_gap_and_is_counted() -> None:
    pacer = Pacer.times([100, 200, 50, 80, 70, 170])
    assert on_time(pacer, [60] * 6) == [0, 100, 100, 130, 130, 230]
    assert pacer.report().backward_times == 2


def test_timestamps_are_read_along_with_the_frames_and_must_suffice() -> None:
    pacer = Pacer.times(itertools.count(0, 5))
    assert on_time(pacer, [60] * 3) == [0, 5, 10]
    short = Pacer.times([1, 2])
    with pytest.raises(ConfigError, match="fewer timestamps than frames"):
        on_time(short, [60] * 3)


def test_what_is_late_is_made_up_for() -> None:
    pacer = Pacer.rate(1000)
    first = pacer.deadline(60, START)
    now = START + 40 * MILLISECOND
    deadlines = [first, *(pacer.deadline(60, now) for _ in range(42))]
    pacer.sent(43, now)
    assert [deadline - START for deadline in deadlines] == [number * MILLISECOND for number in range(43)]
    assert pacer.report().slipped_ns == 0


@pytest.mark.parametrize("burst", [1, 2, 10])
def test_no_more_than_the_burst_leaves_at_once(burst: int) -> None:
    pacer = Pacer.rate(1000, burst=burst)
    pacer.deadline(60, START)
    pacer.sent(1, START)
    now = START + SECOND + 1
    deadlines = [pacer.deadline(60, now) for _ in range(20)]
    due = [deadline for deadline in deadlines if deadline <= now]
    assert len(due) == burst
    following = deadlines[burst:]
    assert [later - earlier for earlier, later in itertools.pairwise(following)] == [MILLISECOND] * (19 - burst)
    assert pacer.slipped_ns == SECOND + 1 - MILLISECOND - (burst - 1) * MILLISECOND


def test_a_burst_of_bits_is_counted_in_bytes() -> None:
    pacer = Pacer.bits(8_000_000, burst_bytes=3000)
    pacer.deadline(1000, START)
    now = START + SECOND
    assert sum(pacer.deadline(1000, now) <= now for _ in range(20)) == 4  # one that was due, and 3000 bytes more


def test_frames_that_a_capture_has_at_one_time_are_no_arrears() -> None:
    pacer = Pacer.times([0] * 1000 + [5], burst_ns=0)
    assert on_time(pacer, [60] * 1001)[-2:] == [0, 5]
    assert pacer.slipped_ns == 0


@pytest.mark.parametrize(
    ("make", "burst_ns"),
    [
        (lambda: Pacer.rate(1000), CATCH_UP_NS),
        (lambda: Pacer.rate(2), 500 * MILLISECOND),
        (lambda: Pacer.bits(1000), CATCH_UP_NS),
        (lambda: Pacer.times([]), CATCH_UP_NS),
        (lambda: Pacer.times([], burst_ns=7), 7),
    ],
)
def test_how_much_is_made_up_for_by_default(make: Callable[[], Pacer], burst_ns: int) -> None:
    assert make().burst_ns == burst_ns


def test_the_first_deadline_is_the_start_however_late_it_was_asked_for() -> None:
    pacer = Pacer.rate(10, burst=1)
    assert pacer.deadline(60, START) == START
    assert pacer.slipped_ns == 0


def test_the_report_tells_rates_and_lateness() -> None:
    pacer = Pacer.rate(1000)
    for number in range(1001):
        pacer.deadline(100, START + number * MILLISECOND)
        pacer.sent(1, START + number * MILLISECOND + (number * 1000 if number < 1000 else 5000))
    report = pacer.report(stopped=True)
    assert (report.unit, report.requested, report.frames, report.bytes) == ("frames/s", 1000, 1001, 100_100)
    assert report.elapsed_ns == SECOND + 5000
    assert report.achieved == pytest.approx(1000 * SECOND / (SECOND + 5000))
    assert report.seconds == 1.000005
    assert report.lateness_p50_ns == pytest.approx(499_000, rel=0.005)
    assert report.lateness_p90_ns == pytest.approx(899_000, rel=0.005)
    assert report.lateness_p99_ns == pytest.approx(989_000, rel=0.005)
    assert report.lateness_max_ns == 999_000
    assert report.stopped


@pytest.mark.parametrize(
    ("pacer", "unit", "requested"),
    [
        (lambda: Pacer.rate(500), "frames/s", 500),
        (lambda: Pacer.bits(400_000), "bits/s", 400_000),
        (lambda: Pacer.times(range(0, 10 * SECOND, 2 * MILLISECOND), 4), "x", 4),
    ],
)
def test_a_sender_that_is_always_in_time_achieves_what_was_requested(
    pacer: Callable[[], Pacer], unit: str, requested: float
) -> None:
    made = pacer()
    on_time(made, [100] * 1001)
    report = made.report()
    assert (report.unit, report.requested) == (unit, requested)
    assert report.achieved == pytest.approx(requested, rel=1e-9)
    assert report.lateness_max_ns == 0


def test_a_schedule_that_slipped_is_not_what_was_requested() -> None:
    pacer = Pacer.rate(1000, burst=1)
    now = START
    for _ in range(101):
        deadline = pacer.deadline(60, now)
        now = max(now, deadline) + 2 * MILLISECOND
        pacer.sent(1, now)
    report = pacer.report()
    assert report.achieved == pytest.approx(500, rel=0.02)
    assert report.slipped_ns > 90 * MILLISECOND


def test_nothing_and_a_single_frame_have_no_rate() -> None:
    pacer = Pacer.rate(1000)
    assert (pacer.report().achieved, pacer.report().frames_per_second) == (None, None)
    on_time(pacer, [60])
    assert (pacer.report().achieved, pacer.report().frames) == (None, 1)
    assert str(pacer.report()) == (
        "1 frame, 60 bytes in 0.000000 s, no rate, late by p50/p90/p99 0.0/0.0/0.0 us, at most 0.0 us"
    )


def test_a_report_reads_as_one_line() -> None:
    report = PacerReport(
        "frames/s", 1000.0, 999.5, 1001, 60_060, SECOND, 1500, 2500, 99_000, 123_456, 3 * MILLISECOND, 2, True
    )
    assert str(report) == (
        "1001 frames, 60060 bytes in 1.000000 s, 999.5 of 1,000 frames/s, late by p50/p90/p99 1.5/2.5/99.0 us, "
        "at most 123.5 us, slipped by 3.000 ms, 2 timestamps went backwards, stopped"
    )


@given(st.lists(st.integers(min_value=0, max_value=1 << 62), min_size=1, max_size=200), st.integers(1, 100))
def test_percentiles_are_right_to_half_a_percent(values: list[int], percent: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[-(-len(values) * percent // 100) - 1]
    assert abs(histogram.percentile(percent) - exact) <= exact / 200
    assert histogram.largest == max(values)


def test_a_histogram_stays_small_and_counts_the_early_as_in_time() -> None:
    histogram = Histogram()
    for value in range(0, 10 * MILLISECOND, 97):
        histogram.add(value)
    histogram.add(-5)
    assert len(histogram._buckets) < 128 * 20
    assert histogram.count == len(range(0, 10 * MILLISECOND, 97)) + 1
    assert histogram.percentile(0) == 0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Pacer.rate(0), "can't keep to 0 frames/s"),
        (lambda: Pacer.rate(-1.5), "can't keep to -1.5 frames/s"),
        (lambda: Pacer.rate(float("nan")), "can't keep to nan frames/s"),
        (lambda: Pacer.bits(float("inf")), "can't keep to inf bits/s"),
        (lambda: Pacer.times([], 0), "can't keep to 0 times the capture's speed"),
        (lambda: Pacer.rate(1, burst=0), "burst: 0 frames"),
        (lambda: Pacer.bits(1, burst_bytes=-1), "burst: -"),
        (lambda: Pacer.bits(1, overhead=-1), "overhead: -1 bytes"),
        (lambda: Pacer.times([], burst_ns=-1), "burst: -1 ns"),
    ],
)
def test_what_can_not_be_is_refused(make: Callable[[], Pacer], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()

"""Pacing: the rate is kept and not passed, whatever the timer is like (RFC 9002 §7.7, draft-ietf-ccwg-bbr §5.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND
from rawproto.transport.pacing import CREDIT_NS, Pacer, rate_for, send_quantum

MSS = 1448
DRAFT = "draft-ietf-ccwg-bbr"


def pacer(rate: int) -> Pacer:
    made = Pacer(MSS)
    made.rate = rate
    return made


def drain(it: Pacer, now: int) -> int:
    """Send as much as may leave at `now`."""
    total = 0
    while it.may_send(now):
        it.on_sent(it.quantum(), now)
        total += it.quantum()
    return total


# -- how fast and how large --------------------------------------------------------------------------------------------


@pytest.mark.rfc("9002", "7.7-1")
def test_the_rate_is_a_quarter_above_the_window_a_round_trip() -> None:
    assert rate_for(100_000, 100 * MS, in_slow_start=False) == 1_250_000


def test_slow_start_leaves_at_twice_the_window_a_round_trip() -> None:
    assert rate_for(100_000, 100 * MS, in_slow_start=True) == 2_000_000


def test_a_window_is_paced_however_small_it_is() -> None:
    assert rate_for(1, 100 * SECOND, in_slow_start=False) == 1


@pytest.mark.rfc("9002", "7.7-2")
def test_without_a_round_trip_the_first_flight_is_not_paced() -> None:
    assert rate_for(14_480, 0, in_slow_start=True) == 0
    it = pacer(0)
    for _ in range(10):
        assert it.may_send(0)
        it.on_sent(MSS, 0)
    it.rate = 1_000_000
    assert it.may_send(0)  # nor is it owed when a rate is known


@pytest.mark.rdt("9.6-1")
@pytest.mark.rfc(DRAFT, "5.6.3")
@pytest.mark.parametrize(
    ("rate", "quantum"),
    [
        (1, 2 * MSS),
        (2_000_000, 2 * MSS),
        (10_000_000, 6 * MSS),
        (1_000_000_000, 45 * MSS),
        (0, 45 * MSS),
    ],
)
def test_a_burst_is_a_millisecond_in_whole_segments(rate: int, quantum: int) -> None:
    assert send_quantum(rate, MSS) == quantum


@pytest.mark.parametrize("rate", [0, 1, 1_000_000_000])
def test_a_burst_is_one_segment_if_two_are_too_large(rate: int) -> None:
    assert send_quantum(rate, 60_000) == 60_000


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.rfc(DRAFT, "5.6.2")
def test_the_next_burst_waits_until_the_last_is_paid_off() -> None:
    it = pacer(1_000_000)
    it.on_sent(2000, SECOND)  # all of it credit: 2 ms are 2000 octets
    it.on_sent(2000, SECOND)
    assert it.ready_at() == SECOND + 2 * MS
    assert not it.may_send(SECOND + 2 * MS - 1)
    assert it.may_send(SECOND + 2 * MS)


def test_it_is_never_early_by_rounding() -> None:
    it = pacer(3)
    it.on_sent(10, 0)
    assert it.ready_at() == 3_333_333_334


def test_a_new_rate_counts_for_what_is_waiting() -> None:
    it = pacer(1000)
    it.on_sent(10_000, 0)
    assert it.ready_at() == 10 * SECOND
    it.rate = 1_000_000
    assert it.ready_at() == 10 * MS


def test_what_leaves_before_its_time_is_owed() -> None:
    it = pacer(1_000_000)
    it.on_sent(1000, 0)
    it.on_sent(1000, 0)
    assert it.ready_at() == 2 * MS


def test_after_a_pause_it_is_no_more_than_the_credit_and_one_burst() -> None:
    it = pacer(10_000_000)
    drain(it, 0)
    sent = drain(it, 60 * SECOND)
    assert 20_000 < sent <= 20_000 + it.quantum()


@pytest.mark.rdt("9.6-1")
@pytest.mark.rfc("9002", "7.7-2")
@given(
    rate=st.integers(20_000, 3_000_000_000),
    steps=st.lists(st.integers(0, 20 * MS), min_size=1, max_size=60),
)
def test_no_interval_sees_more_than_the_rate_and_the_bound(rate: int, steps: list[int]) -> None:
    it = pacer(rate)
    now, sent = SECOND, []
    for step in steps:
        now += step
        if it.may_send(now):
            it.on_sent(it.quantum(), now)
            sent.append(now)
    bound = rate * CREDIT_NS // SECOND + it.quantum()
    for i, start in enumerate(sent):
        for j in range(i, len(sent)):
            assert (j - i + 1) * it.quantum() <= rate * (sent[j] - start) // SECOND + bound


@pytest.mark.rfc("9002", "7.7-1")
@given(rate=st.integers(20_000, 3_000_000_000), phase=st.integers(0, MS - 1))
def test_a_timer_of_a_millisecond_attains_the_rate(rate: int, phase: int) -> None:
    it = pacer(rate)
    start = now = SECOND + phase
    total = drain(it, now) * 0
    end = start + max(SECOND // 5, 100 * it.quantum() * SECOND // rate)
    while now < end:
        now = max(-(-it.ready_at() // MS) * MS, now // MS * MS + MS)
        total += drain(it, now)
    assert total * SECOND >= rate * (now - start) * 98 // 100

"""Proportional Rate Reduction, by RFC 9937 §6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.prr import ProportionalRateReduction

MSS = 1000


def room(prr: ProportionalRateReduction, delivered: int, in_flight: int, *, safe: bool = False) -> int:
    """What may leave after this acknowledgement: the RFC's SndCnt."""
    return prr.on_ack(delivered, in_flight, safe) - in_flight


@pytest.mark.rfc("9937", "6.2-1", "6.3")
def test_above_the_threshold_octets_leave_in_proportion_to_those_delivered() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    assert room(prr, 3 * MSS, 16 * MSS) == 1500
    prr.on_sent(1000)
    assert room(prr, MSS, 16 * MSS) == 1000  # 4 of 20 delivered is 2 of 10, less the one that left


@pytest.mark.rfc("9937", "6.2-1")
def test_the_proportion_is_rounded_up() -> None:
    prr = ProportionalRateReduction(7, 10, 1)
    assert room(prr, 1, 9) == 1
    prr.on_sent(1)
    assert room(prr, 1, 9) == 1  # 1.4 becomes 2


@given(recover_fs=st.integers(0, 3 * MSS), delivered=st.integers(1, 5 * MSS))
def test_a_repair_that_began_with_little_in_flight_is_no_reason_to_send_more_than_arrives(
    recover_fs: int, delivered: int
) -> None:
    prr = ProportionalRateReduction(2 * MSS, recover_fs, MSS)
    assert room(prr, delivered, 3 * MSS) <= max(delivered, MSS)


@pytest.mark.rfc("9937", "6.2-1", "6.3")
def test_nothing_leaves_once_more_has_left_than_the_proportion() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    prr.on_sent(5 * MSS)
    assert room(prr, MSS, 19 * MSS) == 0


@pytest.mark.rfc("9937", "6.2-2")
def test_at_the_threshold_it_is_the_reduction_bound_that_counts() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    prr.on_sent(MSS)
    assert room(prr, 5 * MSS, 10 * MSS, safe=True) == 0


@pytest.mark.rfc("9937", "6.2-2")
def test_below_it_as_much_leaves_as_was_delivered() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    prr.on_sent(MSS)
    assert room(prr, 4 * MSS, 4 * MSS) == 4 * MSS  # what this one delivered, though one of it has left
    prr.on_sent(MSS)
    assert room(prr, MSS, 4 * MSS) == 3 * MSS  # 5 were delivered in all, and 2 have left


@pytest.mark.rfc("9937", "6.2-3")
def test_a_safe_acknowledgement_lets_a_segment_more_leave() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    prr.on_sent(MSS)
    assert room(prr, 2 * MSS, 4 * MSS, safe=True) == 3 * MSS


@pytest.mark.rfc("9937", "6.2-3")
def test_the_window_does_not_pass_the_threshold() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    assert prr.on_ack(9 * MSS, 8 * MSS, True) == 10 * MSS


@pytest.mark.rdt("9.2-1")
@pytest.mark.rfc("9937", "6.2-4")
def test_the_first_acknowledgement_lets_one_segment_leave_in_any_case() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    assert room(prr, MSS, 10 * MSS) == MSS
    prr.on_sent(MSS)
    assert room(prr, MSS, 10 * MSS) == 0


@pytest.mark.rfc("9937", "6.2-2")
def test_an_acknowledgement_that_delivers_nothing_changes_nothing() -> None:
    prr, twin = (ProportionalRateReduction(10 * MSS, 20 * MSS, MSS) for _ in range(2))
    for one in (prr, twin):
        one.on_ack(4 * MSS, 12 * MSS, False)
        one.on_sent(MSS)
    window = prr.cwnd
    assert prr.on_ack(0, 3 * MSS, True) == window
    assert prr.on_ack(MSS, 12 * MSS, False) == twin.on_ack(MSS, 12 * MSS, False)


def test_without_any_delivery_one_segment_leaves_and_no_more() -> None:
    prr = ProportionalRateReduction(10 * MSS, 20 * MSS, MSS)
    assert prr.on_ack(0, 15 * MSS, False) == 16 * MSS
    prr.on_sent(MSS)
    assert prr.on_ack(0, 16 * MSS, False) == 16 * MSS


def test_a_repair_that_begins_with_nothing_in_flight_divides_by_nothing() -> None:
    prr = ProportionalRateReduction(2 * MSS, 0, MSS)
    assert prr.on_ack(MSS, 3 * MSS, False) > 3 * MSS


def repair(flight: int, lost: int, ssthresh: int, *, safe: bool = True) -> tuple[list[int], int]:
    """Lose the first segments of a flight, get an acknowledgement for each of the others; all sizes in segments.

    Gives what left after each of them, and what is in flight in the end.
    """
    prr = ProportionalRateReduction(ssthresh, flight, 1)
    in_flight = flight - lost
    sent = []
    for n in range(flight - lost):
        in_flight -= 1
        leaves = room(prr, 1, in_flight, safe=safe and n > 0)
        prr.on_sent(leaves)
        in_flight += leaves
        sent.append(leaves)
    return sent, in_flight


@pytest.mark.rfc("9937", "6.2-1")
def test_one_loss_every_second_acknowledgement_lets_a_segment_leave() -> None:
    """Half of what was in flight is to remain: no pause and no burst, and in the end it is exactly ssthresh.

    Once that is reached the reduction bound keeps it there: each acknowledgement lets leave what it delivered.
    """
    sent, in_flight = repair(20, 1, 10)
    assert sent == [1, 0] * 8 + [0, 1, 1]
    assert in_flight == 10


@pytest.mark.rfc("9937", "6.2-2", "6.2-3")
def test_many_losses_each_acknowledgement_lets_one_leave_and_safe_ones_two() -> None:
    sent, in_flight = repair(20, 15, 10, safe=False)
    assert sent == [1] * 5
    assert in_flight == 5
    sent, in_flight = repair(20, 15, 10)
    assert sent == [1, 2, 2, 2, 2]
    assert in_flight == 9


@pytest.mark.rfc("9937", "6.2-1", "6.2-3")
@given(flight=st.integers(2, 300), lost=st.integers(1, 299), percent=st.integers(30, 90))
def test_what_is_in_flight_ends_at_the_threshold(flight: int, lost: int, percent: int) -> None:
    ssthresh = max(flight * percent // 100, 2)
    lost = min(lost, flight - 1)
    sent, in_flight = repair(flight, lost, ssthresh)
    assert in_flight <= max(ssthresh, 1 + flight - lost)
    if ssthresh <= flight - lost:
        assert abs(in_flight - ssthresh) <= 1
    assert max(sent) <= 2  # never a burst


@pytest.mark.rfc("9937", "6.3")
@given(
    ssthresh=st.integers(1, 1 << 40),
    recover_fs=st.integers(0, 1 << 40),
    steps=st.lists(
        st.tuples(st.integers(0, 1 << 30), st.integers(0, 1 << 40), st.booleans(), st.integers(0, 100)), max_size=30
    ),
)
def test_it_never_lets_more_leave_than_was_delivered_and_a_segment_each(
    ssthresh: int, recover_fs: int, steps: list[tuple[int, int, bool, int]]
) -> None:
    prr = ProportionalRateReduction(ssthresh, max(recover_fs, ssthresh), MSS)
    delivered = out = 0
    for n, (octets, in_flight, safe, percent) in enumerate(steps, 1):
        before = prr.cwnd
        cwnd = prr.on_ack(octets, in_flight, safe)
        assert type(cwnd) is int
        if not octets:
            assert cwnd == max(before, 0 if out else in_flight + MSS)
            continue
        delivered += octets
        leaves = cwnd - in_flight
        assert 0 <= leaves <= max(delivered - out, octets) + MSS
        assert cwnd <= max(ssthresh, in_flight + leaves)
        if in_flight > ssthresh:
            assert out + leaves <= max(out, delivered) + MSS * n
        leaves = leaves * percent // 100
        prr.on_sent(leaves)
        out += leaves

"""What must follow a loss: less in flight in the round trip after its repair, if anything really was lost."""

from __future__ import annotations

from rawproto.study.reduction import Reduction

SEGMENT = 1000
FLIGHT = 40


def after_a_flight(lost: int) -> Reduction:
    """Forty segments have left, of which number `lost` never arrives."""
    reduction = Reduction()
    for number in range(FLIGHT):
        start = number * SEGMENT
        reduction.on_octets(start, start + SEGMENT, start + SEGMENT, arrives=number != lost)
        assert not reduction.exceeds(start + SEGMENT, SEGMENT)
    return reduction


def repaired(reduction: Reduction, number: int) -> None:
    """Segment `number` is sent once more, and all is acknowledged."""
    start, nxt = number * SEGMENT, FLIGHT * SEGMENT
    reduction.on_octets(start, start + SEGMENT, nxt, arrives=True)
    reduction.on_acked(nxt, nxt)


def test_as_much_in_flight_as_before_the_loss_is_too_much() -> None:
    reduction = after_a_flight(lost=3)
    repaired(reduction, 3)
    assert reduction.exceeds(FLIGHT * SEGMENT, SEGMENT)


def test_seven_tenths_are_not() -> None:
    reduction = after_a_flight(lost=3)
    repaired(reduction, 3)
    assert not reduction.exceeds(FLIGHT * SEGMENT * 7 // 10, SEGMENT)


def test_what_is_repeated_in_error_asks_for_nothing() -> None:
    reduction = after_a_flight(lost=3)
    repaired(reduction, 4)
    assert not reduction.exceeds(FLIGHT * SEGMENT, SEGMENT)


def test_the_last_segment_may_have_been_a_probe() -> None:
    reduction = after_a_flight(lost=FLIGHT - 1)
    repaired(reduction, FLIGHT - 1)
    assert not reduction.exceeds(FLIGHT * SEGMENT, SEGMENT)


def test_it_may_grow_again_after_a_round_trip() -> None:
    reduction = after_a_flight(lost=3)
    repaired(reduction, 3)
    reduction.on_acked(FLIGHT * SEGMENT, 2 * FLIGHT * SEGMENT)
    assert not reduction.exceeds(FLIGHT * SEGMENT, SEGMENT)


def test_a_loss_that_was_repaired_does_not_count_again() -> None:
    reduction = after_a_flight(lost=3)
    repaired(reduction, 3)
    reduction.on_acked(2 * FLIGHT * SEGMENT, 2 * FLIGHT * SEGMENT)
    repaired(reduction, 3)
    assert not reduction.exceeds(FLIGHT * SEGMENT, SEGMENT)

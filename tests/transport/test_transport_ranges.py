"""RangeSet against a plain set of integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rawproto.transport.ranges import RangeSet

EDGE = st.integers(0, 60)
OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "remove_below"]), EDGE, EDGE), max_size=25)


def build(operations: list[tuple[str, int, int]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for name, first, second in operations:
        if name == "add":
            ranges.add(first, second)
            model |= set(range(first, second))
        else:
            ranges.remove_below(first)
            model = {number for number in model if number >= first}
    return ranges, model


@given(OPERATIONS)
def test_it_holds_what_a_set_would_hold(operations: list[tuple[str, int, int]]) -> None:
    ranges, model = build(operations)
    assert {number for start, end in ranges for number in range(start, end)} == model
    assert ranges.total == len(model)
    assert ranges.end == max(model, default=-1) + 1


@given(OPERATIONS)
def test_ranges_are_sorted_and_do_not_touch(operations: list[tuple[str, int, int]]) -> None:
    ranges, _ = build(operations)
    edges = [edge for pair in ranges for edge in pair]
    assert edges == sorted(set(edges))
    assert len(ranges) * 2 == len(edges)


@given(OPERATIONS, EDGE, EDGE)
def test_gaps_are_what_is_missing(operations: list[tuple[str, int, int]], start: int, end: int) -> None:
    ranges, model = build(operations)
    gaps = ranges.gaps(start, end)
    assert {number for low, high in gaps for number in range(low, high)} == set(range(start, end)) - model
    assert all(low < high for low, high in gaps)


@given(OPERATIONS, EDGE, st.integers(1, 20))
def test_covers_says_whether_all_is_there(operations: list[tuple[str, int, int]], start: int, length: int) -> None:
    ranges, model = build(operations)
    assert ranges.covers(start, start + length) == (set(range(start, start + length)) <= model)


def test_first_gives_the_lowest() -> None:
    ranges = RangeSet()
    for start in (40, 10, 70):
        ranges.add(start, start + 5)
    assert ranges.first(2) == ((10, 15), (40, 45))
    assert ranges.first(9) == ((10, 15), (40, 45), (70, 75))


def test_a_range_that_touches_becomes_one_with_its_neighbour() -> None:
    ranges = RangeSet()
    ranges.add(0, 10)
    ranges.add(10, 20)
    assert list(ranges) == [(0, 20)]
    assert repr(ranges) == "RangeSet(0..20)"

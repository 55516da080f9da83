"""A schedule that fails is made as short, and its numbers as small, as it gets."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from rawproto.link.script import Event
from rawproto.study.shrink import shrink


@dataclass(frozen=True)
class Point:
    x: int
    name: str = ""
    loud: bool = False


def test_events_that_do_not_matter_go() -> None:
    points = [Point(n, str(n)) for n in range(40)]
    wanted = {"7", "31"}
    found = shrink(points, lambda trial: wanted <= {point.name for point in trial})
    assert [point.name for point in found] == ["7", "31"]


def test_nothing_is_left_if_nothing_is_needed() -> None:
    assert shrink([Point(1), Point(2)], lambda _: True) == ()


def test_numbers_go_to_the_least_that_still_fails() -> None:
    assert shrink([Point(90)], lambda trial: sum(p.x for p in trial) >= 37) == (Point(37),)


def test_of_large_numbers_two_digits_count() -> None:
    (found,) = shrink([Point(200_000_000)], lambda trial: sum(p.x for p in trial) >= 30_123_456)
    assert found.x == 31_000_000


def test_negative_numbers_go_to_zero_too() -> None:
    assert shrink([Point(-90)], lambda trial: sum(p.x for p in trial) <= -12) == (Point(-12),)


def test_words_and_flags_stay() -> None:
    assert shrink([Point(5, "a", True)], lambda trial: len(trial) == 1) == (Point(0, "a", True),)


def test_smaller_numbers_may_make_an_event_needless() -> None:
    def fails(trial: tuple[Point, ...]) -> bool:
        return len(trial) == 2 or any(point.x == 0 for point in trial)

    assert shrink([Point(9), Point(8)], fails) == (Point(0),)


def test_what_the_class_refuses_is_not_tried() -> None:
    events = [Event("drop", "client", 9), Event("delay", "server", 4, for_ns=50)]
    found = shrink(events, lambda trial: len(trial) == 2)
    assert found == (Event("drop", "client", 1), Event("delay", "server", 1))


def test_an_error_of_the_question_is_not_taken_for_a_refusal() -> None:
    def fails(trial: tuple[Point, ...]) -> bool:
        raise ValueError("mine")

    try:
        shrink([Point(1)], fails)
    except ValueError as error:
        assert str(error) == "mine"
    else:
        raise AssertionError("the error was swallowed")


def test_nothing_is_asked_twice_and_little_at_all() -> None:
    asked: list[tuple[Point, ...]] = []

    def fails(trial: tuple[Point, ...]) -> bool:
        asked.append(trial)
        return {"3", "60"} <= {point.name for point in trial}

    shrink([Point(0, str(n)) for n in range(64)], fails)
    assert len(asked) == len(set(asked))
    assert len(asked) < 64


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 120))
def test_no_single_event_can_be_taken_away(values: list[int], limit: int) -> None:
    points = [Point(value, str(at)) for at, value in enumerate(values)]

    def fails(trial: tuple[Point, ...]) -> bool:
        return sum(point.x for point in trial) % 60 >= limit % 60 and any(int(point.name) % 2 == 0 for point in trial)

    if fails(tuple(points)):
        found = shrink(points, fails)
        assert fails(found)
        assert not any(fails(found[:at] + found[at + 1 :]) for at in range(len(found)))

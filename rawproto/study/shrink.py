"""Makes a schedule of events that breaks something as short as it gets: first fewer events, then smaller numbers.

The first half is delta debugging (Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input"), in
the form that takes runs of events away: large ones first, single ones last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

from rawproto.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["shrink"]

E = TypeVar("E", bound="DataclassInstance")


def shrink(events: Sequence[E], still_fails: Callable[[tuple[E, ...]], bool]) -> tuple[E, ...]:
    """Less of `events`, for which `still_fails` is true as it is for all of them (which is not asked).

    Of what is given back no single event can be taken away, and no field that is a whole number can be 0 or 1 or, in
    its first two digits, less. Events are frozen dataclasses, kept in their order; one whose values its class refuses
    with ConfigError or ValueError is not tried. `still_fails` is asked once for each schedule.
    """
    asked: dict[tuple[E, ...], bool] = {}

    def fails(trial: tuple[E, ...]) -> bool:
        if trial not in asked:
            asked[trial] = still_fails(trial)
        return asked[trial]

    best = tuple(events)
    asked[best] = True
    while True:
        before = best
        best = _with_smaller_numbers(_with_fewer_events(best, fails), fails)
        if best == before:
            return best


def _with_fewer_events(best: tuple[E, ...], fails: Callable[[tuple[E, ...]], bool]) -> tuple[E, ...]:
    """Take away runs of events, as long as any can be."""
    size = len(best)
    while size:
        before, at = best, 0
        while at < len(best):
            trial = best[:at] + best[at + size :]
            if fails(trial):
                best = trial
            else:
                at += size
        # Without the one taken last, one that was needed before may not be any more.
        if size > 1 or best == before:
            size //= 2
    return best


def _with_smaller_numbers(best: tuple[E, ...], fails: Callable[[tuple[E, ...]], bool]) -> tuple[E, ...]:
    """Bring each whole number of each event towards 0."""
    for index in range(len(best)):
        for field in fields(best[index]):
            if type(getattr(best[index], field.name)) is int:
                best = _with_smaller_number(best, index, field.name, fails)
    return best


def _with_smaller_number(
    best: tuple[E, ...], index: int, name: str, fails: Callable[[tuple[E, ...]], bool]
) -> tuple[E, ...]:
    """Bring the field `name` of one event towards 0."""

    def with_number(number: int) -> tuple[E, ...]:
        return (*best[:index], replace(best[index], **{name: number}), *best[index + 1 :])

    def may_be(number: int) -> bool:
        try:
            trial = with_number(number)
        except (ConfigError, ValueError):
            return False
        return fails(trial)

    value = getattr(best[index], name)
    least = _least(value, may_be)
    return best if least == value else with_number(least)


def _least(value: int, may_be: Callable[[int], bool]) -> int:
    """The number nearest to 0 that `value` may be made, found by halving; two digits of it count."""
    sign, size = (1, value) if value >= 0 else (-1, -value)
    for small in (0, 1):
        if small < size and may_be(sign * small):
            return sign * small
    step = 10 ** max(0, len(str(size)) - 2)
    least, most = 0, size // step
    if size % step and not may_be(sign * most * step):
        return value
    while most - least > 1:
        middle = (least + most) // 2
        if may_be(sign * middle * step):
            most = middle
        else:
            least = middle
    return sign * most * step if most else value

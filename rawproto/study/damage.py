"""What is wrong with a stream that did not arrive as it was sent: which of the guarantees each octet of it breaks.

What was delivered must be a prefix of what was sent. Where it is not, the received octets are walked from the first
that differs, and for each run of them the place is looked up that they come from: later or earlier in the same stream,
another connection's stream, or nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rawproto.study.alignment import cover

__all__ = ["Damage", "find_damage"]

WINDOW = 8
"""Octets by which a place is recognised, if the stream is long."""
SHORTER = ((64, 1), (256, 4))
"""In streams of at most so many octets, which are all different, so few are enough."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One run of octets that is not where it should be: `guarantee` is broken, from `offset` of what was read on."""

    guarantee: str
    offset: int
    length: int
    text: str


class _Run(NamedTuple):
    """`length` octets from `at` on that are those from `place` on in what was sent; -1: they were not sent."""

    at: int
    place: int
    length: int


def find_damage(sent: bytes, got: bytes, earlier: Sequence[bytes] = ()) -> list[Damage]:
    """Everything that is wrong with `got`, in its order; nothing if it is a prefix of `sent`.

    `earlier` are the streams of other connections, for octets that come from there.
    """
    if sent.startswith(got):
        return []
    found: list[Damage] = []
    seen: list[tuple[int, int]] = []
    expected = 0
    runs = _runs(sent, got)
    for number, run in enumerate(runs):
        if run.place >= 0:
            _note_place(found, seen, run, expected)
            cover(seen, run.place, run.place + run.length)
            expected = run.place + run.length
            continue
        follows = runs[number + 1].place if number + 1 < len(runs) else -1
        found.append(_foreign(sent, got, run, expected, follows, earlier))
        if found[-1].guarantee == "integrity":
            cover(seen, expected, expected + run.length)
            expected += run.length
    return found + _holes(got, seen)


def _runs(sent: bytes, got: bytes) -> list[_Run]:
    """Where all of `got` comes from."""
    at = expected = _common(sent, 0, got, 0)
    runs = [_Run(0, 0, at)]
    while at < len(got):
        place, length = _locate(sent, got, at, expected)
        if not length:
            end = _next_known(sent, got, at, expected)
            runs.append(_Run(at, -1, end - at))
            expected += end - at
            at = end
            continue
        if place != expected:
            back = _fit_back(sent, got, runs, at, place)
            at, place, length = at - back, place - back, length + back
        runs.append(_Run(at, place, length))
        at += length
        expected = place + length
    return [run for run in runs if run.length]


def _fit_back(sent: bytes, got: bytes, runs: list[_Run], at: int, place: int) -> int:
    """How many octets before `at` belong to the run that begins there: they had fit the run before by chance."""
    back = 0
    if runs and runs[-1].place >= 0:
        most = min(runs[-1].length, place, WINDOW - 1)
        while back < most and got[at - back - 1] == sent[place - back - 1]:
            back += 1
        runs[-1] = runs[-1]._replace(length=runs[-1].length - back)
    return back


def _holes(got: bytes, seen: list[tuple[int, int]]) -> list[Damage]:
    """What was left out for good before something that came."""
    ends = [0, *(high for _, high in seen)]
    return [
        Damage("complete", len(got), low - end, f"octets {end}:{low} were left out")
        for end, (low, _) in zip(ends, seen, strict=False)
        if low > end
    ]


def _note_place(found: list[Damage], seen: list[tuple[int, int]], run: _Run, expected: int) -> None:
    """Octets that were sent come, but not those that were expected, or not for the first time."""
    at, place, length = run
    repeated = sum(max(0, min(high, place + length) - max(low, place)) for low, high in seen)
    furthest = max((high for _, high in seen), default=0)
    if repeated:
        found.append(Damage("no_duplication", at, repeated, f"octets {place}:{place + repeated} came once more"))
    if repeated in (length, furthest - place):
        return
    if place < furthest:
        text = f"octets {place}:{place + length} came after octets that were sent later"
        found.append(Damage("order", at, length, text))


def _foreign(sent: bytes, got: bytes, run: _Run, expected: int, follows: int, earlier: Sequence[bytes]) -> Damage:
    """Octets that were not sent here: another connection's, damaged ones, or nobody's.

    `follows` is where what comes behind them belongs, -1 if nothing does.
    """
    at, _, length = run
    octets = got[at : at + length]
    for stream in earlier:
        if length >= WINDOW and any(octets[i : i + WINDOW] in stream for i in range(length - WINDOW + 1)):
            return Damage("freshness", at, length, f"{length} octets come from an earlier connection")
    there = sent[expected : expected + length]
    if len(there) == length and follows in (-1, expected + length):
        different = sum(one != other for one, other in zip(octets, there, strict=True))
        if length >= WINDOW and different * 4 >= length * 3:
            # Damage leaves most of a datagram as it was: here are other octets in the place of those.
            return Damage("no_creation", at, length, f"{length} octets came that nobody had sent")
        return Damage("integrity", at, length, f"{different} of octets {expected}:{expected + length} were changed")
    return Damage("no_creation", at, length, f"{length} octets came that nobody had sent")


def _window(sent: bytes) -> int:
    return next((window for length, window in SHORTER if len(sent) <= length), WINDOW)


def _locate(sent: bytes, got: bytes, at: int, expected: int) -> tuple[int, int]:
    """Where the octets from `at` come from, and how many in a row; the expected place first, then the next one."""
    if at >= len(got):
        return expected, 0
    window = min(_window(sent), len(got) - at)
    length = _common(sent, expected, got, at)
    if length >= window:
        return expected, length
    needle = got[at : at + window]
    if len(needle) < _window(sent):
        return expected, length
    place = sent.find(needle, expected)
    place = place if place >= 0 else sent.find(needle)
    return (place, _common(sent, place, got, at)) if place >= 0 else (expected, 0)


def _next_known(sent: bytes, got: bytes, at: int, expected: int) -> int:
    """Where, behind `at`, octets begin again that were sent."""
    window = _window(sent)
    for end in range(at + 1, len(got)):
        # Less than a window may be what is expected by chance; what is not damaged between damage counts as damaged.
        if _locate(sent, got, end, expected + end - at)[1] >= window:
            return end
    return len(got)


def _common(one: bytes, at: int, other: bytes, there: int) -> int:
    """How many octets are equal from `at` and from `there` on."""
    most = min(len(one) - at, len(other) - there)
    if most <= 0:
        return 0
    if one[at : at + most] == other[there : there + most]:
        return most
    low, high = 0, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        if one[at : at + middle] == other[there : there + middle]:
            low = middle
        else:
            high = middle - 1
    return low

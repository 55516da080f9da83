"""Where received bytes come from in what was sent: the map from which missing, repeated and moved bytes are told.

If the streams are equal the map is one run and nothing is searched, so data that repeats itself gives no false alarm.
Otherwise the received bytes are walked from the start: as long as they follow on in what was sent, they belong to the
same run; where they don't, the next place is looked up by a window of 16 bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

__all__ = ["Alignment", "Run", "align", "cover"]

WINDOW = 16
"""Bytes that must be equal for a place to be recognised: 2^-128 for random data to be so by chance."""
MOST_ENTRIES = 1 << 20
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Run:
    """`length` bytes at `received_at` that are those at `sent_at`."""

    received_at: int
    sent_at: int
    length: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """What became of the sent bytes. All in bytes."""

    sent: int
    received: int
    foreign: int
    """Received, and nowhere in what was sent."""
    missing: int
    """Sent and never received."""
    repeated: int
    """Received once more than sent."""
    moved: int
    """Received for the first time after bytes that were sent later."""

    @property
    def exact(self) -> bool:
        """Everything arrived once and in its place, and nothing else did."""
        return not (self.foreign or self.missing or self.repeated or self.moved)


def align(sent: bytes, received: bytes) -> Alignment:
    """Compare what one side sent with what the other got."""
    if sent == received:
        return Alignment(len(sent), len(received), 0, 0, 0, 0)
    runs = _find_runs(sent, received)
    seen: list[tuple[int, int]] = []  # parts of `sent` that have come, disjoint, in order
    furthest = moved = repeated = 0
    for run in runs:
        for start, end in _uncovered(seen, run.sent_at, run.sent_at + run.length):
            if start < furthest:
                moved += end - start
            furthest = max(furthest, end)
            repeated -= end - start
        repeated += run.length
        cover(seen, run.sent_at, run.sent_at + run.length)
    arrived = sum(end - start for start, end in seen)
    foreign = len(received) - sum(run.length for run in runs)
    return Alignment(len(sent), len(received), foreign, len(sent) - arrived, repeated, moved)


def _find_runs(sent: bytes, received: bytes) -> list[Run]:
    runs: list[Run] = []
    index = _Index(sent)
    at = expected = 0
    while at < len(received):
        length = _common(sent, expected, received, at)
        if length:
            runs.append(Run(at, expected, length))
            at += length
            expected += length
            continue
        found = index.next_match(received, at, expected)
        if found is None:
            break
        hit, place = found
        # Back to where the match began: the index knows only some of the places. The last bytes of the run before
        # may belong to it too: they were equal to what was expected by chance.
        least = max(0, at - WINDOW + 1)
        while hit > least and place and received[hit - 1] == sent[place - 1]:
            hit, place = hit - 1, place - 1
        _shorten(runs, hit)
        at, expected = hit, place
    return runs


def _shorten(runs: list[Run], end: int) -> None:
    """Let the runs end at `end` of what was received, at the latest."""
    while runs and runs[-1].received_at >= end:
        runs.pop()
    if runs and runs[-1].received_at + runs[-1].length > end:
        last = runs.pop()
        runs.append(Run(last.received_at, last.sent_at, end - last.received_at))


class _Index:
    """Where windows of the sent bytes are: at every fourth place, or fewer if they are very many."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self._places: dict[bytes, list[int]] = {}

    def _build(self) -> None:
        sent = self._sent
        step = max(4, len(sent) // MOST_ENTRIES)
        for place in range(0, len(sent) - WINDOW + 1, step):
            self._places.setdefault(sent[place : place + WINDOW], []).append(place)

    def next_match(self, received: bytes, at: int, expected: int) -> tuple[int, int] | None:
        """The first window from `at` on that was sent, as (place received, place sent): the next one after `expected`.

        Where data repeats itself, that is the reading which takes the least for moved.
        """
        if not self._places:
            self._build()
        for hit in range(at, len(received) - WINDOW + 1):
            places = self._places.get(received[hit : hit + WINDOW])
            if places:
                nearest = bisect_left(places, expected)
                return hit, places[nearest] if nearest < len(places) else places[-1]
        return None


def _common(a: bytes, a_at: int, b: bytes, b_at: int) -> int:
    """How many bytes are equal from `a_at` in `a` and `b_at` in `b` on."""
    most = min(len(a) - a_at, len(b) - b_at)
    equal = 0
    while equal < most:
        size = min(CHUNK, most - equal)
        if a[a_at + equal : a_at + equal + size] != b[b_at + equal : b_at + equal + size]:
            break
        equal += size
    low, high = equal, min(equal + CHUNK, most)  # the first difference is in between
    while low < high:
        middle = (low + high + 1) // 2
        if a[a_at + equal : a_at + middle] == b[b_at + equal : b_at + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _uncovered(seen: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that are not in `seen`."""
    parts = []
    at = start
    for low, high in seen:
        if high <= at:
            continue
        if low >= end:
            break
        if low > at:
            parts.append((at, low))
        at = max(at, high)
    if at < end:
        parts.append((at, end))
    return parts


def cover(seen: list[tuple[int, int]], start: int, end: int) -> None:
    """Add [start, end) to `seen`."""
    apart = [(low, high) for low, high in seen if high < start or low > end]
    touching = [(low, high) for low, high in seen if low <= end and high >= start]
    low = min([start, *(low for low, _ in touching)])
    high = max([end, *(high for _, high in touching)])
    seen[:] = sorted([*apart, (low, high)])

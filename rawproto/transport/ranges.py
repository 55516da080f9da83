"""A set of integers kept as sorted, disjoint, half-open ranges: what a receiver holds, what a sender knows sacked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

__all__ = ["RangeSet"]


class RangeSet:
    """Sorted disjoint ranges `[start, end)`. Ranges that touch are one range."""

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        """How many integers the set holds."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._starts)

    def __repr__(self) -> str:
        return "RangeSet(" + ", ".join(f"{start}..{end}" for start, end in self) + ")"

    @property
    def end(self) -> int:
        """Where the last range ends; 0 for an empty set."""
        return self._ends[-1] if self._ends else 0

    def first(self, count: int) -> tuple[tuple[int, int], ...]:
        """Give the lowest `count` ranges."""
        return tuple(zip(self._starts[:count], self._ends[:count], strict=True)) if self._starts else ()

    def covers(self, start: int, end: int) -> bool:
        """Tell whether all of `[start, end)` is in the set."""
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self._ends[index]

    def gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Give the parts of `[start, end)` that are not in the set, in order."""
        gaps = []
        index = bisect_right(self._ends, start)
        while start < end and index < len(self._starts) and self._starts[index] < end:
            if start < self._starts[index]:
                gaps.append((start, self._starts[index]))
            start = self._ends[index]
            index += 1
        if start < end:
            gaps.append((start, end))
        return gaps

    def overlaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Give the parts of `[start, end)` that are in the set, in order."""
        parts = []
        index = bisect_right(self._ends, start)
        while index < len(self._starts) and self._starts[index] < end:
            parts.append((max(start, self._starts[index]), min(end, self._ends[index])))
            index += 1
        return parts

    def add(self, start: int, end: int) -> None:
        """Put `[start, end)` in, joined with the ranges that it overlaps or touches."""
        if start >= end:
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
            self.total -= sum(self._ends[low:high]) - sum(self._starts[low:high])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]
        self.total += end - start

    def remove_below(self, bound: int) -> None:
        """Take out everything under `bound`."""
        index = bisect_right(self._ends, bound)
        self.total -= sum(self._ends[:index]) - sum(self._starts[:index])
        del self._starts[:index], self._ends[:index]
        if self._starts and self._starts[0] < bound:
            self.total -= bound - self._starts[0]
            self._starts[0] = bound

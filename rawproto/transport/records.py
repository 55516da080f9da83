"""Where the records of a stream end: what SOCK_SEQPACKET adds to a stream (the flag EOR, docs/rdt.md §7.8)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

__all__ = ["MAX_RECORDS", "RecordEnds"]

MAX_RECORDS = 1 << 16
"""The most records that wait in one direction: each costs memory beside its octets."""


class RecordEnds:
    """The sequence numbers behind the last octet of each record, in order."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, end: int) -> None:
        """A record ends before `end`; told again, it makes no difference."""
        if not self._ends or end > self._ends[-1]:
            self._ends.append(end)
        elif not self.ends_at(end):
            insort(self._ends, end)

    def ends_at(self, seq: int) -> bool:
        """Tell whether a record ends before `seq`."""
        index = bisect_left(self._ends, seq)
        return index < len(self._ends) and self._ends[index] == seq

    def after(self, seq: int) -> int | None:
        """The first end behind `seq`; None if none is known."""
        index = bisect_right(self._ends, seq)
        return self._ends[index] if index < len(self._ends) else None

    def before(self, seq: int) -> int:
        """The last end at or before `seq`; 0 if none is known."""
        index = bisect_right(self._ends, seq)
        return self._ends[index - 1] if index else 0

    def release(self, bound: int) -> None:
        """Forget the ends at or before `bound`."""
        del self._ends[: bisect_right(self._ends, bound)]

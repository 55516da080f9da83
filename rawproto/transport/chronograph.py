"""How long a sender was busy, and what held it back: the three clocks that `ss -ti` shows."""

from __future__ import annotations

__all__ = ["Chronograph"]


class Chronograph:
    """Times in ns. A sender is busy while something is outstanding or waits to be sent."""

    __slots__ = ("_busy_since", "_limited_since", "_rwnd_ns", "_total_ns")

    def __init__(self) -> None:
        self._total_ns = 0
        self._rwnd_ns = 0
        self._busy_since: int | None = None
        self._limited_since: int | None = None

    def update(self, now: int, *, busy: bool, rwnd_limited: bool) -> None:
        """Take in how things are from now on."""
        if busy is (self._busy_since is None):
            if busy:
                self._busy_since = now
            else:
                self._total_ns, self._busy_since = self.busy(now), None
        if rwnd_limited is (self._limited_since is None):
            if rwnd_limited:
                self._limited_since = now
            else:
                self._rwnd_ns, self._limited_since = self.rwnd_limited(now), None

    def busy(self, now: int) -> int:
        """For how long there was something to do."""
        return self._total_ns + (0 if self._busy_since is None else now - self._busy_since)

    def rwnd_limited(self, now: int) -> int:
        """For how long of that the peer's window was what held the sender back."""
        return self._rwnd_ns + (0 if self._limited_since is None else now - self._limited_since)

"""The persist timer: a closed window is asked about until it opens (RFC 9293 §3.8.6.1).

A window update is a plain acknowledgement and may be lost; without probes both ends would wait for ever. Probes that
are answered never end a connection.
"""

from __future__ import annotations

__all__ = ["Persist"]


class Persist:
    """Times the window probes of one direction."""

    __slots__ = ("_enabled", "_max_interval", "deadline", "due", "probes", "sent")

    def __init__(self, max_interval: int, *, enabled: bool) -> None:
        self._enabled = enabled
        self._max_interval = max_interval
        self.deadline: int | None = None
        self.due = False
        """A probe is to be sent now."""
        self.probes = 0
        """Since the window was last open."""
        self.sent = 0

    @property
    def running(self) -> bool:
        """The window is closed, and the timer runs."""
        return self.deadline is not None

    def interval(self, rto: int) -> int:
        """'SHOULD increase exponentially the interval between successive probes' (SHLD-30)."""
        return min(rto << min(self.probes, 32), self._max_interval)

    def start(self, now: int, rto: int) -> None:
        """The window is closed: 'the first zero-window probe' is due after one RTO (SHLD-29)."""
        if self._enabled:
            self.deadline = now + self.interval(rto)

    def stop(self) -> None:
        """The window is open."""
        self.deadline = None
        self.due = False
        self.probes = 0

    def fire(self, now: int, rto: int) -> None:
        """The timer ran out: a probe is due, and the next one later."""
        self.due = True
        self.probes += 1
        self.deadline = now + self.interval(rto)

    def take(self) -> bool:
        """Tell whether a probe is due, and take it as sent."""
        due, self.due = self.due, False
        self.sent += due
        return due

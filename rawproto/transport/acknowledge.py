"""When to acknowledge: at once, with every second segment, or after a short wait (RFC 9293 §3.8.6.3).

An acknowledgement that waits may ride on data, and answers several segments in one. What the peer must know without
delay is acknowledged at once: gaps, repetitions, the end of the stream, and window probes.
"""

from __future__ import annotations

from rawproto.transport.config import Config

__all__ = ["Acknowledger"]

EVERY = 2
"""RFC 9293, SHLD-18: 'an ACK SHOULD be generated for at least every second full-sized segment'."""


class Acknowledger:
    """Knows why an acknowledgement is due, or until when it may wait."""

    __slots__ = ("_waiting", "config", "deadline", "delayed", "reason")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reason = ""
        """Why an acknowledgement is due now; empty when none is."""
        self.deadline: int | None = None
        """When one that waits becomes due."""
        self.delayed = 0
        """How often the wait ran out."""
        self._waiting = 0  # datagrams with octets since the last acknowledgement

    @property
    def owed(self) -> bool:
        """The peer has not been told everything yet."""
        return bool(self.reason) or self._waiting > 0

    def on_data(self, count: int, now: int) -> None:
        """`count` datagrams came in order with new octets."""
        self._waiting += count
        if self._waiting >= EVERY or not self.config.delayed_ack:
            self.at_once(f"ACK after {self._waiting} segments" if self._waiting > 1 else "ACK")
        elif self.deadline is None:
            self.deadline = now + self.config.ack_delay

    def at_once(self, reason: str) -> None:
        """Something came that is to be answered without waiting."""
        self.reason = reason

    def handle_timeout(self, now: int) -> None:
        """The wait is over."""
        if self.deadline is not None and now >= self.deadline:
            self.delayed += 1
            self.deadline = None
            self.at_once(f"ACK delayed by {self.config.ack_delay // 1_000_000} ms")

    def sent(self) -> None:
        """A segment has told the peer."""
        self.reason = ""
        self.deadline = None
        self._waiting = 0

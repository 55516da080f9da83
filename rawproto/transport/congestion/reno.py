"""Reno: RFC 5681 §3.1, counting octets; one reduction for each round trip with a loss, as in RFC 9002 §7.3.2."""

from __future__ import annotations

from rawproto.transport.congestion.base import CongestionControl

__all__ = ["Reno"]


class Reno(CongestionControl):
    """Slow start, congestion avoidance, multiplicative decrease."""

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._recovery_start: int | None = None
        self._credit = 0  # octets acknowledged towards the next increase in congestion avoidance

    def on_acknowledged(self, octets: int, in_flight: int, now: int) -> None:
        """Grow the window, if it was what held the sender back (RFC 9002 §7.8)."""
        if in_flight < self.cwnd - 2 * self.mss and (self.ssthresh is not None or in_flight * 2 < self.cwnd):
            return
        if self.ssthresh is None or self.cwnd < self.ssthresh:
            self.cwnd += octets
            return
        self._credit += octets
        if self._credit >= self.cwnd:
            self._credit -= self.cwnd
            self.cwnd += self.mss

    def on_lost(self, sent_ns: int, flight_size: int, now: int) -> None:
        """Halve the window, unless the packet was sent before the last time that this was done."""
        if self._recovery_start is not None and sent_ns <= self._recovery_start:
            return
        self._recovery_start = now
        self.ssthresh = self._half(flight_size)
        self.cwnd = self.ssthresh
        self._credit = 0

    def on_timeout(self, flight_size: int, again: bool, now: int) -> None:
        """Begin again with one segment. RFC 5681 §3.1: 'cwnd MUST be set to no more than the loss window'."""
        self._recovery_start = now
        if not again:  # RFC 5681 §3.1: for a segment that timed out before, 'ssthresh is held constant'
            self.ssthresh = self._half(flight_size)
        self.cwnd = self.mss
        self._credit = 0

    def _half(self, flight_size: int) -> int:
        """RFC 5681 §3.1 (4): max(FlightSize / 2, 2*SMSS).

        While a loss is being repaired FlightSize counts octets that the peer holds already; the window does not.
        """
        return max(min(flight_size, self.cwnd) // 2, 2 * self.mss)

"""Reno: RFC 5681 §3.1, counting octets. What happens between two losses is here; the repair itself is not.

Growth counts what an acknowledgement acknowledges and has no limit for one acknowledgement (RFC 5681 (2) has SMSS,
RFC 3465 §2.2 L = 2*SMSS). Here one acknowledgement stands for a burst of up to 64 KiB, so such a limit would hold
the window to a twentieth of slow start's rate. What it is for is kept: octets that are split over many
acknowledgements count once, and that a large acknowledgement lets no burst go is pacing's work (RFC 9406 §4.3:
'A paced TCP implementation SHOULD use L = infinity').
"""

from __future__ import annotations

from typing import ClassVar

from rawproto.transport.congestion.base import AckSample, CongestionControl

__all__ = ["Reno"]


class Reno(CongestionControl):
    """Slow start, congestion avoidance, multiplicative decrease."""

    name = "reno"
    # RFC 5681 §3.1 (4): 'ssthresh = max (FlightSize / 2, 2*SMSS)'. An ECN mark counts as a loss: RFC 3168 §6.1.2,
    # 'the TCP source halves the congestion window "cwnd"'; the 0.8 that RFC 8511 tries out is not taken.
    beta: ClassVar[tuple[int, int]] = (1, 2)
    """What is left of the window after a loss: numerator and denominator."""

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._credit = 0  # octets acknowledged towards the next increase in congestion avoidance
        self._before: tuple[int, int | None] | None = None  # cwnd and ssthresh that `undo` would bring back

    def on_ack(self, ack: AckSample) -> None:
        """Grow the window, if it was what held the sender back (RFC 9002 §7.8) and no loss is being repaired."""
        if not ack.limited or ack.in_recovery:
            return
        rest = self._slow_start(ack.delivered) if self.in_slow_start else ack.delivered
        if rest:
            self._avoid(rest, ack)

    def on_congestion(self, now: int, in_flight: int, *, marked: bool = False) -> None:
        """Take the window down by `beta`: to two segments at the least, or to one if it was a mark that said so."""
        self._save()
        reduced = self._reduced(in_flight)
        self.ssthresh = max(reduced, 2 * self.mss)
        # RFC 9438 §4.6 has it so in Figure 5; RFC 3168 §6.1.2 says what is to be done once cwnd is one segment.
        # Of a window that is below two segments already a loss makes no larger one.
        self.cwnd = min(self.cwnd, max(reduced, self.mss) if marked else self.ssthresh)
        self._credit = 0

    def on_timeout(self, now: int, in_flight: int, *, again: bool) -> None:
        """Begin again with one segment. RFC 5681 §3.1: 'cwnd MUST be set to no more than the loss window, LW'."""
        if not again:  # RFC 5681 §3.1: if it timed out before, 'the value of ssthresh is held constant'
            self._save()
            self.ssthresh = max(self._reduced(in_flight), 2 * self.mss)
        self.cwnd = self.mss
        self._credit = 0

    def undo(self, now: int) -> None:
        """Bring back cwnd, unless it is larger by now, and ssthresh (RFC 4015 §3.2, as Linux does it)."""
        if self._before is None:
            return
        cwnd, self.ssthresh = self._before
        self.cwnd = max(self.cwnd, cwnd)
        self._before = None

    def on_idle(self, now: int) -> None:
        """Begin anew after a pause. What was taken before it stays taken: the path has been left alone since."""
        super().on_idle(now)
        self._before = None
        self._credit = 0

    def set_mss(self, mss: int) -> None:
        """Take a new size for segments; a window counted in the old ones does not come back."""
        if mss != self.mss:
            self._before = None
            super().set_mss(mss)

    def _slow_start(self, octets: int) -> int:
        """Grow by what was acknowledged, up to ssthresh; give the octets that are left for avoidance.

        RFC 5681 §3.1 lets cwnd pass ssthresh within one acknowledgement; one that stands for 64 KiB would pass
        it by far.
        """
        used = octets if self.ssthresh is None else min(octets, self.ssthresh - self.cwnd)
        self.cwnd += used
        return octets - used

    def _avoid(self, octets: int, ack: AckSample) -> None:
        """Add a segment for each window acknowledged.

        RFC 5681 §3.1: 'count the number of bytes that have been acknowledged'; 'cwnd MUST NOT be increased by
        more than SMSS bytes per RTT'.
        """
        self._credit += octets
        if self._credit >= self.cwnd:
            self._credit = min(self._credit - self.cwnd, self.cwnd)
            self.cwnd += self.mss

    def _reduced(self, in_flight: int) -> int:
        """FlightSize times beta.

        RFC 5681 §3.2 wants what limited transmit sent left out of FlightSize: it is what exceeds cwnd.
        """
        numerator, denominator = self.beta
        return min(in_flight, self.cwnd) * numerator // denominator

    def _save(self) -> None:
        """Remember what the coming reduction takes away."""
        self._before = (self.cwnd, self.ssthresh)

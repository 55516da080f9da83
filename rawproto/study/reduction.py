"""Whether a sender slows down when it loses something: what the link shows of RFC 5681's multiplicative decrease.

Judged are losses that really were: datagrams that never arrived, and whose octets the sender repeats while it still has
something behind them outstanding. One that it repeats in error tells nothing, since it may take the reduction back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rawproto.study.alignment import cover

__all__ = ["Reduction"]

KEPT = (17, 20)
"""What may be in flight in the round trip after the repair, of the most before: CUBIC keeps 7/10 (RFC 9438 §4.6), and
grows meanwhile."""
SLACK = 3
"""Full segments more: no window falls below two (RFC 5681 §3.1, (4))."""


@dataclass(slots=True)
class Reduction:
    """What is known of one direction of a connection. Numbers are sequence numbers, without wrap."""

    peak: int = 0
    """The most that was in flight."""
    missing: list[tuple[int, int]] = field(default_factory=list)
    """What was sent and never arrived, in order."""
    point: int = -1
    """A loss is being repaired until this is acknowledged."""
    watched: int = -1
    """It was repaired: until this is acknowledged little may be in flight."""

    def on_octets(self, start: int, end: int, nxt: int, *, arrives: bool) -> None:
        """`[start, end)` leaves for the first time or once more; `nxt` is behind all that has left by then."""
        hit = [(max(low, start), min(high, end)) for low, high in self.missing if low < end and start < high]
        if hit and end < nxt and self.point < 0:
            self.point, self.watched = nxt, -1
        if hit:
            rest = [part for low, high in self.missing for part in ((low, min(high, start)), (max(low, end), high))]
            self.missing = [(low, high) for low, high in rest if low < high]
        if not arrives:
            cover(self.missing, start, end)

    def on_acked(self, acked: int, nxt: int) -> None:
        """Everything up to `acked` is acknowledged."""
        if 0 <= self.watched <= acked:
            self.watched = -1
        if 0 <= self.point <= acked:
            self.point, self.watched = -1, nxt

    def exceeds(self, in_flight: int, segment: int) -> bool:
        """New data leaves, and makes it `in_flight` octets: tell whether that is as if nothing had been lost.

        `segment` is the most that a datagram may have.
        """
        most = self.peak * KEPT[0] // KEPT[1] + SLACK * segment
        self.peak = max(self.peak, in_flight)
        return self.watched >= 0 and in_flight > most

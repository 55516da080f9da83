"""Pacing: bursts leave spread over the round trip and not all at once (RFC 9002 §7.7, draft-ietf-ccwg-bbr §5.6.2).

The pacer keeps what has been sent ahead of the rate, as octets owed; the earliest departure of the next burst is when
they are paid off. It counts octets and not a time of departure, so a rate that changes counts at once, also for a burst
that is waiting. It sends nothing and sets no timer: who drives it asks `ready_at`, and tells it what left.

    over any time T at one rate     octets sent <= rate * T + credit + one burst

The credit is what may be made up for when the timer that should have fired at `ready_at` fired late.
"""

from __future__ import annotations

from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["Pacer", "rate_for", "send_quantum"]

QUANTUM_NS = MILLISECOND
"""draft-ietf-ccwg-bbr §5.6.3: 'C.send_quantum = C.pacing_rate * 1ms', and thus for any congestion control: a burst
costs the same for one packet as for forty, and a thousand a second are enough."""

MAX_QUANTUM = 64 * 1024
"""draft-ietf-ccwg-bbr §5.6.3: 'min(C.send_quantum, 64 KBytes)'; no burst can be larger anyway."""

MIN_QUANTUM_SEGMENTS = 2
"""draft-ietf-ccwg-bbr §5.6.3: 'max(C.send_quantum, 2 * C.SMSS)': two segments bring one acknowledgement."""

CREDIT_NS = 2 * MILLISECOND
"""A timer of 1 ms is up to 1 ms late, and a busy process a little later: twice that is made up for. More would be a
burst after a pause, against which pacing is there."""

SLOW_START_RATIO = (2, 1)
"""Within a round trip of slow start the window doubles: at its end twice as much leaves as the window says at its
beginning. Linux has the same 200 % (tcp_pacing_ss_ratio)."""

AVOIDANCE_RATIO = (5, 4)
"""RFC 9002 §7.7: 'a value for N that is small, but at least 1 (for example, 1.25) ensures that variations in RTT do not
result in underutilization of the congestion window'. Linux has 120 %; of the two, this one is written down."""


def rate_for(cwnd: int, srtt: int, in_slow_start: bool) -> int:
    """Give the rate in octets a second for a window of `cwnd`; 0, not to be paced, if no round trip is known.

    RFC 9002 §7.7: 'rate = N * congestion_window / smoothed_rtt'. Without `srtt` the initial window leaves unpaced:
    its ten segments are what RFC 6928 allows as one burst.
    """
    if not srtt:
        return 0
    times, by = SLOW_START_RATIO if in_slow_start else AVOIDANCE_RATIO
    return max(1, cwnd * times * SECOND // (srtt * by))


def send_quantum(rate: int, mss: int) -> int:
    """Give how many octets may leave in one burst: a millisecond's worth, in whole segments.

    At least two segments, at most 64 KiB; one segment if that is larger than half of it.
    """
    if not rate:
        return max(MAX_QUANTUM // mss * mss, mss)
    octets = max(rate * QUANTUM_NS // SECOND, MIN_QUANTUM_SEGMENTS * mss)
    return max(min(octets, MAX_QUANTUM) // mss * mss, mss)


class Pacer:
    """Says when the next burst may leave, and how large it may be. Times in ns, sizes in octets."""

    __slots__ = ("_departed", "_owed", "mss", "rate")

    def __init__(self, mss: int) -> None:
        self.mss = mss
        self.rate = 0
        """Octets a second; 0: not paced. May be set at any time."""
        self._owed = 0  # sent beyond what the rate allowed at `_departed`; below 0 there is credit
        self._departed = 0

    def quantum(self) -> int:
        """How many octets may leave in one burst."""
        return send_quantum(self.rate, self.mss)

    def ready_at(self) -> int:
        """When the next burst may leave: a time that has passed if it may now."""
        if self._owed <= 0 or not self.rate:
            return self._departed
        return self._departed - (-self._owed * SECOND // self.rate)  # rounded up: never early

    def may_send(self, now: int) -> bool:
        """Whether a burst may leave."""
        return now >= self.ready_at()

    def on_sent(self, octets: int, now: int) -> None:
        """Note that a burst left: the next waits until it is paid off.

        One that leaves before its time, as a probe does, is owed all the same.
        """
        if not self.rate:
            self._owed = 0
        else:
            earned = self.rate * (now - self._departed) // SECOND
            credit = self.rate * CREDIT_NS // SECOND
            self._owed = max(self._owed - earned, -credit) + octets
        self._departed = now

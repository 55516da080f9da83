"""CUBIC (RFC 9438): the window is a cubic function of the time since the last loss, and never below Reno's.

Everything is an integer, times in ns and windows in octets: a float's cube root may differ from one machine's C
library to the next, and with it the packets of a run that is to be the same everywhere. W_est is kept in 2**-20
octets, so that nothing is lost however small an acknowledgement is.

Two things are read as they are meant for acknowledgements that stand for many segments. §4.4 and §4.5 add
(target - cwnd) / cwnd 'for each received new ACK', which supposes one for each segment: here it is for each segment
acknowledged, or the window would grow the more slowly the larger the bursts are. And slow start has no limit for one
acknowledgement (reno.py says why).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rawproto.transport.congestion.base import AckSample
from rawproto.transport.congestion.hystart import CSS_GROWTH_DIVISOR, HyStart
from rawproto.transport.congestion.reno import Reno

__all__ = ["Cubic", "CubicClassic", "cube_root"]

# RFC 9438 §5.1: 'Therefore, C SHOULD be set to 0.4', in segments / s**3; here in segments / ns**3.
_C = (2, 5 * 10**27)
# RFC 9438 §4.3: alpha_cubic = 3 * (1 - beta_cubic) / (1 + beta_cubic) = 3 * 0.3 / 1.7.
_ALPHA = (9, 17)
# RFC 9438 §4.7: W_max = cwnd * (1 + beta_cubic) / 2.
_FAST_CONVERGENCE = (17, 20)
_FRACTION = 20  # bits of an octet in W_est


@dataclass(slots=True)
class _Curve:
    """What RFC 9438 §4.1.2 calls the variables of interest: what a spurious loss must not change."""

    w_max: int = 0
    """The window to return to; 0 if there is none, and the next stage takes the one that it begins with."""
    cwnd_prior: int = 0
    """cwnd when ssthresh was set last."""
    k: int = 0
    """ns from the beginning of the stage to W_max."""
    t_epoch: int | None = None
    """When the stage of congestion avoidance began, on the clock that stands still while the window is not used."""
    w_est: int = 0
    """What Reno's window would be, in 2**-20 octets."""
    rest: int = 0
    """What the last increase left over, in octets / cwnd."""


class Cubic(Reno):
    """CUBIC, with HyStart++ (RFC 9406) in the first slow start."""

    name = "cubic"
    # RFC 9438 §4.6: 'The parameter beta_cubic SHOULD be set to 0.7'; for an ECN mark as for a loss.
    beta = (7, 10)
    fast_convergence: ClassVar[bool] = True
    """RFC 9438 §4.7: a flow whose window has become smaller makes room for new ones."""
    hystart: ClassVar[bool] = True
    """Leave the first slow start when the round trip grows (RFC 9406); False: at the first loss alone."""

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._curve = _Curve()
        self._curve_before = self._curve
        self._unused = 0  # ns in which the window was not in use, all told
        self._seen = 0
        self._delay = HyStart() if self.hystart else None

    def on_ack(self, ack: AckSample) -> None:
        """Grow the window along the curve, or as Reno would where that is faster."""
        # §4.2: 't ... MUST NOT include periods during which cwnd has not been updated due to application-limited
        # behavior'.
        if not ack.limited:
            self._unused += ack.now - self._seen
        self._seen = ack.now
        super().on_ack(ack)
        if self.ssthresh is None and self._delay is not None and not ack.in_recovery:
            self._watch_delay(self._delay, ack)

    def on_sent(self, now: int, octets: int, in_flight: int) -> None:
        """Leave a pause out of t (§5.8): nothing was on its way until now."""
        if in_flight <= octets:
            self._unused += now - self._seen
            self._seen = now

    def on_congestion(self, now: int, in_flight: int, *, marked: bool = False) -> None:
        """Remember the window, and take it down by beta (§4.6, §4.7)."""
        cwnd, w_max = self.cwnd, self._curve.w_max
        super().on_congestion(now, in_flight, marked=marked)
        smaller = self.fast_convergence and cwnd < w_max
        self._curve = _Curve(cwnd * _FAST_CONVERGENCE[0] // _FAST_CONVERGENCE[1] if smaller else cwnd, cwnd)

    def on_timeout(self, now: int, in_flight: int, *, again: bool) -> None:
        """Begin again with one segment.

        §4.8: in the first stage after it 'K is set to 0, and W_max is set to the congestion window size at the
        beginning of the current congestion avoidance stage'.
        """
        cwnd_prior = self._curve.cwnd_prior if again else self.cwnd
        super().on_timeout(now, in_flight, again=again)
        self._curve = _Curve(0, cwnd_prior)

    def undo(self, now: int) -> None:
        """Bring back the window and the whole curve (§4.9), unless cwnd is above what it was.

        §4.9.2: if 'the current cwnd is already higher than' that, 'CUBIC SHOULD continue to use the current and
        the most recent values of these variables'.
        """
        if self._before is not None and self.cwnd <= self._before[0]:
            self._curve = self._curve_before
            super().undo(now)
        self._before = None

    def on_idle(self, now: int) -> None:
        """Begin anew after a pause; a window that was taken down begins a new stage towards the same W_max."""
        cwnd = self.cwnd
        super().on_idle(now)
        if self.cwnd < cwnd:
            self._curve.t_epoch = None

    def set_mss(self, mss: int) -> None:
        """Take a new size for segments: the curve rises by C of them, so a new stage begins towards the same W_max."""
        if mss != self.mss:
            self._curve.t_epoch = None
        super().set_mss(mss)

    def _slow_start(self, octets: int) -> int:
        if self.ssthresh is None and self._delay is not None and self._delay.conservative:
            self.cwnd += octets // CSS_GROWTH_DIVISOR
            return 0
        return super()._slow_start(octets)

    def _watch_delay(self, delay: HyStart, ack: AckSample) -> None:
        """See whether the first slow start is over, without a loss (§4.10)."""
        if delay.on_ack(ack.rtt, ack.snd_una, ack.snd_nxt):
            self.ssthresh = self.cwnd  # RFC 9406 §4.2: 'setting the ssthresh to the current cwnd'
            # W_max and cwnd_prior are 0 still: the one becomes cwnd, and above the other alpha_cubic is 1, as it
            # would be with §4.10's 'cwnd_prior = cwnd'.
            self._begin_stage(ack.now)

    def _begin_stage(self, now: int) -> int:
        """Begin a stage of congestion avoidance (§4.2): t is 0, K the time from here to W_max."""
        # Nothing to return to, as in §4.8 and §4.10, or above it already: K is 0.
        w_max = max(self._curve.w_max, self.cwnd)
        k = cube_root((w_max - self.cwnd) * _C[1] // (_C[0] * self.mss))
        t_epoch = now - self._unused
        self._curve = _Curve(w_max, self._curve.cwnd_prior, k, t_epoch, self.cwnd << _FRACTION)
        return t_epoch

    def _avoid(self, octets: int, ack: AckSample) -> None:
        """Follow the larger of W_cubic and W_est."""
        t_epoch = self._curve.t_epoch
        if t_epoch is None:
            t_epoch = self._begin_stage(ack.now)
        curve = self._curve
        t = ack.now - self._unused - t_epoch
        self._grow_estimate(octets)
        if self._w_cubic(t) << _FRACTION < curve.w_est:  # §4.3: 'cwnd SHOULD be set to W_est'
            self.cwnd = max(self.cwnd, curve.w_est >> _FRACTION)
            return
        # §4.2: 'non-decreasing and ... less than the increase rate of slow start'
        target = min(max(self._w_cubic(t + ack.srtt), self.cwnd), self.cwnd * 3 // 2)
        gain, curve.rest = divmod((target - self.cwnd) * octets + curve.rest, self.cwnd)
        self.cwnd = min(self.cwnd + gain, target)

    def _grow_estimate(self, octets: int) -> None:
        """Let W_est grow as Reno's window would on average (§4.3, Figure 4).

        'Once W_est has grown to reach the cwnd at the time of most recently setting ssthresh ... the sender SHOULD
        set alpha_cubic to 1'.
        """
        curve = self._curve
        numerator, denominator = (1, 1) if curve.w_est >> _FRACTION >= curve.cwnd_prior else _ALPHA
        curve.w_est += ((octets * self.mss * numerator) << _FRACTION) // (self.cwnd * denominator)

    def _w_cubic(self, t: int) -> int:
        """W_cubic(t) = C * (t - K)**3 + W_max (§4.2, Figure 1); t in ns since the stage began."""
        return self._curve.w_max + _C[0] * self.mss * (t - self._curve.k) ** 3 // _C[1]

    def _save(self) -> None:
        super()._save()
        self._curve_before = self._curve


class CubicClassic(Cubic):
    """CUBIC that leaves its first slow start at a loss or a mark alone."""

    name = "cubic-classic"
    hystart = False


def cube_root(value: int) -> int:
    """The largest integer whose cube is not above `value`, which is not negative: Newton's method from above."""
    if not value:
        return 0
    root = 1 << -(-value.bit_length() // 3)
    while True:
        lower = (2 * root + value // (root * root)) // 3
        if lower >= root:
            return root
        root = lower

"""BBR's model of the path: what the acknowledgements say of its bandwidth, its round trip and its room.

draft-ietf-ccwg-bbr-06 §5.5, whose section numbers stand throughout. The long-term model is the maximum of the bandwidth
measured, and the largest volume in flight that did not lose too much; the short-term model lies below it while losses
say that the path gives less just now. What to do about it is decided in bbr.py; nothing here sets a window or a rate.

Octets, ns, octets a second; gains and thresholds are whole percentages, so that all arithmetic is exact.
"""

from __future__ import annotations

from rawproto.transport.config import MILLISECOND, SECOND
from rawproto.transport.congestion.base import AckSample, RateSample

__all__ = ["INFINITE", "PathModel", "WindowedMax"]

INFINITE = 1 << 62
"""What the draft calls Infinity: not set."""

MAX_BW_FILTER_CYCLES = 2
"""§2.11: 'up to 2 ProbeBW cycles, the current cycle and the previous full cycle'."""

EXTRA_ACKED_FILTER_ROUNDS = 10
"""§2.12: 'in steady-state = 10 (in units of packet-timed round trips)'."""

MIN_RTT_FILTER_NS = 10 * SECOND
"""§5.5.7.2: 'The length of the BBR.min_rtt min filter window is BBR.MinRTTFilterLen = 10 secs'."""

PROBE_RTT_INTERVAL_NS = 5 * SECOND
"""§5.3.4.2: 'each BBR flow MUST use the standard BBR.ProbeRTTInterval of 5 secs'."""

LOSS_THRESHOLD = 2
"""§2.8: 'the maximum tolerated per-round-trip packet loss rate when probing for bandwidth (the default is 2%)'."""

BETA = 70
"""§2.8: 'multiplicative decrease to make upon each round trip ... (the value is 0.7)', in percent."""

FULL_BW_GROWTH = 125
FULL_BW_ROUNDS = 3
"""§5.3.1.2: 'several (three) non-application-limited rounds where attempts to significantly increase the delivery rate
actually result in little increase (less than 25 percent)'."""

MIN_RTT_FLOOR_NS = MILLISECOND // 1000
"""Two clock readings may be equal: a round trip of nothing would make the BDP nothing for ten seconds."""


class WindowedMax:
    """The largest of the values of the last `window` units of a virtual time that never goes back.

    Kept are those that may yet become the largest: falling values at rising times, one for a unit of time at most.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[tuple[int, int]] = []

    def update(self, value: int, time: int, window: int) -> int:
        """Take in `value` at `time`, and give the largest of those later than `time - window`."""
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        if not kept or kept[-1][0] != time:  # else a larger one of the same time stands already
            kept.append((time, value))
        while kept[0][0] <= time - window:
            del kept[0]
        return kept[0][1]


class PathModel:
    """What is known of the path; the names of its attributes are the draft's."""

    def __init__(self) -> None:
        self.delivered = 0
        # §5.5.1, round trips by packets
        self.round_count = 0
        self.round_start = False
        self.next_round_delivered = 0
        # §5.5.2, bandwidth
        self.bw = 0
        """What is to be used: the smaller of `max_bw` and `bw_shortterm`."""
        self.max_bw = 0
        self.cycle_count = 0
        self._max_bw_filter = WindowedMax()
        # §5.3.1.2, a plateau
        self.full_bw = 0
        self.full_bw_count = 0
        self.full_bw_now = False
        self.full_bw_reached = False
        # §5.5.7, round-trip time
        self.min_rtt = INFINITE
        self.min_rtt_stamp = 0
        self.probe_rtt_min_delay = INFINITE
        self.probe_rtt_min_stamp = 0
        self.probe_rtt_expired = False
        # §5.5.9, aggregation
        self.extra_acked = 0
        self.extra_acked_interval_start = 0
        self._extra_acked_delivered = 0
        self._extra_acked_filter = WindowedMax()
        # §5.5.10, losses
        self.inflight_longterm = INFINITE
        self.bw_shortterm = INFINITE
        self.inflight_shortterm = INFINITE
        self.bw_latest = 0
        self.inflight_latest = 0
        self.is_loss_in_round = False
        self.loss_round_start = False
        self.loss_round_delivered = 0

    @property
    def bdp(self) -> int:
        """Octets that fill the path without a queue; 0 if nothing is known."""
        return 0 if self.min_rtt == INFINITE else self.bw * self.min_rtt // SECOND

    # -- round trips and bandwidth -------------------------------------------------------------------------------

    def start_round(self) -> None:
        """Count a round trip as over when something is acknowledged that is sent from now on."""
        self.next_round_delivered = self.delivered

    def update_latest(self, rate: RateSample) -> None:
        """Take in what was delivered over the last round trip (§5.5.10.3: UpdateLatestDeliverySignals)."""
        self.bw_latest = max(self.bw_latest, rate.rate)
        self.inflight_latest = max(self.inflight_latest, rate.delivered)
        self.loss_round_start = rate.prior_delivered >= self.loss_round_delivered
        if self.loss_round_start:
            self.loss_round_delivered = self.delivered

    def update_round(self, rate: RateSample) -> None:
        """Tell whether a round trip is over (§5.5.1: UpdateRound)."""
        self.round_start = rate.prior_delivered >= self.next_round_delivered
        if self.round_start:
            self.start_round()
            self.round_count += 1

    def update_max_bw(self, rate: RateSample, limited: bool) -> None:
        """Take in a sample of the bandwidth (§5.5.5: UpdateMaxBw).

        §5.5.4: 'the estimator discards application-limited samples', except those 'larger than the current ... max_bw'.
        """
        if rate.rate > 0 and (rate.rate >= self.max_bw or not limited):
            self.max_bw = self._max_bw_filter.update(rate.rate, self.cycle_count, MAX_BW_FILTER_CYCLES)

    def advance_max_bw_filter(self) -> None:
        """Begin a new unit of the bandwidth filter's time (§5.5.6)."""
        self.cycle_count += 1

    def bound_bw(self) -> None:
        """Let the short-term model have its say (§5.5.10.3: BoundBWForModel)."""
        self.bw = min(self.max_bw, self.bw_shortterm)

    def reset_full_bw(self, full_bw: int = 0) -> None:
        """Begin to look for a plateau, from `full_bw`."""
        self.full_bw = full_bw
        self.full_bw_count = 0
        self.full_bw_now = False

    def check_full_bw(self, rate: RateSample, limited: bool) -> None:
        """Look for a plateau: three round trips without much growth (§5.3.1.2: CheckFullBWReached)."""
        if self.full_bw_now or not self.round_start or limited:
            return
        if rate.rate * 100 >= self.full_bw * FULL_BW_GROWTH:
            self.reset_full_bw(rate.rate)
            return
        self.full_bw_count += 1
        self.full_bw_now = self.full_bw_count >= FULL_BW_ROUNDS
        if self.full_bw_now:
            self.full_bw_reached = True

    # -- round-trip time and aggregation -------------------------------------------------------------------------

    def update_min_rtt(self, rtt: int, now: int) -> None:
        """Take in a round trip, 0 for none: one minimum over 5 s for ProbeRTT, one over 10 s to use (§5.3.4.3)."""
        if self.probe_rtt_min_delay == INFINITE and not rtt:
            return
        known = self.probe_rtt_min_delay != INFINITE  # before the first sample there is nothing to expire
        self.probe_rtt_expired = known and now > self.probe_rtt_min_stamp + PROBE_RTT_INTERVAL_NS
        if rtt and (rtt < self.probe_rtt_min_delay or self.probe_rtt_expired):
            self.probe_rtt_min_delay = max(rtt, MIN_RTT_FLOOR_NS)
            self.probe_rtt_min_stamp = now
        if self.probe_rtt_min_delay < self.min_rtt or now > self.min_rtt_stamp + MIN_RTT_FILTER_NS:
            self.min_rtt = self.probe_rtt_min_delay
            self.min_rtt_stamp = self.probe_rtt_min_stamp

    def update_ack_aggregation(self, ack: AckSample, cwnd: int) -> None:
        """Measure how much more is acknowledged at once than the bandwidth explains (§5.5.9)."""
        expected = self.bw * (ack.now - self.extra_acked_interval_start) // SECOND
        if self._extra_acked_delivered <= expected:
            self._extra_acked_delivered = 0
            self.extra_acked_interval_start = ack.now
            expected = 0
        self._extra_acked_delivered += ack.delivered
        extra = min(self._extra_acked_delivered - expected, cwnd)
        rounds = EXTRA_ACKED_FILTER_ROUNDS if self.full_bw_reached else 1
        self.extra_acked = self._extra_acked_filter.update(extra, self.round_count, rounds)

    # -- losses --------------------------------------------------------------------------------------------------

    def note_loss(self) -> None:
        """Something was lost: the round trip that begins with it is judged when it is over (§5.5.10.2: NoteLoss)."""
        if not self.is_loss_in_round:
            self.loss_round_delivered = self.delivered
        self.is_loss_in_round = True

    def adapt_lower_bounds(self, probing: bool, cwnd: int) -> None:
        """At the end of a round trip with losses, come down towards what was delivered in it (§5.5.10.3).

        Not while `probing`: then losses are the answer that was asked for. `cwnd` is the volume to come down from.
        """
        if self.is_loss_in_round and not probing:
            bw = self.max_bw if self.bw_shortterm == INFINITE else self.bw_shortterm
            inflight = cwnd if self.inflight_shortterm == INFINITE else self.inflight_shortterm
            self.bw_shortterm = max(self.bw_latest, bw * BETA // 100)
            self.inflight_shortterm = max(self.inflight_latest, inflight * BETA // 100)
        self.is_loss_in_round = False

    def advance_latest(self, rate: RateSample) -> None:
        """Begin the next round trip's measurement (§5.5.10.3: AdvanceLatestDeliverySignals)."""
        if self.loss_round_start:
            self.bw_latest = rate.rate
            self.inflight_latest = rate.delivered

    def reset_congestion_signals(self) -> None:
        """Forget the losses of this round trip."""
        self.is_loss_in_round = False
        self.bw_latest = 0
        self.inflight_latest = 0

    def reset_shortterm(self) -> None:
        """Forget the short-term model: the path is to be tried again (§5.3.3.3)."""
        self.bw_shortterm = INFINITE
        self.inflight_shortterm = INFINITE


def is_inflight_too_high(rate: RateSample) -> bool:
    """Do the losses say that too much was in flight (§5.5.10.2: IsInflightTooHigh)?"""
    return rate.lost * 100 > rate.sent_in_flight * LOSS_THRESHOLD


def inflight_at_loss(rate: RateSample, size: int) -> int:
    """How much was in flight when the losses, the last `size` octets of them new, passed the threshold.

    §5.5.10.2: 'lost_prefix >= (BBR.LossThresh * inflight_prev - lost_prev) / (1 - BBR.LossThresh)'.
    """
    inflight_before = max(rate.sent_in_flight - size, 0)
    lost_before = max(rate.lost - size, 0)
    prefix = (inflight_before * LOSS_THRESHOLD - lost_before * 100) // (100 - LOSS_THRESHOLD)
    return inflight_before + max(prefix, 0)

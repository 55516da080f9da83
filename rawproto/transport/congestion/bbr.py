"""BBR version 3, by draft-ietf-ccwg-bbr-06, whose section numbers stand throughout.

Reno and CUBIC fill the queue until it overflows. BBR measures what the path can carry: the bandwidth and the round trip
of an empty queue, and keeps about their product in flight. As the two can't be seen at once, it goes in turns:

    Startup -> Drain -> ProbeBW: Down -> Cruise -> Refill -> Up -> Down ...      and from any of them ProbeRTT

What the acknowledgements say of the path is in bbr_model.py, what follows for the pacing rate and the window in
bbr_control.py; here is when to try what. Losses count only when they pass 2 % of a round trip while it probes, or, at
other times, as a sign that the path gives less just now.

Where the draft draws at random (§5.3.3.8.2: 'for better mixing and fairness convergence'), a hash is taken of what has
been delivered and how often it was drawn. Flows differ in what they have delivered, so they don't probe in step; and
the same history gives the same packets, on which a replay relies. Who could foretell it would learn when the next probe
comes, and no more. Octets, ns, octets a second; gains in percent.
"""

from __future__ import annotations

from enum import StrEnum

from rawproto.transport.config import MILLISECOND, SECOND
from rawproto.transport.congestion.base import AckSample, RateSample
from rawproto.transport.congestion.bbr_control import PROBE_BW, BbrControl, State
from rawproto.transport.congestion.bbr_model import BETA, INFINITE, inflight_at_loss, is_inflight_too_high

__all__ = ["Bbr", "State"]


class Acks(StrEnum):
    """§2.14: what the acknowledgements that arrive now tell of the probe for bandwidth."""

    INIT = "no probe"
    REFILLING = "filling the pipe"
    STARTING = "the probe has begun"
    FEEDBACK = "of the probe"
    STOPPING = "of the probe, which is over"


PROBING = (State.STARTUP, State.REFILL, State.UP)
"""§5.3.3.9: IsProbingBW."""

STARTUP_LOSS_RANGES = 6
"""§5.3.1.3: 'at least BBRStartupFullLossCnt=6 discontiguous sequence ranges lost in that round trip'."""

DRAIN_ROUNDS = 3
"""§5.3.2: 'BBR enters ProbeBW after 3 round-trips'."""

PROBE_RTT_NS = 200 * MILLISECOND
"""§5.3.4.1: 'for at least BBR.ProbeRTTDuration (200 ms) and at least one packet-timed round trip'."""

PROBE_WAIT_NS = 2 * SECOND
PROBE_WAIT_SPREAD_NS = SECOND
"""§5.3.3.8.2: 'uniformly randomly distributed between 2 and 3 secs'."""

RENO_ROUNDS = 63
"""§5.3.3.8.2: 'T_reno_bound = pick_randomly_either({62, 63})': a draw of 0 or 1 is what the count begins with."""

PROBE_UP_ROUNDS = 30
"""§5.3.3.9, RaiseInflightLongtermSlope: growth doubles up to 2^30 segments a round trip."""


class Bbr(BbrControl):
    """The state machine."""

    name = "bbr"
    proportional = False

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._limited_round = -2  # the last round trip in which the window held the sender back
        self._slowed_until = -1  # samples of what was sent before this much was delivered are low by our own doing
        self._idle_restart = False
        self._drain_start_round = 0
        self._startup_loss_ranges = 0
        # the probe for bandwidth
        self._ack_phase = Acks.INIT
        self._draws = 0
        self._cycle_stamp = 0
        self._probe_wait = 0
        self._rounds_since_probe = 0
        self._is_probe_sample = False
        self._probe_up_rounds = 0
        self._probe_up_acked = 0
        self._probe_up_acked_per_inc = INFINITE
        self._too_high = False  # the last probe lost too much
        self._precautionary = False  # the last probe was cut short because the one before lost too much
        # the probe for the round-trip time
        self._probe_rtt_done_stamp = 0
        self._probe_rtt_round_done = False
        # losses
        self._undo_state: State | None = None
        self._undo = (INFINITE, INFINITE, INFINITE)

    # -- what the sender tells -----------------------------------------------------------------------------------

    def on_ack(self, ack: AckSample) -> None:
        """Update the model, the state, and what follows from them (§5.2.3)."""
        model, rate = self.model, ack.rate
        model.delivered = ack.total_delivered
        if ack.lost:
            self._on_lost(ack)
        if rate is None:
            return
        limited = rate.app_limited or rate.prior_delivered <= self._slowed_until
        model.update_latest(rate)
        model.update_round(rate)
        self._rounds_since_probe += model.round_start
        if ack.limited:
            self._limited_round = model.round_count
        model.update_max_bw(rate, limited)
        if model.loss_round_start:
            model.adapt_lower_bounds(self.state in PROBING, self._known_good_cwnd())
        model.update_ack_aggregation(ack, self.cwnd)
        model.check_full_bw(rate, limited)
        self._check_startup_done(ack, rate)
        self._check_drain_done(ack)
        self._update_cycle_phase(ack, rate, limited)
        model.update_min_rtt(ack.rtt, ack.now)
        self._check_probe_rtt(ack, rate)
        model.advance_latest(rate)
        model.bound_bw()
        self._set_pacing_rate(ack.srtt)
        self._set_cwnd(ack.delivered)

    def on_congestion(self, now: int, in_flight: int, *, marked: bool = False) -> None:
        """A loss begins to be repaired: remember what to come back to. The model responds when the round trip is over.

        A mark counts as one lost packet does (RFC 3168 §5): too little to end a probe.
        """
        self._begin_recovery()
        self.model.note_loss()

    def on_timeout(self, now: int, in_flight: int, *, again: bool) -> None:
        """All that was in flight is taken for lost: 'a value that will allow 1 C.SMSS to be transmitted' (§5.6.4.4)."""
        self._save_state()  # an expiry again changes nothing of it: no bound moves without an acknowledgement
        self._recovering = True
        self.model.note_loss()
        self.cwnd = self.mss

    def on_recovered(self, now: int) -> None:
        """Go back to the window of before, as far as the model allows it still (§5.6.4.4)."""
        self._recovering = False
        self._restore_cwnd()

    def on_idle(self, now: int) -> None:
        """Begin again at the bandwidth known: the window stays (§5.4.1: HandleRestartFromIdle)."""
        self._idle_restart = True
        self.model.extra_acked_interval_start = now
        if self.state in PROBE_BW:
            self._set_pacing_rate_with_gain(100)
        elif self.state is State.PROBE_RTT:
            self._check_probe_rtt_done(now)

    def undo(self, now: int) -> None:
        """Nothing had been lost: back to the bounds, and to the probe, of before (§5.5.11.2)."""
        model = self.model
        self._recovering = False
        model.is_loss_in_round = False
        model.reset_full_bw()
        bw_shortterm, inflight_shortterm, inflight_longterm = self._undo
        model.bw_shortterm = max(model.bw_shortterm, bw_shortterm)
        model.inflight_shortterm = max(model.inflight_shortterm, inflight_shortterm)
        model.inflight_longterm = max(model.inflight_longterm, inflight_longterm)
        undo_state, self._undo_state = self._undo_state, None
        if undo_state is State.STARTUP:
            model.full_bw_reached = False
            if self.state is not State.PROBE_RTT:
                self._enter(State.STARTUP)
        elif undo_state is State.UP and self.state not in (State.UP, State.PROBE_RTT):
            self._start_refill()
        self._restore_cwnd()

    # -- losses --------------------------------------------------------------------------------------------------

    def _on_lost(self, ack: AckSample) -> None:
        """Something was found lost (§5.5.10.2: HandleLostPacket)."""
        self._begin_recovery()
        self.model.note_loss()
        if self._is_probe_sample and ack.rate is not None and is_inflight_too_high(ack.rate):
            self._handle_inflight_too_high(ack.now, inflight_at_loss(ack.rate, ack.lost), ack.rate.app_limited)

    def _handle_inflight_too_high(self, now: int, inflight: int, limited: bool) -> None:
        """The probe lost too much: from now on less, but no less than CUBIC would have (§5.5.10.2)."""
        self._too_high = True
        self._is_probe_sample = False  # §5.5.10.2: 'only react once per bw probe'
        if not limited:
            floor = self._target_inflight() * BETA // 100
            self.model.inflight_longterm = max(inflight, floor)
        if self.state is State.UP:
            self._undo_state = State.UP
            self._start_down(now)

    def _begin_recovery(self) -> None:
        if not self._recovering:
            self._save_state()
            self._recovering = True

    def _save_state(self) -> None:
        """Remember what a loss that was none is to be undone to (§5.5.11.1)."""
        model = self.model
        self._save_cwnd()
        self._undo_state = None
        self._undo = (model.bw_shortterm, model.inflight_shortterm, model.inflight_longterm)

    # -- Startup and Drain ---------------------------------------------------------------------------------------

    def _check_startup_done(self, ack: AckSample, rate: RateSample) -> None:
        """The pipe is full: the rate grows no more, or too much is lost (§5.3.1)."""
        model = self.model
        if not model.full_bw_reached:
            if ack.lost:
                self._startup_loss_ranges += max(ack.lost_ranges, 1)
            if model.loss_round_start:
                if self._recovering and self._startup_loss_ranges >= STARTUP_LOSS_RANGES and is_inflight_too_high(rate):
                    self._undo_state = State.STARTUP
                    model.full_bw_reached = True
                    model.inflight_longterm = max(model.bdp, model.inflight_latest)
                self._startup_loss_ranges = 0
        if self.state is State.STARTUP and model.full_bw_reached:
            self._enter(State.DRAIN)
            self._drain_start_round = model.round_count

    def _check_drain_done(self, ack: AckSample) -> None:
        """The queue that Startup made is gone, or should be (§5.3.2)."""
        if self.state is State.DRAIN and (
            ack.in_flight <= self._inflight(self.model.bw)
            or self.model.round_count > self._drain_start_round + DRAIN_ROUNDS
        ):
            self._start_down(ack.now)

    # -- ProbeBW -------------------------------------------------------------------------------------------------

    def _start_down(self, now: int) -> None:
        self.model.reset_congestion_signals()
        self._probe_up_acked_per_inc = INFINITE
        self._pick_probe_wait()
        self._cycle_stamp = now
        self._ack_phase = Acks.STOPPING
        self.model.start_round()
        self._enter(State.DOWN)

    def _start_refill(self) -> None:
        self.model.reset_shortterm()
        self._probe_up_rounds = 0
        self._probe_up_acked = 0
        self._precautionary = False
        self._ack_phase = Acks.REFILLING
        self.model.start_round()
        self._enter(State.REFILL)

    def _start_up(self, rate: RateSample) -> None:
        self._is_probe_sample = True
        self._ack_phase = Acks.STARTING
        self.model.start_round()
        self.model.reset_full_bw(rate.rate)
        self._enter(State.UP)
        self._raise_longterm_slope()

    def _update_cycle_phase(self, ack: AckSample, rate: RateSample, limited: bool) -> None:
        """Go through the cycle (§5.3.3.9: UpdateProbeBWCyclePhase)."""
        model = self.model
        if not model.full_bw_reached or self._adapt_longterm(ack, rate, limited):
            return
        if self.state in (State.DOWN, State.CRUISE):
            if self._is_time_to_probe(ack.now):
                self._start_refill()
            elif self.state is State.DOWN and self._is_time_to_cruise(ack):
                self._enter(State.CRUISE)
        elif self.state is State.REFILL:
            if model.round_start:
                self._start_up(rate)
        elif self.state is State.UP and self._is_time_to_go_down(ack, rate):
            self._too_high = False
            self._start_down(ack.now)

    def _adapt_longterm(self, ack: AckSample, rate: RateSample, limited: bool) -> bool:
        """Follow what the acknowledgements say of the probe; tell whether that began another state (§5.3.3.9)."""
        model = self.model
        if self._ack_phase is Acks.STARTING and model.round_start:
            self._ack_phase = Acks.FEEDBACK
        if self._ack_phase is Acks.STOPPING and model.round_start:
            self._is_probe_sample = False
            self._ack_phase = Acks.INIT
            if self.state in PROBE_BW:
                if not limited:
                    model.advance_max_bw_filter()
                if self._precautionary and not self._too_high:
                    self._start_refill()
                    return True
        if not is_inflight_too_high(rate) and model.inflight_longterm != INFINITE:
            model.inflight_longterm = max(model.inflight_longterm, rate.sent_in_flight)
            if self.state is State.UP:
                self._probe_longterm_upward(ack)
        return False

    def _probe_longterm_upward(self, ack: AckSample) -> None:
        """Let the bound grow by 1, 2, 4 ... segments in each round trip that uses it up (§5.3.3.5)."""
        if not self._bound_by_longterm():
            return
        self._probe_up_acked += ack.delivered
        steps, self._probe_up_acked = divmod(self._probe_up_acked, self._probe_up_acked_per_inc)
        self.model.inflight_longterm += steps * self.mss
        if self.model.round_start:
            self._raise_longterm_slope()

    def _raise_longterm_slope(self) -> None:
        growth = 1 << self._probe_up_rounds
        self._probe_up_rounds = min(self._probe_up_rounds + 1, PROBE_UP_ROUNDS)
        self._probe_up_acked_per_inc = max(self.cwnd // growth, self.mss)

    def _bound_by_longterm(self) -> bool:
        """The window holds the sender back, and the bound of the long-term model the window."""
        is_cwnd_limited = self.model.round_count - self._limited_round <= 1
        return is_cwnd_limited and self.cwnd >= self.model.inflight_longterm

    def _is_time_to_go_down(self, ack: AckSample, rate: RateSample) -> bool:
        """The bandwidth is used to the full, or this would be as much as lost too much the last time (§5.3.3.7)."""
        model = self.model
        if self._too_high and ack.in_flight >= model.inflight_longterm:
            self._precautionary = True
            return True
        if self._bound_by_longterm():
            model.reset_full_bw(rate.rate)
            return False
        return model.full_bw_now

    def _is_time_to_cruise(self, ack: AckSample) -> bool:
        """The queue is gone, and there is room for others (§5.3.3.1)."""
        return ack.in_flight <= min(self._inflight_with_headroom(), self._inflight(self.model.max_bw))

    def _is_time_to_probe(self, now: int) -> bool:
        """After 2 to 3 s, or as many round trips as Reno would take to need them (§5.3.3.8)."""
        rounds = min(self._target_inflight() // self.mss, RENO_ROUNDS)
        return now > self._cycle_stamp + self._probe_wait or self._rounds_since_probe >= rounds

    def _pick_probe_wait(self) -> None:
        """Draw how long to wait until the next probe (§5.3.3.8: PickProbeWait)."""
        self._draws += 1
        # Knuth's multiplicative hash: consecutive counts, and counts in steps of the MSS, are spread evenly by it.
        drawn = (self.model.delivered + self._draws) * 2_654_435_761 % (1 << 32)
        self._rounds_since_probe = drawn >> 31
        self._probe_wait = PROBE_WAIT_NS + (drawn * 2 % (1 << 32) * PROBE_WAIT_SPREAD_NS >> 32)

    # -- ProbeRTT ------------------------------------------------------------------------------------------------

    def _check_probe_rtt(self, ack: AckSample, rate: RateSample) -> None:
        """Empty the queue for a moment if no smaller round trip was seen for 5 s (§5.3.4.3: CheckProbeRTT)."""
        if self.state is not State.PROBE_RTT and self.model.probe_rtt_expired and not self._idle_restart:
            self._save_cwnd()
            self._enter(State.PROBE_RTT)
            self._probe_rtt_done_stamp = 0
            self._ack_phase = Acks.STOPPING
            self.model.start_round()
        if self.state is State.PROBE_RTT:
            self._handle_probe_rtt(ack)
        if rate.delivered > 0:
            self._idle_restart = False

    def _handle_probe_rtt(self, ack: AckSample) -> None:
        # §5.3.4.3: 'Ignore low rate samples during ProbeRTT': as if the application were slow.
        self._slowed_until = ack.total_delivered + ack.in_flight
        if self._probe_rtt_done_stamp:
            self._probe_rtt_round_done |= self.model.round_start
            if self._probe_rtt_round_done:
                self._check_probe_rtt_done(ack.now)
        elif ack.in_flight <= self._probe_rtt_cwnd():
            self._probe_rtt_done_stamp = ack.now + PROBE_RTT_NS
            self._probe_rtt_round_done = False
            self.model.start_round()

    def _check_probe_rtt_done(self, now: int) -> None:
        if not self._probe_rtt_done_stamp or now <= self._probe_rtt_done_stamp:
            return
        self.model.probe_rtt_min_stamp = now  # the next one is due 5 s from now
        self.model.reset_shortterm()
        if self.model.full_bw_reached:
            self._start_down(now)
            self._enter(State.CRUISE)
        else:
            self._enter(State.STARTUP)
        self._restore_cwnd()

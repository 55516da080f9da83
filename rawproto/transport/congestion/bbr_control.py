"""What BBR sets: the pacing rate and the window that follow from the model of the path and the state of the probing.

draft-ietf-ccwg-bbr-06 §5.6, whose section numbers stand throughout. The states themselves, and when one follows upon
another, are in bbr.py. Octets, ns, octets a second; gains in percent.
"""

from __future__ import annotations

from enum import StrEnum

from rawproto.transport.config import MILLISECOND, SECOND
from rawproto.transport.congestion.base import CongestionControl
from rawproto.transport.congestion.bbr_model import INFINITE, PathModel
from rawproto.transport.pacing import send_quantum

__all__ = ["GAINS", "PROBE_BW", "BbrControl", "State"]


class State(StrEnum):
    """What the flow is trying just now."""

    STARTUP = "Startup"
    DRAIN = "Drain"
    DOWN = "ProbeBW_DOWN"
    CRUISE = "ProbeBW_CRUISE"
    REFILL = "ProbeBW_REFILL"
    UP = "ProbeBW_UP"
    PROBE_RTT = "ProbeRTT"


GAINS = {
    State.STARTUP: (277, 200),
    State.DRAIN: (50, 200),
    State.DOWN: (90, 200),
    State.CRUISE: (100, 200),
    State.REFILL: (100, 200),
    State.UP: (125, 225),
    State.PROBE_RTT: (100, 50),
}
"""§5.6.1, the table: pacing gain and cwnd gain."""

PROBE_BW = (State.DOWN, State.CRUISE, State.REFILL, State.UP)
PACING_MARGIN = 1
"""§5.6.2: 'to pace at 1% below the bw, on average'."""

MIN_PIPE_SEGMENTS = 4
"""§2.8: 'to allow pipelining with endpoints that follow an "ACK every other packet" delayed-ACK policy: 4 * C.SMSS'."""

HEADROOM = 15
"""§2.8: 'free headroom to try to leave unused in the path ... (the value is 0.15)'. In percent."""

OFFLOAD_QUANTA = 3
"""§5.5.8.1: 'BBR.offload_budget = 3 * C.send_quantum': one to be sent, one to be cut up, one to be acknowledged."""


class BbrControl(CongestionControl):
    """The window and the rate, given `model` and `state`."""

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self.model = PathModel()
        self.state = State.STARTUP
        self.pacing_gain, self.cwnd_gain = GAINS[State.STARTUP]
        # §5.6.2, InitPacingRate: 'C.InitialCwnd / (C.srtt ? C.srtt : 1ms)'
        self.pacing_rate = self.pacing_gain * initial_window * SECOND // (100 * MILLISECOND)
        self._has_rtt = False
        self._recovering = False
        self._prior_cwnd = 0

    @property
    def in_slow_start(self) -> bool:
        """The bandwidth has not been found yet."""
        return self.state is State.STARTUP

    def _enter(self, state: State) -> None:
        self.state = state
        self.pacing_gain, self.cwnd_gain = GAINS[state]

    # -- the window of before ------------------------------------------------------------------------------------

    def _save_cwnd(self) -> None:
        """Remember 'the latest C.cwnd unmodulated by loss recovery or ProbeRTT' (§5.6.4.4)."""
        self._prior_cwnd = self._known_good_cwnd()

    def _known_good_cwnd(self) -> int:
        """The window, or that from before it was cut to repair a loss or to measure the round trip."""
        cut = self._recovering or self.state is State.PROBE_RTT
        return max(self._prior_cwnd, self.cwnd) if cut else self.cwnd

    def _restore_cwnd(self) -> None:
        self.cwnd = max(self.cwnd, self._prior_cwnd)
        if self.model.full_bw_reached:
            self.cwnd = min(self.cwnd, self._max_inflight())
        self._bound_cwnd()

    # -- the rate and the window ---------------------------------------------------------------------------------

    def _set_pacing_rate(self, srtt: int) -> None:
        if not self._has_rtt and srtt:
            self._has_rtt = True
            self.pacing_rate = max(1, self.pacing_gain * self.initial_window * SECOND // (100 * srtt))
        self._set_pacing_rate_with_gain(self.pacing_gain)

    def _set_pacing_rate_with_gain(self, gain: int) -> None:
        """§5.6.2: while the bandwidth is being sought the rate only grows."""
        rate = self.model.bw * gain * (100 - PACING_MARGIN) // 10_000
        if rate and (self.model.full_bw_reached or rate > self.pacing_rate):
            self.pacing_rate = rate

    def _set_cwnd(self, acked: int) -> None:
        """Towards what the model asks for: down at once, up by what is acknowledged (§5.6.4.6)."""
        max_inflight = self._max_inflight()
        if self.model.full_bw_reached:
            self.cwnd = min(self.cwnd + acked, max_inflight)
        elif self.cwnd < max_inflight or self.model.delivered < self.initial_window:
            self.cwnd += acked
        self._bound_cwnd()

    def _bound_cwnd(self) -> None:
        """Apply the volume caps of §5.6.1, down to four segments."""
        cap = self.model.inflight_shortterm
        if self.state in (State.CRUISE, State.PROBE_RTT):
            cap = min(cap, self._inflight_with_headroom())
        elif self.state in PROBE_BW:
            cap = min(cap, self.model.inflight_longterm)
        if self.state is State.PROBE_RTT:
            cap = min(cap, self._probe_rtt_cwnd())
        self.cwnd = max(min(self.cwnd, cap), self._min_pipe())

    def _min_pipe(self) -> int:
        return MIN_PIPE_SEGMENTS * self.mss

    def _bdp_multiple(self, bw: int, gain: int) -> int:
        if self.model.min_rtt == INFINITE:
            return self.initial_window
        return bw * self.model.min_rtt * gain // (100 * SECOND)

    def _quantized(self, inflight: int) -> int:
        """Room for the bursts in which data leave (§5.6.4.2: QuantizationBudget)."""
        inflight = max(inflight, OFFLOAD_QUANTA * send_quantum(self.pacing_rate, self.mss), self._min_pipe())
        return inflight + 2 * self.mss if self.state is State.UP else inflight

    def _inflight(self, bw: int) -> int:
        return self._quantized(self._bdp_multiple(bw, 100))

    def _max_inflight(self) -> int:
        return self._quantized(self._bdp_multiple(self.model.bw, self.cwnd_gain) + self.model.extra_acked)

    def _target_inflight(self) -> int:
        """§5.3.3.9: 'Our estimated BDP, unless congestion cut C.cwnd'."""
        return min(self.model.bdp, self.cwnd)

    def _inflight_with_headroom(self) -> int:
        longterm = self.model.inflight_longterm
        if longterm == INFINITE:
            return INFINITE
        return max(longterm - max(longterm * HEADROOM // 100, self.mss), self._min_pipe())

    def _probe_rtt_cwnd(self) -> int:
        return max(self._bdp_multiple(self.model.bw, GAINS[State.PROBE_RTT][1]), self._min_pipe())

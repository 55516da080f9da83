"""HyStart++ (RFC 9406): leave slow start when the round trip grows, before the queue overflows.

It only watches; the window is its owner's. Times in ns. It is for the first slow start (§4.3: 'only for the initial
slow start'): later ones end at an ssthresh that a loss has found.

L, the most segments that one acknowledgement may add, is infinity, as §4.3 has it for a paced sender; reno.py says why
no other value would do here. A round needs N_RTT_SAMPLE acknowledgements that measure: with one for each burst it takes
a window of that many bursts before growing delay is believed.
"""

from __future__ import annotations

__all__ = ["CSS_GROWTH_DIVISOR", "CSS_ROUNDS", "HyStart"]

_MILLISECOND = 1_000_000

# RFC 9406 §4.3: 'It is RECOMMENDED that a HyStart++ implementation use the following constants'.
MIN_RTT_THRESH = 4 * _MILLISECOND
MAX_RTT_THRESH = 16 * _MILLISECOND
MIN_RTT_DIVISOR = 8
N_RTT_SAMPLE = 8
CSS_GROWTH_DIVISOR = 4
"""How much slower the window grows in Conservative Slow Start."""
CSS_ROUNDS = 5
"""How many rounds Conservative Slow Start lasts at the most."""


class HyStart:
    """Watches round trips during slow start, a round at a time; `conservative` says that slow start is to go slower."""

    __slots__ = ("_baseline", "_current", "_last", "_rounds", "_samples", "_window_end", "conservative")

    def __init__(self) -> None:
        self.conservative = False
        """In Conservative Slow Start: cwnd grows by a CSS_GROWTH_DIVISOR-th of what is acknowledged."""
        self._window_end: int | None = None
        self._last: int | None = None  # lastRoundMinRTT and currentRoundMinRTT; None is the RFC's infinity
        self._current: int | None = None
        self._samples = 0
        self._baseline = 0
        self._rounds = 0

    def on_ack(self, rtt: int, snd_una: int, snd_nxt: int) -> bool:
        """Take in one acknowledgement; `rtt` is 0 if it measured none. True: slow start is over."""
        if rtt:
            self._current = rtt if self._current is None else min(self._current, rtt)
            self._samples += 1
            if self._samples >= N_RTT_SAMPLE:
                self._judge(self._current)
        if self._window_end is None:
            self._window_end = snd_nxt
        elif snd_una >= self._window_end:  # §4.2: 'When windowEnd is ACKed, the current round ends'
            self._window_end = snd_nxt
            return self._end_round()
        return False

    def _judge(self, current: int) -> None:
        """See whether the delay has grown, or was believed to have grown for nothing (§4.2)."""
        if self.conservative:
            self.conservative = current >= self._baseline
        elif self._last is not None:
            threshold = max(MIN_RTT_THRESH, min(self._last // MIN_RTT_DIVISOR, MAX_RTT_THRESH))
            if current >= self._last + threshold:
                self.conservative = True
                self._baseline = current
                self._rounds = 0

    def _end_round(self) -> bool:
        self._last, self._current, self._samples = self._current, None, 0
        # §4.2: 'If the transition into CSS happens in the middle of a round, that partial round counts'.
        self._rounds += self.conservative
        return self.conservative and self._rounds >= CSS_ROUNDS

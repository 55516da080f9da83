"""The retransmission timeout, by RFC 6298.

Packet numbers are never reused, so a sample never mistakes a retransmission for its original: Karn's algorithm
(§3) has nothing left to exclude, and the backoff (§5.5) ends with the first sample, as §5 advises.
"""

from __future__ import annotations

from rawproto.transport.config import MILLISECOND, Config

__all__ = ["RttEstimator"]

GRANULARITY = MILLISECOND
"""G in RFC 6298 §2: what a timer can be trusted to resolve. §4: 'finer clock granularities ... perform better'."""


class RttEstimator:
    """Smoothed round-trip time, its variation, and the timeout that follows from them; all in ns."""

    __slots__ = ("_base", "_config", "backoffs", "latest", "min_rtt", "rttvar", "srtt")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._base = min(config.initial_rto, config.max_rto)
        self.backoffs = 0
        self.srtt = 0
        self.rttvar = 0
        self.latest = 0
        self.min_rtt = 0

    @property
    def rto(self) -> int:
        """The timeout as it stands: doubled for each expiry since the last sample (§5.5), up to the cap (§2.5)."""
        if not self.backoffs:
            return self._base
        return min(self._base << min(self.backoffs, 32), self._config.max_rto)

    def back_off(self) -> None:
        """Double the timeout. RFC 6298 §5.5: 'The host MUST set RTO <- RTO * 2 ("back off the timer")'."""
        self.backoffs += 1

    def sample(self, rtt: int, ack_delay: int = 0) -> None:
        """Take in one measurement, less the time that the peer says it held the acknowledgement back."""
        self.min_rtt = min(self.min_rtt, rtt) if self.srtt else rtt
        # RFC 9002 §5.3: a delay that would take the sample below the smallest one seen is not believed.
        if rtt - ack_delay >= self.min_rtt:
            rtt -= ack_delay
        self.latest = rtt
        if not self.srtt:  # §2.2
            self.srtt = rtt
            self.rttvar = rtt // 2
        else:  # §2.3, alpha = 1/8, beta = 1/4
            self.rttvar += (abs(self.srtt - rtt) - self.rttvar) // 4
            self.srtt += (rtt - self.srtt) // 8
        self.backoffs = 0
        # RFC 9002 §6.2.1: the delay of acknowledgements is not in the samples, so the timeout must allow for it.
        timeout = self.srtt + max(GRANULARITY, 4 * self.rttvar) + self._config.ack_delay
        self._base = min(max(timeout, self._config.min_rto), self._config.max_rto)

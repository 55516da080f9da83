"""The interface of congestion control: what a sender tells it, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["AckSample", "CongestionControl", "RateSample"]


@dataclass(slots=True)
class RateSample:
    """How fast the path delivered, by draft-ietf-ccwg-bbr §4.1. Octets and ns.

    `rate` is octets a second, from when the newest packet acknowledged was sent until now; 0 if it can't be told.
    """

    rate: int
    interval_ns: int
    delivered: int
    """Octets delivered within the interval."""
    prior_delivered: int
    """What had been delivered in all when that packet was sent: rounds are told by it."""
    app_limited: bool
    """The sender had nothing more to send meanwhile: the path may be faster than this."""
    sent_in_flight: int
    """Octets in flight just after that packet was sent."""
    lost: int
    """Octets found lost between its sending and now."""


@dataclass(slots=True)
class AckSample:
    """What one acknowledgement told the sender. Octets and ns."""

    now: int
    delivered: int
    """Octets newly acknowledged, cumulatively or selectively."""
    lost: int
    """Octets newly found lost."""
    prior_in_flight: int
    in_flight: int
    """Octets on their way, before this acknowledgement and after it."""
    rtt: int
    """The round trip that it measured; 0 if it measured none."""
    srtt: int
    min_rtt: int
    snd_una: int
    snd_nxt: int
    in_recovery: bool
    """A loss is being repaired: PRR has the say over the window."""
    limited: bool
    """The window was what held the sender back (RFC 9002 §7.8): only then may it grow."""
    total_delivered: int
    """Octets delivered since the connection began, these included."""
    rate: RateSample | None = None
    lost_ranges: int = 0
    """In how many separate ranges `lost` lies, where the sender knows it."""


class CongestionControl(ABC):
    """Decides how many octets may be in flight, and how fast they leave. Sizes in octets, times in ns.

    The sender calls `on_ack` for each acknowledgement that told it anything new; `on_congestion` once for each
    round trip with a loss or a mark, before it repairs it; `on_timeout` when the retransmission timer expired;
    `undo` when it learns that nothing had been lost after all; `on_idle` before it sends again after a pause.
    """

    name: ClassVar[str] = ""
    proportional: ClassVar[bool] = True
    """While a loss is repaired, PRR (RFC 9937) brings what is in flight down to `ssthresh`; False: `cwnd` rules."""

    def __init__(self, mss: int, initial_window: int) -> None:
        self.mss = mss
        self.cwnd = initial_window
        self.initial_window = initial_window
        self.ssthresh: int | None = None
        """None until the first loss: as high as possible (RFC 5681 §3.1)."""
        self.pacing_rate = 0
        """Octets a second; 0 leaves it to the sender, which takes it from cwnd and the round-trip time."""

    @property
    def in_slow_start(self) -> bool:
        """RFC 5681 §3.1: cwnd is below ssthresh."""
        return self.ssthresh is None or self.cwnd < self.ssthresh

    @abstractmethod
    def on_ack(self, ack: AckSample) -> None:
        """Something was acknowledged."""

    @abstractmethod
    def on_congestion(self, now: int, in_flight: int, *, marked: bool = False) -> None:
        """A packet was lost or, if `marked`, came with an ECN mark: set ssthresh, and cwnd to it."""

    @abstractmethod
    def on_timeout(self, now: int, in_flight: int, *, again: bool) -> None:
        """The retransmission timer expired; `again`: nothing was acknowledged since it did so before."""

    def on_sent(self, now: int, octets: int, in_flight: int) -> None:  # noqa: B027 - most need not know
        """`octets` left; `in_flight` counts them."""

    def on_recovered(self, now: int) -> None:  # noqa: B027 - most need not know
        """What was lost is repaired; cwnd has been set to ssthresh if `proportional`."""

    def on_idle(self, now: int) -> None:
        """Nothing was sent for longer than RTO: begin anew (RFC 5681 §4.1: 'cwnd is reduced to ... RW')."""
        self.cwnd = min(self.cwnd, self.initial_window)

    @abstractmethod
    def undo(self, now: int) -> None:
        """The last `on_congestion` or `on_timeout` was for nothing: back to where it was before."""

    def set_mss(self, mss: int) -> None:
        """Take a new size for segments: the path's MTU has changed.

        RFC 5681 §3.1: ssthresh is never below '2*SMSS', the SMSS being the one of now: avoidance adds a segment for
        each window, and would explode with windows of less than a segment.
        """
        self.cwnd = max(self.cwnd * mss // self.mss if mss < self.mss else self.cwnd, mss)
        if self.ssthresh is not None:
            self.ssthresh = max(self.ssthresh, 2 * mss)
        self.mss = mss

"""How fast the path delivers: draft-ietf-ccwg-bbr §4.1, before that draft-cheng-iccrg-delivery-rate-estimation.

When a burst is sent, what had been delivered by then is written on it; when something of it is acknowledged, what was
delivered since, over the time that took, is one sample of the rate. The time is the longer of two: that in which the
data were sent and that in which they were acknowledged. So neither acknowledgements that were held back and came all at
once, nor data that left in one go, show a rate that the path does not have.

    on_sent(...)         a burst leaves: keep what it gives, with the burst
    on_delivered(...)    octets were acknowledged, cumulatively or selectively
    on_lost(...)         octets were found lost
    sample(...)          the acknowledgement is read: what it says of the rate
    app_limited(...)     there is nothing more to send: what is measured next says little about the path

It decides nothing: that is for congestion control. Octets, ns, octets a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from rawproto.transport.config import SECOND
from rawproto.transport.congestion.base import RateSample

__all__ = ["DeliveryRate", "SendState"]


@dataclass(slots=True)
class SendState:
    """What was known when a burst left. §4.1.3.1: 'tracked for each packet "aggregate" rather than each IP packet'."""

    delivered: int
    delivered_ns: int
    first_sent_ns: int
    app_limited: bool
    in_flight: int
    """Just after the burst left: it counts."""
    lost: int


class DeliveryRate:
    """The sampler of one direction of one connection."""

    __slots__ = ("_app_limited", "delivered", "delivered_ns", "first_sent_ns", "lost")

    def __init__(self) -> None:
        self.delivered = 0
        self.delivered_ns = 0
        """When `delivered` was last changed."""
        self.first_sent_ns = 0
        """When the burst was sent that was acknowledged last: a sample's sending begins there."""
        self.lost = 0
        self._app_limited = 0

    @property
    def is_app_limited(self) -> bool:
        """The sender had run out of data, and what was in flight then has not all been delivered yet."""
        return self._app_limited != 0

    def on_sent(self, now: int, octets: int, in_flight_before: int) -> SendState:
        """Note that a burst of `octets` leaves, and give what is to be kept with it."""
        if not in_flight_before:
            # §4.1.2.2: 'If there is no data in flight yet, then we can start the delivery rate interval at the current
            # time': the pause before it is not the path's.
            self.first_sent_ns = self.delivered_ns = now
        return SendState(
            self.delivered, self.delivered_ns, self.first_sent_ns, self._app_limited != 0, in_flight_before + octets,
            self.lost,
        )  # fmt: skip

    def on_delivered(self, octets: int) -> None:
        """Count `octets` as delivered; `sample` follows once all that the acknowledgement covers are counted."""
        self.delivered += octets

    def on_lost(self, octets: int) -> None:
        """Count `octets` as lost."""
        self.lost += octets

    def sample(self, newest: SendState | None, sent_ns: int, now: int, min_rtt: int) -> RateSample | None:
        """Give what an acknowledgement says of the rate; call it once for each that delivered anything.

        `newest` is the state of the burst sent last among those of which something was newly acknowledged, and
        `sent_ns` when that burst was sent. None if there is no such burst; a rate of 0 if the time measured is shorter
        than `min_rtt` and hence no measure of the path: round trips and losses can be told from such a sample still.
        """
        if self._app_limited and self.delivered > self._app_limited:
            self._app_limited = 0  # §4.1.2.3: 'Clear app-limited field if bubble is ACKed and gone'
        if newest is None:
            return None
        self.delivered_ns = now
        self.first_sent_ns = sent_ns
        # §4.1.2.3: 'Use the longer of the send_elapsed and ack_elapsed'
        interval = max(sent_ns - newest.first_sent_ns, now - newest.delivered_ns)
        delivered = self.delivered - newest.delivered
        # §4.1.2.3: 'Normally we expect interval >= MinRTT': a shorter one comes of a needless repetition.
        reliable = interval > 0 and interval >= min_rtt
        return RateSample(
            rate=delivered * SECOND // interval if reliable else 0,
            interval_ns=interval,
            delivered=delivered,
            prior_delivered=newest.delivered,
            app_limited=newest.app_limited,
            sent_in_flight=newest.in_flight,
            lost=self.lost - newest.lost,
        )

    def app_limited(self, in_flight: int) -> None:
        """Note that there is nothing to send although window and pacing would let more go.

        Samples count as limited by the application until what is in flight has been delivered (§4.1.2.4).
        """
        self._app_limited = max(self.delivered + in_flight, 1)

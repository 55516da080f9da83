"""The tail loss probe: when nothing is heard, send the last packet again before the timeout does (RFC 8985 §7).

A loss at the end of a flight has nothing behind it that could show it. The probe is that something: new data if there
is any, else the last segment once more. If the repetition turns out to have been needed, a packet was lost, and the
congestion control must hear of it although nothing was marked.
"""

from __future__ import annotations

from rawproto.transport.config import SECOND

__all__ = ["TailProbe"]


class TailProbe:
    """One probe at a time, for one direction."""

    __slots__ = ("_enabled", "_repeats", "deadline", "due", "end", "packet_number", "sent")

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self.deadline: int | None = None
        """When the probe timeout (PTO) runs out."""
        self.due = False
        """The probe is to be sent now."""
        self.end: int | None = None
        """TLP.end_seq: SND.NXT when a probe was sent that is not settled yet."""
        self.packet_number = -1
        self.sent = 0
        self._repeats = False  # TLP.is_retrans

    def arm(self, now: int, srtt: int, ack_delay: int, rto_deadline: int | None, *, single: bool) -> None:
        """Start the timer (RFC 8985 §7.2): at twice SRTT, or a second, but no later than the retransmission timer.

        With a `single` segment in flight the peer may hold its acknowledgement back for `ack_delay`.
        """
        self.deadline = None
        if not self._enabled or self.end is not None:
            return
        at = now + (2 * srtt + (ack_delay if single else 0) if srtt else SECOND)
        self.deadline = at if rto_deadline is None else min(at, rto_deadline)

    def stop(self) -> None:
        """Nothing is outstanding, or a loss is being repaired: no probe is wanted."""
        self.deadline = None
        self.due = False

    def fire(self) -> None:
        """The timer ran out."""
        self.deadline = None
        self.due = True

    def on_sent(self, snd_nxt: int, packet_number: int, *, repeats: bool) -> None:
        """The probe has left."""
        self.due = False
        self.sent += 1
        self.end = snd_nxt
        self.packet_number = packet_number
        self._repeats = repeats

    def on_ack(self, snd_una: int, seen: int, *, duplicate: bool) -> bool:
        """Settle the probe (RFC 8985 §7.4.2); tell whether it repaired a loss that nothing else has shown.

        It did not if the peer reports that it got the octets twice, or acknowledges them without knowing the probe.
        """
        if self.end is None or snd_una < self.end:
            return False
        self.end = None
        return self._repeats and not duplicate and seen >= self.packet_number

    def forget(self) -> None:
        """The retransmission timer has taken over."""
        self.stop()
        self.end = None

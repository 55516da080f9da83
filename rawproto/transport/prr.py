"""Proportional Rate Reduction (RFC 9937): how much may leave while a loss is repaired.

What arrives at the peer pays for what leaves: so many octets for each that was delivered that, when the repair is
done, what is in flight has come down to ssthresh; no pause for half a round trip, and no burst. Which octets leave,
and what ssthresh is, others decide.
"""

from __future__ import annotations

__all__ = ["ProportionalRateReduction"]


class ProportionalRateReduction:
    """The window while one loss is repaired, so that the repair ends with `ssthresh` in flight. Sizes in octets.

    `recover_fs` (RecoverFS, §6.1) is what was in flight as the repair began, before the acknowledgement that began
    it: SND.NXT - SND.UNA, less what had been acknowledged selectively before, with what this acknowledgement newly
    acknowledged in either way, and with what is lost. Give that acknowledgement to `on_ack` next.
    """

    __slots__ = ("_delivered", "_mss", "_out", "_recover_fs", "_ssthresh", "cwnd")

    def __init__(self, ssthresh: int, recover_fs: int, mss: int) -> None:
        self._ssthresh = ssthresh
        # Less may have been in flight than ssthresh, which is two segments at least: then there is nothing to take
        # down, and what leaves must not become more than what arrives.
        self._recover_fs = max(recover_fs, ssthresh, 1)
        self._mss = mss
        self._delivered = 0
        self._out = 0
        self.cwnd = 0
        """The window as it stands: what is in flight, and what may leave besides."""

    def on_ack(self, delivered: int, in_flight: int, safe: bool) -> int:
        """Take in an acknowledgement that delivered so much; give the window (§6.2).

        `safe` (SafeACK): SND.UNA advanced and the acknowledgement told of no further loss. What is lost does not
        count in `in_flight`.
        """
        if not delivered:  # 'if (DeliveredData is 0) Return'
            if not self._out:  # a timer found the loss, and not an acknowledgement: one segment goes all the same
                self.cwnd = max(self.cwnd, in_flight + self._mss)
            return self.cwnd
        self._delivered += delivered
        if in_flight > self._ssthresh:
            # 'This uses integer division, rounding up'. Below 0 once more has left than that: then nothing may.
            room = max(-(-self._delivered * self._ssthresh // self._recover_fs) - self._out, 0)
        else:
            room = max(self._delivered - self._out, delivered)  # 'PRR-CRB by default'
            if safe:
                room += self._mss  # 'PRR-SSRB when recovery is making good progress'
            room = min(self._ssthresh - in_flight, room)
        if not self._out and not room:
            room = self._mss  # 'Force a fast retransmit upon entering recovery'
        self.cwnd = in_flight + room
        return self.cwnd

    def on_sent(self, octets: int) -> None:
        """So much has left, again or for the first time (§6.3: 'On any data transmission or retransmission')."""
        self._out += octets

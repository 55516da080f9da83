"""RACK: what was sent well before something that has arrived is lost (RFC 8985 §6).

"Before" is told by packet number, which is never used twice: a lost retransmission is found like any other packet, and
no acknowledgement is taken for the wrong transmission. "Well before" is the reordering window: nothing as long as the
path has never been seen to reorder, then a part of the round-trip time that grows with each needless repetition.

    on_seen(number, sent_ns, rtt)    the peer has got packet `number`
    on_delivery(...)                 what an acknowledgement brought: reordering is learnt from it
    find(scoreboard, ...)            what is lost by now; `deadline` is when to look again
"""

from __future__ import annotations

from rawproto.transport.config import Config
from rawproto.transport.scoreboard import Delivery, Lost, Scoreboard

__all__ = ["Rack"]

ROUNDS_OF_PATIENCE = 16
"""RFC 8985 §6.2 step 4: a grown window lasts for 16 recoveries without a needless repetition."""


class Rack:
    """Loss detection by time and by distance, for one direction."""

    __slots__ = (
        "_config", "_dsack_round", "_fack", "_multiplier", "_patience", "deadline", "largest_seen", "reordering_seen",
        "rtt",
    )  # fmt: skip

    def __init__(self, config: Config, iss: int) -> None:
        self._config = config
        self.largest_seen = -1
        """The largest packet number that the peer has got: that of RACK.segment."""
        self.rtt = 0
        """RACK.rtt: the round trip of that packet."""
        self.reordering_seen = 0
        """How often something sent once arrived behind what was sent after it."""
        self.deadline: int | None = None
        """When something outstanding becomes lost by time: the RACK reordering timer."""
        self._fack = iss
        self._multiplier = 1  # RACK.reo_wnd_mult
        self._patience = ROUNDS_OF_PATIENCE  # RACK.reo_wnd_persist
        self._dsack_round: int | None = None

    def on_delivery(self, delivery: Delivery, highest: int) -> None:
        """Learn from what was acknowledged, up to `highest`, whether the path reorders (RFC 8985 §6.2 step 3).

        RDT can tell it of octets that were sent again, too: by packet number the first transmission has arrived.
        """
        late = bool(delivery.unharmed) and delivery.unharmed[0][1] < self._fack
        if late or 0 <= delivery.lowest_original < self._fack:
            self.reordering_seen += 1
        self._fack = max(self._fack, highest)

    def on_duplicate(self, snd_una: int, snd_nxt: int) -> None:
        """The peer got octets once more than needed: wait longer from now on (RFC 8985 §6.2 step 4).

        Once for each round trip: 'RACK_update_reo_wnd ... at most once per round trip'.
        """
        if self._dsack_round is None or snd_una >= self._dsack_round:
            self._dsack_round = snd_nxt
            self._multiplier += 1
            self._patience = ROUNDS_OF_PATIENCE

    def on_recovered(self) -> None:
        """A recovery has ended: after sixteen of them the window is small again."""
        self._patience -= 1
        if self._patience <= 0:
            self._multiplier = 1
            self._patience = ROUNDS_OF_PATIENCE

    def reordering_window(self, min_rtt: int, srtt: int, *, recovering: bool) -> int:
        """RACK.reo_wnd in ns (RFC 8985 §6.2 step 4)."""
        if not self.reordering_seen and recovering:
            return 0
        return min(self._multiplier * min_rtt // 4, srtt)

    def find(self, board: Scoreboard, bound: int, min_rtt: int, srtt: int, rto: int, now: int, *, recovering: bool
             ) -> list[Lost]:  # fmt: skip
        """Mark and give what is lost at `now` of the octets under `bound`; set `deadline`.

        Three packets' distance is proof only on a path that keeps order (RFC 8985 §6.2: DupThresh counts while
        'RACK.reordering_seen is FALSE').
        """
        self.deadline = None
        if self.largest_seen < 0 or not board.in_flight:
            return []
        rtt = self.rtt or srtt or rto
        wait = rtt + self.reordering_window(min_rtt or rtt, srtt or rtt, recovering=recovering)
        threshold = -1 if self.reordering_seen else self.largest_seen - self._config.packet_threshold
        found, earliest = board.detect_lost(self.largest_seen, bound, threshold, now - wait)
        if found and not recovering and not self.reordering_seen:
            wait = rtt  # §6.2 step 4: DupThresh segments have arrived behind it, and nothing is waited for any more
            more, earliest = board.detect_lost(self.largest_seen, bound, threshold, now - wait)
            found += more
        if earliest is not None:
            self.deadline = earliest + wait
        return found

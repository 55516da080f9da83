"""Recovery: from the first sign of congestion until all that was sent before it is acknowledged.

An episode begins with a loss, an ECN mark or a timeout, and ends when everything is acknowledged that had been sent by
then (RFC 6675 §5: RecoveryPoint). There is one reduction for each. Within it PRR spreads what is sent (RFC 9937), and
the evidence is kept by which the whole reduction can be taken back: if each octet that was taken for lost is known to
have arrived without being sent again, nothing was lost at all (RFC 4015, by packet numbers and DSACK, which do what
RFC 3522 and RFC 5682 do for TCP).
"""

from __future__ import annotations

from enum import StrEnum

from rawproto.transport.config import Config
from rawproto.transport.congestion.base import CongestionControl
from rawproto.transport.prr import ProportionalRateReduction
from rawproto.transport.ranges import RangeSet

__all__ = ["Phase", "Recovery"]


class Phase(StrEnum):
    """What the sender is doing about congestion."""

    OPEN = "open"
    REDUCING = "reducing"
    """An ECN mark, or a loss that a tail loss probe repaired: nothing to send again, less to send."""
    FAST = "fast recovery"
    LOSS = "timeout recovery"


class Recovery:
    """The episode that is going on, if there is one. Sizes in octets, times in ns."""

    __slots__ = (
        "_config", "_marked", "_proven", "_prr", "_undoable", "episodes", "packet_number", "phase", "point", "undone"
    )  # fmt: skip

    def __init__(self, config: Config, iss: int) -> None:
        self._config = config
        self._prr: ProportionalRateReduction | None = None
        self._marked = RangeSet()  # taken for lost in this episode
        self._proven = RangeSet()  # of these: known to have arrived without being sent again
        self._undoable = False  # losses alone led to its reduction, and led to one only
        self.packet_number = 0
        """The first packet that was sent after the last reduction."""
        self.phase = Phase.OPEN
        self.point = iss
        """RecoveryPoint: SND.NXT when the episode began."""
        self.episodes = 0
        self.undone = 0

    @property
    def fast(self) -> bool:
        """PRR, not the congestion control, has the say over the window."""
        return self.phase in (Phase.FAST, Phase.REDUCING)

    def begin(
        self, phase: Phase, congestion: CongestionControl, snd_nxt: int, packet_number: int, flight: int, now: int, *,
        marked: bool = False,
    ) -> bool:  # fmt: skip
        """Begin an episode for a loss or a mark, unless one is going on; tell whether it did.

        `flight` is what was in flight before the loss was found: RFC 9937's RecoverFS. A loss found while only marks
        were answered is repaired in the same episode, without a second reduction.
        """
        if marked:
            self._undoable = False  # whatever becomes of the losses, the mark stays
        if self.phase is not Phase.OPEN:
            if self.phase is Phase.REDUCING and phase is Phase.FAST:
                self.phase = Phase.FAST
            return False
        self._start(phase, snd_nxt)
        self._undoable = phase is Phase.FAST
        self._reduce(congestion, packet_number, flight, now, marked=marked)
        return True

    def repetition_lost(self, congestion: CongestionControl, packet_number: int, flight: int, now: int) -> None:
        """What was sent again since the last reduction is lost once more.

        RFC 5681 §4.3: 'the loss of a retransmission ... should be taken as two indications of congestion'.
        """
        self._undoable = False
        self._reduce(congestion, packet_number, flight, now, marked=False)

    def _reduce(
        self, congestion: CongestionControl, packet_number: int, flight: int, now: int, *, marked: bool
    ) -> None:
        self.packet_number = packet_number
        congestion.on_congestion(now, flight, marked=marked)
        self._prr = None
        if congestion.proportional and self._config.proportional_rate_reduction and congestion.ssthresh is not None:
            self._prr = ProportionalRateReduction(congestion.ssthresh, flight, congestion.mss)

    def on_timeout(
        self, congestion: CongestionControl, snd_nxt: int, packet_number: int, flight: int, now: int, *, again: bool
    ) -> None:
        """The retransmission timer has expired: everything begins again from one segment."""
        if not again:
            self._start(Phase.LOSS, snd_nxt)
            self._undoable = True
        self.packet_number = packet_number
        self.phase = Phase.LOSS
        self.point = snd_nxt
        self._prr = None
        congestion.on_timeout(now, flight, again=again)

    def _start(self, phase: Phase, snd_nxt: int) -> None:
        self.phase = phase
        self.point = snd_nxt
        self.episodes += 1
        self._prr = None
        self._marked, self._proven = RangeSet(), RangeSet()

    def mark(self, start: int, end: int) -> None:
        """Octets `[start, end)` are taken for lost in this episode."""
        if self._config.undo:
            self._marked.add(start, end)

    def prove(self, start: int, end: int) -> None:
        """Octets `[start, end)` have arrived without being sent again, or twice: if they were marked, in error."""
        if self.phase is Phase.OPEN or not self._marked:
            return
        for low, high in self._marked.overlaps(start, end):
            self._proven.add(low, high)

    @property
    def mistaken(self) -> bool:
        """Nothing that was taken for lost was."""
        return self._undoable and self._marked.total > 0 and self._proven.total >= self._marked.total

    def take_back(self, congestion: CongestionControl, now: int) -> None:
        """End the episode as if it had not been (RFC 4015 §3.2)."""
        self.undone += 1
        self.phase = Phase.OPEN
        self._prr = None
        self._marked, self._proven = RangeSet(), RangeSet()
        congestion.undo(now)

    def on_ack(self, congestion: CongestionControl, snd_una: int, delivered: int, in_flight: int, now: int, *,
               safe: bool) -> bool:  # fmt: skip
        """Move the window along, or end the episode once it is over; tell whether it ended. `safe` as in RFC 9937."""
        if self.phase is Phase.OPEN:
            return False
        if snd_una >= self.point:
            # RFC 9937 §6: 'cwnd = ssthresh' at the end of recovery.
            if self._prr is not None and congestion.ssthresh is not None:
                congestion.cwnd = congestion.ssthresh
            self.phase = Phase.OPEN
            self._prr = None
            congestion.on_recovered(now)
            return True
        if self._prr is not None:
            congestion.cwnd = max(self._prr.on_ack(delivered, in_flight, safe), congestion.mss)
        return False

    def on_sent(self, octets: int) -> None:
        """Count for PRR what left."""
        if self._prr is not None:
            self._prr.on_sent(octets)

"""The sending half: what may be sent now, what must be sent again, and the timers that see to it.

It decides on ranges of the sequence space and gives the reason for each; the connection makes segments of them. SYN
and FIN are octets of that space like any other (RFC 9293 §3.4), so the same scoreboard and the same timer repeat
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from rawproto.transport import congestion
from rawproto.transport.config import MILLISECOND, Config
from rawproto.transport.rtt import RttEstimator
from rawproto.transport.scoreboard import Burst, Chunk, Lost, Scoreboard
from rawproto.transport.segment import Segment
from rawproto.transport.sendbuffer import SendBuffer
from rawproto.wire.rdt_format import MAX_SACK_RANGES

__all__ = ["Sender", "Sending"]

LOSS_GRANULARITY = MILLISECOND
"""RFC 9002 §6.1.2, kGranularity: no packet is lost by time for less than this."""
MAX_CHUNKS = 1 << 14
"""In more pieces than this no selective acknowledgement cuts what is outstanding: a peer could ask for any number."""


class Sending(NamedTuple):
    """A range `[start, end)` to send, why, and the lost chunk that it repeats, if it does."""

    start: int
    end: int
    reason: str
    chunk: Chunk | None = None


class Sender:
    """Sliding window, loss detection, retransmission and window probes for one direction."""

    __slots__ = (
        "_bursts", "_config", "_judged_below", "_loss_deadline", "_persist_deadline", "_probe_due", "_probes",
        "_repair_due", "_rto_deadline", "_silence_since",
        "buffer", "congestion", "fin", "iss", "largest_seen", "max_wnd", "mss",
        "packet_number", "retransmitted", "rtt", "scoreboard", "snd_edge", "snd_nxt", "snd_una", "timeouts", "wl1",
    )  # fmt: skip

    def __init__(self, config: Config, iss: int, mss: int) -> None:
        self._config = config
        self.mss = mss
        self.iss = iss
        self.snd_una = iss
        self.snd_nxt = iss
        self.snd_edge = iss + 1
        """The right edge of the peer's window: SND.UNA + SND.WND."""
        self.max_wnd = 0
        self.wl1 = -1  # the packet number of the segment that last updated the window
        self.fin: int | None = None
        """The sequence number of our FIN, once the application has no more to send."""
        self.packet_number = 0
        self.largest_seen = -1
        self.buffer = SendBuffer(iss + 1)
        self.scoreboard = Scoreboard()
        self.rtt = RttEstimator(config)
        self.retransmitted = 0
        self.timeouts = 0
        self.congestion = self._initial_congestion()
        self._bursts: deque[Burst] = deque()  # sent and not yet known to have arrived, for round-trip times
        self._rto_deadline: int | None = None
        self._loss_deadline: int | None = None
        self._persist_deadline: int | None = None
        self._probe_due = False
        self._probes = 0  # since the window was last open
        self._judged_below = iss  # where the last list of ranges ended, if it may have been cut
        self._silence_since: int | None = None  # since when an answer is owed to us
        self._repair_due = False  # the first lost segment goes out at once, whatever the window is

    def set_mss(self, mss: int) -> None:
        """Take the peer's limit on the size of datagrams; before any data is sent."""
        self.mss = mss
        self.congestion = self._initial_congestion()

    def _initial_congestion(self) -> congestion.CongestionControl:
        """RFC 5681 §3.1: if the SYN was lost, 'the initial window ... MUST be one segment'."""
        window = self.mss * (1 if self.timeouts else self._config.initial_window)
        return congestion.create(self._config.congestion_control, self.mss, window)

    # -- what the application hands over ---------------------------------------------------------------------

    def space(self) -> int:
        """How many octets the buffer can still take."""
        return self._config.send_buffer - len(self.buffer)

    def finish(self) -> None:
        """Put a FIN behind all that was handed over."""
        self.fin = self.buffer.end

    @property
    def snd_wnd(self) -> int:
        """The peer's window, counted from SND.UNA."""
        return self.snd_edge - self.snd_una

    @property
    def unsent(self) -> int:
        """Octets of sequence space that were never sent."""
        return self._end() - self.snd_nxt

    def _end(self) -> int:
        return self.buffer.end + (0 if self.fin is None else 1)

    # -- what the peer says ----------------------------------------------------------------------------------

    def on_ack(self, segment: Segment, now: int) -> tuple[int, list[Lost]]:
        """Take in an acceptable acknowledgement; give the octets newly acknowledged and what it shows to be lost.

        RFC 9293 §3.10.7.4, fifth; RFC 2018 for the ranges; RFC 9002 §6.1 for the losses.
        """
        in_flight = self.scoreboard.in_flight
        newly = 0
        advanced = segment.ack > self.snd_una
        if advanced:
            newly = self.scoreboard.acknowledge(segment.ack)
            self.snd_una = segment.ack
            self.buffer.release(segment.ack)
        for start, end in segment.sack:
            if self.snd_una <= start < end <= self.snd_nxt and len(self.scoreboard) <= MAX_CHUNKS:
                newly += self.scoreboard.acknowledge_range(start, end)
        if segment.seen is not None and self._on_seen(*segment.seen, now):
            # The newest report. A list as long as it can be may have been cut: nothing beyond it is judged by it.
            cut = len(segment.sack) >= self.max_sack_ranges
            self._judged_below = segment.sack[-1][1] if cut else self.snd_nxt
        while self._bursts and self._bursts[0].end <= self.snd_una:
            self._bursts.popleft()
        if advanced or newly:
            self._silence_since = now if self.snd_una < self.snd_nxt else None
        if newly:
            self.congestion.on_acknowledged(newly, in_flight, now)
            self.rtt.backoffs = 0
        lost = self._find_losses(now) if self.largest_seen >= 0 else []
        if newly:
            self._restart_rto(now)
        return newly, lost

    def on_window(self, segment: Segment) -> bool:
        """Take the window from `segment`, unless a later one gave it already; tell whether it opened.

        RFC 9293 orders windows by SEG.SEQ and SEG.ACK (SND.WL1, WL2); packet numbers order them directly.
        """
        if segment.packet_number + segment.count - 1 <= self.wl1:
            return False
        self.wl1 = segment.packet_number + segment.count - 1
        if self._persist_deadline is not None:
            self._silence_since = None  # probes that are answered never give up (RFC 9293 §3.8.6.1)
        before = self.snd_edge
        self.snd_edge = max(before, segment.ack + segment.wnd)  # RDT's windows don't shrink
        self.max_wnd = max(self.max_wnd, self.snd_wnd)
        return self.snd_edge > before

    def _on_seen(self, packet_number: int, ack_delay: int, now: int) -> bool:
        """Take in the largest packet number that the peer has seen; tell whether no later report is known."""
        if packet_number <= self.largest_seen or packet_number >= self.packet_number:
            return packet_number == self.largest_seen
        self.largest_seen = packet_number
        bursts = self._bursts
        while bursts and bursts[0].packet_number + bursts[0].count <= packet_number:
            bursts.popleft()
        if bursts and bursts[0].packet_number <= packet_number:
            self.rtt.sample(max(1, now - bursts[0].time_ns), ack_delay)
        return True

    @property
    def max_sack_ranges(self) -> int:
        """How many ranges either side lists at most: with more, a small datagram would have no room for payload."""
        return min(MAX_SACK_RANGES, self.mss // 16)

    def _find_losses(self, now: int) -> list[Lost]:
        # RFC 9002 §6.1.2: kTimeThreshold = 9/8; while no round trip was measured, the timeout stands for it
        rtt = max(self.rtt.srtt, self.rtt.latest) or self.rtt.rto
        delay = max(9 * rtt // 8, LOSS_GRANULARITY)
        repairing = self.scoreboard.lost > 0
        found, earliest = self.scoreboard.detect_lost(
            self.largest_seen, self._judged_below, self._config.packet_threshold, now - delay
        )
        self._loss_deadline = None if earliest is None else earliest + delay
        if found and not repairing:
            # RFC 6675 §5, (4.3): 'Retransmit the first data segment presumed dropped', before the window is looked at
            self._repair_due = True
        for loss in found:
            self.congestion.on_lost(loss.time_ns, self.snd_nxt - self.snd_una, now)
        return found

    # -- what goes out ---------------------------------------------------------------------------------------

    def next_sending(self, now: int) -> Sending | None:
        """Give the next range to send now, None if nothing may be sent. `sent` must follow before the next call."""
        if self.scoreboard.lost:
            chunk = self.scoreboard.first_lost()
            room = self.congestion.cwnd - self.scoreboard.in_flight
            if chunk is None:
                return None
            if room < min(self.mss, chunk.end - chunk.start) and self.scoreboard.in_flight and not self._repair_due:
                return None
            end = min(chunk.end, chunk.start + max(room, self.mss), chunk.start + self._config.segment_size)
            return Sending(chunk.start, end, self._why(chunk), chunk)
        return self._new_data(now)

    def _why(self, chunk: Chunk) -> str:
        packet = chunk.burst.packet_of(chunk.start)
        if chunk.why == "packet threshold":
            return f"fast retransmit: packet {packet} is missing, {self.largest_seen} arrived"
        if chunk.why == "sent long before":
            return f"retransmit: packet {packet} is overdue, {self.largest_seen} arrived"
        return chunk.why

    def _new_data(self, now: int) -> Sending | None:
        unsent = self.unsent
        if not unsent:
            return None
        usable = self.snd_edge - self.snd_nxt
        if self.fin is not None and self.fin <= self.snd_edge:
            usable = unsent  # a FIN takes no room in the peer's buffer
        if usable <= 0 or self._silly(min(usable, unsent)):
            if not self.scoreboard and self._persist_deadline is None:
                self._start_persist(now)
            return None
        room = self.congestion.cwnd - self.scoreboard.in_flight
        if room < min(self.mss, unsent) and self.scoreboard.in_flight:
            return None
        length = min(unsent, usable, max(room, self.mss), self._config.segment_size)
        if length > self.mss and length < unsent:
            length -= length % self.mss  # whole datagrams while there is more to come
        self._persist_deadline = None
        self._probes = 0
        return Sending(self.snd_nxt, self.snd_nxt + length, "new data")

    def _silly(self, length: int) -> bool:
        """Sender's silly window avoidance: RFC 9293 §3.8.6.2.1, (1) to (3), less Nagle's part of it."""
        if length >= self.mss or length == self.unsent or length * 2 >= self.max_wnd:
            return False
        return not self._probe_due  # the override timeout

    def sent(self, sending: Sending, segment: Segment, first_length: int, now: int) -> None:
        """Note that `sending` left as `segment`, with `first_length` octets in its first datagram."""
        burst = Burst(sending.start, first_length, self.mss, segment.packet_number, segment.count, now)
        self._bursts.append(burst)
        self._probe_due = False
        if sending.chunk is not None:
            self._repair_due = False
            self.retransmitted += segment.count
            self.scoreboard.resent(sending.chunk, sending.end, burst)
        else:
            self.scoreboard.sent(sending.start, sending.end, burst)
            self.snd_nxt = sending.end
        if self._rto_deadline is None:  # RFC 6298 §5.1
            self._rto_deadline = now + self.rtt.rto
        if self._silence_since is None:
            self._silence_since = now

    def resend_all(self, reason: str) -> None:
        """Take all that is outstanding for lost, for `reason`."""
        self.scoreboard.mark_all_lost(reason)

    def take_probe(self, now: int) -> bool:
        """Tell whether a window probe is due, and take it as sent."""
        due = self._probe_due
        self._probe_due = False
        if due and self._silence_since is None:
            self._silence_since = now
        return due

    # -- time ------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """The earliest of the retransmission, loss and persist timers."""
        deadlines = [at for at in (self._rto_deadline, self._loss_deadline, self._persist_deadline) if at is not None]
        return min(deadlines, default=None)

    def silent_since(self) -> int | None:
        """Since when the peer owes an answer, in ns; None if it owes none."""
        owed = self.snd_una < self.snd_nxt or self._persist_deadline is not None
        return self._silence_since if owed else None

    def handle_timeout(self, now: int, fired: Callable[[str, int], None]) -> list[Lost]:
        """Do what is due at `now`; give what was found lost by time. Each timer is told to `fired(name, after)`."""
        lost: list[Lost] = []
        if self._loss_deadline is not None and now >= self._loss_deadline:
            lost = self._find_losses(now)
            fired("loss", 0)
        if self._rto_deadline is not None and now >= self._rto_deadline:
            fired("rto", self.rtt.rto)
            self._on_rto(now)
        if self._persist_deadline is not None and now >= self._persist_deadline:
            fired("persist", self._persist_interval())
            self._probe_due = True
            self._probes += 1
            self._persist_deadline = now + self._persist_interval()
        return lost

    def _on_rto(self, now: int) -> None:
        """RFC 6298 §5.4-§5.6, with all that is outstanding taken for lost."""
        self.timeouts += 1
        reason = f"retransmission timeout after {self.rtt.rto // MILLISECOND} ms"
        if self.snd_una == self.iss:
            self.congestion = self._initial_congestion()
        else:
            self.congestion.on_timeout(self.snd_nxt - self.snd_una, self.rtt.backoffs > 0, now)
        self.rtt.back_off()
        self.resend_all(reason)
        self._loss_deadline = None
        self._rto_deadline = now + self.rtt.rto

    def _restart_rto(self, now: int) -> None:
        """RFC 6298 §5.2 and §5.3."""
        self._rto_deadline = now + self.rtt.rto if self.scoreboard else None
        if not self.scoreboard:
            self._loss_deadline = None

    def _start_persist(self, now: int) -> None:
        """RFC 9293 §3.8.6.1: 'The transmitting host SHOULD send the first zero-window probe' after one RTO."""
        self._persist_deadline = now + self._persist_interval()

    def _persist_interval(self) -> int:
        """'SHOULD increase exponentially the interval between successive probes' (SHLD-30)."""
        return min(self.rtt.rto << min(self._probes, 32), self._config.max_rto)

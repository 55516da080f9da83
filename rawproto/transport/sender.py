"""The sending half: what may be sent now, what must be sent again, and the timers that see to it.

It decides on ranges of the sequence space and gives the reason for each; the connection makes segments of them. SYN
and FIN are octets of that space like any other (RFC 9293 §3.4), so the same scoreboard and the same timer repeat
them. What the peer says is taken in by `feedback`, what time brings by `timers`. Each mechanism is a part of its own;
here they meet:

    scoreboard   what is outstanding, what of it is lost        rack         which packets are lost, and when
    rtt          the retransmission timeout                     tail         the probe before the timeout
    recovery     one reduction for each episode, PRR, undo      congestion   how much may be in flight
    pacer        when the next segment may leave                rate         how fast the path delivers
    window       what the peer has room for                     persist      probes when it has none
    nagle        one small segment at a time                    path         the size of datagrams
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rawproto.transport import congestion
from rawproto.transport.chronograph import Chronograph
from rawproto.transport.config import MILLISECOND, Config
from rawproto.transport.ecn import Ecn
from rawproto.transport.nagle import Nagle
from rawproto.transport.pacing import Pacer, rate_for
from rawproto.transport.persist import Persist
from rawproto.transport.pmtud import PathMtu
from rawproto.transport.rack import Rack
from rawproto.transport.rate import DeliveryRate
from rawproto.transport.records import RecordEnds
from rawproto.transport.recovery import Phase, Recovery
from rawproto.transport.rtt import RttEstimator
from rawproto.transport.scoreboard import Burst, Chunk, Scoreboard
from rawproto.transport.segment import Segment
from rawproto.transport.sendbuffer import SendBuffer
from rawproto.transport.sendwindow import SendWindow
from rawproto.transport.tailprobe import TailProbe
from rawproto.transport.trace import PathChanged, RecoveryChanged, RttSampled, TimerFired, Trace
from rawproto.wire.rdt_format import HEADER_LENGTH, MAX_SACK_RANGES

__all__ = ["Sender", "Sending"]


OVERHEAD = 64
"""Octets that a datagram takes of the congestion window beside a small payload: its headers."""
LARGEST_PROBE = 0xFFFF
"""What the option PROBE can say."""


class Sending(NamedTuple):
    """A range `[start, end)` to send, why, and the chunk that it repeats, if it does."""

    start: int
    end: int
    reason: str
    chunk: Chunk | None = None
    probe: bool = False
    """It is a tail loss probe."""


class Sender:
    """Sliding window, loss detection, retransmission and window probes for one direction."""

    def __init__(
        self,
        config: Config,
        iss: int,
        mss: int,
        *,
        ecn: Ecn | None = None,
        identity: int = 0,
        trace: Trace | None = None,
    ) -> None:
        self.config = config
        self.identity = identity
        self.trace = trace
        self.mss = mss
        self.iss = iss
        self.snd_una = iss
        self.snd_nxt = iss
        self.fin: int | None = None
        """The sequence number of our FIN, once the application has no more to send."""
        self.packet_number = 0
        self.buffer = SendBuffer(iss + 1)
        self.records = RecordEnds()
        self.scoreboard = Scoreboard()
        self.rtt = RttEstimator(config)
        self.rack = Rack(config, iss)
        self.tail = TailProbe(enabled=config.tail_loss_probe and config.retransmission)
        self.recovery = Recovery(config, iss)
        self.window = SendWindow(config, iss)
        self.persist = Persist(config.max_rto, enabled=config.persist)
        self.nagle = Nagle(enabled=config.nagle)
        self.ecn = ecn or Ecn(enabled=False)
        self.rate = DeliveryRate()
        self.pacer = Pacer(mss)
        self.path = PathMtu(config.base_mtu, mss + HEADER_LENGTH, enabled=False)
        self.chronograph = Chronograph()
        self.orphaned = False
        """No application holds the connection any more: a closed window is not waited for without end."""
        self.reserved = 0
        """Bytes of options that every datagram must carry: then a segment is one datagram."""
        self.segments_retransmitted = 0
        self.octets_retransmitted = 0
        self.timeouts = 0
        self.duplicates_reported = 0
        self.delivery_rate = 0
        """Octets a second: the latest sample that the application did not hold down."""
        self.congestion = self.initial_congestion()
        self.bursts: deque[Burst] = deque()  # sent and not yet known to have arrived, for round-trip times
        self.rto_deadline: int | None = None
        self.pacing_deadline: int | None = None
        self.expired = False  # the retransmission timer has, and nothing was acknowledged since
        self.judged_below = iss  # where the last list of ranges ended, if it may have been cut
        self.silence_since: int | None = None  # since when an answer is owed to us
        self.repair_due = False  # the first lost segment goes out at once, whatever the window is
        self._last_sent = 0
        self.peak = 0  # the most that was in flight in the last round
        self.peak_until = iss
        self.held_by_cwnd = False
        self.newly_lost = self.ranges_lost = 0  # since the congestion control was told last

    def set_mss(self, mss: int) -> None:
        """Take the limit on the payload of datagrams that both ends have agreed on; before any data is sent."""
        enabled = self.config.path_mtu_discovery and self.config.acknowledgement
        self.path = PathMtu(self.config.base_mtu, min(mss + HEADER_LENGTH, LARGEST_PROBE), enabled=enabled)
        self._take_size()
        self.congestion = self.initial_congestion()

    def take_path(self, why: str, now: int) -> None:
        """Cut segments from now on by what the path is known to take."""
        if self.trace is not None:
            self.trace.add(PathChanged(now, self.identity, self.path.size, why))
        self._take_size()

    def _take_size(self) -> None:
        self.mss = self.path.size - HEADER_LENGTH
        self.congestion.set_mss(self.mss)
        self.pacer.mss = self.mss

    def restart_congestion(self) -> None:
        """Take the congestion control that the settings name now, as if nothing had been sent."""
        self.congestion = self.initial_congestion()
        self.recovery = Recovery(self.config, self.iss)
        self.pacer.rate = 0

    def initial_congestion(self) -> congestion.CongestionControl:
        """RFC 5681 §3.1: if the SYN was lost, 'the initial window ... MUST be one segment'."""
        segments = self.config.initial_window
        # RFC 6928 §2: 'min (10*MSS, max (2*MSS, 14600))'
        window = min(segments * self.mss, max(2 * self.mss, segments * 1460)) if not self.timeouts else self.mss
        return congestion.create(self.config.congestion_control, self.mss, window)

    # -- what the application hands over ---------------------------------------------------------------------

    def space(self) -> int:
        """How many octets the buffer can still take."""
        return self.config.send_buffer - len(self.buffer)

    def finish(self) -> None:
        """Put a FIN behind all that was handed over."""
        self.fin = self.buffer.end

    @property
    def unsent(self) -> int:
        """Octets of sequence space that were never sent."""
        return self.buffer.end + (0 if self.fin is None else 1) - self.snd_nxt

    @property
    def full(self) -> int:
        """Octets in a datagram that is as full as it can be."""
        return min(self.mss - self.reserved, self.config.segment_size)

    @property
    def app_limited(self) -> bool:
        """The application had nothing more to send; what is in flight since then has not all been delivered."""
        return self.rate.is_app_limited

    @property
    def max_sack_ranges(self) -> int:
        """How many ranges either side lists at most: with more, a small datagram would have no room for payload."""
        return min(MAX_SACK_RANGES, self.mss // 16)

    # -- what goes out ---------------------------------------------------------------------------------------

    def next_sending(self, now: int) -> Sending | None:
        """Give the next range to send now, None if nothing may be sent. `sent` must follow before the next call."""
        board = self.scoreboard
        self.pacing_deadline = None
        if board.lost and self.config.retransmission:
            sending = self._repair(now)
        elif self.tail.due:
            sending = self._probe_tail()
        else:
            sending = self._new_data(now)
        if sending is not None and self.pacer.ready_at() > now and not sending.probe:
            self.pacing_deadline = self.pacer.ready_at()
            return None
        return sending

    def _repair(self, now: int) -> Sending | None:
        board = self.scoreboard
        chunk = board.first_lost()
        if chunk is None:
            return None
        room = self.congestion.cwnd - board.in_flight
        if room < min(self.mss, chunk.end - chunk.start) and board.in_flight and not self.repair_due:
            self.held_by_cwnd = True
            return None
        end = min(chunk.end, chunk.start + max(room, self.mss), chunk.start + self._most())
        return Sending(chunk.start, self._within_record(chunk.start, end), self._why(chunk, now), chunk)

    def _why(self, chunk: Chunk, now: int) -> str:
        packet = chunk.burst.packet_of(chunk.start)
        if chunk.why == "packet threshold":
            return f"fast retransmit: packet {packet} is missing, {self.rack.largest_seen} arrived"
        if chunk.why == "time":
            late = (now - chunk.burst.time_ns) / MILLISECOND
            return f"fast retransmit by RACK: packet {packet}, sent {late:.3g} ms ago, is missing, " \
                   f"{self.rack.largest_seen} arrived"  # fmt: skip
        return chunk.why

    def _probe_tail(self) -> Sending | None:
        """RFC 8985 §7.3: one segment of new data, if there is some and the peer has room, else the last one again."""
        most = min(self.mss, self._most())
        length = min(self.unsent, most, self.window.usable(self.snd_nxt, self.unsent, self.fin))
        if length > 0:
            end = self._within_record(self.snd_nxt, self.snd_nxt + length)
            return Sending(self.snd_nxt, end, "tail loss probe: new data", probe=True)
        chunk = self.scoreboard.tail(most)
        if chunk is None:
            self.tail.due = False
            return None
        packet = chunk.burst.packet_of(chunk.start)
        return Sending(chunk.start, chunk.end, f"tail loss probe: packet {packet} once more", chunk, probe=True)

    def _new_data(self, now: int) -> Sending | None:
        unsent = self.unsent
        board = self.scoreboard
        if not unsent:
            if board.in_flight < self.congestion.cwnd:
                self.rate.app_limited(board.in_flight)
            return None
        if not board and now - self._last_sent > self.rtt.rto and self.snd_nxt > self.iss + 1:
            self._restart_after_idle(now)
        usable = self.window.usable(self.snd_nxt, unsent, self.fin)
        if usable <= 0 or self.window.silly(min(usable, unsent), unsent, self.mss, override=self.persist.due):
            if not board and not self.persist.running:
                self.persist.start(now, self.rtt.rto)
            self.update_chronograph(now)
            return None
        room = self.congestion.cwnd - board.in_flight
        if room < min(self.mss, unsent) and board.in_flight:
            self.held_by_cwnd = True
            return None
        length = min(unsent, usable, max(room, self.mss), self._most())
        if self.mss < length < unsent:
            length -= length % self.mss  # whole datagrams while there is more to come
        end = self._within_record(self.snd_nxt, self.snd_nxt + length)
        if end - self.snd_nxt < self.full and board.in_flight + len(board) * OVERHEAD + length > self.congestion.cwnd:
            self.held_by_cwnd = True  # many small datagrams are much on the wire
            return None
        joins = self.fin is None and not self.records  # nothing could be added to a last segment, or to a record
        if joins and self.nagle.holds(end - self.snd_nxt, self.full, self.snd_una):
            return None
        return Sending(self.snd_nxt, end, "new data" if self.snd_nxt < self.buffer.end else "FIN: no more to send")

    def _restart_after_idle(self, now: int) -> None:
        """RFC 5681 §4.1; a control that paces by a model of the path wants to know it whatever the switch says."""
        control = self.congestion
        if self.config.idle_restart or not control.proportional:
            control.on_idle(now)
            self.set_pace()

    def set_pace(self) -> None:
        """Take the rate at which the congestion control, or cwnd and the round trip, let segments leave."""
        if self.config.pacing:
            control = self.congestion
            self.pacer.rate = control.pacing_rate or rate_for(control.cwnd, self.rtt.srtt, control.in_slow_start)

    def _most(self) -> int:
        """The most octets for one segment now."""
        if self.reserved or self.ecn.say_reduced:  # CWR is for one datagram: RFC 3168 §6.1.2
            return self.mss - self.reserved
        return min(self.config.segment_size, self.pacer.quantum())

    def _within_record(self, start: int, end: int) -> int:
        """Where a segment from `start` must end, so that at most its last octet ends a record."""
        if not self.records:
            return end
        limit = self.records.after(start)
        return end if limit is None else min(end, limit)

    def sent(self, sending: Sending, segment: Segment, first_length: int, options: int, now: int) -> None:
        """Note that `sending` left as `segment`, with so many octets and bytes of options in its first datagram."""
        start, end = sending.start, sending.end
        octets = end - start
        board = self.scoreboard
        if not self.config.acknowledgement and start > self.iss:
            self._take_own_word(end)
            return
        burst = Burst(start, first_length, self.mss, segment.packet_number, segment.count, now, octets, options)
        burst.rate = self.rate.on_sent(now, octets, board.in_flight)
        self.bursts.append(burst)
        if sending.chunk is not None:
            self.repair_due = False
            self.segments_retransmitted += segment.count
            self.octets_retransmitted += octets
            board.resent(sending.chunk, end, burst)
        else:
            board.sent(start, end, burst)
            self.snd_nxt = end
            self.nagle.on_sent(end, octets, self.full)
            self.persist.stop()
        self._after_sending(sending, burst, octets, now)

    def _after_sending(self, sending: Sending, burst: Burst, octets: int, now: int) -> None:
        in_flight = self.scoreboard.in_flight
        self._last_sent = now
        self.peak = max(self.peak, in_flight)
        self.recovery.on_sent(octets)
        self.congestion.on_sent(now, octets, in_flight)
        self.pacer.on_sent(octets, now)
        if sending.probe:
            self.tail.on_sent(self.snd_nxt, burst.packet_number, repeats=sending.chunk is not None)
        if self.rto_deadline is None and self.config.retransmission:  # RFC 6298 §5.1
            self.rto_deadline = now + self.rtt.rto
        self.arm_tail(now)
        if self.silence_since is None:
            self.silence_since = now
        self.update_chronograph(now)

    def _take_own_word(self, end: int) -> None:
        """Without acknowledgements what was sent counts as arrived."""
        self.snd_nxt = self.snd_una = end
        self.buffer.release(end)
        self.records.release(end)

    def assume_syn(self, now: int) -> None:
        """Our SYN was sent, as packet 0, before there was a connection."""
        self.scoreboard.sent(self.iss, self.iss + 1, Burst(self.iss, 1, self.mss, 0, 1, now, 1))
        self.packet_number = 1
        self.snd_nxt = self.iss + 1

    def resend_all(self, reason: str) -> None:
        """Take all that is outstanding for lost, for `reason`."""
        self.scoreboard.mark_all_lost(reason)

    def take_probe(self, now: int) -> bool:
        """Tell whether a window probe is due, and take it as sent."""
        due = self.persist.take()
        if due and self.silence_since is None:
            self.silence_since = now
        return due

    def restart_timers(self, now: int) -> None:
        """RFC 6298 §5.2 and §5.3."""
        self.rto_deadline = now + self.rtt.rto if self.scoreboard and self.config.retransmission else None
        if not self.scoreboard:
            self.rack.deadline = None
        self.arm_tail(now)

    def arm_tail(self, now: int) -> None:
        """Start the timer of the tail loss probe, if one may be wanted (RFC 8985 §7.2); SYN has the timeout alone."""
        board = self.scoreboard
        quiet = board.in_flight and not board.lost and not board.sacked and self.recovery.phase is Phase.OPEN
        if quiet and self.snd_una > self.iss:
            single = board.in_flight <= self.mss
            self.tail.arm(now, self.rtt.srtt, self.config.ack_delay, self.rto_deadline, single=single)
        else:
            self.tail.stop()

    def silent_since(self) -> int | None:
        """Since when the peer owes an answer, in ns; None if it owes none."""
        if self.snd_una < self.snd_nxt or self.persist.running:
            return self.silence_since
        return None

    # -- what is told of it ----------------------------------------------------------------------------------

    def update_chronograph(self, now: int) -> None:
        """Note whether there is something to do, and what holds it back."""
        unsent = self.unsent
        closed = unsent > 0 and self.window.usable(self.snd_nxt, unsent, self.fin) < min(self.mss, unsent)
        self.chronograph.update(now, busy=unsent > 0 or len(self.scoreboard) > 0, rwnd_limited=closed)

    def fired(self, timer: str, after: int, now: int) -> None:
        """Trace that a timer ran out."""
        if self.trace is not None:
            self.trace.add(TimerFired(now, self.identity, timer, after))

    def note_recovery(self, now: int, why: str) -> None:
        """Trace that an episode of recovery began or ended."""
        if self.trace is not None:
            control = self.congestion
            self.trace.add(
                RecoveryChanged(now, self.identity, str(self.recovery.phase), why, control.cwnd, control.ssthresh)
            )

    def note_sample(self, now: int) -> None:
        """Trace a measured round trip."""
        rtt, control = self.rtt, self.congestion
        if self.trace is not None:
            self.trace.add(
                RttSampled(
                    now, self.identity, rtt.latest, rtt.srtt, rtt.rttvar, rtt.rto, control.cwnd,
                    self.scoreboard.in_flight, control.ssthresh, self.rate.delivered,
                )
            )  # fmt: skip

"""The sending half: what may be sent now, what must be sent again, and the timers that see to it.

It decides on ranges of the sequence space and gives the reason for each; the connection makes segments of them. SYN
and FIN are octets of that space like any other (RFC 9293 §3.4), so the same scoreboard and the same timer repeat
them. Each mechanism is a part of its own; here they meet:

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
from rawproto.transport.congestion.base import AckSample
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
from rawproto.transport.scoreboard import Burst, Chunk, Delivery, Lost, Scoreboard
from rawproto.transport.segment import Segment
from rawproto.transport.sendbuffer import SendBuffer
from rawproto.transport.sendwindow import SendWindow
from rawproto.transport.tailprobe import TailProbe
from rawproto.transport.trace import PacketsLost, PathChanged, RecoveryChanged, RttSampled, TimerFired, Trace
from rawproto.wire.rdt_format import HEADER_LENGTH, MAX_SACK_RANGES

__all__ = ["Sender", "Sending"]

MAX_CHUNKS = 1 << 14
"""In more pieces than this no selective acknowledgement cuts what is outstanding: a peer could ask for any number."""
_EVERYTHING = 1 << 62


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
        self, config: Config, iss: int, mss: int, *, ecn: Ecn | None = None, identity: int = 0, trace: Trace | None = None
    ) -> None:  # fmt: skip
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
        self.segments_retransmitted = 0
        self.octets_retransmitted = 0
        self.timeouts = 0
        self.duplicates_reported = 0
        self.delivery_rate = 0
        """Octets a second: the latest sample that the application did not hold down."""
        self.congestion = self._initial_congestion()
        self._bursts: deque[Burst] = deque()  # sent and not yet known to have arrived, for round-trip times
        self._rto_deadline: int | None = None
        self._pacing_deadline: int | None = None
        self._expired = False  # the retransmission timer has, and nothing was acknowledged since
        self._judged_below = iss  # where the last list of ranges ended, if it may have been cut
        self._silence_since: int | None = None  # since when an answer is owed to us
        self._repair_due = False  # the first lost segment goes out at once, whatever the window is
        self._last_sent = 0
        self._peak = 0  # the most that was in flight in the last round
        self._peak_until = iss
        self._held_by_cwnd = False

    def set_mss(self, mss: int) -> None:
        """Take the limit on the payload of datagrams that both ends have agreed on; before any data is sent."""
        self.path = PathMtu(
            self.config.base_mtu, mss + HEADER_LENGTH, enabled=self.config.path_mtu_discovery and self.config.acknowledgement
        )  # fmt: skip
        self._take_size()
        self.congestion = self._initial_congestion()

    def take_path(self, why: str, now: int) -> None:
        """Cut segments from now on by what the path is known to take."""
        if self.trace is not None:
            self.trace.add(PathChanged(now, self.identity, self.path.size, why))
        self._take_size()

    def _take_size(self) -> None:
        self.mss = self.path.size - HEADER_LENGTH
        self.congestion.set_mss(self.mss)
        self.pacer.mss = self.mss

    def _initial_congestion(self) -> congestion.CongestionControl:
        """RFC 5681 §3.1: if the SYN was lost, 'the initial window ... MUST be one segment'."""
        window = self.mss * (1 if self.timeouts else self.config.initial_window)
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
    def app_limited(self) -> bool:
        """The application had nothing more to send; what is in flight since then has not all been delivered."""
        return self.rate.is_app_limited

    # -- what the peer says ----------------------------------------------------------------------------------

    def on_ack(self, segment: Segment, now: int) -> None:
        """Take in an acceptable acknowledgement (RFC 9293 §3.10.7.4, fifth), with its ranges (RFC 2018)."""
        board = self.scoreboard
        prior_in_flight = board.in_flight
        rtt = self._take_seen(segment, now)
        delivery, advanced = self._take_ranges(segment, now)
        self.rack.on_delivery(delivery, max(segment.ack, segment.sack[-1][1] if segment.sack else 0))
        self._take_evidence(segment, delivery)
        while self._bursts and self._bursts[0].end <= self.snd_una:
            self._bursts.popleft()
        lost = self._find_losses(now, prior_in_flight)
        if self.ecn.must_reduce(segment.flags, self.snd_una, self.snd_nxt):
            self._begin(Phase.REDUCING, prior_in_flight, now, "an ECN mark came back", marked=True)
        if self.tail.on_ack(self.snd_una, self.rack.largest_seen, duplicate=segment.dsack is not None):
            self._begin(Phase.REDUCING, prior_in_flight, now, "a tail loss probe repaired a loss")
        if self.recovery.on_ack(
            self.congestion, self.snd_una, delivery.octets, board.in_flight, now, safe=advanced and not lost
        ):
            self.rack.on_recovered()
            self._note_recovery(now, "all that was sent before it is acknowledged")
        if delivery.octets or lost:
            self._tell_congestion(delivery, lost, prior_in_flight, rtt, now)
        if delivery.octets:
            self._silence_since = now if self.snd_una < self.snd_nxt else None
            self._expired = False
            self.rtt.backoffs = 0
            self._restart_timers(now)
        if rtt and self.trace is not None:
            self._note_sample(now)

    def _take_seen(self, segment: Segment, now: int) -> int:
        """Take in the largest packet number that the peer has seen; give the round trip that it measures, or 0."""
        if segment.seen is None:
            return 0
        number, ack_delay = segment.seen
        rack = self.rack
        if number > rack.largest_seen and number < self.packet_number:
            rtt = self._sample(number, ack_delay, now)
        elif number == rack.largest_seen:
            rtt = 0
        else:
            return 0
        # The newest report. A list as long as it can be may have been cut: nothing beyond it is judged by it.
        cut = len(segment.sack) >= self.max_sack_ranges
        self._judged_below = segment.sack[-1][1] if cut else self.snd_nxt
        return rtt

    def _sample(self, number: int, ack_delay: int, now: int) -> int:
        self.rack.largest_seen = number
        bursts = self._bursts
        while bursts and bursts[0].packet_number + bursts[0].count <= number:
            bursts.popleft()
        if not bursts or bursts[0].packet_number > number:
            return 0
        rtt = max(1, now - bursts[0].time_ns)
        self.rtt.sample(rtt, ack_delay)
        self.rack.rtt = rtt
        return rtt

    def _take_ranges(self, segment: Segment, now: int) -> tuple[Delivery, bool]:
        """Drop from the scoreboard what is acknowledged; tell what that was, and whether SND.UNA has moved."""
        delivery = Delivery(segment.seen[0] if segment.seen is not None else _EVERYTHING)
        advanced = segment.ack > self.snd_una
        board = self.scoreboard
        if advanced:
            board.acknowledge(segment.ack, delivery)
            self.snd_una = segment.ack
            self.buffer.release(segment.ack)
            self.records.release(segment.ack)
        if self.config.sack:
            for start, end in segment.sack:
                if self.snd_una <= start < end <= self.snd_nxt and len(board) <= MAX_CHUNKS:
                    board.acknowledge_range(start, end, delivery)
        if delivery.octets:
            self.rate.on_delivered(delivery.octets)
            if delivery.full_number >= 0:
                self.path.on_full_sized_acked(delivery.full_size + HEADER_LENGTH, delivery.full_number, now)
        return delivery, advanced

    def _take_evidence(self, segment: Segment, delivery: Delivery) -> None:
        """Look for what shows that a repetition was needless."""
        for start, end in delivery.unharmed or ():
            self.recovery.prove(start, end)
        if segment.dsack is not None and self.config.sack:
            start, end = segment.dsack
            if self.iss < start < end <= self.snd_nxt:
                self.duplicates_reported += 1
                self.rack.on_duplicate(self.snd_una, self.snd_nxt)
                self.recovery.prove(start, end)

    def on_window(self, segment: Segment, now: int) -> None:
        """Take the window that an acceptable segment offers."""
        if self.window.take(segment) and self.persist.running:
            self._silence_since = None  # probes that are answered never give up (RFC 9293 §3.8.6.1)
        self._update_chronograph(now)

    @property
    def max_sack_ranges(self) -> int:
        """How many ranges either side lists at most: with more, a small datagram would have no room for payload."""
        return min(MAX_SACK_RANGES, self.mss // 16)

    # -- losses and congestion -------------------------------------------------------------------------------

    def _find_losses(self, now: int, flight: int) -> list[Lost]:
        """Mark what RACK finds lost; begin a recovery, or take one back that rested on a mistake."""
        recovery, board = self.recovery, self.scoreboard
        if recovery.mistaken and recovery.phase is not Phase.OPEN:
            recovery.take_back(self.congestion, now)
            board.unmark()
            self._note_recovery(now, "nothing had been lost: undone (RFC 4015)")
        if not (self.config.fast_retransmit and self.config.retransmission):
            return []
        bound = self._judged_below if self.config.sack else min(self._judged_below, self.snd_una + self.mss)
        recovering = recovery.phase is not Phase.OPEN
        found = self.rack.find(
            board, bound, self.rtt.min_rtt, self.rtt.srtt, self.rtt.rto, now, recovering=recovering
        )
        if found:
            self._on_lost(found, flight, now)
        return found

    def _on_lost(self, found: list[Lost], flight: int, now: int) -> None:
        self.tail.forget()
        if self._begin(Phase.FAST, flight, now, found[0].rule):
            # RFC 6675 §5, (4.3): 'Retransmit the first data segment presumed dropped', before the window is looked at
            self._repair_due = True
        for loss in found:
            self.recovery.mark(loss.start, loss.end)
            self.rate.on_lost(loss.end - loss.start)
            number = loss.burst.full_packet(loss.start, loss.end)
            if number >= 0 and self.path.on_full_sized_lost(loss.burst.mss + HEADER_LENGTH, number, now):
                self.take_path("datagrams of this size vanish", now)
            if self.trace is not None:
                self.trace.add(
                    PacketsLost(now, self.identity, loss.start, loss.end - loss.start, loss.packet_number, loss.rule)
                )

    def _begin(self, phase: Phase, flight: int, now: int, why: str, *, marked: bool = False) -> bool:
        begun = self.recovery.begin(
            phase, self.congestion, self.snd_nxt, flight, now, marked=marked
        )
        if begun:
            self._note_recovery(now, why)
        return begun

    def _tell_congestion(self, delivery: Delivery, lost: list[Lost], prior: int, rtt: int, now: int) -> None:
        """Give the congestion control its sample, and the pacer the rate that follows."""
        newest, control, board = delivery.newest, self.congestion, self.scoreboard
        sample = None
        if newest is not None and newest.rate is not None:
            sample = self.rate.sample(newest.rate, newest.time_ns, now, self.rtt.min_rtt)
        control.on_ack(
            AckSample(
                now,
                delivery.octets,
                sum(loss.end - loss.start for loss in lost) if lost else 0,
                prior,
                board.in_flight,
                rtt,
                self.rtt.srtt,
                self.rtt.min_rtt,
                self.snd_una,
                self.snd_nxt,
                self.recovery.fast,
                self._limited(prior),
                self.rate.delivered,
                sample,
            )
        )
        if sample is not None and sample.rate and (sample.rate > self.delivery_rate or not sample.app_limited):
            self.delivery_rate = sample.rate
        if self.config.pacing:
            self.pacer.rate = control.pacing_rate or rate_for(control.cwnd, self.rtt.srtt, control.in_slow_start)

    def _limited(self, prior: int) -> bool:
        """Tell whether cwnd, and not the application or the peer, was what held us back (RFC 9002 §7.8)."""
        control = self.congestion
        limited = self._held_by_cwnd or prior + self.mss > control.cwnd
        limited = limited or (control.in_slow_start and 2 * self._peak > control.cwnd)
        if self.snd_una >= self._peak_until:
            self._peak, self._peak_until, self._held_by_cwnd = self.scoreboard.in_flight, self.snd_nxt, False
        return limited

    # -- what goes out ---------------------------------------------------------------------------------------

    def next_sending(self, now: int) -> Sending | None:
        """Give the next range to send now, None if nothing may be sent. `sent` must follow before the next call."""
        board = self.scoreboard
        self._pacing_deadline = None
        if board.lost and self.config.retransmission:
            sending = self._repair(now)
        elif self.tail.due:
            sending = self._probe_tail()
        else:
            sending = self._new_data(now)
        if sending is not None and self.pacer.ready_at() > now and not sending.probe:
            self._pacing_deadline = self.pacer.ready_at()
            return None
        return sending

    def _repair(self, now: int) -> Sending | None:
        board = self.scoreboard
        chunk = board.first_lost()
        if chunk is None:
            return None
        room = self.congestion.cwnd - board.in_flight
        if room < min(self.mss, chunk.end - chunk.start) and board.in_flight and not self._repair_due:
            self._held_by_cwnd = True
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
        self.tail.due = False
        length = min(self.unsent, self.mss, self.window.usable(self.snd_nxt, self.unsent, self.fin))
        if length > 0:
            end = self._within_record(self.snd_nxt, self.snd_nxt + length)
            return Sending(self.snd_nxt, end, "tail loss probe: new data", probe=True)
        chunk = self.scoreboard.tail(self.mss)
        if chunk is None:
            return None
        packet = chunk.burst.packet_of(chunk.start)
        return Sending(chunk.start, chunk.end, f"tail loss probe: packet {packet} once more", chunk, probe=True)

    def _new_data(self, now: int) -> Sending | None:
        unsent = self.unsent
        board = self.scoreboard
        if not unsent:
            self.rate.app_limited(board.in_flight)
            return None
        if self.config.idle_restart and not board and now - self._last_sent > self.rtt.rto and self.snd_nxt > self.iss + 1:
            self.congestion.on_idle(now)
        usable = self.window.usable(self.snd_nxt, unsent, self.fin)
        if usable <= 0 or self.window.silly(min(usable, unsent), unsent, self.mss, override=self.persist.due):
            if not board and not self.persist.running:
                self.persist.start(now, self.rtt.rto)
            self._update_chronograph(now)
            return None
        room = self.congestion.cwnd - board.in_flight
        if room < min(self.mss, unsent) and board.in_flight:
            self._held_by_cwnd = True
            return None
        length = min(unsent, usable, max(room, self.mss), self._most())
        if length > self.mss and length < unsent:
            length -= length % self.mss  # whole datagrams while there is more to come
        end = self._within_record(self.snd_nxt, self.snd_nxt + length)
        if self.fin is None and self.nagle.holds(end - self.snd_nxt, self.mss, self.snd_una):
            return None
        return Sending(self.snd_nxt, end, "new data")

    def _most(self) -> int:
        """The most octets for one segment now."""
        return min(self.config.segment_size, self.pacer.quantum())

    def _within_record(self, start: int, end: int) -> int:
        """Where a segment from `start` must end, so that at most its last octet ends a record."""
        if not self.records:
            return end
        limit = self.records.after(start)
        return end if limit is None else min(end, limit)

    def sent(self, sending: Sending, segment: Segment, first_length: int, now: int) -> None:
        """Note that `sending` left as `segment`, with `first_length` octets in its first datagram."""
        start, end = sending.start, sending.end
        octets = end - start
        board = self.scoreboard
        if not self.config.acknowledgement and start > self.iss:
            self._take_own_word(end)
            return
        burst = Burst(start, first_length, self.mss, segment.packet_number, segment.count, now, octets)
        burst.rate = self.rate.on_sent(now, octets, board.in_flight)
        self._bursts.append(burst)
        if sending.chunk is not None:
            self._repair_due = False
            self.segments_retransmitted += segment.count
            self.octets_retransmitted += octets
            board.resent(sending.chunk, end, burst)
        else:
            board.sent(start, end, burst)
            self.snd_nxt = end
            self.nagle.on_sent(end, octets, self.mss)
            self.persist.stop()
        self._after_sending(sending, burst, octets, now)

    def _after_sending(self, sending: Sending, burst: Burst, octets: int, now: int) -> None:
        in_flight = self.scoreboard.in_flight
        self._last_sent = now
        self._peak = max(self._peak, in_flight)
        self.recovery.on_sent(octets)
        self.congestion.on_sent(now, octets, in_flight)
        self.pacer.on_sent(octets, now)
        if sending.probe:
            self.tail.on_sent(self.snd_nxt, burst.packet_number, repeats=sending.chunk is not None)
            self._rto_deadline = now + self.rtt.rto  # RFC 8985 §7.3
        elif self._rto_deadline is None and self.config.retransmission:  # RFC 6298 §5.1
            self._rto_deadline = now + self.rtt.rto
        self._arm_tail(now)
        if self._silence_since is None:
            self._silence_since = now
        self._update_chronograph(now)

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
        if due and self._silence_since is None:
            self._silence_since = now
        return due

    # -- time ------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """The earliest of all timers of this half."""
        # RFC 8899 §5.1.1: 'a sender ... MAY' let the search rest while there is nothing to send.
        path = self.path.next_timeout() if self.scoreboard or self.unsent else None
        deadlines = (
            self._rto_deadline, self._pacing_deadline, self.rack.deadline, self.tail.deadline, self.persist.deadline, path
        )  # fmt: skip
        return min((at for at in deadlines if at is not None), default=None)

    def silent_since(self) -> int | None:
        """Since when the peer owes an answer, in ns; None if it owes none."""
        owed = self.snd_una < self.snd_nxt or self.persist.running
        return self._silence_since if owed else None

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`."""
        if self.rack.deadline is not None and now >= self.rack.deadline:
            self._fired("reordering", self.rack.rtt, now)
            if self._find_losses(now, self.scoreboard.in_flight):
                self.recovery.on_ack(
                    self.congestion, self.snd_una, 0, self.scoreboard.in_flight, now, safe=False
                )
        if self._rto_deadline is not None and now >= self._rto_deadline:
            self._fired("rto", self.rtt.rto, now)
            self._on_rto(now)
        if self.tail.deadline is not None and now >= self.tail.deadline:
            self._fired("tail loss probe", 2 * self.rtt.srtt, now)
            self.tail.fire()
        if self.persist.deadline is not None and now >= self.persist.deadline:
            self._fired("persist", self.persist.interval(self.rtt.rto), now)
            self.persist.fire(now, self.rtt.rto)
        due = self.path.next_timeout()
        if due is not None and now >= due and (self.scoreboard or self.unsent):
            self.path.loss_permille = self._loss_permille()
            self._fired("path MTU", 0, now)
            if self.path.handle_timeout(now):
                self.take_path("probes of this size vanish", now)

    def _on_rto(self, now: int) -> None:
        """RFC 6298 §5.4-§5.6, with all that is outstanding taken for lost."""
        self.timeouts += 1
        flight = self.scoreboard.in_flight
        reason = f"RTO after {self.rtt.rto // MILLISECOND} ms"
        if self.snd_una == self.iss:
            self.congestion = self._initial_congestion()
        else:
            outstanding = self.scoreboard.outstanding()
            self.recovery.on_timeout(
                self.congestion, self.snd_nxt, flight or self.scoreboard.lost, now, again=self._expired
            )
            for start, end in outstanding:
                self.recovery.mark(start, end)
            self._note_recovery(now, reason)
            full = any(end - start >= self.mss for start, end in outstanding)
            self.path.loss_permille = self._loss_permille()
            if self.path.on_retransmission_timeout(full, now):
                self.take_path("nothing of this size gets through", now)
        self._expired = True
        if self.config.backoff:
            self.rtt.back_off()
        self.rate.on_lost(flight)
        self.resend_all(reason)
        self.tail.forget()
        self.rack.deadline = None
        self._rto_deadline = now + self.rtt.rto

    def _loss_permille(self) -> int:
        """What part of the octets sent was lost, once enough have arrived to tell."""
        rate = self.rate
        return rate.lost * 1000 // (rate.lost + rate.delivered) if rate.delivered > 20 * self.mss else 0

    def _restart_timers(self, now: int) -> None:
        """RFC 6298 §5.2 and §5.3."""
        self._rto_deadline = now + self.rtt.rto if self.scoreboard and self.config.retransmission else None
        if not self.scoreboard:
            self.rack.deadline = None
        self._arm_tail(now)
        self._update_chronograph(now)

    def _arm_tail(self, now: int) -> None:
        board = self.scoreboard
        if board.in_flight and not board.lost and not board.sacked and self.recovery.phase is Phase.OPEN:
            single = board.in_flight <= self.mss
            self.tail.arm(now, self.rtt.srtt, self.config.ack_delay, self._rto_deadline, single=single)
        else:
            self.tail.stop()

    # -- what is told of it ----------------------------------------------------------------------------------

    def _update_chronograph(self, now: int) -> None:
        waiting = self.unsent > 0
        closed = waiting and self.window.usable(self.snd_nxt, self.unsent, self.fin) < min(self.mss, self.unsent)
        self.chronograph.update(now, busy=waiting or len(self.scoreboard) > 0, rwnd_limited=closed)

    def _fired(self, timer: str, after: int, now: int) -> None:
        if self.trace is not None:
            self.trace.add(TimerFired(now, self.identity, timer, after))

    def _note_recovery(self, now: int, why: str) -> None:
        if self.trace is not None:
            control = self.congestion
            self.trace.add(
                RecoveryChanged(now, self.identity, str(self.recovery.phase), why, control.cwnd, control.ssthresh)
            )

    def _note_sample(self, now: int) -> None:
        rtt, control = self.rtt, self.congestion
        if self.trace is not None:
            self.trace.add(
                RttSampled(
                    now, self.identity, rtt.latest, rtt.srtt, rtt.rttvar, rtt.rto, control.cwnd,
                    self.scoreboard.in_flight, control.ssthresh, self.rate.delivered,
                )
            )  # fmt: skip

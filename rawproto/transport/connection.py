"""One endpoint of one connection: the protocol engine. No I/O, no clock, no randomness.

Use it in this order, all times in ns and never going back:

    receive(segment, now)             a segment in
    handle_timeout(now)               time in, when `next_timeout()` has come
    open / send / recv / shutdown / close / abort
                                      the application's commands
    poll_transmit(now)                segments out; call it after each of the above
    next_timeout()                    when to call handle_timeout; ask after poll_transmit

An incoming segment goes through the phases of RFC 9293 §3.10.7, in that order, one method each. The state is
changed by `state.advance` alone.
"""

from __future__ import annotations

from collections.abc import Callable

from rawproto.errors import ProtocolError
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import SECOND, Config
from rawproto.transport.receiver import Receiver
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.sender import Sender, Sending
from rawproto.transport.state import Event, State, advance
from rawproto.transport.trace import Ended, PacketsLost, RttSampled, StateChanged, TimerFired, Trace

__all__ = ["Connection", "End"]

MIN_MSS = 64
"""docs/rdt.md §3.5: a smaller limit is taken for this one, so that options always leave room for payload."""

MAX_CHALLENGES = 10
CHALLENGE_PERIOD = 5 * SECOND
"""RFC 5961 §7: 'no more than 10 challenge ACKs can be sent in a 5 second window'."""

_SYNCHRONIZING = (State.SYN_SENT, State.SYN_RECEIVED)
_SENDS = (State.ESTABLISHED, State.CLOSE_WAIT)
_RECEIVES = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)


class End(Exception):  # noqa: N818 - it is stored, and raised by nobody here
    """Why a connection is over. `cause` is "reset", "timeout", "refused", "aborted" or "closed"."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Connection:
    """A reliable byte stream in each direction with one peer."""

    def __init__(
        self,
        config: Config,
        *,
        identity: int,
        local_port: int,
        peer: str,
        peer_port: int,
        iss: int,
        mss: int,
        codec: RdtCodec,
        trace: Trace | None = None,
        wake: Callable[[Connection], None] | None = None,
    ) -> None:
        self.config = config
        self.identity = identity
        self.local_port = local_port
        self.peer = peer
        self.peer_port = peer_port
        self.mss_limit = mss
        """The largest payload that fits the path, in bytes; the peer may allow less."""
        self.codec = codec
        self.trace = trace
        self.state = State.CLOSED
        self.end: End | None = None
        self.sender = Sender(config, iss, mss)
        self.receiver = Receiver(config)
        self.segments_received = 0
        self.datagrams_sent = 0
        self.datagrams_received = 0
        self._wake = wake
        self._largest_received = -1
        self._largest_time = 0
        self._ack_reason = ""  # why an acknowledgement is due; empty when none is
        self._unread_is_error = False  # the application has closed: data that still comes is refused
        self._shutdown_asked = False
        self._reset: Segment | None = None  # a reset that waits to be sent
        self._deadline: int | None = None  # TIME-WAIT, or FIN-WAIT-2 of a socket that nobody holds any more
        self._opened_ns = 0
        self._challenges = 0
        self._challenges_end = 0  # when they are counted anew
        self._phases = (
            self._check_sequence,
            self._check_reset,
            self._check_syn,
            self._process_ack,
            self._process_payload,
            self._process_fin,
        )

    # -- commands --------------------------------------------------------------------------------------------

    def open(self, now: int) -> None:
        """Begin the handshake."""
        self._opened_ns = now
        self._advance(Event.OPEN, now)
        self._touch()

    def accept_syn(self, segment: Segment, now: int) -> None:
        """Begin as the answer to a SYN that came to a listener."""
        self._opened_ns = now
        self.segments_received += 1
        self.datagrams_received += segment.count
        self._take_syn(segment, now)
        self._advance(Event.ACCEPT_SYN, now)
        self._note(segment, now, "SYN to a listener: answered (RFC 9293 §3.10.7.2)")
        self._touch()

    def send(self, data: bytes | bytearray | memoryview, now: int) -> int:
        """Take `data` into the send buffer, as far as it has room; give how many bytes were taken.

        Raises ProtocolError after a shutdown, End once the connection is over.
        """
        if self.end is not None:
            raise self.end.with_traceback(None)
        if self._shutdown_asked:
            raise ProtocolError("this side has been shut down for sending")
        taken = min(len(data), self.sender.space())
        if taken:
            self.sender.buffer.append(bytes(data if taken == len(data) else memoryview(data)[:taken]))
            self._touch()
        return taken

    def recv(self, limit: int, now: int) -> bytes:
        """Give up to `limit` bytes in order; b"" when there are none (yet, or because of the end)."""
        data = self.receiver.read(limit)
        if data and self.state in _RECEIVES and self.receiver.update_due(self.mss):
            self._ack_reason = self._ack_reason or "window update"
            self._touch()
        return data

    def shutdown(self, now: int) -> None:
        """Send no more: a FIN follows what was handed over (RFC 9293 §3.10.4). Receiving goes on."""
        if self._shutdown_asked or self.end is not None:
            return
        self._shutdown_asked = True
        if self.state in _SENDS:
            self._start_fin(now)
        self._touch()

    def close(self, now: int) -> None:
        """Send no more and read no more.

        Data that was not read is lost, and the peer is told so by a reset (RFC 2525 §2.17).
        """
        if self.end is not None:
            return
        if self.state is State.SYN_SENT or self.receiver.ready:
            self.abort(now)
            return
        self._unread_is_error = True
        self.shutdown(now)
        if self.state is State.FIN_WAIT_2:
            self._deadline = now + self.config.user_timeout
            self._touch()

    def abort(self, now: int) -> None:
        """End at once, with a reset if the peer knows of us (RFC 9293 §3.10.5)."""
        if self.end is not None:
            return
        if self.state not in (State.SYN_SENT, State.TIME_WAIT):
            self._reset = self._segment(RST | ACK, self.sender.snd_nxt, now)
        self._finish(Event.ABORT, End("aborted", "the connection was aborted by this side"), now)

    # -- what the application may ask ------------------------------------------------------------------------

    @property
    def mss(self) -> int:
        """The most payload in one datagram to the peer, in bytes."""
        return self.sender.mss

    @property
    def established(self) -> bool:
        """The handshake is done, and the connection is not over."""
        return self.state not in (State.CLOSED, *_SYNCHRONIZING)

    @property
    def readable(self) -> bool:
        """`recv` has something to say: data, the end of the stream, or the end of the connection."""
        return self.receiver.ready > 0 or self.receiver.at_end or self.end is not None

    @property
    def readable_data(self) -> bool:
        """`recv` would give data."""
        return self.receiver.ready > 0

    @property
    def shut_down(self) -> bool:
        """The application has said that it sends no more."""
        return self._shutdown_asked

    @property
    def writable(self) -> bool:
        """`send` would take something, or raise."""
        return self.end is not None or (self.state in _SENDS and self.sender.space() > 0)

    @property
    def drained(self) -> bool:
        """All that was handed over, a FIN included, is acknowledged, or the connection is over."""
        return self.end is not None or not (self.sender.unsent or self.sender.scoreboard)

    # -- segments in -----------------------------------------------------------------------------------------

    def receive(self, segment: Segment, now: int) -> None:
        """Process one segment, which the codec has found valid."""
        self.segments_received += 1
        self.datagrams_received += segment.count
        if self.state is State.SYN_SENT:
            outcome = self._receive_in_syn_sent(segment, now)
        elif self.end is not None:
            outcome = "discarded: the connection is over"
        else:
            outcome = ""
            for phase in self._phases:
                outcome = phase(segment, now)
                if outcome:
                    break
        if self.trace is not None:
            self.trace.received(now, self.identity, segment, outcome)
        self._touch()

    def _receive_in_syn_sent(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.3."""
        flags = segment.flags
        if flags & ACK and not self.sender.iss < segment.ack <= self.sender.snd_nxt:
            if not flags & RST:
                self._reset = Segment(self.local_port, self.peer_port, RST, segment.ack)
            return "discarded: acknowledges what was not sent (RFC 9293 §3.10.7.3, first)"
        if flags & RST:
            if not flags & ACK:
                return "discarded: reset without acknowledgement (RFC 9293 §3.10.7.3, second)"
            self._finish(Event.RESET, End("refused", "the peer refused the connection: nobody listens there"), now)
            return "reset: connection refused (RFC 9293 §3.10.7.3, second)"
        if not flags & SYN:
            return "discarded: no SYN (RFC 9293 §3.10.7.3, fifth)"
        self._take_syn(segment, now)
        if not flags & ACK:
            self._advance(Event.SYN, now)
            self.sender.resend_all("handshake: simultaneous open")  # our SYN, now with an acknowledgement
            return "simultaneous open (RFC 9293 §3.10.7.3, fourth)"
        self._advance(Event.SYN_ACK, now)
        self._process_ack(segment, now)
        self._require_ack("ACK of SYN")
        self._on_established(now)
        return "handshake complete (RFC 9293 §3.10.7.3, fourth)"

    def _take_syn(self, segment: Segment, now: int) -> None:
        self.receiver.start(segment.seq)
        self._note_arrival(segment, now)
        self._require_ack("handshake")  # so that our SYN says what it answers, and gives the peer a round-trip time
        if segment.mss is not None:
            self.sender.set_mss(max(MIN_MSS, min(self.mss_limit, segment.mss)))

    def _note_arrival(self, segment: Segment, now: int) -> None:
        """Remember the largest packet number, to be told to the peer; only of what may well be the peer's."""
        last = segment.packet_number + segment.count - 1
        if last > self._largest_received:
            self._largest_received = last
            self._largest_time = now

    def _check_sequence(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.4, first: is any of it inside the window?"""
        receiver = self.receiver
        seq, end = segment.seq, segment.end
        edge = receiver.rcv_adv + (receiver.fin is not None)
        if receiver.rcv_nxt <= seq <= edge or seq < receiver.rcv_nxt < end:
            self._note_arrival(segment, now)
            return ""
        if segment.flags & RST:
            return "discarded: reset outside the window (RFC 9293 §3.10.7.4, first)"
        if self.state is State.TIME_WAIT and segment.flags & FIN and end == receiver.rcv_nxt:
            self._deadline = now + 2 * self.config.msl
        if self.state is State.SYN_RECEIVED and segment.flags & (SYN | ACK) == SYN and seq == receiver.irs:
            self.sender.resend_all("handshake: the peer has not seen our SYN")
            return "repeated SYN: answered once more"
        if end > seq:
            self._require_ack("ACK of a segment outside the window")
        else:
            self._challenge("ACK of a segment outside the window", now)
        receiver.duplicate_octets += len(segment.payload)
        if not receiver.irs <= seq <= receiver.rcv_adv + 1:
            return "outside the window: acknowledged (RFC 9293 §3.10.7.4, first)"
        self._note_arrival(segment, now)
        if segment.flags & ACK and self.state is not State.SYN_RECEIVED and self._acceptable(segment.ack):
            # Its octets are old, what it says of ours is not: a reordered or repeated segment still acknowledges.
            closed = self._take_ack(segment, now)
            if closed:
                return closed
        return "duplicate or outside the window: acknowledged (RFC 9293 §3.10.7.4, first)"

    def _check_reset(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.4, second, with RFC 5961 §3: only an exact sequence number resets."""
        if not segment.flags & RST:
            return ""
        if segment.seq != self.receiver.rcv_nxt:
            self._challenge("challenge ACK", now)
            return "challenged: reset with an inexact sequence number (RFC 5961 §3.2)"
        refused = self.state is State.SYN_RECEIVED
        end = (
            End("refused", "the peer refused the connection")
            if refused
            else End("reset", "the peer reset the connection")
        )
        self._finish(Event.RESET, end, now)
        return "reset (RFC 9293 §3.10.7.4, second)"

    def _check_syn(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.4, fourth, with RFC 5961 §4: a SYN inside the window is challenged."""
        if not segment.flags & SYN:
            return ""
        self._challenge("challenge ACK", now)
        return "challenged: SYN on an open connection (RFC 5961 §4.2)"

    def _process_ack(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.4, fifth, with RFC 5961 §5."""
        sender = self.sender
        if not segment.flags & ACK:
            return "discarded: no acknowledgement (RFC 9293 §3.10.7.4, fifth)"
        if self.state is State.SYN_RECEIVED:
            if not sender.iss < segment.ack <= sender.snd_nxt:
                self._reset = Segment(self.local_port, self.peer_port, RST, segment.ack)
                return "refused: does not acknowledge our SYN (RFC 9293 §3.10.7.4, fifth)"
            self._advance(Event.SYN_ACKED, now)
            self._on_established(now)
        elif not self._acceptable(segment.ack):
            self._challenge("challenge ACK", now)
            return "challenged: acknowledges what was not sent, or is far too old (RFC 5961 §5.2)"
        return self._take_ack(segment, now)

    def _acceptable(self, ack: int) -> bool:
        """RFC 5961 §5.2: '((SND.UNA - MAX.SND.WND) <= SEG.ACK <= SND.NXT)'."""
        sender = self.sender
        return sender.snd_una - sender.max_wnd <= ack <= sender.snd_nxt

    def _take_ack(self, segment: Segment, now: int) -> str:
        """Pass an acknowledgement to the sending half; says so if it was the last one that was waited for."""
        sender = self.sender
        samples = sender.largest_seen
        _, lost = sender.on_ack(segment, now)
        sender.on_window(segment)
        if self.trace is not None:
            for loss in lost:
                self.trace.add(self._lost_record(loss.start, loss.end, loss.packet_number, loss.rule, now))
            if sender.largest_seen != samples and sender.rtt.srtt:
                rtt, cwnd = sender.rtt, sender.congestion.cwnd
                self.trace.add(
                    RttSampled(
                        now,
                        self.identity,
                        rtt.latest,
                        rtt.srtt,
                        rtt.rttvar,
                        rtt.rto,
                        cwnd,
                        sender.scoreboard.in_flight,
                    )
                )
        if sender.fin is not None and sender.snd_una > sender.fin:
            return self._on_fin_acked(now)
        return ""

    def _process_payload(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.4, seventh."""
        payload = segment.payload
        if not payload:
            return "" if segment.flags & FIN else "acknowledgement"
        if self.state not in _RECEIVES:
            return "discarded: data after the peer's FIN (RFC 9293 §3.10.7.4, seventh)"
        if self._unread_is_error and segment.seq + len(payload) > self.receiver.rcv_nxt:
            self._reset = self._segment(RST | ACK, self.sender.snd_nxt, now)
            self._finish(Event.ABORT, End("reset", "data came after this side had closed"), now)
            return "refused: the application has closed (RFC 2525 §2.17)"
        outcome = self.receiver.accept(segment.seq, payload)
        self._require_ack(f"ACK of data {outcome}" if outcome != "in order" else "ACK")
        if segment.flags & FIN or self.receiver.fin == self.receiver.rcv_nxt:
            return ""
        return f"data {outcome} (RFC 9293 §3.10.7.4, seventh)"

    def _process_fin(self, segment: Segment, now: int) -> str:
        """RFC 9293 §3.10.7.4, eighth."""
        receiver = self.receiver
        if receiver.at_end:
            self._require_ack("ACK of a repeated FIN")
            return "FIN once more: acknowledged"
        complete = receiver.accept_fin(segment.end - 1 if receiver.fin is None else receiver.fin)
        self._require_ack("ACK of FIN" if complete else "ACK of an early FIN")
        if receiver.fin is None:
            return "discarded: FIN beyond the window or before data that came"
        if not complete:
            return "FIN ahead of a gap: noted (RFC 9293 §3.10.7.4, eighth)"
        self._advance(Event.FIN, now)
        if self.state is State.TIME_WAIT:
            self._deadline = now + 2 * self.config.msl
        return "FIN: the peer has no more to send (RFC 9293 §3.10.7.4, eighth)"

    def _on_established(self, now: int) -> None:
        if self._shutdown_asked:
            self._start_fin(now)

    def _on_fin_acked(self, now: int) -> str:
        if self.state is State.LAST_ACK:
            self._finish(Event.FIN_ACKED, End("closed", "both sides have closed"), now)
            return "our FIN is acknowledged: closed (RFC 9293 §3.10.7.4, fifth)"
        if self.state is State.CLOSING:
            self._advance(Event.FIN_ACKED, now)
            self._deadline = now + 2 * self.config.msl
        elif self.state is State.FIN_WAIT_1:
            self._advance(Event.FIN_ACKED, now)
            if self._unread_is_error:
                self._deadline = now + self.config.user_timeout
        return ""

    # -- time ------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, in ns; None for never."""
        if self.end is not None:
            return None
        deadlines = [at for at in (self.sender.next_timeout(), self._deadline, self._give_up_at()) if at is not None]
        return min(deadlines, default=None)

    def _give_up_at(self) -> int | None:
        if self.state in _SYNCHRONIZING:
            return self._opened_ns + self.config.connect_timeout
        since = self.sender.silent_since()
        return None if since is None else since + self.config.user_timeout

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`."""
        if self.end is not None:
            return
        if self._deadline is not None and now >= self._deadline:
            self._on_deadline(now)
            return
        give_up = self._give_up_at()
        if give_up is not None and now >= give_up:
            self._give_up(now)
            return
        lost = self.sender.handle_timeout(now, lambda timer, after: self._timer_fired(timer, after, now))
        if self.trace is not None:
            for loss in lost:
                self.trace.add(self._lost_record(loss.start, loss.end, loss.packet_number, loss.rule, now))
        self._touch()

    def _on_deadline(self, now: int) -> None:
        if self.state is State.TIME_WAIT:
            self._finish(Event.EXPIRE, End("closed", "both sides have closed"), now)
        else:  # FIN-WAIT-2 with no application left: the peer never closed its side
            self._reset = self._segment(RST | ACK, self.sender.snd_nxt, now)
            self._finish(Event.GIVE_UP, End("timeout", "the peer did not close its side"), now)

    def _give_up(self, now: int) -> None:
        synchronizing = self.state in _SYNCHRONIZING
        waited = self.config.connect_timeout if synchronizing else self.config.user_timeout
        what = "did not answer" if synchronizing else "acknowledged nothing"
        if not synchronizing:
            self._reset = self._segment(RST | ACK, self.sender.snd_nxt, now)
        self._finish(Event.GIVE_UP, End("timeout", f"the peer {what} for {waited / 1e9:g} s"), now)

    # -- segments out ----------------------------------------------------------------------------------------

    def poll_transmit(self, now: int) -> Segment | None:
        """Give the next segment to send now, None when there is none: call it until then.

        `count` and `packet_number` are set for the MSS of `mss`; encode it before the next call.
        """
        if self._reset is not None:
            segment, self._reset = self._reset, None
            return self._emit(segment, "reset", now)
        if self.end is not None:
            return None
        sending = self._next_sending(now)
        if sending is not None:
            return self._emit_range(sending, now) or self._emit_ack(now)
        if self.sender.take_probe(now):
            # An octet that was acknowledged long ago: outside the window, so the peer must answer.
            return self._emit(self._segment(ACK, self.sender.snd_una - 1, now), "window probe", now)
        return self._emit_ack(now) if self._ack_reason else None

    def _emit_ack(self, now: int) -> Segment:
        return self._emit(self._segment(ACK, self.sender.snd_nxt, now), self._ack_reason, now)

    def _next_sending(self, now: int) -> Sending | None:
        if self.state not in _SYNCHRONIZING:
            return None if self.state is State.TIME_WAIT else self.sender.next_sending(now)
        if self.sender.snd_nxt == self.sender.iss:
            return Sending(self.sender.iss, self.sender.iss + 1, "handshake")
        return self.sender.next_sending(now) if self.sender.scoreboard.lost else None

    def _emit_range(self, sending: Sending, now: int) -> Segment | None:
        """The segment for `sending`; None if an acknowledgement that is due would take a datagram more with it."""
        sender = self.sender
        flags = ACK if self.state is not State.SYN_SENT else 0
        start, end = sending.start, sending.end
        if start == sender.iss:
            flags |= SYN
            segment = self._segment(flags, start, now)
            segment.mss = self.mss_limit
            first_length = 1
        else:
            data_end = end
            if sender.fin is not None and end > sender.fin:
                flags |= FIN
                data_end = sender.fin
            segment = self._segment(flags, start, now)
            if data_end > start:
                segment.payload = sender.buffer.read(start, data_end)
            options = self.codec.options_length(segment)
            if segment.payload and -len(segment.payload) % sender.mss < options:
                return None  # it goes ahead by itself: as many datagrams, and none of them cut short
            first_length = min(len(segment.payload), sender.mss - options)
        segment.count = self.codec.count(segment, sender.mss)
        segment.packet_number = sender.packet_number
        sender.sent(sending, segment, first_length, now)
        return self._emit(segment, sending.reason, now, again=sending.chunk is not None)

    def _segment(self, flags: int, seq: int, now: int) -> Segment:
        """A segment that says all there is to say of the other direction."""
        segment = Segment(self.local_port, self.peer_port, flags, seq)
        if flags & ACK:
            receiver = self.receiver
            segment.wnd = receiver.window(self.sender.mss)
            segment.ack = receiver.rcv_nxt
            if self._ack_reason and self._largest_received >= 0:
                segment.seen = (self._largest_received, now - self._largest_time)
                segment.sack = receiver.held.first(self.sender.max_sack_ranges)
        return segment

    def _emit(self, segment: Segment, reason: str, now: int, *, again: bool = False) -> Segment:
        sender = self.sender
        if segment.flags & ACK:
            self._ack_reason = ""
        segment.packet_number = sender.packet_number
        sender.packet_number += segment.count
        self.datagrams_sent += segment.count
        if self.trace is not None:
            self.trace.sent(now, self.identity, segment, (reason, sender.iss, self.receiver.irs, again))
        return segment

    # -- helpers ---------------------------------------------------------------------------------------------

    def _start_fin(self, now: int) -> None:
        self.sender.finish()
        self._advance(Event.SHUTDOWN, now)

    def _require_ack(self, reason: str) -> None:
        self._ack_reason = reason

    def _challenge(self, reason: str, now: int) -> None:
        """Answer with an acknowledgement, but not without limit: two ends that disagree would do so for ever."""
        if now >= self._challenges_end:
            self._challenges, self._challenges_end = 0, now + CHALLENGE_PERIOD
        self._challenges += 1
        if self._challenges <= MAX_CHALLENGES:
            self._require_ack(reason)

    def _advance(self, event: Event, now: int) -> None:
        before = self.state
        self.state = advance(before, event)
        if self.trace is not None:
            self.trace.add(StateChanged(now, self.identity, before, self.state, event))

    def _finish(self, event: Event, end: End, now: int) -> None:
        self._advance(event, now)
        self.end = end
        if self.trace is not None:
            self.trace.add(Ended(now, self.identity, str(end)))
        self._touch()

    def _touch(self) -> None:
        if self._wake is not None:
            self._wake(self)

    def _note(self, segment: Segment, now: int, outcome: str) -> None:
        if self.trace is not None:
            self.trace.received(now, self.identity, segment, outcome)

    def _timer_fired(self, timer: str, after: int, now: int) -> None:
        if self.trace is not None:
            self.trace.add(TimerFired(now, self.identity, timer, after))

    def _lost_record(self, start: int, end: int, packet_number: int, rule: str, now: int) -> PacketsLost:
        return PacketsLost(now, self.identity, start, end - start, packet_number, rule)

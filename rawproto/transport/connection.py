"""One endpoint of one connection: the protocol engine. No I/O, no clock, no randomness.

Use it in this order, all times in ns and never going back:

    receive(segment, now)             a segment in
    handle_timeout(now)               time in, when `next_timeout()` has come
    open / send / recv / shutdown / close / abort
                                      the application's commands
    poll_transmit(now)                segments out; call it after each of the above
    next_timeout()                    when to call handle_timeout; ask after poll_transmit

Here are the commands, what goes out, and time. What comes in goes through the phases of `arrival`, opening and
closing are in `handshake` and `closing`; the two halves of the stream are `sender` and `receiver`. The state is
changed by `state.advance` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rawproto.errors import ConfigError, ProtocolError
from rawproto.transport import arrival, closing, handshake, timers
from rawproto.transport.acknowledge import Acknowledger
from rawproto.transport.challenge import ChallengeLimit
from rawproto.transport.codec import MAX_PACKET_NUMBER, RdtCodec
from rawproto.transport.config import Config
from rawproto.transport.cookie import Baked
from rawproto.transport.ecn import Ecn
from rawproto.transport.keepalive import KeepAlive
from rawproto.transport.pmtud import PROBE_TIMER
from rawproto.transport.receiver import Receiver
from rawproto.transport.records import MAX_RECORDS
from rawproto.transport.segment import ACK, CWR, EOR, FIN, PSH, RST, SYN, Segment
from rawproto.transport.sender import Sender, Sending
from rawproto.transport.state import RECEIVING, SENDING, SYNCHRONIZED, SYNCHRONIZING, Event, State, advance
from rawproto.transport.statistics import Stats, collect
from rawproto.transport.trace import Ended, StateChanged, TimerFired, Trace

__all__ = ["OPTIONS", "Connection", "End"]

OPTIONS = (
    "nagle", "delayed_ack", "keep_alive", "keep_alive_idle", "keep_alive_interval", "keep_alive_count", "user_timeout",
    "congestion_control",
)  # fmt: skip


class End(Exception):  # noqa: N818 - it is stored, and raised by nobody here
    """Why a connection is over. `cause` is "reset", "timeout", "refused", "aborted" or "closed"."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Connection:
    """A reliable byte stream, or stream of records, in each direction with one peer."""

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
        records: bool = False,
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
        self.records = records
        """The stream has records (SOCK_SEQPACKET)."""
        self.peer_max_record: int | None = None
        """The longest record that the peer takes, in bytes; None before its SYN has come."""
        self.trace = trace
        self.state = State.CLOSED
        self.end: End | None = None
        self.ecn = Ecn(enabled=config.answers_marks)
        self.sender = Sender(config, iss, mss, ecn=self.ecn, identity=identity, trace=trace)
        self.receiver = Receiver(config)
        self.receiver.whole_records = records
        self.acks = Acknowledger(config)
        self.challenges = ChallengeLimit()
        self.cookie = handshake.CookieEcho()
        self.keep_alive = KeepAlive(
            config.keep_alive, config.keep_alive_idle, config.keep_alive_interval, config.keep_alive_count
        )
        self.segments_received = 0
        self.datagrams_sent = 0
        self.datagrams_received = 0
        self.octets_sent = 0
        self.reset: Segment | None = None
        """A reset that waits to be sent."""
        self.deadline: int | None = None
        """When TIME-WAIT ends, or FIN-WAIT-2 of a connection that no application holds any more."""
        self.closed_by_application = False
        """Nobody reads any more: data that still comes is refused."""
        self.largest_received = -1
        self.largest_time = 0
        self.polls = 0
        """How often it was asked what it has to send: it is after all that may have changed anything of it."""
        self.said_all = False
        """What `poll_transmit` gave last only acknowledges, and is all: the next call would give None."""
        self._wake = wake
        self._shutdown_asked = False
        self._opened_ns = 0
        self._probe_due = False  # a question whether the peer is there
        self._probed = 0  # the size of a path probe that came and is to be answered

    # -- commands --------------------------------------------------------------------------------------------

    def open(self, now: int) -> None:
        """Begin the handshake."""
        self._opened_ns = now
        self.advance(Event.OPEN, now)
        self._touch()

    def accept_syn(self, segment: Segment, now: int) -> None:
        """Begin as the answer to a SYN that came to a listener."""
        self._opened_ns = now
        self._count(segment)
        handshake.take_syn(self, segment, now)
        self.advance(Event.ACCEPT_SYN, now)
        if self.trace is not None:
            self.trace.received(now, self.identity, segment, "SYN to a listener: answered (RFC 9293 §3.10.7.2)")
        if not self.config.handshake:
            self.advance(Event.SYN_ACKED, now)  # two ways instead of three: our word is enough
        self._touch()

    def accept_cookie(self, baked: Baked, now: int) -> None:
        """Begin as the answer to a SYN of which nothing was kept but what `baked` says; its answer has been sent."""
        self._opened_ns = now
        handshake.take_cookie(self, baked, now)
        self.advance(Event.ACCEPT_SYN, now)
        self._touch()

    def send(self, data: bytes | bytearray | memoryview, now: int) -> int:
        """Take `data` into the send buffer, as far as it has room; give how many bytes were taken.

        Of a stream of records it is one record, taken whole or not at all. Raises ProtocolError after a shutdown and
        for a record that is too long or empty, End once the connection is over.
        """
        if self.end is not None:
            raise self.end.with_traceback(None)
        if self._shutdown_asked:
            raise ProtocolError("this side has been shut down for sending")
        sender = self.sender
        if self.records:
            self._check_record(len(data))
            known = self.peer_max_record is not None  # before that nobody can tell whether it is too long
            room = len(data) <= sender.space() and len(sender.records) < MAX_RECORDS
            taken = len(data) if known and room else 0
        else:
            taken = min(len(data), sender.space())
        if taken:
            sender.buffer.append(bytes(data if taken == len(data) else memoryview(data)[:taken]))
            if self.records:
                sender.records.add(sender.buffer.end)
            self._touch()
        return taken

    def _check_record(self, length: int) -> None:
        limit = min(self.config.max_record, self.config.send_buffer)
        if self.peer_max_record is not None:
            limit = min(self.peer_max_record, self.config.send_buffer)
        if length > limit:
            raise ProtocolError(f"a record of {length} bytes is too long: this connection takes {limit} at most")
        if not length:
            raise ProtocolError("a record has at least one byte")

    def recv(self, limit: int, now: int) -> bytes:
        """Give up to `limit` bytes in order; b"" when there are none (yet, or because of the end)."""
        data = self.receiver.read(limit)
        self._after_reading(len(data))
        return data

    def recv_record(self, limit: int, now: int) -> tuple[bytes, int]:
        """Give the next record, cut to `limit` bytes, and its full length; (b"", -1) when none is complete."""
        data, length = self.receiver.read_record(limit)
        self._after_reading(length)
        return data, length

    def _after_reading(self, length: int) -> None:
        if length > 0 and self.state in RECEIVING and self.receiver.update_due(self.mss):
            self.acks.at_once(self.acks.reason or "window update")
            self._touch()

    def shutdown(self, now: int) -> None:
        """Send no more: a FIN follows what was handed over (RFC 9293 §3.10.4). Receiving goes on."""
        if self._shutdown_asked or self.end is not None:
            return
        self._shutdown_asked = True
        if self.state in SENDING:
            closing.start_fin(self, now)
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
        self.closed_by_application = self.sender.orphaned = True
        self.shutdown(now)
        if self.state is State.FIN_WAIT_2:
            self.deadline = now + self.config.user_timeout
            self._touch()

    def abort(self, now: int) -> None:
        """End at once, with a reset if the peer knows of us (RFC 9293 §3.10.5)."""
        if self.end is not None:
            return
        if self.state not in (State.SYN_SENT, State.TIME_WAIT):
            self.reset = self.segment(RST | ACK, self.sender.snd_nxt, now)
        self.finish(Event.ABORT, "aborted", "the connection was aborted by this side", now)

    def set_option(self, name: str, value: bool | int | str, now: int) -> None:
        """Change one setting of this connection: "nagle", "delayed_ack" or "keep_alive" (RFC 9293, MUST-17, MUST-24).

        Others are "keep_alive_idle", "keep_alive_interval", "keep_alive_count", "user_timeout" (MUST-21) and
        "congestion_control", which begins anew. Raises ConfigError for another name and for a value that can't be.
        """
        if name not in OPTIONS:
            raise ConfigError(f"{name!r} can't be changed while a connection lives; these can: {', '.join(OPTIONS)}")
        changes: dict[str, Any] = {name: value}
        config = replace(self.config, **changes)
        self.config = self.sender.config = self.acks.config = config
        self.sender.nagle.enabled = config.nagle
        if name == "congestion_control":
            self.sender.restart_congestion()
        self.keep_alive = KeepAlive(
            config.keep_alive, config.keep_alive_idle, config.keep_alive_interval, config.keep_alive_count
        )
        self.keep_alive.on_heard(now)
        self._touch()

    # -- what the application may ask ------------------------------------------------------------------------

    @property
    def max_record(self) -> int:
        """The longest record that this side takes, in bytes."""
        return min(self.config.max_record, self.config.receive_buffer)

    @property
    def mss(self) -> int:
        """The most payload in one datagram to the peer, in bytes."""
        return self.sender.mss

    @property
    def established(self) -> bool:
        """The handshake is done, and the connection is not over."""
        return self.state in SYNCHRONIZED

    @property
    def readable(self) -> bool:
        """`recv` has something to say: data, the end of the stream, or the end of the connection."""
        return self.readable_data or self.receiver.at_end or self.end is not None

    @property
    def readable_data(self) -> bool:
        """`recv` would give data."""
        return self.receiver.record_ready is not None if self.records else self.receiver.ready > 0

    @property
    def shut_down(self) -> bool:
        """The application has said that it sends no more."""
        return self._shutdown_asked

    @property
    def writable(self) -> bool:
        """`send` would take something, or raise."""
        return self.end is not None or (self.state in SENDING and self.sender.space() > 0)

    @property
    def drained(self) -> bool:
        """All that was handed over, a FIN included, is acknowledged, or the connection is over."""
        return self.end is not None or not (self.sender.unsent or self.sender.scoreboard)

    def stats(self, now: int) -> Stats:
        """What `ss -ti` would show of it."""
        return collect(self, now)

    # -- segments in -----------------------------------------------------------------------------------------

    def receive(self, segment: Segment, now: int) -> None:
        """Process one segment, which the codec has found valid."""
        self._count(segment)
        self.keep_alive.on_heard(now)
        if self.state is State.SYN_SENT:
            outcome = handshake.receive_in_syn_sent(self, segment, now)
        elif self.end is not None:
            outcome = "discarded: the connection is over (RFC 9293 §3.10.7.1)"
        else:
            outcome = arrival.process(self, segment, now)
        if self.trace is not None:
            self.trace.received(now, self.identity, segment, outcome)
        self._touch()

    def _count(self, segment: Segment) -> None:
        self.segments_received += 1
        self.datagrams_received += segment.count

    def note_arrival(self, segment: Segment, now: int) -> None:
        """Take in what may well be the peer's: its packet number, marks, and what it asks to be echoed."""
        last = segment.packet_number + segment.count - 1
        if last > self.largest_received:
            self.largest_received = last
            self.largest_time = now
        self.ecn.on_segment(segment.flags, marked=segment.marked)
        if segment.marked and self.ecn.active:
            self.acks.at_once("ACK of a congestion mark")
        if segment.probe:
            self._probed = segment.probe
            self.acks.at_once("answer to a path probe")
        if segment.probed and self.sender.path.on_probe_acked(segment.probed, now):
            self.sender.take_path("a probe of this size arrived", now)

    def on_established(self, now: int) -> None:
        """The handshake is done."""
        if self._shutdown_asked:
            closing.start_fin(self, now)

    # -- time ------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, in ns; None for never."""
        if self.end is not None:
            return None
        return timers.next_timeout(
            self.sender,
            self.acks.deadline,
            self.deadline,
            self._give_up_at(),
            self.cookie.deadline,
            self._idle_deadline() if self.keep_alive.enabled else None,
        )

    def _idle_deadline(self) -> int | None:
        return self.keep_alive.next_timeout(owed=self._busy)

    @property
    def _busy(self) -> bool:
        """Something is outstanding or never was established: other timers watch over the peer."""
        return self.sender.silent_since() is not None or not self.established or self.state is State.TIME_WAIT

    def _give_up_at(self) -> int | None:
        opening = self._opened_ns + self.config.connect_timeout
        if self.state in SYNCHRONIZING:
            return opening
        since = self.sender.silent_since()
        if since is None:
            return opening if self.cookie.data else None  # the listener may have nothing yet of our word
        return since + self.config.user_timeout

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`."""
        if self.end is not None:
            return
        if self.deadline is not None and now >= self.deadline:
            closing.on_deadline(self, now)
            return
        give_up = self._give_up_at()
        if give_up is not None and now >= give_up:
            self._give_up(now)
            return
        if self.acks.deadline is not None and now >= self.acks.deadline:
            self._fired("delayed ACK", self.config.ack_delay, now)
            self.acks.handle_timeout(now)
        if self.cookie.handle_timeout(now):
            self._fired("cookie", 0, now)
            self.acks.at_once("cookie once more")
        self._handle_idle(now)
        timers.handle_timeout(self.sender, now)
        self._touch()

    def _handle_idle(self, now: int) -> None:
        due = self._idle_deadline()
        if due is None or now < due:
            return
        self._fired("keep-alive", 0, now)
        verdict = self.keep_alive.handle_timeout(now, owed=self._busy)
        if verdict == "dead":
            self._give_up(now)
        elif verdict == "probe":
            self._probe_due = True

    def _give_up(self, now: int) -> None:
        synchronizing = self.state in SYNCHRONIZING
        quiet = self.sender.silent_since() is None
        if synchronizing or (quiet and self.cookie.data):
            text = f"the peer did not answer for {self.config.connect_timeout / 1e9:g} s"
        elif quiet:
            text = f"the idle peer answered none of {self.config.keep_alive_count} keep-alive probes"
        else:
            text = f"the peer acknowledged nothing for {self.config.user_timeout / 1e9:g} s"
        if not synchronizing:
            self.reset = self.segment(RST | ACK, self.sender.snd_nxt, now)
        self.finish(Event.GIVE_UP, "timeout", text, now)

    # -- segments out ----------------------------------------------------------------------------------------

    def poll_transmit(self, now: int) -> Segment | None:
        """Give the next segment to send now, None when there is none: call it until then.

        `count` and `packet_number` are set for the MSS of `mss`; encode it before the next call.
        """
        self.said_all = False
        if self.reset is not None:
            segment, self.reset = self.reset, None
            return self._emit(segment, "reset", now)
        if self.end is not None:
            return None
        if self.sender.packet_number + self.config.segment_size > MAX_PACKET_NUMBER:
            self._exhaust(now)
            return self.poll_transmit(now)
        sending = self._next_sending(now)
        if sending is not None:
            return self._emit_range(sending, now) or self._emit_ack(now)
        probe = self._poll_probe(now)
        if probe is not None or not self.acks.reason:
            return probe
        self.said_all = True
        return self._emit_ack(now)

    def _poll_probe(self, now: int) -> Segment | None:
        """A segment without octets that the peer must answer, if one is due: for its window, its life, or the path."""
        sender = self.sender
        if not self.established:
            return None
        if sender.take_probe(now):
            # An octet that was acknowledged long ago: outside the window, so the peer must answer.
            return self._emit(self.segment(ACK, sender.snd_una - 1, now), "window probe", now)
        if self._probe_due:
            self._probe_due = False
            return self._emit(self.segment(ACK, sender.snd_una - 1, now), "keep-alive probe", now)
        size = sender.path.probe_due()
        if size and (self.state in SENDING or sender.unsent):
            segment = self.segment(ACK, sender.snd_nxt, now)
            segment.probe = size
            sender.path.on_probe_sent(size, now, max(sender.rtt.rto, PROBE_TIMER))
            return self._emit(segment, f"path probe of {size} bytes", now)
        return None

    def _exhaust(self, now: int) -> None:
        """docs/rdt.md [3.2-7]: rather end the connection than use a packet number that there is not."""
        self.reset = self.segment(RST | ACK, self.sender.snd_nxt, now)
        self.finish(Event.ABORT, "aborted", "all packet numbers of the connection have been used", now)

    def _emit_ack(self, now: int) -> Segment:
        return self._emit(self.segment(ACK, self.sender.snd_nxt, now), self.acks.reason, now)

    def _next_sending(self, now: int) -> Sending | None:
        if self.state not in SYNCHRONIZING:
            return None if self.state is State.TIME_WAIT else self.sender.next_sending(now)
        if self.sender.snd_nxt == self.sender.iss:
            return Sending(self.sender.iss, self.sender.iss + 1, "handshake")
        return self.sender.next_sending(now) if self.sender.scoreboard.lost else None

    def _emit_range(self, sending: Sending, now: int) -> Segment | None:
        """The segment for `sending`; None if an acknowledgement that is due would take a datagram more with it."""
        sender = self.sender
        if sending.start == sender.iss:
            segment, first_length, options = handshake.syn(self, now), 1, 0
            segment.count = self.codec.count(segment, sender.mss)
        else:
            segment = self.segment(ACK, sending.start, now)
            self._fill(segment, sending)
            options = self.codec.options_length(segment)
            if self.acks.reason and segment.payload and -len(segment.payload) % sender.mss < options:
                return None  # it goes ahead by itself: as many datagrams, and none of them cut short
            first_length = min(len(segment.payload), sender.mss - options)
            segment.count = self.codec.count(segment, sender.mss, options)
        segment.packet_number = sender.packet_number
        if sending.chunk is None and segment.payload:
            segment.flags |= self.ecn.flags(new_data=True) & CWR
            segment.ect = self.ecn.active
            self.octets_sent += len(segment.payload)
        sender.sent(sending, segment, first_length, options, now)
        self._emit(segment, sending.reason, now, again=sending.chunk is not None)
        if sender.fin is not None and sender.snd_una > sender.fin:
            closing.on_fin_acked(self, now)  # without acknowledgements nothing else tells
        return segment

    def _fill(self, segment: Segment, sending: Sending) -> None:
        """Put the payload of `sending` into `segment`, and the flags that belong to its last octet."""
        sender = self.sender
        data_end = sending.end
        if sender.fin is not None and data_end > sender.fin:
            segment.flags |= FIN
            data_end = sender.fin
        if data_end > sending.start:
            segment.payload = sender.buffer.read(sending.start, data_end)
            if data_end == sender.buffer.end:
                segment.flags |= PSH
            if self.records and sender.records.ends_at(data_end):
                segment.flags |= EOR

    def segment(self, flags: int, seq: int, now: int) -> Segment:
        """A segment that says all there is to say of the other direction."""
        segment = Segment(self.local_port, self.peer_port, flags, seq)
        if flags & ACK:
            receiver = self.receiver
            segment.wnd = receiver.window(self.sender.mss)
            segment.ack = receiver.rcv_nxt
            segment.cookie = self.cookie.data
            if not flags & SYN:
                segment.flags |= self.ecn.flags(new_data=False)
            if self.acks.owed and self.largest_received >= 0:
                self._report(segment, now)
        return segment

    def _report(self, segment: Segment, now: int) -> None:
        """Add what an acknowledgement tells beyond its number."""
        segment.seen = (self.largest_received, now - self.largest_time)
        if self.cookie.data:
            return  # there may be no room for more
        if self.config.sack:
            segment.sack = self.receiver.held.first(self.sender.max_sack_ranges)
            segment.dsack = self.receiver.duplicate
        segment.probed = self._probed

    def _emit(self, segment: Segment, reason: str, now: int, *, again: bool = False) -> Segment:
        sender = self.sender
        if segment.flags & ACK:
            if segment.seen is not None:
                self.receiver.duplicate = None
                self._probed = 0
            self.acks.sent()
        segment.packet_number = sender.packet_number
        sender.packet_number += segment.count
        self.datagrams_sent += segment.count
        if self.trace is not None:
            self.trace.sent(now, self.identity, segment, (reason, sender.iss, self.receiver.irs, again))
        return segment

    # -- helpers ---------------------------------------------------------------------------------------------

    def challenge(self, reason: str, now: int) -> None:
        """Answer with an acknowledgement, but not without limit: two ends that disagree would do so for ever."""
        if self.challenges.allow(now):
            self.acks.at_once(reason)

    def advance(self, event: Event, now: int) -> None:
        """Go to the state that follows by the table."""
        before = self.state
        self.state = advance(before, event)
        if self.trace is not None:
            self.trace.add(StateChanged(now, self.identity, before, self.state, event))

    def finish(self, event: Event, cause: str, text: str, now: int) -> None:
        """The connection is over."""
        self.advance(event, now)
        self.end = End(cause, text)
        if self.trace is not None:
            self.trace.add(Ended(now, self.identity, text))
        self._touch()

    def _touch(self) -> None:
        if self._wake is not None:
            self._wake(self)

    def _fired(self, timer: str, after: int, now: int) -> None:
        if self.trace is not None:
            self.trace.add(TimerFired(now, self.identity, timer, after))

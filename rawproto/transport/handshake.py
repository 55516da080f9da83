"""Opening a connection: SYN, SYN with ACK, ACK (RFC 9293 §3.5), both at once, and the cookie of a stateless listener.

With cookies a listener keeps nothing of a SYN: what it would have to remember goes out in its answer, sealed, and comes
back with the client's acknowledgement (docs/rdt.md §5.10). Until the client knows that this arrived it sends the
cookie along with everything, and by itself when it has nothing else to send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawproto.transport.feedback import take_ack, take_window
from rawproto.transport.segment import ACK, MIN_MSS, RST, SYN, Segment
from rawproto.transport.state import Event, State

if TYPE_CHECKING:
    from rawproto.transport.connection import Connection
    from rawproto.transport.cookie import Baked

__all__ = ["CookieEcho", "receive_in_syn_sent", "syn", "take_cookie", "take_syn"]

MAX_COOKIE = 44
"""docs/rdt.md §5.10: longer ones would not fit beside SEEN with the smallest MSS."""


MOST_TIMEOUTS = 64
"""A cookie is sent again after one timeout, two, four, and so on up to so many."""


class CookieEcho:
    """The cookie that a listener gave us, until it has shown that it got it back."""

    __slots__ = ("_interval", "_most", "data", "deadline")

    def __init__(self) -> None:
        self.data = b""
        self.deadline: int | None = None
        """When to send it once more, if nothing was heard."""
        self._interval = self._most = 0

    def hold(self, data: bytes, now: int, rto: int) -> None:
        """A cookie came: give it back with all that is sent from now on; first alone after `rto`.

        That is the initial one if a round trip took longer: the cookie does not live long enough for a slow start.
        """
        self.data = data
        self._interval, self._most = rto, MOST_TIMEOUTS * rto
        self.deadline = now + rto

    def proved(self) -> None:
        """The listener has made a connection of it."""
        if self.data:
            self.data = b""
            self.deadline = None

    def handle_timeout(self, now: int) -> bool:
        """Tell whether it is to be sent once more."""
        if self.deadline is None or now < self.deadline:
            return False
        self._interval = min(2 * self._interval, self._most)
        self.deadline = now + self._interval
        return True


def syn(connection: Connection, now: int) -> Segment:
    """Our SYN, with an acknowledgement if the peer's has come."""
    flags = SYN if connection.state is State.SYN_SENT else SYN | ACK
    segment = connection.segment(flags, connection.sender.iss, now)
    segment.flags |= connection.ecn.offer(flags)
    segment.mss = connection.mss_limit
    if connection.records:
        segment.record = connection.max_record
    return segment


def receive_in_syn_sent(connection: Connection, segment: Segment, now: int) -> str:
    """RFC 9293 §3.10.7.3."""
    unfit = _unfit(connection, segment, now)
    if unfit:
        return unfit
    sender = connection.sender
    take_syn(connection, segment, now)
    if not segment.flags & ACK:
        connection.advance(Event.SYN, now)
        sender.resend_all("handshake: simultaneous open")  # our SYN, now with an acknowledgement
        return "simultaneous open (RFC 9293 §3.10.7.3, fourth)"
    connection.advance(Event.SYN_ACK, now)
    take_ack(sender, segment, now)
    take_window(sender, segment, now)
    if 0 < len(segment.cookie) <= MAX_COOKIE:
        connection.cookie.hold(segment.cookie, now, min(sender.rtt.rto, connection.config.initial_rto))
        # In each datagram: one that overtakes those before it must not come to a listener that knows nothing of us.
        sender.reserved = len(segment.cookie) + 5 & ~3
    connection.acks.at_once("ACK of SYN")
    connection.on_established(now)
    return "handshake complete (RFC 9293 §3.10.7.3, fourth)"


def _unfit(connection: Connection, segment: Segment, now: int) -> str:
    """Why a segment does not answer our SYN; "" if it does."""
    flags, sender = segment.flags, connection.sender
    if flags & ACK and not sender.iss < segment.ack <= sender.snd_nxt:
        if not flags & RST:
            connection.reset = Segment(connection.local_port, connection.peer_port, RST, segment.ack)
        return "discarded: acknowledges what was not sent (RFC 9293 §3.10.7.3, first)"
    if flags & RST:
        if not flags & ACK:
            return "discarded: reset without acknowledgement (RFC 9293 §3.10.7.3, second)"
        text = "the peer refused the connection: nobody listens there, or not to this kind of stream"
        connection.finish(Event.RESET, "refused", text, now)
        return "reset: connection refused (RFC 9293 §3.10.7.3, second)"
    if flags & SYN and connection.records is not (segment.record is not None):
        if flags & ACK:
            connection.reset = Segment(connection.local_port, connection.peer_port, RST, segment.ack)
        connection.finish(Event.RESET, "refused", "the peer has the other kind of stream there", now)
        return "refused: one side has records, the other has not (docs/rdt.md §5.3)"
    return "" if flags & SYN else "discarded: no SYN (RFC 9293 §3.10.7.3, fifth)"


def take_syn(connection: Connection, segment: Segment, now: int) -> None:
    """Take from the peer's SYN where its stream begins, and what it can do."""
    connection.receiver.start(segment.seq)
    connection.ecn.on_syn(segment.flags)
    connection.note_arrival(segment, now)
    connection.acks.at_once("handshake")  # so that our SYN says what it answers, and gives a round-trip time
    connection.peer_max_record = segment.record
    peer_mss = connection.mss_limit if segment.mss is None else segment.mss
    connection.sender.set_mss(max(MIN_MSS, min(connection.mss_limit, peer_mss)))


def take_cookie(connection: Connection, baked: Baked, now: int) -> None:
    """Take from a cookie what was said in SYN and in our answer to it."""
    receiver, sender = connection.receiver, connection.sender
    receiver.start(baked.irs)
    receiver.rcv_adv = receiver.rcv_nxt + connection.config.receive_buffer
    connection.ecn.active = baked.ecn
    connection.peer_max_record = baked.record
    sender.set_mss(max(MIN_MSS, min(connection.mss_limit, baked.mss)))
    sender.assume_syn(now)
    connection.acks.on_data(1, now)  # so that the client learns that its cookie was taken

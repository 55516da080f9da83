"""What is done with a segment that arrives on a connection: the phases of RFC 9293 §3.10.7.4, in its order.

Each phase gives "" to pass the segment on to the next one, or what became of it and by which rule: that is what the
trace tells. A segment in SYN-SENT does not come here (`handshake`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawproto.transport import closing
from rawproto.transport.feedback import take_ack, take_window
from rawproto.transport.records import MAX_RECORDS
from rawproto.transport.segment import ACK, EOR, FIN, RST, SYN, Segment
from rawproto.transport.state import RECEIVING, Event, State

if TYPE_CHECKING:
    from rawproto.transport.connection import Connection
    from rawproto.transport.receiver import Receiver

__all__ = ["PHASES", "process"]


def process(connection: Connection, segment: Segment, now: int) -> str:
    """Take `segment` through the phases; give what became of it."""
    outcome = ""
    for phase in PHASES:
        outcome = phase(connection, segment, now)
        if outcome:
            break
    return outcome


def check_sequence(connection: Connection, segment: Segment, now: int) -> str:
    """First: is any of it inside the window?"""
    receiver = connection.receiver
    seq, end = segment.seq, segment.end
    edge = receiver.rcv_adv + (receiver.fin is not None)
    if receiver.rcv_nxt <= seq <= edge or receiver.irs <= seq < receiver.rcv_nxt < end:
        connection.note_arrival(segment, now)
        return ""
    if segment.flags & RST:
        return "discarded: reset outside the window (RFC 9293 §3.10.7.4, first)"
    if connection.state is State.TIME_WAIT and segment.flags & FIN and end == receiver.rcv_nxt:
        closing.wait(connection, now)
    if connection.state is State.SYN_RECEIVED and segment.flags & (SYN | ACK) == SYN and seq == receiver.irs:
        connection.sender.resend_all("handshake: the peer has not seen our SYN")
        return "repeated SYN: answered once more (docs/rdt.md §6.3, phase 1)"
    return _outside(connection, segment, now)


def _outside(connection: Connection, segment: Segment, now: int) -> str:
    """'If an incoming segment is not acceptable, an acknowledgment should be sent in reply.'"""
    receiver = connection.receiver
    if segment.end > segment.seq:
        if connection.config.acknowledgement or segment.flags & SYN:
            connection.acks.at_once("ACK of a segment outside the window")
    else:
        connection.challenge("ACK of a segment outside the window", now)
    if not receiver.irs <= segment.seq <= receiver.rcv_adv + 1:
        return "outside the window: acknowledged (RFC 9293 §3.10.7.4, first)"
    if segment.end <= receiver.rcv_nxt:
        receiver.accept_old(segment.seq, segment.payload)
    connection.note_arrival(segment, now)
    if segment.flags & ACK and connection.state is not State.SYN_RECEIVED and _acceptable(connection, segment.ack):
        # Its octets are old, what it says of ours is not: a reordered or repeated segment still acknowledges.
        closed = _take_ack(connection, segment, now)
        if closed:
            return closed
    return "duplicate or outside the window: acknowledged (RFC 9293 §3.10.7.4, first)"


def check_reset(connection: Connection, segment: Segment, now: int) -> str:
    """Second, with RFC 5961 §3: only an exact sequence number resets."""
    if not segment.flags & RST:
        return ""
    if connection.state is State.TIME_WAIT and connection.config.time_wait:
        return "discarded: reset in TIME-WAIT (RFC 1337 §3, (F1))"
    if segment.seq != connection.receiver.rcv_nxt and connection.config.challenge_ack:
        connection.challenge("challenge ACK", now)
        return "challenged: reset with an inexact sequence number (RFC 5961 §3.2)"
    if connection.state is State.SYN_RECEIVED:
        connection.finish(Event.RESET, "refused", "the peer refused the connection", now)
    else:
        connection.finish(Event.RESET, "reset", "the peer reset the connection", now)
    return "reset (RFC 9293 §3.10.7.4, second)"


def check_syn(connection: Connection, segment: Segment, now: int) -> str:
    """Fourth, with RFC 5961 §4: a SYN inside the window is challenged."""
    if not segment.flags & SYN:
        return ""
    if not connection.config.challenge_ack:
        closing.refuse(connection, "reset", "the peer began a new connection", now)
        return "reset: SYN on an open connection (RFC 793 p. 71)"
    connection.challenge("challenge ACK", now)
    return "challenged: SYN on an open connection (RFC 5961 §4.2)"


def process_ack(connection: Connection, segment: Segment, now: int) -> str:
    """Fifth, with RFC 5961 §5."""
    sender = connection.sender
    if not segment.flags & ACK:
        return "discarded: no acknowledgement (RFC 9293 §3.10.7.4, fifth)"
    if connection.state is State.SYN_RECEIVED:
        if not sender.iss < segment.ack <= sender.snd_nxt:
            connection.reset = Segment(connection.local_port, connection.peer_port, RST, segment.ack)
            return "refused: does not acknowledge our SYN (RFC 9293 §3.10.7.4, fifth)"
        connection.advance(Event.SYN_ACKED, now)
        connection.on_established(now)
    elif not _acceptable(connection, segment.ack):
        connection.challenge("challenge ACK", now)
        return "challenged: acknowledges what was not sent, or is far too old (RFC 5961 §5.2)"
    elif segment.cookie and not segment.payload:
        connection.acks.at_once("ACK of a cookie")  # else an idle client would never learn that it has done its work
    connection.cookie.proved()
    sender.reserved = 0
    return _take_ack(connection, segment, now)


def _acceptable(connection: Connection, ack: int) -> bool:
    """RFC 5961 §5.2: '((SND.UNA - MAX.SND.WND) <= SEG.ACK <= SND.NXT)'."""
    sender = connection.sender
    if not connection.config.challenge_ack:
        return ack <= sender.snd_nxt
    return sender.snd_una - sender.window.largest <= ack <= sender.snd_nxt


def _take_ack(connection: Connection, segment: Segment, now: int) -> str:
    """Pass an acknowledgement to the sending half; says so if it was the last one that was waited for."""
    sender = connection.sender
    take_ack(sender, segment, now)
    take_window(sender, segment, now)
    if sender.fin is not None and sender.snd_una > sender.fin:
        return closing.on_fin_acked(connection, now)
    return ""


def process_payload(connection: Connection, segment: Segment, now: int) -> str:
    """Seventh."""
    payload = segment.payload
    if not payload:
        return "" if segment.flags & FIN else "acknowledgement (RFC 9293 §3.10.7.4, fifth)"
    receiver = connection.receiver
    end = segment.seq + len(payload)
    unwelcome = _unwelcome(connection, segment, end, now)
    if unwelcome:
        return unwelcome
    known = receiver.rcv_nxt
    outcome = receiver.accept(segment.seq, payload)
    if connection.records:
        if segment.flags & EOR and outcome != "too many ranges":
            receiver.end_record(end)
        if _longest_record(receiver, known) > connection.max_record:
            closing.refuse(connection, "reset", "the peer sent a record that is too long", now)
            return "refused: a record longer than was agreed (docs/rdt.md §7.8)"
    if connection.config.acknowledgement:
        _acknowledge(connection, segment, outcome, now)
    if segment.flags & FIN or receiver.fin == receiver.rcv_nxt:
        return ""
    return f"data {outcome} (RFC 9293 §3.10.7.4, seventh)"


def _unwelcome(connection: Connection, segment: Segment, end: int, now: int) -> str:
    """Why payload up to `end` is not looked at; "" if it is."""
    receiver = connection.receiver
    if connection.state not in RECEIVING:
        return "discarded: data after the peer's FIN (RFC 9293 §3.10.7.4, seventh)"
    if connection.closed_by_application and end > receiver.rcv_nxt:
        closing.refuse(connection, "reset", "data came after this side had closed", now)
        return "refused: the application has closed (RFC 2525 §2.17)"
    if segment.flags & EOR and len(receiver.records) >= MAX_RECORDS and end > receiver.rcv_nxt:
        receiver.refused_octets += len(segment.payload)
        connection.acks.at_once("ACK: too many records wait")
        return "discarded: too many records wait for the application (docs/rdt.md §7.8)"
    return ""


def _longest_record(receiver: Receiver, known: int) -> int:
    """How long the longest record is that has grown in order since RCV.NXT was `known`, complete or not."""
    ends = receiver.records
    start = max(ends.before(known), receiver.read_from)
    longest = 0
    while (end := ends.after(start)) is not None and end <= receiver.rcv_nxt:
        longest = max(longest, end - start)
        start = end
    return max(longest, receiver.rcv_nxt - start)


def _acknowledge(connection: Connection, segment: Segment, outcome: str, now: int) -> None:
    """RFC 5681 §4.2: out of order, and filling a gap, is acknowledged at once."""
    receiver = connection.receiver
    if outcome == "in order" and not receiver.duplicate and not receiver.held:
        connection.acks.on_data(segment.count, now)
    else:
        connection.acks.at_once(f"ACK of data {outcome}")


def process_fin(connection: Connection, segment: Segment, now: int) -> str:
    """Eighth."""
    receiver, acks = connection.receiver, connection.acks
    if receiver.at_end:
        if connection.config.acknowledgement:
            acks.at_once("ACK of a repeated FIN")
        return "FIN once more: acknowledged (RFC 9293 §3.10.7.4, eighth)"
    complete = receiver.accept_fin(segment.end - 1 if receiver.fin is None else receiver.fin)
    if connection.config.acknowledgement:
        acks.at_once("ACK of FIN" if complete else "ACK of an early FIN")
    if receiver.fin is None:
        return "discarded: FIN beyond the window or before data that came (docs/rdt.md §6.3, phase 6)"
    if not complete:
        return "FIN ahead of a gap: noted (RFC 9293 §3.10.7.4, eighth)"
    connection.advance(Event.FIN, now)
    if connection.state is State.TIME_WAIT:
        closing.wait(connection, now)
    return "FIN: the peer has no more to send (RFC 9293 §3.10.7.4, eighth)"


PHASES = (check_sequence, check_reset, check_syn, process_ack, process_payload, process_fin)
"""In the order of the RFC; 'third' (security) and 'sixth' (urgent data) have nothing to do in RDT."""

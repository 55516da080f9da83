"""What the peer says, for the sending half: acknowledgements, and what they show to be lost.

`take_ack` is the order of it: what has arrived (RFC 9293 §3.10.7.4, RFC 2018), what that measures (RFC 6298), what it
proves about earlier mistakes (RFC 3522, RFC 2883), what is lost (RFC 8985), and what follows for the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawproto.errors import ConfigError
from rawproto.transport.congestion.base import AckSample
from rawproto.transport.recovery import Phase
from rawproto.transport.scoreboard import Delivery, Lost
from rawproto.transport.segment import ECE, MIN_MSS, Segment
from rawproto.transport.trace import PacketsLost
from rawproto.wire.rdt_format import HEADER_LENGTH

if TYPE_CHECKING:
    from rawproto.transport.sender import Sender

__all__ = ["find_losses", "take_ack", "take_window"]

MAX_CHUNKS = 1 << 14
"""In more pieces than this no selective acknowledgement cuts what is outstanding: a peer could ask for any number."""
LEAST_RANGES = MIN_MSS // 16
"""So many ranges are listed in any case; with as many as that the list may have been cut (docs/rdt.md §7.3)."""
_EVERYTHING = 1 << 62


def take_ack(sender: Sender, segment: Segment, now: int) -> None:
    """Take in an acceptable acknowledgement (RFC 9293 §3.10.7.4, fifth), with its ranges (RFC 2018)."""
    rtt = _take_seen(sender, segment, now)
    if sender.snd_una == sender.snd_nxt and not rtt and segment.dsack is None and not segment.flags & ECE:
        return  # nothing is outstanding that it could be news of
    board = sender.scoreboard
    prior_in_flight = board.in_flight
    delivery, advanced = _take_ranges(sender, segment, now)
    sender.rack.on_delivery(delivery, max(segment.ack, segment.sack[-1][1] if segment.sack else 0))
    _take_evidence(sender, segment, delivery)
    while sender.bursts and sender.bursts[0].end <= sender.snd_una:
        sender.bursts.popleft()
    lost = find_losses(sender, now, prior_in_flight)
    if segment.flags & ECE and sender.ecn.must_reduce(segment.flags, sender.snd_una, sender.snd_nxt):
        _begin(sender, Phase.REDUCING, prior_in_flight, now, "an ECN mark came back", marked=True)
    if sender.tail.on_ack(sender.snd_una, sender.rack.largest_seen, duplicate=segment.dsack is not None):
        _begin(sender, Phase.REDUCING, prior_in_flight, now, "a tail loss probe repaired a loss")
    recovering = sender.recovery.fast
    if sender.recovery.on_ack(
        sender.congestion, sender.snd_una, delivery.octets, board.in_flight, now, safe=advanced and not lost
    ):
        sender.rack.on_recovered()
        sender.note_recovery(now, "all that was sent before it is acknowledged")
    if delivery.octets or lost:
        _tell_congestion(sender, delivery, prior_in_flight, rtt, recovering, now)
    if delivery.octets:
        sender.silence_since = now if sender.snd_una < sender.snd_nxt else None
        sender.expired = False
        sender.rtt.backoffs = 0
        sender.restart_timers(now)
    if rtt and sender.trace is not None:
        sender.note_sample(now)


def _take_seen(sender: Sender, segment: Segment, now: int) -> int:
    """Take in the largest packet number that the peer has seen; give the round trip that it measures, or 0."""
    if segment.seen is None:
        return 0
    number, ack_delay = segment.seen
    rack = sender.rack
    if number > rack.largest_seen and number < sender.packet_number:
        rtt = _sample(sender, number, ack_delay, now)
    elif number == rack.largest_seen:
        rtt = 0
    else:
        return 0
    # The newest report. A list as long as it can be may have been cut: nothing beyond it is judged by it.
    cut = len(segment.sack) >= LEAST_RANGES
    sender.judged_below = segment.sack[-1][1] if cut else sender.snd_nxt
    return rtt


def _sample(sender: Sender, number: int, ack_delay: int, now: int) -> int:
    sender.rack.largest_seen = number
    bursts = sender.bursts
    while bursts and bursts[0].packet_number + bursts[0].count <= number:
        bursts.popleft()
    if not bursts or bursts[0].packet_number > number:
        return 0
    sender.path.on_full_sized_acked(bursts[0].size_of(number) + HEADER_LENGTH, number, now)
    rtt = max(1, now - bursts[0].time_ns)
    sender.rtt.sample(rtt, ack_delay)
    sender.rack.rtt = rtt
    return rtt


def _take_ranges(sender: Sender, segment: Segment, now: int) -> tuple[Delivery, bool]:
    """Drop from the scoreboard what is acknowledged; tell what that was, and whether SND.UNA has moved."""
    delivery = Delivery(segment.seen[0] if segment.seen is not None else _EVERYTHING)
    advanced = segment.ack > sender.snd_una
    board = sender.scoreboard
    if advanced:
        board.acknowledge(segment.ack, delivery)
        sender.snd_una = segment.ack
        sender.buffer.release(segment.ack)
        sender.records.release(segment.ack)
    if sender.config.sack:
        for start, end in segment.sack:
            if sender.snd_una <= start < end <= sender.snd_nxt and len(board) <= MAX_CHUNKS:
                board.acknowledge_range(start, end, delivery)
    if delivery.octets:
        sender.rate.on_delivered(delivery.octets)
        size, number = delivery.largest
        sender.path.on_full_sized_acked(size + HEADER_LENGTH, number, now)
    return delivery, advanced


def _take_evidence(sender: Sender, segment: Segment, delivery: Delivery) -> None:
    """Look for what shows that a repetition was needless."""
    for start, end in delivery.unharmed:
        sender.recovery.prove(start, end)
    if segment.dsack is not None and sender.config.sack:
        start, end = segment.dsack
        if sender.iss < start < end <= sender.snd_nxt:
            sender.duplicates_reported += 1
            sender.rack.on_duplicate(sender.snd_una, sender.snd_nxt)
            sender.recovery.prove(start, end)


def take_window(sender: Sender, segment: Segment, now: int) -> None:
    """Take the window that an acceptable segment offers."""
    if sender.window.take(segment) and sender.persist.running and not sender.orphaned:
        sender.silence_since = None  # probes that are answered never give up (RFC 9293 §3.8.6.1)
    sender.update_chronograph(now)


def find_losses(sender: Sender, now: int, flight: int) -> list[Lost]:
    """Mark what RACK finds lost; begin a recovery, or take one back that rested on a mistake."""
    recovery, board = sender.recovery, sender.scoreboard
    if recovery.mistaken and recovery.phase is not Phase.OPEN:
        recovery.take_back(sender.congestion, now)
        sender.note_recovery(now, "nothing had been lost: undone (RFC 4015)")
    if not (sender.config.fast_retransmit and sender.config.retransmission):
        return []
    bound = sender.judged_below if sender.config.sack else min(sender.judged_below, sender.snd_una + sender.mss)
    rtt, recovering = sender.rtt, recovery.phase is not Phase.OPEN
    found = sender.rack.find(board, bound, rtt.min_rtt, rtt.srtt, rtt.rto, now, recovering=recovering)
    if found:
        _on_lost(sender, found, flight, now)
    return found


def _on_lost(sender: Sender, found: list[Lost], flight: int, now: int) -> None:
    sender.tail.forget()
    if _begin(sender, Phase.FAST, flight, now, found[0].rule):
        # RFC 6675 §5, (4.3): 'Retransmit the first data segment presumed dropped', before the window is looked at
        sender.repair_due = True
    elif any(loss.again and loss.packet_number >= sender.recovery.packet_number for loss in found):
        sender.recovery.repetition_lost(sender.congestion, sender.packet_number, flight, now)
        sender.note_recovery(now, "a repetition was lost (RFC 5681 §4.3)")
    sender.newly_lost += sum(loss.end - loss.start for loss in found)
    sender.ranges_lost += len(found)
    for loss in found:
        sender.recovery.mark(loss.start, loss.end)
        sender.rate.on_lost(loss.end - loss.start)
        size, number = loss.burst.largest_packet(loss.start, loss.end)
        if sender.path.on_full_sized_lost(size + HEADER_LENGTH, number, now):
            sender.take_path("datagrams of this size vanish", now)
        if sender.trace is not None:
            sender.trace.add(
                PacketsLost(now, sender.identity, loss.start, loss.end - loss.start, loss.packet_number, loss.rule)
            )


def _begin(sender: Sender, phase: Phase, flight: int, now: int, why: str, *, marked: bool = False) -> bool:
    begun = sender.recovery.begin(
        phase, sender.congestion, sender.snd_nxt, sender.packet_number, flight, now, marked=marked
    )
    if begun:
        sender.note_recovery(now, why)
    return begun


def _tell_congestion(sender: Sender, delivery: Delivery, prior: int, rtt: int, recovering: bool, now: int) -> None:
    """Give the congestion control its sample, and the pacer the rate that follows."""
    newest, control, board = delivery.newest, sender.congestion, sender.scoreboard
    sample = None
    if newest is not None and newest.rate is not None:
        sample = sender.rate.sample(newest.rate, newest.time_ns, now, sender.rtt.min_rtt)
    control.on_ack(
        AckSample(
            now,
            delivery.octets,
            sender.newly_lost,
            prior,
            board.in_flight,
            rtt,
            sender.rtt.srtt,
            sender.rtt.min_rtt,
            sender.snd_una,
            sender.snd_nxt,
            recovering,
            _limited(sender, prior),
            sender.rate.delivered,
            sample,
            sender.ranges_lost,
        )
    )
    if type(control.cwnd) is not int or control.cwnd < 1:
        raise ConfigError(f"{type(control).__name__}: cwnd is {control.cwnd!r}; it must be an int of octets, 1 or more")
    sender.newly_lost = sender.ranges_lost = 0
    if sample is not None and sample.rate and (sample.rate > sender.delivery_rate or not sample.app_limited):
        sender.delivery_rate = sample.rate
    sender.set_pace()


def _limited(sender: Sender, prior: int) -> bool:
    """Tell whether cwnd, and not the application or the peer, was what held us back (RFC 9002 §7.8)."""
    control = sender.congestion
    limited = sender.held_by_cwnd or prior + sender.mss > control.cwnd
    limited = limited or (control.in_slow_start and 2 * sender.peak > control.cwnd)
    if sender.snd_una >= sender.peak_until:
        sender.peak, sender.peak_until, sender.held_by_cwnd = sender.scoreboard.in_flight, sender.snd_nxt, False
    return limited

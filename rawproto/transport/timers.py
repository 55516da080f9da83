"""The timers of the sending half, and what each does when it runs out (RFC 6298 §5, RFC 8985 §6.3 and §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawproto.transport.config import MILLISECOND
from rawproto.transport.feedback import find_losses
from rawproto.transport.pmtud import MINIMUM
from rawproto.wire.rdt_format import HEADER_LENGTH

if TYPE_CHECKING:
    from rawproto.transport.sender import Sender

__all__ = ["handle_timeout", "next_timeout"]


def next_timeout(sender: Sender, *others: int | None) -> int | None:
    """The earliest of all timers of this half, and of `others`."""
    path = sender.path.next_timeout()
    if path is not None and not (sender.scoreboard or sender.unsent):
        path = None  # RFC 8899 §5.1.1: 'a sender ... MAY' let the search rest while there is nothing to send
    earliest = sender.rto_deadline
    for at in (
        sender.pacing_deadline,
        sender.rack.deadline,
        sender.tail.deadline,
        sender.persist.deadline,
        path,
        *others,
    ):
        if at is not None and (earliest is None or at < earliest):
            earliest = at
    return earliest


def handle_timeout(sender: Sender, now: int) -> None:
    """Do what is due at `now`."""
    if sender.pacing_deadline is not None and now >= sender.pacing_deadline:
        sender.pacing_deadline = None  # what waited for it may leave, if it still wants to
    if sender.rack.deadline is not None and now >= sender.rack.deadline:
        sender.fired("reordering", sender.rack.rtt, now)
        if find_losses(sender, now, sender.scoreboard.in_flight):
            sender.recovery.on_ack(sender.congestion, sender.snd_una, 0, sender.scoreboard.in_flight, now, safe=False)
    if sender.tail.deadline is not None and now >= sender.tail.deadline:
        sender.fired("tail loss probe", 2 * sender.rtt.srtt, now)
        sender.tail.fire()
        sender.rto_deadline = now + sender.rtt.rto  # it goes before the timeout, and starts that anew
    if sender.rto_deadline is not None and now >= sender.rto_deadline:
        sender.fired("rto", sender.rtt.rto, now)
        _on_rto(sender, now)
    if sender.persist.deadline is not None and now >= sender.persist.deadline:
        sender.fired("persist", sender.persist.interval(sender.rtt.rto), now)
        sender.persist.fire(now, sender.rtt.rto)
    due = sender.path.next_timeout()
    if due is not None and now >= due and (sender.scoreboard or sender.unsent):
        sender.path.loss_permille = _loss_permille(sender)
        sender.fired("path MTU", 0, now)
        if sender.path.handle_timeout(now):
            sender.take_path("probes of this size vanish", now)


def _on_rto(sender: Sender, now: int) -> None:
    """RFC 6298 §5.4-§5.6, with all that is outstanding taken for lost."""
    sender.timeouts += 1
    flight = sender.scoreboard.in_flight
    reason = f"RTO after {sender.rtt.rto // MILLISECOND} ms"
    if sender.snd_una == sender.iss:
        sender.congestion = sender.initial_congestion()
    else:
        outstanding = sender.scoreboard.outstanding()
        sender.recovery.on_timeout(
            sender.congestion,
            sender.snd_nxt,
            sender.packet_number,
            flight or sender.scoreboard.lost,
            now,
            again=sender.expired,
        )
        for start, end in outstanding:
            sender.recovery.mark(start, end)
        sender.note_recovery(now, reason)
        size = sender.scoreboard.largest_outstanding() + HEADER_LENGTH
        large, smaller = size > sender.path.threshold, sender.path.threshold >= size > MINIMUM
        sender.path.loss_permille = _loss_permille(sender)
        if sender.path.on_retransmission_timeout(large, now, smaller=smaller):
            sender.take_path("nothing of this size gets through", now)
    sender.expired = True
    if sender.config.backoff:
        sender.rtt.back_off()
    sender.rate.on_lost(flight)
    sender.resend_all(reason)
    sender.tail.forget()
    sender.rack.deadline = None
    sender.rto_deadline = now + sender.rtt.rto


def _loss_permille(sender: Sender) -> int:
    """What part of the octets sent was lost, once enough have arrived to tell."""
    rate = sender.rate
    return rate.lost * 1000 // (rate.lost + rate.delivered) if rate.delivered > 20 * sender.mss else 0

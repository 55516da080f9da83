"""Ping: ICMP (RFC 792 p14) or ICMPv6 (RFC 4443 §4) echo requests at an interval, and what comes back. In virtual time.

The identification and the payload are given: nothing here is left to chance. A reply counts once, whenever it comes
and from whomever; a second one is a duplicate, and one that is not what was sent is damaged and does not count.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from rawproto.sockets.answers import Answer, Refusal, answer_of
from rawproto.sockets.probe import Outgoing, Probing, fragments
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet

__all__ = ["Echo", "EchoError", "EchoEvent", "EchoLost", "EchoPlan", "EchoReply", "EchoTotals"]

NUMBERS: Final = 1 << 16
"""Sequence numbers go round after so many: RFC 792 gives them 16 bits."""
ICMP_HEADER: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoPlan:
    """What to send. Addresses are IPv4 or IPv6 text without a zone; `count` None is for ever; `mtu` in bytes.

    `dont_fragment` has IPv4's DF flag set and nothing cut; otherwise a request over the MTU goes out in fragments.
    """

    source: str
    target: str
    id: int
    payload: bytes = b""
    count: int | None = None
    interval_ns: int = 1_000_000_000
    timeout_ns: int = 2_000_000_000
    ttl: int = 64
    dscp: int = 0
    dont_fragment: bool = False
    mtu: int = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoReply:
    """A reply to request `seq`, of `length` bytes of ICMP. `rtt_ns` is from the last byte handed over to its arrival.

    `late`: it came after it had been told lost. `reordered`: a later request's reply was there before. `truncated`: it
    has less data than was sent, as some hosts do on purpose. `damage` says what else is wrong with it, "" for
    nothing; a damaged one is not counted as received.
    """

    seq: int
    sender: str
    length: int
    ttl: int
    rtt_ns: int
    duplicate: bool = False
    reordered: bool = False
    late: bool = False
    truncated: bool = False
    damage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoError:
    """`sender` said that request `seq` could not be delivered, or the link refused it (then `sender` is "")."""

    seq: int
    sender: str
    text: str
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoLost:
    """Nothing has come for request `seq` within the timeout."""

    seq: int


EchoEvent = EchoReply | EchoError | EchoLost


@dataclass(slots=True)
class EchoTotals:
    """What ping sums up at the end; times in ns. `mdev` is the standard deviation, as ping's is."""

    transmitted: int = 0
    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    errors: int = 0
    damaged: int = 0
    min_ns: int = 0
    max_ns: int = 0
    _sum: int = field(default=0, repr=False)
    _squares: int = field(default=0, repr=False)

    def add(self, rtt_ns: int) -> None:
        """Count a reply."""
        self.min_ns = min(self.min_ns, rtt_ns) if self.received else rtt_ns
        self.max_ns = max(self.max_ns, rtt_ns)
        self.received += 1
        self._sum += rtt_ns
        self._squares += rtt_ns * rtt_ns

    @property
    def average_ns(self) -> int:
        """The mean of the round trips; 0 without any."""
        return round(self._sum / self.received) if self.received else 0

    @property
    def mdev_ns(self) -> int:
        """Their standard deviation; 0 without any."""
        if not self.received:
            return 0
        return math.isqrt(max(0, self._squares * self.received - self._sum**2)) // self.received

    @property
    def loss(self) -> float:
        """The share of requests that no good reply came for, 0 to 1."""
        return 1 - self.received / self.transmitted if self.transmitted else 0.0


@dataclass(slots=True)
class _Request:
    number: int
    sent_ns: int
    waiting: bool = True
    answered: bool = False
    lost: bool = False


class Echo(Probing[EchoEvent]):
    """One ping. Requests are numbered from 1; requests and replies use the link `icmp`."""

    def __init__(self, plan: EchoPlan, start: int) -> None:
        self.plan = plan
        self.totals = EchoTotals()
        self._next = 1
        self._next_ns = start
        self._requests: dict[int, _Request] = {}
        self._waiting: deque[_Request] = deque()
        self._highest = 0
        self._events: list[EchoEvent] = []

    @property
    def done(self) -> bool:
        """Whether all requests were sent, and each was answered or given up."""
        return self._all_sent and not self._unanswered()

    @property
    def _all_sent(self) -> bool:
        return self.plan.count is not None and self._next > self.plan.count

    def poll_transmit(self, now: int) -> Outgoing | None:
        """The next request, when its time has come."""
        if self._all_sent or now < self._next_ns:
            return None
        seq = self._next % NUMBERS
        packet = self._request(seq)
        cut = not self.plan.dont_fragment
        return Outgoing(fragments(packet, self.plan.mtu, seq or 1) if cut else [packet], "icmp", self._next)

    def sent(self, out: Outgoing, now: int) -> None:
        """Wait for the reply from now on."""
        self.totals.transmitted += 1
        request = _Request(out.probe, now)
        self._requests[out.probe % NUMBERS] = request
        self._waiting.append(request)
        self._advance(now)

    def refused(self, out: Outgoing, reason: str, now: int) -> None:
        """Tell it, and try the next one in its time: the network may come back."""
        self.totals.transmitted += 1
        self.totals.errors += 1
        self._events.append(EchoError(seq=out.probe % NUMBERS, sender="", text=reason))
        self._advance(now)

    def receive(self, packet: Packet, now: int) -> None:
        """A reply, an error, or somebody else's."""
        answer = answer_of(packet)
        if answer is None or answer.key.protocol not in (1, 58) or answer.key.local != self.plan.id:
            return
        request = self._requests.get(answer.key.number)
        if request is None:
            return
        if answer.refusal is None:
            self._reply(packet, answer, request, now)
        elif answer.key.target == self.plan.target:
            self._error(answer.refusal, answer.sender, request)

    def next_timeout(self) -> int | None:
        """The next request, or the end of the wait for the oldest one."""
        due = [] if self._all_sent else [self._next_ns]
        if (oldest := self._unanswered()) is not None:
            due.append(oldest.sent_ns + self.plan.timeout_ns)
        return min(due, default=None)

    def handle_timeout(self, now: int) -> None:
        """Tell which requests nothing has come for."""
        while (oldest := self._unanswered()) is not None and now >= oldest.sent_ns + self.plan.timeout_ns:
            oldest.waiting, oldest.lost = False, True
            self._events.append(EchoLost(seq=oldest.number % NUMBERS))

    def poll_events(self) -> list[EchoEvent]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def _advance(self, now: int) -> None:
        self._next_ns += self.plan.interval_ns
        if self._next_ns <= now:  # after a stall (a suspended machine) the rhythm starts anew: nothing is made up for
            self._next_ns = now + self.plan.interval_ns
        self._next += 1

    def _unanswered(self) -> _Request | None:
        """The oldest request that is still waited for."""
        while self._waiting and not self._waiting[0].waiting:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _request(self, seq: int) -> bytes:
        plan = self.plan
        if ":" in plan.target:
            ip6 = IPv6(src=plan.source, dst=plan.target, hop_limit=plan.ttl, dscp=plan.dscp)
            return bytes(ip6 / ICMPv6Echo(type=128, id=plan.id, seq=seq) / plan.payload)
        # An identification of 0 would be overwritten by the kernel, and fragments of one datagram must share theirs.
        ip = IPv4(
            src=plan.source,
            dst=plan.target,
            ttl=plan.ttl,
            dscp=plan.dscp,
            id=seq or 1,
            flags=IPv4Flags.DF if plan.dont_fragment else 0,
        )
        return bytes(ip / ICMPEcho(type=8, id=plan.id, seq=seq) / plan.payload)

    def _reply(self, packet: Packet, answer: Answer, request: _Request, now: int) -> None:
        damage = self._damage(packet)
        duplicate = request.answered
        reordered = not duplicate and not damage and request.number < self._highest
        reply = EchoReply(
            seq=answer.key.number,
            sender=answer.sender,
            length=len(packet.payload) + ICMP_HEADER,
            ttl=answer.time_left,
            rtt_ns=max(0, now - request.sent_ns),
            duplicate=duplicate,
            reordered=reordered,
            late=request.lost and not duplicate,
            truncated=len(packet.payload) < len(self.plan.payload),
            damage=damage,
        )
        self._events.append(reply)
        totals = self.totals
        totals.reordered += reordered
        if damage:
            totals.damaged += 1
        elif duplicate:
            totals.duplicates += 1
        else:
            request.answered, request.waiting = True, False
            self._highest = max(self._highest, request.number)
            totals.add(reply.rtt_ns)

    def _damage(self, packet: Packet) -> str:
        """What the reply has otherwise than the request, but for less of it."""
        name = "ICMPv6" if ":" in self.plan.target else "ICMP"
        if packet.checksums.get(name) == "bad":
            return "bad checksum"
        return "" if self.plan.payload.startswith(packet.payload) else "other data than was sent"

    def _error(self, refusal: Refusal, sender: str, request: _Request) -> None:
        self._events.append(EchoError(seq=request.number % NUMBERS, sender=sender, text=refusal.text, refusal=refusal))
        if not refusal.redirect:
            self.totals.errors += 1
            request.waiting = False

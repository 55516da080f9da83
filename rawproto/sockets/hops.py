"""Traceroute: which routers a packet passes on its way, found by letting its hops run out. In virtual time.

All probes of a run are one flow to the routers, so that those that balance load by flow send all of them the same way
(Paris traceroute, Augustin et al., IMC 2006). What tells them apart is not part of what is hashed:

    udp    the checksum, by two bytes of payload; with IPv4 the identification, too
    icmp   id and sequence number, with the checksum, which is hashed, kept the same by two bytes of payload
    tcp    the sequence number of the SYN

One hop is asked after the other: the next one when one answer to this hop has come, or none for `GAP_NS`. So no more
than one hop's worth of probes usually gets to the destination, which often limits how fast it answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from rawproto.sockets.answers import Answer, Key, Refusal, answer_of, key_of
from rawproto.sockets.probe import Outgoing, Probing
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize
from rawproto.wire.udp import UDP

__all__ = ["Hop", "HopAnswer", "Hops", "HopsPlan", "Method"]

Method = Literal["udp", "icmp", "tcp"]

GAP_NS: Final = 250_000_000
"""How long a silent hop holds up the one behind it."""
SPACING_NS: Final = 20_000_000
"""Between the probes of one hop, unless an answer comes before: routers make few answers at a time."""
PAYLOAD: Final = 32
"""Bytes of UDP or echo data, so that an IPv4 probe has 60 bytes, as is usual."""
MSS: Final = 1460
_ALL_ONES: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class HopsPlan:
    """What to send. `local` is the source port, or the ICMP id; `port` the destination's. `base` begins TCP's numbers.

    Addresses are text without a zone.
    """

    source: str
    target: str
    method: Method = "udp"
    local: int
    port: int = 33434
    base: int = 0
    max_hops: int = 30
    queries: int = 3
    timeout_ns: int = 5_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HopAnswer:
    """What came for one probe. `reached`: from the destination. `mark` is "!H" and its like, "" for none.

    `note` says "open" or "closed" of a TCP port, and what an error is in words.
    """

    address: str
    rtt_ns: int
    reached: bool = False
    mark: str = ""
    note: str = ""


@dataclass(slots=True)
class Hop:
    """One distance: the answer to each of its probes, None for those that nothing came for. `error`: not even sent."""

    ttl: int
    answers: list[HopAnswer | None] = field(default_factory=list)
    error: str = ""


@dataclass(slots=True)
class _Probe:
    ttl: int
    sent_ns: int
    answer: HopAnswer | None = None
    over: bool = False


class Hops(Probing[Hop]):
    """One traceroute; its events are the hops, in order, each when all is known of it.

    Probes go out by the link `icmp`; answers may come by any.
    """

    def __init__(self, plan: HopsPlan, start: int) -> None:
        self.plan = plan
        self.reached = False
        self.blocked: HopAnswer | None = None
        """The last answer of a router that could not pass a probe on."""
        self._probes: list[_Probe] = []
        self._by_key: dict[Key, _Probe] = {}
        self._by_id: dict[int, _Probe] = {}
        self._due_ns = start
        self._last = plan.max_hops
        """The hop behind which nothing is asked any more."""
        self._told = 0
        self._errors: dict[int, str] = {}
        self._events: list[Hop] = []

    @property
    def done(self) -> bool:
        """Whether every hop up to the last one has been told."""
        return self._told >= self._last

    def poll_transmit(self, now: int) -> Outgoing | None:
        """The next probe, when its time has come."""
        ttl = self._next_ttl
        if ttl > self._last or now < self._due_ns:
            return None
        number = len(self._probes) + 1
        return Outgoing([bytes(self._packet(ttl, number))], "icmp", ttl)

    def sent(self, out: Outgoing, now: int) -> None:
        """Wait for the answer from now on."""
        probe = _Probe(out.probe, now)
        self._probes.append(probe)
        key = key_of(Packet.parse(out.frames[0], LinkType.RAW))
        if key is not None:
            self._by_key[key] = probe
            self._by_id[len(self._probes)] = probe
        answered = any(each.answer for each in self._probes if each.ttl == probe.ttl)
        self._due_ns = now + (SPACING_NS if self._next_ttl == probe.ttl else 0 if answered else GAP_NS)

    def refused(self, out: Outgoing, reason: str, now: int) -> None:
        """What can't be sent to one hop can't be sent to the next: this is the last one."""
        self._probes.append(_Probe(out.probe, now, over=True))
        self._errors[out.probe] = reason
        self._end(out.probe)
        self._tell()

    def receive(self, packet: Packet, now: int) -> None:
        """An answer to one of the probes, or something else."""
        answer = answer_of(packet)
        probe = None if answer is None else self._asked(answer)
        if answer is None or probe is None or probe.answer is not None:
            return
        refusal = answer.refusal
        reached = self._reached(answer)
        probe.answer = HopAnswer(
            address=answer.sender,
            rtt_ns=max(0, now - probe.sent_ns),
            reached=reached,
            mark="" if refusal is None or (refusal.no_port and self.plan.method == "udp") else refusal.mark,
            note=_note(answer),
        )
        probe.over = True
        self.reached |= reached
        if refusal is not None and refusal.unreachable and not reached:
            self.blocked = probe.answer
        if reached or (refusal is not None and refusal.unreachable):
            self._end(probe.ttl)
        if probe is self._probes[-1] or self._next_ttl > probe.ttl == self._probes[-1].ttl:
            self._due_ns = min(self._due_ns, now)
        self._tell()

    def next_timeout(self) -> int | None:
        """The next probe, or the end of the wait for one."""
        if self.done:
            return None
        due = [probe.sent_ns + self.plan.timeout_ns for probe in self._probes if not probe.over][:1]
        if self._next_ttl <= self._last:
            due.append(self._due_ns)
        return min(due, default=None)

    def handle_timeout(self, now: int) -> None:
        """Give up probes that nothing has come for."""
        for probe in self._probes:
            if not probe.over and now >= probe.sent_ns + self.plan.timeout_ns:
                probe.over = True
        self._tell()

    def poll_events(self) -> list[Hop]:
        """The hops that became known since the last call."""
        events, self._events = self._events, []
        return events

    def unfinished(self) -> Sequence[Hop]:
        """What is known of the hops that were not told yet, for one who can't wait."""
        asked = sorted({probe.ttl for probe in self._probes if probe.answer and self._told < probe.ttl <= self._last})
        return [self._hop(ttl) for ttl in asked]

    @property
    def _next_ttl(self) -> int:
        return 1 + len(self._probes) // self.plan.queries

    def _end(self, ttl: int) -> None:
        self._last = min(self._last, ttl)

    def _tell(self) -> None:
        """Make events of the hops that are complete, in order."""
        while self._told < self._last:
            ttl = self._told + 1
            probes = [probe for probe in self._probes if probe.ttl == ttl]
            whole = len(probes) == self.plan.queries or ttl in self._errors
            if not whole or not all(probe.over for probe in probes):
                return
            self._told = ttl
            self._events.append(self._hop(ttl))

    def _hop(self, ttl: int) -> Hop:
        answers = [probe.answer for probe in self._probes if probe.ttl == ttl]
        return Hop(ttl, answers, self._errors.get(ttl, ""))

    def _asked(self, answer: Answer) -> _Probe | None:
        """The probe that `answer` is about."""
        plan, key = self.plan, answer.key
        if answer.refusal is not None and answer.refusal.redirect:
            return None
        if key.target != plan.target or key.local != plan.local or key.remote not in (0, plan.port):
            return None
        found = self._by_key.get(key)
        if found is None and plan.method == "udp":
            # Some that translate addresses leave the quoted checksum as it was on their other side; and a reply
            # of a program at that port quotes nothing.
            found = self._by_id.get(answer.quoted_id) if answer.refusal else self._oldest()
        return found

    def _oldest(self) -> _Probe | None:
        return next((probe for probe in self._probes if not probe.over), None)

    def _reached(self, answer: Answer) -> bool:
        if answer.refusal is None:
            return True
        # A port that nobody listens at is what we hoped for; and who refuses in whatever way is there.
        return (answer.refusal.no_port and self.plan.method == "udp") or (
            answer.refusal.unreachable and answer.sender == self.plan.target
        )

    def _packet(self, ttl: int, number: int) -> Packet:
        """Probe `number` (from 1) with `ttl` hops."""
        plan = self.plan
        ip: Header
        if ":" in plan.target:
            ip = IPv6(src=plan.source, dst=plan.target, hop_limit=ttl)
        else:
            ip = IPv4(src=plan.source, dst=plan.target, ttl=ttl, id=number)
        rest = bytes(PAYLOAD - 2)
        if plan.method == "udp":
            return ip / UDP(sport=plan.local, dport=plan.port) / (number.to_bytes(2) + rest)
        if plan.method == "tcp":
            syn = TCP(
                sport=plan.local,
                dport=plan.port,
                seq=(plan.base + number) % (1 << 32),
                flags=TCPFlags.SYN,
                options=[MaximumSegmentSize(MSS)],
            )
            return ip / syn
        payload = (_ALL_ONES - number).to_bytes(2) + rest
        echo = ICMPv6Echo(type=128, id=plan.local, seq=number) if ":" in plan.target else None
        return ip / (echo or ICMPEcho(type=8, id=plan.local, seq=number)) / payload


def _note(answer: Answer) -> str:
    refusal: Refusal | None = answer.refusal
    if refusal is not None:
        return "" if refusal.expired else refusal.text
    if answer.key.protocol != 6:
        return ""
    return "open" if answer.flags & TCPFlags.SYN else "closed"

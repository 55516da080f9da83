"""Sweeps: the same question to many addresses, at a rate, again where nothing comes. In virtual time.

Three questions: who has this address (ARP, RFC 826; for IPv6 neighbour solicitation, RFC 4861 §4.3), does it answer an
echo request, and does it accept a connection at this port (a SYN alone: what is half open is never completed).

What a SYN says: SYN-ACK is open, RST closed, an ICMP error or nothing at all is filtered. Whoever sends the SYN from an
address of this host, outside the kernel, sees the kernel close what was half opened: it knows of no connection and
answers the SYN-ACK with RST (RFC 9293 §3.10.7.1), which frees the other side at once. So no guard is wanted here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from rawproto.sockets.answers import Answer, answer_of, key_of
from rawproto.sockets.probe import Outgoing, Probing
from rawproto.wire.address import ip_text, pack_ip
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborSolicitation,
    multicast_mac,
    solicited_node,
    source_link_address,
)
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize

__all__ = ["Finding", "Question", "State", "Sweep", "SweepPlan", "ask_echo", "ask_neighbor", "ask_port"]

State = Literal["up", "open", "closed", "filtered", "silent"]

MSS: Final = 1460
SECOND: Final = 1_000_000_000
BROADCAST: Final = b"\xff" * 6
BURST: Final = 10
"""How many questions may be made up for at once when the machine was late."""


class Question(NamedTuple):
    """One question: what tells its answer, whom and what it is about, and the frame that asks, sent by link `road`."""

    key: Hashable
    target: str
    port: int
    frame: bytes
    road: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """How to ask: `rate` questions a second, `retries` more times where nothing came within `timeout_ns`."""

    rate: float | Fraction = 200
    retries: int = 1
    timeout_ns: int = 1_000_000_000


@dataclass(slots=True, kw_only=True)
class Finding:
    """What is known of one question. `reason` is what was seen, `by` who said it, `macs` who answered ARP or ND for it.

    States: "up" of an address; "open", "closed", "filtered" of a port; "silent" of an address that nobody answers for.
    """

    target: str
    port: int = 0
    state: State = "silent"
    reason: str = "no answer"
    by: str = ""
    rtt_ns: int | None = None
    macs: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the target itself has answered."""
        return self.by == self.target or bool(self.macs)


@dataclass(slots=True)
class _Pending:
    question: Question
    finding: Finding
    sent_ns: int = 0
    tries: int = 0
    answered: bool = False
    given_up: bool = False


class Sweep(Probing[Finding]):
    """One sweep over `questions`, which are taken one by one.

    Events are findings that are final: answered, or given up. An answer that comes later still corrects its finding.
    """

    def __init__(self, plan: SweepPlan, questions: Iterable[Question], start: int) -> None:
        self.plan = plan
        self._questions = iter(questions)
        self._gap_ns = round(SECOND / plan.rate)
        self._next_ns = start
        self._ready: _Pending | None = None
        self._again: deque[_Pending] = deque()
        self._waiting: deque[_Pending] = deque()
        self._asked: dict[Hashable, _Pending] = {}
        self._events: list[Finding] = []
        self._fetch()

    @property
    def findings(self) -> list[Finding]:
        """What is final so far, in the order of the questions."""
        return [pending.finding for pending in self._asked.values() if pending.answered or pending.given_up]

    @property
    def done(self) -> bool:
        """Whether every question was answered or given up."""
        return self._ready is None and not self._again and not self._oldest()

    def poll_transmit(self, now: int) -> Outgoing | None:
        """The next question, when the rate allows."""
        if now < self._next_ns:
            return None
        while self._again and self._again[0].answered:
            self._again.popleft()
        pending = self._again.popleft() if self._again else self._ready
        if pending is None:
            return None
        if pending is self._ready:
            self._fetch()
        return Outgoing([pending.question.frame], pending.question.road, pending)

    def sent(self, out: Outgoing, now: int) -> None:
        """Wait for the answer from now on."""
        pending: _Pending = out.probe
        self._note(pending, now)
        self._waiting.append(pending)

    def refused(self, out: Outgoing, reason: str, now: int) -> None:
        """Take it for unreachable from here."""
        pending: _Pending = out.probe
        self._note(pending, now)
        pending.finding.reason = reason
        self._finish(pending)

    def receive(self, packet: Packet, now: int) -> None:
        """An answer to one of the questions, or something else."""
        neighbor = _neighbor(packet)
        if neighbor is not None:
            self._found_neighbor(*neighbor, now)
            return
        answer = answer_of(packet)
        if answer is None or (answer.refusal is not None and answer.refusal.redirect):
            return
        pending = self._asked.get(answer.key)
        if pending is not None and not pending.answered:
            finding = pending.finding
            finding.by, finding.rtt_ns = answer.sender, max(0, now - pending.sent_ns)
            _judge(finding, answer)
            self._finish(pending)

    def next_timeout(self) -> int | None:
        """The next question, or the end of the wait for one."""
        oldest = self._oldest()
        due = [] if oldest is None else [oldest.sent_ns + self.plan.timeout_ns]
        if self._ready is not None or self._again:
            due.append(self._next_ns)
        return min(due, default=None)

    def handle_timeout(self, now: int) -> None:
        """Ask again, or give up."""
        while (oldest := self._oldest()) is not None and now >= oldest.sent_ns + self.plan.timeout_ns:
            self._waiting.popleft()
            if oldest.tries <= self.plan.retries:
                self._again.append(oldest)
            else:
                oldest.given_up = True
                self._events.append(oldest.finding)

    def poll_events(self) -> list[Finding]:
        """What became final since the last call."""
        events, self._events = self._events, []
        return events

    def _fetch(self) -> None:
        question = next(self._questions, None)
        if question is None:
            self._ready = None
            return
        state: State = "filtered" if question.port else "silent"
        self._ready = _Pending(question, Finding(target=question.target, port=question.port, state=state))

    def _oldest(self) -> _Pending | None:
        """The question that has waited longest."""
        while self._waiting and self._waiting[0].answered:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def _note(self, pending: _Pending, now: int) -> None:
        pending.sent_ns = now
        pending.tries += 1
        self._asked[pending.question.key] = pending
        self._next_ns = max(self._next_ns + self._gap_ns, now - BURST * self._gap_ns)

    def _finish(self, pending: _Pending) -> None:
        pending.answered = True
        self._events.append(pending.finding)

    def _found_neighbor(self, target: str, mac: str, now: int) -> None:
        """`mac` said that it has the address `target`."""
        pending = self._asked.get(("neighbor", target))
        if pending is None:
            return
        finding = pending.finding
        if mac not in finding.macs:
            finding.macs.append(mac)  # a second one: two hosts have the same address
        if not pending.answered:
            finding.state, finding.reason = "up", "neighbour advertisement" if ":" in target else "ARP reply"
            finding.by, finding.rtt_ns = target, max(0, now - pending.sent_ns)
            self._finish(pending)


def ask_neighbor(targets: Iterable[str], source: str, mac: str, road: str) -> Iterator[Question]:
    """Who has this address? Asked on the wire by the host with `source` and `mac`; IPv4 by ARP, IPv6 by ND."""
    for packed in map(pack_ip, targets):
        target = ip_text(packed)
        if len(packed) == 4:
            arp = ARP(operation=1, sender_mac=mac, sender_ip=source, target_ip=target)
            frame = bytes(Ethernet(dst=BROADCAST, src=mac) / arp)
        else:
            group = solicited_node(packed)
            ip = IPv6(src=source, dst=group, hop_limit=255)
            question = NeighborSolicitation(target=target, options=bytes(source_link_address(mac)))
            frame = bytes(Ethernet(dst=multicast_mac(group), src=mac) / ip / question)
        yield Question(("neighbor", target), target, 0, frame, road)


def ask_echo(targets: Iterable[str], source: str, identification: int, road: str) -> Iterator[Question]:
    """Are you there? An ICMP or ICMPv6 echo request from `source`, with that id."""
    for target in targets:
        echo: Header = ICMPEcho(type=8, id=identification, seq=1)
        if ":" in target:
            echo = ICMPv6Echo(type=128, id=identification, seq=1)
        yield _question(_ip(source, target) / echo, 0, road)


def ask_port(targets: Iterable[tuple[str, int]], source: str, sport: int, seq: int, road: str) -> Iterator[Question]:
    """Would you accept a connection at this port? A SYN from port `sport`, with sequence number `seq`."""
    for target, port in targets:
        syn = TCP(sport=sport, dport=port, seq=seq, flags=TCPFlags.SYN, options=[MaximumSegmentSize(MSS)])
        yield _question(_ip(source, target) / syn, port, road)


def _question(packet: Packet, port: int, road: str) -> Question:
    frame = bytes(packet)
    key = key_of(Packet.parse(frame, LinkType.RAW))
    if key is None:
        raise TypeError(f"{packet!r} is no probe")
    return Question(key, key.target, port, frame, road)


def _ip(source: str, target: str) -> Header:
    # An identification of 0 would be overwritten by the kernel.
    return IPv6(src=source, dst=target) if ":" in target else IPv4(src=source, dst=target, id=1)


def _neighbor(packet: Packet) -> tuple[str, str] | None:
    """The address and the MAC that an ARP reply or a neighbour advertisement tells; None for other packets."""
    arp = packet.get(ARP)
    if arp is not None:
        return (str(arp.sender_ip), str(arp.sender_mac)) if arp.operation == 2 else None
    told = packet.get(NeighborAdvertisement)
    if told is None or Ethernet not in packet or packet[IPv6].hop_limit != 255:  # RFC 4861 §7.1.2
        return None
    return str(told.target), told.link_address or str(packet[Ethernet].src)


def _judge(finding: Finding, answer: Answer) -> None:
    """What `answer` says about the question."""
    if answer.refusal is not None:
        finding.state = "filtered" if finding.port else "silent"
        finding.reason = answer.refusal.text
    elif answer.key.protocol != 6:
        finding.state, finding.reason = "up", "echo reply"
    elif answer.flags & TCPFlags.RST:
        finding.state, finding.reason = "closed", "RST"
    elif answer.flags & TCPFlags.SYN:
        finding.state, finding.reason = "open", "SYN-ACK"
    else:
        finding.reason = "unexpected answer"

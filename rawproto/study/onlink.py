"""What the datagrams on the link say: who sent more than the peer's window, too much at once, or again and again.

Only headers are read, as anybody on the path could, and only of datagrams that arrived as they were sent count what
they told the one who got them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log2
from typing import NamedTuple

from rawproto.link.forgery import rdt_offset
from rawproto.link.script import Arrived, Sent
from rawproto.sim.applications import Account
from rawproto.sim.world import Run
from rawproto.study.alignment import cover
from rawproto.study.reduction import Reduction
from rawproto.wire.frame import LinkType
from rawproto.wire.rdt_format import ACK, DGM, FIN, FIXED, HEADER_LENGTH, RST, SYN, decode_options

__all__ = ["Header", "LinkView", "read_header"]

AMPLIFICATION = 3
"""RFC 9000 §8.1: 'MUST NOT send more than three times as many bytes as the number of bytes they have received'."""
SILENT_TRIES = 3
"""How often the same may be repeated into silence beyond what a doubling timeout allows: as a probe of the tail, as
found lost before, and by a timeout that had begun."""

LOSS_WINDOW = 3
"""Full segments that may follow a timeout at once: RFC 5681 §3.1 says one ('the loss window'), and probes are none."""

SOON_NS = 1_000_000_000
"""A reset that is asked for leaves at once; one that comes much later answers something else."""

SKEW_NS = 1_000
"""Each call of a stack has a time of its own: a host may be a few ns ahead of the simulation."""

MAX_NUMBER = (1 << 48) - 1
OTHER = {"client": "server", "server": "client"}

Found = tuple[str, int, str, Sent | None]


class Header(NamedTuple):
    """What the link shows of a datagram; `peer` is the client's address and both ports, its own first."""

    flags: int
    peer: tuple[bytes, int, int]
    seq: int
    length: int
    ack: int
    wnd: int
    size: int
    number: int
    sack: tuple[tuple[int, int], ...]
    """Ranges that have arrived out of order, counted from the acknowledgement."""


def read_header(frame: bytes, from_client: bool) -> Header:
    """Read the header of a bare IP packet, or of one in Ethernet, that holds RDT."""
    linktype = LinkType.RAW if frame[0] >> 4 in (4, 6) and rdt_offset(frame, LinkType.RAW) >= 0 else LinkType.ETHERNET
    at = rdt_offset(frame, linktype)
    _, words, flags, source, destination, numbers, seq, ack, wnd, _ = FIXED.unpack_from(frame, at)
    long = frame[at - 40] >> 4 == 6 and at >= 40
    width = 16 if long else 4
    addresses = frame[at - 2 * width : at]
    client = addresses[:width] if from_client else addresses[width:]
    ports = (source, destination) if from_client else (destination, source)
    sack = decode_options(frame[at + HEADER_LENGTH : at + words * 4]).sack if words * 4 > HEADER_LENGTH else ()
    size = len(frame) - at
    return Header(flags, (client, *ports), seq, numbers >> 48, ack, wnd, size, numbers & MAX_NUMBER, sack)


@dataclass(slots=True)
class Flow:
    """What one side has shown of one connection so far. Numbers are unwrapped, from those first seen."""

    nxt: int = -1
    """Behind the last octet that it has sent."""
    ended: bool = False
    """And that was its FIN."""
    first: int = 0
    offered: set[int] = field(default_factory=set)
    """The initial numbers of its SYN-ACKs: a listener that keeps nothing gives each SYN another one."""
    acked: int = -1
    """What has been acknowledged of it, as far as it knows."""
    held: list[tuple[int, int]] = field(default_factory=list)
    """And behind that: ranges that have arrived out of order."""
    edge: int = -1
    """Up to where the peer has let it send, as far as it knows."""
    tries: dict[int, list[int]] = field(default_factory=dict)
    """When it has repeated octets since, by their sequence number."""
    quiet_ns: int = 0
    """Since when nothing was heard, and no octet sent."""
    expired_ns: int = -1
    """When it broke such a silence with what it had sent before: a timeout, if nothing was heard since."""
    burst: int = 0
    """How many octets it has repeated since then, and soon after."""
    reduction: Reduction = field(default_factory=Reduction)
    told: set[str] = field(default_factory=set)


class LinkView:
    """The datagrams of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.config = run.scenario.config()
        self._mask = (1 << self.config.sequence_bits) - 1
        # A model of the path, as BBR has one, answers to losses in its own way; behind a translator none is recognised.
        self._reduces = self.config.congestion_control in ("reno", "cubic") and run.scenario.road.topology != "nat"
        self._arrived: set[bytes] = set()

    # -- which datagram is to blame ------------------------------------------------------------------------------------

    def last_arrival(self, account: Account, time_ns: int) -> Sent | None:
        """The last datagram that had reached `account`'s host by `time_ns`: of its connection, if there is any."""
        arrivals = self._arrivals(account, time_ns)
        return self._sent_as(arrivals[-1]) if arrivals else None

    def last_data(self, account: Account, time_ns: int) -> Sent | None:
        """The last one with payload; of those that something has struck, if there are any."""
        last = None
        for arrived in reversed(self._arrivals(account, time_ns)):
            if read_header(arrived.frame, arrived.side == "server").length:
                sent = self._sent_as(arrived)
                if sent is not None and sent.fate:
                    return sent
                last = last or sent
        return last

    def _arrivals(self, account: Account, time_ns: int) -> list[Arrived]:
        """What had reached `account`'s host by `time_ns`: for its port, or for any if there was nothing for it."""
        side = account.side
        there = [one for one in self.run.log.arrived if one.side == side and one.time_ns <= time_ns + SKEW_NS]
        mine = [one for one in there if _port(one) == account.port]
        return mine or there

    def struck_last(self, side: str) -> Sent | None:
        """The last datagram of `side`, or of either, that an event has struck; of the other if there is none."""
        struck = [sent for sent in self.run.log.sent if sent.fate]
        mine = [sent for sent in struck if sent.side == side]
        found = mine or struck
        return found[-1] if found else None

    def _sent_as(self, arrived: Arrived) -> Sent | None:
        """How what arrived was sent: the last one before with the same numbers."""
        header = read_header(arrived.frame, arrived.side == "server")
        sender = OTHER[arrived.side]
        candidates = [
            sent
            for sent in self.run.log.sent
            if sent.side == sender
            and sent.time_ns <= arrived.time_ns + SKEW_NS
            and (sent.frame == arrived.frame or read_header(sent.frame, sender == "client").number == header.number)
        ]
        same = [sent for sent in candidates if sent.frame == arrived.frame]
        mine = [sent for sent in candidates if read_header(sent.frame, sender == "client").peer[1] == header.peer[1]]
        found = same or mine or candidates
        return found[-1] if found else None

    # -- flow control and restraint ------------------------------------------------------------------------------------

    def violations(self) -> Iterator[Found]:
        """All that the link shows."""
        yield from self._unsaid_ends()
        self._arrived = {arrived.frame[-_rdt_size(arrived.frame) :] for arrived in self.run.log.arrived}
        intact = {sent.frame[-_rdt_size(sent.frame) :] for sent in self.run.log.sent if sent.number}
        forged = {sent.frame[-_rdt_size(sent.frame) :] for sent in self.run.log.sent if not sent.number} - intact
        flows: dict[tuple[str, tuple[bytes, int, int]], Flow] = {}
        proved: set[tuple[bytes, int, int]] = set()
        debts: dict[tuple[bytes, int, int], int] = {}
        for entry in self._in_order():
            from_client = (entry.side == "client") == isinstance(entry, Sent)
            header = read_header(entry.frame, from_client)
            if header.flags & DGM:
                continue
            if isinstance(entry, Sent):
                if not entry.number:
                    continue
                flow = flows.setdefault((entry.side, header.peer), Flow())
                yield from self._on_sent(flow, header, entry)
                if entry.side == "server" and header.flags & (SYN | ACK) == SYN:
                    proved.add(header.peer)  # the server calls: that is no answer to anybody
                if entry.side == "server" and header.peer not in proved:
                    debts[header.peer] = debts.get(header.peer, 0) - header.size
                    if debts[header.peer] < 0:
                        debts[header.peer] = 1 << 62
                        yield self._amplified(entry, header)
            else:
                flow = flows.setdefault((entry.side, header.peer), Flow())
                self._on_arrived(flow, header, entry.frame[-header.size :] in intact, entry.time_ns)
                if entry.side == "server":
                    debts[header.peer] = debts.get(header.peer, 0) + AMPLIFICATION * header.size
                    if header.flags & (ACK | SYN) == ACK and entry.frame[-header.size :] not in forged:
                        proved.add(header.peer)

    def _in_order(self) -> list[Sent | Arrived]:
        """Both logs by time; what arrived at a time comes before what was sent at it."""
        entries: list[Sent | Arrived] = [*self.run.log.arrived, *self.run.log.sent]
        entries.sort(key=lambda entry: entry[0])
        return entries

    def _amplified(self, sent: Sent, header: Header) -> Found:
        text = (
            f"the server sent more than {AMPLIFICATION} times as many bytes as it got to an address that had proved "
            "nothing"
        )
        return "restraint", sent.time_ns, text, sent

    def _on_sent(self, flow: Flow, header: Header, sent: Sent) -> Iterator[Found]:
        if flow.nxt < 0 or (header.flags & SYN and self._begins(flow, header)):
            if flow.acked >= 0 or flow.nxt > flow.first + 1:  # not a listener that answers another SYN
                flow.offered = set()
            flow.first = flow.nxt = header.seq
            flow.acked = flow.edge = -1
            flow.held = []
            flow.ended = False
            flow.tries = {}
            flow.reduction = Reduction()
            flow.told = set()
        if header.flags & (SYN | ACK) == SYN | ACK:
            flow.offered.add(header.seq)
        elif flow.acked < 0 and not header.flags & SYN and (header.seq - 1) & self._mask in flow.offered:
            flow.first = self._unwrap(header.seq - 1, flow.first)  # this is the one that the client has taken
            flow.nxt = flow.first + 1
            flow.offered = set()
        seq = self._unwrap(header.seq, flow.nxt - flow.ended)  # a FIN takes no room in the window
        end = seq + header.length + bool(header.flags & SYN) + bool(header.flags & FIN)
        octets = header.length > 0 or header.flags & (SYN | FIN)
        if header.flags & RST:
            return
        if octets and end <= flow.nxt:
            yield from self._silence(flow, header, sent)
            if seq > flow.first:  # else it is an earlier connection's, or one's that began with a lower number
                yield from self._loss_window(flow, header, sent)
        if octets:
            flow.quiet_ns = sent.time_ns
        if header.length:
            flow.reduction.on_octets(
                seq, seq + header.length, max(end, flow.nxt), arrives=sent.frame[-header.size :] in self._arrived
            )
        if end > flow.nxt:
            flow.nxt = end
            flow.ended = bool(header.flags & FIN)
            if header.length and not header.flags & SYN:
                yield from self._in_flight(flow, seq + header.length, sent)

    def _begins(self, flow: Flow, header: Header) -> bool:
        """Whether this SYN is the first of a connection, and not one that is sent once more."""
        if header.flags & ACK:
            return self._unwrap(header.seq, flow.nxt) >= flow.nxt
        return flow.acked >= 0 or header.seq != flow.first & self._mask

    def _in_flight(self, flow: Flow, end: int, sent: Sent) -> Iterator[Found]:
        if flow.edge >= 0 and end > flow.edge and "flow_control" not in flow.told:
            flow.told.add("flow_control")
            text = f"the {sent.side} sent {end - flow.edge} octets more than the window that the other had told it of"
            yield "flow_control", sent.time_ns, text, sent
        acked = max(flow.acked, flow.first)
        held = sum(high - low for low, high in flow.held)
        delivered = acked - flow.first + held
        in_flight = end - acked - held
        if in_flight > self._initial_window() + 2 * delivered and "in flight" not in flow.told:
            flow.told.add("in flight")
            text = (
                f"the {sent.side} had {in_flight} octets in flight after {delivered} were acknowledged: "
                f"more than any congestion window that begins with {self._initial_window()}"
            )
            yield "restraint", sent.time_ns, text, sent
        peak = flow.reduction.peak
        if flow.reduction.exceeds(in_flight, self.run.scenario.road.mtu) and self._reduces and "loss" not in flow.told:
            flow.told.add("loss")
            text = f"after a loss the {sent.side} had {in_flight} octets in flight, and {peak} at most before"
            yield "restraint", sent.time_ns, text, sent

    def _initial_window(self) -> int:
        """RFC 6928 §2: ten segments; of the largest size that there can be, and one for what is sent as a probe."""
        return (self.config.initial_window + 1) * self.run.scenario.road.mtu

    def _silence(self, flow: Flow, header: Header, sent: Sent) -> Iterator[Found]:
        """RFC 6298 §5.5: each timeout doubles the next; into silence nobody sends the same more and more."""
        times = flow.tries.setdefault(header.seq, [])
        times.append(sent.time_ns)
        since = times[-1] - times[0]
        doublings = log2(1 + since / self.config.min_rto) + since / self.config.max_rto
        if len(times) > SILENT_TRIES + doublings and "silence" not in flow.told:
            flow.told.add("silence")
            text = f"the {sent.side} sent the same {len(times)} times in {since / 1e9:.1f} s without hearing anything"
            yield "restraint", sent.time_ns, text, sent

    def _loss_window(self, flow: Flow, header: Header, sent: Sent) -> Iterator[Found]:
        """RFC 5681 §3.1: after a timeout 'cwnd MUST be set to no more than the loss window', one segment."""
        if sent.time_ns - flow.quiet_ns >= self.config.min_rto:
            flow.expired_ns, flow.burst = sent.time_ns, 0
        if flow.expired_ns < 0 or sent.time_ns - flow.expired_ns > self.config.min_rto // 2:
            return
        flow.burst += header.length
        if flow.burst > LOSS_WINDOW * self.run.scenario.road.mtu and "burst" not in flow.told:
            flow.told.add("burst")
            text = f"after a timeout the {sent.side} sent {flow.burst} octets again at once, without hearing anything"
            yield "restraint", sent.time_ns, text, sent

    def _unsaid_ends(self) -> Iterator[Found]:
        """RFC 9293 §3.10.5: who ends a connection by force sends a reset, unless it had ended before."""
        for account in self.run.accounts:
            if account.aborted_ns < 0 or account.open_ns < 0 or account.gone_ns >= 0:
                continue
            over = 0 <= account.error_ns <= account.aborted_ns and account.error != "aborted"
            if not over and not self._reset_seen(account):
                text = f"the {account.side} ended the connection by force, and did not tell the other side"
                yield "connection", account.aborted_ns, text, None

    def _reset_seen(self, account: Account) -> bool:
        """A reset was sent or received at this end, at the latest when it was due; or nobody watched the link."""
        entries: list[Sent | Arrived] = [*self.run.log.sent, *self.run.log.arrived]
        seen = [
            read_header(entry.frame, (entry.side == "client") == isinstance(entry, Sent))
            for entry in entries
            if entry.side == account.side and account.began_ns <= entry.time_ns <= account.aborted_ns + SOON_NS
        ]
        mine = [header.flags for header in seen if header.peer[1] == account.port]
        return not mine or any(flags & RST for flags in mine)

    def _on_arrived(self, flow: Flow, header: Header, intact: bool, now: int) -> None:
        flow.tries.clear()
        flow.quiet_ns, flow.expired_ns = now, -1
        if not intact or not header.flags & ACK or flow.nxt < 0:
            return
        ack = self._unwrap(header.ack, flow.nxt)
        if ack > flow.nxt or ack < flow.first:
            return
        for start, end in header.sack:
            cover(flow.held, ack + start, ack + end)
        flow.acked = max(flow.acked, ack)
        flow.reduction.on_acked(flow.acked, flow.nxt)
        flow.held = [(start, end) for start, end in flow.held if start > flow.acked]
        flow.edge = max(flow.edge, ack + header.wnd)

    def _unwrap(self, number: int, near: int) -> int:
        """The number nearest to `near` that is the same in as many bits as there are; of two, the lower one."""
        space = self._mask + 1
        distance = (number - near) & self._mask
        return near + distance - (space if distance >= space // 2 else 0)


def _port(arrived: Arrived) -> int:
    """The client's, if there is RDT in IP; else -1."""
    if max(rdt_offset(arrived.frame, linktype) for linktype in (LinkType.RAW, LinkType.ETHERNET)) < 0:
        return -1
    return read_header(arrived.frame, arrived.side == "server").peer[1]


def _rdt_size(frame: bytes) -> int:
    at = rdt_offset(frame, LinkType.RAW)
    return len(frame) - (at if at >= 0 else rdt_offset(frame, LinkType.ETHERNET))

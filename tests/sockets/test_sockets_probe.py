"""Ping, traceroute and sweeps in virtual time: a network is a function from a packet to answers and their delays."""

from __future__ import annotations

import errno
import heapq
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.sockets.answers import Key, Refusal, answer_of, key_of
from rawproto.sockets.echo import Echo, EchoError, EchoLost, EchoPlan, EchoReply, EchoTotals
from rawproto.sockets.hops import GAP_NS, SPACING_NS, Hop, Hops, HopsPlan
from rawproto.sockets.probe import Probing, drive, fragments, reserve_port, source_for
from rawproto.sockets.sweep import Finding, Question, Sweep, SweepPlan, ask_echo, ask_neighbor, ask_port
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMP, ICMPEcho, ICMPError, ICMPRedirect, ICMPv6Echo, ICMPv6Error, PacketTooBig
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import NeighborAdvertisement, NeighborSolicitation, target_link_address
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

MS = 1_000_000
SECOND = 1000 * MS
START = 50 * SECOND
HERE, THERE, ROUTER = "10.0.0.1", "10.0.9.9", "10.0.0.254"
HERE6, THERE6, ROUTER6 = "fd00::1", "fd00:9::9", "fd00::254"

Answers = Iterable[tuple[int, Packet]]
Network = Callable[[Packet], Answers]


def play(
    probing: Probing[Any], network: Network, linktype: LinkType = LinkType.RAW, sent_at: list[int] | None = None
) -> list[tuple[int, Any]]:
    """Run `probing` to its end; give its events, each with its time since the start. `sent_at` gets when it sent."""
    now, count = START, 0
    coming: list[tuple[int, int, Packet]] = []
    events: list[tuple[int, Any]] = []
    for _ in range(100_000):
        while (out := probing.poll_transmit(now)) is not None:
            probing.sent(out, now)
            if sent_at is not None:
                sent_at.append(now - START)
            for delay, packet in network(Packet.parse(out.frames[0], linktype)):
                count += 1
                heapq.heappush(coming, (now + delay, count, Packet.parse(bytes(packet), packet.linktype)))
        events += [(now - START, event) for event in probing.poll_events()]
        if probing.done:
            return events
        due = [time for time in (probing.next_timeout(), coming[0][0] if coming else None) if time is not None]
        now = max(now, min(due))
        while coming and coming[0][0] <= now:
            probing.receive(coming[0][2], heapq.heappop(coming)[0])
        probing.handle_timeout(now)
    raise AssertionError("it did not come to an end")


def silence(_: Packet) -> Answers:
    return ()


def refuse(probe: Packet, sender: str, kind: int, code: int, quote: int = 28, **fields: int) -> Packet:
    """An ICMP error about `probe`, of which it quotes so many bytes."""
    if ":" in sender:
        error6 = PacketTooBig(**fields) if kind == 2 else ICMPv6Error(type=kind, code=code, **fields)
        return IPv6(src=sender, dst=HERE6) / error6 / bytes(probe)[: quote + 20]
    error = ICMPError(type=kind, code=code, **fields)
    return IPv4(src=sender, dst=HERE, ttl=60) / error / bytes(probe)[:quote]


def echo_back(probe: Packet, **changes: Any) -> Packet:
    payload = changes.pop("payload", probe.payload)
    if IPv6 in probe:
        reply6 = ICMPv6Echo(type=129, id=probe[ICMPv6Echo].id, seq=probe[ICMPv6Echo].seq)
        return IPv6(src=probe[IPv6].dst, dst=probe[IPv6].src, hop_limit=61) / reply6 / payload
    reply = ICMPEcho(**{"type": 0, "id": probe[ICMPEcho].id, "seq": probe[ICMPEcho].seq, **changes})
    return IPv4(src=probe[IPv4].dst, dst=probe[IPv4].src, ttl=61) / reply / payload


def tcp_back(probe: Packet, flags: int, ack: int = 1) -> Packet:
    ip, tcp = probe[IPv4], probe[TCP]
    return IPv4(src=ip.dst, dst=ip.src) / TCP(sport=tcp.dport, dport=tcp.sport, ack=tcp.seq + ack, flags=flags)


# --- which probe a packet answers -------------------------------------------------------------------------------

PROBES = {
    "echo": IPv4(src=HERE, dst=THERE) / ICMPEcho(id=77, seq=5) / b"data",
    "udp": IPv4(src=HERE, dst=THERE, id=9) / UDP(sport=4000, dport=33434) / b"data",
    "tcp": IPv4(src=HERE, dst=THERE) / TCP(sport=4000, dport=80, seq=0x01020304, flags=TCPFlags.SYN),
    "echo6": IPv6(src=HERE6, dst=THERE6) / ICMPv6Echo(id=77, seq=5) / b"data",
    "udp6": IPv6(src=HERE6, dst=THERE6) / UDP(sport=4000, dport=33434) / b"data",
    "tcp6": IPv6(src=HERE6, dst=THERE6) / TCP(sport=4000, dport=80, seq=0x01020304, flags=TCPFlags.SYN),
}


def sent(packet: Packet) -> Packet:
    return Packet.parse(bytes(packet), LinkType.RAW)


@pytest.mark.parametrize("kind", PROBES)
def test_an_error_that_quotes_eight_bytes_names_its_probe(kind: str) -> None:
    probe = sent(PROBES[kind])
    sender = ROUTER6 if IPv6 in probe else ROUTER
    answer = answer_of(sent(refuse(probe, sender, 3 if IPv6 in probe else 11, 0)))
    assert answer is not None
    assert answer.key == key_of(probe)
    assert answer.sender == sender
    assert answer.refusal is not None
    assert answer.refusal.expired


def test_a_quote_of_less_than_eight_bytes_names_none() -> None:
    assert answer_of(sent(refuse(sent(PROBES["udp"]), ROUTER, 11, 0, quote=27))) is None


def test_replies_name_their_probes() -> None:
    for name in ("echo", "echo6"):
        probe = sent(PROBES[name])
        answer = answer_of(sent(echo_back(probe)))
        assert answer is not None
        assert (answer.key, answer.refusal, answer.time_left) == (key_of(probe), None, 61)
    tcp = sent(PROBES["tcp"])
    answer = answer_of(sent(tcp_back(tcp, TCPFlags.SYN | TCPFlags.ACK)))
    assert answer is not None
    assert (answer.key, answer.flags) == (key_of(tcp), TCPFlags.SYN | TCPFlags.ACK)
    udp = sent(IPv4(src=THERE, dst=HERE) / UDP(sport=33434, dport=4000) / b"hello")
    answer = answer_of(udp)
    assert answer is not None
    assert answer.key == Key(17, THERE, 4000, 33434, -1)


@pytest.mark.parametrize("packet", [PROBES["echo"], PROBES["echo6"], PROBES["tcp"]], ids=["echo", "echo6", "syn"])
def test_a_probe_is_no_answer_to_itself(packet: Packet) -> None:
    assert answer_of(sent(packet)) is None


@pytest.mark.parametrize(
    ("packet", "text", "mark"),
    [
        (refuse(PROBES["udp"], ROUTER, 3, 1), "host unreachable", "!H"),
        (refuse(PROBES["udp"], ROUTER, 3, 0), "net unreachable", "!N"),
        (refuse(PROBES["udp"], ROUTER, 3, 2), "protocol unreachable", "!P"),
        (refuse(PROBES["udp"], ROUTER, 3, 13), "communication prohibited", "!X"),
        (refuse(PROBES["udp"], ROUTER, 3, 4, mtu=1400), "fragmentation needed (mtu 1400)", "!F-1400"),
        (refuse(PROBES["udp"], ROUTER, 3, 99), "destination unreachable (code 99)", "!99"),
        (refuse(PROBES["udp"], ROUTER, 11, 0), "TTL exceeded in transit", ""),
        (refuse(PROBES["udp"], ROUTER, 4, 0), "source quench", "!<4-0>"),
        (refuse(PROBES["udp6"], ROUTER6, 1, 0), "no route to destination", "!N"),
        (refuse(PROBES["udp6"], ROUTER6, 1, 3), "address unreachable", "!H"),
        (refuse(PROBES["udp6"], ROUTER6, 1, 1), "prohibited", "!X"),
        (refuse(PROBES["udp6"], ROUTER6, 2, 0, mtu=1280), "packet too big (mtu 1280)", "!F-1280"),
    ],
)
def test_errors_have_words_and_marks(packet: Packet, text: str, mark: str) -> None:
    answer = answer_of(sent(packet))
    assert answer is not None
    assert answer.refusal is not None
    assert (answer.refusal.text, answer.refusal.mark) == (text, mark)


# --- ping -------------------------------------------------------------------------------------------------------

PING = EchoPlan(source=HERE, target=THERE, id=4711, payload=b"0123456789", count=3)
PING6 = replace(PING, source=HERE6, target=THERE6)


@pytest.mark.parametrize("plan", [PING, PING6], ids=["IPv4", "IPv6"])
def test_each_request_leaves_in_its_time_and_its_reply_is_told(plan: EchoPlan) -> None:
    echo = Echo(plan, START)
    events = play(echo, lambda probe: [(7 * MS, echo_back(probe))])
    assert [time for time, _ in events] == [7 * MS, SECOND + 7 * MS, 2 * SECOND + 7 * MS]
    reply = EchoReply(seq=1, sender=plan.target, length=18, ttl=61, rtt_ns=7 * MS)
    assert events[0][1] == reply
    assert [event.seq for _, event in events] == [1, 2, 3]
    assert (echo.totals.transmitted, echo.totals.received, echo.totals.loss) == (3, 3, 0.0)


def test_ping_ends_with_the_last_reply_and_not_with_its_timeout() -> None:
    events = play(Echo(replace(PING, count=1), START), lambda probe: [(MS, echo_back(probe))])
    assert [time for time, _ in events] == [MS]


def test_what_is_asked_for_is_in_the_header() -> None:
    plan = replace(PING, ttl=3, dscp=46, dont_fragment=True)
    out = Echo(plan, START).poll_transmit(START)
    assert out is not None
    ip = sent(Packet.parse(out.frames[0], LinkType.RAW))[IPv4]
    assert (ip.ttl, ip.dscp, ip.flags) == (3, 46, IPv4Flags.DF)
    out = Echo(replace(PING6, ttl=3, dscp=46), START).poll_transmit(START)
    assert out is not None
    ip6 = Packet.parse(out.frames[0], LinkType.RAW)[IPv6]
    assert (ip6.hop_limit, ip6.dscp) == (3, 46)


@pytest.mark.parametrize("plan", [PING, PING6], ids=["IPv4", "IPv6"])
def test_a_large_request_goes_in_fragments_unless_that_is_forbidden(plan: EchoPlan) -> None:
    plan = replace(plan, payload=bytes(3000), mtu=1500)
    out = Echo(plan, START).poll_transmit(START)
    assert out is not None
    assert len(out.frames) == 3
    assert max(map(len, out.frames)) <= 1500
    out = Echo(replace(plan, dont_fragment=True), START).poll_transmit(START)
    assert out is not None
    assert len(out.frames) == 1


def test_what_nothing_comes_for_is_lost() -> None:
    echo = Echo(PING, START)
    events = play(echo, silence)
    assert events == [(2 * SECOND, EchoLost(seq=1)), (3 * SECOND, EchoLost(seq=2)), (4 * SECOND, EchoLost(seq=3))]
    assert echo.totals.loss == 1.0


def test_a_late_reply_is_marked_and_counts() -> None:
    echo = Echo(replace(PING, count=5), START)
    delays = {1: 3 * SECOND}
    events = [event for _, event in play(echo, lambda p: [(delays.get(p[ICMPEcho].seq, MS), echo_back(p))])]
    late = next(event for event in events if isinstance(event, EchoReply) and event.seq == 1)
    assert EchoLost(seq=1) in events
    assert (late.late, late.reordered, late.rtt_ns) == (True, True, 3 * SECOND)
    assert echo.totals.received == 5


def test_a_second_reply_is_a_duplicate_and_does_not_count() -> None:
    echo = Echo(PING, START)
    events = play(echo, lambda probe: [(MS, echo_back(probe)), (2 * MS, echo_back(probe))])
    assert [event.duplicate for _, event in events] == [False, True, False, True, False]
    assert (echo.totals.received, echo.totals.duplicates) == (3, 2)


def test_a_reply_that_was_overtaken_is_marked() -> None:
    echo = Echo(PING, START)
    delays = {1: 1500 * MS, 2: MS, 3: MS}
    events = play(echo, lambda probe: [(delays[probe[ICMPEcho].seq], echo_back(probe))])
    assert [(event.seq, event.reordered) for _, event in events] == [(2, False), (1, True), (3, False)]
    assert echo.totals.reordered == 1


@pytest.mark.parametrize(
    ("changes", "damage"),
    [({"checksum": 0xBEEF}, "bad checksum"), ({"payload": b"0123456780"}, "other data than was sent")],
)
def test_a_damaged_reply_does_not_count(changes: dict[str, Any], damage: str) -> None:
    echo = Echo(replace(PING, count=1), START)
    events = [event for _, event in play(echo, lambda probe: [(MS, echo_back(probe, **changes))])]
    assert isinstance(events[0], EchoReply)
    assert events[0].damage == damage
    assert events[1:] == [EchoLost(seq=1)]
    assert (echo.totals.received, echo.totals.damaged) == (0, 1)


def test_a_truncated_reply_counts() -> None:
    echo = Echo(replace(PING, count=1), START)
    events = play(echo, lambda probe: [(MS, echo_back(probe, payload=b"0123"))])
    assert [(event.truncated, event.damage) for _, event in events] == [(True, "")]
    assert echo.totals.received == 1


def test_an_error_is_told_with_its_sender_and_ends_the_wait() -> None:
    echo = Echo(replace(PING, count=1), START)
    events = play(echo, lambda probe: [(MS, refuse(probe, ROUTER, 3, 1))])
    assert [(time, event.sender, event.text) for time, event in events] == [(MS, ROUTER, "host unreachable")]
    assert (echo.totals.errors, echo.totals.received) == (1, 0)


def test_a_redirect_is_told_and_waited_through() -> None:
    def network(probe: Packet) -> Answers:
        hint = IPv4(src=ROUTER, dst=HERE) / ICMPRedirect(gateway=ROUTER) / bytes(probe)[:28]
        return [(MS, hint), (2 * MS, echo_back(probe))]

    echo = Echo(replace(PING, count=1), START)
    events = [event for _, event in play(echo, network)]
    assert isinstance(events[0], EchoError)
    assert isinstance(events[1], EchoReply)
    assert (echo.totals.received, echo.totals.errors) == (1, 0)


def test_what_the_link_refuses_is_an_error_of_this_host() -> None:
    echo = Echo(replace(PING, count=1), START)
    out = echo.poll_transmit(START)
    assert out is not None
    echo.refused(out, "no route", START)
    assert echo.poll_events() == [EchoError(seq=1, sender="", text="no route")]
    assert echo.done


@pytest.mark.parametrize("change", [{"id": 4712}, {"seq": 9}, {"type": 8}])
def test_somebody_else_s_packets_are_nothing_to_us(change: dict[str, int]) -> None:
    echo = Echo(replace(PING, count=1), START)
    events = play(echo, lambda probe: [(MS, echo_back(probe, **change))])
    assert [event for _, event in events] == [EchoLost(seq=1)]


def test_an_error_about_another_destination_is_nothing_to_us() -> None:
    elsewhere = replace(PING, target="10.0.8.8")

    def network(probe: Packet) -> Answers:
        return [(MS, refuse(sent(probe.replace(IPv4, dst=elsewhere.target)), ROUTER, 3, 1))]

    assert [event for _, event in play(Echo(replace(PING, count=1), START), network)] == [EchoLost(seq=1)]


def test_after_a_stall_requests_are_not_made_up_for() -> None:
    echo = Echo(replace(PING, count=None), START)
    out = echo.poll_transmit(START)
    assert out is not None
    echo.sent(out, START)
    late = START + 10 * SECOND
    out = echo.poll_transmit(late)
    assert out is not None
    echo.sent(out, late)
    assert echo.poll_transmit(late) is None
    echo.handle_timeout(late)
    assert echo.next_timeout() == late + SECOND


def test_sequence_numbers_go_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.sockets.echo.NUMBERS", 8)
    echo = Echo(replace(PING, count=17, interval_ns=MS), START)
    events = play(echo, lambda probe: [(10, echo_back(probe))])
    assert [event.seq for _, event in events] == [*range(1, 8), *range(8), 0, 1]
    assert (echo.totals.received, echo.totals.duplicates, echo.totals.reordered) == (17, 0, 0)


def test_the_sum_is_what_ping_prints() -> None:
    totals = EchoTotals(transmitted=5)
    for time in (2 * MS, 4 * MS, 4 * MS, 6 * MS):
        totals.add(time)
    assert (totals.min_ns, totals.average_ns, totals.max_ns) == (2 * MS, 4 * MS, 6 * MS)
    assert totals.mdev_ns == 1_414_213  # the square root of 2 ms²
    assert totals.loss == pytest.approx(0.2)


# --- traceroute -------------------------------------------------------------------------------------------------

TRACE = HopsPlan(source=HERE, target=THERE, local=40_000, port=33434, base=7)
PATH = ["10.0.1.1", "10.0.2.1", "10.0.3.1"]
LAST = 3, 3
"""ICMP's type and code by which a host says that nobody is at a UDP port."""


def path(routers: Sequence[str | None], arrived: Callable[[Packet], Packet | None], delay: int = MS) -> Network:
    """A way to THERE: each router (None for a silent one) takes `delay` more to answer."""

    def network(probe: Packet) -> Answers:
        ttl = probe[IPv4].ttl
        if ttl <= len(routers):
            router = routers[ttl - 1]
            return [] if router is None else [(ttl * delay, refuse(probe, router, 11, 0))]
        answer = arrived(probe)
        return [] if answer is None else [((len(routers) + 1) * delay, answer)]

    return network


def arrive(probe: Packet) -> Packet:
    """What the destination answers to each kind of probe."""
    if ICMPEcho in probe:
        return echo_back(probe)
    if TCP in probe:
        return tcp_back(probe, TCPFlags.RST | TCPFlags.ACK)
    return refuse(probe, THERE, *LAST)


def addresses(hops: Iterable[Hop]) -> list[list[str | None]]:
    return [[None if answer is None else answer.address for answer in hop.answers] for hop in hops]


@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
def test_each_hop_is_told_with_its_router_in_order(method: Any) -> None:
    hops = Hops(replace(TRACE, method=method), START)
    found = [hop for _, hop in play(hops, path(PATH, arrive))]
    assert addresses(found) == [[router] * 3 for router in [*PATH, THERE]]
    assert [hop.ttl for hop in found] == [1, 2, 3, 4]
    assert [answer.rtt_ns for answer in found[1].answers if answer] == [2 * MS] * 3
    assert hops.reached
    assert [answer.reached for answer in found[3].answers if answer] == [True] * 3


def test_ipv6_udp_is_told_by_the_checksum() -> None:
    plan = replace(TRACE, source=HERE6, target=THERE6)

    def network(probe: Packet) -> Answers:
        limit = probe[IPv6].hop_limit
        return [(MS, refuse(probe, ROUTER6, 3, 0) if limit < 3 else refuse(probe, THERE6, 1, 4))]

    found = [hop for _, hop in play(Hops(plan, START), network)]
    assert addresses(found) == [[ROUTER6] * 3, [ROUTER6] * 3, [THERE6] * 3]


@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
@pytest.mark.parametrize("ends", [(HERE, THERE), (HERE6, THERE6)], ids=["IPv4", "IPv6"])
def test_all_probes_are_one_flow_and_no_two_are_alike(method: Any, ends: tuple[str, str]) -> None:
    """What routers hash: addresses, protocol, and the first four bytes behind the IP header; of ICMP the checksum."""
    probes: list[Packet] = []

    def network(probe: Packet) -> Answers:
        probes.append(probe)
        return ()

    play(Hops(replace(TRACE, method=method, source=ends[0], target=ends[1], timeout_ns=SECOND), START), network)
    header = 40 if ":" in ends[0] else 20
    assert len({bytes(probe)[header : header + 4] for probe in probes}) == 1
    assert len({key_of(probe) for probe in probes}) == len(probes) == 90
    assert all(not probe.problems for probe in probes)
    assert all(verdict == "ok" for probe in probes for verdict in probe.checksums.values())
    if IPv6 in probes[0]:
        assert {probe[IPv6].flow_label for probe in probes} == {0}


def test_a_silent_router_holds_up_the_next_hop_for_a_moment_only() -> None:
    hops = Hops(replace(TRACE, queries=1), START)
    events = play(hops, path([PATH[0], None, PATH[2]], arrive))
    assert addresses(hop for _, hop in events) == [[PATH[0]], [None], [PATH[2]], [THERE]]
    # The third hop was asked GAP_NS after the second; what it answered is told once the second is given up.
    assert [time for time, _ in events] == [MS, *[MS + 5 * SECOND] * 3]
    assert GAP_NS < SECOND


def test_probes_of_one_hop_are_spaced_unless_it_answers_before() -> None:
    times: list[int] = []
    play(Hops(replace(TRACE, max_hops=1), START), silence, sent_at=times)
    assert times == [0, SPACING_NS, 2 * SPACING_NS]
    times.clear()
    play(Hops(replace(TRACE, max_hops=1), START), path(PATH, arrive), sent_at=times)
    assert times == [0, MS, 2 * MS]


def test_one_answer_is_enough_to_ask_the_next_hop() -> None:
    asked: list[int] = []
    times: list[int] = []

    def network(probe: Packet) -> Answers:
        asked.append(probe[IPv4].ttl)
        if probe[IPv4].ttl == 1:
            return [(50 * MS, refuse(probe, ROUTER, 11, 0))] if asked == [1] else []
        return [(MS, arrive(probe))]

    play(Hops(TRACE, START), network, sent_at=times)
    # Not GAP_NS after the third probe of the first hop.
    assert list(zip(asked, times, strict=True))[:4] == [(1, 0), (1, 20 * MS), (1, 40 * MS), (2, 50 * MS)]


def test_nothing_is_asked_behind_the_destination() -> None:
    asked: list[int] = []

    def network(probe: Packet) -> Answers:
        asked.append(probe[IPv4].ttl)
        return path(PATH, arrive)(probe)

    play(Hops(TRACE, START), network)
    assert max(asked) == 4


def test_it_ends_at_the_last_hop_that_is_allowed() -> None:
    hops = Hops(replace(TRACE, max_hops=2), START)
    assert addresses(hop for _, hop in play(hops, path(PATH, arrive))) == [[PATH[0]] * 3, [PATH[1]] * 3]
    assert not hops.reached


@pytest.mark.parametrize(
    ("code", "mark"), [(0, "!N"), (1, "!H"), (2, "!P"), (13, "!X")], ids=["net", "host", "protocol", "prohibited"]
)
def test_a_router_that_can_t_pass_it_on_is_the_end_and_has_a_mark(code: int, mark: str) -> None:
    hops = Hops(TRACE, START)
    found = [hop for _, hop in play(hops, path(PATH[:1], lambda probe: refuse(probe, PATH[1], 3, code)))]
    assert len(found) == 2
    assert [answer.mark for answer in found[-1].answers if answer] == [mark] * 3
    assert not hops.reached
    assert hops.blocked is not None
    assert hops.blocked.address == PATH[1]


def test_a_refusal_of_the_destination_itself_is_an_arrival() -> None:
    hops = Hops(replace(TRACE, method="tcp"), START)
    found = [hop for _, hop in play(hops, path(PATH[:1], lambda probe: refuse(probe, THERE, 3, 13)))]
    assert hops.reached
    assert [answer.mark for answer in found[-1].answers if answer] == ["!X"] * 3


@pytest.mark.parametrize(("flags", "note"), [(TCPFlags.SYN, "open"), (TCPFlags.RST, "closed")])
def test_tcp_says_whether_the_port_is_open(flags: TCPFlags, note: str) -> None:
    hops = Hops(replace(TRACE, method="tcp"), START)
    found = [hop for _, hop in play(hops, path([], lambda probe: tcp_back(probe, flags | TCPFlags.ACK)))]
    assert [answer.note for answer in found[0].answers if answer] == [note] * 3


def test_a_tcp_answer_to_something_else_is_none() -> None:
    hops = Hops(replace(TRACE, method="tcp", max_hops=1, queries=1), START)
    found = play(hops, path([], lambda probe: tcp_back(probe, TCPFlags.RST | TCPFlags.ACK, ack=99)))
    assert addresses(hop for _, hop in found) == [[None]]


def test_a_program_at_the_udp_port_is_an_arrival() -> None:
    def reply(probe: Packet) -> Packet:
        return IPv4(src=THERE, dst=HERE) / UDP(sport=33434, dport=probe[UDP].sport) / b"hello"

    hops = Hops(replace(TRACE, queries=1), START)
    assert addresses(hop for _, hop in play(hops, path(PATH, reply))) == [[router] for router in [*PATH, THERE]]
    assert hops.reached


def test_a_quoted_checksum_that_was_translated_is_made_up_for_by_the_identification() -> None:
    def translated(probe: Packet) -> Packet:
        return refuse(sent(probe.replace(UDP, checksum=0x1234)), PATH[0], 11, 0)

    def network(probe: Packet) -> Answers:
        return [(MS, translated(probe) if probe[IPv4].ttl == 1 else arrive(probe))]

    assert addresses(hop for _, hop in play(Hops(TRACE, START), network)) == [[PATH[0]] * 3, [THERE] * 3]


def test_errors_about_other_flows_are_nothing_to_us() -> None:
    def network(probe: Packet) -> Answers:
        return [(MS, refuse(sent(probe.replace(UDP, sport=1)), ROUTER, 11, 0))]

    found = play(Hops(replace(TRACE, max_hops=1), START), network)
    assert addresses(hop for _, hop in found) == [[None] * 3]


def test_a_refused_probe_ends_the_trace_with_the_reason() -> None:
    hops = Hops(TRACE, START)
    out = hops.poll_transmit(START)
    assert out is not None
    hops.refused(out, "network is down", START)
    assert [(hop.ttl, hop.error) for hop in hops.poll_events()] == [(1, "network is down")]
    assert hops.done


def test_what_is_known_of_unfinished_hops_can_be_had() -> None:
    hops = Hops(TRACE, START)
    out = hops.poll_transmit(START)
    assert out is not None
    hops.sent(out, START)
    hops.receive(sent(refuse(Packet.parse(out.frames[0], LinkType.RAW), ROUTER, 11, 0)), START + MS)
    assert hops.poll_events() == []
    assert addresses(hops.unfinished()) == [[ROUTER]]


# --- sweeps -----------------------------------------------------------------------------------------------------

FAST = SweepPlan(rate=1000, retries=1, timeout_ns=SECOND)
MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:09"


def ports(*numbers: int) -> Iterable[Question]:
    return ask_port(((THERE, number) for number in numbers), HERE, 40_000, 1000, "tcp")


def outcome(sweep: Sweep, network: Network, linktype: LinkType = LinkType.RAW) -> list[tuple[str, str]]:
    play(sweep, network, linktype)
    return [(finding.state, finding.reason) for finding in sweep.findings]


def test_a_port_is_open_closed_or_filtered() -> None:
    def network(probe: Packet) -> Answers:
        answers = {
            1: [(MS, tcp_back(probe, TCPFlags.SYN | TCPFlags.ACK))],
            2: [(MS, tcp_back(probe, TCPFlags.RST | TCPFlags.ACK))],
            3: [(MS, refuse(probe, ROUTER, 3, 13))],
            4: [],
            5: [(MS, tcp_back(probe, TCPFlags.SYN | TCPFlags.ACK, ack=77))],
        }
        return answers[probe[TCP].dport]

    sweep = Sweep(FAST, ports(1, 2, 3, 4, 5), START)
    assert outcome(sweep, network) == [
        ("open", "SYN-ACK"),
        ("closed", "RST"),
        ("filtered", "communication prohibited"),
        ("filtered", "no answer"),
        ("filtered", "no answer"),
    ]
    assert [finding.alive for finding in sweep.findings] == [True, True, False, False, False]
    assert sweep.findings[0].rtt_ns == MS


def test_questions_keep_to_the_rate() -> None:
    times: list[int] = []
    sweep = Sweep(SweepPlan(rate=100, retries=0, timeout_ns=SECOND), ports(*range(1, 11)), START)
    play(sweep, silence, sent_at=times)
    assert times == [10 * MS * number for number in range(10)]


def test_a_stall_is_not_followed_by_a_flood() -> None:
    sweep = Sweep(SweepPlan(rate=100), ports(*range(1, 1000)), START)
    late, count = START + 5 * SECOND, 0
    while (out := sweep.poll_transmit(late)) is not None:
        sweep.sent(out, late)
        count += 1
    assert count < 15


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_silent_one_is_asked_again_and_then_given_up(retries: int) -> None:
    asked: list[bytes] = []

    def network(probe: Packet) -> Answers:
        asked.append(bytes(probe))
        return ()

    play(Sweep(replace(FAST, retries=retries), ports(1), START), network)
    assert len(asked) == 1 + retries
    assert len(set(asked)) == 1  # a retransmission, and not another connection


def test_an_answer_to_the_second_question_counts() -> None:
    tries: list[Packet] = []

    def network(probe: Packet) -> Answers:
        tries.append(probe)
        return [(MS, tcp_back(probe, TCPFlags.SYN | TCPFlags.ACK))] if len(tries) == 2 else []

    assert outcome(Sweep(FAST, ports(1), START), network) == [("open", "SYN-ACK")]


def test_an_answer_after_all_corrects_what_was_given_up() -> None:
    def network(probe: Packet) -> Answers:
        slow = probe[TCP].dport == 1
        return [(2500 * MS, tcp_back(probe, TCPFlags.SYN | TCPFlags.ACK))] if slow else []

    sweep = Sweep(SweepPlan(rate=1, retries=0, timeout_ns=SECOND), ports(1, 2, 3, 4), START)
    assert outcome(sweep, network)[0] == ("open", "SYN-ACK")


def test_what_is_still_waited_for_is_no_finding() -> None:
    sweep = Sweep(FAST, ports(1), START)
    out = sweep.poll_transmit(START)
    assert out is not None
    sweep.sent(out, START)
    assert sweep.findings == []


def test_what_the_link_refuses_has_its_reason() -> None:
    sweep = Sweep(FAST, ports(1), START)
    out = sweep.poll_transmit(START)
    assert out is not None
    sweep.refused(out, "network is down", START)
    assert [(finding.state, finding.reason) for finding in sweep.findings] == [("filtered", "network is down")]
    assert sweep.done


@pytest.mark.parametrize(("source", "target"), [(HERE, THERE), (HERE6, THERE6)], ids=["IPv4", "IPv6"])
def test_an_echo_tells_who_is_up(source: str, target: str) -> None:
    sweep = Sweep(FAST, ask_echo([target], source, 99, "icmp"), START)
    assert outcome(sweep, lambda probe: [(MS, echo_back(probe))]) == [("up", "echo reply")]
    sweep = Sweep(FAST, ask_echo([target], source, 99, "icmp"), START)
    assert outcome(sweep, silence) == [("silent", "no answer")]


def test_an_unreachable_host_is_silent_with_the_reason() -> None:
    sweep = Sweep(FAST, ask_echo([THERE], HERE, 99, "icmp"), START)
    assert outcome(sweep, lambda probe: [(MS, refuse(probe, HERE, 3, 1))]) == [("silent", "host unreachable")]


def arp_reply(question: Packet, mac: str, **changes: Any) -> Packet:
    asked = question[ARP]
    reply = ARP(
        **{"operation": 2, "sender_mac": mac, "sender_ip": asked.target_ip, "target_ip": asked.sender_ip, **changes}
    )
    return Ethernet(dst=asked.sender_mac, src=mac) / reply


def test_arp_asks_everybody_and_tells_the_mac() -> None:
    asked: list[Packet] = []

    def network(question: Packet) -> Answers:
        asked.append(question)
        return [(MS, arp_reply(question, OTHER))] if question[ARP].target_ip == "10.0.0.2" else []

    sweep = Sweep(FAST, ask_neighbor(["10.0.0.2", "10.0.0.3"], HERE, MAC, "arp"), START)
    assert outcome(sweep, network, LinkType.ETHERNET) == [("up", "ARP reply"), ("silent", "no answer")]
    assert sweep.findings[0].macs == [OTHER]
    assert asked[0][Ethernet].dst == "ff:ff:ff:ff:ff:ff"
    assert (asked[0][ARP].sender_mac, asked[0][ARP].sender_ip) == (MAC, HERE)


def test_two_that_have_one_address_are_both_told() -> None:
    def network(question: Packet) -> Answers:
        return [(MS, arp_reply(question, OTHER)), (2 * MS, arp_reply(question, "02:00:00:00:00:0a"))]

    sweep = Sweep(FAST, ask_neighbor(["10.0.0.2", "10.0.0.3"], HERE, MAC, "arp"), START)
    play(sweep, network, LinkType.ETHERNET)
    assert sweep.findings[0].macs == [OTHER, "02:00:00:00:00:0a"]


def test_an_arp_request_is_no_answer() -> None:
    sweep = Sweep(FAST, ask_neighbor(["10.0.0.2"], HERE, MAC, "arp"), START)
    network = [(MS, Ethernet() / ARP(operation=1, sender_mac=OTHER, sender_ip="10.0.0.2"))]
    assert outcome(sweep, lambda _: network, LinkType.ETHERNET) == [("silent", "no answer")]


@pytest.mark.parametrize(("hop_limit", "state"), [(255, "up"), (254, "silent")])
def test_ipv6_neighbours_are_solicited_and_believed_from_this_wire_only(hop_limit: int, state: str) -> None:
    def network(question: Packet) -> Answers:
        asked = question[NeighborSolicitation]
        assert question[IPv6].dst == "ff02::1:ff00:2"
        options = bytes(target_link_address(OTHER))
        told = NeighborAdvertisement(target=asked.target, options=options)
        return [(MS, Ethernet(dst=MAC, src=OTHER) / IPv6(src="fd00::2", dst=HERE6, hop_limit=hop_limit) / told)]

    sweep = Sweep(FAST, ask_neighbor(["fd00::2"], HERE6, MAC, "nd"), START)
    play(sweep, network, LinkType.ETHERNET)
    assert [finding.state for finding in sweep.findings] == [state]
    assert sweep.findings[0].macs == ([OTHER] if state == "up" else [])


# --- by the clock -----------------------------------------------------------------------------------------------


class FakeLink(Link):
    """Answers each packet with an echo reply that is stamped `after_ns` later, by a clock that can be set."""

    linktype = LinkType.RAW
    mtu = 1500

    def __init__(self, time: FakeTime, after_ns: int = 0, failing: str = "") -> None:
        self.time = time
        self.after_ns = after_ns
        self.failing = failing
        self.queue: list[Frame] = []

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        if self.failing:
            raise LinkError(errno.ENETDOWN, self.failing)
        for frame in frames:
            reply = bytes(echo_back(Packet.parse(frame, LinkType.RAW)))
            self.queue.append(Frame(reply, self.time.today + self.after_ns, LinkType.RAW))

    def receive(self, now: int) -> list[Frame]:
        frames, self.queue = self.queue, []
        return frames


class FakeTime:
    """A clock, the time of day, and a poller that wakes up `nap` later with whatever there is."""

    def __init__(self, nap: int, step: int = 0) -> None:
        self.now = START
        self.today = 1_700_000_000 * SECOND
        self.nap = nap
        self.step = step

    def poll(self, timeout_ns: int | None) -> None:
        self.now += self.nap
        self.today += self.nap + self.step
        self.step = 0


def run(echo: Echo, time: FakeTime, link: Link) -> list[Any]:
    return list(drive(echo, {"icmp": link}, clock=lambda: time.now, realtime=lambda: time.today, poller=time))


def test_the_round_trip_ends_when_the_kernel_received_it() -> None:
    time = FakeTime(nap=8 * MS)
    events = run(Echo(replace(PING, count=1), START), time, FakeLink(time, after_ns=3 * MS))
    assert [event.rtt_ns for event in events] == [3 * MS]


@pytest.mark.parametrize("step", [-3600 * SECOND, 3600 * SECOND])
def test_setting_the_time_of_day_does_not_change_a_round_trip(step: int) -> None:
    time = FakeTime(nap=8 * MS, step=step)
    events = run(Echo(replace(PING, count=1), START), time, FakeLink(time, after_ns=3 * MS))
    assert [event.rtt_ns for event in events] == [8 * MS]  # the stamp is of no use: when it was read counts


def test_a_packet_that_the_link_refuses_is_told_and_does_not_end_the_run() -> None:
    time = FakeTime(nap=SECOND)
    events = run(Echo(replace(PING, count=2), START), time, FakeLink(time, failing="veth0 went down"))
    assert [event.text for event in events] == ["veth0 went down"] * 2


def test_a_source_is_what_the_kernel_would_take() -> None:
    assert source_for("127.0.0.1") == "127.0.0.1"
    with pytest.raises(LinkError, match=r"^\[Errno -?\d+\] no way to 127\.0\.0\.1%lo: "):
        source_for("127.0.0.1%lo")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_reserved_port_is_nobody_else_s(kind: socket.SocketKind) -> None:
    with (
        reserve_port("127.0.0.1", kind) as port,
        socket.socket(socket.AF_INET, kind) as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(("127.0.0.1", port))


def test_an_error_inside_the_reservation_is_the_caller_s() -> None:
    with pytest.raises(BrokenPipeError), reserve_port("127.0.0.1", socket.SOCK_DGRAM):
        raise BrokenPipeError


def test_what_may_not_be_cut_is_said() -> None:
    packet = bytes(IPv4(src=HERE, dst=THERE, flags=IPv4Flags.DF) / ICMP() / bytes(2000))
    with pytest.raises(LinkError) as caught:
        fragments(packet, 1500, 1)
    assert caught.value.errno == errno.EMSGSIZE


def test_a_finding_is_alive_if_the_target_itself_has_spoken() -> None:
    assert Finding(target=THERE, by=THERE).alive
    assert not Finding(target=THERE, by=ROUTER).alive


def test_a_time_exceeded_in_reassembly_is_no_hop() -> None:
    assert not Refusal(4, 11, 1, "").expired

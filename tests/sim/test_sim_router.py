"""Routers and translators: what they forward, what they change, and what they drop in silence."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError, WireError
from rawproto.link.carrier import DatagramCarrier, IpCarrier
from rawproto.link.chance import derive_rng
from rawproto.link.queue import CoDel, DropTail
from rawproto.sim.nat import Nat
from rawproto.sim.network import Simulation
from rawproto.sim.pointlink import PointLink
from rawproto.sim.port import Line, Port
from rawproto.sim.router import KNOWN_HEADERS, Router
from rawproto.sim.udplink import UdpLink, endpoint_text, pack_endpoint
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

MS = 1_000_000
V4 = ("10.0.0.1", "10.0.0.2", "203.0.113.1", "203.0.113.2")
V6 = ("fd00::1", "fd00::2", "2001:db8::1", "2001:db8::2")


class Way:
    """Two links with a router, or a translator, between them: the left one is inside."""

    def __init__(self, node: Router, left: str, right: str, line: Line | None = None) -> None:
        self.simulation = Simulation()
        self.node = node
        self.links = PointLink("left", 1500), PointLink("right", 1500)
        self.left, self.right = left, right
        for link, address in zip(self.links, (left, right), strict=True):
            rng = partial(derive_rng, 1, link.interface)
            link.port = Port(self.simulation, f"{link.interface}->r", Line(), node.receive, rng)
            port = Port(self.simulation, f"r->{link.interface}", line or Line(), link.deliver, rng)
            node.route(address, port)
            if link.interface == "right":
                node.default = port

    def carriers(self) -> tuple[IpCarrier, IpCarrier]:
        return IpCarrier(self.links[0], self.left), IpCarrier(self.links[1], self.right)

    def udp(self, left_port: int, right_port: int) -> tuple[DatagramCarrier, DatagramCarrier]:
        names = ((self.left, left_port), (self.right, right_port))
        ends = [UdpLink(link, written(*name)) for link, name in zip(self.links, names, strict=True)]
        return DatagramCarrier(ends[0], ends[0].address), DatagramCarrier(ends[1], ends[1].address)

    def through(self, *frames: bytes) -> list[bytes]:
        """What comes out on the right of what goes in on the left."""
        self.links[0].send(frames, self.simulation.now)
        self.simulation.run_idle()
        return [frame.data for frame in self.links[1].receive(self.simulation.now)]


def written(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def runs(carrier: IpCarrier | DatagramCarrier, now: int = 0) -> list[tuple[str, list[bytes], bool]]:
    return [(peer, [bytes(datagram) for datagram in run], marked) for peer, run, marked in carrier.receive(now)]


def ip4(**fields: object) -> bytes:
    options = {"src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 253} | fields
    return bytes(IPv4(**options) / b"datagram, and more")  # type: ignore[arg-type]


def ip6(**fields: object) -> bytes:
    options = {"src": "fd00::1", "dst": "fd00::2", "next_header": 253} | fields
    return bytes(IPv6(**options) / b"datagram, and more")  # type: ignore[arg-type]


def test_a_packet_is_forwarded_with_one_hop_less_and_else_unchanged() -> None:
    way = Way(Router("r"), *V4[:2])
    assert way.through(ip4(ttl=9), ip4(ttl=9, dscp=5), ip4(ttl=9)) == [ip4(ttl=8), ip4(ttl=8, dscp=5), ip4(ttl=8)]
    way = Way(Router("r"), *V6[:2])
    assert way.through(ip6(hop_limit=9), ip6(hop_limit=9)) == [ip6(hop_limit=8), ip6(hop_limit=8)]
    assert not way.node.dropped


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "malformed"),
        (b"\x45", "malformed"),
        (ip4()[:19], "malformed"),
        (ip6()[:39], "malformed"),
        (ip4(version=7), "malformed"),
        (ip4(ihl=6), "malformed"),
        (ip4(checksum=1), "checksum"),
        (ip4(ttl=1), "ttl"),
        (ip6(hop_limit=0), "ttl"),
        (ip4(dst="10.9.9.9"), "no route"),
        (ip6(dst="fd00::9"), "no route"),
    ],
)
def test_what_goes_no_further_is_counted_by_reason(frame: bytes, reason: str) -> None:
    way = Way(Router("r"), *V4[:2])
    way.node.default = None
    assert way.through(frame, frame) == []
    assert way.node.dropped == {reason: 2}


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_arbitrary_bytes_never_raise(frames: list[bytes]) -> None:
    for node in (Router("r"), Nat("n")):
        way = Way(node, *V4[:2])
        assert len(way.through(*frames)) + sum(node.dropped.values()) <= len(frames)


def test_packets_in_a_circle_come_to_an_end() -> None:
    simulation = Simulation()
    one, other = Router("one"), Router("other")
    rng = partial(derive_rng, 1)
    one.default = Port(simulation, "one->other", Line(), other.receive, rng)
    other.default = Port(simulation, "other->one", Line(delay_ns=5), one.receive, rng)
    one.receive([ip4(ttl=64)], 0)
    simulation.run_idle()
    assert one.default.meter.sent + other.default.meter.sent == 63
    assert one.dropped + other.dropped == {"ttl": 1}


def test_any_number_of_headers_needs_no_more_memory() -> None:
    way = Way(Router("r"), *V4[:2])
    for number in range(2 * KNOWN_HEADERS + 5):
        way.through(ip4(src=f"10.1.{number // 250}.{number % 250}"))
    assert len(way.node._known) <= KNOWN_HEADERS


def test_a_new_route_holds_for_headers_already_known() -> None:
    way = Way(Router("r"), *V4[:2])
    assert len(way.through(ip4())) == 1
    assert way.links[0].port is not None
    way.node.route("10.0.0.2", Port(way.simulation, "r->nowhere", Line(), lambda frames, now: None, derive_rng))  # type: ignore[arg-type]
    assert way.through(ip4()) == []


# -- congestion marks, carrier to carrier ------------------------------------------------------------------------------


@pytest.mark.rdt("4-9")
@pytest.mark.parametrize("addresses", [V4[:2], V6[:2]])
@pytest.mark.parametrize("ect", [True, False])
def test_a_mark_set_in_a_queue_is_seen_by_the_receiving_carrier(addresses: tuple[str, str], ect: bool) -> None:
    line = Line(rate_bps=10_000_000, queue=partial(DropTail, 20_000, mark_bytes=5000))
    way = Way(Router("r"), *addresses, line)
    a, b = way.carriers()
    a.send(way.right, [bytes(1000)] * 15, 0, ect=ect)
    way.simulation.run_idle()
    got = [(len(run), marked) for _, run, marked in runs(b)]
    # One leaves at once, four wait within 5000 bytes with their headers, and what comes behind them is marked.
    assert got == ([(5, False), (10, True)] if ect else [(15, False)])
    assert not b.discarded


def test_codel_marks_end_to_end() -> None:
    way = Way(Router("r"), *V4[:2], Line(rate_bps=8_000_000, queue=partial(CoDel, ecn=True)))
    a, b = way.carriers()
    for ms in range(0, 400, 2):
        way.simulation.at(ms * MS, lambda: a.send(way.right, [bytes(980)] * 3, 0, ect=True))
    way.simulation.run_idle()
    marked = sum(len(run) for _, run, marked in runs(b) if marked)
    assert marked == way.node.default.meter.marked > 2  # type: ignore[union-attr]
    assert not way.node.default.meter.dropped  # type: ignore[union-attr]


# -- translation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inside", "far", "first", "second"), [V4, V6])
def test_a_rebound_host_is_another_peer(inside: str, far: str, first: str, second: str) -> None:
    nat = Nat("n")
    way = Way(nat, inside, far)
    nat.bind(inside, first)
    a, b = way.carriers()
    a.send(far, [b"1", b"2"], 0)
    assert runs(b) == [(first, [b"1", b"2"], False)]
    b.send(first, [b"answer"], 0)
    assert runs(a) == [(far, [b"answer"], False)]
    nat.bind(inside, second)
    a.send(far, [b"3"], 0)
    assert runs(b) == [(second, [b"3"], False)]
    b.send(first, [b"too late"], 0)
    assert runs(a) == []
    assert nat.dropped == {"unbound": 1}
    b.send(second, [b"in time"], 0)
    assert runs(a) == [(far, [b"in time"], False)]
    assert not a.discarded + b.discarded


def test_what_is_not_bound_passes_as_it_is() -> None:
    way = Way(Nat("n"), *V4[:2])
    a, b = way.carriers()
    a.send(V4[1], [b"1"], 0)
    assert runs(b) == [(V4[0], [b"1"], False)]


@pytest.mark.parametrize(("inside", "far", "first", "second"), [V4, V6])
def test_a_udp_port_can_be_rebound_and_its_checksum_fits(inside: str, far: str, first: str, second: str) -> None:
    nat = Nat("n")
    way = Way(nat, inside, far)
    a, b = way.udp(4000, 7000)
    for outside in (written(first, 4001), written(first, 4002), written(second, 4002)):
        nat.bind(written(inside, 4000), outside)
        a.send(written(far, 7000), [b"question", b"odd"], 0)
        assert runs(b) == [(outside, [b"question", b"odd"], False)]
        b.send(outside, [b"answer"], 0)
        assert runs(a) == [(written(far, 7000), [b"answer"], False)]
    b.send(written(first, 4001), [b"too late"], 0)
    assert runs(a) == []
    assert nat.dropped == {"unbound": 1}


def test_the_packets_of_a_translator_are_what_a_parser_finds_valid() -> None:
    nat = Nat("n")
    way = Way(nat, *V4[:2])
    nat.bind("10.0.0.1:4000", "203.0.113.1:4001")
    sent = IPv4(src="10.0.0.1", dst="10.0.0.2", protocol=17) / UDP(sport=4000, dport=7000) / b"payload"
    (frame,) = way.through(bytes(sent))
    packet = Packet.parse(frame, LinkType.RAW)
    assert (str(packet[IPv4].src), packet[UDP].sport, packet[UDP].dport) == ("203.0.113.1", 4001, 7000)
    assert (packet.checksums["IPv4"], packet.checksums["UDP"]) == ("ok", "ok")


def test_a_datagram_without_a_checksum_gets_none() -> None:
    nat = Nat("n")
    way = Way(nat, *V4[:2])
    nat.bind("10.0.0.1", "203.0.113.1")
    sent = IPv4(src="10.0.0.1", dst="10.0.0.2", protocol=17) / UDP(sport=4000, dport=7000, checksum=0) / b"payload"
    (frame,) = way.through(bytes(sent))
    packet = Packet.parse(frame, LinkType.RAW)
    assert (str(packet[IPv4].src), packet[UDP].sport, packet[UDP].checksum) == ("203.0.113.1", 4000, 0)


def test_bindings_that_can_not_be_are_refused() -> None:
    nat = Nat("n")
    nat.bind("10.0.0.1", "203.0.113.1")
    nat.bind("10.0.0.1", "203.0.113.1")
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1 is what 10\.0\.0\.1 is seen as already"):
        nat.bind("10.0.0.2", "203.0.113.1")
    with pytest.raises(ConfigError, match="of one IP version"):
        nat.bind("10.0.0.1", "2001:db8::1")
    with pytest.raises(ConfigError, match="UDP port or none"):
        nat.bind("10.0.0.1:1", "203.0.113.1")
    with pytest.raises(WireError):
        nat.bind("nobody", "203.0.113.1")


# -- UDP in virtual time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:65535"])
def test_endpoints_are_written_as_they_are_read(text: str) -> None:
    assert endpoint_text(pack_endpoint(text)) == text


@pytest.mark.parametrize("text", ["", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "[fd00::1]:", "[fd00::1", ":80"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        pack_endpoint(text)


def test_what_is_damaged_or_for_another_port_is_counted() -> None:
    way = Way(Router("r"), *V4[:2])
    a, b = way.udp(4000, 7000)
    a.send("10.0.0.2:7001", [b"wrong port"], 0)
    good = bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", protocol=17) / UDP(sport=1, dport=7000) / b"payload")
    way.links[0].send([good[:-1] + b"D", good[:-1], good[:27], ip4(), good, good + b"padding"], 0)
    assert runs(b) == [("10.0.0.1:1", [b"payload", b"payload"], False)]
    assert sum(b.link.discarded.values()) == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("peer", ["10.0.0.2", "[fd00::2]:7000", "server", ""])
def test_a_peer_that_can_not_be_reached_by_udp_is_refused(peer: str) -> None:
    a, _ = Way(Router("r"), *V4[:2]).udp(4000, 7000)
    with pytest.raises(OSError, match="peer"):
        a.send(peer, [b"x"], 0)
    with pytest.raises(OSError, match="peer"):
        a.canonical(peer)

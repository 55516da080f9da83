"""Datagrams to frames and back, for IPv4 and IPv6, on Ethernet and without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError, WireError
from rawproto.link.carrier import KNOWN_HEADERS, DatagramCarrier, IpCarrier, ipv4_fault
from rawproto.link.memory import MemoryLink, Segment
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.fragment import fragment
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}


class Wire:
    """Two carriers on a segment, and a third link that sees and sends raw frames."""

    def __init__(self, version: int = 4, linktype: LinkType = LinkType.ETHERNET, mtu: int = 1500) -> None:
        segment = Segment(linktype, mtu)
        self.here, self.there = ADDRESSES[version]
        self.a = IpCarrier(segment.attach("a"), self.here, MACS[0])
        self.b = IpCarrier(segment.attach("b"), self.there, MACS[1])
        self.tap: MemoryLink = segment.attach("tap")

    def settle(self, now: int = 0) -> list[bytes]:
        got = []
        for _ in range(4):
            for carrier in (self.a, self.b):
                got += [bytes(datagram) for _, run, _ in carrier.receive(now) for datagram in run]
        return got

    def resolved(self) -> Wire:
        self.a.send(self.there, [b"hello"], 0)
        assert self.settle() == [b"hello"]
        self.tap.receive(0)
        return self


SHAPES = [(version, linktype) for version in (4, 6) for linktype in (LinkType.ETHERNET, LinkType.RAW)]


@pytest.mark.parametrize(("version", "linktype"), SHAPES)
def test_datagrams_arrive_with_their_sender(version: int, linktype: LinkType) -> None:
    wire = Wire(version, linktype).resolved()
    wire.a.send(wire.there, [b"one", b"two!", b"two?"], 0)
    assert [(peer, list(map(bytes, run)), marked) for peer, run, marked in wire.b.receive(0)] == [
        (wire.here, [b"one", b"two!", b"two?"], False)
    ]


@pytest.mark.rdt("4-2", "4-4")
@pytest.mark.parametrize(("version", "linktype"), SHAPES)
def test_frames_are_what_a_parser_finds_valid(version: int, linktype: LinkType) -> None:
    wire = Wire(version, linktype).resolved()
    datagram = bytes.fromhex("010a0000") + bytes(36)
    wire.a.send(wire.there, [datagram], 0)
    (frame,) = wire.tap.receive(0)
    packet = Packet.parse(frame.data, linktype)
    ip = packet[IPv4] if version == 4 else packet[IPv6]
    assert (str(ip.src), str(ip.dst)) == (wire.here, wire.there)
    if version == 4:
        assert (packet[IPv4].protocol, packet[IPv4].total_length, packet[IPv4].flags) == (253, 60, IPv4Flags.DF)
        assert (packet[IPv4].id, packet[IPv4].ihl) == (0, 5)
        assert packet.checksums["IPv4"] == "ok"
    else:
        assert (packet[IPv6].next_header, packet[IPv6].payload_length) == (253, 40)
    assert frame.data.endswith(datagram)


@pytest.mark.parametrize(("version", "size"), [(4, 1480), (6, 1460)])
def test_the_largest_datagram_fits_the_mtu(version: int, size: int) -> None:
    wire = Wire(version).resolved()
    assert wire.a.datagram_size == size
    wire.a.send(wire.there, [bytes(size)], 0)
    assert wire.settle() == [bytes(size)]


@pytest.mark.rdt("4-6")
@pytest.mark.parametrize("version", [4, 6])
def test_ethernet_padding_is_taken_off(version: int) -> None:
    wire = Wire(version).resolved()
    wire.a.send(wire.there, [b"tiny"], 0)
    (frame,) = wire.tap.receive(0)
    wire.b.receive(0)
    wire.tap.send([frame.data.ljust(80, b"\xaa")], 0)
    assert [list(map(bytes, run)) for _, run, _ in wire.b.receive(0)] == [[b"tiny"]]


@pytest.mark.parametrize("version", [4, 6])
def test_a_neighbour_is_asked_for_and_what_waited_is_sent(version: int) -> None:
    wire = Wire(version)
    wire.a.send(wire.there, [b"first"], 0)
    wire.a.send(wire.there, [b"second"], 0)
    assert len(wire.tap.receive(0)) == 1
    assert wire.settle() == [b"first", b"second"]


def test_a_silent_neighbour_is_asked_three_times() -> None:
    wire = Wire()
    wire.a.send("10.0.0.99", [b"x"], 0)
    while (due := wire.a.next_timeout()) is not None:
        wire.a.handle_timeout(due)
    assert len(wire.tap.receive(0)) == 3
    assert wire.a.neighbors is not None
    assert wire.a.neighbors.unresolved == 1


def ip4(**fields: object) -> bytes:
    options = {"src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 253} | fields
    return bytes(Ethernet(dst=MACS[1], src=MACS[0]) / IPv4(**options) / b"datagram")  # type: ignore[arg-type]


def ip6(**fields: object) -> bytes:
    options = {"src": "fd00::1", "dst": "fd00::2", "next_header": 253} | fields
    return bytes(Ethernet(dst=MACS[1], src=MACS[0]) / IPv6(**options) / b"datagram")  # type: ignore[arg-type]


def changed(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes((value,)) + frame[at + 1 :]


FAULTS: list[tuple[int, bytes, dict[str, int]]] = [
    (4, ip4(), {}),
    (4, ip4()[:13], {"short frame": 1}),
    (4, b"", {"short frame": 1}),
    (4, ip4()[:20], {"malformed IP header": 1}),
    (4, ip4(version=5), {"malformed IP header": 1}),
    (4, ip4(ihl=4), {"malformed IP header": 1}),
    (4, ip4(total_length=19), {"malformed IP header": 1}),
    (4, ip4(ihl=6), {"IP options": 1}),
    (4, ip4(checksum=1), {"IP checksum": 1}),
    (4, ip4(flags=1), {"IP fragment": 1}),
    (4, ip4(fragment_offset=1), {"IP fragment": 1}),
    (4, ip4(total_length=100), {"truncated packet": 1}),
    (6, ip6(), {}),
    (6, ip6()[:40], {"malformed IP header": 1}),
    (6, ip6(version=4), {"malformed IP header": 1}),
    (6, ip6(payload_length=100), {"truncated packet": 1}),
]


@pytest.mark.rdt("4-3")
@pytest.mark.parametrize(("version", "frame", "reasons"), FAULTS)
def test_each_fault_has_its_reason(version: int, frame: bytes, reasons: dict[str, int]) -> None:
    wire = Wire(version)
    wire.tap.send([frame, frame], 0)
    runs = wire.b.receive(0)
    assert wire.b.discarded == {reason: 2 * count for reason, count in reasons.items()}
    assert sum(len(run) for _, run, _ in runs) == (0 if reasons else 2)


@pytest.mark.rdt("4-3", "4-4")
@pytest.mark.parametrize(("version", "reasons"), [(4, {"IP fragment": 2}), (6, {})])
def test_fragments_are_not_put_together(version: int, reasons: dict[str, int]) -> None:
    wire = Wire(version)
    ends = {"src": wire.here, "dst": wire.there}
    ip = IPv4(protocol=253, **ends) if version == 4 else IPv6(next_header=253, **ends)
    pieces = fragment(bytes(Ethernet(dst=MACS[1], src=MACS[0]) / ip / bytes(1400)), 1280, identification=7)
    assert len(pieces) == 2
    wire.tap.send(pieces, 0)
    assert wire.b.receive(0) == []
    assert wire.b.discarded == reasons


@pytest.mark.parametrize(
    ("version", "frame"),
    [
        (4, changed(ip4(), 5, 77)),
        (4, ip4(dst="10.0.0.3")),
        (4, ip4(protocol=6)),
        (4, ip6()),
        (6, ip4()),
        (6, ip6(dst="fd00::3")),
        (6, ip6(next_header=6)),
        (6, bytes(Ethernet(dst=MACS[1], src=MACS[0]) / ARP())),
    ],
)
def test_what_is_for_others_is_passed_over_in_silence(version: int, frame: bytes) -> None:
    wire = Wire(version)
    wire.tap.send([frame], 0)
    assert wire.b.receive(0) == []
    assert not wire.b.discarded


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("linktype", [LinkType.ETHERNET, LinkType.RAW])
@given(frames=st.lists(st.binary(max_size=1500), max_size=8))
def test_arbitrary_bytes_never_raise(version: int, linktype: LinkType, frames: list[bytes]) -> None:
    wire = Wire(version, linktype)
    wire.tap.send(frames, 0)
    assert all(len(run) > 0 for _, run, _ in wire.b.receive(0))


def samples() -> dict[int, list[bytes]]:
    """Valid frames of every kind that a carrier looks into."""
    found = {}
    for version in (4, 6):
        wire = Wire(version)
        wire.a.send(wire.there, [bytes(60)], 0)
        wire.settle()
        found[version] = [frame.data for frame in wire.tap.receive(0)]
        assert len(found[version]) == 3
    return found


SAMPLES = samples()


@pytest.mark.parametrize("version", [4, 6])
@given(data=st.data())
def test_damaged_frames_never_raise(version: int, data: st.DataObject) -> None:
    wire = Wire(version)
    for _ in range(5):
        frame = bytearray(data.draw(st.sampled_from(SAMPLES[version])))
        change = st.tuples(st.integers(14, len(frame) - 1), st.integers(0, 255))
        for at, value in data.draw(st.lists(change, max_size=4)):
            frame[at] = value
        wire.tap.send([bytes(frame[: data.draw(st.integers(0, len(frame)))]), bytes(frame)], 0)
    wire.settle()
    for address in (wire.here, wire.there):
        wire.b.send(address, [b"and sending still works"], 0)
    wire.b.handle_timeout(10**9)


def test_any_number_of_headers_and_peers_needs_no_more_memory() -> None:
    wire = Wire()
    assert wire.b.neighbors is not None
    for number in range(3 * KNOWN_HEADERS):
        address = f"10.2.{number // 250}.{number % 250}"
        wire.tap.send([ip4(src=address)], 0)
        wire.b.receive(0)
        wire.b.send(address, [b"reply"], 0)
    assert len(wire.b._known) <= KNOWN_HEADERS
    assert len(wire.b._packed) <= KNOWN_HEADERS
    assert len(wire.b._prefixes) <= KNOWN_HEADERS


def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(WireError):
        Wire().a.send("not an address", [b"x"], 0)


CARRIERS: list[tuple[Callable[[MemoryLink], object], LinkType]] = [
    (lambda link: IpCarrier(link, "10.0.0.1", MACS[0]), LinkType.USER0),
    (lambda link: DatagramCarrier(link, "a"), LinkType.ETHERNET),
]


@pytest.mark.parametrize(("make", "linktype"), CARRIERS)
def test_a_link_of_another_type_is_refused(make: Callable[[MemoryLink], object], linktype: LinkType) -> None:
    with pytest.raises(ConfigError, match=linktype.name):
        make(Segment(linktype).attach("a"))


def test_bare_datagrams_need_no_headers() -> None:
    segment = Segment(LinkType.USER0, 1000)
    links = [segment.attach(name) for name in ("a", "b", "c")]
    a, b, c = (DatagramCarrier(link, link.interface) for link in links)
    assert a.datagram_size == 1000
    a.send("b", [b"1", b"2"], 0)
    c.send("b", [b"3"], 0)
    a.send("b", [b"4"], 0)
    assert b.receive(0) == [("a", [b"1", b"2"], False), ("c", [b"3"], False), ("a", [b"4"], False)]
    assert c.receive(0) == []
    assert (a.next_timeout(), a.fileno() >= 0) == (None, True)
    a.handle_timeout(1)
    for carrier in (a, b, c):
        carrier.close()


def test_a_header_may_have_the_reserved_bit_and_df() -> None:
    assert ipv4_fault(bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", total_length=20, flags=2))) == ""


@pytest.mark.rdt("4-9")
@pytest.mark.parametrize(("version", "linktype"), SHAPES)
def test_what_may_be_marked_says_so_in_its_header_and_the_rest_does_not(version: int, linktype: LinkType) -> None:
    wire = Wire(version, linktype).resolved()
    wire.a.send(wire.there, [b"yes"], 0, ect=True)
    wire.a.send(wire.there, [b"no!"], 0)
    packets = [Packet.parse(frame.data, linktype) for frame in wire.tap.receive(0)]
    headers = [packet[IPv4] if version == 4 else packet[IPv6] for packet in packets]
    assert [(header.ecn, header.dscp) for header in headers] == [(0b10, 0), (0, 0)]
    if version == 4:
        assert {packet.checksums["IPv4"] for packet in packets} == {"ok"}
    assert [(list(map(bytes, run)), marked) for _, run, marked in wire.b.receive(0)] == [([b"yes", b"no!"], False)]


@pytest.mark.rdt("4-9")
@pytest.mark.parametrize("version", [4, 6])
def test_a_run_is_all_marked_or_not_at_all(version: int) -> None:
    wire = Wire(version)
    make = ip4 if version == 4 else ip6
    not_ect, ect0, ect1, ce = (make(ecn=ecn) for ecn in (0b00, 0b10, 0b01, 0b11))
    wire.tap.send([not_ect, ect0, ce, ce, ect1, ce], 0)
    runs = [(peer, len(run), marked) for peer, run, marked in wire.b.receive(0)]
    assert runs == [
        (wire.here, 2, False),
        (wire.here, 2, True),
        (wire.here, 1, False),
        (wire.here, 1, True),
    ]
    assert not wire.b.discarded


def test_marks_of_two_peers_are_kept_apart() -> None:
    wire = Wire()
    wire.tap.send([ip4(src="10.0.0.1", ecn=3), ip4(src="10.0.0.9", ecn=3), ip4(src="10.0.0.9")], 0)
    runs = [(peer, len(run), marked) for peer, run, marked in wire.b.receive(0)]
    assert runs == [("10.0.0.1", 1, True), ("10.0.0.9", 1, True), ("10.0.0.9", 1, False)]


def test_carriers_tell_whether_marks_can_be_seen() -> None:
    assert IpCarrier.ecn
    assert not DatagramCarrier.ecn
    segment = Segment(LinkType.USER0)
    a, b = (DatagramCarrier(segment.attach(name), name) for name in ("a", "b"))
    a.send("b", [b"1"], 0, ect=True)
    assert b.receive(0) == [("a", [b"1"], False)]

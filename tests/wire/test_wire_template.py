from __future__ import annotations

import itertools
from typing import Any

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.field import computed, field
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_routing import SourceRouteToHome
from rawproto.wire.neighbor import NeighborSolicitation, source_link_address
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT, Mss
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize, Timestamps
from rawproto.wire.template import template
from rawproto.wire.udp import UDP
from rawproto.wire.udplite import UDPLite

IPS: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
IP6S: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}
TAGGED = Ethernet() / VLAN(pcp=3, vid=5, ethertype=0x8100) / VLAN(vid=7)
SAMPLES: list[Packet] = [
    Ethernet() / IPv4(**IPS) / UDP(sport=53, dport=9) / b"odd",
    TAGGED / IPv4(**IPS, options=b"\x94\x04\0\0") / TCP(sport=1, options=[MaximumSegmentSize(1460)]) / b"hello world",
    Ethernet() / IPv6(**IP6S) / TCP(dport=80, options=[Timestamps(1, 2)]) / b"",
    Ethernet() / IPv6(**IP6S) / UDP(sport=53) / b"even",
    Ethernet() / IPv4(**IPS) / UDP(checksum=0) / b"none",
    Ethernet() / IPv4(**IPS, checksum=1) / TCP(checksum=2) / b"wrong",
    Ethernet() / IPv4(**IPS) / UDP() / IPv4(src="1.1.1.1") / TCP() / b"tunnel",
    IPv4(**IPS) / IPv6(**IP6S) / UDP() / b"",
    IPv4(**IPS) / ICMPEcho(type=0) / bytes(8),
    IPv6(**IP6S) / ICMPv6Echo(id=1) / b"ping",
    IPv6(**IP6S) / NeighborSolicitation(target="fd00::2", options=[source_link_address("02:00:00:00:00:01")]),
    Ethernet() / ARP(target_ip="10.0.0.2") / b"",
    RDT(sport=1, options=[Mss(9)]) / b"payload",
    Ethernet() / IPv4(**IPS) / RDT(seq=5) / b"",
    Ethernet() / IPv6(**IP6S) / UDP(sport=RDT_UDP_PORT) / RDT(seq=5) / b"payload",
    IPv4(**IPS) / UDP() / RDT() / IPv4() / RDT() / TCP() / b"crc over crc",
    IPv4(**IPS) / UDP() / RDT(crc=7) / b"fixed",
    (Ethernet() / IPv4(**IPS) / UDP() / b"padded").replace(trailer=bytes(11)),
    (Ethernet() / IPv4(**IPS) / RDT() / b"padded").replace(trailer=bytes(11)),
    Packet.parse(bytes(IPv4(**IPS) / UDP() / b"parsed"), LinkType.RAW),
    Packet.parse(bytes(IPv4(**IPS) / UDP() / b"parsed"), LinkType.RAW).recompute(),
    TCP() / b"no IP header",
]
LENGTHS = {"ihl", "total_length", "payload_length", "length", "data_offset", "header_length", "protocol_size"}


def places(packet: Packet) -> list[str]:
    """The names of all that can change, a few slices among them."""
    found = [f"payload[{a}:{b}]" for a, b in ((0, 1), (0, 4), (1, 4), (2, 4)) if b <= len(packet.payload)]
    seen: dict[str, int] = {}
    for header in packet.layers:
        family = header.family.lower()
        seen[family] = seen.get(family, 0) + 1
        layer = family if seen[family] == 1 else f"{family}#{seen[family]}"
        for row in header.fields:
            size = len(header.raw(row.name)) if row.pack else 0
            if row.name not in LENGTHS and not row.is_tail:
                found.append(f"{layer}.{row.name}")
            if size > 3:
                found.append(f"{layer}.{row.name}[{size - 3}:{size}]")
    return found


def rebuilt(packet: Packet, changes: dict[str, int]) -> bytes:
    """The packet built from headers that have these values, by another road than the template's."""
    layers, payload = list(packet.layers), bytearray(packet.payload)
    for name, number in changes.items():
        path, _, span = name.partition("[")
        start, stop = (int(end) for end in span[:-1].split(":")) if span else (0, 0)
        if path == "payload":
            payload[start:stop] = number.to_bytes(stop - start)
            continue
        layer, _, attribute = path.partition(".")
        family, _, nth = layer.partition("#")
        at = [n for n, header in enumerate(layers) if header.family.lower() == family][int(nth or 1) - 1]
        value: Any = number
        row = next(row for row in layers[at].fields if row.name == attribute)
        if row.pack:
            held = bytearray(layers[at].raw(attribute))
            held[start : stop or len(held)] = number.to_bytes((stop or len(held)) - start)
            value = bytes(held)
        layers[at] = layers[at].replace(**{attribute: value})
    return bytes(Packet(layers, bytes(payload), trailer=packet.trailer))


def width(packet: Packet, name: str) -> int:
    path, _, span = name.partition("[")
    if span:
        start, stop = (int(end) for end in span[:-1].split(":"))
        return 8 * (stop - start)
    layer, _, attribute = path.partition(".")
    header = next(header for header in packet.layers if header.family.lower() == layer.partition("#")[0])
    return next(row.bits for row in header.fields if row.name == attribute)


def overlap(names: list[str]) -> bool:
    paths = [name.partition("[")[0] for name in names]
    return len(set(paths)) < len(paths)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Packet, list[str], list[list[int]]]:
    packet = draw(st.sampled_from(SAMPLES))
    names = draw(st.lists(st.sampled_from(places(packet)), min_size=1, max_size=4).filter(lambda n: not overlap(n)))
    tops = [(1 << width(packet, name)) - 1 for name in names]
    values = st.tuples(*(st.sampled_from((0, top)) | st.integers(0, top) for top in tops))
    return packet, names, draw(st.lists(values.map(list), min_size=1, max_size=4))


@given(cases())
def test_a_rendered_packet_is_what_building_gives(case: tuple[Packet, list[str], list[list[int]]]) -> None:
    packet, names, rows = case
    made = template(packet, *names)
    for row in rows:
        expected = rebuilt(packet, dict(zip(names, row, strict=True)))
        assert made.render(*row) == expected
        assert len(expected) == made.size


@given(cases())
def test_a_block_is_its_packets_back_to_back(case: tuple[Packet, list[str], list[list[int]]]) -> None:
    packet, names, rows = case
    made = template(packet, *names)
    given_rows = [row[0] for row in rows] if len(names) == 1 else [tuple(row) for row in rows]
    assert made.block(given_rows) == b"".join(made.render(*row) for row in rows)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda packet: "-".join(header.family for header in packet.layers))
def test_every_place_that_is_listed_can_be_opened(sample: Packet) -> None:
    for name in places(sample):
        top = (1 << width(sample, name)) - 1
        made = template(sample, name)
        assert made.render(top) == rebuilt(sample, {name: top}), name
        assert made.block([0, top]) == made.render(0) + made.render(top), name


@pytest.mark.parametrize(
    ("packet", "name", "at", "zeros"),
    [
        (IPv4(**IPS) / UDP() / b"\1", "udp.sport", 26, {0xFFFF}),
        (IPv4(**IPS) / UDPLite(coverage=8) / b"\1", "udplite.sport", 26, {0xFFFF}),
        (IPv4(**IPS) / b"", "ipv4.id", 10, {0}),
        (IPv4() / ICMPEcho(type=0), "icmp.seq", 22, {0, 0xFFFF}),
        (IPv4() / ICMPEcho(type=8), "icmp.seq", 22, {0}),
        (IPv4(**IPS) / TCP(), "tcp.window", 36, {0}),
    ],
)
def test_all_values_of_a_field_and_so_both_zeros(packet: Packet, name: str, at: int, zeros: set[int]) -> None:
    made = template(packet, name)
    block = made.block(range(65536))
    checksums = [int.from_bytes(block[n : n + 2]) for n in range(at, len(block), made.size)]
    assert set(checksums) & {0, 0xFFFF} == zeros
    zero = [value for value in range(65536) if checksums[value] in (0, 0xFFFF)]
    for value in {0, 1, 0x7FFF, 0xFFFE, 0xFFFF, *zero}:
        assert block[value * made.size : (value + 1) * made.size] == rebuilt(packet, {name: value})
        assert made.render(value) == rebuilt(packet, {name: value})


def test_a_checksum_that_comes_out_as_zero() -> None:
    for packet, name, layer in ((IPv4(**IPS) / UDP() / b"", "udp.sport", UDP), (IPv4(**IPS) / TCP(), "tcp.sport", TCP)):
        checksum = packet.computed()[layer].raw("checksum")
        made = template(packet, name)
        expected = rebuilt(packet, {name: checksum})
        assert made.render(checksum) == expected == made.block([checksum])
        parsed = Packet.parse(expected, LinkType.RAW)
        assert parsed[layer].raw("checksum") == (0xFFFF if layer is UDP else 0)
        assert set(parsed.checksums.values()) == {"ok"}


def test_a_rendered_packet_verifies() -> None:
    made = template(SAMPLES[14], "ipv6.src", "udp.sport", "rdt.seq", "payload[0:2]")
    parsed = Packet.parse(made.render("fd00::abcd", RDT_UDP_PORT, 2**64 - 1, b"xy"))
    assert parsed.checksums == {"UDP": "ok", "RDT": "ok"}
    assert (parsed[IPv6].src, parsed[RDT].seq, parsed.payload) == ("fd00::abcd", 2**64 - 1, b"xyyload")


def test_checksums_use_the_final_destination_of_a_routing_header() -> None:
    packet = IPv6(**IP6S) / SourceRouteToHome(addresses=bytes(16)) / UDP() / b"home"
    made = template(packet, "ipv6.dst", "routing.addresses[0:16]")
    rendered = Packet.parse(made.render("fd00::9", bytes(range(16))), LinkType.RAW)
    assert rendered.checksums == {"UDP": "ok"}
    assert bytes(rendered) == rebuilt(
        packet, {"ipv6.dst": 0xFD << 120 | 9, "routing.addresses[0:16]": 0x0102030405060708090A0B0C0D0E0F}
    )
    with pytest.raises(WireError, match=r"routing.segments_left can't change: more than checksums"):
        template(packet.replace(IPv6, dst="fd00::9"), "routing.segments_left")


def test_checksums_that_were_given_stay() -> None:
    made = template(SAMPLES[5], "ipv4.src", "tcp.sport")
    parsed = Packet.parse(made.render("9.9.9.9", 7))
    assert (parsed[IPv4].checksum, parsed[TCP].checksum, parsed[TCP].sport) == (1, 2, 7)
    assert Packet.parse(template(SAMPLES[4], "udp.sport").render(7))[UDP].checksum == 0


def test_an_open_checksum_is_set_and_the_others_follow() -> None:
    parsed = Packet.parse(template(SAMPLES[0], "udp.checksum", "ipv4.id").render(0x1234, 9))
    assert parsed[UDP].checksum == 0x1234
    assert parsed.checksums == {"IPv4": "ok", "UDP": "bad"}


def test_values_come_as_the_field_takes_them() -> None:
    made = template(SAMPLES[0], "ipv4.src", "ethernet.src", "ipv4.flags")
    same = made.render("10.0.0.7", "02:00:00:00:00:09", 2)
    assert same == made.render(b"\n\0\0\7", b"\2\0\0\0\0\x09", 2)
    assert same == made.render(0x0A000007, 0x020000000009, 2)
    assert same == made.render(netaddr.IPAddress("10.0.0.7"), netaddr.EUI("02-00-00-00-00-09"), 2)
    assert same == made.block([("10.0.0.7", 0x020000000009, 2)])
    flags = template(SAMPLES[1], "tcp.flags")
    assert flags.render(TCPFlags.SYN | TCPFlags.ACK) == flags.render(0x12) == flags.block([TCPFlags(0x12)])
    part = template(SAMPLES[0], "payload[0:2]")
    assert part.render(bytearray(b"ab")) == part.render(0x6162) == part.block([memoryview(b"ab")])


def test_a_column_may_mix_numbers_and_text() -> None:
    made = template(SAMPLES[0], "ipv4.src")
    assert made.block(["10.0.0.7", 0x0A000007]) == made.render("10.0.0.7") * 2


def test_blocks_of_any_length_and_from_any_iterable() -> None:
    made = template(SAMPLES[0].replace(payload=bytes(1000)), "ipv4.id")
    assert made.block([]) == b""
    many = made.block(range(500))  # more than one batch
    assert many == made.block(list(range(500))) == made.block(iter(range(500)))
    assert many == b"".join(made.frames(range(500)))


def test_frames_end_with_the_shortest() -> None:
    made = template(SAMPLES[0], "ipv4.id", "udp.sport")
    assert list(made.frames(itertools.count(), (5, 6))) == [made.render(0, 5), made.render(1, 6)]
    with pytest.raises(WireError, match="1 iterables for 2 fields"):
        made.frames((1, 2))


def test_what_a_template_tells_of_itself() -> None:
    made = template(SAMPLES[0], "ipv4.id")
    assert (made.fields, made.size) == (("ipv4.id",), len(bytes(SAMPLES[0])))
    assert repr(made) == "<Template of 45 bytes: ipv4.id>"
    assert made.source.startswith("def render(x0):")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("id", "not of the form"),
        ("ipv4.", "not of the form"),
        ("ipv6.src", "no layer ipv6 .* it has ethernet, ipv4, udp"),
        ("IPv4.id", "no layer IPv4"),
        ("ipv4#2.id", "ipv4#2.id: no layer ipv4"),
        ("ipv4.identification", "IPv4 has no field identification; it has version, "),
        ("ipv4.ihl", "lengths can't change"),
        ("ipv4.total_length", "lengths can't change"),
        ("udp.length", "lengths can't change"),
        ("ipv4.options", r"lengths can't change: name a part of it, as in 'ipv4.options\[0:4\]'"),
        ("payload", r"lengths can't change: name a part of it, as in 'payload\[0:4\]'"),
        ("payload[0:4]", "within its 3 bytes"),
        ("payload[2:2]", "not empty"),
        ("ipv4.id[0:1]", "holds a number"),
    ],
)
def test_a_name_that_can_not_be_opened_is_refused(name: str, message: str) -> None:
    with pytest.raises(WireError, match=message):
        template(SAMPLES[0], name)


def test_names_that_share_bits_are_refused() -> None:
    for names in (("udp.sport", "udp.sport"), ("payload[0:2]", "payload[1:3]"), ("ipv4.src", "ipv4.src[0:1]")):
        with pytest.raises(WireError, match="overlap"):
            template(SAMPLES[0], *names)
    with pytest.raises(WireError, match="at least one field"):
        template(SAMPLES[0])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("ipv4.id", value) for value in (-1, 65536, 1.0, "1", None, b"ab")),
        *(("ipv4.flags", value) for value in (-1, 8, 1.0, "1")),
        *(("ipv4.src", value) for value in (-1, 1 << 32, 1.0, "host", b"abc")),
        *(("payload[0:2]", value) for value in (-1, 65536, 1.0, "ab", b"a", b"abc")),
        *(("ethernet.src", value) for value in (1 << 48, -1)),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, wrong: Any) -> None:
    made = template(SAMPLES[0], name)
    with pytest.raises(WireError, match=name.replace("[", r"\[")):
        made.render(wrong)
    with pytest.raises(WireError, match=name.replace("[", r"\[")):
        made.block([0, wrong])


@pytest.mark.parametrize("rows", [[(1, 2), (1,)], [(1, 2), (1, 2, 3)], [(1, 2, 3)], [1, 2], [(1,)]])
def test_rows_of_another_length_are_refused(rows: Any) -> None:
    with pytest.raises(WireError, match="a row has"):
        template(SAMPLES[0], "ipv4.id", "udp.sport").block(rows)


class Squared(Header, source="a test"):
    __slots__ = ()
    base: int = field(8, 0, "a number", "a test")
    square: int | None = computed(8, "its square", "a test")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        return self.pack(square=self.base * self.base & 0xFF)


def test_a_field_that_others_are_made_from_is_refused() -> None:
    with pytest.raises(WireError, match=r"squared.base can't change: more than checksums"):
        template(Squared() / b"x", "squared.base")
    assert template(Squared(square=0) / b"x", "squared.base").render(7) == b"\7\0x"
    with pytest.raises(WireError, match=r"udplite.coverage can't change"):
        template(IPv4(**IPS) / UDPLite() / bytes(2), "udplite.coverage")

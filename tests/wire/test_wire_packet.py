from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import ChecksumStatus, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMP, ICMPEcho, ICMPError, ICMPv6, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborSolicitation,
    multicast_mac,
    solicited_node,
    source_link_address,
    target_link_address,
)
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT, Flags, Seen
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import (
    MaximumSegmentSize,
    NoOperation,
    RawOption,
    SackPermitted,
    SelectiveAck,
    Timestamps,
    WindowScale,
)
from rawproto.wire.udp import UDP

MACS: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
IPS: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
IP6S: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}
SYN = TCP(sport=1234, dport=80, seq=7, flags=TCPFlags.SYN, options=[MaximumSegmentSize(1460)])
SAMPLES: list[Packet] = [
    Ethernet(**MACS) / IPv4(**IPS) / SYN / b"hello",
    Ethernet(**MACS) / VLAN(pcp=3, vid=5) / IPv6(**IP6S) / SYN / b"hello",
    Ethernet(**MACS) / IPv4(**IPS, options=b"\x94\x04\0\0") / UDP(sport=53, dport=9) / b"odd",
    Ethernet(**MACS) / IPv6(**IP6S) / UDP(sport=RDT_UDP_PORT) / RDT(flags=Flags.SYN, options=[Seen(3)]) / b"x",
    Ethernet(**MACS) / IPv4(**IPS) / RDT(flags=Flags.ACK, ack=9, packet_number=4) / b"",
    Ethernet(**MACS) / ARP(sender_ip="10.0.0.1", target_ip="10.0.0.2") / b"",
    Ethernet(**MACS) / IPv4(**IPS) / ICMPEcho(id=1, seq=2) / b"ping",
    Ethernet(**MACS) / IPv4(**IPS) / ICMPError(code=3) / bytes(28),
    Ethernet(**MACS) / IPv6(**IP6S) / ICMPv6Echo(id=1) / b"ping",
    Ethernet(**MACS)
    / IPv6(**IP6S)
    / NeighborSolicitation(target="fd00::2", options=[source_link_address(MACS["src"])]),
    Ethernet(**MACS)
    / IPv6(**IP6S)
    / NeighborAdvertisement(solicited=1, override=1, target="fd00::2", options=[target_link_address(MACS["dst"])]),
]
IDS = ["-".join(type(header).__name__ for header in sample) for sample in SAMPLES]
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=IDS)


# Compose and parse


@each_sample
def test_a_built_packet_parses_to_itself(sample: Packet) -> None:
    parsed = Packet.parse(bytes(sample))
    assert parsed == sample
    assert parsed.layers == sample.computed().layers
    assert parsed.problems == sample.problems == ()
    assert set(parsed.checksums.values()) <= {"ok"}
    assert parsed.checksums == sample.checksums
    assert [type(header) for header in parsed] == [type(header) for header in sample]


@each_sample
def test_parsed_layers_build_the_same_bytes(sample: Packet) -> None:
    data = bytes(sample) + b"\0" * 7
    parsed = Packet.parse(data)
    again = Packet(parsed.layers, parsed.payload, trailer=parsed.trailer)
    assert bytes(again) == data
    assert bytes(parsed.recompute()) == data


@each_sample
def test_repr_can_be_pasted_back(sample: Packet) -> None:
    assert eval(repr(sample), globals()) == sample
    parsed = Packet.parse(bytes(sample) + b"\0\0")
    assert eval(repr(parsed), globals()) == parsed


PORTS = st.integers(0, 65535).filter(lambda port: port != RDT_UDP_PORT)
NETWORKS = st.one_of(
    st.builds(
        IPv4,
        src=st.binary(min_size=4, max_size=4),
        dst=st.binary(min_size=4, max_size=4),
        ttl=st.integers(0, 255),
        options=st.binary(max_size=10).map(lambda part: part * 4),
    ),
    st.builds(IPv6, src=st.binary(min_size=16, max_size=16), flow_label=st.integers(0, 2**20 - 1)),
)
TRANSPORTS = st.one_of(
    st.builds(TCP, sport=PORTS, seq=st.integers(0, 2**32 - 1), options=st.binary(max_size=10).map(lambda b: b * 4)),
    st.builds(UDP, sport=PORTS, dport=PORTS),
    st.builds(RDT, seq=st.integers(0, 2**64 - 1), packet_number=st.integers(0, 2**48 - 1), flags=st.integers(0, 65535)),
    st.builds(ICMPEcho, id=PORTS),
    st.builds(ICMPv6Echo, type=st.just(129), id=PORTS),
)


@given(NETWORKS, TRANSPORTS, st.binary(max_size=40), st.binary(max_size=5))
def test_any_packet_parses_to_itself(network: Header, transport: Header, payload: bytes, padding: bytes) -> None:
    packet = (Ethernet() / network / transport / payload).replace(trailer=padding)
    parsed = Packet.parse(bytes(packet))
    assert parsed == packet
    assert parsed.layers == packet.computed().layers
    assert (parsed.payload, parsed.trailer) == (payload, padding)
    assert set(parsed.checksums.values()) == {"ok"}


def test_types_of_the_layer_above_are_filled_in() -> None:
    packet = (Ethernet() / VLAN() / IPv4() / UDP() / b"").computed()
    assert (packet[Ethernet].ethertype, packet[VLAN].ethertype, packet[IPv4].protocol) == (0x8100, 0x0800, 17)
    assert (IPv6() / TCP()).computed()[IPv6].next_header == 6
    assert (Ethernet() / ARP()).computed()[Ethernet].ethertype == 0x0806
    assert (IPv4() / RDT()).computed()[IPv4].protocol == 253
    assert (IPv4() / ICMPEcho()).computed()[IPv4].protocol == 1
    assert (IPv6() / NeighborSolicitation()).computed()[IPv6].next_header == 58
    assert (IPv4() / IPv6()).computed()[IPv4].protocol == 41


def test_bare_payloads_get_numbers_that_mean_nothing() -> None:
    assert bytes(Ethernet() / b"x")[12:14] == bytes.fromhex("88b5")
    assert bytes(IPv4() / b"x")[9] == 255
    assert bytes(IPv6() / b"x")[6] == 255
    assert bytes(IPv6())[6] == 59


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (IPv4, "ihl"),
        (IPv4, "total_length"),
        (IPv4, "protocol"),
        (IPv4, "checksum"),
        (TCP, "data_offset"),
        (TCP, "checksum"),
        (Ethernet, "ethertype"),
    ],
)
def test_none_is_computed_and_an_int_is_sent_as_given(layer: type[Header], name: str) -> None:
    packet = SAMPLES[0]
    right = packet.computed()[layer].raw(name)
    assert right not in (None, 0)
    for wrong in (0, 1, (right + 1) & 0xF):
        change: Any = {name: wrong}
        built = packet.replace(layer, **change)
        assert built.layout.layers[[type(h) for h in packet].index(layer)].raw(name) == wrong
        assert bytes(built) != bytes(packet)
    assert bytes(packet.replace(layer, **dict[str, Any]({name: right}))) == bytes(packet)


@pytest.mark.parametrize("name", ["length", "checksum"])
def test_udp_none_and_zero(name: str) -> None:
    zero: Any = {name: 0}
    packet = IPv4(**IPS) / UDP(**zero) / b"x"
    assert bytes(packet)[24 + 2 * (name == "checksum") :][:2] == b"\0\0"
    assert bytes(packet.recompute())[24 + 2 * (name == "checksum") :][:2] != b"\0\0"


def test_ipv6_payload_length_none_and_zero() -> None:
    assert bytes(IPv6() / b"abc")[4:6] == b"\0\3"
    assert bytes(IPv6(payload_length=0) / b"abc")[4:6] == b"\0\0"


def test_icmp_checksum_none_and_zero() -> None:
    assert bytes(IPv4() / ICMPEcho() / b"abc")[22:24] != b"\0\0"
    assert bytes(IPv4() / ICMPEcho(checksum=0) / b"abc")[22:24] == b"\0\0"


def test_a_udp_sum_of_zero_is_sent_as_ffff() -> None:
    packet = IPv4(**IPS) / UDP() / b"\0\0"
    short = packet.computed()[UDP].checksum
    assert short is not None
    zero = packet.replace(payload=short.to_bytes(2))
    assert zero.computed()[UDP].checksum == 0xFFFF
    assert zero.checksums["UDP"] == "ok"


def test_explicit_offsets_leave_options_unpadded() -> None:
    assert len(bytes(TCP(options=b"\1"))) == 24
    assert len(bytes(TCP(options=b"\1", data_offset=5))) == 21
    assert len(bytes(IPv4(options=b"\1", ihl=5))) == 21
    assert (IPv4(options=b"\1") / b"xyz").computed()[IPv4].total_length == 27


def test_lookup() -> None:
    packet = SAMPLES[6]
    assert packet[ICMP] is packet[ICMPEcho]
    assert ICMP in packet
    assert TCP not in packet
    assert "TCP" not in packet
    assert packet.get(TCP) is None
    with pytest.raises(KeyError, match="TCP"):
        packet[TCP]


def test_replace_gives_another_packet() -> None:
    packet = SAMPLES[0]
    other = packet.replace(IPv4, ttl=3)
    assert (packet[IPv4].ttl, other[IPv4].ttl) == (64, 3)
    assert other.checksums["IPv4"] == "ok"
    assert packet.replace(payload=b"bye").payload == b"bye"
    parsed = Packet.parse(bytes(packet)).replace(IPv4, ttl=3)
    assert parsed.checksums == {"IPv4": "bad", "TCP": "ok"}
    assert parsed.recompute().checksums == {"IPv4": "ok", "TCP": "ok"}


@pytest.mark.parametrize(
    "packet",
    [
        Ethernet(ethertype=0x88CC) / b"LLDP",
        Ethernet() / VLAN(ethertype=0x88CC) / b"LLDP",
        Ethernet() / IPv4(protocol=132) / b"SCTP",
        Ethernet() / IPv6(next_header=132) / b"SCTP",
        Ethernet() / IPv4(flags=IPv4Flags.MF) / UDP(length=900, checksum=0x1234) / bytes(8),
        Ethernet() / IPv4(protocol=17, fragment_offset=7) / bytes(8),
    ],
)
def test_recompute_keeps_what_it_cannot_know(packet: Packet) -> None:
    """The type of a payload that no header here is for, and what a fragment carries."""
    data = bytes(packet)
    assert bytes(Packet.parse(data).recompute()) == data
    assert bytes(Packet.parse(data).replace(trailer=b"x").recompute()) == data + b"x"


def test_wrong_composition_is_refused() -> None:
    with pytest.raises(WireError, match="TCP can't follow a payload of 3 bytes"):
        IPv4() / b"abc" / TCP()
    with pytest.raises(WireError, match="can't follow"):
        b"abc" / TCP()
    with pytest.raises(WireError, match="neither a header"):
        IPv4() / 5  # type: ignore[operator]
    with pytest.raises(WireError, match="no UDP to replace"):
        SAMPLES[0].replace(UDP, length=3)
    with pytest.raises(WireError, match="which layer's ttl"):
        SAMPLES[0].replace(ttl=3)


def test_packets_join() -> None:
    inner = UDP() / b"ab"
    assert IPv4() / inner == IPv4() / UDP() / b"ab"
    assert IPv4() / b"a" / b"b" == IPv4() / b"ab"
    assert hash(IPv4() / inner) == hash(IPv4() / UDP() / b"ab")


# Where RDT is found


@pytest.mark.parametrize(("src", "dst"), [(RDT_UDP_PORT, 1), (1, RDT_UDP_PORT)])
def test_rdt_in_udp_by_either_port(src: int, dst: int) -> None:
    assert RDT in Packet.parse(bytes(IPv4() / UDP(sport=src, dport=dst) / RDT()), LinkType.RAW)


def test_rdt_in_udp_wants_port_and_version() -> None:
    assert RDT not in Packet.parse(bytes(IPv4() / UDP(sport=1, dport=2) / RDT()), LinkType.RAW)
    other = IPv4() / UDP(sport=RDT_UDP_PORT) / RDT(version=2)
    assert RDT not in Packet.parse(bytes(other), LinkType.RAW)
    assert RDT not in Packet.parse(bytes(IPv4() / UDP(sport=RDT_UDP_PORT)), LinkType.RAW)


def test_rdt_of_another_version_is_a_problem() -> None:
    parsed = Packet.parse(bytes(IPv4() / RDT(version=2)), LinkType.RAW)
    assert [(p.layer, p.field, p.offset, p.rule) for p in parsed.problems] == [("RDT", "version", 20, "version")]


def test_link_types() -> None:
    v4, v6, rdt = bytes(IPv4() / UDP()), bytes(IPv6() / UDP()), bytes(RDT() / b"x")
    assert isinstance(Packet.parse(v4, LinkType.RAW).layers[0], IPv4)
    assert isinstance(Packet.parse(v6, LinkType.RAW).layers[0], IPv6)
    assert isinstance(Packet.parse(v4, LinkType.IPV4).layers[0], IPv4)
    assert isinstance(Packet.parse(v6, LinkType.IPV6).layers[0], IPv6)
    assert isinstance(Packet.parse(Frame(rdt, linktype=LinkType.USER0)).layers[0], RDT)
    assert [p.linktype for p in (IPv4() / b"", RDT() / b"", Ethernet() / b"")] == [
        LinkType.RAW,
        LinkType.USER0,
        LinkType.ETHERNET,
    ]
    unknown = Packet.parse(b"abc", LinkType(9999))
    assert unknown.payload == b"abc"
    assert [problem.rule for problem in unknown.problems] == ["unsupported"]


# What is wrong, and what was merely cut


def rules(packet: Packet) -> list[tuple[str, str, str, bool]]:
    return [(p.layer, p.field, p.rule, p.by_capture) for p in packet.problems]


def test_a_header_cut_by_the_capture() -> None:
    data = bytes(SAMPLES[0])
    cut = Packet.parse(Frame(data[:40], original_length=len(data)))
    assert rules(cut) == [("TCP", "sport", "cut", True), ("frame", "data", "cut", True)]
    assert cut.truncated
    assert cut.payload == data[34:40]
    assert cut.checksums == {"IPv4": "ok", "TCP": "unverifiable"}


def test_the_same_header_missing_on_the_wire() -> None:
    short = Packet.parse(bytes(SAMPLES[0])[:40])
    assert rules(short) == [("IPv4", "total_length", "exceeds", False), ("TCP", "sport", "short", False)]
    assert not short.truncated
    inside = Packet.parse(bytes(SAMPLES[0].replace(IPv4, total_length=26)))
    assert rules(inside) == [("TCP", "sport", "short", False)]


def test_a_short_length_inside_a_cut_frame_is_malformed_all_the_same() -> None:
    data = bytes(SAMPLES[0].replace(IPv4, total_length=26))
    assert rules(Packet.parse(Frame(data, original_length=len(data) + 100))) == [
        ("TCP", "sport", "short", False),
        ("frame", "data", "cut", True),
    ]


def test_a_payload_cut_by_the_capture() -> None:
    data = bytes(SAMPLES[0])
    cut = Packet.parse(Frame(data[:-2], original_length=len(data)))
    assert rules(cut) == [("frame", "data", "cut", True)]
    assert cut.checksums == {"IPv4": "ok", "TCP": "unverifiable"}


def test_options_cut_by_the_capture_or_missing() -> None:
    data = bytes(Ethernet() / IPv4() / TCP(options=[NoOperation()] * 12))
    assert ("TCP", "data_offset", "cut", True) in rules(Packet.parse(Frame(data[:-4], original_length=len(data))))
    assert ("TCP", "data_offset", "exceeds", False) in rules(Packet.parse(data[:-4]))


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (IPv4(version=5) / UDP(), ("IPv4", "version", "version", False)),
        (IPv4(ihl=4) / UDP(), ("IPv4", "ihl", "minimum", False)),
        (IPv4(total_length=19) / UDP(), ("IPv4", "total_length", "minimum", False)),
        (IPv4(total_length=99) / UDP(), ("IPv4", "total_length", "exceeds", False)),
        (IPv6(version=4) / UDP(), ("IPv6", "version", "version", False)),
        (IPv6(payload_length=99) / UDP(), ("IPv6", "payload_length", "exceeds", False)),
        (IPv4() / UDP(length=7), ("UDP", "length", "minimum", False)),
        (IPv4() / UDP(length=9), ("UDP", "length", "exceeds", False)),
        (IPv4() / TCP(data_offset=4), ("TCP", "data_offset", "minimum", False)),
        (IPv4() / TCP(options=b"\2\5\0\0"), ("TCP", "options", "option", False)),
        (IPv4() / RDT(header_length=9), ("RDT", "header_length", "minimum", False)),
        (IPv4() / RDT(payload_length=1), ("RDT", "payload_length", "exceeds", False)),
        (IPv6() / NeighborSolicitation(options=b"\1\0" + bytes(6)), ("ICMPv6", "options", "option", False)),
        (IPv4() / ICMPEcho().replace(), None),
    ],
)
def test_broken_rules(packet: Packet, expected: Any) -> None:
    found = rules(Packet.parse(bytes(Ethernet(ethertype=0x86DD if IPv6 in packet else 0x0800) / packet)))
    assert found == ([expected] if expected else [])


def test_problem_offsets_point_at_the_field() -> None:
    problem = Packet.parse(bytes(Ethernet() / IPv4() / UDP(length=7))).problems[0]
    assert problem.offset == 14 + 20 + 4
    assert "7" in problem.text


def test_a_short_icmp_message_is_read_as_far_as_it_goes() -> None:
    parsed = Packet.parse(bytes(IPv4() / ICMP(type=8) / b"\1\2"), LinkType.RAW)
    assert type(parsed[ICMP]) is ICMP
    assert parsed.payload == b"\1\2"
    assert rules(parsed) == [("ICMP", "type", "short", False)]


def test_ethernet_padding_is_trimmed_and_kept() -> None:
    parsed = Packet.parse(bytes(SAMPLES[5]) + bytes(18))
    assert (parsed.payload, parsed.trailer) == (b"", bytes(18))
    parsed = Packet.parse(bytes(Ethernet() / IPv4() / UDP() / b"abc") + bytes(9))
    assert (parsed.payload, parsed.trailer) == (b"abc", bytes(9))
    assert parsed.checksums["UDP"] == "ok"


def test_bytes_beyond_the_udp_length_are_no_payload() -> None:
    parsed = Packet.parse(bytes(IPv4() / UDP(length=9) / b"abc"), LinkType.RAW)
    assert (parsed.payload, parsed.trailer) == (b"a", b"bc")


def test_a_total_length_of_zero_is_what_offload_leaves() -> None:
    parsed = Packet.parse(bytes(IPv4(**IPS, total_length=0) / TCP() / b"abc"), LinkType.RAW)
    assert parsed.payload == b"abc"
    assert parsed.checksums["TCP"] == "ok"


# Checksums


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_flipped_payload_bit_is_bad(index: int) -> None:
    data = bytearray(bytes(SAMPLES[index]))
    data[-1] ^= 1
    transport = type(SAMPLES[index].layers[-1]).__name__
    assert Packet.parse(data).checksums[transport] == "bad"


def test_an_offloaded_checksum_is_not_bad() -> None:
    data = bytes(SAMPLES[0].replace(TCP, checksum=0x1234))
    assert Packet.parse(data).checksums["TCP"] == "bad"
    assert Packet.parse(Frame(data, checksum=ChecksumStatus.OFFLOADED)).checksums == {"IPv4": "ok", "TCP": "offloaded"}
    assert Packet.parse(Frame(data, checksum=ChecksumStatus.VERIFIED)).checksums["TCP"] == "ok"
    assert Packet.parse(Frame(bytes(SAMPLES[0]), checksum=ChecksumStatus.OFFLOADED)).checksums["TCP"] == "ok"
    bad_ip = bytes(SAMPLES[0].replace(IPv4, checksum=0x1234))
    assert Packet.parse(Frame(bad_ip, checksum=ChecksumStatus.OFFLOADED)).checksums["IPv4"] == "bad"
    bad_crc = bytes(SAMPLES[4].replace(RDT, crc=1))
    assert Packet.parse(Frame(bad_crc, checksum=ChecksumStatus.OFFLOADED)).checksums["RDT"] == "bad"


def test_udp_without_a_checksum() -> None:
    assert Packet.parse(bytes(IPv4() / UDP(checksum=0)), LinkType.RAW).checksums["UDP"] == "unverifiable"
    assert Packet.parse(bytes(IPv6() / UDP(checksum=0)), LinkType.RAW).checksums["UDP"] == "bad"


def test_a_sum_over_more_than_there_is_cannot_be_verified() -> None:
    """What UDP's own length counts and is not there; where IP's length is wrong, there is something to be summed."""
    assert Packet.parse(bytes(IPv4() / UDP(length=99) / b"abc"), LinkType.RAW).checksums["UDP"] == "unverifiable"
    assert Packet.parse(bytes(IPv6() / UDP(length=7) / b"abc"), LinkType.RAW).checksums["UDP"] == "unverifiable"
    assert Packet.parse(bytes(IPv4(total_length=99) / TCP() / b"abc"), LinkType.RAW).checksums["TCP"] == "ok"


@pytest.mark.parametrize("fields", [{"flags": IPv4Flags.MF}, {"fragment_offset": 3}])
def test_fragments(fields: dict[str, Any]) -> None:
    parsed = Packet.parse(bytes(IPv4(**fields) / UDP(length=2000) / b"abc"), LinkType.RAW)
    assert parsed.problems == ()
    if "flags" in fields:
        assert parsed.checksums == {"IPv4": "ok", "UDP": "unverifiable"}
    else:
        assert parsed.checksums == {"IPv4": "ok"}
        assert UDP not in parsed
        assert len(parsed.payload) == 11


def test_ip_in_ip_has_two_verdicts() -> None:
    packet = IPv4(**IPS) / IPv4(src="1.1.1.1", dst="2.2.2.2") / UDP() / b"x"
    assert packet.checksums == {"IPv4": "ok", "IPv4#2": "ok", "UDP": "ok"}
    assert Packet.parse(bytes(packet), LinkType.RAW).checksums == packet.checksums


def test_each_checksum_takes_the_nearest_ip_header_below() -> None:
    inside = IPv4(src="1.1.1.1", dst="2.2.2.2") / UDP() / b"x"
    packet = IPv4(**IPS) / UDP() / inside
    assert packet.checksums == {"IPv4": "ok", "UDP": "ok", "IPv4#2": "ok", "UDP#2": "ok"}
    assert packet.computed()[UDP] == (IPv4(**IPS) / UDP() / bytes(inside)).computed()[UDP]


def test_without_an_ip_header_there_is_nothing_to_verify() -> None:
    assert (TCP() / b"x").checksums == {"TCP": "unverifiable"}


# Options and neighbour discovery


def test_tcp_options() -> None:
    options = [
        MaximumSegmentSize(1460),
        SackPermitted(),
        Timestamps(1, 2),
        NoOperation(),
        WindowScale(7),
        RawOption(254, b"ab"),
    ]
    tcp = TCP(options=options)
    assert tcp.options == bytes.fromhex("020405b4 0402 080a0000000100000002 01 030307 fe046162")
    assert tcp.parsed_options == tuple(options)
    assert (tcp.mss, tcp.window_scale, tcp.timestamps, tcp.sack) == (1460, 7, (1, 2), ())
    assert TCP(options=[SelectiveAck(((1, 5), (9, 10)))]).sack == ((1, 5), (9, 10))
    assert TCP(options=b"\2\3\1").parsed_options == (RawOption(2, b"\1"),)
    with pytest.raises(WireError, match="does not fit"):
        TCP(options=[MaximumSegmentSize(65536)])


def test_neighbor_options() -> None:
    parsed = Packet.parse(bytes(SAMPLES[9]))[NeighborSolicitation]
    assert parsed.options == bytes.fromhex("0101020000000001")
    assert (parsed.target, parsed.link_address) == ("fd00::2", MACS["src"])
    told = Packet.parse(bytes(SAMPLES[10]))[ICMPv6]
    assert isinstance(told, NeighborAdvertisement)
    assert (told.router, told.solicited, told.override, told.link_address) == (0, 1, 1, MACS["dst"])
    assert NeighborAdvertisement().link_address is None


def test_solicited_node_addresses() -> None:
    group = solicited_node("fe80::2aa:ff:fe28:9c5a")  # the example of RFC 4291 §2.7.1
    assert group == bytes.fromhex("ff02000000000000000000 01ff 289c5a")
    assert multicast_mac(group) == bytes.fromhex("3333ff289c5a")


# Nothing ever raises


def exercise(packet: Packet) -> None:
    """Ask for everything."""
    assert b"".join((packet.payload, packet.trailer)) in bytes(packet)
    assert bytes(Packet(packet.layers, packet.payload, trailer=packet.trailer)) == bytes(packet)
    assert isinstance(packet.problems, tuple)
    assert set(packet.checksums.values()) <= {"ok", "bad", "offloaded", "unverifiable"}
    assert packet.explain() or not bytes(packet)
    assert "\n" not in packet.summary()
    assert repr(packet)
    assert packet == packet.computed()
    for header in packet:
        assert header.tail_rows() is not None
        assert not hasattr(header, "parsed_options") or header.parsed_options is not None


@given(st.binary(max_size=120), st.sampled_from([*LinkType, LinkType(5)]), st.integers(0, 200))
def test_random_bytes_never_raise(data: bytes, linktype: LinkType, wire: int) -> None:
    exercise(Packet.parse(data, linktype))
    exercise(Packet.parse(Frame(data, linktype=linktype, original_length=wire)))


@given(st.sampled_from(SAMPLES), st.data())
def test_mutated_and_cut_packets_never_raise(sample: Packet, data: st.DataObject) -> None:
    mutant = bytearray(bytes(sample))
    for _ in range(data.draw(st.integers(0, 4))):
        mutant[data.draw(st.integers(12, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(mutant)))
    exercise(Packet.parse(mutant[:size]))
    exercise(Packet.parse(Frame(bytes(mutant[:size]), original_length=len(mutant))))


@each_sample
def test_every_prefix_is_cut_or_malformed_but_never_fine(sample: Packet) -> None:
    data = bytes(sample)
    for size in range(14, len(data)):
        cut = Packet.parse(Frame(data[:size], original_length=len(data)))
        assert cut.truncated
        assert all(problem.by_capture or problem.rule == "option" for problem in cut.problems), size
        assert "bad" not in cut.checksums.values(), size
        assert any(not problem.by_capture for problem in Packet.parse(data[:size]).problems), size


# What people read


def test_explain_shows_each_field_with_bytes_value_and_source() -> None:
    text = SAMPLES[0].explain()
    for header in SAMPLES[0]:
        for row in header.fields:
            if not row.is_tail:
                assert any(row.name in line and f"[{row.source}]" in line for line in text.splitlines()), row.name
    assert "0010  0031  " in text
    assert "0x02 (SYN)" in text
    assert "MaximumSegmentSize    mss=1460" in text
    assert "checksum TCP: ok" in text
    assert "6865 6c6c 6f" in text


def test_explain_tells_problems() -> None:
    assert "problem at 0x0026 UDP length [minimum]: length is 7" in (Ethernet() / IPv4() / UDP(length=7)).explain()


@pytest.mark.parametrize(
    ("index", "line"),
    [
        (0, "IP 10.0.0.1.1234 > 10.0.0.2.80: Flags [S], seq 7:12, win 65535, options [mss 1460], length 5"),
        (1, "vlan 5, p 3, IP6 fd00::1.1234 > fd00::2.80: Flags [S], seq 7:12, win 65535, options [mss 1460], length 5"),
        (2, "IP 10.0.0.1.53 > 10.0.0.2.9: UDP, length 3"),
        (3, "IP6 fd00::1.25300 > fd00::2.0: UDP, length 53, RDT [SYN], number 0, seq 0:1, win 0, length 1"),
        (4, "IP 10.0.0.1.0 > 10.0.0.2.0: RDT [ACK], number 4, seq 0, ack 9, win 0, length 0"),
        (5, "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28"),
        (6, "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 2, length 12"),
        (9, "IP6 fd00::1 > fd00::2: ICMP6, neighbor solicitation, who has fd00::2, length 32"),
    ],
)
def test_summaries(index: int, line: str) -> None:
    assert SAMPLES[index].summary() == line
    assert Packet.parse(bytes(SAMPLES[index])).summary() == line


# Headers of which only a part is there


@pytest.mark.parametrize(
    ("cut", "there"), [(35, []), (36, ["sport"]), (37, ["sport"]), (41, ["sport", "dport", "length"])]
)
def test_the_fields_before_a_cut_are_told(cut: int, there: list[str]) -> None:
    data = bytes(Ethernet() / IPv4() / UDP(sport=53, dport=9) / b"abc")
    for frame in (Frame(data[:cut], original_length=len(data)), Frame(data[:cut])):
        parsed = Packet.parse(frame)
        partial = parsed.layout.partial
        assert partial is not None
        assert UDP not in parsed
        assert [row.name for row in partial.fields] == there
        assert (partial.offset, partial.length) == (34, cut - 34)
        assert f"UDP, {cut - 34} of 8 bytes at 34" in parsed.explain()
        assert "\npayload, " not in parsed.explain()


def test_a_whole_packet_has_no_partial_header() -> None:
    assert Packet.parse(bytes(SAMPLES[0])).layout.partial is None
    assert Packet.parse(bytes(Ethernet(ethertype=0x0800))).layout.partial is None


def test_a_packet_without_a_header_is_written_with_its_trailer() -> None:
    for packet in (Packet((), b"x", trailer=b"pad"), Packet((), b"x"), Packet((IPv4(),), b"x", trailer=b"pad")):
        assert eval(repr(packet), globals()) == packet


def test_a_source_route_without_an_address_goes_to_the_headers_destination() -> None:
    data = bytes.fromhex("4600002c00000000400600000000000000000000830300000000000000000000000000005000ffff00000000")
    assert Packet.parse(data, LinkType.RAW).checksums["TCP"] in ("ok", "bad")
    assert len(Packet.parse(data, LinkType.RAW).recompute().replace(payload=b"")) == 44


def test_a_packet_that_begins_above_the_link_is_looked_at_as_what_it_is() -> None:
    assert TCP(sport=1).__truediv__(b"abc").problems == ()
    assert [p.layer for p in (UDP(length=3) / b"abc").problems] == ["UDP"]


def test_what_a_composed_error_quotes_is_what_a_parsed_one_does() -> None:
    composed = IPv4(**IPS) / ICMPError(code=3) / IPv4(src="1.2.3.4") / UDP(sport=5, dport=6) / b"abc"
    quoted = composed.quoted
    assert quoted is not None
    assert (quoted[IPv4].src, quoted[UDP].sport, quoted.payload) == ("1.2.3.4", 5, b"abc")
    assert quoted == Packet.parse(bytes(composed), LinkType.RAW).quoted

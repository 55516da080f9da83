from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.field import Octets, field, tail
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMP, ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import NeighborSolicitation, source_link_address
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT, Flags, Pad, Sack, Seen
from rawproto.wire.record import record
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize, RawOption, SelectiveAck, Timestamps
from rawproto.wire.udp import UDP

IPS: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
IP6S: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}
SYN = TCP(sport=1234, dport=80, flags=TCPFlags.SYN | TCPFlags.ACK, options=[MaximumSegmentSize(1460)])
SAMPLES: list[Packet] = [
    Ethernet() / VLAN(vid=5) / IPv4(**IPS) / SYN / b"hello",
    Ethernet() / ARP(target_ip="10.0.0.2") / b"",
    IPv4(**IPS) / ICMPEcho(id=1) / b"ping",
    IPv6(**IP6S) / NeighborSolicitation(target="fd00::2", options=[source_link_address("02:00:00:00:00:01")]),
    IPv6(**IP6S) / UDP(sport=RDT_UDP_PORT) / RDT(flags=Flags.SYN, options=[Seen(3), Sack(((1, 2),)), Pad()]) / b"x",
]


def recorded(packet: Packet, **known: Any) -> dict[str, Any]:
    frame = Frame(bytes(packet), linktype=packet.linktype, **known)
    made = record(Packet.parse(frame), frame, 7)
    assert json.loads(json.dumps(made)) == made
    return made


def layer(packet: Packet, name: str) -> dict[str, Any]:
    return next(layer for layer in recorded(packet)["layers"] if layer["name"] == name)


def test_one_packet_in_full() -> None:
    packet = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IPv4(**IPS, id=9, flags=2) / UDP(sport=53)
    known = {"time_ns": 123, "interface": "eth0", "direction": Direction.INBOUND, "original_length": 60}
    assert recorded((packet / b"abc").replace(trailer=bytes(15)), **known) == {
        "number": 7,
        "time_ns": 123,
        "caplen": 60,
        "origlen": 60,
        "linktype": "ethernet",
        "interface": "eth0",
        "direction": "inbound",
        "vlan_tci": None,
        "layers": [
            {"name": "ethernet", "dst": "02:00:00:00:00:02", "src": "02:00:00:00:00:01", "ethertype": 0x0800},
            {
                "name": "ipv4",
                "version": 4,
                "ihl": 5,
                "dscp": 0,
                "ecn": 0,
                "total_length": 31,
                "id": 9,
                "flags": 2,
                "fragment_offset": 0,
                "ttl": 64,
                "protocol": 17,
                "checksum": (packet / b"abc").computed()[IPv4].checksum,
                "src": "10.0.0.1",
                "dst": "10.0.0.2",
                "options": "",
                "flags_names": ["DF"],
                "parsed_options": [],
            },
            {
                "name": "udp",
                "sport": 53,
                "dport": 0,
                "length": 11,
                "checksum": (packet / b"abc").computed()[UDP].checksum,
            },
        ],
        "payload_len": 3,
        "checksums": {"ipv4": "ok", "udp": "ok"},
        "problems": [],
    }


@pytest.mark.parametrize("sample", SAMPLES)
def test_each_layer_has_every_field_of_its_table(sample: Packet) -> None:
    made = recorded(sample)["layers"]
    assert [part["name"] for part in made] == [header.family.lower() for header in sample]
    for header, part in zip(sample.layout.layers, made, strict=True):
        for row in header.fields:
            value = header.raw(row.name)
            if row.pack is None:
                assert part[row.name] == value
                assert type(part[row.name]) is int
            else:
                assert part[row.name] == (row.text(value) if row.text is not None else value.hex())


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_composed_packet_gives_what_is_computed(sample: Packet) -> None:
    frame = Frame(bytes(sample), linktype=sample.linktype)
    assert record(sample, frame, 1) == record(Packet.parse(frame), frame, 1)


@pytest.mark.parametrize(
    ("packet", "name", "flags"),
    [
        (SAMPLES[0], "tcp", (0x12, ["SYN", "ACK"])),
        (IPv4(flags=IPv4Flags.MF) / b"", "ipv4", (1, ["MF"])),
        (SAMPLES[4], "rdt", (2, ["SYN"])),
        (IPv4() / RDT(flags=0x4002), "rdt", (0x4002, ["SYN"])),
    ],
)
def test_flags_have_their_names_beside_them(packet: Packet, name: str, flags: Any) -> None:
    made = layer(packet, name)
    assert (made["flags"], made["flags_names"]) == flags


def test_messages_are_named() -> None:
    assert layer(SAMPLES[2], "icmp")["message"] == "echo request"
    assert layer(IPv4() / ICMPEcho(type=0) / b"", "icmp")["message"] == "echo reply"
    assert layer(IPv6(**IP6S) / ICMPv6Echo(type=129) / b"", "icmpv6")["message"] == "echo reply"
    assert "message" not in layer(IPv4() / ICMP(type=250) / b"", "icmp")


def test_options_are_in_hexadecimal_and_taken_apart() -> None:
    options = [MaximumSegmentSize(1460), RawOption(250, b"\1\2"), SelectiveAck(((1, 5),)), Timestamps(3, 4)]
    made = layer(IPv4(**IPS) / TCP(options=options) / b"", "tcp")
    assert made["options"] == b"".join(map(bytes, options)).hex()
    assert made["parsed_options"] == [
        {"kind": 2, "name": "MaximumSegmentSize", "mss": 1460},
        {"kind": 250, "name": "RawOption", "number": 250, "data": "0102"},
        {"kind": 5, "name": "SelectiveAck", "blocks": [[1, 5]]},
        {"kind": 8, "name": "Timestamps", "value": 3, "echo": 4},
    ]
    assert layer(SAMPLES[4], "rdt")["parsed_options"][:2] == [
        {"kind": 2, "name": "Seen", "packet_number": 3, "delay_us": 0},
        {"kind": 1, "name": "Sack", "ranges": [[1, 2]]},
    ]
    assert layer(SAMPLES[4], "rdt")["parsed_options"][2]["kind"] == 0
    assert layer(SAMPLES[3], "icmpv6")["parsed_options"][0]["kind"] == 1
    assert "parsed_options" not in layer(SAMPLES[4], "udp")


@pytest.mark.parametrize(
    ("linktype", "name"),
    [
        (LinkType.ETHERNET, "ethernet"),
        (LinkType.RAW, "raw"),
        (LinkType.LINUX_SLL, "linux_sll"),
        (LinkType.USER0, "user0"),
        (LinkType(4711), 4711),
    ],
)
def test_link_types_have_names_or_are_numbers(linktype: LinkType, name: Any) -> None:
    frame = Frame(b"", linktype=linktype)
    assert json.loads(json.dumps(record(Packet.parse(frame), frame, 1)))["linktype"] == name


def test_checksums_by_layer() -> None:
    tunnel = IPv4(**IPS) / IPv4(**IPS, checksum=1) / TCP() / b"x"
    assert recorded(tunnel)["checksums"] == {"ipv4": "ok", "ipv4#2": "bad", "tcp": "ok"}
    offloaded = Ethernet() / IPv4(**IPS) / UDP(checksum=1) / b"x"
    made = recorded(offloaded, checksum=ChecksumStatus.OFFLOADED)
    assert made["checksums"] == {"ipv4": "ok", "udp": "offloaded"}
    assert recorded(SAMPLES[2])["checksums"] == {"ipv4": "ok", "icmp": "ok"}


def test_problems_say_where_and_whether_the_capture_cut() -> None:
    assert recorded(Ethernet() / IPv4(**IPS) / UDP(length=7))["problems"] == [
        {
            "layer": "udp",
            "field": "length",
            "offset": 38,
            "rule": "minimum",
            "text": "length is 7, the header alone has 8 bytes",
            "by_capture": False,
        }
    ]
    frame = Frame(bytes(SAMPLES[0])[:50], original_length=79)
    made = record(Packet.parse(frame), frame, 1)
    assert (made["caplen"], made["origlen"]) == (50, 79)
    assert [problem["by_capture"] for problem in made["problems"]] == [True] * len(made["problems"])


def test_a_tag_beside_the_frame_is_told() -> None:
    frame = Frame(bytes(Ethernet() / IPv4(**IPS) / UDP()), vlan_tci=5)
    made = record(Packet.parse(frame), frame, 1)
    assert made["vlan_tci"] == 5
    assert made["caplen"] == 42


class Quoting(Header, source="a test"):
    """An error about the packet that follows."""

    __slots__ = ()
    quotes = True
    code: int = field(32, 0, "what is wrong", "a test")


def test_the_packet_that_an_error_quotes_comes_last() -> None:
    packet = IPv4(**IPS) / Quoting() / bytes(IPv4(src="9.9.9.9") / UDP(sport=53) / b"x")
    made = record(packet, Frame(bytes(packet), linktype=LinkType.RAW), 1)["layers"]
    assert [(part["name"], part.get("quoted", False)) for part in made] == [
        ("ipv4", False),
        ("quoting", False),
        ("ipv4", True),
        ("udp", True),
    ]
    assert (made[2]["src"], made[3]["sport"]) == ("9.9.9.9", 53)


@dataclass(frozen=True)
class Plain:
    """An option of the simplest kind."""

    address: object
    empty: None = None

    def __bytes__(self) -> bytes:
        return b"\x63\x02"


class Optional(Header, source="a test"):
    __slots__ = ()
    first: int = field(8, 0, "a byte", "a test")
    options: Octets = tail(8, "options", "a test")

    @property
    def parsed_options(self) -> tuple[Plain, ...]:
        """One."""
        return (Plain(LinkType.RAW), Plain(complex(1)))


def test_any_option_is_made_plain() -> None:
    packet = Optional() / b""
    made = record(packet, Frame(bytes(packet)), 1)["layers"][0]["parsed_options"]
    assert made == [
        {"kind": 0x63, "name": "Plain", "address": 101, "empty": None},
        {"kind": 0x63, "name": "Plain", "address": "(1+0j)", "empty": None},
    ]
    json.dumps(made)


def every_header(kind: type[Header] = Header) -> list[type[Header]]:
    return [found for below in kind.__subclasses__() for found in (below, *every_header(below))]


def test_no_field_has_the_name_of_what_stands_beside_fields() -> None:
    for kind in every_header():
        names = {row.name for row in kind.fields}
        assert not names & {"name", "message", "quoted", "parsed_options"}, kind
        assert not any(name.endswith("_names") for name in names), kind


@given(st.binary(max_size=120), st.sampled_from([*LinkType, LinkType(4711)]), st.integers(0, 200))
def test_any_bytes_can_be_written_as_json(data: bytes, linktype: LinkType, wire: int) -> None:
    frame = Frame(data, linktype=linktype, original_length=wire)
    made = record(Packet.parse(frame), frame, 1)
    assert json.loads(json.dumps(made)) == made


@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_packets_can_be_written_as_json(sample: Packet, data: st.DataObject) -> None:
    mutant = bytearray(bytes(sample))
    for _ in range(data.draw(st.integers(0, 4))):
        mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
    frame = Frame(bytes(mutant), linktype=sample.linktype)
    json.dumps(record(Packet.parse(frame), frame, 1))


def test_of_a_header_that_is_cut_the_fields_before_it_are_told() -> None:
    data = bytes(Ethernet() / IPv4(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=80, dport=9, seq=7, ack=8, flags=2))
    frame = Frame(data[:47], original_length=len(data))
    told = record(Packet.parse(frame), frame, 1)["layers"]
    assert [layer["name"] for layer in told] == ["ethernet", "ipv4", "tcp"]
    fields = {"name": "tcp", "sport": 80, "dport": 9, "seq": 7, "ack": 8, "data_offset": 5, "reserved": 0}
    assert told[-1] == {**fields, "incomplete": True}
    frame = Frame(data[:30], original_length=len(data))
    told = record(Packet.parse(frame), frame, 1)["layers"]
    assert told[-1]["src"] == "10.0.0.1"
    assert "dst" not in told[-1]
    assert "parsed_options" not in told[-1]

"""What frames begin with: Ethernet with a type or a length, VLAN tags, LLC, SNAP, ARP of any size, cooked, loopback."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.wire.arp import ARP, RARP, AnyARP
from rawproto.wire.cooked import LinuxCooked, LinuxCooked2
from rawproto.wire.ethernet import VLAN, Ethernet, OldProviderVLAN, ProviderVLAN
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.llc import LLC, SNAP, LLCNumbered
from rawproto.wire.loopback import Loop, Null
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

MACS: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
DATAGRAM = IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=9, dport=9) / b"abc"
DATAGRAM6 = IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=9, dport=9) / b"abc"
BPDU = bytes(35)


def kinds(packet: Packet) -> list[type[Header]]:
    return [type(header) for header in packet]


def rules(packet: Packet) -> list[tuple[str, str, str, bool]]:
    return [(p.layer, p.field, p.rule, p.by_capture) for p in packet.problems]


# 802.3


def test_over_llc_the_type_is_the_length() -> None:
    packet = Ethernet(**MACS) / LLC(dsap=0x42, ssap=0x42) / BPDU
    data = bytes(packet)
    assert data[12:17] == bytes.fromhex("0026 4242 03")
    parsed = Packet.parse(data + bytes(8))
    assert kinds(parsed) == [Ethernet, LLC]
    assert (parsed.payload, parsed.trailer, parsed.problems) == (BPDU, bytes(8), ())
    assert bytes(parsed.recompute()) == data + bytes(8)


def test_a_length_that_exceeds_is_a_problem() -> None:
    parsed = Packet.parse(bytes(Ethernet(ethertype=60) / LLC(dsap=0x42) / BPDU))
    assert rules(parsed) == [("Ethernet", "ethertype", "exceeds", False)]
    assert parsed.payload == BPDU


def test_the_longest_length_leaves_the_rest_to_the_trailer() -> None:
    packet = Ethernet() / LLC(dsap=0x42) / bytes(1497)
    assert packet.computed()[Ethernet].ethertype == 1500
    assert Packet.parse(bytes(packet) + b"rest").trailer == b"rest"


def test_a_length_that_the_capture_cut_is_none() -> None:
    data = bytes(Ethernet() / LLC(dsap=0x42) / BPDU)
    parsed = Packet.parse(Frame(data[:20], original_length=len(data)))
    assert rules(parsed) == [("frame", "data", "cut", True)]


@pytest.mark.parametrize(
    ("number", "expected"), [(1500, LLC), (1501, None), (1535, None), (1536, None), (0, None), (1, None)]
)
def test_what_is_a_length(number: int, expected: type[Header] | None) -> None:
    parsed = Packet.parse(bytes(Ethernet(ethertype=number) / (b"\2\2\3" + bytes(1497))))
    assert kinds(parsed)[1:] == ([expected] if expected else [])
    assert (("Ethernet", "ethertype", "length", False) in rules(parsed)) == (1500 < number < 1536)


def test_novell_frames_have_no_llc() -> None:
    parsed = Packet.parse(bytes(Ethernet(ethertype=30) / (b"\xff\xff" + bytes(28))))
    assert kinds(parsed) == [Ethernet]
    assert rules(parsed) == []


def test_a_length_in_a_vlan_tag() -> None:
    packet = Ethernet(**MACS) / VLAN(vid=5) / LLC() / SNAP() / DATAGRAM
    parsed = Packet.parse(bytes(packet) + bytes(3))
    assert parsed[Ethernet].ethertype == 0x8100
    assert parsed[VLAN].ethertype == len(bytes(packet)) - 18
    assert parsed.replace(trailer=b"") == packet.computed()
    assert parsed.trailer == bytes(3)


def test_snap_tells_the_ethertype() -> None:
    data = bytes(Ethernet() / LLC() / SNAP() / DATAGRAM)
    assert data[14:22] == bytes.fromhex("aaaa03 000000 0800")
    assert kinds(Packet.parse(data)) == [Ethernet, LLC, SNAP, IPv4, UDP]
    cisco = Ethernet() / LLC() / SNAP(oui=0x00000C, ethertype=0x0800) / bytes(DATAGRAM)
    assert kinds(Packet.parse(bytes(cisco))) == [Ethernet, LLC, SNAP]


@pytest.mark.parametrize(
    ("llc", "is_ip"),
    [
        (LLC(dsap=6, ssap=6), True),
        (LLC(dsap=6, ssap=6, control=0x13), False),
        (LLC(dsap=6, ssap=6, control=0xE3), False),
        (LLCNumbered(dsap=6, ssap=6, control=2), True),
        (LLCNumbered(dsap=6, ssap=6, control=1), False),
        (LLC(dsap=7, ssap=6), False),
        (LLC(dsap=0xAA, ssap=0xAB), False),
    ],
)
def test_only_frames_with_information_are_looked_into(llc: Header, is_ip: bool) -> None:
    parsed = Packet.parse(bytes(Ethernet() / llc / DATAGRAM))
    assert kinds(parsed)[:2] == [Ethernet, type(llc)]
    assert (IPv4 in parsed) == is_ip


@pytest.mark.parametrize(("control", "size"), [(0x03, 3), (0xAF, 3), (0x00, 4), (0x01, 4), (0xFE, 4)])
def test_numbered_frames_have_a_control_field_of_two_bytes(control: int, size: int) -> None:
    parsed = Packet.parse(bytes(Ethernet() / LLC(dsap=2, ssap=2, control=control) / b"\x05xy"))
    assert parsed.layers[1].size == size


# VLAN


@pytest.mark.parametrize(("tag", "number"), [(VLAN, 0x8100), (ProviderVLAN, 0x88A8), (OldProviderVLAN, 0x9100)])
def test_each_tag_has_its_number(tag: type[VLAN], number: int) -> None:
    packet = Ethernet() / tag(vid=7, pcp=6, dei=1) / VLAN(vid=5) / DATAGRAM
    data = bytes(packet)
    assert data[12:20] == number.to_bytes(2) + bytes.fromhex("d007 8100 0005")
    parsed = Packet.parse(data)
    assert kinds(parsed) == [Ethernet, tag, VLAN, IPv4, UDP]
    assert parsed[VLAN].vid == 7
    assert bytes(parsed.recompute()) == data


# ARP


def test_rarp_is_told_by_the_operation_and_has_its_own_type() -> None:
    packet = Ethernet() / RARP(target_mac=MACS["src"])
    data = bytes(packet)
    assert data[12:22] == bytes.fromhex("8035 0001 0800 0604 0003")
    assert kinds(Packet.parse(data)) == [Ethernet, RARP]
    assert ARP in Packet.parse(data)
    assert bytes(Packet.parse(data).recompute()) == data


@pytest.mark.parametrize(("hardware", "protocol"), [(0, 4), (8, 4), (6, 16), (20, 4), (255, 255)])
def test_arp_with_other_sizes_keeps_its_addresses_as_bytes(hardware: int, protocol: int) -> None:
    parts = [bytes([n]) * size for n, size in enumerate((hardware, protocol) * 2)]
    packet = Ethernet() / AnyARP(hardware_size=hardware, protocol_size=protocol, hardware_type=32) / b"".join(parts)
    parsed = Packet.parse(bytes(packet) + bytes(9))
    assert kinds(parsed) == [Ethernet, AnyARP]
    assert ARP not in parsed
    assert list(parsed[AnyARP].addresses(parsed.payload)) == parts
    assert (parsed.trailer, parsed.problems) == (bytes(9), ())


def test_arp_whose_addresses_are_not_all_there() -> None:
    packet = Ethernet() / AnyARP(hardware_size=8) / bytes(23)
    assert rules(Packet.parse(bytes(packet))) == [("ARP", "protocol_size", "exceeds", False)]


# Cooked, loopback, raw


@pytest.mark.parametrize("cooked", [LinuxCooked, LinuxCooked2])
@pytest.mark.parametrize(
    ("above", "number"),
    [
        (DATAGRAM, 0x0800),
        (DATAGRAM6, 0x86DD),
        (ARP() / b"", 0x0806),
        (VLAN(vid=5) / DATAGRAM, 0x8100),
        (LLC() / SNAP() / DATAGRAM, 4),
        (Ethernet() / DATAGRAM, 3),
    ],
)
def test_cooked(cooked: Any, above: Packet, number: int) -> None:
    packet = cooked(packet_type=4, hardware_type=772, address=b"\2\0\0\0\0\1\0\0") / above
    data = bytes(packet)
    parsed = Packet.parse(data, packet.linktype)
    assert parsed == packet.computed()
    assert parsed.layers[0].raw("protocol") == number
    assert bytes(parsed.recompute()) == data


def test_cooked_headers_are_laid_out_as_published() -> None:
    first = LinuxCooked(packet_type=4, hardware_type=1, address=b"abcdefgh") / DATAGRAM
    assert bytes(first)[:16] == bytes.fromhex("0004 0001 0006") + b"abcdefgh" + bytes.fromhex("0800")
    second = LinuxCooked2(packet_type=4, hardware_type=1, interface=7, address=b"abcdefgh") / DATAGRAM
    assert bytes(second)[:20] == bytes.fromhex("0800 0000 00000007 0001 04 06") + b"abcdefgh"


def test_netlinks_protocol_is_none_of_ethernets() -> None:
    data = bytes(LinuxCooked(hardware_type=824, protocol=0x0800) / bytes(DATAGRAM))
    assert kinds(Packet.parse(data, LinkType.LINUX_SLL)) == [LinuxCooked]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("number", "above"), [(2, DATAGRAM), (24, DATAGRAM6), (28, DATAGRAM6), (30, DATAGRAM6)])
def test_null_in_either_byte_order(order: Any, number: int, above: Packet) -> None:
    data = number.to_bytes(4, order) + bytes(above)
    parsed = Packet.parse(data, LinkType.NULL)
    assert parsed[Null].address_family == number
    assert kinds(parsed) == [Null, *kinds(above)]
    assert bytes(parsed.recompute()) == data


def test_loop_is_in_network_order_alone() -> None:
    assert kinds(Packet.parse(bytes(Loop() / DATAGRAM), LinkType.LOOP)) == [Loop, IPv4, UDP]
    assert kinds(Packet.parse(b"\2\0\0\0" + bytes(DATAGRAM), LinkType.LOOP)) == [Loop]


@pytest.mark.parametrize("linktype", [LinkType.RAW, LinkType.RAW_BSD, LinkType.RAW_OPENBSD])
def test_raw_is_told_by_the_version(linktype: LinkType) -> None:
    assert kinds(Packet.parse(bytes(DATAGRAM), linktype)) == [IPv4, UDP]
    assert kinds(Packet.parse(bytes(DATAGRAM6), linktype)) == [IPv6, UDP]
    other = Packet.parse(b"\x55" + bytes(30), linktype)
    assert (kinds(other), [problem.rule for problem in other.problems]) == ([], ["unsupported"])
    assert rules(Packet.parse(b"", linktype)) == [("IPv4", "version", "short", False)]


@pytest.mark.parametrize("linktype", [LinkType.IEEE802_11, LinkType.IEEE802_11_RADIOTAP, LinkType.NETLINK])
def test_link_types_that_are_not_spoken_are_bytes(linktype: LinkType) -> None:
    parsed = Packet.parse(b"abc", linktype)
    assert (parsed.layers, parsed.payload, bytes(parsed)) == ((), b"abc", b"abc")
    assert [problem.rule for problem in parsed.problems] == ["unsupported"]


def test_padding_that_was_cut_is_told() -> None:
    data = bytes(Ethernet() / DATAGRAM).ljust(60, b"\0")
    parsed = Packet.parse(Frame(data[:50], original_length=60))
    assert rules(parsed) == [("frame", "data", "cut", True)]
    assert parsed.checksums == {"IPv4": "ok", "UDP": "ok"}

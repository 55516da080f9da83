from __future__ import annotations

import ipaddress
from itertools import pairwise
from typing import Any

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.flow import FlowKey
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMPEcho, ICMPError
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, RDT_UDP_PORT
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

IPS: dict[str, Any] = {"src": "10.0.0.2", "dst": "10.0.0.1"}
IP6S: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}


def both_ways(packet: Packet) -> list[FlowKey | None]:
    """The key of the packet as composed, and as parsed."""
    return [FlowKey.of(packet), FlowKey.of(Packet.parse(bytes(packet), packet.linktype))]


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (Ethernet() / IPv4(**IPS) / TCP(sport=80, dport=1234), "10.0.0.2:80 > 10.0.0.1:1234 tcp"),
        (IPv4(**IPS) / UDP(sport=53, dport=9) / b"x", "10.0.0.2:53 > 10.0.0.1:9 udp"),
        (Ethernet() / VLAN(vid=5) / IPv6(**IP6S) / TCP(sport=1), "[fd00::1]:1 > [fd00::2]:0 tcp"),
        (IPv4(**IPS) / RDT(sport=7, dport=9), "10.0.0.2:7 > 10.0.0.1:9 rdt"),
        (
            IPv4(**IPS) / UDP(sport=RDT_UDP_PORT, dport=4000) / RDT(sport=7, dport=9),
            "10.0.0.2:7 > 10.0.0.1:9 rdt over udp 25300 > 4000",
        ),
        (RDT(sport=7, dport=9) / b"x", ":7 > :9 rdt"),
        (IPv4() / IPv4(**IPS) / TCP(sport=1, dport=2), "10.0.0.2:1 > 10.0.0.1:2 tcp"),
        (IPv4(**IPS, flags=IPv4Flags.MF) / UDP(sport=1, dport=2) / b"first", "10.0.0.2:1 > 10.0.0.1:2 udp"),
    ],
)
def test_the_flow_of_a_packet(packet: Packet, text: str) -> None:
    assert [str(key) for key in both_ways(packet)] == [text, text]


@pytest.mark.parametrize(
    "packet",
    [
        Ethernet() / ARP(),
        IPv4(**IPS) / ICMPEcho(),
        IPv4(**IPS) / ICMPError() / bytes(IPv4(**IPS) / UDP(sport=1)),
        IPv4(**IPS, fragment_offset=3) / UDP(sport=1, dport=2) / b"later",
        IPv4(**IPS) / b"bare",
    ],
)
def test_what_belongs_to_no_flow(packet: Packet) -> None:
    assert both_ways(packet) == [None, None]


def test_a_tunnel_that_carries_no_transport_is_no_flow() -> None:
    assert FlowKey.of(IPv4(**IPS) / UDP(sport=1) / IPv4(**IPS) / ICMPEcho()) is None


def test_protocols_with_the_same_ports_are_told_apart() -> None:
    ports: dict[str, Any] = {"sport": 7, "dport": 9}
    ip = IPv4(**IPS)
    keys = {
        FlowKey.of(packet)
        for packet in (
            ip / TCP(**ports),
            ip / UDP(**ports),
            ip / RDT(**ports),
            ip / UDP(sport=RDT_UDP_PORT) / RDT(**ports),
            ip / UDP(dport=RDT_UDP_PORT) / RDT(**ports),
        )
    }
    assert len(keys) == 5


def test_only_udp_carries_rdt_with_ports_of_its_own() -> None:
    key = FlowKey.of(IPv4(**IPS) / TCP(sport=1) / RDT(sport=7, dport=9))
    assert str(key) == "10.0.0.2:7 > 10.0.0.1:9 rdt"


def test_vlan_tags_count_when_asked() -> None:
    packets = [
        Ethernet() / IPv4(**IPS) / TCP(),
        Ethernet() / VLAN(vid=5) / IPv4(**IPS) / TCP(),
        Ethernet() / VLAN(vid=5) / VLAN(vid=7) / IPv4(**IPS) / TCP(),
        Packet.parse(Frame(bytes(Ethernet() / IPv4(**IPS) / TCP()))),
    ]
    assert len({FlowKey.of(packet) for packet in packets}) == 1
    tags = [key.vlan for key in (FlowKey.of(packet, vlan=True) for packet in packets) if key]
    assert tags == [(), (5,), (5, 7), ()]
    assert str(FlowKey.of(packets[2], vlan=True)).endswith(" tcp vlan 5.7")


def test_both_directions_have_one_canonical_key() -> None:
    there = FlowKey.of(IPv4(**IPS) / UDP(sport=RDT_UDP_PORT, dport=4000) / RDT(sport=7, dport=9))
    back = FlowKey.of(IPv4(src=IPS["dst"], dst=IPS["src"]) / UDP(sport=4000, dport=25300) / RDT(sport=9, dport=7))
    assert there is not None
    assert back is not None
    assert there != back
    assert there.reversed() == back
    assert there.canonical() == back.canonical() == back


KEYS = st.builds(
    FlowKey,
    st.sampled_from(("tcp", "udp")),
    *(st.binary(min_size=4, max_size=4), st.integers(0, 65535)) * 2,
    st.just(()),
    st.lists(st.integers(0, 4095), max_size=2).map(tuple),
)


@given(KEYS)
def test_reversing_and_canonical_hold_for_any_key(key: FlowKey) -> None:
    assert key.reversed().reversed() == key
    assert key.canonical() == key.reversed().canonical() == key.canonical().canonical()
    assert key.canonical() in (key, key.reversed())


@given(st.lists(KEYS))
def test_keys_sort(keys: list[FlowKey]) -> None:
    both = sorted(
        [*keys, FlowKey.make("rdt", "::1", 1, "::2", 2, udp_ports=(3, 4)), FlowKey.make("udp", "::", 1, "::", 2)]
    )
    assert all(one <= other for one, other in pairwise(both))


@pytest.mark.parametrize("convert", [str, lambda a: a.packed, lambda a: a, lambda a: netaddr.IPAddress(str(a))])
def test_a_key_by_hand_takes_addresses_in_every_guise(convert: Any) -> None:
    for source, target in (("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")):
        src, dst = ipaddress.ip_address(source), ipaddress.ip_address(target)
        key = FlowKey.make("tcp", convert(src), 1, convert(dst), 2)
        assert key == FlowKey("tcp", src.packed, 1, dst.packed, 2)


def test_a_key_by_hand_equals_the_packet_s() -> None:
    packet = Ethernet() / VLAN(vid=5) / IPv4(**IPS) / UDP(sport=RDT_UDP_PORT, dport=3) / RDT(sport=1, dport=2)
    made = FlowKey.make("rdt", "10.0.0.2", 1, "10.0.0.1", 2, udp_ports=(25300, 3), vlan=(5,))
    assert FlowKey.of(packet, vlan=True) == made
    assert hash(FlowKey.of(packet, vlan=True)) == hash(made)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("icmp", "10.0.0.1", 1, "10.0.0.2", 2), "protocol 'icmp' is none of tcp, udp, rdt"),
        (("tcp", "10.0.0.1", 1, "::1", 2), "10.0.0.1 and ::1 are not of one IP version"),
        (("tcp", "host", 1, "::1", 2), "IPv4 address: 'host'"),
        (("tcp", "10.0.0.1", -1, "10.0.0.2", 2), "port -1"),
        (("tcp", "10.0.0.1", 1, "10.0.0.2", 65536), "port 65536"),
        (("tcp", "10.0.0.1", "1", "10.0.0.2", 2), "port '1'"),
    ],
)
def test_a_key_that_can_not_be_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(WireError, match=message):
        FlowKey.make(*arguments)


@pytest.mark.parametrize(("protocol", "ports"), [("tcp", (1, 2)), ("rdt", (1,)), ("rdt", (1, 65536))])
def test_udp_ports_are_rdt_s(protocol: str, ports: Any) -> None:
    with pytest.raises(WireError, match=r"udp_ports|port 65536"):
        FlowKey.make(protocol, "10.0.0.1", 1, "10.0.0.2", 2, udp_ports=ports)


@given(st.binary(max_size=80), st.sampled_from([*LinkType]))
def test_any_bytes_have_a_flow_or_none(data: bytes, linktype: LinkType) -> None:
    key = FlowKey.of(Packet.parse(data, linktype), vlan=True)
    assert key is None or str(key.canonical())

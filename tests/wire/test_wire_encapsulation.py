from __future__ import annotations

import pytest

from rawproto.wire.encapsulation import (
    GRE,
    MPLS,
    PPP,
    GREFlags,
    PPPCompressed,
    PPPFramed,
    PPPoE,
    PPPoEDiscovery,
)
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

INNER = IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"abc"
STACKS = [
    Ethernet() / MPLS(label=17) / INNER,
    Ethernet() / MPLS(label=17, tc=3) / MPLS(label=18, ttl=2) / INNER,
    Ethernet() / MPLS(label=2) / IPv6(src="fd00::1") / UDP(sport=1, dport=2) / b"abc",
    Ethernet() / PPPoE(session_id=7) / PPP() / INNER,
    Ethernet() / PPPoE() / PPP() / IPv6() / TCP(sport=1),
    Ethernet() / PPPoEDiscovery() / b"\1\1\0\0",
    PPP() / INNER,
    PPPFramed() / INNER,
    PPPCompressed() / INNER,
    Ethernet() / IPv4() / GRE() / INNER,
    Ethernet() / IPv4() / GRE(flags=GREFlags.KEY | GREFlags.SEQUENCE, optional=bytes(8)) / IPv6() / b"",
    Ethernet() / IPv6() / GRE(flags=GREFlags.CHECKSUM, optional=bytes(4)) / Ethernet() / INNER,
    Ethernet() / IPv4() / GRE(flags=GREFlags.KEY | GREFlags.ACK, version=1, optional=bytes(8)) / PPPFramed() / INNER,
]


@pytest.mark.parametrize("packet", STACKS, ids=lambda p: "-".join(type(h).__name__ for h in p))
def test_it_parses_to_itself(packet: Packet) -> None:
    parsed = Packet.parse(bytes(packet), packet.linktype)
    assert [type(header) for header in parsed] == [type(header) for header in packet]
    assert parsed.layers == packet.computed().layers
    assert parsed.payload == packet.payload
    assert parsed.problems == ()
    assert set(parsed.checksums.values()) <= {"ok"}
    assert bytes(parsed.recompute()) == bytes(packet)


def test_scapy_reads_the_same() -> None:
    scapy = pytest.importorskip("scapy.all")
    mpls = pytest.importorskip("scapy.contrib.mpls")
    data = bytes(Ethernet() / MPLS(label=17, tc=3) / MPLS(label=18, ttl=2) / INNER)
    outer, inner = scapy.Ether(data)[mpls.MPLS], scapy.Ether(data)[mpls.MPLS].payload
    assert (outer.label, outer.cos, outer.s, inner.label, inner.s, inner.ttl) == (17, 3, 0, 18, 1, 2)
    assert inner.payload.src == "10.0.0.1"
    session = scapy.Ether(bytes(Ethernet() / PPPoE(session_id=7) / PPP() / INNER))
    assert (session[scapy.PPPoE].sessionid, session[scapy.PPPoE].len, session[scapy.PPP].proto) == (7, 33, 0x21)
    assert session[scapy.IP].dst == "10.0.0.2"
    gre = scapy.Ether(bytes(Ethernet() / IPv4() / GRE(flags=GREFlags.KEY, optional=b"\0\0\0\7") / INNER))[scapy.GRE]
    assert (gre.key_present, gre.key, gre.proto, gre.payload.src) == (1, 7, 0x0800, "10.0.0.1")


def test_what_is_cut_or_wrong_is_told() -> None:
    cut = Packet.parse(bytes(IPv4() / GRE(flags=GREFlags.KEY | GREFlags.SEQUENCE, optional=b"\0\0\0\7")), LinkType.RAW)
    assert [(p.layer, p.field, p.rule) for p in cut.problems] == [("GRE", "optional", "short")]
    wrong = Packet.parse(bytes(Ethernet() / PPPoE(version=2) / PPP() / INNER))
    assert [(p.layer, p.rule) for p in wrong.problems] == [("PPPoE", "version")]
    long = Packet.parse(bytes(Ethernet() / PPPoE(length=99) / PPP() / INNER))
    assert [(p.layer, p.rule) for p in long.problems] == [("PPPoE", "exceeds")]


def test_source_routes_and_unknown_payloads_stay_bytes() -> None:
    for header in (GRE(flags=GREFlags.ROUTING, optional=bytes(4)), GRE(protocol=0x1234), MPLS(), PPP(protocol=0xC021)):
        below = Ethernet() / (IPv4() / header if isinstance(header, GRE) else header)
        kinds = [type(h) for h in Packet.parse(bytes(below / b"\x01\x02\x03\x04"))]
        assert kinds[-1] is type(header) or kinds[-1] is Ethernet

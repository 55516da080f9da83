"""We, scapy, dpkt and tshark read the same in the same bytes, field by field, in packets that each of them has built.

`peer_fields` pairs the names of the fields. Where another tool stops, or goes wrong, the reason is written here.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import dpkt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from peer_built import dpkt_packets, scapy_packets
from peer_fields import FIELDS, Window
from peer_packets import CONTENTS, good_packets
from peer_tools import Layer, differences, dpkt_layers, layers_of, scapy_layers, tshark_fields

from rawproto.interop import register
from rawproto.wire.dissect import ChecksumVerdict
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet

SCAPY, DPKT, TSHARK = 1, 2, 3

SCAPY_STOPS = {
    "OldProviderVLAN": "scapy has no binding for EtherType 0x9100",
    "RARP": "scapy has no binding for EtherType 0x8035",
    "UDPLite": "scapy has no UDP-Lite",
}
AFTER_AH = "scapy binds little to what may follow an authentication header"
ROUTER_ALERT = "scapy puts a router alert into the IPv4 header below IGMP, in what it reads too"
DPKT_STOPS = {
    "LLC": "dpkt knows no 802.3 length in a VLAN tag",
    "RARP": "dpkt has no binding for EtherType 0x8035",
    "RDT": "dpkt has no RDT",
    "UDPLite": "dpkt has no UDP-Lite",
    "IGMPGroup": "dpkt's IGMP is four bytes and a group",
    "IGMPQuery": "dpkt's IGMP is four bytes and a group",
    "IGMPReport": "dpkt's IGMP is four bytes and a group",
    "LinuxCooked2": "dpkt has no LINKTYPE_LINUX_SLL2",
}
NOT_QUOTED = "dpkt looks into what ICMP type 12 quotes no more than into a type that it does not know"
FRAGMENT_NOT_LAST = "dpkt asks the last extension header for a fragment offset if the first one is a fragment header"


def found_by(layers: list[Layer], theirs: list[tuple[str, Any]], excused: Callable[[list[Layer], int], bool]) -> int:
    """How many of our layers the other tool has too; fails if it stops where there is no reason for it to."""
    for at, layer in enumerate(layers):
        if at >= len(theirs) or theirs[at][0] != layer.family:
            said = theirs[at][0] if at < len(theirs) else "nothing"
            assert excused(layers, at), f"{type(layer.header).__name__}: the other tool has {said} there"
            return at
    return len(layers)


def scapy_excused(layers: list[Layer], at: int) -> bool:
    return type(layers[at].header).__name__ in SCAPY_STOPS or any(layer.family == "AH" for layer in layers[:at])


def dpkt_excused(layers: list[Layer], at: int) -> bool:
    below = layers[at - 1].header if at else None
    is_unread_quote = layers[at].family == "IPv4" and below is not None and below.family == "ICMP"
    return type(layers[at].header).__name__ in DPKT_STOPS or (is_unread_quote and below.raw("type") == 12)


def hold_against_scapy(scapy: Any, packet: Packet) -> set[str]:
    """Compare; the names of the layers that were."""
    data, layers = bytes(packet), layers_of(packet)
    links = {
        LinkType.ETHERNET: scapy.Ether,
        LinkType.LINUX_SLL: scapy.CookedLinux,
        LinkType.LINUX_SLL2: scapy.CookedLinuxV2,
    }
    first = links.get(packet.linktype) or (scapy.IPv6 if data[0] >> 4 == 6 else scapy.IP)
    theirs = scapy_layers(first(data))
    count = found_by(layers, theirs, scapy_excused)
    for at in range(count):
        wrong = list(differences(layers[at], theirs[at][1], SCAPY))
        if isinstance(layers[at].header, IPv4) and at + 1 < count and layers[at + 1].family == "IGMP":
            wrong = [each for each in wrong if not each.startswith("IPv4 options: b''")]  # ROUTER_ALERT
        assert wrong == []
    return {type(layer.header).__name__ for layer in layers[:count]}


def hold_against_dpkt(packet: Packet) -> set[str]:
    """Compare; the names of the layers that were."""
    data, layers = bytes(packet), layers_of(packet)
    if packet.linktype == LinkType.LINUX_SLL2:
        return set()
    links = {LinkType.ETHERNET: dpkt.ethernet.Ethernet, LinkType.LINUX_SLL: dpkt.sll.SLL}
    first = links.get(packet.linktype) or (dpkt.ip6.IP6 if data[0] >> 4 == 6 else dpkt.ip.IP)
    try:
        theirs = dpkt_layers(first(data))
    except AttributeError as error:
        families = [layer.family for layer in layers]
        after = families[families.index("IPv6") + 1 :]
        assert "frag_off" in str(error) and after[0] == "Fragment" and after[1] in EXTENSIONS, FRAGMENT_NOT_LAST
        return set()
    count = found_by(layers, theirs, dpkt_excused)
    for at in range(count):
        assert list(differences(layers[at], theirs[at][1], DPKT)) == []
    return {type(layer.header).__name__ for layer in layers[:count]}


EXTENSIONS = ("HopByHop", "DestinationOptions", "Routing", "AH", "ESP")


def is_good(packet: Packet) -> None:
    """A packet that somebody built in earnest is read without any complaint."""
    assert packet.problems == ()
    known = {str(verdict) for verdict in packet.checksums.values()}
    assert known <= {ChecksumVerdict.OK, ChecksumVerdict.UNVERIFIABLE}


@pytest.fixture(scope="module")
def peer(scapy: Any) -> Any:
    register()
    scapy.load_layer("igmp")
    return scapy


@given(st.data())
def test_what_we_build_is_read_alike_by_scapy(peer: Any, data: st.DataObject) -> None:
    packet = data.draw(good_packets())
    hold_against_scapy(peer, Packet.parse(bytes(packet), packet.linktype))


@given(good_packets())
def test_what_we_build_is_read_alike_by_dpkt(packet: Packet) -> None:
    hold_against_dpkt(Packet.parse(bytes(packet), packet.linktype))


@given(st.data())
def test_what_scapy_builds_is_read_alike_by_scapy_dpkt_and_us(peer: Any, data: st.DataObject) -> None:
    packet = Packet.parse(bytes(data.draw(scapy_packets(peer))))
    is_good(packet)
    hold_against_scapy(peer, packet)
    hold_against_dpkt(packet)


@given(st.data())
def test_what_dpkt_builds_is_read_alike_by_dpkt_scapy_and_us(peer: Any, data: st.DataObject) -> None:
    packet = Packet.parse(bytes(data.draw(dpkt_packets())))
    is_good(packet)
    hold_against_dpkt(packet)
    hold_against_scapy(peer, packet)


# tshark, once for all of them

STATUSES = {ChecksumVerdict.BAD: {0}, ChecksumVerdict.OK: {1}, ChecksumVerdict.UNVERIFIABLE: {2, 3}}
"""tshark's 0 is bad, 1 good, 2 unverified, 3 not present."""
STATUS_FIELDS = {
    "IPv4": "ip.checksum.status",
    "TCP": "tcp.checksum.status",
    "UDP": "udp.checksum.status",
    "ICMP": "icmp.checksum.status",
    "ICMPv6": "icmpv6.checksum.status",
    "IGMP": "igmp.checksum.status",
}
NO_STATUS = {
    "RDT": "tshark has no RDT",
    "UDPLite": "tshark verifies UDP-Lite, and has a status for it under UDP's name only with another setting",
}
QUOTED_TCP = "of TCP that an ICMP error quotes, tshark 4.0 shows no more than the first eight bytes in some cases"


TUNNEL = "tshark verifies a packet in the first fragment of another if it ends in it; here nothing in a fragment is"


def tunnel_in_fragment(packet: Packet) -> float:
    """Where the second IP header lies in the first fragment of another (TUNNEL); infinity if there is none."""
    headers = zip(packet.layers, packet.layout.offsets, strict=True)
    networks = [(header, start) for header, start in headers if header.has_pseudo_header]
    return networks[1][1] if len(networks) > 1 and getattr(networks[0][0], "is_fragment", False) else math.inf


def samples(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Examples, the same in every run."""
    found: list[Any] = []

    checks = list(HealthCheck)

    @settings(
        max_examples=count, phases=[Phase.generate], derandomize=True, database=None, suppress_health_check=checks
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


@pytest.fixture(scope="module")
def batch(peer: Any, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Packet, list[tuple[str, int, str, str]]]]:
    """Packets of ours, scapy's and dpkt's, and what tshark says of each."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    ours = [packet for content in range(len(CONTENTS)) for packet in samples(good_packets(content), 10)]
    built = [(bytes(packet), packet.linktype) for packet in ours]
    for strategy in (scapy_packets(peer), dpkt_packets()):
        built += [(bytes(packet), LinkType.ETHERNET) for packet in samples(strategy, 150)]
    packets = [Packet.parse(data, linktype) for data, linktype in built]
    return list(zip(packets, tshark_fields(tshark, packets, tmp_path_factory.mktemp("tshark")), strict=True))


Batch = Iterable[tuple[Packet, list[tuple[str, int, str, str]]]]


def is_silent_on_quoted_tcp(layer: Layer, complaint: str) -> bool:
    return layer.family == "TCP" and layer.is_quoted and not complaint.startswith(("TCP sport", "TCP dport", "TCP seq"))


@pytest.mark.tshark
def test_tshark_reads_every_field_alike(batch: Batch) -> None:
    for packet, found in batch:
        for layer in layers_of(packet):
            wrong = differences(layer, Window(found, layer.start, layer.end), TSHARK)
            assert [each for each in wrong if not is_silent_on_quoted_tcp(layer, each)] == [], packet  # QUOTED_TCP


@pytest.mark.tshark
def test_tshark_judges_every_checksum_alike(batch: Batch) -> None:
    for packet, found in batch:
        verdicts = iter(packet.checksums.items())
        for header, start in zip(packet.layers, packet.layout.offsets, strict=True):
            if not header.has_checksum:
                continue
            name, verdict = next(verdicts)
            if header.family in STATUS_FIELDS:
                status = Window(found, start, start + header.size + 1).all(STATUS_FIELDS[header.family])
                assert status, f"{name}: tshark has no {STATUS_FIELDS[header.family]}: {packet}"
                is_in_fragment = verdict == ChecksumVerdict.UNVERIFIABLE and start > tunnel_in_fragment(packet)
                assert status[0] in STATUSES[verdict] or is_in_fragment, f"{name}: {verdict}, tshark {status}: {packet}"
            else:
                assert header.family in NO_STATUS


@pytest.mark.tshark
def test_every_kind_of_header_was_compared(batch: Batch, peer: Any) -> None:
    compared: dict[str, set[str]] = {"scapy": set(), "dpkt": set(), "tshark": set()}
    for packet, _ in batch:
        compared["scapy"] |= hold_against_scapy(peer, packet)
        compared["dpkt"] |= hold_against_dpkt(packet)
        compared["tshark"] |= {type(layer.header).__name__ for layer in layers_of(packet)}
    known = {kind.__name__ for kind in FIELDS}
    assert known - compared["tshark"] == {"TCPStart"}  # only in what somebody else's error quotes
    assert known - compared["scapy"] == {"TCPStart", *SCAPY_STOPS}
    assert known - compared["dpkt"] == {"TCPStart", *DPKT_STOPS} - {"LLC"}

"""How to ask scapy, dpkt and tshark for the layers of a packet, and to hold what they say against ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import dpkt
from peer_fields import FIELDS, Cell, Silent, Window

from rawproto.capture import PcapngWriter
from rawproto.wire.address import pack_ip, pack_mac
from rawproto.wire.frame import Frame
from rawproto.wire.header import Header
from rawproto.wire.packet import Packet

__all__ = [
    "Layer",
    "differences",
    "dpkt_layers",
    "layers_of",
    "scapy_layers",
    "tshark_fields",
    "value_of",
]

SCAPY_NAMES = {
    "Ether": "Ethernet",
    "Dot3": "Ethernet",
    "Dot1Q": "VLAN",
    "Dot1AD": "VLAN",
    "CookedLinux": "LinuxCooked",
    "CookedLinuxV2": "LinuxCooked2",
    "IP": "IPv4",
    "IPerror": "IPv4",
    "IPerror6": "IPv6",
    "TCPerror": "TCP",
    "UDPerror": "UDP",
    "ICMPerror": "ICMP",
    "IPv6ExtHdrHopByHop": "HopByHop",
    "IPv6ExtHdrDestOpt": "DestinationOptions",
    "IPv6ExtHdrFragment": "Fragment",
    "IPv6ExtHdrRouting": "Routing",
    "IPv6ExtHdrSegmentRouting": "Routing",
}
"""scapy's class and our family, where the names differ."""
DPKT_NAMES: dict[type[Any], str] = {
    dpkt.ethernet.Ethernet: "Ethernet",
    dpkt.ethernet.VLANtag8021Q: "VLAN",
    dpkt.sll.SLL: "LinuxCooked",
    dpkt.arp.ARP: "ARP",
    dpkt.ip.IP: "IPv4",
    dpkt.ip6.IP6: "IPv6",
    dpkt.ip6.IP6HopOptsHeader: "HopByHop",
    dpkt.ip6.IP6DstOptsHeader: "DestinationOptions",
    dpkt.ip6.IP6RoutingHeader: "Routing",
    dpkt.ip6.IP6FragmentHeader: "Fragment",
    dpkt.ip6.IP6AHHeader: "AH",
    dpkt.ip6.IP6ESPHeader: "ESP",
    dpkt.esp.ESP: "ESP",
    dpkt.icmp.ICMP: "ICMP",
    dpkt.icmp6.ICMP6: "ICMPv6",
    dpkt.tcp.TCP: "TCP",
    dpkt.udp.UDP: "UDP",
}
VLANS = ("VLAN", "ProviderVLAN", "OldProviderVLAN")
CHECKS = ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")
APART = ("ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams", "tcp.analyze_sequence_numbers")


class Layer(NamedTuple):
    """One of our headers, with all its fields worked out, and where it lies in the frame."""

    header: Header
    start: int
    end: int
    is_quoted: bool = False

    @property
    def family(self) -> str:
        return "VLAN" if type(self.header).__name__ in VLANS else self.header.family


def layers_of(packet: Packet) -> list[Layer]:
    """Our layers, those of the packet that an ICMP error quotes included."""
    layout = packet.layout
    ends = (*layout.offsets, layout.payload_start)[1:]
    found = [Layer(*each) for each in zip(layout.layers, layout.offsets, ends, strict=True)]
    quoted = packet.quoted
    if quoted is not None:
        base = layout.payload_start
        found += [Layer(each.header, base + each.start, base + each.end, True) for each in layers_of(quoted)]
    return found


def scapy_layers(packet: Any) -> list[tuple[str, Any]]:
    """(our family, scapy's layer), up to the first that we have no name for."""
    found = []
    while packet:
        name = type(packet).__name__
        name = next((family for family in ("ICMPv6", "IGMP") if name.startswith(family)), name)
        name = SCAPY_NAMES.get(name, name)
        if name not in FAMILIES:
            break
        found.append((name, packet))
        packet = packet.payload
    return found


def dpkt_layers(packet: Any) -> list[tuple[str, Any]]:
    """(our family, dpkt's layer), up to the first that we have no name for."""
    found: list[tuple[str, Any]] = []
    while isinstance(packet, dpkt.Packet):
        if isinstance(packet, (dpkt.icmp.ICMP.Quote, dpkt.icmp6.ICMP6.Error)):
            packet = packet.data
            continue
        if isinstance(packet, dpkt.llc.LLC):
            found.append(("LLC", packet))
            if packet.is_snap:
                found.append(("SNAP", packet))
        elif type(packet) in DPKT_NAMES:
            found.append((DPKT_NAMES[type(packet)], packet))
        else:
            break
        beside = getattr(packet, "vlan_tags", None) or getattr(packet, "all_extension_headers", None) or []
        found += [(DPKT_NAMES[type(each)], each) for each in beside]
        packet = packet.data
    return found


FAMILIES = {"VLAN" if kind.__name__ in VLANS else kind.family for kind in FIELDS}


def tshark_fields(tshark: str, packets: Sequence[Packet], work: Path) -> Iterator[list[tuple[str, int, str, str]]]:
    """For each packet what tshark says: (name, position, as shown, bytes in hexadecimal)."""
    capture, said = work / "packets.pcapng", work / "packets.pdml"
    with PcapngWriter(capture) as writer:
        for at, packet in enumerate(packets):
            writer.write(Frame(bytes(packet), at, packet.linktype))
    settings = [*(f"{name}:TRUE" for name in CHECKS), *(f"{name}:FALSE" for name in APART)]
    command = [tshark, "-n", "-r", str(capture), "-T", "pdml", *(word for each in settings for word in ("-o", each))]
    with said.open("wb") as output:
        subprocess.run(command, stdout=output, stderr=subprocess.DEVNULL, check=True)
    for _, element in ElementTree.iterparse(said):
        if element.tag == "packet":
            yield [
                (each.get("name", ""), int(each.get("pos") or 0), each.get("show", ""), each.get("value") or "")
                for each in element.iter("field")
            ]
            element.clear()


def value_of(source: Any, cell: Cell, like: Any) -> Any:
    """What `source`, a layer or a window, has in that cell; addresses as bytes, as ours are. Raises LookupError."""
    if callable(cell):
        return cell(source)
    assert isinstance(cell, str)
    names = cell.split("|")
    if isinstance(source, Window):
        if isinstance(like, bytes):
            return source.octets(names[0]) if len(names) == 1 else next(filter(None, map(source.octets, names)))
        found = source.all(*names)
        if not found:
            raise LookupError(cell)
        return found[0]
    if isinstance(source, dpkt.Packet):
        value = getattr(source, names[0])
    else:  # scapy's attributes go on into the payload, its fields don't
        value = next(source.fields[name] for name in names if name in source.fields)
    if isinstance(value, str) and isinstance(like, bytes):
        return packed(value)
    return bytes(value) if isinstance(like, bytes) else int(value)


def packed(text: str) -> bytes:
    return pack_mac(text) if text.count(":") == 5 and "::" not in text and len(text) == 17 else pack_ip(text)


def differences(layer: Layer, source: Any, column: int) -> Iterator[str]:
    """Where a tool reads that layer otherwise: 1 is scapy, 2 dpkt, 3 tshark."""
    for row in FIELDS[type(layer.header)]:
        ours, cell = row[0], row[column]
        if isinstance(cell, Silent):
            continue
        value = ours(layer.header) if callable(ours) else layer.header.raw(ours)
        try:
            other = value_of(source, cell, value)
        except (LookupError, AttributeError, StopIteration) as error:
            yield f"{type(layer.header).__name__} {row[0]}: {value!r}, {row[column]} is not there: {error!r}"
            continue
        if value != other:
            yield f"{type(layer.header).__name__} {row[0]}: {value!r}, {row[column]}: {other!r}"

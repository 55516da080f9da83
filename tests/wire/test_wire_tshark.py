"""Held against tshark where packets are damaged: which layers there are, what their fields hold, what is wrong.

Every sample is sent whole, cut by the capture at every byte, and with each byte of its headers changed: thousands of
frames, three runs of tshark. Where the two differ, the reason is written here; what has none is a failure. What good
packets hold is compared field by field in tests/interop.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from rawproto.capture import PcapngWriter
from rawproto.wire.arp import ARP
from rawproto.wire.dissect import Problem
from rawproto.wire.ethernet import VLAN, Ethernet, ProviderVLAN
from rawproto.wire.frame import Frame
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPEcho, ICMPError, ICMPv6Echo, ICMPv6Error
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv4_options import IPRouterAlert, RecordRoute
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import AH, DestinationOptions, Fragment, HopByHop
from rawproto.wire.ipv6_options import IPv6RouterAlert, PadN
from rawproto.wire.ipv6_routing import SegmentRouting, SourceRoute
from rawproto.wire.llc import LLC, SNAP
from rawproto.wire.multicast import IGMP, GroupRecord, IGMPReport, MLDReport
from rawproto.wire.neighbor import NeighborAdvertisement, RouterAdvertisement, target_link_address
from rawproto.wire.neighbor_options import LinkMTU, PrefixInformation
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.tcp_options import MaximumSegmentSize, NoOperation, SackPermitted, Timestamps, WindowScale
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.tshark

LINK = Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
FOUR = LINK / IPv4(src="10.0.0.1", dst="10.0.0.2", id=7)
SIX = LINK / IPv6(src="fd00::1", dst="fd00::2")
PORTS: dict[str, Any] = {"sport": 30001, "dport": 30002}
"""No dissector of tshark's listens to them."""
OPTIONS = [MaximumSegmentSize(1460), SackPermitted(), Timestamps(5, 6), NoOperation(), WindowScale(7)]
SAMPLES: list[Packet] = [
    FOUR / TCP(**PORTS, seq=3, ack=4, flags=0x18, options=OPTIONS) / b"hello",
    FOUR / UDP(**PORTS) / b"hello",
    FOUR.replace(IPv4, options=[RecordRoute(("10.0.0.9",)), IPRouterAlert()]) / UDP(**PORTS) / b"odd",
    FOUR.replace(IPv4, flags=1) / UDP(**PORTS, length=900) / bytes(16),
    FOUR / ICMPEcho(id=1, seq=2) / b"ping",
    FOUR / ICMPError(code=4, mtu=1400) / bytes(IPv4(src="10.0.0.2", dst="10.0.0.9") / UDP(**PORTS)),
    FOUR / IGMPReport(records=[GroupRecord(4, "224.0.0.9")]),
    FOUR / IPv6(src="fd00::1", dst="fd00::2") / UDP(**PORTS),
    LINK / VLAN(vid=5, pcp=3) / SIX.layers[1] / TCP(**PORTS, flags=2, options=OPTIONS[:1]),
    LINK / ProviderVLAN(vid=7) / VLAN(vid=5) / FOUR.layers[1] / UDP(**PORTS),
    LINK / LLC() / SNAP() / FOUR.layers[1] / UDP(**PORTS) / b"x",
    (LINK / ARP(sender_ip="10.0.0.1", target_ip="10.0.0.2")).replace(trailer=bytes(18)),
    SIX / HopByHop(options=[IPv6RouterAlert(), PadN()]) / MLDReport(records=[GroupRecord(4, "ff02::9")]),
    SIX / SourceRoute(segments_left=1, addresses=bytes(15) + b"\x09") / UDP(**PORTS) / b"x",
    SIX / SegmentRouting(segments_left=1, last_entry=0, segments=bytes(15) + b"\x09") / TCP(**PORTS),
    SIX / Fragment(id=5) / DestinationOptions(options=[PadN(bytes(4))]) / AH(icv=bytes(12)) / UDP(**PORTS) / b"x",
    SIX / ICMPv6Echo(id=1, seq=2) / b"ping",
    SIX / ICMPv6Error(code=4) / bytes(IPv6(src="fd00::2", dst="fd00::9") / UDP(**PORTS)),
    SIX / NeighborAdvertisement(target="fd00::2", options=[target_link_address("02:00:00:00:00:02")]),
    SIX / RouterAdvertisement(options=[PrefixInformation("fd00::"), LinkMTU(1500)]),
]

PREFERENCES = [
    *(f"{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")),
    *("ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"),
    *("tcp.analyze_sequence_numbers:FALSE", "tcp.relative_sequence_numbers:FALSE", "arp.detect_duplicate_ips:FALSE"),
]
CALLED = {
    "Ethernet": "eth",
    "VLAN": "vlan",
    "ARP": "arp",
    "LLC": "llc",
    "IPv4": "ip",
    "IPv6": "ipv6",
    "HopByHop": "ipv6.hopopts",
    "Routing": "ipv6.routing",
    "Fragment": "ipv6.fraghdr",
    "DestinationOptions": "ipv6.dstopts",
    "AH": "ah",
    "ESP": "esp",
    "ICMP": "icmp",
    "ICMPv6": "icmpv6",
    "IGMP": "igmp",
    "TCP": "tcp",
    "UDP": "udp",
    "UDPLite": "udplite",
}
FIELDS = {
    "eth": {"dst": "eth.dst", "src": "eth.src"},
    "arp": {"operation": "arp.opcode", "hardware_size": "arp.hw.size", "protocol_size": "arp.proto.size"},
    "ip": {
        **{"dscp": "ip.dsfield.dscp", "ecn": "ip.dsfield.ecn", "id": "ip.id", "fragment_offset": "ip.frag_offset"},
        **{"ttl": "ip.ttl", "protocol": "ip.proto", "checksum": "ip.checksum", "src": "ip.src"},
    },
    "ipv6": {
        **{"dscp": "ipv6.tclass.dscp", "flow_label": "ipv6.flow", "payload_length": "ipv6.plen"},
        **{"next_header": "ipv6.nxt", "hop_limit": "ipv6.hlim", "src": "ipv6.src", "dst": "ipv6.dst"},
    },
    "ipv6.hopopts": {"next_header": "ipv6.hopopts.nxt", "hdr_ext_len": "ipv6.hopopts.len"},
    "ipv6.dstopts": {"next_header": "ipv6.dstopts.nxt", "hdr_ext_len": "ipv6.dstopts.len"},
    "ipv6.routing": {"routing_type": "ipv6.routing.type", "segments_left": "ipv6.routing.segleft"},
    "ipv6.fraghdr": {
        **{"fragment_offset": "ipv6.fraghdr.offset", "more": "ipv6.fraghdr.more", "id": "ipv6.fraghdr.ident"}
    },
    "ah": {"length": "ah.length", "spi": "ah.spi", "seq": "ah.sequence"},
    "icmp": {"type": "icmp.type", "code": "icmp.code", "checksum": "icmp.checksum"},
    "icmpv6": {"type": "icmpv6.type", "code": "icmpv6.code", "checksum": "icmpv6.checksum"},
    "igmp": {"type": "igmp.type"},
    "tcp": {
        **{"sport": "tcp.srcport", "dport": "tcp.dstport", "seq": "tcp.seq", "ack": "tcp.ack"},
        **{"window": "tcp.window_size_value", "checksum": "tcp.checksum", "urgent": "tcp.urgent_pointer"},
    },
    "udp": {"sport": "udp.srcport", "dport": "udp.dstport", "length": "udp.length", "checksum": "udp.checksum"},
}
TRANSPARENT = {"geninfo", "frame", "ethertype", "data", "fake-field-wrapper", "_ws.malformed", "_ws.short"}


@dataclass
class Proto:
    """One protocol of a packet, as tshark tells it."""

    name: str
    fields: dict[str, list[str]] = field(default_factory=dict)

    def number(self, name: str) -> int | None:
        shown = self.fields.get(name)
        return None if shown is None else int(shown[0], 0)


@dataclass
class Told:
    """What tshark tells of a frame: the protocols up to the first one that is not ours, and what it marks."""

    protos: list[Proto] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)
    is_foreign: bool = False

    def read(self, element: ET.Element, into: Proto) -> None:
        for child in element:
            name = child.get("name", "")
            if name in ("_ws.malformed", "_ws.short"):
                self.marks.add(name)
            inner = into
            if child.tag == "field":
                into.fields.setdefault(name, []).append(child.get("show", ""))
            elif name not in TRANSPARENT:
                name = "vlan" if name == "ieee8021ad" else name
                self.is_foreign = self.is_foreign or name not in CALLED.values()
                inner = Proto(name)
                if not self.is_foreign:
                    self.protos.append(inner)
            self.read(child, inner)


def tshark(frames: list[Frame], directory: Path) -> Iterator[Told]:
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed")
    capture = directory / "frames.pcapng"
    with PcapngWriter(capture) as writer:
        for frame in frames:
            writer.write(frame)
    arguments = [part for preference in PREFERENCES for part in ("-o", preference)]
    run = subprocess.run([program, "-n", "-r", str(capture), "-T", "pdml", *arguments], capture_output=True, check=True)
    packets = ET.fromstring(re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"?", run.stdout)).findall("packet")
    assert len(packets) == len(frames)
    for packet in packets:
        told = Told()
        told.read(packet, Proto(""))
        yield told


def ours_of(packet: Packet) -> list[tuple[str, Header]]:
    """Our layers by tshark's names, those of a quoted packet behind them; SNAP is a part of tshark's LLC."""
    found = [(CALLED.get(header.family, header.family), header) for header in packet if not isinstance(header, SNAP)]
    quoted = packet.quoted
    return found + (ours_of(quoted) if quoted is not None else [])


def why_layers_differ(packet: Packet, ours: list[str], theirs: list[str]) -> str:  # noqa: PLR0911 - one line a reason
    """The reason, if there is one."""
    same = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(ours), len(theirs)) if same is None else same
    quoted = packet.quoted
    problems = {(problem.layer, problem.rule) for problem in (*packet.problems, *(quoted.problems if quoted else ()))}
    lower = {name for name, rule in problems if rule in ("short", "cut")}
    if ours[at:] == [] and len(theirs) == at + 1 and (lower or quoted is not None):
        return "of a header that is not all there, tshark shows what is"
    if ("IPv4", "version") in problems or ("IPv6", "version") in problems:
        return "tshark reads what claims to be IPv4 as IPv6, if it has that version; and no IPv6 of another version"
    if ("HopByHop", "length") in problems:
        return "without a length tshark takes it to be 0; the headers can be read all the same"
    if ("AH", "minimum") in problems:
        return "tshark looks for the next header inside the fixed part of AH"
    if theirs[at:] == [] and any(problem.rule in ("short", "cut") for problem in packet.problems):
        return "ICMP is a layer of its own from its fourth byte on, tshark wants the rest of the message"
    if ("DestinationOptions", "option") in problems or ("HopByHop", "option") in problems:
        return "tshark looks behind options that can't be read, if the packet goes on where they would"
    if "vlan" in ours[:at] and theirs[at:] == [] and ours[at] == "llc":
        return "tshark knows no length in a provider's tag"
    if quoted is not None and ours[at:] == [] and theirs[at:]:
        return "what is quoted is read by its type's own version"
    return ""


def why_value_is_missing(name: str, header: Any, packet: Packet) -> str:  # noqa: PLR0911 - one line a reason
    """The reason why tshark does not show a field that we read, if there is one."""
    if name == "ip" and (header.version != 4 or header.ihl < 5 or header.total_length < 4 * header.ihl):
        return "tshark shows little of a header that is none"
    if name == "ip" and header.ihl * 4 > header.size:
        return "tshark wants the options before the addresses"
    if name == "ipv6" and header.version != 6:
        return "tshark shows nothing of a header that is none"
    if name == "tcp" and (isinstance(header, TCP) is False or header.data_offset < 5 or packet.quoted is not None):
        return "tshark shows ports and numbers of a header that is none, or quoted"
    if name == "udp" and header.length < 8:
        return "tshark shows no checksum behind a length that can't be"
    if packet.quoted is not None and name == "udp":
        return "tshark does not show all of what is quoted in part"
    return ""


def shown(value: Any, theirs: str) -> bool:
    return theirs == value if isinstance(value, str) else int(theirs, 0) == value


def value_differences(packet: Packet, told: Told) -> Iterator[str]:
    for (name, header), proto in zip(ours_of(packet), told.protos, strict=False):
        if name != proto.name:
            return
        for attribute, their_name in FIELDS.get(name, {}).items():
            if not hasattr(header, attribute):
                continue
            value = getattr(header, attribute)
            theirs = proto.fields.get(their_name)
            if theirs is None:
                if not why_value_is_missing(name, header, packet):
                    yield f"{name}.{attribute} is {value}, tshark has none"
            elif not shown(value, theirs[0]):
                yield f"{name}.{attribute} is {value}, tshark has {theirs[0]}"


STATUS = {0: "bad", 1: "ok", 2: "unverifiable", 3: "unverifiable", 4: "bad", None: "unverifiable"}


def checksum_differences(packet: Packet, told: Told) -> Iterator[str]:
    verdicts = packet.checksums
    for header, proto in zip((h for h in packet if not isinstance(h, SNAP)), told.protos, strict=False):
        if CALLED.get(header.family) != proto.name:
            return
        if not header.has_checksum or header.family not in verdicts:
            continue
        verdict = str(verdicts.pop(header.family))
        theirs = STATUS[proto.number(f"{proto.name}.checksum.status")]
        if verdict != theirs and not why_verdicts_differ(header, packet, verdict, theirs, told):
            yield f"{header.family} checksum is {verdict}, for tshark {theirs}"


def why_verdicts_differ(header: Any, packet: Packet, verdict: str, theirs: str, told: Told) -> str:
    rules = {(problem.layer, problem.rule) for problem in packet.problems}
    if isinstance(header, IPv4) and (header.version != 4 or header.ihl < 5 or 0 < header.total_length < 4 * header.ihl):
        return "tshark sums no header that is none"
    if isinstance(header, TCP) and header.data_offset < 5:
        return "tshark sums no header that is none"
    if type(header) is IGMP:
        return "tshark does not read IGMP of a type that it does not know"
    if isinstance(header, UDP) and header.checksum == 0:
        return "in a fragment we leave it open whether a sum that must not be 0 is wrong"
    if theirs == "unverifiable" and verdict == "bad" and any(rule == "exceeds" for _, rule in rules):
        return "a length says more than there is: we sum what is there, tshark not in every protocol"
    return ""


def why_marks_differ(packet: Packet, told: Told) -> str:
    if any(packet.trailer):
        return "tshark has dissectors for what some put into trailers"
    if any(isinstance(header, VLAN) and header.ethertype == 0 for header in packet):
        return "in a tag tshark takes a type of 0 for a length"
    registered = any(isinstance(header, UDP) and min(header.sport, header.dport) < 1024 for header in packet)
    if told.is_foreign or registered or isinstance(packet.layers[-1], LLC):
        return "the mark is of a protocol that is not ours"
    if any(isinstance(header, (HopByHop, DestinationOptions)) and header.options.endswith(b"\0") for header in packet):
        return "tshark reads the length of a Pad1, which has none, behind the end of the packet"
    known = {"icmp", "icmpv6", "igmp"} & {proto.name for proto in told.protos}
    if known:
        return "the bodies of messages without a class here are payload"
    return ""


def differences(packet: Packet, told: Told) -> Iterator[str]:
    ours, theirs = [name for name, _ in ours_of(packet)], [proto.name for proto in told.protos]
    if ours != theirs and not told.is_foreign and not why_layers_differ(packet, ours, theirs):
        yield f"layers are {ours}, tshark's {theirs}"
    yield from value_differences(packet, told)
    yield from checksum_differences(packet, told)
    problems: tuple[Problem, ...] = packet.problems
    if "_ws.short" in told.marks and not packet.truncated:
        yield "tshark says that the capture cut it"
    is_malformed = any(not problem.by_capture for problem in problems)
    if "_ws.malformed" in told.marks and not is_malformed and not why_marks_differ(packet, told):
        yield "tshark says that it is malformed"


def hold_against(frames: list[Frame], directory: Path) -> None:
    found: dict[str, str] = {}
    for frame, told in zip(frames, tshark(frames, directory), strict=True):
        for difference in differences(Packet.parse(frame), told):
            found.setdefault(difference, frame.data.hex())
    assert not found, "\n".join(f"{text}: {data}" for text, data in [*found.items()][:20])


def test_cut_by_the_capture_at_every_byte(tmp_path: Path) -> None:
    frames = [
        Frame(data[:size], original_length=len(data))
        for data in map(bytes, SAMPLES)
        for size in range(14, len(data) + 1)
    ]
    assert len(frames) > 1000
    hold_against(frames, tmp_path)


def test_every_byte_of_the_headers_changed(tmp_path: Path) -> None:
    frames = [
        Frame(data[:at] + bytes([value]) + data[at + 1 :])
        for data in map(bytes, SAMPLES)
        for at in range(12, len(data))
        for value in (0, 0x10, 0xFF, data[at] ^ 1, data[at] ^ 0x80, (data[at] + 1) & 0xFF)
    ]
    assert len(frames) > 5000
    hold_against(frames, tmp_path)


def test_shortened_on_the_wire_at_every_byte(tmp_path: Path) -> None:
    hold_against([Frame(data[:size]) for data in map(bytes, SAMPLES) for size in range(14, len(data))], tmp_path)

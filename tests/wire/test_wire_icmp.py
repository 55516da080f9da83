"""ICMP and ICMPv6: each message's bytes, what errors quote, neighbour discovery's options, multicast groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rawproto.errors import WireError
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.icmp import (
    ICMP,
    ICMPEcho,
    ICMPError,
    ICMPRedirect,
    ICMPv6,
    ICMPv6Echo,
    ICMPv6Error,
    PacketTooBig,
    ParameterProblem,
)
from rawproto.wire.icmp_queries import (
    ICMPAddressMask,
    ICMPExtendedEcho,
    ICMPExtendedEchoReply,
    ICMPInformation,
    ICMPRouterAdvertisement,
    ICMPRouterSolicitation,
    ICMPTimestamp,
    ICMPv6ExtendedEcho,
    ICMPv6ExtendedEchoReply,
)
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.multicast import (
    IGMP,
    GroupRecord,
    IGMPGroup,
    IGMPQuery,
    IGMPReport,
    MLDMessage,
    MLDQuery,
    MLDReport,
    delay_of,
)
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborRedirect,
    NeighborSolicitation,
    RouterAdvertisement,
    RouterSolicitation,
)
from rawproto.wire.neighbor_options import (
    AdvertisementInterval,
    CaptivePortal,
    DiscoveryOption,
    DNSSearchList,
    DNSServers,
    FlagsExtension,
    HomeAgentInformation,
    LinkMTU,
    NAT64Prefix,
    NeighborOption,
    PrefixInformation,
    RedirectedHeader,
    RouteInformation,
    source_link_address,
    target_link_address,
)
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPStart
from rawproto.wire.udp import UDP

IPS: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
IP6S: dict[str, Any] = {"src": "fd00::1", "dst": "fd00::2"}
G4, G6 = "e0000009", "ff020000000000000000000000000009"
MESSAGES: list[tuple[Header, str]] = [
    (ICMPEcho(id=1, seq=2), "0800 .... 0001 0002"),
    (ICMPError(code=4, mtu=1400), "0304 .... 00 00 0578"),
    (ICMPError(type=12, pointer=20), "0c00 .... 14 00 0000"),
    (ICMPRedirect(gateway="10.0.0.3"), "0501 .... 0a000003"),
    (ICMPTimestamp(id=1, seq=2, originate=3, receive=4, transmit=5), "0d00 .... 0001 0002 00000003 00000004 00000005"),
    (ICMPInformation(id=1, seq=2), "0f00 .... 0001 0002"),
    (ICMPAddressMask(id=1, seq=2, mask="255.0.0.0"), "1100 .... 0001 0002 ff000000"),
    (ICMPRouterSolicitation(), "0a00 .... 00000000"),
    (ICMPRouterAdvertisement(routers=b"\x0a\0\0\1\xff\xff\xff\xff"), "0900 .... 01 02 0708 0a000001 ffffffff"),
    (ICMPExtendedEcho(id=1, seq=2, local=1), "2a00 .... 0001 02 01"),
    (ICMPExtendedEchoReply(id=1, seq=2, state=2, active=1, ipv6=1), "2b00 .... 0001 02 45"),
    (ICMPv6Echo(id=1, seq=2), "8000 .... 0001 0002"),
    (ICMPv6Error(code=4), "0104 .... 00 000000"),
    (PacketTooBig(mtu=1280), "0200 .... 00000500"),
    (ParameterProblem(code=1, pointer=40), "0401 .... 00000028"),
    (ICMPv6ExtendedEcho(id=1, seq=2), "a000 .... 0001 02 00"),
    (ICMPv6ExtendedEchoReply(id=1, seq=2, ipv4=1), "a100 .... 0001 02 02"),
    (RouterSolicitation(), "8500 .... 00000000"),
    (
        RouterAdvertisement(managed=1, home_agent=1, preference=3, lifetime=9, reachable_time=1, retrans_timer=2),
        "8600 .... 40 b8 0009 00000001 00000002",
    ),
    (NeighborSolicitation(target="ff02::9"), "8700 .... 00000000" + G6),
    (NeighborAdvertisement(solicited=1, target="ff02::9"), "8800 .... 40000000" + G6),
    (NeighborRedirect(target="ff02::9", dst="ff02::9"), "8900 .... 00000000" + G6 + G6),
    (MLDMessage(type=132, group="ff02::9"), "8400 .... 0000 0000" + G6),
    (MLDQuery(group="ff02::9", suppress=1, sources=bytes(16)), "8200 .... 2710 0000" + G6 + "0a 7d 0001" + "00" * 16),
    (MLDReport(records=[GroupRecord(4, "ff02::9")]), "8f00 .... 0000 0001 04 00 0000" + G6),
    (IGMPGroup(group="224.0.0.9"), "1600 .... " + G4),
    (IGMPQuery(group="224.0.0.9", robustness=7, sources=bytes(4)), "1164 .... " + G4 + "07 7d 0001 00000000"),
    (
        IGMPReport(records=[GroupRecord(3, "224.0.0.9", ("10.0.0.1",), b"more")]),
        "2200 .... 0000 0001 03 01 0001" + G4 + "0a000001" + b"more".hex(),
    ),
]


def under(message: Header) -> Packet:
    return (IPv6(**IP6S) if message.family == "ICMPv6" else IPv4(**IPS)) / message


def parse(packet: Packet | bytes) -> Packet:
    return Packet.parse(bytes(packet), LinkType.RAW)


def rules(packet: Packet) -> list[tuple[str, str, str, bool]]:
    return [(p.layer, p.field, p.rule, p.by_capture) for p in packet.problems]


@pytest.mark.parametrize(("message", "data"), MESSAGES, ids=lambda value: type(value).__name__)
def test_each_message_has_its_bytes_and_is_found_again(message: Header, data: str) -> None:
    packet = under(message) / (b"\x45quoted" if message.quotes else b"")
    sent = bytes(packet)
    body = sent[packet.layers[0].size :]
    text = data.replace(" ", "")
    assert body[: message.size].hex()[:4] == text[:4]
    assert body[4 : message.size].hex() == text[8:]
    parsed = parse(packet)
    assert parsed.layers[1] == packet.computed().layers[1]
    assert parsed.checksums[message.family] == "ok"
    assert parsed.problems == ()
    assert bytes(parsed.recompute()) == sent
    assert packet.summary() == parsed.summary()


@pytest.mark.parametrize("message", [message for message, _ in MESSAGES], ids=lambda value: type(value).__name__)
def test_a_message_that_is_cut_is_read_as_its_family(message: Header) -> None:
    if message.SIZE < 5 or isinstance(message, (IGMPQuery, MLDQuery)):
        return  # of a version 2 query a shorter one is left
    data = bytes(under(message))[: under(message).layers[0].size + message.SIZE - 1]
    fixed = parse(data).recompute()
    parsed = parse(bytes(fixed))
    assert type(parsed.layers[1]) in (ICMP, ICMPv6, IGMP)
    assert (message.family, "type", "short", False) in rules(parsed)


def test_a_code_is_named_by_its_type() -> None:
    assert ICMPError(code=3).code_name == "port unreachable"
    assert ICMPError(type=11, code=1).code_name == "reassembly time exceeded"
    assert ICMPv6Error(code=4).code_name == "port unreachable"
    assert ICMPEcho(code=1).code_name == ""
    assert "3 (port unreachable)" in under(ICMPError(code=3)).explain()


# What errors quote


QUOTED = IPv4(src="10.0.0.2", dst="10.0.0.9") / TCP(sport=7, dport=80, seq=9)


def test_a_quote_with_eight_bytes_of_tcp_tells_the_ports() -> None:
    error = IPv4(**IPS) / ICMPError(code=3) / bytes(QUOTED)[:28]
    quoted = parse(error).quoted
    assert quoted is not None
    assert [type(header) for header in quoted] == [IPv4, TCPStart]
    assert (quoted[TCPStart].sport, quoted[TCPStart].dport, quoted[TCPStart].seq) == (7, 80, 9)
    assert all(problem.by_capture for problem in quoted.problems)


def test_a_whole_quote_has_no_problems() -> None:
    quoted = parse(IPv4(**IPS) / ICMPError(code=3) / bytes(QUOTED)).quoted
    assert quoted is not None
    assert (quoted[TCP].dport, quoted.problems, quoted.checksums) == (80, (), {"IPv4": "ok", "TCP": "ok"})


@pytest.mark.parametrize(
    ("error", "version"),
    [
        (ICMPError(type=3), IPv4),
        (ICMPError(type=11), IPv4),
        (ICMPRedirect(), IPv4),
        (ICMPv6Error(), IPv6),
        (PacketTooBig(), IPv6),
        (ParameterProblem(), IPv6),
    ],
)
def test_each_error_quotes_its_own_version(error: Header, version: type[Header]) -> None:
    quoted = parse(under(error) / (bytes([0x60 if version is IPv4 else 0x45]) + bytes(60))).quoted
    assert quoted is not None
    assert type(quoted.layers[0]) is version
    assert "version" in [problem.rule for problem in quoted.problems]
    assert parse(under(ICMPEcho())).quoted is None


@pytest.mark.parametrize(("error", "length", "unit"), [(ICMPError, 32, 4), (ICMPv6Error, 16, 8)])
def test_extensions_are_no_part_of_the_quote(error: Any, length: int, unit: int) -> None:
    quote = (bytes(QUOTED) if error is ICMPError else bytes(IPv6(**IP6S) / UDP())).ljust(128, b"\0")
    packet = under(error(length=length)) / (quote + b"extension")
    assert length * unit == 128
    quoted = parse(packet).quoted
    assert quoted is not None
    assert bytes(quoted) == quote
    assert error(length=1).quoted_length(200) == 200
    assert error(length=length).quoted_length(128) == 128
    assert ICMPError(type=4, length=32).quoted_length(200) == 200


def test_router_advertisements_of_icmp() -> None:
    told = ICMPRouterAdvertisement(routers=b"\x0a\0\0\1\xff\xff\xff\xff\x0a\0\0\2\0\0\0\5")
    assert told.parsed_routers == (("10.0.0.1", -1), ("10.0.0.2", 5))
    assert ICMPRouterAdvertisement(count=1, routers=told.routers).parsed_routers == (("10.0.0.1", -1),)
    assert rules(parse(under(told.replace(count=3)))) == [("ICMP", "count", "exceeds", False)]
    assert rules(parse(under(told.replace(entry_size=1)))) == [("ICMP", "entry_size", "minimum", False)]


# Options of neighbour discovery


PREFIX = bytes.fromhex("fd00000000000000")
OPTIONS: list[tuple[DiscoveryOption, str]] = [
    (source_link_address("02:00:00:00:00:01"), "0101 020000000001"),
    (target_link_address("02:00:00:00:00:01"), "0201 020000000001"),
    (
        PrefixInformation("fd00::", 64, 0xC0, 1, 2),
        "0304 40 c0 00000001 00000002 00000000 fd000000000000000000000000000000",
    ),
    (RedirectedHeader(b"\x60" + bytes(7)), "0402 000000000000 6000000000000000"),
    (LinkMTU(1500), "0501 0000 000005dc"),
    (AdvertisementInterval(1000), "0701 0000 000003e8"),
    (HomeAgentInformation(1, 2), "0801 0000 0001 0002"),
    (NeighborOption(14, b"nonce!"), "0e01" + b"nonce!".hex()),
    (RouteInformation(b"", 0, 5, 0x08), "1801 00 08 00000005"),
    (RouteInformation(PREFIX, 64, 5, 0x18), "1802 40 18 00000005 fd00000000000000"),
    (DNSServers(("fd00::9",), 5), "1903 0000 00000005 fd000000000000000000000000000009"),
    (FlagsExtension(1), "1a01 000000000001"),
    (DNSSearchList(("a.bc",), 5), "1f02 0000 00000005 01 61 02 6263 00 0000"),
    (CaptivePortal("https://x"), "2502" + b"https://x".hex() + "0000000000"),
    (NAT64Prefix(bytes(12), 2, 5), "2602 002a" + "00" * 12),
]


@pytest.mark.parametrize(("option", "data"), OPTIONS, ids=lambda value: type(value).__name__)
def test_each_option_has_its_bytes(option: DiscoveryOption, data: str) -> None:
    assert bytes(option) == bytes.fromhex(data)
    packet = under(RouterAdvertisement(options=[option, LinkMTU(9000)]))
    parsed = parse(packet)
    assert parsed[RouterAdvertisement].parsed_options == (option, LinkMTU(9000))
    assert parsed.problems == ()
    assert "LinkMTU               mtu=9000" in parsed.explain()


def test_options_are_padded_to_eight_bytes() -> None:
    assert [len(bytes(NeighborOption(14, bytes(size)))) for size in (0, 6, 7, 14, 15)] == [8, 8, 16, 16, 24]


def test_what_options_mean() -> None:
    assert (PrefixInformation("::").on_link, PrefixInformation("::", flags=0x80).autonomous) == (True, False)
    assert [RouteInformation(b"", 0, flags=bits).preference for bits in (0, 8, 0x10, 0x18)] == [0, 1, -2, -1]


@pytest.mark.parametrize(
    ("options", "rules_"),
    [("0501 0000 000005dc", []), ("0502" + "00" * 14, ["length"]), ("0500", ["option"]), ("1f01 0000 00000005", [])],
)
def test_rules_of_options(options: str, rules_: Sequence[str]) -> None:
    parsed = parse(under(RouterSolicitation(options=bytes.fromhex(options))))
    assert [problem.rule for problem in parsed.problems] == rules_


def test_options_that_were_cut_are_not_malformed() -> None:
    data = bytes(under(RouterSolicitation(options=[LinkMTU(1500), LinkMTU(1500)])))
    cut = Packet.parse(Frame(data[:-3], linktype=LinkType.RAW, original_length=len(data)))
    assert rules(cut)[0] == ("frame", "data", "cut", True)
    assert rules(cut)[1:] == [("ICMPv6", "options", "cut", True)]


@pytest.mark.parametrize("names", [b"\x09ab\0", b"\x02a.\0", b"\x40" + b"a" * 64 + b"\0"])
def test_names_that_are_none_are_kept_as_bytes(names: bytes) -> None:
    body = bytes(6) + names
    option = NeighborOption(31, body.ljust(-(-(len(body) + 2) // 8) * 8 - 2, b"\0"))
    (found,) = RouterSolicitation(options=[option]).parsed_options
    assert found == option
    with pytest.raises(WireError, match="does not fit"):
        bytes(DNSSearchList(("a..b",)))


# Multicast listeners


def test_times_of_eight_and_sixteen_bits() -> None:
    assert [delay_of(code) for code in (0, 127, 128, 0x8F, 0xFF)] == [0, 127, 128, 248, 31744]
    assert [delay_of(code, 16) for code in (32767, 32768, 0xFFFF)] == [32767, 32768, 8387584]


def test_a_query_is_of_version_two_by_its_length() -> None:
    short = parse(under(MLDMessage(type=130)))
    assert type(short.layers[1]) is MLDMessage
    assert type(parse(under(MLDQuery())).layers[1]) is MLDQuery
    assert type(parse(under(IGMPGroup(type=0x11))).layers[1]) is IGMPGroup
    assert type(parse(under(IGMPQuery())).layers[1]) is IGMPQuery


@pytest.mark.parametrize(("kind", "size", "one"), [(MLDReport, 16, "ff02::9"), (IGMPReport, 4, "224.0.0.9")])
def test_records(kind: Any, size: int, one: str) -> None:
    records = (GroupRecord(4, one), GroupRecord(6, one, (one, one), b"more"), GroupRecord(1, one, (one,)))
    message = kind(records=records)
    assert message.parsed_records == records
    assert parse(under(message)).layers[1].raw("count") == 3
    assert kind(count=2, records=records).parsed_records == records[:2]
    cut = parse(under(kind(count=3, records=b"".join(map(bytes, records))[:-1])))
    assert [problem.rule for problem in cut.problems] == ["option"]
    assert len(kind(count=3, records=b"".join(map(bytes, records))[:-1]).parsed_records) == 2
    assert str(records[1]) == f"{one} block old sources {{{one}, {one}}}"


@pytest.mark.parametrize(("kind", "size"), [(MLDQuery, 16), (IGMPQuery, 4)])
def test_sources_of_queries(kind: Any, size: int) -> None:
    assert len(kind(sources=bytes(3 * size)).parsed_sources) == 3
    assert len(kind(count=2, sources=bytes(3 * size)).parsed_sources) == 2
    assert rules(parse(under(kind(count=4, sources=bytes(3 * size)))))[0][1:3] == ("count", "exceeds")


def test_records_that_do_not_fit() -> None:
    with pytest.raises(WireError, match="group record"):
        bytes(GroupRecord(1, "224.0.0.9", auxiliary=b"abc"))

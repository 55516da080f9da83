"""The options of IPv4 and IPv6 as objects, the rules they break, and what they do to checksums."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.errors import WireError
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv4_options import (
    ExtendedSecurity,
    InternetTimestamp,
    IPEndOfOptions,
    IPNoOperation,
    IPOption,
    IPRawOption,
    IPRouterAlert,
    LooseSourceRoute,
    QuickStart,
    RecordRoute,
    Security,
    StreamIdentifier,
    StrictSourceRoute,
    Traceroute,
)
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.ipv6_extension import DestinationOptions, HopByHop
from rawproto.wire.ipv6_options import (
    HomeAddress,
    IPv6Option,
    IPv6QuickStart,
    IPv6RawOption,
    IPv6RouterAlert,
    JumboPayload,
    Pad1,
    PadN,
    PathMTU,
    PerformanceMetrics,
    TunnelEncapsulationLimit,
)
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

ROUTE = ("10.0.0.3", "10.0.0.9")
IPV4_BYTES: list[tuple[IPOption, str]] = [
    (IPEndOfOptions(), "00"),
    (IPNoOperation(), "01"),
    (RecordRoute(ROUTE, 8), "070b08 0a000003 0a000009"),
    (LooseSourceRoute(ROUTE), "830b04 0a000003 0a000009"),
    (StrictSourceRoute(ROUTE[:1]), "890704 0a000003"),
    (InternetTimestamp((1, 2), 13, 3, 0), "440c0d30 00000001 00000002"),
    (Traceroute(1, 2, 3, "10.0.0.1"), "520c 0001 0002 0003 0a000001"),
    (Security(0xAB, b"\1\2"), "8205ab0102"),
    (ExtendedSecurity(5, b"\1"), "85040501"),
    (StreamIdentifier(0x1234), "88041234"),
    (IPRouterAlert(1), "94040001"),
    (QuickStart(0, 5, 64, 4), "1908 05 40 00000004"),
    (IPRawOption(200, b"xyz"), "c805 78797a"),
]
IPV6_BYTES: list[tuple[IPv6Option, str]] = [
    (Pad1(), "00"),
    (PadN(b"\0\0"), "0102 0000"),
    (TunnelEncapsulationLimit(4), "0401 04"),
    (IPv6RouterAlert(0), "0502 0000"),
    (PerformanceMetrics(1, 2, 3, 4, 5, 6), "0f0a 01 02 0003 0004 0005 0006"),
    (IPv6QuickStart(8, 1, 2, 4), "2606 81 02 00000004"),
    (PathMTU(1500, 1401), "3004 05dc 0579"),
    (JumboPayload(65536), "c204 00010000"),
    (HomeAddress("fd00::9"), "c910 fd000000000000000000000000000009"),
    (IPv6RawOption(0x3E, b"ab"), "3e02 6162"),
]


@pytest.mark.parametrize(("option", "data"), [*IPV4_BYTES, *IPV6_BYTES])
def test_each_option_has_its_bytes(option: Any, data: str) -> None:
    assert bytes(option) == bytes.fromhex(data)


@pytest.mark.parametrize(("option", "data"), IPV4_BYTES[1:])
def test_options_are_found_in_ipv4(option: IPOption, data: str) -> None:
    header = IPv4(options=[option, IPNoOperation(), IPEndOfOptions()])
    assert header.parsed_options[:2] == (option, IPNoOperation())
    parsed = Packet.parse(bytes(header), LinkType.RAW)
    assert parsed[IPv4].parsed_options[:2] == (option, IPNoOperation())
    assert parsed.problems == ()
    assert type(option).__name__ in parsed.explain()


@pytest.mark.parametrize(("option", "data"), [pair for pair in IPV6_BYTES if not isinstance(pair[0], JumboPayload)])
def test_options_are_found_in_ipv6(option: IPv6Option, data: str) -> None:
    for kind in (HopByHop, DestinationOptions):
        packet = IPv6() / kind(options=[option]) / UDP()
        parsed = Packet.parse(bytes(packet), LinkType.RAW)
        assert parsed[kind].parsed_options[0] == option
        assert set(parsed[kind].parsed_options[1:]) <= {Pad1()}
        assert UDP in parsed
        assert parsed.problems == ()


def test_what_the_top_bits_of_a_type_say() -> None:
    assert (IPRouterAlert().copied, RecordRoute().copied) == (True, False)
    assert (HomeAddress("::").action, IPv6RouterAlert().action, IPv6RawOption(0x3E).may_change) == (3, 0, True)


def test_timestamps_with_and_without_addresses() -> None:
    assert InternetTimestamp((7, 8)).stamps == (("", 7), ("", 8))
    assert InternetTimestamp((0x0A000001, 8, 0x0A000002), flag=1).stamps == (("10.0.0.1", 8),)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ("0703ff", []),
        ("070500000000", ["length"]),
        ("0702", ["length"]),
        ("9403aa", ["length"]),
        ("94ff", ["option"]),
        ("94", ["option"]),
        ("00000001", ["reserved"]),
        ("01010100", []),
        ("c803ff", []),
    ],
)
def test_rules_of_ipv4_options(options: str, rules: list[str]) -> None:
    parsed = Packet.parse(bytes(IPv4(options=bytes.fromhex(options)) / UDP()), LinkType.RAW)
    assert [problem.rule for problem in parsed.problems] == rules
    assert all((problem.layer, problem.field) == ("IPv4", "options") for problem in parsed.problems)


@pytest.mark.parametrize(
    ("options", "rules"), [("0503000000", ["length"]), ("05ff0000", ["option"]), ("0502000001", ["option"])]
)
def test_rules_of_ipv6_options(options: str, rules: list[str]) -> None:
    data = bytes.fromhex(options).ljust(6, b"\0") if rules == ["length"] else bytes.fromhex(options)
    padded = data if len(data) == 6 else b"\1\0" * ((6 - len(data)) // 2) + b"\0" * (len(data) % 2) + data
    parsed = Packet.parse(bytes(IPv6() / DestinationOptions(options=padded) / UDP()), LinkType.RAW)
    assert [problem.rule for problem in parsed.problems] == rules


def test_behind_options_that_cannot_be_read_nothing_is_looked_for() -> None:
    parsed = Packet.parse(bytes(IPv6() / DestinationOptions(options=b"\5\xff\0\0\0\0") / UDP()), LinkType.RAW)
    assert UDP not in parsed
    assert len(parsed.payload) == 8


def test_a_source_route_decides_what_the_checksum_covers() -> None:
    addresses: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
    going = IPv4(**addresses, options=[LooseSourceRoute(ROUTE)]) / UDP() / b"abc"
    direct = IPv4(src="10.0.0.1", dst="10.0.0.9") / UDP() / b"abc"
    assert going.computed()[UDP].checksum == direct.computed()[UDP].checksum
    assert going.checksums["UDP"] == "ok"
    arrived = IPv4(**addresses, options=[LooseSourceRoute(ROUTE, 12)]) / UDP() / b"abc"
    assert arrived.computed()[UDP].checksum == (IPv4(**addresses) / UDP() / b"abc").computed()[UDP].checksum


def test_a_home_address_is_the_source_that_the_checksum_covers() -> None:
    away = IPv6(src="fd00::1", dst="fd00::2") / DestinationOptions(options=[HomeAddress("fd00::7")]) / UDP() / b"abc"
    at_home = IPv6(src="fd00::7", dst="fd00::2") / UDP() / b"abc"
    assert away.computed()[UDP].checksum == at_home.computed()[UDP].checksum
    assert Packet.parse(bytes(away), LinkType.RAW).checksums["UDP"] == "ok"


def test_values_that_do_not_fit_are_named() -> None:
    with pytest.raises(WireError, match=r"^IPv4 option IPRouterAlert\(value=65536\): a value does not fit$"):
        bytes(IPRouterAlert(65536))
    with pytest.raises(WireError, match=r"^IPv6 option PadN\("):
        bytes(PadN(bytes(256)))
    with pytest.raises(WireError, match="IPv4 address: '10' is not"):
        bytes(RecordRoute(("10",)))

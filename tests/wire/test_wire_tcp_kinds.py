"""TCP's options beyond the common ones, the rules they break, a header that is cut, and UDP-Lite."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.errors import WireError
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPStart
from rawproto.wire.tcp_options import (
    Authentication,
    EndOfOptions,
    Experiment,
    FastOpen,
    MaximumSegmentSize,
    MD5Signature,
    MultipathTCP,
    NoOperation,
    RawOption,
    SackPermitted,
    SelectiveAck,
    TCPOption,
    Timestamps,
    UserTimeout,
    WindowScale,
)
from rawproto.wire.udplite import UDPLite

IPS: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
BYTES: list[tuple[TCPOption, str]] = [
    (EndOfOptions(), "00"),
    (NoOperation(), "01"),
    (MaximumSegmentSize(1460), "0204 05b4"),
    (WindowScale(7), "0303 07"),
    (SackPermitted(), "0402"),
    (SelectiveAck(((1, 2), (3, 4))), "0512 00000001 00000002 00000003 00000004"),
    (Timestamps(1, 2), "080a 00000001 00000002"),
    (MD5Signature(b"0123456789abcdef"), "1312" + b"0123456789abcdef".hex()),
    (UserTimeout(5), "1c04 0005"),
    (UserTimeout(5, minutes=1), "1c04 8005"),
    (Authentication(1, 2, b"abcdefghijkl"), "1d10 01 02" + b"abcdefghijkl".hex()),
    (MultipathTCP(0, 1, b"\x81"), "1e04 01 81"),
    (FastOpen(), "2202"),
    (FastOpen(b"12345678"), "220a" + b"12345678".hex()),
    (Experiment(254, 0xF989), "fe04 f989"),
    (Experiment(253, 0x1234, b"x"), "fd05 1234 78"),
    (RawOption(254, b"ab"), "fe04 6162"),
    (RawOption(77), "4d02"),
]


def parse(packet: Packet) -> Packet:
    return Packet.parse(bytes(packet), LinkType.RAW)


@pytest.mark.parametrize(("option", "data"), BYTES)
def test_each_option_has_its_bytes_and_is_found(option: TCPOption, data: str) -> None:
    assert bytes(option) == bytes.fromhex(data)
    parsed = parse(IPv4(**IPS) / TCP(options=[NoOperation(), option]))
    assert parsed[TCP].parsed_options[:2] == (NoOperation(), option)
    assert parsed.problems == ()


def test_the_end_covers_the_padding() -> None:
    tcp = TCP(options=[EndOfOptions(), b"\0\0\0"])
    assert tcp.parsed_options == (EndOfOptions(),)
    assert len(tcp.tail_rows()) == 1


def test_subtypes_of_multipath_tcp_are_named() -> None:
    names = [MultipathTCP(number).name for number in range(10)]
    assert (names[0], names[2], names[8], names[9]) == ("MP_CAPABLE", "DSS", "MP_TCPRST", "subtype 9")


@pytest.mark.parametrize(
    "option", [UserTimeout(1 << 15), MultipathTCP(16), Experiment(5, 0), MD5Signature(b""), RawOption(256)]
)
def test_what_does_not_fit_is_refused(option: TCPOption) -> None:
    with pytest.raises(WireError, match=r"TCP option .* does not fit"):
        bytes(option)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ("020301", ["length"]),
        ("0502", ["length"]),
        ("0504aabb", ["length"]),
        ("1e02", ["length"]),
        ("02ff", ["option"]),
        ("020101", ["option"]),
        ("020005b4", ["option"]),
        ("02", ["option"]),
        ("00010000", ["reserved"]),
        ("00000000", []),
        ("4d03ff", []),
    ],
)
def test_rules_of_options(options: str, rules: list[str]) -> None:
    data = bytes.fromhex(options)
    parsed = parse(IPv4(**IPS) / TCP(options=data.rjust(-(-len(data) // 4) * 4, b"\1")))
    assert [(p.layer, p.field, p.rule) for p in parsed.problems] == [("TCP", "options", rule) for rule in rules]


@pytest.mark.parametrize("by_capture", [True, False])
def test_of_a_header_that_is_cut_the_start_is_told(by_capture: bool) -> None:
    data = bytes(IPv4(**IPS) / TCP(sport=7, dport=80, seq=9) / b"abc")
    parsed = Packet.parse(Frame(data[:30], linktype=LinkType.RAW, original_length=len(data) if by_capture else 30))
    start = parsed[TCPStart]
    assert (start.sport, start.dport, start.seq) == (7, 80, 9)
    assert TCP not in parsed
    assert parsed.payload == data[28:30]
    assert [p.rule for p in parsed.problems if p.layer == "TCP"] == ["cut" if by_capture else "short"]
    assert bytes(Packet(parsed.layers, parsed.payload, trailer=parsed.trailer)) == data[:30]


# UDP-Lite


def test_udp_lite_covers_what_its_coverage_says() -> None:
    whole = IPv4(**IPS) / UDPLite(sport=1, dport=2) / b"abcdefgh"
    part = whole.replace(UDPLite, coverage=12)
    assert (whole.checksums["UDPLite"], part.checksums["UDPLite"]) == ("ok", "ok")
    assert bytes(whole)[9] == 136
    for packet, expected in ((whole, "bad"), (part, "ok")):
        data = bytearray(bytes(packet))
        data[-1] ^= 1
        assert Packet.parse(data, LinkType.RAW).checksums["UDPLite"] == expected
    data = bytearray(bytes(part))
    data[20 + 8] ^= 1
    assert Packet.parse(data, LinkType.RAW).checksums["UDPLite"] == "bad"


def test_rules_of_udp_lite() -> None:
    parsed = parse(IPv4(**IPS) / UDPLite(coverage=7) / b"abc")
    assert [(p.layer, p.field, p.rule) for p in parsed.problems] == [("UDPLite", "coverage", "minimum")]
    assert parsed.checksums["UDPLite"] == "unverifiable"
    assert parse(IPv4(**IPS) / UDPLite(coverage=12) / b"abc").checksums["UDPLite"] == "unverifiable"
    assert parse(IPv4(**IPS) / UDPLite(checksum=0) / b"abc").checksums["UDPLite"] == "bad"

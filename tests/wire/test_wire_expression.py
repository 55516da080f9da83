"""Packets written out as in Python: what is understood, what is refused, and where a refusal points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.capture import open_capture
from rawproto.errors import WireError
from rawproto.wire import expression
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.expression import LONGEST_TEXT, MOST_BYTES, parse_expression
from rawproto.wire.icmp import ICMPEcho
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import NeighborSolicitation, multicast_mac, source_link_address
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, Flags, Seen
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize, NoOperation, SelectiveAck, WindowScale
from rawproto.wire.udp import UDP

CAPTURES = sorted((Path(__file__).parents[2] / "pcaps").glob("*.pcapng"))
IP = IPv4(src="10.0.0.1", dst="10.0.0.2")

UNDERSTOOD: dict[str, Packet] = {
    'Ethernet() / IPv4(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=80, flags=SYN)': (
        Ethernet() / IP / TCP(dport=80, flags=TCPFlags.SYN)
    ),
    "IPv4()/TCP(flags=SYN|ACK)/b'hello'": IPv4() / TCP(flags=0x12) / b"hello",
    "IPv4() / TCP(flags=TCPFlags.SYN | TCPFlags.ACK)": IPv4() / TCP(flags=0x12),
    'IPv4() / TCP(flags="SA")': IPv4() / TCP(flags=0x12),
    'IPv4() / TCP(flags="SYN|ACK")': IPv4() / TCP(flags=0x12),
    "IPv4() / TCP(flags=0x12)": IPv4() / TCP(flags=0x12),
    "IPv4(flags=DF) / RDT(flags=SYN | EOR, options=[Seen(3)])": (
        IPv4(flags=IPv4Flags.DF) / RDT(flags=Flags.SYN | Flags.EOR, options=[Seen(3)])
    ),
    'IPv4(protocol="UDP") / UDP(dport="domain")': IPv4(protocol=17) / UDP(dport=53),
    "IPv4() / TCP(options=[MaximumSegmentSize(1460), NoOperation(), WindowScale(shift=7)])": (
        IPv4() / TCP(options=[MaximumSegmentSize(1460), NoOperation(), WindowScale(7)])
    ),
    "IPv4() / TCP(options=(SelectiveAck(((1, 5), (7, 9))),))": IPv4() / TCP(options=[SelectiveAck(((1, 5), (7, 9)))]),
    'IPv4() / UDP(checksum=None, length=1 + 2 * 3 - 2) / (b"a" + b"b") * 3': IPv4() / UDP(length=5) / b"ababab",
    'IPv4() / UDP() / b"x" * 100': IPv4() / UDP() / (b"x" * 100),
    'IPv4() / UDP() / (3 * b"x")': IPv4() / UDP() / b"xxx",
    'UDP() / bytes(5) / bytes.fromhex("ff 00")': UDP() / (bytes(5) + b"\xff\0"),
    'Ethernet(dst=multicast_mac("ff02::1")) / IPv6() / '
    'NeighborSolicitation(target="fe80::1", options=[source_link_address("02:00:00:00:00:01")])': (
        Ethernet(dst=multicast_mac("ff02::1"))
        / IPv6()
        / NeighborSolicitation(target="fe80::1", options=[source_link_address("02:00:00:00:00:01")])
    ),
    'Packet((ARP(target_ip="10.0.0.9"),), b"", trailer=b"pad")': (
        Packet((ARP(target_ip="10.0.0.9"),), b"", trailer=b"pad")
    ),
    "ICMPEcho(id=7)": Packet((ICMPEcho(id=7),)),
    "b'\\x45\\x00'": Packet((), b"E\0"),
    "  Ethernet() /\n  VLAN(vid=5)  ": Ethernet() / VLAN(vid=5),
}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_understood(text: str) -> None:
    found = parse_expression(text)
    assert bytes(found) == bytes(UNDERSTOOD[text])
    assert [type(layer) for layer in found.layers] == [type(layer) for layer in UNDERSTOOD[text].layers]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_what_repr_writes_is_understood(path: Path) -> None:
    with open_capture(path) as reader:
        for _, frame in zip(range(40), reader, strict=False):
            packet = Packet.parse(frame)
            if packet.layers:
                assert bytes(parse_expression(repr(packet))) == bytes(packet)


REFUSED = {
    "TCP(dprot=80)": "column 5: TCP has no field dprot; did you mean dport?",
    "IPv4() / tcp()": "column 10: there is no tcp(); did you mean TCP?",
    "IP() / TCP()": "column 1: there is no IP(); here that is IPv4",
    "Ether()": "column 1: there is no Ether(); here that is Ethernet",
    "TCP(5)": "column 5: TCP takes its fields by name, as in TCP(sport=...)",
    "TCP(dport=80, sport=99999)": "column 15: TCP sport: 99999 is not in 0..65535",
    "TCP(seq=-1)": "column 5: TCP seq: -1 is not in 0..4294967295",
    "TCP(sport=1, sport=2)": "column 14: sport is given twice",
    "TCP(**{})": "column 5: ** can't stand here",
    'IPv4(dst="10.0.0.300")': "column 6: IPv4 dst: ",
    'IPv4(dst="é") / TCP(dprot=1)': "column 6: IPv4 dst: ",
    'UDP() / b"\\xe9" / "x"': "text on the wire is bytes",
    '"é" / TCP(dprot=1)': "column 11: TCP has no field dprot",
    "  TCP(dprot=1)": "column 7: TCP has no field dprot",
    "IPv4": "column 1: IPv4 alone is no value: write IPv4()",
    "TCP(flags=TCPFlags)": "column 11: TCPFlags alone is no value: write TCPFlags.NAME",
    "TCP(flags=SYM)": "column 11: SYM is not known here; did you mean SYN?",
    "TCP(seq=SYN)": "column 9: SYN is not known here",
    "TCP(flags=TCPFlags.SIN)": "column 11: TCPFlags has no flag SIN; did you mean SYN?",
    'TCP(flags="SYNACK")': "column 11: flags has no value called 'SYNACK'",
    'TCP(dport="htpp")': "column 11: dport has no value called 'htpp'; did you mean http?",
    'TCP(seq="one")': "column 5: TCP seq: 'one' is not an integer",
    "TCP(options=[MaximumSegmentSize()])": "column 14: MaximumSegmentSize: missing 1 required positional argument",
    "TCP(options=[MaximumSegmentSize(99999)])": "column 14: TCP option MaximumSegmentSize(mss=99999)",
    "TCP(options=[MaximumSegmentSize(ms=1)])": "column 33: MaximumSegmentSize has no ms; did you mean mss?",
    "TCP(options=[SelectiveAck(5)])": "column 14: SelectiveAck: a value does not fit",
    'TCP(options=[[b"x"]])': "column 5: TCP options: ",
    'IPv4() / UDP() / b"x" / TCP()': "column 1: TCP can't follow a payload of 1 bytes",
    "IPv4() TCP()": "column 8: invalid syntax",
    "(": "column 1: '(' was never closed",
    "": "column 1: ",
    "5": "column 1: a number is no packet",
    "[TCP()]": "column 1: a list is no packet",
    "TCP(seq=1.5)": "column 9: this can't stand here",
    "b'x' - 1": "column 1: bytes and a number can't be joined like this",
    "2 ** 9": "column 1: a number and a number can't be joined like this",
    "bytes(-1)": "column 7: bytes(n) takes the number of zeros",
    'bytes.fromhex("0g")': "column 1: fromhex: non-hexadecimal number",
    "Packet(5)": "column 1: Packet: the first value is not a list of headers",
    "Packet((), 5)": "column 1: Packet: payload and trailer are bytes",
    "IPv4() / UDP() / bytes(70000)": "pseudo header length: 70008 is not in 0..65535",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused_with_the_place_and_the_nearest_name(text: str) -> None:
    with pytest.raises(WireError) as refusal:
        parse_expression(text)
    assert REFUSED[text] in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "TCP.__init__.__globals__",
        "TCPFlags.__class__",
        "[x for x in (1,)]",
        "lambda: 0",
        "(y := TCP())",
        "f'{TCP}'",
        "TCP() if 1 else UDP()",
        "open('/etc/passwd')",
        "bytes.fromhex.__self__",
        "parse_options(b'')",
        "TCP()[0]",
        "not TCP()",
        "TCP(seq=1 < 2)",
        "TCP(*(1,))",
        "print(1)",
    ],
)
def test_nothing_is_run(text: str) -> None:
    with pytest.raises(WireError, match=r"^column \d+: "):
        parse_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "b'x' * 10 * 10 * 10 * 10 * 10 * 10 * 10",
        "b'x' * 1000000000000",
        "UDP() / b'x' * 1000000000000",
        "bytes(1000000000000)",
        f"b'{'x' * 1000}' * {MOST_BYTES // 1000 + 1}",
        f"bytes({MOST_BYTES}) + b'x'",
        "TCP(seq=99999999999999999999 * 99999999999999999999 * 99999999999999999999 * 99999999999999999999)",
        f"TCP(seq=0x{'f' * 1000})",
        f"TCP(seq={'9' * 5000})",
        "-" * 5000 + "1",
        "(" * 150 + "1" + ")" * 150,
        "(" * 5000,
        "IPv4()" + " / IPv4()" * 20_000,
        "x" * (LONGEST_TEXT + 1),
        "a\0b",
    ],
    ids=lambda text: text[:20].replace("\0", "0"),
)
def test_what_is_asked_for_is_bounded(text: str) -> None:
    with pytest.raises(WireError, match=r"too many|too large|too long|too deeply|too deep|nested|digits|null|number"):
        parse_expression(text)


def test_as_many_bytes_as_allowed() -> None:
    assert parse_expression(f"bytes({MOST_BYTES})").payload == bytes(MOST_BYTES)


def test_no_name_stands_for_two_things() -> None:
    meanings: dict[str, set[int]] = {}
    for module in {kind.__module__ for kind in expression._scope().values()}:
        for name in vars(sys.modules[module])["__all__"]:
            value = getattr(sys.modules[module], name)
            if expression._may_be_named(name, value):
                meanings.setdefault(name, set()).add(id(value))
    assert len(meanings) > 80
    assert [name for name, values in meanings.items() if len(values) > 1] == []


def test_a_warning_about_an_escape_is_no_error() -> None:
    assert parse_expression(r"UDP() / b'\d'").payload == rb"\d"


PIECES = [
    *("TCP(", "IPv4()", "Ethernet(", "flags=", "sport=", "options=", "=", ")", "(", "[", "]", ",", "/", "*", "|", "-"),
    *("SYN", "1", "0x", "b'x'", "'10.0.0.1'", "'", " ", "MaximumSegmentSize", "Packet", "bytes", ".", "None", "lambda"),
    *("TCPFlags", "fromhex", "é", "\n", "**", "#", "True", "99999999999", ":", "+"),
]


@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.text(max_size=40)))
def test_any_other_text_is_a_wire_error(text: str) -> None:
    try:
        packet = parse_expression(text)
    except WireError as error:
        assert "\n" not in str(error)
    else:
        bytes(packet)

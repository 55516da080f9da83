"""What is fuzzed: functions of bytes that raise nothing, whatever the bytes, unless something is wrong.

Beside "it does not raise" they hold the short ways of doing things against the long ones: what `locate`, `reader`,
`assemble` and `template` give must be what the layers say. The tests replay the corpus through the same functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any
from zlib import crc32

from rawproto.capture import open_capture
from rawproto.errors import CaptureError, WireError
from rawproto.wire.expression import parse_expression
from rawproto.wire.flow import FlowKey
from rawproto.wire.fragment import fragment
from rawproto.wire.frame import ChecksumStatus, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.reader import reader
from rawproto.wire.reassembly import Reassembler
from rawproto.wire.record import record
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["QUICK", "TARGETS", "capture", "expression", "packet", "reassembly"]

LINKS = (
    *(LinkType.ETHERNET, LinkType.RAW, LinkType.LINUX_SLL, LinkType.LINUX_SLL2, LinkType.NULL, LinkType.LOOP),
    *(LinkType.IPV4, LinkType.IPV6, LinkType.USER0, LinkType(105)),
)
FIELDS = ("ethernet.dst", "ipv4.src", "ipv4.total_length", "tcp.dport", "tcp.flags", "udp.length", "ipv6.hop_limit")
READERS = [
    (each, reader(*each))
    for each in (("ipv4.src", "tcp.dport", "tcp.flags"), ("ethernet.dst", "ipv4.total_length", "udp.length"), FIELDS)
]
MOST_FRAMES = 400
"""Records of one capture that are looked at: the rest would only cost time."""


def packet(data: bytes, thorough: bool = True) -> None:
    """A packet: one byte of link type, one of what the frame says of itself, then its bytes.

    What costs most, and finds least, is done for each packet only if it is to be `thorough`, and otherwise for some.
    """
    if len(data) < 2:
        return
    linktype, said, body = LINKS[data[0] % len(LINKS)], data[1], data[2:]
    frame = Frame(
        body,
        linktype=linktype,
        original_length=len(body) + (said >> 4) * 8 if said & 1 else None,
        vlan_tci=0x2005 if said & 2 else None,
        checksum=ChecksumStatus((said >> 2) % 3),
    )
    parsed = Packet.parse(frame)
    whole = bytes(parsed)
    thorough = thorough or crc32(body) % 4 == 0
    look_at(parsed, frame, thorough)
    assert bytes(Packet(parsed.layers, parsed.payload, trailer=parsed.trailer)) == whole, "built again, it differs"
    assert repr(parsed) == repr(Packet.parse(whole, linktype)) or parsed.truncated, "what stands beside changed layers"
    find_layers(parsed, frame)
    read_fields(frame, parsed)
    build_again(parsed, said, thorough)


def look_at(parsed: Packet, frame: Frame, thorough: bool) -> None:
    """Ask for all that a packet can tell."""
    size = len(bytes(parsed))
    for problem in parsed.problems:
        assert 0 <= problem.offset <= size, problem
        assert problem.text and "\n" not in problem.text, problem
    layout = parsed.layout
    assert list(layout.offsets) == sorted(layout.offsets) and layout.payload_start <= size
    # One more for a header that is not all here.
    assert 0 <= len(parsed.checksums) - sum(header.has_checksum for header in layout.layers) <= 1
    json.dumps(record(parsed, frame, 1), allow_nan=False)
    assert "\n" not in parsed.summary()
    if thorough:
        parsed.explain()
        parsed._repr_html_()
    str(FlowKey.of(parsed, vlan=True))
    assert type(parsed.truncated) is bool
    for header in parsed.layers:
        assert eval(repr(header), NAMES) == header  # a header's own text: names and literals
        header.tail_rows()
        getattr(header, "parsed_options", None)
    quoted = parsed.quoted
    if quoted is not None:
        look_at(quoted, Frame(bytes(quoted), linktype=LinkType.RAW), thorough)


def find_layers(parsed: Packet, frame: Frame) -> None:
    """`packet[X]` finds what is in `packet.layers`, with and without the way round by `locate`."""
    for kind in {IPv4, IPv6, TCP, UDP, *map(type, parsed.layers)}:
        first = next((header for header in parsed.layers if isinstance(header, kind)), None)
        assert Packet.parse(frame).get(kind) == first, f"packet[{kind.__name__}] is not the first in packet.layers"


def read_fields(frame: Frame, parsed: Packet) -> None:
    """Compiled readers read what the packet has."""
    first: dict[str, Header] = {}
    for header in parsed.layers:
        first.setdefault(header.family.lower(), header)
    for fields, read in READERS:
        parts = [name.split(".") for name in fields]
        wanted = tuple(getattr(first.get(layer), field, None) for layer, field in parts)
        assert read(frame) == wanted, f"reader{fields}: {read(frame)}, the packet has {wanted}"


def build_again(parsed: Packet, said: int, thorough: bool) -> None:
    """With lengths and checksums open: the short way of putting bytes together gives what the long one gives."""
    opened = parsed.recompute()
    try:
        slow: bytes | str = opened._build()
    except WireError as error:
        slow = str(error)
    try:
        fast: bytes | str = bytes(opened)
    except WireError as error:
        fast = str(error)
    assert fast == slow, "assembled in one go, it differs"
    if isinstance(fast, str):
        return
    again = Packet.parse(fast, opened.linktype)
    is_computed = not any(header.may_fragment and header.is_fragment for header in again.layers)
    if is_computed and [type(header) for header in again.layers] == [type(header) for header in opened.layers]:
        assert "bad" not in again.checksums.values(), "a computed checksum does not hold"
    if opened.layers and thorough:
        with_template(opened, said)


def with_template(opened: Packet, said: int) -> None:
    """A template with one field open renders what the packet with that field replaced is."""
    header = opened.layers[said % len(opened.layers)]
    if any(type(other) is not type(header) and other.family == header.family for other in opened.layers):
        return
    row = header.fields[said // 3 % len(header.fields)]
    if row.is_tail:
        return
    value: Any = bytes((said,)) * (row.bits // 8) if row.pack is not None else (said * 0x01010101 * 7) & row.limit
    try:
        rendered = opened.template(f"{header.family.lower()}.{row.name}").render(value)
    except WireError:
        return
    try:
        replaced = bytes(opened.replace(type(header), **{row.name: value}))
    except WireError:
        return
    assert rendered == replaced, f"a template with {header.family}.{row.name} differs from replace"


def capture(data: bytes) -> None:
    """A capture file: CaptureError, and nothing else, for what is damaged."""
    try:
        with open_capture(BytesIO(data)) as file:
            for number, each in enumerate(file.records()):
                assert isinstance(each.frame.data, bytes) and each.frame.wire_length >= 0
                str((file.comment, file.application, each.comments, each.frame))
                Packet.parse(each.frame).summary()
                if number == MOST_FRAMES:
                    break
    except CaptureError as error:
        assert "\n" not in str(error), error


def pieces(data: bytes) -> Iterator[bytes]:
    """The data cut at lengths that stand before each piece."""
    at = 0
    while at + 1 < len(data):
        length = data[at]
        yield data[at + 1 : at + 1 + length]
        at += 1 + length


def reassembly(data: bytes) -> None:
    """Frames of one link type in a row, in small memory and little time; and each of them cut, and put together."""
    if len(data) < 2:
        return
    linktype, mtu = LINKS[data[0] % len(LINKS)], 28 + data[1]
    memory = 2000
    reassembler = Reassembler(ipv4_timeout_ns=30, ipv6_timeout_ns=60, memory=memory)
    for now, each in enumerate(pieces(data[2:])):
        whole = reassembler.add(Frame(each, now, linktype), now * 7)
        assert whole is None or isinstance(whole, bytes)
        assert 0 <= reassembler.memory <= memory + 70_000 and len(reassembler) < 1000
        timeout = reassembler.next_timeout()
        assert timeout is None or len(reassembler)
        cut_and_join(each, mtu, linktype)
    for drop in reassembler.expire(1 << 40):
        str(drop)
    assert (len(reassembler), reassembler.memory) == (0, 0), "what is given up is still charged for"


def cut_and_join(data: bytes, mtu: int, linktype: LinkType) -> None:
    """Fragments, put together again, are the packet; what can't be cut is a WireError."""
    try:
        fragments = fragment(data, mtu, linktype, identification=7, force=True)
    except WireError:
        return
    if len(fragments) == 1:
        return
    reassembler = Reassembler()
    joined = [reassembler.add(each, 0, linktype) for each in fragments]
    assert joined[:-1] == [None] * (len(fragments) - 1), "whole before the last fragment is there"


def expression(data: bytes) -> None:
    """A packet written out: WireError, and nothing else, for what can't be read."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        found = parse_expression(text)
    except WireError as error:
        assert "\n" not in str(error), error
        return
    assert isinstance(found, Packet)
    try:
        bytes(found)
    except WireError:
        return
    assert bytes(parse_expression(repr(found))) == bytes(found), "its repr is not read as the same packet"


def names() -> dict[str, Any]:
    """What a header's repr may refer to."""
    found: dict[str, Any] = {}
    waiting: list[type[Header]] = [Header]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found |= {kind.__name__: kind for kind in below}
    return found


NAMES = names()
TARGETS: dict[str, Callable[[bytes], None]] = {
    "packet": packet,
    "capture": capture,
    "reassembly": reassembly,
    "expression": expression,
}
QUICK: dict[str, Callable[[bytes], None]] = {**TARGETS, "packet": partial(packet, thorough=False)}
"""The same for the fuzzer, which has more inputs than time."""

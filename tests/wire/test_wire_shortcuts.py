"""`locate` and `assemble` are faster roads to where the long ones lead: here they are held to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.assemble import assemble
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import ChecksumStatus, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.locate import locate
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

LAYERS: tuple[type[Header], ...] = (Ethernet, VLAN, IPv4, IPv6, TCP, UDP)
WORD = st.integers(0, 0xFFFF)
MAYBE_WORD = st.none() | WORD
ETHERNETS = st.builds(Ethernet, ethertype=st.none() | st.sampled_from([0x0800, 0x86DD, 0x8100]) | WORD)
IPV4S = st.builds(
    IPv4,
    version=st.sampled_from([4, 4, 4, 4, 6]),
    ihl=st.sampled_from([None, None, None, 5, 6, 4]),
    dscp=st.integers(0, 63),
    total_length=st.sampled_from([None, None, None]) | WORD,
    id=WORD,
    flags=st.sampled_from([0, 2, 2, 1, 4]),
    fragment_offset=st.sampled_from([0, 0, 0, 0, 3]),
    protocol=st.none() | st.sampled_from([6, 17, 1]),
    checksum=MAYBE_WORD,
    src=st.binary(min_size=4, max_size=4),
    dst=st.binary(min_size=4, max_size=4),
    options=st.sampled_from([b"", b"", b"", b"\1", b"\1\1\1\1"]),
)
IPV6S = st.builds(
    IPv6,
    version=st.sampled_from([6, 6, 6, 6, 4]),
    flow_label=st.integers(0, 2**20 - 1),
    payload_length=st.sampled_from([None, None, None]) | WORD,
    next_header=st.none() | st.sampled_from([6, 17, 58, 0]),
    src=st.binary(min_size=16, max_size=16),
)
TCPS = st.builds(
    TCP,
    sport=WORD,
    seq=st.integers(0, 2**32 - 1),
    data_offset=st.sampled_from([None, None, 5, 4, 8, 15]),
    reserved=st.integers(0, 15),
    flags=st.integers(0, 255),
    window=WORD,
    checksum=MAYBE_WORD,
    urgent=WORD,
    options=st.sampled_from([b"", b"", b"\1", b"\2\4\5\xb4", b"\1\1\x08\x0a" + bytes(8)]),
)
UDPS = st.builds(UDP, sport=WORD, dport=WORD, length=st.none() | st.integers(0, 60), checksum=MAYBE_WORD)
STACKS = st.tuples(ETHERNETS, IPV4S | IPV6S, TCPS | UDPS)


def the_long_way(packet: Packet) -> dict[type[Header], Header]:
    found: dict[type[Header], Header] = {}
    for header in packet.layers:
        found.setdefault(type(header), header)
    return found


@given(STACKS, st.binary(max_size=30), st.binary(max_size=4), st.none() | st.integers(0, 80))
@example((Ethernet(), IPv4(), TCP(options=[b"\1" * 4])), b"x", b"", None)
@example((Ethernet(), IPv4(), UDP()), b"", b"", None)
@example((Ethernet(), IPv6(), TCP(options=[b"\1" * 4])), b"x", b"", None)
@example((Ethernet(), IPv6(), UDP()), b"", b"pad", None)
@example((Ethernet(), IPv4(total_length=39), TCP()), b"x", b"", None)
@example((Ethernet(), IPv4(total_length=42), TCP(data_offset=8)), b"abcdefgh", b"", None)
def test_a_located_header_is_the_one_that_the_walk_finds(
    stack: tuple[Header, ...], payload: bytes, trailer: bytes, cut: int | None
) -> None:
    data = bytes(Packet(stack, payload, trailer=trailer))[:cut]
    frame = Frame(data, original_length=None if cut is None else len(data) + 9)
    expected = the_long_way(Packet.parse(frame))
    for layer in LAYERS:
        asked_first = Packet.parse(frame)
        assert asked_first.get(layer) == expected.get(layer)
        assert (layer in asked_first) == (layer in expected)


@pytest.mark.parametrize("network", [IPv4(src="10.0.0.1"), IPv6(src="fd00::1")])
@pytest.mark.parametrize("transport", [TCP(sport=1), TCP(options=b"\1\1\1\1"), UDP(sport=1)])
def test_plain_frames_are_located(network: Header, transport: Header) -> None:
    data = bytes(Ethernet() / network / transport / b"payload")
    found = locate(data)
    assert set(found) == {type(network), type(transport)}
    assert tuple(found.values()) == Packet.parse(data).layers[1:]


def test_other_frames_are_not() -> None:
    plain = Ethernet() / IPv4() / TCP()
    assert not locate(bytes(plain.replace(IPv4, flags=1)))
    assert not locate(bytes(plain.replace(IPv4, fragment_offset=1)))
    assert not locate(bytes(plain.replace(IPv4, options=b"\1\1\1\1")))
    assert not locate(bytes(plain.replace(Ethernet, ethertype=0x0806)))
    assert not locate(bytes(plain)[:53])
    assert not locate(b"")
    # Bytes that look like a plain frame are one only on Ethernet.
    assert TCP not in Packet.parse(bytes(plain), LinkType.RAW)


@given(STACKS, st.binary(max_size=40))
@example((Ethernet(), IPv4(), TCP()), b"")
@example((Ethernet(), IPv4(), UDP()), b"odd")
@example((Ethernet(), IPv4(), TCP(options=b"\2\4\5\xb4")), b"odd")
def test_what_is_assembled_is_what_the_headers_build(stack: tuple[Header, ...], payload: bytes) -> None:
    packet = Packet(stack, payload)
    assembled = assemble(packet.layers, payload)
    assert assembled is None or assembled == packet._build()


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_the_corners_of_the_checksum(sport: int, dport: int) -> None:
    udp = UDP(sport=sport, dport=dport)
    for payload in (b"", (0xFFFF - (sport + dport + 17 + 20) % 0xFFFF).to_bytes(2)):
        packet = Ethernet() / IPv4() / udp / payload
        assert assemble(packet.layers, packet.payload) == packet._build()
        assert set(Packet.parse(bytes(packet)).checksums.values()) == {"ok"}


def test_plain_packets_are_assembled() -> None:
    for transport in (TCP(), UDP(), TCP(options=b"\1\1\1\1")):
        assert assemble((Ethernet(), IPv4(), transport), b"") is not None
    given_by_hand: list[Any] = [IPv4(checksum=0), IPv4(options=b"\1\1\1\1"), IPv4(ihl=5), IPv4(protocol=6)]
    for network in given_by_hand:
        assert assemble((Ethernet(), network, TCP()), b"") is None


def test_what_is_too_long_is_refused_the_same_way() -> None:
    for transport in (TCP(), UDP()):
        with pytest.raises(WireError, match=r"pseudo header length|UDP length|IPv4 total_length"):
            bytes(Ethernet() / IPv4() / transport / bytes(65530))


def test_a_frame_brings_its_vlan_tag_back() -> None:
    tagged = Ethernet() / VLAN(pcp=3, vid=5) / IPv4() / UDP(sport=9)
    data = bytes(tagged)
    parsed = Packet.parse(Frame(data[:12] + data[16:], vlan_tci=3 << 13 | 5))
    assert bytes(parsed) == data
    assert parsed[VLAN].vid == 5
    cut = Frame(data[:12] + data[16:40], vlan_tci=5, original_length=len(data) - 4)
    assert [problem.text for problem in Packet.parse(cut).problems if problem.layer == "frame"] == [
        f"40 of {len(data)} bytes were captured"
    ]


def test_a_frame_brings_what_the_kernel_knew_of_its_checksum() -> None:
    data = bytes(Ethernet() / IPv4() / UDP(checksum=1))
    assert Packet.parse(Frame(data)).checksums["UDP"] == "bad"
    assert Packet.parse(Frame(data, checksum=ChecksumStatus.OFFLOADED)).checksums["UDP"] == "offloaded"
    assert Packet.parse(Frame(data, checksum=ChecksumStatus.VERIFIED)).checksums["UDP"] == "ok"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMPEcho
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.reader import reader
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

FIVE = ("ipv4.src", "ipv4.dst", "tcp.sport", "tcp.dport", "tcp.flags")
SYN = Ethernet() / IPv4(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1234, dport=80, flags=TCPFlags.SYN) / b"x"
FIELDS = [
    *(f"ethernet.{row.name}" for row in Ethernet.fields),
    *(f"{kind.family.lower()}.{row.name}" for kind in (IPv4, IPv6, TCP, UDP) for row in kind.fields),
]
WORD = st.integers(0, 65535)
PACKETS = st.builds(
    lambda network, transport, tag, payload: (
        bytes(Ethernet() / VLAN() / network / transport / payload)
        if tag
        else bytes(Ethernet() / network / transport / payload)
    ),
    st.builds(
        IPv4, ttl=st.integers(0, 255), flags=st.sampled_from([0, 2, 1]), options=st.sampled_from([b"", b"\1" * 4])
    )
    | st.builds(IPv6, dscp=st.integers(0, 63), flow_label=st.integers(0, 2**20 - 1)),
    st.builds(TCP, sport=WORD, reserved=st.integers(0, 15), options=st.sampled_from([b"", b"\1" * 8]))
    | st.builds(UDP, dport=WORD)
    | st.builds(ICMPEcho),
    st.sampled_from([False, False, False, True]),
    st.binary(max_size=9),
)


def by_parsing(data: bytes, names: list[str]) -> tuple[object, ...]:
    found: dict[str, object] = {}
    for header in Packet.parse(data).layers:
        for row in header.fields:
            found.setdefault(f"{header.family.lower()}.{row.name}", getattr(header, row.name))
    return tuple(found.get(name) for name in names)


def test_a_reader_gives_the_values_that_headers_have() -> None:
    assert reader(*FIVE)(bytes(SYN)) == ("10.0.0.1", "10.0.0.2", 1234, 80, TCPFlags.SYN)


@given(PACKETS, st.lists(st.sampled_from(FIELDS), min_size=1, max_size=6), st.integers(0, 90))
def test_a_reader_reads_what_parsing_gives(data: bytes, names: list[str], cut: int) -> None:
    for given_data in (data, data[:cut]):
        assert reader(*names)(given_data) == by_parsing(given_data, names)
        assert reader(*names)(Frame(given_data)) == by_parsing(given_data, names)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_alone(name: str) -> None:
    for network in (IPv4(src="1.2.3.4", id=7, flags=2, ttl=9), IPv6(src="fd00::1", flow_label=0xABCDE)):
        for transport in (TCP(sport=1, seq=2**31, reserved=5), UDP(sport=3, dport=4)):
            data = bytes(Ethernet(src="02:00:00:00:00:09") / network / transport / b"abc")
            assert reader(name)(data) == by_parsing(data, [name])


def test_plain_frames_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    read = reader(*FIVE)
    monkeypatch.setattr(Packet, "parse", None)
    assert read(bytes(SYN))[2] == 1234
    assert read(Frame(bytes(SYN)))[2] == 1234


def test_a_frame_is_read_by_its_own_link_type() -> None:
    raw = bytes(SYN)[14:]
    assert reader(*FIVE)(Frame(raw, linktype=LinkType.RAW))[2] == 1234
    assert reader(*FIVE, linktype=LinkType.RAW)(raw)[2] == 1234
    assert reader(*FIVE)(raw)[2] is None


def test_a_tag_beside_the_frame_is_read() -> None:
    assert reader("vlan.vid", "tcp.sport")(Frame(bytes(SYN), vlan_tci=5)) == (5, 1234)


def test_names_that_there_are_not() -> None:
    with pytest.raises(WireError, match=r"'tpc.sport': there is no layer 'tpc', there are .*arp, "):
        reader("tpc.sport")
    with pytest.raises(WireError, match="tcp has no field 'port', it has ack"):
        reader("tcp.port")
    with pytest.raises(WireError, match="needs a field"):
        reader()

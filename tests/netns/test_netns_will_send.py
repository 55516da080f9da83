"""What `will_send` foretells, held against what the kernel does: the packet is sent, and caught at the other end."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from select import POLLIN, poll

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute
from pyroute2.nftables.expressions import genex
from pyroute2.nftables.main import NFTables

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.changes import Changes, will_send
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Frame
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet

pytestmark = pytest.mark.root

PATIENCE_MS = 3000
OWN, OTHER, NOBODY = ("10.0.0.1", "fd00::1"), ("10.0.0.2", "fd00::2"), ("10.0.0.99", "fd00::99")
MARK = bytes(12) + b"\x88\xb5"
ETHERNET = 14


def is_icmp(frame: bytes) -> bool:
    return frame[12:15] == b"\x08\x00\x45" and frame[15] & 0xC0 == 0xC0 and frame[23] == 1


@dataclass
class Road:
    """A sender on the left, and the end at which all appears that it sends."""

    lab: Lab
    marker: PacketLink
    end: PacketLink
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def send(self, link: Link, data: bytes, peer: str = "") -> tuple[int, list[Frame]]:
        """Send `data`; give the errno, 0 for none, and what appears before the mark that is sent behind it."""
        number = 0
        try:
            link.send([data], 0, peer)
        except LinkError as error:
            number = error.errno or -1
        mark = MARK + next(self.numbers).to_bytes(46)
        self.marker.send([mark], 0)
        appeared: list[Frame] = []
        while not appeared or appeared[-1].data[:60] != mark:
            appeared += self.more()
        return number, appeared[:-1]

    def more(self) -> list[Frame]:
        poller = poll()
        poller.register(self.end.fileno(), POLLIN)
        if not poller.poll(PATIENCE_MS):
            pytest.fail("what was sent did not come")
        return self.end.receive(0)

    def check(self, link: Link, data: bytes, told: Changes, peer: str = "") -> bytes | None:
        """Send `data`; hold the errno and what appears (without Ethernet header, if the link writes none) to `told`."""
        number, appeared = self.send(link, data, peer)
        assert number == told.errno, told
        assert bool(told.refused) == bool(told.errno)
        if told.refused or told.dropped:
            assert (appeared, told.bytes) == ([], b"")
            return None
        # On lo the kernel's answers to strange headers come by the same road.
        (frame,) = (one for one in appeared if isinstance(link, PacketLink) or not is_icmp(one.data))
        arrived = frame.data
        if isinstance(link, PacketLink):
            if frame.vlan_tci is not None:
                arrived = arrived[:12] + b"\x81\x00" + frame.vlan_tci.to_bytes(2) + arrived[12:]
        else:
            arrived = arrived[ETHERNET:]
        if not isinstance(link, UdpLink):
            assert told.matches(arrived), f"{told}\n{told.bytes.hex(' ')}\n{arrived.hex(' ')}"
        return arrived


def roads(interface: str) -> Iterator[Road]:
    with ExitStack() as stack:
        addresses = [(f"{OWN[0]}/24", f"{OTHER[0]}/24"), (f"{OWN[1]}/64", f"{OTHER[1]}/64")]
        lab = stack.enter_context(Lab(addresses=addresses, offloads=False))
        with lab.left.entered():
            marker = stack.enter_context(PacketLink(interface))
        with (lab.left if interface == "lo" else lab.right).entered():
            end = stack.enter_context(PacketLink(interface, ring_size=1 << 20))
        yield Road(lab, marker, end)


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    """Over the wire."""
    yield from roads("veth0")


@pytest.fixture(scope="module")
def loop() -> Iterator[Road]:
    """To oneself."""
    yield from roads("lo")


def rawip(road: Road, address: str) -> RawIpLink:
    """A fresh one: a link looks at the version only of the first packet to a destination."""
    with road.lab.left.entered():
        return RawIpLink(address, buffer_size=1 << 16)


def none_or(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | strategy


byte, word = st.integers(0, 255), st.integers(0, 0xFFFF)
payloads = st.binary(max_size=80) | st.sampled_from([1400, 1440, 1460, 1461, 1480, 1481, 3000]).map(bytes)
strange_sources = st.sampled_from(["0.0.0.0", OWN[0], OTHER[0], "127.0.0.1", "224.0.0.1", "255.255.255.255"])
headers4 = st.builds(
    IPv4,
    version=st.just(4) | st.just(4) | st.integers(0, 15),
    ihl=none_or(st.integers(0, 15)),
    dscp=st.integers(0, 63),
    ecn=st.integers(0, 3),
    total_length=none_or(word),
    id=st.just(0) | word,
    flags=st.integers(0, 7),
    fragment_offset=st.just(0) | st.integers(0, 0x1FFF),
    ttl=st.sampled_from([0, 1, 64]) | byte,
    protocol=st.just(253) | byte,
    checksum=none_or(word),
    src=strange_sources | st.binary(min_size=4, max_size=4),
    dst=st.sampled_from([OTHER[0], OTHER[0], NOBODY[0], "224.0.0.1", "239.1.2.3", "255.255.255.255"]),
    options=st.binary(max_size=40),
)
headers6 = st.builds(
    IPv6,
    version=st.just(6) | st.just(6) | st.integers(0, 15),
    dscp=st.integers(0, 63),
    ecn=st.integers(0, 3),
    flow_label=st.integers(0, 0xFFFFF),
    payload_length=none_or(word),
    next_header=st.just(253) | st.sampled_from([0, 6, 17, 43, 44, 58, 59, 60]) | byte,
    hop_limit=st.sampled_from([0, 1, 64]) | byte,
    src=st.sampled_from(["::", OWN[1], OTHER[1], "::1", "ff02::1"]) | st.binary(min_size=16, max_size=16),
    dst=st.sampled_from([OTHER[1], OTHER[1], NOBODY[1], "ff02::1", "ff02::1234", "ff01::1", "ff00::5", "ff05::1"]),
)


def zero_hops_to_some_group(data: bytes) -> bool:
    """What becomes of these depends on whether the host is in the group; `notes` say so."""
    if len(data) >= 40 and data[0] >> 4 == 6:
        return data[7] == 0 and data[24] == 0xFF
    return len(data) >= 20 and data[8] == 0 and data[16] & 0xF0 == 0xE0


@settings(max_examples=400)
@given(headers4, payloads)
@example(IPv4(src=OWN[0], dst=OTHER[0], id=7), b"data")
@example(IPv4(src=OWN[0], dst=OTHER[0], id=0), b"data")
@example(IPv4(src=OWN[0], dst=OTHER[0], id=0, flags=2), b"data")
@example(IPv4(src="0.0.0.0", dst=OTHER[0], id=7, checksum=0xBAD, total_length=3), b"data")
@example(IPv4(src=OWN[0], dst="224.0.0.1", id=7, ttl=0), b"data")
@example(IPv4(src=OWN[0], dst=OTHER[0], id=7, ihl=4), b"data")
@example(IPv4(src=OWN[0], dst=OTHER[0], id=7, ihl=4), bytes(1481))
@example(IPv4(src=OWN[0], dst="255.255.255.255", id=7, ihl=4), bytes(1481))
@example(IPv4(src=OWN[0], dst=OTHER[0], id=7), bytes(1480))
@example(IPv4(src=OWN[0], dst=OTHER[0], id=7, total_length=9), bytes(65516))
@example(IPv4(src=OWN[0], dst="255.255.255.255", id=7, total_length=9), bytes(65516))
def test_raw_ipv4(road: Road, header: IPv4, payload: bytes) -> None:
    packet = header / payload
    data = bytes(packet)
    assume(not zero_hops_to_some_group(data) or header.dst == "224.0.0.1")
    with rawip(road, OWN[0]) as link:
        told = will_send(packet, link)
        assert told.unknown == () or not (header.id or header.flags & 2)
        arrived = road.check(link, data, told)
    if arrived is not None:
        given, came = IPv4.decode(data, 0, len(data)), IPv4.decode(arrived, 0, len(arrived))
        changed = {row.name for row in IPv4.fields if getattr(given, row.name) != getattr(came, row.name)}
        assert changed <= {change.field for change in told.changes}
        for change in told.changes:
            assert change.given == getattr(given, change.field)
            assert change.sent in (None, getattr(came, change.field)) and change.sent != change.given
        assert arrived[20:] == data[20:]


@settings(max_examples=100)
@given(st.binary(max_size=60))
@example(b"")
@example(b"\x45" + bytes(18))
def test_raw_ipv4_from_any_bytes(road: Road, data: bytes) -> None:
    if len(data) >= 20:
        data = data[:16] + socket.inet_aton(OTHER[0]) + data[20:]
    with rawip(road, OWN[0]) as link:
        road.check(link, data, will_send(data, link))


@given(st.integers(0, 0xFFFF), st.integers(0, 2), st.sampled_from(["0.0.0.0", OWN[0]]))
def test_raw_ipv4_from_a_link_at_no_address_in_particular(road: Road, number: int, flags: int, source: str) -> None:
    packet = IPv4(src=source, dst=OTHER[0], id=number, flags=flags) / b"data"
    with rawip(road, "0.0.0.0") as link:
        told = will_send(packet, link)
        arrived = road.check(link, bytes(packet), told)
    assert arrived is not None
    assert ("src" in {change.field for change in told.changes}) == (source == "0.0.0.0")
    assert arrived[12:16] == socket.inet_aton(OWN[0])


@settings(max_examples=300)
@given(headers6, payloads)
@example(IPv6(src=OWN[1], dst=OTHER[1], next_header=253), bytes(1460))
@example(IPv6(src=OWN[1], dst=OTHER[1], next_header=253), bytes(1461))
@example(IPv6(src=OWN[1], dst="ff02::1", hop_limit=0), b"data")
@example(IPv6(src=OWN[1], dst="ff01::1"), b"data")
def test_raw_ipv6(road: Road, header: IPv6, payload: bytes) -> None:
    packet = header / payload
    data = bytes(packet)
    assume(not zero_hops_to_some_group(data) or header.dst == "ff02::1")
    with rawip(road, OWN[1]) as link:
        told = will_send(packet, link)
        arrived = road.check(link, data, told)
    assert told.changes == told.unknown == ()
    assert arrived in (None, data)


@settings(max_examples=50)
@given(st.binary(max_size=60))
def test_raw_ipv6_from_any_bytes(road: Road, data: bytes) -> None:
    if len(data) >= 40:
        data = data[:24] + socket.inet_pton(socket.AF_INET6, OTHER[1]) + data[40:]
    with rawip(road, OWN[1]) as link:
        road.check(link, data, will_send(data, link))


@settings(max_examples=200)
@given(
    st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x88\xb6", b"\0\x20"]),
    st.integers(20, 1600),
    st.binary(min_size=60, max_size=60),
)
@example(b"\x08\x00", 14, bytes(60))
@example(b"\x08\x00", 13, bytes(60))
@example(b"\x08\x00", 0, bytes(60))
@example(b"\x08\x00", 1514, bytes(60))
@example(b"\x08\x00", 1515, bytes(60))
@example(b"\x81\x00", 1518, bytes(60))
@example(b"\x81\x00", 1519, bytes(60))
@example(b"\x88\xa8", 1515, bytes(60))
def test_a_packet_link_changes_nothing(road: Road, ethertype: bytes, size: int, start: bytes) -> None:  # fmt: skip
    data = (start[:12] + ethertype + start[12:] + bytes(1600))[:size]
    assume(data[12:16] != b"\x81\x00\x81\x00")  # the receiver takes both tags off
    with road.lab.left.entered():
        link = PacketLink("veth0", ring=False)
    with link:
        told = will_send(data, link)
        assert (told.changes, told.unknown) == ((), ())
        road.check(link, data, told)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 1452, 1453, 1472, 1473])
def test_a_udp_link_sends_the_packet_as_payload(road: Road, version: int, size: int) -> None:
    at = version == 6
    with road.lab.left.entered():
        link = UdpLink(OWN[at], 0)
    peer = f"[{OTHER[1]}]:9" if at else f"{OTHER[0]}:9"
    with link:
        told = will_send(bytes(size), link)
        arrived = road.check(link, bytes(size), told, peer)
    if arrived is not None:
        assert arrived[28 + 20 * at :] == told.bytes == bytes(size)
        assert not at or len(arrived) == 48 + size
    else:
        assert size > 1472 - 20 * at


@settings(max_examples=200)
@given(
    headers4,
    st.binary(max_size=30),
    st.sampled_from([OWN[0], "127.0.0.1"]),
    st.sampled_from([OWN[0], "127.0.0.1", "127.1.2.3", "0.0.0.0"]),
)
@example(IPv4(id=7), bytes(65515), "127.0.0.1", "127.0.0.1")
@example(IPv4(id=7, total_length=3), bytes(65516), "127.0.0.1", "127.0.0.1")
@example(IPv4(id=7), bytes(1481), OWN[0], OWN[0])
def test_raw_ipv4_to_oneself(loop: Road, header: IPv4, payload: bytes, own: str, target: str) -> None:  # fmt: skip
    # Of the link's own protocol, and no fragment: the kernel answers to others.
    header = header.replace(dst=target, protocol=253, fragment_offset=0, flags=header.flags & ~1)
    with rawip(loop, own) as link:
        told = will_send(header / payload, link)
        loop.check(link, bytes(header / payload), told)


@settings(max_examples=100)
@given(headers6, st.binary(max_size=30), st.sampled_from([OWN[1], "::1"]))
@example(IPv6(), bytes(65496), "::1")
@example(IPv6(payload_length=3), bytes(65497), "::1")
def test_raw_ipv6_to_oneself(loop: Road, header: IPv6, payload: bytes, own: str) -> None:
    header = header.replace(dst=own, src=own, next_header=253, version=6, hop_limit=64, payload_length=None)
    with rawip(loop, own) as link:
        data = bytes(header / payload)
        loop.check(link, data, will_send(data, link))


@pytest.mark.parametrize("size", [13, 14, 60, 65550, 65551])
def test_a_packet_link_on_lo(loop: Road, size: int) -> None:
    data = (bytes(12) + b"\x08\x00" + bytes(65540))[:size]
    with loop.lab.left.entered():
        link = PacketLink("lo", ring=False)
    with link:
        told = will_send(data, link)
        number, appeared = loop.send(link, data)
    assert number == told.errno
    # The ring's slots are shorter than the largest frame.
    assert [frame.wire_length for frame in appeared] == ([] if told.refused else [size])


def test_a_packet_with_a_tag_arrives_without_it_as_the_note_says(road: Road) -> None:
    packet = Packet((Ethernet(dst="02:00:00:00:00:02"), VLAN(vid=5), IPv4(dst=OTHER[0]))) / b"data"
    with road.lab.left.entered():
        link = PacketLink("veth0", ring=False)
    with link:
        told = will_send(packet, link)
        _, (frame,) = road.send(link, bytes(packet))
    assert told.bytes == bytes(packet) != frame.data
    assert any("takes the VLAN tag off" in note for note in told.notes)


def track_connections(road: Road) -> None:
    """A rule that asks for the state of a connection, as every stateful firewall has."""
    with road.lab.left.entered():
        firewall = NFTables(nfgen_family=1)
        try:
            firewall.table("add", name="t")
            firewall.chain("add", table="t", name="o", hook="output", type="filter", policy=1)
            state = genex("ct", {"DREG": 1, "KEY": 0})
            firewall.rule("add", table="t", chain="o", expressions=([state],))
        finally:
            firewall.close()


def narrow_routes(road: Road) -> None:
    with road.lab.left.entered(), IPRoute() as netlink:
        index = netlink.link_lookup(ifname="veth0")[0]
        for family, host in ((socket.AF_INET, f"{OTHER[0]}/32"), (socket.AF_INET6, f"{OTHER[1]}/128")):
            netlink.route("add", dst=host, family=family, oif=index, metrics={"mtu": 1300})


FRAGMENT4 = IPv4(src=OWN[0], dst=OTHER[0], id=7, flags=1) / b"12345678"
FRAGMENT6 = IPv6(src=OWN[1], dst=OTHER[1], next_header=44) / (b"\xfd\0\0\1\0\0\0\1" + bytes(8))
LONG4, LONG6 = (kind(src=OWN[at], dst=OTHER[at]) / bytes(1400) for at, kind in enumerate((IPv4, IPv6)))


def test_ipv6_fragments_are_held_back_where_connections_are_tracked_as_the_note_says() -> None:
    for road in roads("veth0"):
        track_connections(road)
        with rawip(road, OWN[1]) as link:
            told = will_send(FRAGMENT6, link)
            happened, appeared = road.send(link, bytes(FRAGMENT6))
        assert any("fragments are held" in text for text in told.notes)
        assert (happened, appeared) == (0, [])


@pytest.mark.parametrize(
    ("packet", "setting"),
    [
        (FRAGMENT4, track_connections),
        (LONG4, narrow_routes),
        (LONG4.replace(IPv4, flags=2), narrow_routes),
        (LONG6, narrow_routes),
    ],
)
def test_neither_tracking_nor_a_narrow_route_changes_what_is_sent(
    packet: Packet, setting: Callable[[Road], None]
) -> None:
    for road in roads("veth0"):
        setting(road)
        with rawip(road, OWN[IPv6 in packet]) as link:
            told = will_send(packet, link)
            happened, appeared = road.send(link, bytes(packet))
        assert told.notes == ()
        assert happened == 0
        (frame,) = appeared
        assert told.matches(frame.data[14:])

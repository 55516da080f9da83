"""`will_send` without a kernel: what it says, and in which words. tests/netns holds it against the real one."""

from __future__ import annotations

import errno
import random

import pytest

from rawproto.link.base import Link
from rawproto.link.changes import Change, Changes, will_send
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.memory import memory_pair
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.tap import RecordingLink
from rawproto.link.udp import UdpLink
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP


def unopened(kind: type[Link], address: str, *, interface: str = "veth0", mtu: int = 1500) -> Link:
    """A link with the facts of a real one and no socket: `will_send` must ask for nothing else."""
    link = object.__new__(kind)
    link.interface, link.mtu = interface, mtu
    link.address = address  # type: ignore[attr-defined]
    return link


RAW4, RAW6 = unopened(RawIpLink, "10.0.0.1"), unopened(RawIpLink, "fd00::1")
WIRE, LO = (
    unopened(PacketLink, "02:00:00:00:00:01"),
    unopened(PacketLink, "00:00:00:00:00:00", interface="lo", mtu=65536),
)
GOOD = IPv4(src="10.0.0.1", dst="10.0.0.2", id=7)


def test_a_sound_packet_is_sent_as_it_is() -> None:
    packet = GOOD / UDP(sport=1, dport=2) / b"data"
    told = will_send(packet, RAW4)
    assert told == Changes(bytes(packet))
    assert str(told) == "sent as it is"
    assert told.matches(bytes(packet))
    assert not told.matches(bytes(packet) + b"x")


def test_each_change_says_what_and_why() -> None:
    packet = GOOD.replace(src="0.0.0.0", total_length=999, checksum=0xBAD) / b"data"
    told = will_send(packet, RAW4)
    right = bytes(GOOD / b"data")
    assert told.bytes == right
    sum_ = int.from_bytes(right[10:12])
    assert told.changes == (
        Change("IPv4", "total_length", 999, 24, "the kernel always writes it"),
        Change("IPv4", "src", "0.0.0.0", "10.0.0.1", "the kernel fills in a missing source"),
        Change("IPv4", "checksum", 0xBAD, sum_, "the kernel always writes it"),
    )
    assert str(told).splitlines() == [
        "IPv4 total_length: 999 becomes 24 (the kernel always writes it)",
        "IPv4 src: 0.0.0.0 becomes 10.0.0.1 (the kernel fills in a missing source)",
        f"IPv4 checksum: 0x0bad becomes {sum_:#06x} (the kernel always writes it)",
    ]


def test_a_number_that_the_kernel_chooses_can_not_be_told_but_recognized() -> None:
    packet = GOOD.replace(id=0) / b"data"
    told = will_send(packet, RAW4)
    assert told.unknown == ((4, 6), (10, 12))
    assert [(change.field, change.sent) for change in told.changes] == [("id", None), ("checksum", None)]
    assert "IPv4 id: 0x0000 becomes what the kernel chooses" in str(told)
    sent = bytes(GOOD.replace(id=0x1234) / b"data")
    assert told.matches(sent)
    for place in range(len(sent)):
        damaged = bytearray(sent)
        damaged[place] ^= 0x10
        assert not told.matches(bytes(damaged))
    assert not told.matches(b"")
    assert will_send(GOOD.replace(id=0, flags=2) / b"data", RAW4).changes == ()


def test_a_link_at_no_address_leaves_the_source_to_the_route() -> None:
    told = will_send(GOOD.replace(src="0.0.0.0") / b"data", unopened(RawIpLink, "0.0.0.0"))
    assert told.unknown == ((12, 16), (10, 12))
    assert told.matches(bytes(GOOD / b"data"))


def test_the_checksum_covers_the_options() -> None:
    packet = GOOD.replace(options=b"\x01\x01\x01\x00", checksum=1) / b"data"
    assert internet_checksum(will_send(packet, RAW4).bytes[:24]) == 0


@pytest.mark.parametrize(
    ("packet", "link", "number", "text"),
    [
        (GOOD.replace(ihl=4) / b"data", RAW4, errno.EINVAL, "EINVAL: ihl is 4, below 5"),
        (GOOD.replace(ihl=7) / b"data", RAW4, errno.EINVAL, "EINVAL: ihl is 7, a header of 28 bytes, and there are 24"),
        (GOOD / bytes(1481), RAW4, errno.EMSGSIZE, "EMSGSIZE: 1501 bytes are more than fit on veth0, 1500"),
        (GOOD.replace(version=6) / b"data", RAW4, errno.EINVAL, "EINVAL: the IP version is 6, the link takes 4"),
        (GOOD.replace(dst="255.255.255.255") / b"", RAW4, errno.EACCES, "EACCES: the socket is not allowed"),
        (GOOD.replace(dst="10.0.0.1", total_length=0) / bytes(65516), RAW4, errno.EMSGSIZE, "EMSGSIZE: 65536 bytes"),
        (b"E" * 19, RAW4, errno.EINVAL, "EINVAL: 19 bytes are shorter than an IPv4 header, 20"),
        (bytes(39), RAW6, errno.EINVAL, "EINVAL: 39 bytes are shorter than an IPv6 header, 40"),
        (GOOD / bytes(40), RAW6, errno.EINVAL, "EINVAL: the IP version is 4, the link takes 6"),
        (IPv6(dst="fd00::2") / bytes(1461), RAW6, errno.EMSGSIZE, "EMSGSIZE: 1501 bytes are more than fit"),
        (bytes(13), WIRE, errno.EINVAL, "EINVAL: 13 bytes are shorter than an Ethernet header"),
        (Ethernet() / bytes(1501), WIRE, errno.EMSGSIZE, "EMSGSIZE: 1515 bytes are more than fit on veth0, 1514"),
        (Ethernet() / VLAN() / bytes(1501), WIRE, errno.EMSGSIZE, "EMSGSIZE: 1519 bytes are more than fit on veth0"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_errno_and_the_reason(packet: Packet | bytes, link: Link, number: int, text: str) -> None:
    told = will_send(packet, link)
    assert (told.errno, told.bytes, told.changes) == (number, b"", ())
    assert told.refused.startswith(text)
    assert str(told).startswith(f"refused: {text}")
    assert not told.matches(bytes(packet))


@pytest.mark.parametrize(
    ("packet", "link"),
    [
        (GOOD.replace(dst="224.0.0.1", ttl=0) / b"data", RAW4),
        (IPv6(dst="ff02::1", hop_limit=0) / b"data", RAW6),
        (IPv6(dst="ff01::1234") / b"data", RAW6),
    ],
)
def test_what_never_leaves_the_host_is_told(packet: Packet, link: Link) -> None:
    told = will_send(packet, link)
    assert (told.bytes, told.refused, told.errno) == (b"", "", 0)
    assert "does not leave the host" in told.dropped
    assert str(told).startswith("dropped: ")


@pytest.mark.parametrize(
    ("packet", "link", "note"),
    [
        (Ethernet() / b"short", WIRE, "pads 19 bytes with zeros to 60"),
        (Ethernet() / VLAN() / bytes(60), WIRE, "takes the VLAN tag off"),
        (Ethernet(dst="00:00:00:00:00:00") / GOOD / bytes(60), LO, "route_localnet and accept_local"),
        (Ethernet(dst="02:00:00:00:00:02") / bytes(60), LO, "destination MAC is not zero"),
        (GOOD / bytes(60), WIRE, "takes Ethernet frames, and this begins with IPv4"),
        (IPv6(dst="fd00::2", next_header=44) / bytes(60), RAW6, "fragments are held"),
        (GOOD.replace(dst="239.1.2.3", ttl=0) / b"", RAW4, "with a ttl of 0"),
        (IPv6(dst="ff02::1234", hop_limit=0) / b"", RAW6, "with a hop limit of 0"),
    ],
)
def test_a_note_warns_of_what_may_follow(packet: Packet, link: Link, note: str) -> None:
    told = will_send(packet, link)
    assert any(note in text for text in told.notes)
    assert "note: " in str(told)


@pytest.mark.parametrize(
    ("packet", "link"),
    [
        (Ethernet() / bytes(46), WIRE),
        (Ethernet(dst="ff:ff:ff:ff:ff:ff") / bytes(5), LO),
        (GOOD / bytes(532), RAW4),
        (IPv6(dst="fd00::2") / bytes(1240), RAW6),
    ],
)
def test_nothing_is_warned_of_without_cause(packet: Packet, link: Link) -> None:
    assert will_send(packet, link) == Changes(bytes(packet))


def test_udp_carries_the_packet_as_payload() -> None:
    with UdpLink("127.0.0.1", 0, mtu=1000) as link:
        told = will_send(bytes(1000), link)
        assert (told.bytes, told.changes) == (bytes(1000), ())
        assert "are the kernel's" in told.notes[0]
        assert will_send(bytes(1001), link).errno == errno.EMSGSIZE
        assert "the IPv4 header becomes payload" in will_send(GOOD / b"data", link).notes[0]


@pytest.mark.parametrize("linktype", [LinkType.ETHERNET, LinkType.USER0])
def test_a_link_in_memory_changes_nothing_and_refuses_what_it_refuses(linktype: LinkType) -> None:
    first, second = memory_pair(linktype=linktype, mtu=100)
    with first, second:
        for size in (0, 100, 101, 114, 115):
            told = will_send(bytes(size), first)
            try:
                first.send([bytes(size)], 0)
            except OSError as error:
                assert told.errno == error.errno
            else:
                assert (told.bytes, told.errno) == (bytes(size), 0)


def test_wrappers_pass_the_question_on() -> None:
    packet = GOOD.replace(checksum=1) / b"data"
    assert will_send(packet, RecordingLink(RAW4, print)) == will_send(packet, RAW4)
    impaired = ImpairedLink(RecordingLink(RAW4, print), Impairment(loss=0.5), random.Random)
    told = will_send(packet, impaired)
    assert told.changes == will_send(packet, RAW4).changes
    assert told.notes == ("the impairment may lose, damage, double or delay it",)


class Fitting(RecordingLink):
    """What a wrapper that sees to frames over the MTU looks like from here."""

    def __init__(self, oversize: str) -> None:
        super().__init__(RAW4, print)
        self.oversize = oversize


def test_what_a_wrapper_does_with_frames_over_the_mtu_is_told() -> None:
    skipped, fragmented, refused = (
        will_send(GOOD / bytes(1481), Fitting(kind)) for kind in ("skip", "fragment", "error")
    )
    assert (skipped.bytes, skipped.errno, skipped.dropped) == (b"", 0, "frames over the MTU are skipped")
    assert (fragmented.bytes, fragmented.errno, fragmented.dropped) == (b"", 0, "")
    assert "sent as IP fragments" in fragmented.notes[0]
    assert refused == will_send(GOOD / bytes(1481), RAW4)
    assert will_send(GOOD / bytes(1480), Fitting("skip")) == will_send(GOOD / bytes(1480), RAW4)


def test_a_header_alone_and_bytes_are_packets_too() -> None:
    assert will_send(GOOD, RAW4).bytes == bytes(GOOD)
    assert will_send(bytes(GOOD), RAW4).bytes == bytes(GOOD)

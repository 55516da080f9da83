"""Filters in the kernel: what it lets through is what the filter says of the whole frame."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.bpf import FilteringLink, attach, attach_filter, compile_filter
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
HEADER = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
PROVIDER = bytes(HEADER)[:12] + b"\x88\xa8\x00\x64"
ABOVE: list[Any] = [
    IPv4(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1024, dport=80, flags=TCPFlags.SYN) / b"",
    IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=53, dport=2000) / bytes(300),
    IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=80, dport=1024, flags=TCPFlags.ACK) / bytes(100),
    IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=53, dport=2000) / b"x",
    ARP(sender_ip="10.0.0.1", target_ip="10.0.0.2"),
    b"of a local experiment",
]
TAGGED = [bytes(HEADER / VLAN(vid=5, pcp=3) / above) for above in ABOVE]
FRAMES = [
    *(bytes(HEADER / above) for above in ABOVE),
    *TAGGED,
    *(bytes(HEADER / VLAN(vid=0) / above) for above in ABOVE),
    *(PROVIDER + frame[16:] for frame in TAGGED),
    *(PROVIDER + frame[12:] for frame in TAGGED),
    *(bytes(HEADER / VLAN(vid=100) / VLAN(vid=5) / above) for above in ABOVE),
]
EXPRESSIONS = [
    "",
    "vlan",
    "vlan 5",
    "vlan 0",
    "vlan 100 and vlan 5",
    "vlan 5 and tcp port 80",
    "vlan and udp and ip6",
    "not vlan",
    "ip",
    "ip or (vlan and ip)",
    "tcp port 80",
    "arp",
    "len > 100",
    "len = 63",
    "ether proto 0x88b5",
    "ether proto 0x88a8",
    "ether[12:2] = 0x8100",
    "ether[12] = 0x88",
    "ether[13] = 0xa8",
    "ether[14] >> 5 = 3",
    "ether[14:2] & 0xfff = 5",
    "ether[15] = 5",
    "ether[12:4] = 0x81006005",
    "ether[16:2] = 0x0800",
    "host 10.0.0.2",
    "vlan and host 10.0.0.2",
]


def whole(frame: Frame) -> bytes:
    """The frame's bytes with its tag."""
    if frame.vlan_tci is None:
        return frame.data
    return frame.data[:12] + struct.pack("!HH", 0x8100, frame.vlan_tci) + frame.data[12:]


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Lab, PacketLink, PacketLink]]:
    """A wire, its left end, and a watcher at the right that gets a frame only after all who open later have it."""
    with Lab() as lab, ExitStack() as links:
        with lab.left.entered():
            left = links.enter_context(PacketLink("veth0"))
        with lab.right.entered():
            watcher = links.enter_context(PacketLink("veth0"))
        yield lab, left, watcher


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_kernel_lets_through_what_matches_with_the_tag_where_it_was(
    wire: tuple[Lab, PacketLink, PacketLink], gather: Gather, expression: str
) -> None:
    lab, left, watcher = wire
    program = compile_filter(expression)
    matching = [frame for frame in FRAMES if program.matches(frame)]
    assert matching
    with lab.right.entered():
        right = PacketLink("veth0", bpf=bytes(program))
    with right:
        left.send(FRAMES, 0)
        assert [whole(frame) for frame in gather(watcher, len(FRAMES))] == FRAMES
        received = right.receive(0)
    assert [whole(frame) for frame in received] == matching
    assert all(program.matches(frame) for frame in received)


def test_a_filter_that_the_kernel_can_not_run_is_run_here(
    wire: tuple[Lab, PacketLink, PacketLink], gather: Gather
) -> None:
    lab, left, watcher = wire
    program = compile_filter("ether[11:2] = 0x0181 or ip6 protochain 17")
    with lab.right.entered():
        right = FilteringLink(PacketLink("veth0"), program)
    with right:
        left.send(FRAMES, 0)
        gather(watcher, len(FRAMES))
        assert [whole(frame) for frame in right.receive(0)] == [frame for frame in FRAMES if program.matches(frame)]


def test_a_filter_given_to_a_socket_holds_from_the_first_frame_on(
    wire: tuple[Lab, PacketLink, PacketLink], gather: Gather
) -> None:
    lab, left, watcher = wire
    with lab.right.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as right:
        assert attach(right, compile_filter("vlan 5 and arp"))
        right.bind(("veth0", 3))
        left.send(FRAMES, 0)
        gather(watcher, len(FRAMES))
        right.setblocking(False)
        assert right.recv(2000)[14:] == TAGGED[4][18:]
        with pytest.raises(BlockingIOError):
            right.recv(2000)
        assert not attach(right, compile_filter("ip6 protochain 17"))


def test_what_is_no_program_for_this_socket_is_refused(lab: Lab) -> None:
    with lab.right.entered():
        packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with packet, raw, datagram:
        for program in (b"", struct.pack("@HBBI", 6, 0, 0, 0) + b"\0", b"\xff" * 8, bytes(8) * 5000):
            with pytest.raises(LinkError, match=f"refuses a filter of {len(program)} bytes") as caught:
                attach_filter(packet, program)
            assert caught.value.errno == errno.EINVAL
        for sock, linktype, text in (
            (packet, LinkType.RAW, "the link needs ETHERNET"),
            (raw, LinkType.ETHERNET, "the link needs RAW"),
            (datagram, LinkType.RAW, "only be given to a raw socket"),
        ):
            with pytest.raises(LinkError, match=text) as caught:
                attach(sock, compile_filter("udp", linktype))
            assert caught.value.errno == errno.EINVAL


# -- raw IP sockets --------------------------------------------------------------------------------------------------

PACKETS = {
    4: [bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", id=1, ttl=ttl) / UDP(sport=1000 + ttl, dport=9) / bytes(ttl))
        for ttl in range(1, 41)],
    6: [bytes(IPv6(src="fd00::1", dst="fd00::2", hop_limit=ttl) / UDP(sport=1000 + ttl, dport=9) / bytes(ttl))
        for ttl in range(1, 41)],
}  # fmt: skip
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
RAW_EXPRESSIONS = [
    (4, "src port 1007 or src port 1009"),
    (4, "ip[8] > 20"),
    (4, "udp[4:2] = 20"),
    (4, "len >= 60"),
    (4, "src host 10.0.0.1 and not udp src portrange 1000-1030"),
    (6, "src port 1007 or src port 1009"),
    (6, "ip6[7] > 20"),
    (6, "ip6[44:2] = 20"),
    (6, "ip6[4:2] = 20"),
    (6, "len >= 80"),
    (6, "src host fd00::1 and not udp src portrange 1000-1030"),
    (6, "ip6[39:1] = 2 and ip6[40:2] = 1003"),
    (6, "ip6[38:4] = 0x000203eb"),
    (6, "ip6 protochain 17 and ip6[7] < 5"),
]
FOR_THIS_PROCESS = {"ip6[38:4] = 0x000203eb", "ip6 protochain 17 and ip6[7] < 5"}
"""A load across the header's end, and a loop."""


@pytest.mark.parametrize(("version", "expression"), RAW_EXPRESSIONS)
def test_a_raw_ip_link_has_what_matches_the_packet_with_its_header(
    lab: Lab, gather: Gather, version: int, expression: str
) -> None:
    here, there = ADDRESSES[version]
    program = compile_filter(expression, LinkType.RAW)
    matching = [packet for packet in PACKETS[version] if program.matches(packet)]
    assert 0 < len(matching) < len(PACKETS[version])
    last = compile_filter(f"({expression}) or src port 5", LinkType.RAW)
    end = (
        PACKETS[version][0][: 20 if version == 4 else 40] + b"\0\5" + PACKETS[version][0][22 if version == 4 else 42 :]
    )
    with lab.left.entered():
        left = RawIpLink(here)
    with lab.right.entered():
        right = RawIpLink(there, protocol=17, filter=last)
    with left, right:
        assert (right._filter is not None) == (expression in FOR_THIS_PROCESS)
        left.send([*PACKETS[version], end], 0)
        frames: list[Frame] = []
        while not frames or frames[-1].data[-len(end) + 20 :] != end[20:]:
            frames += gather(right, 1)
    assert [frame.data for frame in frames][:-1] == matching


def test_extension_headers_are_not_there_for_the_filter_as_they_are_not_in_the_frame(lab: Lab, gather: Gather) -> None:
    options = b"\x11\0\1\4\0\0\0\0"
    datagram = bytes(UDP(sport=1000, dport=9) / b"x")
    with lab.left.entered():
        left = RawIpLink("fd00::1")
    program = compile_filter("udp src port 1000 and ip6[4:2] = 9 and len = 49", LinkType.RAW)
    with lab.right.entered():
        right = RawIpLink("fd00::2", protocol=17, filter=program)
    with left, right:
        left.send([bytes(IPv6(src="fd00::1", dst="fd00::2", next_header=0) / (options + datagram))], 0)
        (frame,) = gather(right, 1)
    assert frame.data[40:] == datagram
    assert program.matches(frame)


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_unfiltered_is_left_from_before_the_filter(lab: Lab, version: int) -> None:
    here, there = ADDRESSES[version]
    noise, wanted = PACKETS[version][4], PACKETS[version][7]
    program = compile_filter("src port 1008", LinkType.RAW)
    stop = threading.Event()
    with lab.left.entered():
        left = RawIpLink(here)

    def flood() -> None:
        while not stop.is_set():
            left.send([noise] * 50 + [wanted], 0)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        received: list[bytes] = []
        for _ in range(40):
            with lab.right.entered():
                right = RawIpLink(there, protocol=17, filter=program)
            with right:
                while not (frames := right.receive(0)):
                    pass
                received += [frame.data for frame in frames]
    finally:
        stop.set()
        thread.join()
        left.close()
    assert set(received) == {wanted}


def test_a_raw_ip_link_refuses_a_filter_for_frames(lab: Lab) -> None:
    with lab.right.entered(), pytest.raises(LinkError, match="'udp' is for ETHERNET, the link needs RAW"):
        RawIpLink("10.0.0.2", filter=compile_filter("udp"))


def test_an_expression_that_no_ipv6_packet_matches_is_told(lab: Lab) -> None:
    with lab.right.entered(), pytest.raises(LinkError, match="rejects all packets"):
        RawIpLink("fd00::2", filter=compile_filter("ip", LinkType.RAW))

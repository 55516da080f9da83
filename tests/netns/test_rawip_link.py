"""RawIpLink on a real veth: what of a handmade header arrives."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.frame import Direction, Frame, LinkType

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
SOURCE4, TARGET4 = socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2")


def ipv4(payload: bytes, *, length: int | None = None, ident: int = 7, checksum: int = 0, source: bytes = SOURCE4,
         first: int = 0x45, protocol: int = 253) -> bytes:  # fmt: skip
    length = 20 + len(payload) if length is None else length
    fields = (first, 0xB9, length, ident, 0x4000, 77, protocol, checksum, source, TARGET4)
    return struct.pack("!BBHHHBBH4s4s", *fields) + payload


def ipv6(payload: bytes, source: str, target: str) -> bytes:
    ends = (socket.inet_pton(socket.AF_INET6, address) for address in (source, target))
    return struct.pack("!IHBB16s16s", 6 << 28 | 0xB9 << 20 | 0x12345, len(payload), 253, 77, *ends) + payload


def links(lab: Lab, left: str, right: str) -> tuple[RawIpLink, RawIpLink]:
    with lab.left.entered():
        sender = RawIpLink(left)
    with lab.right.entered():
        return sender, RawIpLink(right)


def test_ipv4_packets_arrive_as_made_once_the_checksum_is_right(lab: Lab, gather: Gather) -> None:
    sender, receiver = links(lab, "10.0.0.1", "10.0.0.2")
    right = internet_checksum(ipv4(b""), b"") - 4  # the length is 4 more
    packets = [ipv4(bytes([number]) * 4, checksum=right) for number in range(200)]
    with sender, receiver:
        sender.send(packets, 0)
        frames = gather(receiver, 200)
    assert [frame.data for frame in frames] == packets
    assert {frame[2:6] for frame in frames} == {(LinkType.RAW, "veth0", Direction.INBOUND, None)}


def test_the_kernel_overwrites_length_and_checksum_and_fills_id_and_source(lab: Lab, gather: Gather) -> None:
    sender, receiver = links(lab, "10.0.0.1", "10.0.0.2")
    with sender, receiver:
        sender.send([ipv4(b"data", length=999, checksum=0xBAD, ident=0, source=bytes(4))], 0)
        (frame,) = gather(receiver, 1)
    got = struct.unpack("!BBHHHBBH4s4s", frame.data[:20])
    assert got[2] == 24
    assert internet_checksum(frame.data[:20]) == 0
    assert got[8] == SOURCE4
    assert (got[0], got[1], got[4:7], got[9]) == (0x45, 0xB9, (0x4000, 77, 253), TARGET4)


@pytest.mark.parametrize(("left", "right"), [("fd00::1", "fd00::2"), ("fe80::1%veth0", "fe80::2%veth0")])
def test_ipv6_packets_arrive_as_made_though_the_kernel_strips_the_header(gather: Gather, left: str, right: str) -> None:
    bare = left.partition("%")[0], right.partition("%")[0]
    with Lab(addresses=[(f"{bare[0]}/64", f"{bare[1]}/64")]) as lab:
        sender, receiver = links(lab, left, right)
        packets = [ipv6(bytes([number]) * number, *bare) for number in range(100)]
        with sender, receiver:
            sender.send(packets, 0)
            assert [frame.data for frame in gather(receiver, 100)] == packets


@pytest.mark.parametrize("version", [4, 6])
def test_an_open_link_keeps_protocol_unreachable_away(lab: Lab, gather: Gather, version: int) -> None:
    address = {4: "10.0.0.1", 6: "fd00::1"}[version], {4: "10.0.0.2", 6: "fd00::2"}[version]
    packet = ipv4(b"data") if version == 4 else ipv6(b"data", *address)
    sender, receiver = links(lab, *address)
    with lab.left.entered():
        wire = PacketLink("veth0")
    with sender, wire:
        with receiver:
            sender.send([packet], 0)
            gather(receiver, 1)
        sender.send([packet], 0)
        answers = gather(wire, 1)  # of the second packet alone
    # IPv4: ICMP destination unreachable, protocol; IPv6: parameter problem, next header.
    assert len(answers) == 1
    assert answers[0].data[34:36] == b"\x03\x02" if version == 4 else answers[0].data[54:56] == b"\x04\x01"


@pytest.mark.parametrize(
    ("packet", "number", "text"),
    [
        (ipv4(bytes(1481)), errno.EMSGSIZE, "1501 bytes is over the MTU of veth0, 1500 bytes"),
        (ipv4(b"data", first=0x44), errno.EINVAL, "refuses this IP header: 44 b9"),
        (b"short", errno.EINVAL, "no IPv4 packet"),
        (ipv6(b"data", "fd00::1", "fd00::2"), errno.EINVAL, "no IPv4 packet"),
    ],
)
def test_what_can_not_be_sent_is_an_error(lab: Lab, packet: bytes, number: int, text: str) -> None:
    with lab.left.entered():
        sender = RawIpLink("10.0.0.1")
    with sender, pytest.raises(LinkError, match=text) as caught:
        sender.send([packet], 0)
    assert caught.value.errno == number


def test_no_route_is_an_error_that_names_the_destination(lab: Lab) -> None:
    with lab.left.entered():
        sender = RawIpLink("10.0.0.1")
    lost = bytearray(ipv4(b"data"))
    lost[16:20] = socket.inet_aton("192.0.2.1")
    with sender, pytest.raises(LinkError, match=r"192\.0\.2\.1") as caught:
        sender.send([bytes(lost)], 0)
    assert caught.value.errno == errno.ENETUNREACH


def test_an_address_of_nobody_is_refused_and_the_existing_ones_listed(lab: Lab) -> None:
    with (
        lab.left.entered(),
        pytest.raises(LinkError, match=r"no interface has the address 10\.0\.0\.9; .*10\.0\.0\.1 on veth0") as caught,
    ):
        RawIpLink("10.0.0.9")
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_mtu_is_that_of_the_interface_with_the_address(lab: Lab) -> None:
    with lab.left.entered(), RawIpLink("10.0.0.1") as wire, RawIpLink("127.0.0.1") as loopback:
        assert (wire.mtu, wire.interface) == (1500, "veth0")
        assert (loopback.mtu, loopback.interface) == (65536, "lo")
        assert wire.receive_buffer > 0

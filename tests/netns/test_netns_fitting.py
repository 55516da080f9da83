"""FittingLink's fragments, put together again by the kernel at the other end of a real wire."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.fitting import FittingLink
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

PATIENCE = 5.0
ETHERNET = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
ADDRESSES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}


def opened(lab: Lab, kind: str, version: int) -> Link:
    with lab.left.entered():
        return PacketLink("veth0") if kind == "packet" else RawIpLink(ADDRESSES[version][0])


def datagram(kind: str, version: int, payload: bytes) -> bytes:
    source, destination = ADDRESSES[version]
    # An identification of 0 is what a raw socket would overwrite, in each fragment with another one.
    ip = IPv4(src=source, dst=destination, id=0) if version == 4 else IPv6(src=source, dst=destination)
    packet = ip / UDP(sport=1000, dport=9) / payload
    return bytes(ETHERNET / packet if kind == "packet" else packet)


def receiver(lab: Lab, version: int) -> socket.socket:
    with lab.right.entered():
        sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind((ADDRESSES[version][1], 9))
    sock.settimeout(PATIENCE)
    return sock


@pytest.mark.parametrize("size", [1473, 4000, 60_000])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", ["packet", "raw"])
def test_the_kernel_gets_the_datagram_whole(lab: Lab, kind: str, version: int, size: int) -> None:
    payloads = [random.Random(number).randbytes(size) for number in range(5)]
    with FittingLink(opened(lab, kind, version), "fragment") as link, receiver(lab, version) as sock:
        for payload in payloads:
            link.send([datagram(kind, version, payload), datagram(kind, version, b"next")], 0)
            assert [sock.recv(65_536), sock.recv(65_536)] == [payload, b"next"]
        assert (link.fragmented, link.skipped) == (5, 0)


@pytest.mark.parametrize("kind", ["packet", "raw"])
def test_what_is_skipped_never_comes_and_the_rest_does(lab: Lab, kind: str) -> None:
    with FittingLink(opened(lab, kind, 4), "skip") as link, receiver(lab, 4) as sock:
        link.send([datagram(kind, 4, payload) for payload in (b"one", bytes(4000), b"two")], 0)
        assert [sock.recv(65_536) for _ in range(2)] == [b"one", b"two"]
        assert link.skipped == 1


def test_the_largest_frame_that_fits_is_the_one_the_interface_takes() -> None:
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], mtu=600) as lab, ExitStack() as opens:
        link = opens.enter_context(FittingLink(opened(lab, "packet", 4)))
        sock = opens.enter_context(receiver(lab, 4))
        link.send([datagram("packet", 4, bytes(600 - 28))], 0)
        assert len(sock.recv(65_536)) == 600 - 28
        with pytest.raises(LinkError, match="615 bytes is over the MTU of veth0, 600 bytes"):
            link.send([datagram("packet", 4, bytes(601 - 28))], 0)


def test_a_packet_with_don_t_fragment_is_not_fragmented(lab: Lab) -> None:
    packet = bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", flags=IPv4Flags.DF) / UDP(sport=1, dport=9) / bytes(4000))
    with (
        FittingLink(opened(lab, "raw", 4), "fragment") as link,
        pytest.raises(
            LinkError, match=r"4028 bytes is over the MTU of veth0, 1500 bytes: .*don't-fragment is set"
        ) as caught,
    ):
        link.send([packet], 0)
    assert caught.value.errno == errno.EMSGSIZE


class LossyLink(LinkWrapper):
    """Loses the last frame of the first batch."""

    lose = 1

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        lost, self.lose = self.lose, 0
        self.inner.send(frames[: len(frames) - lost], now, peer)


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_of_two_datagrams_are_not_taken_for_one(lab: Lab, version: int) -> None:
    first, second = bytes([1]) * 4000, bytes([2]) * 4000
    inner = LossyLink(opened(lab, "packet", version))
    with FittingLink(inner, "fragment") as link, receiver(lab, version) as sock:
        link.send([datagram("packet", version, first)], 0)
        link.send([datagram("packet", version, second)], 0)
        assert sock.recv(65_536) == second

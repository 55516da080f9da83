"""PacketLink on a real veth."""

from __future__ import annotations

import errno
import gc
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pyroute2 import IPRoute

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.ring import ReceiveRing
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
LEFT, RIGHT = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
HEADER = RIGHT + LEFT + b"\x88\xb5"  # the EtherType for local experiments (IEEE 802)
WAYS: dict[str, dict[str, Any]] = {"ring": {}, "bulk": {"bulk": True}, "calls": {"ring": False}}
"""The ways to receive, as options of PacketLink."""
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def numbered(count: int, size: int = 60) -> list[bytes]:
    return [HEADER + number.to_bytes(4) + bytes(size - len(HEADER) - 4) for number in range(count)]


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[PacketLink, PacketLink]]:
    """Both ends of a wire on which the kernel owns no address."""
    with Lab() as lab, ExitStack() as links:
        with lab.left.entered():
            left = links.enter_context(PacketLink("veth0", **request.param))
        with lab.right.entered():
            right = links.enter_context(PacketLink("veth0", **request.param))
        yield left, right


def test_frames_cross_in_both_directions_unchanged_and_in_order(
    pair: tuple[PacketLink, PacketLink], gather: Gather
) -> None:
    left, right = pair
    for sender, receiver in ((left, right), (right, left)):
        sender.send(numbered(700), 0)
        assert [frame.data for frame in gather(receiver, 700)] == numbered(700)
    assert left.receive(0) == []  # nor does a link hear itself


def test_a_frame_tells_what_the_kernel_knew(pair: tuple[PacketLink, PacketLink], gather: Gather) -> None:
    before = time.time_ns()
    pair[0].send([numbered(1)[0]], 0)
    (frame,) = gather(pair[1], 1)
    assert before <= frame.time_ns <= time.time_ns()
    assert frame == Frame(
        numbered(1)[0], frame.time_ns, LinkType.ETHERNET, "veth0", Direction.INBOUND, None, None,
        ChecksumStatus.UNKNOWN,
    )  # fmt: skip


def test_mtu_and_address_are_the_interface_s() -> None:
    with Lab(mtu=9000) as lab:
        with lab.right.entered():
            right = PacketLink("veth0")
        assert (right.mtu, right.address, right.interface) == (9000, "02:00:00:00:00:02", "veth0")
        right.close()


def test_the_largest_frame_passes_and_one_byte_more_is_refused(
    pair: tuple[PacketLink, PacketLink], gather: Gather
) -> None:
    left, right = pair
    tagged = RIGHT + LEFT + struct.pack("!HH", 0x8100, 5) + bytes(1502)
    left.send([HEADER + bytes(1500), tagged], 0)
    assert [len(frame.data) for frame in gather(right, 2)] == [1514, 1514]
    for oversize in (HEADER + bytes(1501), tagged + b"x"):
        with pytest.raises(LinkError, match=f"{len(oversize)} bytes .* veth0, 1500 bytes") as caught:
            left.send([oversize], 0)
        assert caught.value.errno == errno.EMSGSIZE


def test_a_frame_shorter_than_its_header_is_refused(pair: tuple[PacketLink, PacketLink]) -> None:
    with pytest.raises(LinkError, match="13 bytes is shorter than an Ethernet header"):
        pair[0].send([bytes(13)], 0)


def test_vlan_tags_come_back(pair: tuple[PacketLink, PacketLink], gather: Gather) -> None:
    customer = RIGHT + LEFT + struct.pack("!HHH", 0x8100, 0xA005, 0x88B5) + b"customer"
    provider = RIGHT + LEFT + struct.pack("!HHH", 0x88A8, 0x0007, 0x88B5) + b"provider"
    pair[0].send([customer, provider], 0)
    first, second = gather(pair[1], 2)
    assert (first.data, first.vlan_tci) == (HEADER + b"customer", 0xA005)
    assert (second.data, second.vlan_tci) == (provider, None)


@ways
@pytest.mark.parametrize(("offloads", "status"), [(True, ChecksumStatus.OFFLOADED), (False, ChecksumStatus.UNKNOWN)])
def test_a_checksum_left_to_hardware_is_told_apart(
    gather: Gather, way: dict[str, Any], offloads: bool, status: ChecksumStatus
) -> None:
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], offloads=offloads) as lab:
        with lab.right.entered():
            right = PacketLink("veth0", **way)
        with lab.left.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", ("10.0.0.2", 9))
        with right:
            assert [frame.checksum for frame in gather(right, 1)] == [status]


@ways
def test_a_super_frame_is_cut_and_says_so_or_comes_whole(gather: Gather, way: dict[str, Any]) -> None:
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], offloads=True) as lab:
        with lab.right.entered():
            right = PacketLink("veth0", **way)
        with lab.left.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendmsg([bytes(14000)], [(socket.IPPROTO_UDP, 103, struct.pack("@H", 1400))], 0, ("10.0.0.2", 9))
        with right:
            (frame,) = gather(right, 1)
    assert frame.wire_length == 14 + 20 + 8 + 14000
    if way == WAYS["bulk"]:
        assert len(frame.data) == frame.wire_length
    else:
        assert 1514 <= len(frame.data) < 14000


def test_the_ring_wraps_without_losing_or_mixing_frames(gather: Gather) -> None:
    with Lab() as lab:
        with lab.left.entered():
            left = PacketLink("veth0")
        with lab.right.entered():
            right = PacketLink("veth0", ring_size=1, batch=50)
        with left, right:
            assert isinstance(right.ring, ReceiveRing)
            total = 3 * right.ring.slots + 7
            sent = numbered(total)
            got: list[bytes] = []
            for start in range(0, total, 100):
                chunk = sent[start : start + 100]
                left.send(chunk, 0)
                got += [frame.data for frame in gather(right, len(chunk))]
            assert got == sent
            assert right.drops() == 0


def test_frames_do_not_change_when_the_ring_is_written_over(gather: Gather) -> None:
    with Lab() as lab:
        with lab.left.entered():
            left = PacketLink("veth0")
        with lab.right.entered():
            right = PacketLink("veth0", ring_size=1)
        with left, right:
            assert isinstance(right.ring, ReceiveRing)
            left.send(numbered(1), 0)
            kept = gather(right, 1)
            for _ in range(3):
                left.send([HEADER + b"\xff" * 1000] * (right.ring.slots // 2), 0)
                gather(right, right.ring.slots // 2)
            assert [frame.data for frame in kept] == numbered(1)


def test_drops_add_up_over_several_readings(gather: Gather, until: Callable[[Callable[[], bool]], None]) -> None:
    with Lab() as lab:
        with lab.left.entered():
            left = PacketLink("veth0")
        with lab.right.entered():
            right = PacketLink("veth0", ring_size=1)
        with left, right:
            assert isinstance(right.ring, ReceiveRing)
            slots = right.ring.slots
            left.send(numbered(slots + 50), 0)
            until(lambda: right.drops() >= 50)
            assert right.drops() == 50
            assert [frame.data for frame in gather(right, slots)] == numbered(slots)
            left.send(numbered(slots + 3), 0)
            until(lambda: right.drops() >= 53)
            assert right.drops() == 53


@ways
def test_outgoing_frames_are_shown_on_demand(gather: Gather, way: dict[str, Any]) -> None:
    with Lab() as lab:
        with lab.left.entered():
            left, watcher = PacketLink("veth0"), PacketLink("veth0", outgoing=True, **way)
        with left, watcher:
            left.send(numbered(1), 0)
            assert [frame.direction for frame in gather(watcher, 1)] == [Direction.OUTBOUND]


def test_the_card_is_promiscuous_only_on_demand_and_only_while_open() -> None:
    def level() -> int:
        with IPRoute() as netlink:
            (link,) = netlink.link("get", ifname="veth0")
            return int(link.get_attr("IFLA_PROMISCUITY"))

    with Lab() as lab, lab.left.entered():
        with PacketLink("veth0"):
            assert level() == 0
        with PacketLink("veth0", promiscuous=True):
            assert level() == 1
        assert level() == 0


def test_a_filter_holds_from_the_first_frame_on(gather: Gather) -> None:
    # ldb [17]; jeq #3, accept, drop: the number in the frame is 3
    steps = ((0x30, 0, 0, 17), (0x15, 0, 1, 3), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
    program = b"".join(struct.pack("@HBBI", *step) for step in steps)
    with Lab() as lab:
        with lab.left.entered():
            left = PacketLink("veth0")
        with lab.right.entered():
            right = PacketLink("veth0", bpf=program)
        with left, right:
            left.send(numbered(10), 0)
            assert [frame.data for frame in gather(right, 1)] == [numbered(4)[3]]
            assert right.receive(0) == []


def test_loopback_frames_are_seen_once(gather: Gather) -> None:
    with Lab() as lab:
        with lab.left.entered():
            link = PacketLink("lo")
        with link:
            link.send([bytes(12) + b"\x88\xb5once"], 0)
            assert [frame.data[14:] for frame in gather(link, 1)] == [b"once"]
            assert link.receive(0) == []


def test_a_full_queue_makes_send_wait_and_loses_nothing(gather: Gather) -> None:
    with Lab() as lab:
        with lab.left.entered():
            with IPRoute() as netlink:
                index = netlink.link_lookup(ifname="veth0")[0]
                netlink.link("set", index=index, txqlen=2)
                netlink.tc("add", "tbf", index, 0x10000, rate="100mbit", burst=2048, limit=4096)
            left = PacketLink("veth0")
        with lab.right.entered():
            right = PacketLink("veth0")
        with left, right:
            sent = numbered(100, 1000)
            left.send(sent, 0)
            assert [frame.data for frame in gather(right, 100)] == sent


def test_an_unknown_interface_is_named_with_those_that_exist() -> None:
    with pytest.raises(LinkError, match=r"no interface 'nowhere0'; there are: .*lo") as caught:
        PacketLink("nowhere0")
    assert caught.value.errno == errno.ENODEV


def test_an_interface_that_is_down_is_refused_and_one_that_goes_down_is_told() -> None:
    with Lab() as lab, lab.left.entered():
        link = PacketLink("veth0")
        with IPRoute() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname="veth0")[0], state="down")
        with link, pytest.raises(LinkError, match="veth0 went down: ip link set veth0 up"):
            link.receive(0)
        with pytest.raises(LinkError, match="veth0 is down: ip link set veth0 up") as caught:
            PacketLink("veth0")
        assert caught.value.errno == errno.ENETDOWN


@ways
def test_a_closed_link_says_so(way: dict[str, Any]) -> None:
    with Lab() as lab:
        with lab.left.entered():
            link = PacketLink("veth0", **way)
        link.send(numbered(10), 0)
        link.close()
        for attempt in (
            lambda: link.receive(0),
            lambda: link.send(numbered(1), 0),
            lambda: link.send(numbered(20), 0),
            lambda: link.send_block(bytes(20_000), 1000, 0),
        ):
            with pytest.raises(LinkError, match="the link on veth0 is closed") as caught:
                attempt()
            assert caught.value.errno == errno.EBADF


def test_close_gives_everything_back_and_may_be_repeated() -> None:
    with Lab() as lab:
        with lab.left.entered():
            link = PacketLink("veth0")
        link.close()
        link.close()
        assert link.fileno() == -1
        del link
        gc.collect()


def test_without_the_capability_the_error_says_how_to_get_it(run_as_nobody: Callable[[str], str]) -> None:
    program = """
try:
    PacketLink("lo")
except PermissionError as error:
    print(type(error).__name__, error.errno, error.strerror)
"""
    told = run_as_nobody(program)
    assert told.startswith(f"PrivilegeError {errno.EPERM} ")
    for word in ("CAP_NET_RAW", "sudo", "setcap cap_net_raw+ep", "unshare -Urn"):
        assert word in told

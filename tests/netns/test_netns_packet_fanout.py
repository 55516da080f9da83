"""Several PacketLinks share what comes in, each frame going to one of them; on a real veth."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.netns import Lab
from rawproto.link.packet import FanoutMode, PacketLink
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Until = Callable[[Callable[[], bool]], None]
FLOWS, ROUNDS = 40, 10


def flow(number: int, round_: int) -> bytes:
    ethernet = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
    datagram = UDP(sport=1000 + number, dport=9) / round_.to_bytes(4)
    return bytes(ethernet / IPv4(src="10.0.0.1", dst="10.0.0.2") / datagram)


TRAFFIC = [flow(number, round_) for round_ in range(ROUNDS) for number in range(FLOWS)]


@pytest.fixture
def wire() -> Iterator[tuple[Lab, PacketLink]]:
    with Lab() as lab, ExitStack() as links:
        with lab.left.entered():
            left = links.enter_context(PacketLink("veth0"))
        yield lab, left


def receive(links: list[PacketLink], count: int, until: Until) -> list[list[Frame]]:
    """What each link gets, `count` frames in all."""
    got: list[list[Frame]] = [[] for _ in links]

    def all_came() -> bool:
        for link, frames in zip(links, got, strict=True):
            frames.extend(link.receive(0))
        return sum(map(len, got)) >= count

    until(all_came)
    all_came()  # whatever comes too much
    return got


@pytest.mark.parametrize("way", [{}, {"bulk": True}, {"ring": False}], ids=["ring", "bulk", "calls"])
def test_flows_are_shared_out_and_nothing_is_lost_or_doubled(
    wire: tuple[Lab, PacketLink], until: Until, way: dict[str, Any]
) -> None:
    lab, left = wire
    with lab.right.entered(), ExitStack() as opened:
        links = [opened.enter_context(PacketLink("veth0", fanout=7, **way)) for _ in range(2)]
        left.send(TRAFFIC, 0)
        got = receive(links, len(TRAFFIC), until)
        assert sorted(frame.data for frames in got for frame in frames) == sorted(TRAFFIC)
        assert all(got)
        rounds: dict[int, list[int]] = defaultdict(list)
        owners: dict[int, set[int]] = defaultdict(set)
        for number, frames in enumerate(got):
            for frame in frames:
                datagram = Packet.parse(frame)
                port = datagram[UDP].sport
                assert isinstance(port, int)
                owners[port].add(number)
                rounds[port].append(int.from_bytes(datagram.payload))
        assert all(len(links) == 1 for links in owners.values())  # a flow stays with its link,
        assert set(map(tuple, rounds.values())) == {tuple(range(ROUNDS))}  # and in order
        assert [link.drops() for link in links] == [0, 0]


def test_round_robin_gives_each_the_same_number(wire: tuple[Lab, PacketLink], until: Until) -> None:
    lab, left = wire
    with lab.right.entered(), ExitStack() as opened:
        options: dict[str, Any] = {"fanout": 7, "fanout_mode": FanoutMode.ROUND_ROBIN}
        links = [opened.enter_context(PacketLink("veth0", **options)) for _ in range(4)]
        left.send(TRAFFIC, 0)
        got = receive(links, len(TRAFFIC), until)
        assert [len(frames) for frames in got] == [len(TRAFFIC) // 4] * 4


def test_rollover_fills_one_link_before_the_next(wire: tuple[Lab, PacketLink], until: Until) -> None:
    lab, left = wire
    with lab.right.entered(), ExitStack() as opened:
        options: dict[str, Any] = {"fanout": 7, "fanout_mode": FanoutMode.ROLLOVER, "ring_size": 1}
        links = [opened.enter_context(PacketLink("veth0", **options)) for _ in range(2)]
        first = links[0].ring
        assert first is not None
        left.send(TRAFFIC, 0)
        got = receive(links, len(TRAFFIC), until)
        assert sorted(frame.data for frames in got for frame in frames) == sorted(TRAFFIC)
        assert len(got[0]) > len(got[1]) > 0


@pytest.mark.parametrize("mode", list(FanoutMode))
def test_each_mode_gives_each_frame_once(wire: tuple[Lab, PacketLink], until: Until, mode: FanoutMode) -> None:
    lab, left = wire
    with lab.right.entered(), ExitStack() as opened:
        links = [opened.enter_context(PacketLink("veth0", fanout=1, fanout_mode=mode)) for _ in range(3)]
        left.send(TRAFFIC, 0)
        got = receive(links, len(TRAFFIC), until)
        assert sorted(frame.data for frames in got for frame in frames) == sorted(TRAFFIC)


def test_links_outside_the_group_and_other_groups_get_all(wire: tuple[Lab, PacketLink], until: Until) -> None:
    lab, left = wire
    with lab.right.entered(), ExitStack() as opened:
        links = [opened.enter_context(PacketLink("veth0", fanout=group)) for group in (0, 65535, None)]
        left.send(TRAFFIC, 0)
        for frames in receive(links, 3 * len(TRAFFIC), until):
            assert [frame.data for frame in frames] == TRAFFIC


@pytest.mark.parametrize("outgoing", [False, True])
def test_a_group_hears_what_this_host_sends_only_on_demand(
    wire: tuple[Lab, PacketLink], until: Until, outgoing: bool
) -> None:
    lab, left = wire
    with lab.left.entered(), PacketLink("veth0", fanout=5, outgoing=outgoing) as watcher:
        left.send(TRAFFIC[:10], 0)
        with lab.right.entered(), PacketLink("veth0") as right:
            right.send(TRAFFIC[10:11], 0)
        expected = TRAFFIC[:11] if outgoing else TRAFFIC[10:11]
        assert [frame.data for frame in receive([watcher], len(expected), until)[0]] == expected


def test_a_link_that_leaves_hands_its_flows_to_the_others(wire: tuple[Lab, PacketLink], until: Until) -> None:
    lab, left = wire
    with lab.right.entered(), PacketLink("veth0", fanout=7) as stays:
        with PacketLink("veth0", fanout=7):
            pass
        left.send(TRAFFIC, 0)
        assert [frame.data for frame in receive([stays], len(TRAFFIC), until)[0]] == TRAFFIC


def test_a_group_of_another_kind_is_refused_with_the_reason(wire: tuple[Lab, PacketLink]) -> None:
    with wire[0].right.entered(), PacketLink("veth0", fanout=7):
        for other in ({"fanout_mode": FanoutMode.CPU}, {"outgoing": True}, {"ethertype": 0x0800}):
            with pytest.raises(LinkError, match="fanout group 7 does not take this link: all of a group") as caught:
                PacketLink("veth0", fanout=7, **other)
            assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("group", [-1, 65536])
def test_a_group_number_that_can_t_be_is_refused(wire: tuple[Lab, PacketLink], group: int) -> None:
    with wire[0].right.entered(), pytest.raises(LinkError, match=f"no fanout group {group}: give 0 to 65535"):
        PacketLink("veth0", fanout=group)

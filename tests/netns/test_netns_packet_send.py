"""PacketLink sends many frames at once, and says which of them could not be sent; on a real veth."""

from __future__ import annotations

import errno
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from pyroute2 import IPRoute

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
HEADER = bytes.fromhex("020000000002020000000001") + b"\x88\xb5"  # the EtherType for local experiments (IEEE 802)


def numbered(count: int, size: int = 60) -> list[bytes]:
    return [HEADER + number.to_bytes(4) + bytes(size - len(HEADER) - 4) for number in range(count)]


def slow_queue(limit: int = 4096) -> None:
    """Give the interface of this thread's namespace a short queue that empties slowly."""
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname="veth0")[0]
        netlink.link("set", index=index, txqlen=2)
        netlink.tc("add", "tbf", index, 0x10000, rate="100mbit", burst=2048, limit=limit)


@pytest.fixture
def pair() -> Iterator[tuple[Lab, PacketLink, PacketLink]]:
    """Both ends of a wire on which the kernel owns no address."""
    with Lab() as lab, ExitStack() as links:
        with lab.left.entered():
            left = links.enter_context(PacketLink("veth0"))
        with lab.right.entered():
            right = links.enter_context(PacketLink("veth0", bulk=True))
        yield lab, left, right


Pair = tuple[Lab, PacketLink, PacketLink]


@pytest.mark.parametrize("count", [1, 2, 1023, 1024, 1025, 3000])
def test_a_block_arrives_frame_by_frame_and_in_order(pair: Pair, gather: Gather, count: int) -> None:
    _, left, right = pair
    left.send_block(b"".join(numbered(count)), 60, 0)
    assert [frame.data for frame in gather(right, count)] == numbered(count)
    assert right.receive(0) == []


def test_a_block_may_lie_in_any_kind_of_memory(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    block = b"".join(numbered(10))
    spread = bytearray(2 * len(block))
    spread[::2] = block
    for memory in (bytearray(block), memoryview(block), memoryview(bytearray(block)), memoryview(spread)[::2]):
        left.send_block(memory, 60, 0)
        assert [frame.data for frame in gather(right, 10)] == numbered(10)


def test_a_buffer_that_is_filled_anew_is_sent_anew(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    buffer = bytearray(b"".join(numbered(20)))
    for number, count, size in ((1, 20, 60), (2, 20, 60), (3, 5, 60), (4, 20, 60), (5, 15, 80), (6, 20, 60)):
        buffer[20:] = bytes([number]) * (len(buffer) - 20)
        for start in range(0, len(buffer), size):
            buffer[start : start + 14] = HEADER
        left.send_block(memoryview(buffer)[: count * size], size, 0)
        expected = [bytes(buffer[start : start + size]) for start in range(0, count * size, size)]
        assert [frame.data for frame in gather(right, count)] == expected
    buffer += b"x"  # nothing holds the buffer any more


def test_lists_and_blocks_may_take_turns(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    uneven = [frame[: 20 + number] for number, frame in enumerate(numbered(40))]
    block = b"".join(numbered(40))
    for _ in range(3):
        left.send_block(block, 60, 0)
        left.send(uneven, 0)
    assert [frame.data for frame in gather(right, 240)] == (numbered(40) + uneven) * 3


def test_frames_may_be_any_kind_of_bytes(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    mixed = [kind(frame) for kind in (bytes, bytearray, memoryview) for frame in numbered(3)]
    left.send(mixed * 2, 0)
    left.send(mixed[2:4], 0)
    expected = numbered(3) * 3
    assert [frame.data for frame in gather(right, 20)] == expected * 2 + expected[2:4]


def test_an_empty_block_is_nothing(pair: Pair) -> None:
    _, left, right = pair
    left.send_block(b"", 60, 0)
    left.send([], 0)
    assert right.receive(0) == []


@pytest.mark.parametrize(("size", "stride"), [(100, 60), (60, 0), (60, -60), (60, 61)])
def test_a_block_that_is_not_whole_frames_is_refused(pair: Pair, size: int, stride: int) -> None:
    with pytest.raises(LinkError, match=rf"block of {size} bytes is not a whole number of frames of {stride} bytes"):
        pair[1].send_block(bytes(size), stride, 0)


@pytest.mark.parametrize(("before", "after"), [(0, 2), (1, 1), (2, 0), (0, 19), (15, 4), (19, 0), (1500, 3)])
def test_a_frame_over_the_mtu_is_named_and_those_before_it_were_sent(
    pair: Pair, gather: Gather, before: int, after: int
) -> None:
    _, left, right = pair
    sent = [*numbered(before), HEADER + bytes(1501), *numbered(after)]
    with pytest.raises(LinkError) as caught:
        left.send(sent, 0)
    assert caught.value.errno == errno.EMSGSIZE
    text = f"frame {before + 1} of {before + 1 + after}: a frame of 1515 bytes is over the MTU of veth0"
    assert str(caught.value.strerror).startswith(text)
    assert [frame.data for frame in gather(right, before)] == numbered(before)
    assert right.receive(0) == []
    left.send(numbered(1), 0)  # and it goes on
    assert len(gather(right, 1)) == 1


def test_a_block_over_the_mtu_is_refused(pair: Pair) -> None:
    with pytest.raises(LinkError, match="frame 1 of 2: a frame of 1515 bytes is over the MTU") as caught:
        pair[1].send_block((HEADER + bytes(1501)) * 2, 1515, 0)
    assert caught.value.errno == errno.EMSGSIZE


def test_frames_that_are_too_short_are_refused_and_named(pair: Pair) -> None:
    with pytest.raises(LinkError, match="frame 16 of 17: a frame of 13 bytes is shorter than an Ethernet header"):
        pair[1].send([*numbered(15), bytes(13), numbered(1)[0]], 0)
    with pytest.raises(LinkError, match="frame 1 of 3: a frame of 13 bytes is shorter than an Ethernet header"):
        pair[1].send_block(bytes(39), 13, 0)


@pytest.mark.parametrize("way", ["list", "block"])
@pytest.mark.parametrize("bypass", [False, True], ids=["queue", "bypass"])
def test_a_full_queue_makes_a_burst_wait_and_loses_nothing(gather: Gather, way: str, bypass: bool) -> None:
    with Lab() as lab:
        with lab.left.entered():
            slow_queue()
            left = PacketLink("veth0", qdisc_bypass=bypass)
        with lab.right.entered():
            right = PacketLink("veth0", bulk=True)
        with left, right:
            sent = numbered(100, 1000)
            if way == "list":
                left.send(sent, 0)
            else:
                left.send_block(b"".join(sent), 1000, 0)
            assert [frame.data for frame in gather(right, 100)] == sent


def test_a_queue_that_takes_nothing_is_an_error_that_says_where_it_stopped(
    pair: Pair, gather: Gather, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, left, right = pair
    monkeypatch.setattr("rawproto.link._wait._PATIENCE_MS", 5)
    with lab.left.entered():
        slow_queue(limit=1500)  # room for one frame, which has to wait for its turn
        with IPRoute() as netlink:
            index = netlink.link_lookup(ifname="veth0")[0]
            netlink.tc("change", "tbf", index, 0x10000, rate="8kbit", burst=2048, limit=1500)
    with pytest.raises(LinkError, match=r"frame (\d+) of 20: veth0 took no frame for a second") as caught:
        left.send(numbered(20, 1000), 0)
    assert caught.value.errno == errno.ENOBUFS
    first = int(str(caught.value.strerror).split()[1])
    assert 2 <= first <= 5
    got = [frame.data for frame in gather(right, first - 2)]
    assert got == numbered(first - 2, 1000)


def test_an_interface_that_went_down_stops_a_burst(pair: Pair) -> None:
    lab, left, _ = pair
    with lab.left.entered(), IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname="veth0")[0], state="down")
    with pytest.raises(LinkError, match="frame 1 of 20: interface veth0 went down"):
        left.send(numbered(20), 0)


def test_two_threads_may_send_through_one_link(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    rounds, count = 20, 500
    blocks = {mark: b"".join(HEADER + bytes([mark]) * (size - 14) for _ in range(count)) for mark, size in SIZES}

    def flood(mark: int, size: int) -> None:
        for _ in range(rounds):
            left.send_block(blocks[mark], size, 0)

    threads = [threading.Thread(target=flood, args=one) for one in SIZES]
    for thread in threads:
        thread.start()
    got = Counter(frame.data for frame in gather(right, 2 * rounds * count))
    for thread in threads:
        thread.join()
    assert got == {HEADER + bytes([mark]) * (size - 14): rounds * count for mark, size in SIZES}


SIZES = ((1, 60), (2, 90))


def test_a_sender_past_the_queue_is_not_seen_on_its_own_host(pair: Pair, gather: Gather) -> None:
    lab, _, right = pair
    with lab.left.entered(), PacketLink("veth0", outgoing=True) as watcher:
        for bypass in (True, False):
            with PacketLink("veth0", qdisc_bypass=bypass) as sender:
                sender.send(numbered(10), 0)
            assert len(gather(right, 10)) == 10
            assert len(watcher.receive(0)) == (0 if bypass else 10)


def set_mtu(mtu: int) -> None:
    """Of the interface of this thread's namespace."""
    with IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname="veth0")[0], mtu=mtu)


def test_the_mtu_of_now_counts_not_that_of_the_beginning(pair: Pair, gather: Gather) -> None:
    lab, left, _ = pair
    with lab.right.entered():
        right = PacketLink("veth0", ethertype=0x88B5)  # an interface whose MTU changes sends IPv6 of its own
    left.send(numbered(20, 1000), 0)
    with lab.left.entered():
        set_mtu(900)
    with pytest.raises(LinkError, match="frame 1 of 20: a frame of 1000 bytes is over the MTU of veth0, 900 bytes"):
        left.send(numbered(20, 1000), 0)
    left.send(numbered(20, 914), 0)
    for namespace in (lab.left, lab.right):
        with namespace.entered():
            set_mtu(3000)
    left.send(numbered(20, 3014), 0)
    with right:
        assert [frame.wire_length for frame in gather(right, 60)] == [1000] * 20 + [914] * 20 + [3014] * 20


def test_a_tag_excuses_four_bytes_in_a_burst_too(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    tagged = HEADER[:12] + b"\x81\x00\x00\x05" + HEADER[12:14] + bytes(1500)
    left.send([*numbered(10), *[tagged] * 20, *numbered(10)], 0)
    assert [len(frame.data) for frame in gather(right, 40)] == [60] * 10 + [1514] * 20 + [60] * 10


def test_small_and_large_bursts_take_turns_in_order(
    pair: Pair, gather: Gather, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, left, right = pair
    monkeypatch.setattr(left, "_send_each", None)  # all go through the ring
    sent = []
    for size in (60, 214, 215, 1514, 60, 300, 1514, 100):
        burst = numbered(700, size)
        left.send(burst, 0)
        sent += burst
    assert [frame.data for frame in gather(right, len(sent))] == sent


def test_a_burst_through_loopback_is_seen_once(pair: Pair, gather: Gather) -> None:
    with pair[0].left.entered(), PacketLink("lo") as link:
        sent = numbered(300) + numbered(20, 60_000)
        link.send(sent, 0)
        assert [frame.data for frame in gather(link, 320)] == sent
        assert link.receive(0) == []


@pytest.mark.parametrize("offloads", [False, True])
def test_what_waits_in_a_socket_is_not_written_over_by_later_bursts(offloads: bool) -> None:
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], offloads=offloads) as lab:
        with lab.right.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with lab.left.entered():
            left = PacketLink("veth0")
        with receiver, left:
            receiver.setsockopt(socket.SOL_SOCKET, sockopt.SO_RCVBUFFORCE, 64 << 20)
            receiver.bind(("10.0.0.2", 9))
            receiver.settimeout(3)
            ethernet = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
            packet = ethernet / IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=9)
            payloads = [number.to_bytes(4) * (1 + number % 300) for number in range(3000)]
            left.send([bytes(packet / payload) for payload in payloads], 0)
            assert [receiver.recv(2000) for _ in payloads] == payloads


def test_frames_that_wait_in_a_queue_are_not_written_over(pair: Pair, gather: Gather) -> None:
    lab, left, right = pair
    with lab.left.entered():
        slow_queue(limit=10 << 20)
    sent = numbered(3000, 200)
    left.send(sent, 0)
    assert [frame.data for frame in gather(right, 3000)] == sent


class Interrupted:
    """A socket during whose next call the user presses Ctrl-C, before or after the kernel has done it."""

    def __init__(self, real: socket.socket, *, after: bool) -> None:
        self.real = real
        self.after = after

    def send(self, data: bytes) -> int:
        if self.after:
            self.real.send(data)
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_burst_leaves_the_ring_in_step(
    pair: Pair, gather: Gather, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    _, left, right = pair
    sender = left._sender
    assert sender is not None
    left.send(numbered(100), 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sender, "_socket", Interrupted(sender._socket, after=after))
        left.send(numbered(50, 70), 0)
    for _ in range(30):
        left.send(numbered(100, 80), 0)
    expected = numbered(100) + (numbered(50, 70) if after else []) + numbered(100, 80) * 30
    assert [frame.data for frame in gather(right, len(expected))] == expected
    assert right.receive(0) == []


def test_after_a_refusal_the_ring_is_used_again(pair: Pair, gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    _, left, right = pair
    with pytest.raises(LinkError, match="frame 16 of 20"):
        left.send([*numbered(15), bytes(13), *numbered(4)], 0)
    monkeypatch.setattr(left, "_send_each", None)
    left.send(numbered(2000), 0)
    assert [frame.data for frame in gather(right, 2015)] == numbered(15) + numbered(2000)


def test_slots_that_are_still_being_sent_are_left_alone(pair: Pair, gather: Gather) -> None:
    _, left, right = pair
    left.send(numbered(20), 0)
    sender = left._sender
    assert sender is not None
    slot, states = sender._slot, slice(sender._next * sender._slot, None, sender._slot)
    sender._memory[states] = b"\2" * len(sender._memory[states])
    before = sender._memory[sender._next * slot :]
    left.send(numbered(300), 0)
    assert sender._memory[sender._next * slot :] == before
    sender._memory[states] = bytes(len(sender._memory[states]))
    left.send(numbered(300), 0)
    assert sender._memory[sender._next * slot :] != before
    assert [frame.data for frame in gather(right, 620)] == numbered(20) + numbered(300) * 2


def test_without_a_ring_all_can_be_sent_just_as_well(gather: Gather) -> None:
    with Lab() as lab:
        with lab.left.entered():
            left = PacketLink("veth0", ring=False)
        with lab.right.entered():
            right = PacketLink("veth0")
        with left, right:
            left.send(numbered(50), 0)
            left.send_block(b"".join(numbered(50)), 60, 0)
            with pytest.raises(LinkError, match="frame 16 of 17: a frame of 1515 bytes is over the MTU"):
                left.send([*numbered(15), bytes(1515), b""], 0)
            assert [frame.data for frame in gather(right, 115)] == numbered(50) * 2 + numbered(15)


def test_frames_without_a_byte_are_refused_however_many_there_are(lab: Lab) -> None:
    with lab.left.entered():
        link = PacketLink("veth0")
    with link:
        for count in (1, 20):
            with pytest.raises(LinkError) as caught:
                link.send([b""] * count, 0)
            assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"ethertype": 99999}])
def test_settings_that_can_not_be_are_refused(lab: Lab, wrong: dict[str, int]) -> None:
    with lab.left.entered(), pytest.raises(LinkError, match=f"{min(wrong)} {wrong[min(wrong)]} is not"):
        PacketLink("veth0", **wrong)  # type: ignore[arg-type]
    with pytest.raises(LinkError, match="no interface"):
        PacketLink("a\0b")

"""What PacketLink's ways to receive have in common, and what the ring of blocks adds; on a real veth."""

from __future__ import annotations

import gc
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from pyroute2 import IPRoute

from rawproto.errors import LinkError
from rawproto.link import blockring, ring
from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.wire.frame import Direction, Frame

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
MACS = bytes.fromhex("020000000002020000000001")
HEADER = MACS + b"\x88\xb5"  # the EtherType for local experiments (IEEE 802)
NUMBER_AT = 14


def numbered(count: int, size: int = 60) -> list[bytes]:
    return [HEADER + number.to_bytes(4) + bytes(size - len(HEADER) - 4) for number in range(count)]


def tagged(number: int, payload: bytes) -> bytes:
    """A frame with a provider's tag (802.1ad)."""
    return MACS + struct.pack("!HHH", 0x88A8, number, 0x88B5) + payload


def program(*steps: tuple[int, int, int, int]) -> bytes:
    """A filter, as an array of `struct sock_filter`."""
    return b"".join(struct.pack("@HBBI", *step) for step in steps)


def promiscuity() -> int:
    """How often the interface of this thread's namespace was asked to be promiscuous."""
    with IPRoute() as netlink:
        (link,) = netlink.link("get", ifname="veth0")
        return int(link.get_attr("IFLA_PROMISCUITY"))


@pytest.fixture
def wire() -> Iterator[tuple[Lab, PacketLink]]:
    """A wire on which the kernel owns no address, and its left end."""
    with Lab() as lab, ExitStack() as links:
        with lab.left.entered():
            left = links.enter_context(PacketLink("veth0"))
        yield lab, left


def test_all_ways_to_receive_tell_the_same(wire: tuple[Lab, PacketLink], gather: Gather) -> None:
    lab, left = wire
    customer = MACS + struct.pack("!HHH", 0x8100, 0xA005, 0x88B5) + b"customer"
    provider = tagged(7, b"provider")
    stacked = MACS + struct.pack("!HHHHH", 0x88A8, 0x0007, 0x8100, 0x0005, 0x88B5) + b"both"
    stranger = bytes.fromhex("020000000009") + HEADER[6:] + b"to somebody else"
    everybody = bytes.fromhex("ffffffffffff") + HEADER[6:] + b"to all"
    sizes = [HEADER + bytes(size) for size in (0, 1, 46, 1500)]
    sent = [customer, provider, stacked, customer, stranger, everybody, *sizes, *numbered(100)]
    with lab.right.entered(), ExitStack() as opened:
        links = [PacketLink("veth0", **way) for way in ({}, {"bulk": True}, {"ring": False})]
        for link in links:
            opened.enter_context(link)
        before = time.time_ns()
        left.send(sent, 0)
        after = time.time_ns()
        slots, blocks, calls = (gather(link, len(sent)) for link in links)
        read = time.time_ns()  # without a ring the first ones may be stamped only then
    for frames, until in ((slots, after), (blocks, after), (calls, read)):
        assert [frame._replace(time_ns=0) for frame in frames] == [frame._replace(time_ns=0) for frame in slots]
        times = [frame.time_ns for frame in frames]
        assert before <= times[0] and times[-1] <= until and times == sorted(times)
    assert (slots[0].data, slots[0].vlan_tci) == (HEADER + b"customer", 0xA005)
    assert (slots[1].data, slots[1].vlan_tci) == (provider, None)
    assert (slots[2].data, slots[2].vlan_tci) == (stacked, None)
    assert (slots[3].data, slots[3].vlan_tci) == (HEADER + b"customer", 0xA005)
    assert [(frame.data, frame.vlan_tci) for frame in slots[4:]] == [(data, None) for data in sent[4:]]
    assert {frame.direction for frame in slots} == {Direction.INBOUND}
    assert {frame.original_length for frame in slots} == {None}


def test_a_frame_cut_by_a_filter_tells_its_true_length(wire: tuple[Lab, PacketLink], gather: Gather) -> None:
    lab, left = wire
    keep = program((0x06, 0, 0, 40))  # ret #40
    provider = tagged(7, bytes(100))
    with lab.right.entered(), ExitStack() as opened:
        for way in ({}, {"bulk": True}, {"ring": False}):
            link = opened.enter_context(PacketLink("veth0", bpf=keep, **way))
            left.send(numbered(30, 1000), 0)
            got = gather(link, 30)
            assert [frame.data for frame in got] == [data[:40] for data in numbered(30, 1000)]
            assert {frame.original_length for frame in got} == {1000}
            left.send([provider], 0)
            (frame,) = gather(link, 1)
            # The filter sees the frame without the tag, which then comes back.
            assert (frame.data, frame.original_length) == (provider[:44], len(provider))


@pytest.mark.parametrize("size", [60, 1514], ids=["small", "large"])
def test_the_ring_of_blocks_wraps_without_losing_or_mixing_frames(
    wire: tuple[Lab, PacketLink], gather: Gather, size: int
) -> None:
    lab, left = wire
    with lab.right.entered(), PacketLink("veth0", bulk=True, ring_size=4 << 20, batch=50) as right:
        assert right.ring is not None
        total = right.ring.size // (size + 60)  # one and a half rounds, with the headers
        total += total // 2
        sent, got = numbered(total, size), []
        for start in range(0, total, 500):
            chunk = sent[start : start + 500]
            left.send(chunk, 0)
            got += [frame.data for frame in gather(right, len(chunk))]
        assert got == sent
        assert right.drops() == 0


def even_but(**special: bytes) -> list[bytes]:
    """Frames that are alike, but for some."""
    sent = numbered(200)
    for name, frame in special.items():
        sent[int(name.removeprefix("at"))] = frame
    return sent


@pytest.mark.parametrize(
    "sent",
    [
        even_but(),
        even_but(at50=tagged(7, bytes(42))),  # as long as the others
        even_but(at20=HEADER + b"8 bytes longer".ljust(54), at70=HEADER + b"8 bytes shorter".ljust(38)),
        even_but(at0=tagged(7, bytes(42)), at199=tagged(8, bytes(42))),
        [tagged(number, bytes(42)) for number in range(200)],
        [frame + bytes(number * 37 % 900) for number, frame in enumerate(numbered(200))],
        [HEADER + bytes(size) for size in [1500] * 20 + [20] * 180 + [1500]],
    ],
    ids=[
        "even",
        "one tagged",
        "two even out",
        "tagged at both ends",
        "all tagged",
        "of many lengths",
        "long and short",
    ],
)
def test_frames_come_out_of_a_block_as_they_were(
    wire: tuple[Lab, PacketLink], gather: Gather, sent: list[bytes]
) -> None:
    lab, left = wire
    with lab.right.entered(), PacketLink("veth0", bulk=True) as right:
        left.send(sent, 0)
        assert [frame.data for frame in gather(right, len(sent))] == sent


def test_a_row_of_equal_frames_keeps_what_was_special_of_one(wire: tuple[Lab, PacketLink], gather: Gather) -> None:
    lab, left = wire
    with lab.left.entered(), PacketLink("veth0", bulk=True, outgoing=True, batch=100) as watcher:
        with lab.right.entered(), PacketLink("veth0") as right:
            directions = []
            for number in range(64):
                sender = right if number in (20, 41) else left
                sender.send(numbered(1), 0)
                directions.append(Direction.INBOUND if sender is right else Direction.OUTBOUND)
        assert [frame.direction for frame in gather(watcher, 64)] == directions


def test_drops_of_a_ring_of_blocks_add_up(
    wire: tuple[Lab, PacketLink], gather: Gather, until: Callable[[Callable[[], bool]], None]
) -> None:
    lab, left = wire
    with lab.right.entered(), PacketLink("veth0", bulk=True, ring_size=1) as right:
        assert right.ring is not None
        count, got, sent = right.ring.size // 1500 + 100, 0, 0
        for _ in range(2):
            left.send(numbered(count, 1514), 0)
            sent += count
            until(lambda: right.drops() > 0)
            dropped = right.drops()
            assert right.drops() == dropped
            got += len(gather(right, sent - dropped - got))
            assert got + right.drops() == sent
        assert right.drops() > dropped - 1 > 0


@pytest.mark.parametrize("bulk", [False, True], ids=["slots", "blocks"])
def test_frames_of_a_read_that_was_interrupted_come_again(
    wire: tuple[Lab, PacketLink], gather: Gather, monkeypatch: pytest.MonkeyPatch, bulk: bool
) -> None:
    lab, left = wire
    sent = [tagged(number, b"again") for number in range(10)]
    calls = 0
    real = ring.put_tag_back

    def interrupted(data: bytes, status: int, tci: int, tpid: int) -> tuple[bytes, int | None]:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return real(data, status, tci, tpid)

    monkeypatch.setattr(blockring if bulk else ring, "put_tag_back", interrupted)
    with lab.right.entered(), PacketLink("veth0", bulk=bulk) as right:
        left.send(sent, 0)
        before: list[Frame] = []  # a block may be retired early: what earlier reads gave is not to come again
        with pytest.raises(KeyboardInterrupt):
            while True:
                before += gather(right, 1)
        after = gather(right, len(sent) - len(before))
        assert [frame.data for frame in before + after] == sent


@pytest.mark.parametrize("group", [None, 3], ids=["alone", "fanout"])
@pytest.mark.parametrize("bulk", [False, True], ids=["slots", "blocks"])
def test_a_filter_holds_before_the_first_frame(
    wire: tuple[Lab, PacketLink], gather: Gather, bulk: bool, group: int | None
) -> None:
    lab, left = wire
    odd = program((0x30, 0, 0, 17), (0x45, 0, 1, 1), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))  # ldb [17]; jset #1
    through = threading.Event()

    def flood() -> None:
        while not through.is_set():
            left.send(numbered(64), 0)

    sender = threading.Thread(target=flood)
    sender.start()
    try:
        with lab.right.entered():
            for _ in range(20):
                with PacketLink("veth0", bulk=bulk, bpf=odd, ring_size=1 << 20, fanout=group) as right:
                    assert all(frame.data[17] & 1 for frame in gather(right, 50))
    finally:
        through.set()
        sender.join()


def test_a_link_that_is_closed_while_its_memory_is_read_hears_nothing_more(wire: tuple[Lab, PacketLink]) -> None:
    lab, left = wire
    with lab.right.entered():
        for bulk in (False, True):
            right = PacketLink("veth0", promiscuous=True, bulk=bulk)
            assert right.ring is not None
            assert promiscuity() == 1
            view = memoryview(right.ring._memory)
            right.close()
            assert (right.fileno(), promiscuity()) == (-1, 0)
            before = bytes(view)
            left.send(numbered(10), 0)
            assert view == before
            view.release()
            right.close()
            assert right.ring._memory.closed
    gc.collect()


def test_a_ring_that_the_kernel_refuses_is_told_in_a_line(wire: tuple[Lab, PacketLink]) -> None:
    lab, _ = wire
    for bulk in (False, True):
        with lab.right.entered(), pytest.raises(LinkError, match=r"no receive ring of .* ask for a smaller one"):
            PacketLink("veth0", bulk=bulk, ring_size=1 << 50)


def test_bulk_without_a_ring_is_a_contradiction(wire: tuple[Lab, PacketLink]) -> None:
    with wire[0].right.entered(), pytest.raises(LinkError, match="leave out ring=False"):
        PacketLink("veth0", bulk=True, ring=False)

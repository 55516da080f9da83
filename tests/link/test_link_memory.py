"""Links in memory: who receives what, what is refused, and that a poller wakes."""

from __future__ import annotations

import errno
import os
import select
import threading

import pytest

from rawproto.errors import LinkError
from rawproto.link.memory import Segment, memory_pair
from rawproto.wire.frame import Direction, Frame, LinkType


def readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_a_frame_arrives_at_the_other_end_with_the_time_of_the_call() -> None:
    a, b = memory_pair()
    a.send([b"one", b"two"], now=5)
    assert b.receive(now=9) == [
        Frame(b"one", 9, LinkType.ETHERNET, "b", Direction.INBOUND),
        Frame(b"two", 9, LinkType.ETHERNET, "b", Direction.INBOUND),
    ]
    assert a.receive(9) == b.receive(9) == []


def test_on_a_segment_all_others_receive() -> None:
    segment = Segment()
    a, b, c = (segment.attach(name) for name in "abc")
    b.send([b"hello"], 0)
    assert [[frame.data for frame in link.receive(0)] for link in (a, b, c)] == [[b"hello"], [], [b"hello"]]
    assert segment.links == (a, b, c)


def test_bare_datagrams_go_to_the_peer_named_and_tell_their_source() -> None:
    segment = Segment(LinkType.USER0)
    a, b, c = (segment.attach(name) for name in "abc")
    a.send([b"x"], 0, peer="c")
    assert b.receive(0) == []
    [frame] = c.receive(0)
    assert frame.peer == "a"
    with pytest.raises(LinkError, match="there are: a, b, c") as caught:
        a.send([b"x"], 0, peer="d")
    assert caught.value.errno == errno.EHOSTUNREACH


def test_two_links_of_one_name_are_refused() -> None:
    segment = Segment()
    segment.attach("a")
    with pytest.raises(LinkError) as caught:
        segment.attach("a")
    assert caught.value.errno == errno.EEXIST


@pytest.mark.parametrize(
    ("linktype", "header", "fits"),
    [
        (LinkType.ETHERNET, bytes(14), 1514),
        (LinkType.ETHERNET, bytes(12) + b"\x81\x00\x00\x05", 1518),
        (LinkType.ETHERNET, bytes(12) + b"\x88\xa8\x00\x05", 1518),
        (LinkType.IPV4, b"", 1500),
    ],
)
def test_a_frame_over_the_mtu_is_refused_and_nothing_of_its_batch_sent(
    linktype: LinkType, header: bytes, fits: int
) -> None:
    a, b = memory_pair(linktype=linktype, mtu=1500)
    largest = header.ljust(fits, b"x")
    a.send([largest], 0)
    assert [frame.data for frame in b.receive(0)] == [largest]
    with pytest.raises(LinkError, match=rf"{fits + 1} bytes .* {fits} .*mtu 1500") as caught:
        a.send([b"small", largest + b"x"], 0)
    assert caught.value.errno == errno.EMSGSIZE
    assert b.receive(0) == []


def test_a_full_queue_drops_the_newest_and_counts() -> None:
    a, b = memory_pair(queue_frames=3)
    a.send([b"1", b"2"], 0)
    a.send([b"3", b"4", b"5"], 0)
    a.send([b"6"], 0)
    assert b.dropped == 3
    assert [frame.data for frame in b.receive(0)] == [b"1", b"2", b"3"]
    a.send([b"7"], 0)
    assert [frame.data for frame in b.receive(0)] == [b"7"]


def test_a_queue_that_is_more_than_full_takes_nothing() -> None:
    a, b = memory_pair(queue_frames=3)
    a.send([b"1", b"2", b"3"], 0)
    b.segment.queue_frames = 2
    a.send([b"4", b"5"], 0)
    assert [frame.data for frame in b.receive(0)] == [b"1", b"2", b"3"]
    assert b.dropped == 2


def test_there_is_no_descriptor_until_one_is_asked_for() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a directory that pathlib would open itself
    a, b = memory_pair()
    a.send([b"x"], 0)
    b.receive(0)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_the_descriptor_is_readable_exactly_while_frames_wait() -> None:
    a, b = memory_pair()
    with b:
        assert not readable(b.fileno())
        a.send([b"1", b"2"], 0)
        assert readable(b.fileno())
        b.receive(0)
        assert not readable(b.fileno())
    assert b.fileno() == -1


def test_a_descriptor_made_late_knows_of_frames_that_wait() -> None:
    a, b = memory_pair()
    a.send([b"1"], 0)
    with b:
        assert readable(b.fileno())


def test_closing_gives_the_descriptor_back_and_leaves_the_segment() -> None:
    segment = Segment()
    a, b, c = (segment.attach(name) for name in "abc")
    descriptor = b.fileno()
    b.close()
    b.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    a.send([b"x"], 0)
    assert len(c.receive(0)) == 1
    for use in (lambda: b.send([b"x"], 0), lambda: b.receive(0)):
        with pytest.raises(LinkError) as caught:
            use()
        assert caught.value.errno == errno.EBADF


def test_one_thread_an_end_loses_nothing_and_wakes_the_poller() -> None:
    a, b = memory_pair(queue_frames=100_000)
    count = 20_000
    b.fileno()

    def send_all() -> None:
        for n in range(count):
            a.send([n.to_bytes(4)], 0)

    sender = threading.Thread(target=send_all)
    got: list[bytes] = []
    sender.start()
    while len(got) < count:
        ready, _, _ = select.select([b], [], [], 20)
        assert ready, f"no wake-up after {len(got)} of {count} frames"
        got += [frame.data for frame in b.receive(0)]
    sender.join()
    b.close()
    assert got == [n.to_bytes(4) for n in range(count)]


def test_a_block_is_sent_frame_by_frame() -> None:
    left, right = memory_pair()
    left.send_block(b"aaabbbccc", 3, 0)
    assert [frame.data for frame in right.receive(0)] == [b"aaa", b"bbb", b"ccc"]
    left.send_block(b"", 3, 0)
    for block, stride in ((b"aaab", 3), (b"aaa", 0)):
        with pytest.raises(LinkError, match="is not whole frames of"):
            left.send_block(block, stride, 0)

"""The tap: what passes is recorded as a capture should hold it, in order, and passed on untouched."""

from __future__ import annotations

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import LinkWrapper
from rawproto.link.memory import memory_pair
from rawproto.link.tap import RecordingLink
from rawproto.wire.frame import Direction, Frame, LinkType


class Enveloped(LinkWrapper):
    """A link whose kernel keeps the header: `on_wire` puts one back, made of direction and peer."""

    def on_wire(self, data: bytes, *, peer: str, outbound: bool) -> tuple[bytes, LinkType]:
        return (b">" if outbound else b"<") + peer.encode() + b":" + data, LinkType.IPV4


def test_both_directions_are_recorded_in_order_with_the_time_of_the_call() -> None:
    a, b = memory_pair("a", "b")
    seen: list[Frame] = []
    tap = RecordingLink(a, seen.append)
    tap.send([b"1", b"2"], 10)
    b.send([b"3"], 11)
    tap.receive(12)
    tap.send([b"4"], 13)
    assert seen == [
        Frame(b"1", 10, interface="a", direction=Direction.OUTBOUND),
        Frame(b"2", 10, interface="a", direction=Direction.OUTBOUND),
        Frame(b"3", 12, interface="a", direction=Direction.INBOUND),
        Frame(b"4", 13, interface="a", direction=Direction.OUTBOUND),
    ]
    assert [frame.data for frame in b.receive(0)] == [b"1", b"2", b"4"]


def test_records_hold_what_was_on_the_wire_and_the_engine_gets_what_came() -> None:
    a, b = memory_pair("a", "b", linktype=LinkType.USER0)
    seen: list[Frame] = []
    tap = RecordingLink(Enveloped(a), seen.append)
    tap.send([b"out"], 1, peer="b")
    b.send([b"in"], 2, peer="a")
    received = tap.receive(3)
    assert [(frame.data, frame.linktype) for frame in seen] == [
        (b">b:out", LinkType.IPV4),
        (b"<b:in", LinkType.IPV4),
    ]
    assert [frame.data for frame in b.receive(0)] == [b"out"]
    assert [(frame.data, frame.linktype, frame.peer) for frame in received] == [(b"in", LinkType.USER0, "b")]


def test_the_original_length_grows_by_the_header_put_back_and_the_rest_is_kept() -> None:
    class Sniffer(Enveloped):
        def receive(self, now: int) -> list[Frame]:
            return [Frame(b"in", 1, LinkType.RAW, "eth7", Direction.OUTBOUND, 100, 5)]

    seen: list[Frame] = []
    RecordingLink(Sniffer(memory_pair()[0]), seen.append).receive(3)
    assert seen == [Frame(b"<:in", 3, LinkType.IPV4, "eth7", Direction.OUTBOUND, 102, 5)]


def test_a_refused_frame_raises_and_stands_in_the_record() -> None:
    a, _ = memory_pair(mtu=100)
    seen: list[Frame] = []
    with pytest.raises(LinkError):
        RecordingLink(a, seen.append).send([bytes(1000)], 0)
    assert len(seen) == 1

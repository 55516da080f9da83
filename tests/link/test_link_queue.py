"""Queue disciplines: what they drop and mark, and when; and what routers change in IP headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError
from rawproto.link.queue import CoDel, DropTail, Queue
from rawproto.link.rewrite import adjusted, mark_congestion, next_hop, replaced
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet

MS = 1_000_000
NOT_ECT, ECT_1, ECT_0, CE = range(4)


def ip4(ecn: int = ECT_0, size: int = 1000, **fields: object) -> bytes:
    options = {"src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 253, "ecn": ecn} | fields
    return bytes(IPv4(**options) / bytes(size - 20))  # type: ignore[arg-type]


def ip6(ecn: int = ECT_0, size: int = 1000, **fields: object) -> bytes:
    options = {"src": "fd00::1", "dst": "fd00::2", "next_header": 253, "ecn": ecn} | fields
    return bytes(IPv6(**options) / bytes(size - 40))  # type: ignore[arg-type]


def ecn_of(frame: bytes) -> int:
    packet = Packet.parse(frame, LinkType.RAW)
    return (packet[IPv4] if frame[0] >> 4 == 4 else packet[IPv6]).ecn


def numbered(count: int, length: int = 100) -> list[bytes]:
    return [n.to_bytes(4).ljust(length, b"\0") for n in range(count)]


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ecn", [ECT_0, ECT_1, CE])
@pytest.mark.parametrize("make", [ip4, ip6])
def test_a_mark_changes_the_ecn_field_and_the_checksum_fits(make: type, ecn: int) -> None:
    frame = make(ecn, dscp=46)
    marked = mark_congestion(frame)
    assert marked == make(CE, dscp=46)
    assert Packet.parse(marked, LinkType.RAW).checksums.get("IPv4", "ok") == "ok"


@pytest.mark.parametrize("frame", [ip4(NOT_ECT), ip6(NOT_ECT), b"", b"\x45\x03", bytes(40), b"\xff" * 60])
def test_what_does_not_understand_marks_gets_none(frame: bytes) -> None:
    assert mark_congestion(frame) is None


def test_a_mark_finds_the_header_behind_ethernet() -> None:
    header = bytes(Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01", ethertype=0x0800))
    assert mark_congestion(header + ip4(), 14) == header + ip4(CE)


def test_a_wrong_checksum_stays_wrong_by_the_same_amount() -> None:
    right = ip4()
    wrong = right[:11] + bytes((right[11] ^ 1,)) + right[12:]
    marked = mark_congestion(wrong)
    assert marked is not None
    assert internet_checksum(marked[:20]) == internet_checksum(wrong[:20]) != 0


@given(st.binary(min_size=20, max_size=20), st.sampled_from([0, 2, 12]), st.binary(min_size=4, max_size=4))
def test_the_difference_gives_the_checksum_that_all_bytes_give(header: bytes, at: int, new: bytes) -> None:
    blank = header[:10] + b"\0\0" + header[12:]
    # A header of nothing but zeros has two right checksums (RFC 1624 §3); no real one is.
    blank = b"\x45" + blank[1:]
    new = b"\x45" + new[1:] if at == 0 else new
    before = blank[:10] + internet_checksum(blank).to_bytes(2) + blank[12:]
    after = replaced(before, at, new, 10)
    assert internet_checksum(after) == 0
    assert after[:10] + b"\0\0" + after[12:] == blank[:at] + new + blank[at + 4 :]


def test_the_checksum_of_rfc_1624_is_not_minus_zero() -> None:
    """The example of §4: 0xdd2f, a field goes from 0x5555 to 0x3285."""
    assert adjusted(0xDD2F, b"\x55\x55", b"\x32\x85") == 0x0000


@pytest.mark.parametrize("make", [ip4, ip6])
def test_a_hop_takes_one_from_the_limit(make: type) -> None:
    field = "ttl" if make is ip4 else "hop_limit"
    assert next_hop(make(**{field: 64})) == make(**{field: 63})
    assert next_hop(make(**{field: 2})) == make(**{field: 1})
    assert next_hop(make(**{field: 1})) is None
    assert next_hop(make(**{field: 0})) is None


# -- drop-tail ---------------------------------------------------------------------------------------------------------


def test_drop_tail_drops_exactly_what_does_not_fit() -> None:
    queue = DropTail(350)
    frames = numbered(5)
    assert [queue.enqueue(frame, 0) for frame in frames] == [True, True, True, False, False]
    assert queue.enqueue(b"x" * 50, 0)
    assert not queue.enqueue(b"x", 0)
    assert queue.bytes == queue.meter.longest_bytes == 350
    assert [queue.dequeue(1) for _ in range(5)] == [*frames[:3], b"x" * 50, None]
    assert queue.meter.dropped == {"tail": 3}
    assert (queue.meter.sent, queue.meter.sent_bytes, queue.bytes, len(queue)) == (4, 350, 0, 0)


def test_without_a_limit_nothing_is_dropped() -> None:
    queue = DropTail()
    assert all(queue.enqueue(frame, 0) for frame in numbered(1000))


def test_the_meter_knows_how_long_frames_waited() -> None:
    queue = DropTail()
    for at, frame in enumerate(numbered(3)):
        queue.enqueue(frame, at)
    for _ in range(3):
        queue.dequeue(10)
    assert (queue.meter.sojourn_total_ns, queue.meter.sojourn_longest_ns, queue.meter.sojourn_mean_ns) == (27, 10, 9)
    assert DropTail().meter.sojourn_mean_ns == 0


def test_events_are_told_in_order_with_what_waits() -> None:
    queue = DropTail(250)
    told: list[tuple[int, str, bytes, int]] = []
    queue.meter.on_event = lambda *event: told.append(event)
    a, b, c = numbered(3)
    queue.bypass(a, 1)
    for frame in (a, b, c):
        queue.enqueue(frame, 2)
    queue.dequeue(3)
    assert told == [
        (1, "send", a, 0),
        (2, "enqueue", a, 100),
        (2, "enqueue", b, 200),
        (2, "tail", c, 200),
        (3, "send", a, 100),
    ]


def test_a_long_queue_marks_what_joins_it() -> None:
    queue = DropTail(10_000, mark_bytes=2500)
    for frame in (ip4(), ip4(), ip4(), ip4(NOT_ECT), ip6()):
        assert queue.enqueue(frame, 0)
    left = [queue.dequeue(1) for _ in range(5)]
    assert [ecn_of(frame) for frame in left if frame] == [ECT_0, ECT_0, CE, NOT_ECT, CE]
    assert queue.meter.marked == 2
    assert not queue.meter.dropped


# -- CoDel -------------------------------------------------------------------------------------------------------------


def drain(queue: Queue, until_ms: int, start_ms: int = 0) -> tuple[list[int], list[bytes]]:
    """Dequeue each millisecond; the ms at which something was dropped or marked, and what left."""
    events: list[int] = []
    queue.meter.on_event = lambda now, kind, *_: events.append(now // MS) if kind in ("codel", "mark") else None
    left = [frame for ms in range(start_ms, until_ms) if (frame := queue.dequeue(ms * MS)) is not None]
    return events, left


# All frames come at 0. The wait passes 5 ms at 5, so the first drop is 100 ms later, and the next ones follow
# at 105 + 100 = 205, + 100 / sqrt(2) = 275.71, + 100 / sqrt(3) = 333.45, + 100 / sqrt(4) = 383.45,
# + 100 / sqrt(5) = 428.17, + 100 / sqrt(6) = 468.99: each at the first whole ms from then on.
BY_HAND = [105, 205, 276, 334, 384, 429, 469]


def test_codel_drops_by_the_control_law() -> None:
    queue = CoDel()
    for _ in range(1000):
        queue.enqueue(ip4(), 0)
    events, left = drain(queue, 500)
    assert events == BY_HAND
    assert queue.meter.dropped == {"codel": 7}
    assert len(left) == 500
    assert (queue.count, queue.drop_next) == (7, 506_788_339)


def test_codel_marks_at_the_times_at_which_it_would_drop() -> None:
    queue = CoDel(ecn=True)
    for _ in range(1000):
        queue.enqueue(ip4(), 0)
    events, left = drain(queue, 500)
    assert events == BY_HAND
    assert [ms for ms, frame in enumerate(left) if ecn_of(frame) == CE] == BY_HAND
    assert queue.meter.marked == 7
    assert not queue.meter.dropped
    assert all(Packet.parse(frame, LinkType.RAW).checksums["IPv4"] == "ok" for frame in left)


def test_codel_drops_what_can_not_be_marked() -> None:
    queue = CoDel(ecn=True)
    for _ in range(1000):
        queue.enqueue(ip4(NOT_ECT), 0)
    assert drain(queue, 500)[0] == BY_HAND
    assert queue.meter.dropped == {"codel": 7}


def test_codel_leaves_short_waits_alone() -> None:
    queue = CoDel()
    for ms in range(1000):
        queue.enqueue(ip4(), ms * MS)
        queue.enqueue(ip4(), ms * MS)
        if ms >= 2:
            queue.dequeue(ms * MS)
            queue.dequeue(ms * MS)
    assert not queue.meter.dropped
    assert queue.meter.sojourn_longest_ns == 2 * MS


def test_codel_leaves_the_last_packet_alone() -> None:
    """RFC 8289 §5.6: not when the queue holds less than a packet, however long that one waited."""
    queue = CoDel(max_packet=1000)
    for ms in range(0, 5000, 50):
        queue.enqueue(ip4(), ms * MS)
        queue.enqueue(ip4(), ms * MS)
        queue.dequeue((ms + 25) * MS)
        queue.dequeue((ms + 49) * MS)
    assert not queue.meter.dropped


def standing(queue: CoDel, start_ms: int, end_ms: int) -> list[int]:
    """A queue in which everything waits 20 ms, one frame in and one out each ms; the ms at which it drops."""
    drops: list[int] = []
    queue.meter.on_event = lambda now, kind, *_: drops.append(now // MS) if kind == "codel" else None
    for ms in range(start_ms, end_ms):
        queue.enqueue(ip4(), ms * MS)
        if len(queue) > 20:
            queue.dequeue(ms * MS)
    while len(queue):
        queue.dequeue(end_ms * MS)
    queue.dequeue(end_ms * MS)
    return drops


def test_codel_begins_anew_at_the_rate_that_was_right_if_that_is_not_long_ago() -> None:
    """Waits are over 5 ms from 20 ms after the start; the 7 drops of the first spell less the 1 it began with are 6."""
    for pause_ms, expected in (
        (100, [720, 761, 799]),  # + 100 / sqrt(6) = 760.82, + 100 / sqrt(7) = 798.62
        (1600 + 22, [2242]),  # drop_next was 521.79: 1720 ms ago, more than 16 intervals; the next one would be at 2342
    ):
        queue = CoDel()
        assert standing(queue, 0, 500) == [120, 220, 291, 349, 399, 444, 484]
        assert (queue.count, queue.dropping) == (7, False)
        assert standing(queue, 500 + pause_ms, 500 + pause_ms + 200) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: DropTail(-1),
        lambda: DropTail(1, mark_bytes=-1),
        lambda: CoDel(target_ns=0),
        lambda: CoDel(interval_ns=0),
        lambda: CoDel(max_packet=0),
    ],
)
def test_what_can_not_work_is_refused(make: type) -> None:
    with pytest.raises(ConfigError, match="give"):
        make()


@given(
    st.lists(st.tuples(st.integers(0, 40 * MS), st.booleans(), st.integers(40, 1500), st.integers(0, 3)), max_size=80),
    st.booleans(),
)
def test_codel_makes_nothing_up_and_forgets_nothing(steps: list[tuple[int, bool, int, int]], ecn: bool) -> None:
    queue = CoDel(20_000, ecn=ecn, target_ns=MS, interval_ns=10 * MS)
    now = came = 0
    for pause, comes, size, field in steps:
        now += pause
        if comes:
            came += 1
            queue.enqueue(ip4(field, size), now)
        else:
            queue.dequeue(now)
    while len(queue):
        queue.dequeue(now)
    assert queue.bytes == 0
    assert queue.meter.sent + sum(queue.meter.dropped.values()) == came

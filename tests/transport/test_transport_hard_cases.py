"""Cases that once ended badly: paths that take less than the base, floods of small records, peers that lie."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.ranges import RangeSet
from rawproto.transport.segment import ACK, PSH, SYN, Segment


@pytest.mark.rdt("15-5", "15-7")
@pytest.mark.parametrize(("path", "size"), [(700, 1000), (104, 500), (1190, 1160), (700, 5000)])
def test_a_path_that_takes_less_than_the_base_is_found_by_small_datagrams_too(path: int, size: int) -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.client.largest = path
    pair.write(client, fill(size))
    pair.run(40 * SECOND)
    assert pair.read(server) == fill(size)


def records(count: int) -> tuple[Pair, Connection]:
    pair = Pair()
    listener = pair.server.endpoint.listen(80, 1, records=True)
    client = pair.client.endpoint.connect("server", 80, 0, records=True)
    pair.run_until(lambda: client.established and bool(listener.queue))
    for _ in range(count):
        client.send(b"r", pair.now)
    return pair, client


@pytest.mark.rfc("6928", "2")
def test_small_records_are_no_flood_in_the_first_round_trip() -> None:
    pair, client = records(5000)
    pair.run(9_000_000)
    outstanding = len(client.sender.scoreboard)
    assert 10 < outstanding * 65 <= client.sender.congestion.cwnd + 65


def test_a_closed_connection_does_not_wait_for_a_window_without_end() -> None:
    pair = Pair(server_config=Config(receive_buffer=5000))
    client, _ = pair.connect()
    client.send(fill(50_000), pair.now)
    pair.run(SECOND)
    client.close(pair.now)
    pair.run(400 * SECOND)
    assert client.end is not None and client.end.cause == "timeout"


@pytest.mark.rdt("5.10-12")
def test_a_cookie_leaves_room_for_what_must_be_said_with_the_smallest_mss() -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.flush()
    syn = pair.client.segments()[0]
    answer = Segment(80, syn.source_port, SYN | ACK, 5000, ack=syn.seq + 1, wnd=9999, mss=1, cookie=bytes(44))
    pair.answers("client", answer)
    asked = Segment(80, syn.source_port, PSH, 5001, packet_number=4, probe=60)
    (reply,) = pair.answers("client", asked)
    assert reply.seq == client.sender.snd_nxt
    assert reply.cookie == bytes(44)


@pytest.mark.rdt("5.10-12")
def test_a_longer_cookie_is_taken_for_none() -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.flush()
    syn = pair.client.segments()[0]
    pair.answers("client", Segment(80, syn.source_port, SYN | ACK, 5000, ack=syn.seq + 1, wnd=9, cookie=bytes(45)))
    assert client.cookie.data == b""


def test_a_tail_loss_probe_waits_for_an_acknowledgement_that_goes_ahead() -> None:
    """Both are due in one turn and don't fit one datagram: the probe must not be forgotten."""
    pair = Pair(Config(cookies=False, pacing=False))
    client, server = pair.connect()
    client.send(fill(client.mss), pair.now)
    pair.run(3 * SECOND)
    client.send(fill(client.mss), pair.now)
    pair.client.dropped.add(len(pair.client.sent))
    pair.flush()
    server.send(fill(2 * server.mss), pair.now)
    pair.server.slower_ns = client.sender.tail.deadline - pair.now - pair.delay_ns if client.sender.tail.deadline else 0
    pair.run(SECOND)
    assert [reason for reason in pair.client.reasons() if "tail loss probe" in reason]
    assert client.sender.timeouts == 0


def test_overlaps_are_the_parts_inside() -> None:
    ranges = RangeSet()
    for start in range(0, 100, 10):
        ranges.add(start, start + 5)
    assert ranges.overlaps(12, 33) == [(12, 15), (20, 25), (30, 33)]
    assert ranges.overlaps(15, 20) == []
    assert ranges.overlaps(0, 3) == [(0, 3)]

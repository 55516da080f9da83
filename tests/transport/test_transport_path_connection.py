"""The size of datagrams, found by a connection while it works: RFC 8899 between two endpoints."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rawproto.testing.pair import Pair, fill, plain
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.segment import ACK
from rawproto.transport.trace import PathChanged, SegmentSent

SIZE = 1480


def probed(pair: Pair) -> list[int]:
    """The sizes of the probes that the client sent."""
    return [segment.probe for segment in pair.client.segments() if segment.probe]


@pytest.mark.rfc("4821", "7.1", "7.2")
@pytest.mark.rfc("9293", "MUST-16", "MUST-67", "SHLD-6")
def test_a_connection_begins_with_what_the_interface_and_the_peer_take() -> None:
    pair = Pair(datagram_size=9000)
    client, server = pair.connect()
    assert client.mss == server.mss == 8960
    pair.write(client, fill(50_000))
    pair.run(SECOND)
    assert max(len(data) for data in pair.client.sent) == 9000
    assert probed(pair) == []


@pytest.mark.rfc("8899", "4.3", "3-4", "5.3.1")
@pytest.mark.parametrize("largest", [1400, 1300, 1232, 600, 300])
def test_a_path_that_shrinks_in_mid_flight_is_found_out(largest: int) -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, server = pair.connect()
    pair.write(client, fill(400_000))
    pair.run_until(lambda: server.receiver.ready > 50_000)
    pair.client.largest = largest
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(400_000)
    assert client.mss + 40 <= largest
    assert client.stats(pair.now).pmtu == client.mss + 40
    assert pair.client.records(PathChanged)


@pytest.mark.rfc("8899", "5.3.1", "5.3.2")
def test_the_search_ends_close_to_what_the_path_takes() -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, server = pair.connect()
    pair.client.largest = 1350
    for _ in range(60):
        pair.write(client, fill(60_000))
        pair.run(SECOND)
        pair.read(server)
    assert 1350 - 8 <= client.stats(pair.now).pmtu <= 1350
    assert len(probed(pair)) <= 20 * 3


@pytest.mark.rfc("8899", "5.2-2")
def test_a_path_that_grows_again_is_found_out_after_a_time() -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, server = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(200_000))
    pair.run(60 * SECOND)
    pair.read(server)
    assert client.stats(pair.now).pmtu <= 1300
    pair.client.largest = None
    for _ in range(130):
        pair.write(client, fill(20_000))
        pair.run(10 * SECOND)
        pair.read(server)
    assert client.stats(pair.now).pmtu == SIZE


@pytest.mark.rdt("15-2")
@pytest.mark.rfc("8899", "3-2")
def test_a_lost_probe_is_no_congestion() -> None:
    pair = Pair(Config(congestion_control="reno", base_mtu=1200))
    client, server = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(200_000))
    pair.run_until(lambda: client.stats(pair.now).pmtu <= 1300 and client.drained)
    before = client.sender.recovery.episodes
    for _ in range(20):
        pair.write(client, fill(5000))
        pair.run(SECOND)
        pair.read(server)
    assert any(size > 1300 for size in probed(pair))
    assert client.sender.recovery.episodes == before


@pytest.mark.rdt("3.5-17", "3.5-19", "3.5-20", "15-2")
@pytest.mark.rfc("8899", "4.1")
def test_a_probe_has_no_octets_and_is_answered_at_once() -> None:
    pair = Pair(plain(path_mtu_discovery=True, delayed_ack=True))
    client, server = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(100_000))
    pair.run_until(lambda: bool(probed(pair)))
    at = len(pair.client.sent) - 1
    probe = pair.client.segments()[at]
    assert (probe.flags, len(probe.payload), probe.probe) == (ACK, 0, len(pair.client.sent[at]))
    sent = pair.now
    pair.run_until(lambda: any(segment.probed for segment in pair.server.segments()))
    assert pair.now - sent == pair.delay_ns
    answer = next(segment for segment in pair.server.segments() if segment.probed)
    assert answer.probed == probe.probe
    assert server.established


@pytest.mark.rfc("4821", "7.7")
def test_a_datagram_that_is_not_full_finds_a_black_hole_too() -> None:
    """Whatever is larger than the base may be what the path does not take."""
    pair = Pair()
    client, server = pair.connect()
    pair.run(SECOND)
    pair.client.largest = 1300
    pair.write(client, fill(1400))
    pair.run(30 * SECOND)
    assert pair.read(server) == fill(1400)
    assert client.mss + 40 <= 1300


def test_a_path_too_narrow_for_the_base_still_carries() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.run(SECOND)
    pair.client.largest = pair.server.largest = 150
    pair.write(client, fill(20_000))
    pair.run(90 * SECOND)
    assert client.mss + 40 <= 150
    assert server.receiver.ready > 0


@pytest.mark.rfc("8899", "5.1.1")
def test_a_probe_counts_as_lost_after_a_second_at_least() -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, _ = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(100_000))
    while pair.now < 20 * SECOND and pair.step():
        if client.drained:
            pair.write(client, fill(3000))
    probes = [(r.time_ns, r.reason) for r in pair.client.records(SegmentSent) if r.reason.startswith("path probe")]
    repeated = [late - early for (early, one), (late, other) in pairwise(probes) if one == other]
    assert repeated
    assert min(repeated) >= SECOND


def test_an_idle_connection_does_not_search() -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, _ = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(100_000))
    pair.run_until(lambda: client.drained)
    pair.run(2 * SECOND)
    before = len(pair.client.sent)
    pair.run(3600 * SECOND)
    assert len(pair.client.sent) - before <= 1


@pytest.mark.rdt("15-11")
@pytest.mark.rfc("8899", "3-4")
def test_what_had_been_cut_larger_is_cut_anew() -> None:
    pair = Pair(plain(path_mtu_discovery=True))
    client, server = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(300_000))
    pair.run_until(lambda: client.stats(pair.now).pmtu <= 1300)
    at = pair.number("client")
    pair.run_until(lambda: client.drained)
    later = pair.client.segments()[at:]
    assert max(len(data) for data, s in zip(pair.client.sent[at:], later, strict=True) if not s.probe) <= 1300
    assert pair.read(server) == fill(300_000)


def test_each_direction_finds_its_own_size() -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, server = pair.connect()
    pair.client.largest = 1300
    pair.write(client, fill(100_000))
    pair.write(server, fill(100_000))
    pair.run(30 * SECOND)
    assert client.mss + 40 <= 1300
    assert server.mss + 40 == SIZE
    assert (pair.read(client), pair.read(server)) == (fill(100_000), fill(100_000))
    assert client.stats(pair.now).min_rtt == 20 * MS

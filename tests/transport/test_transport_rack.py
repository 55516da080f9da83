"""RACK between two endpoints: losses found by distance and by time, and how the window for reordering grows."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.rack import Rack
from rawproto.transport.scoreboard import Delivery
from rawproto.transport.segment import ACK

DELAY = 10 * MS
RTT = 2 * DELAY
MSS = 1440


def warm(config: Config | None = None) -> tuple[Pair, Connection, Connection]:
    """A connection that knows its round trip, and whose client may send 20 segments."""
    pair = Pair(config or plain())
    client, server = pair.connect()
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.read(server)
    client.sender.congestion.cwnd = 20 * MSS
    return pair, client, server


def rules(pair: Pair) -> list[str]:
    return [loss.rule for loss in pair.client.losses()]


@pytest.mark.rdt("7.5-1")
@pytest.mark.rfc("9002", "6.1.1")
def test_three_later_packets_trigger_the_retransmission() -> None:
    pair, client, _ = warm()
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(4 * MSS))
    start = pair.now
    pair.run_until(lambda: client.drained)
    assert [(loss.length, loss.rule) for loss in pair.client.losses()] == [(MSS, "packet threshold")]
    assert any(reason.startswith("fast retransmit: packet") for reason in pair.client.reasons())
    assert pair.now - start == 2 * RTT


@pytest.mark.rdt("7.5-2", "7.5-6")
@pytest.mark.rfc("8985", "6.2-6", "6.2-10", "6.2-12")
def test_fewer_later_packets_trigger_it_after_a_quarter_of_a_round_trip() -> None:
    pair, client, _ = warm()
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(3 * MSS))
    start = pair.now
    pair.run_until(lambda: client.drained)
    assert rules(pair) == ["time"]
    assert ("reordering", start + RTT + RTT // 4) in pair.client.timers()
    assert pair.now - start == 2 * RTT + RTT // 4
    assert any(reason.startswith("fast retransmit by RACK: packet") for reason in pair.client.reasons())


@pytest.mark.rdt("7.5-5")
@pytest.mark.rfc("8985", "6.2-6")
def test_what_comes_a_little_late_is_not_taken_for_lost() -> None:
    pair, client, server = warm()
    pair.delay("client", pair.number("client"), RTT // 4 - MS)
    pair.write(client, fill(3 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(3 * MSS)
    assert (rules(pair), client.stats(pair.now).reord_seen, client.stats(pair.now).retrans) == ([], 1, 0)


@pytest.mark.rdt("7.5-5")
@pytest.mark.rfc("8985", "6.2-5", "6.2-6")
def test_once_reordering_was_seen_three_packets_prove_nothing() -> None:
    pair, client, server = warm()
    pair.delay("client", pair.number("client"), 2 * MS)
    pair.write(client, fill(2 * MSS))
    pair.run_until(lambda: client.drained)
    assert client.stats(pair.now).reord_seen == 1
    pair.delay("client", pair.number("client"), 4 * MS)
    pair.write(client, fill(10 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(2 * MSS) + fill(10 * MSS)
    assert (rules(pair), client.stats(pair.now).retrans) == ([], 0)


@pytest.mark.rdt("7.5-3")
@pytest.mark.rfc("8985", "6.2-5")
def test_in_recovery_on_a_path_that_keeps_order_a_loss_by_time_waits_for_nothing() -> None:
    """Two losses, the second with fewer than three behind it: found with the answer to the first repetition."""
    pair, client, _ = warm()
    at = pair.number("client")
    pair.drop("client", at, at + 6)
    pair.write(client, fill(8 * MSS))
    start = pair.now
    pair.run_until(lambda: client.drained)
    assert rules(pair) == ["packet threshold", "time"]
    assert pair.client.losses()[1].time_ns - start <= RTT + 1
    assert client.sender.timeouts == 0


@pytest.mark.rfc("8985", "6.2-7")
def test_a_needless_retransmission_makes_the_window_for_reordering_larger() -> None:
    pair, client, server = warm()
    number = pair.number("client")
    pair.delay("client", number, RTT // 2)  # longer than the window
    pair.write(client, fill(10 * MSS))
    pair.run_until(lambda: client.drained)
    pair.run(SECOND)
    assert client.stats(pair.now).retrans == 1
    assert client.stats(pair.now).dsack_dups == 1
    pair.delay("client", pair.number("client"), RTT // 4 + MS)  # would have been too late before
    pair.write(client, fill(10 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).retrans == 1
    assert pair.read(server) == fill(10 * MSS) * 2


@pytest.mark.rfc("8985", "6.2-2")
def test_the_round_trip_is_that_of_the_latest_packet_that_arrived() -> None:
    pair, client, server = warm()
    pair.write(client, bytes(MSS))
    pair.take("client")
    pair.now += 5 * MS
    pair.write(client, bytes(MSS))
    (second,) = pair.take("client")
    pair.now += 30 * MS
    una = client.sender.snd_una
    seen = (second.packet_number, 0)
    pair.answers("client", segment_of(server, ACK, sack=((una + MSS, una + 2 * MSS),), seen=seen, packet_number=50))
    assert client.sender.rack.rtt == 30 * MS
    assert client.sender.rack.largest_seen == second.packet_number


@pytest.mark.rdt("7.5-4")
@pytest.mark.rfc("8985", "6.2-7")
def test_the_window_grows_once_a_round_trip() -> None:
    rack = Rack(Config(), 0)
    rack.on_delivery(Delivery(5, lowest_original=10), 100)
    rack.on_delivery(Delivery(5, lowest_original=10), 100)
    assert rack.reordering_seen == 1
    windows = []
    for una, nxt in ((0, 100), (50, 120), (100, 200), (200, 300)):
        rack.on_duplicate(una, nxt)
        windows.append(rack.reordering_window(40, 1000, recovering=True))
    assert windows == [20, 20, 30, 40]


@pytest.mark.rdt("7.5-3")
@pytest.mark.rfc("8985", "6.2-9")
def test_the_window_is_never_more_than_the_round_trip() -> None:
    rack = Rack(Config(), 0)
    for una in range(0, 2000, 100):
        rack.on_duplicate(una, una + 100)
    assert rack.reordering_window(40, 60, recovering=False) == 60


@pytest.mark.rdt("7.5-4")
@pytest.mark.rfc("8985", "6.2-8")
def test_after_sixteen_recoveries_the_window_is_small_again() -> None:
    rack = Rack(Config(), 0)
    rack.on_duplicate(0, 100)
    rack.on_duplicate(100, 200)
    for _ in range(15):
        rack.on_recovered()
    assert rack.reordering_window(40, 1000, recovering=False) == 30
    rack.on_recovered()
    assert rack.reordering_window(40, 1000, recovering=False) == 10


@pytest.mark.rdt("7.5-3")
@pytest.mark.rfc("8985", "6.2-5")
def test_without_reordering_seen_there_is_no_window_in_recovery() -> None:
    rack = Rack(Config(), 0)
    assert rack.reordering_window(40, 1000, recovering=True) == 0
    assert rack.reordering_window(40, 1000, recovering=False) == 10


def test_the_reordering_timer_ends_with_what_it_waited_for() -> None:
    pair, client, _ = warm()
    pair.delay("client", pair.number("client"), 2 * MS)
    pair.write(client, fill(2 * MSS))
    pair.run_until(lambda: client.drained)
    assert client.sender.rack.deadline is None
    assert client.next_timeout() is None

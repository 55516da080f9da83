"""The tail loss probe between two endpoints: RFC 8985 §7."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK
from rawproto.transport.trace import RecoveryChanged

DELAY = 10 * MS
RTT = 2 * DELAY
ACK_DELAY = 40 * MS
MSS = 1440


def warm(config: Config | None = None) -> tuple[Pair, Connection, Connection]:
    """A connection with probes that knows its round trip, and whose client may send 20 segments."""
    pair = Pair(config or plain(tail_loss_probe=True))
    client, server = pair.connect()
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.read(server)
    client.sender.congestion.cwnd = 20 * MSS
    return pair, client, server


def probes(pair: Pair, since: int) -> list[int]:
    """When the probe timer ran out, in ns after `since`."""
    return [at - since for timer, at in pair.client.timers() if timer == "tail loss probe" and at >= since]


@pytest.mark.rdt("7.9-3")
@pytest.mark.rfc("8985", "7.2-1", "7.3-2")
def test_a_lost_tail_is_repeated_after_two_round_trips() -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", at + 4)
    start = pair.now
    pair.write(client, fill(5 * MSS))
    pair.run_until(lambda: client.drained)
    # The first four are acknowledged after one round trip, which sets the timer anew: one segment is left.
    assert probes(pair, start) == [RTT + 2 * RTT + ACK_DELAY]
    assert (client.sender.timeouts, client.stats(pair.now).tail_probes) == (0, 1)
    assert pair.read(server) == fill(5 * MSS)
    assert any("tail loss probe: packet" in reason for reason in pair.client.reasons())


@pytest.mark.rdt("7.9-2")
@pytest.mark.rfc("8985", "7.2-1", "7.2-2", "7.2-3")
@pytest.mark.parametrize(("segments", "after"), [(1, 2 * RTT + ACK_DELAY), (2, 2 * RTT), (5, 2 * RTT)])
def test_the_timer_is_two_round_trips_and_longer_for_a_single_packet(segments: int, after: int) -> None:
    pair, client, _ = warm()
    pair.client.cut = True
    start = pair.now
    pair.write(client, fill(segments * MSS))
    pair.run(150 * MS)
    assert probes(pair, start) == [after]


@pytest.mark.rdt("7.9-2")
@pytest.mark.rfc("8985", "7.2-1")
def test_where_the_retransmission_timer_would_be_sooner_the_probe_takes_its_place() -> None:
    pair, client, _ = warm(plain(tail_loss_probe=True, min_rto=1, max_rto=50 * MS, initial_rto=50 * MS))
    assert client.sender.rtt.rto == 50 * MS
    pair.client.cut = True
    start = pair.now
    pair.write(client, b"x")
    pair.run(120 * MS)
    timers = [(timer, at - start) for timer, at in pair.client.timers() if at >= start]
    assert timers == [("tail loss probe", 50 * MS), ("rto", 100 * MS)]


@pytest.mark.rdt("7.9-2")
@pytest.mark.rfc("8985", "7.2-1")
def test_without_a_round_trip_it_is_a_second() -> None:
    pair = Pair(Config(pacing=False))
    pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: bool(pair.server.endpoint.listeners[80].queue))
    server = pair.server.endpoint.listeners[80].queue.popleft()
    assert server.sender.rtt.srtt == 0
    pair.run(SECOND)
    start = pair.now
    pair.server.cut = True
    pair.write(server, fill(2 * MSS))
    pair.run(3 * SECOND)
    first = next((timer, at) for timer, at in pair.server.timers() if timer != "delayed ACK")
    assert first in {("rto", start + SECOND), ("tail loss probe", start + SECOND)}
    assert client.established


@pytest.mark.rdt("7.9-3")
@pytest.mark.rfc("8985", "7.3-1")
def test_new_data_is_the_better_probe() -> None:
    pair, client, server = warm()
    client.sender.congestion.cwnd = 3 * MSS
    at = pair.number("client")
    pair.drop("client", at, at + 1, at + 2)
    pair.write(client, fill(6 * MSS))
    pair.run_until(lambda: client.drained)
    assert "tail loss probe: new data" in pair.client.reasons()
    assert pair.read(server) == fill(6 * MSS)
    assert client.sender.timeouts == 0


@pytest.mark.rfc("8985", "7.3-1", "7.3-2")
def test_without_window_for_new_data_the_last_packet_is_repeated() -> None:
    pair = Pair(plain(tail_loss_probe=True), server_config=plain(receive_buffer=3 * MSS))
    client, server = pair.connect()
    at = pair.number("client")
    pair.drop("client", at + 2)
    pair.write(client, fill(6 * MSS))
    pair.run_until(lambda: server.receiver.ready == 3 * MSS)
    assert client.sender.timeouts == 0
    assert any("tail loss probe: packet" in reason for reason in pair.client.reasons())


@pytest.mark.rdt("7.9-5", "7.6-5")
@pytest.mark.rfc("8985", "7.3-3")
def test_no_second_probe_is_sent_before_an_answer_and_the_retransmission_timer_follows() -> None:
    pair, client, _ = warm()
    pair.client.cut = True
    start = pair.now
    pair.write(client, fill(3 * MSS))
    pair.run(900 * MS)
    assert probes(pair, start) == [2 * RTT]
    timers = [(timer, at - start) for timer, at in pair.client.timers() if at > start]
    assert timers[:2] == [("tail loss probe", 2 * RTT), ("rto", 2 * RTT + client.config.min_rto)]


@pytest.mark.rdt("7.9-1")
@pytest.mark.rfc("8985", "7.2-4")
def test_no_probe_while_something_is_known_selectively_acknowledged() -> None:
    pair, client, server = warm()
    pair.write(client, fill(3 * MSS))
    pair.take("client")
    una = client.sender.snd_una
    pair.answers("client", segment_of(server, ACK, sack=((una + MSS, una + 2 * MSS),), packet_number=50))
    assert client.sender.tail.deadline is None


@pytest.mark.rdt("7.9-1")
@pytest.mark.rfc("8985", "7.2-4")
def test_no_probe_in_recovery() -> None:
    pair, client, _ = warm()
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(8 * MSS))
    pair.run_until(lambda: client.sender.recovery.phase == "fast recovery")
    while client.sender.recovery.phase == "fast recovery":
        assert client.sender.tail.deadline is None
        pair.step()


@pytest.mark.rdt("7.9-4")
@pytest.mark.rfc("8985", "7.4.2")
def test_a_loss_that_a_probe_repaired_reduces_the_window_once() -> None:
    pair, client, _ = warm()
    pair.drop("client", pair.number("client") + 9)
    pair.write(client, fill(10 * MSS))
    pair.run_until(lambda: client.drained)
    assert client.sender.congestion.ssthresh is not None
    assert client.sender.recovery.episodes == 1
    assert "a tail loss probe repaired a loss" in [record.why for record in pair.client.records(RecoveryChanged)]


@pytest.mark.rdt("7.9-4")
@pytest.mark.rfc("8985", "7.4.2")
def test_a_probe_that_comes_twice_reduces_nothing() -> None:
    """The acknowledgement is late: the peer reports that it has got the octets before."""
    pair, client, server = warm()
    pair.write(client, fill(2 * MSS))
    pair.delay("server", pair.number("server"), 25 * MS)
    pair.run(SECOND)
    assert client.stats(pair.now).tail_probes == 1
    assert client.stats(pair.now).dsack_dups == 1
    assert (client.sender.congestion.ssthresh, client.sender.recovery.episodes) == (None, 0)
    assert pair.read(server) == fill(2 * MSS)


@pytest.mark.rdt("7.9-4")
@pytest.mark.rfc("8985", "7.4.2")
def test_an_acknowledgement_that_does_not_know_the_probe_shows_that_it_was_needless() -> None:
    """By the packet number, before any report of a repetition comes."""
    pair, client, server = warm()
    pair.server.slower_ns = 25 * MS
    pair.write(client, fill(2 * MSS))
    pair.run_until(lambda: client.drained)
    assert client.stats(pair.now).tail_probes == 1
    assert (client.sender.congestion.ssthresh, client.sender.recovery.episodes) == (None, 0)
    assert server.receiver.ready == 2 * MSS


@pytest.mark.rfc("8985", "7.4.2")
def test_a_probe_of_new_data_reduces_nothing_by_itself() -> None:
    pair, client, _ = warm()
    client.sender.congestion.cwnd = 2 * MSS
    pair.server.slower_ns = 25 * MS
    pair.write(client, fill(4 * MSS))
    pair.run_until(lambda: client.drained)
    assert "tail loss probe: new data" in pair.client.reasons()
    assert client.sender.recovery.episodes == 0


def test_a_probe_of_the_tail_shows_losses_before_it() -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", *range(at + 4, at + 8))
    start = pair.now
    pair.write(client, fill(8 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(8 * MSS)
    assert client.sender.timeouts == 0
    assert pair.now - start < 150 * MS


@pytest.mark.parametrize("lost", range(1, 6))
def test_a_fin_is_probed_for_too(lost: int) -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", *range(at, at + lost))
    pair.write(client, fill(4 * MSS))
    client.shutdown(pair.now)
    pair.run(2 * SECOND)
    assert server.receiver.at_end
    assert pair.read(server) == fill(4 * MSS)


@pytest.mark.rdt("7.9-4")
@pytest.mark.rfc("8985", "7.4.2")
def test_a_probe_for_a_lost_acknowledgement_reduces_nothing() -> None:
    """The peer knows the probe, and reports that it brought nothing new."""
    pair, client, server = warm()
    pair.drop("server", pair.number("server"))
    pair.write(client, fill(2 * MSS))
    pair.run_until(lambda: client.drained)
    assert client.stats(pair.now).tail_probes == client.stats(pair.now).dsack_dups == 1
    assert client.sender.rack.largest_seen == client.sender.tail.packet_number
    assert (client.sender.congestion.ssthresh, client.sender.recovery.episodes) == (None, 0)
    assert pair.read(server) == fill(2 * MSS)

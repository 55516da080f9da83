"""How losses inside a flight are repaired: at once, each with its own reason, by packet numbers."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK
from rawproto.transport.trace import RecoveryChanged, SegmentSent

MSS = 1440


def started(config: Config | None = None, window: int = 40) -> tuple[Pair, Connection, Connection]:
    """A connection whose client may send `window` segments at once."""
    pair = Pair(config or plain())
    client, server = pair.connect()
    client.sender.congestion.cwnd = window * MSS
    return pair, client, server


def lossy_transfer(*numbers: int) -> Pair:
    """A client that sends 100 MSS with a window of 40, and loses its datagrams `numbers`."""
    pair, client, server = started()
    pair.drop("client", *numbers)
    pair.write(client, fill(100 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(100 * MSS)
    assert client.sender.timeouts == 0
    return pair


@pytest.mark.parametrize("number", range(2, 12))
@pytest.mark.parametrize("config", [Config(), plain()], ids=["all", "plain"])
@pytest.mark.rdt("7.5-1")
@pytest.mark.rfc("9002", "6.1.1")
def test_any_lost_datagram_of_a_flight_is_repaired_without_a_timeout(number: int, config: Config) -> None:
    pair = Pair(config)
    client, server = pair.connect()
    at = pair.number("client")
    pair.drop("client", at + number - 2)
    pair.write(client, fill(100 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(100 * MSS)
    assert client.sender.timeouts == 0
    assert client.stats(pair.now).retrans == 1


@pytest.mark.rdt("7.7-2")
@pytest.mark.rfc("6675", "5-1")
def test_the_first_lost_segment_goes_out_when_the_loss_is_found() -> None:
    """RFC 6675 §5, (4.3), although more is in flight than the halved window allows."""
    pair = lossy_transfer(10)
    (lost,) = pair.client.losses()
    (again,) = [record for record in pair.client.records(SegmentSent) if record.retransmission]
    assert again.time_ns == lost.time_ns


@pytest.mark.rfc("5681", "3.2-3")
def test_the_window_is_halved_from_what_was_in_flight() -> None:
    """RFC 5681 §3.1 (4): FlightSize / 2, not half of what is left when most of it was acknowledged selectively."""
    pair, client, _ = started()
    pair.drop("client", pair.number("client"))  # the first of the burst
    pair.write(client, bytes(40 * MSS))
    pair.run_until(lambda: client.sender.segments_retransmitted > 0)
    assert client.sender.congestion.ssthresh == 20 * MSS


@pytest.mark.rdt("9.1-1")
@pytest.mark.rfc("5681", "4.3")
@pytest.mark.rfc("6582", "3.2-1")
def test_many_losses_of_one_window_reduce_it_once() -> None:
    pair, client, _ = started()
    at = pair.number("client")
    pair.drop("client", at + 3, at + 9, at + 20, at + 33)
    pair.write(client, bytes(40 * MSS))
    pair.run_until(lambda: client.drained)
    assert client.sender.recovery.episodes == 1
    assert client.sender.congestion.ssthresh == 20 * MSS
    phases = [record.phase for record in pair.client.records(RecoveryChanged)]
    assert phases == ["fast recovery", "open"]


@pytest.mark.rdt("9.2-2")
@pytest.mark.rfc("9937", "6.4")
def test_at_the_end_of_a_repair_the_window_is_the_threshold() -> None:
    pair, client, _ = started()
    pair.drop("client", pair.number("client") + 5)
    pair.write(client, bytes(40 * MSS))
    pair.run_until(lambda: client.sender.recovery.phase == "fast recovery")
    pair.run_until(lambda: client.sender.recovery.phase == "open")
    assert client.sender.congestion.cwnd == client.sender.congestion.ssthresh == 20 * MSS


@pytest.mark.rfc("9937", "6.2-1", "6.3", "6.1")
def test_while_it_repairs_a_sender_goes_on_in_proportion_to_what_arrives() -> None:
    """One lost of 40: some 20 more leave while the other 39 are acknowledged, spread over the round trip."""
    pair, client, _ = started()
    pair.drop("client", pair.number("client"))
    pair.write(client, bytes(100 * MSS))
    pair.run_until(lambda: client.sender.recovery.phase == "fast recovery")
    before = client.sender.snd_nxt
    flights = []
    while client.sender.recovery.phase == "fast recovery":
        flights.append(client.sender.scoreboard.in_flight)
        pair.step()
    assert 17 * MSS <= client.sender.snd_nxt - before <= 23 * MSS
    assert min(flights) >= 18 * MSS


def test_each_retransmission_names_its_own_packet() -> None:
    pair = lossy_transfer(10, 14, 30)
    named = [
        int(record.reason.split("packet ")[1].split()[0])
        for record in pair.client.records(SegmentSent)
        if record.retransmission
    ]
    assert [record.packet_number for record in pair.client.losses()] == [10, 14, 30]
    assert named == [10, 14, 30]


@pytest.mark.rfc("6675", "4-1")
def test_what_is_lost_is_not_in_flight_and_what_is_sent_again_is() -> None:
    pair, client, _ = started(window=10)
    at = pair.number("client")
    pair.drop("client", at, at + 1)
    pair.write(client, bytes(10 * MSS))
    pair.run_until(lambda: bool(pair.client.losses()))
    stats = client.stats(pair.now)
    assert stats.unacked == stats.in_flight + stats.lost + stats.sacked
    assert stats.sacked == 8 * MSS


@pytest.mark.rdt("9.1-6")
def test_a_lost_retransmission_is_repaired_without_a_timeout() -> None:
    pair, client, server = started()
    first = client.sender.snd_nxt
    lost: list[int] = []

    def lose_twice(data: bytes) -> bool:
        (segment,) = client.codec.decode([data], lambda reason, length: None)
        if segment.seq != first or len(lost) == 2:
            return True
        lost.append(segment.packet_number)
        return False

    pair.client.accepts = lose_twice
    pair.write(client, fill(200 * MSS))
    pair.run_until(lambda: client.drained)
    assert len(lost) == 2
    assert pair.read(server) == fill(200 * MSS)
    assert client.sender.timeouts == 0
    assert client.sender.congestion.ssthresh is not None
    assert client.sender.congestion.ssthresh <= 11 * MSS  # 40 halved twice, and not once


@pytest.mark.rfc("9293", "3.8.1")
@pytest.mark.parametrize("config", [Config(), plain()], ids=["all", "plain"])
def test_duplicates_and_reordering_change_nothing(config: Config) -> None:
    pair = Pair(config)
    pair.duplicate("client", *range(0, 40, 3))
    pair.duplicate("server", *range(0, 10, 2))
    for number in range(2, 40, 7):
        pair.delay("client", number, 7 * MS)
    client, server = pair.connect()
    pair.write(client, fill(60 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(60 * MSS)


def test_an_old_segment_still_acknowledges() -> None:
    pair, client, server = started()
    pair.write(client, b"old")
    pair.run_until(lambda: client.drained)
    pair.write(server, b"not seen to arrive")
    pair.take("server")
    pair.answers("server", segment_of(client, ACK, seq=-3, ack=18, payload=b"old"))
    assert server.drained


@pytest.mark.rdt("7.3-3", "7.5-7")
def test_what_a_full_list_of_ranges_does_not_reach_is_not_taken_for_lost() -> None:
    """With a small MSS the list is short: four ranges for 64 bytes."""
    pair = Pair(plain(congestion_control="none"), datagram_size=40 + 64)
    client, server = pair.connect()
    at = pair.number("client")
    pair.drop("client", *range(at, at + 100, 10))
    pair.write(client, fill(100 * 64))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(100 * 64)
    assert client.sender.segments_retransmitted == 10
    assert client.sender.timeouts == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.rdt("7.1-1")
def test_an_octet_that_is_sent_again_is_the_same_octet(seed: int) -> None:
    pair, client, server = started(Config(), 100)
    at = pair.number("client")
    pair.drop("client", *range(at + seed, at + 300, 7 + seed))
    pair.write(client, fill(200 * MSS))
    pair.run_until(lambda: client.drained)
    base, sent = client.sender.iss + 1, fill(200 * MSS)
    for segment in pair.client.segments():
        if segment.payload:
            assert bytes(segment.payload) == sent[segment.seq - base : segment.seq - base + len(segment.payload)]
    assert pair.read(server) == sent

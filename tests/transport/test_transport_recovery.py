"""The retransmission timer, and the episodes of congestion that losses begin: RFC 6298, RFC 5681, RFC 6675."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection, End
from rawproto.transport.segment import ACK, FIN, RST
from rawproto.transport.trace import RecoveryChanged

DELAY = 10 * MS
MSS = 1440


def warm(config: Config | None = None) -> tuple[Pair, Connection, Connection]:
    """A connection that has measured a round trip in each direction, and is idle."""
    pair = Pair(config or plain())
    client, server = pair.connect()
    for one, other in ((client, server), (server, client)):
        pair.write(one, b"warm up")
        pair.run_until(lambda one=one: one.drained)
        pair.read(other)
    pair.run(SECOND)
    return pair, client, server


def expiries(pair: Pair, since: int) -> list[int]:
    """When the client's retransmission timer ran out, in ms after `since`."""
    return [(at - since) // MS for timer, at in pair.client.timers() if timer == "rto"]


@pytest.mark.rdt("7.6-1", "7.6-3")
@pytest.mark.rfc("6298", "5.1", "5.4", "5.5")
@pytest.mark.rfc("9293", "MUST-18", "MUST-19")
def test_a_lost_tail_is_repaired_by_the_timeout_which_doubles() -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", at, at + 1, at + 2)
    start = pair.now
    pair.write(client, b"tail")
    pair.run_until(lambda: client.drained)
    assert expiries(pair, start) == [200, 600, 1400]
    assert pair.read(server) == b"tail"
    assert client.sender.rtt.backoffs == 0
    assert client.stats(pair.now).timeouts == 3


@pytest.mark.rfc("6298", "2.5")
def test_the_doubling_has_a_cap() -> None:
    pair, client, _ = warm(plain(user_timeout=300 * SECOND))
    pair.client.cut = True
    start = pair.now
    pair.write(client, b"into the void")
    pair.run()
    gaps = expiries(pair, start)
    assert gaps[:9] == [200, 600, 1400, 3000, 6200, 12600, 25400, 51000, 102200]
    assert gaps[-1] - gaps[-2] == 60_000


@pytest.mark.rdt("7.6-2")
@pytest.mark.rfc("6298", "5.2")
def test_when_all_is_acknowledged_the_timer_stops() -> None:
    pair, client, _ = warm()
    assert client.next_timeout() is None
    pair.write(client, b"x")
    pair.run_until(lambda: client.drained)
    assert client.next_timeout() is None
    assert "rto" not in [timer for timer, _ in pair.client.timers()]


@pytest.mark.rdt("7.6-2")
@pytest.mark.rfc("6298", "5.3")
def test_an_acknowledgement_of_new_octets_starts_the_timer_anew() -> None:
    pair, client, server = warm()
    pair.write(client, bytes(2 * MSS))
    pair.take("client")
    first = client.next_timeout()
    assert first is not None
    pair.now += 100 * MS
    pair.answers("client", segment_of(server, ACK, ack=MSS, wnd=1 << 20))
    assert client.next_timeout() == pair.now + client.sender.rtt.rto > first


@pytest.mark.rdt("7.6-3")
def test_after_a_timeout_all_that_fits_the_window_is_repeated() -> None:
    """A short answer and the FIN behind it, sent apart, don't take one timeout each."""
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", at, at + 1)
    pair.write(client, b"answer")
    pair.flush()
    client.shutdown(pair.now)
    start = pair.now
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.now - start == 200 * MS + DELAY
    assert client.sender.timeouts == 1


@pytest.mark.rdt("7.1-1")
@pytest.mark.rfc("9293", "3.8.1")
def test_a_lost_acknowledgement_costs_one_retransmission_at_most() -> None:
    pair, client, server = warm()
    pair.drop("server", pair.number("server"))
    pair.write(client, b"once")
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == b"once"
    assert server.receiver.duplicate_octets == 4


@pytest.mark.rfc("6298", "3-1")
def test_the_acknowledgement_of_a_retransmission_gives_a_sample_of_its_own() -> None:
    """Karn's rule: the packet number says which transmission it answers."""
    pair, client, _ = warm()
    pair.drop("client", pair.number("client"))
    pair.write(client, b"twice")
    pair.run_until(lambda: client.drained)
    assert client.sender.rtt.latest == 2 * DELAY


@pytest.mark.rfc("5681", "3.1-9", "3.1-11")
def test_a_timeout_leaves_one_segment_and_half_of_what_was_in_flight() -> None:
    pair, client, _ = warm()
    pair.client.cut = True
    pair.write(client, bytes(8 * MSS))
    pair.run(250 * MS)
    assert (client.sender.congestion.cwnd, client.sender.congestion.ssthresh) == (MSS, 4 * MSS)
    assert client.stats(pair.now).phase == "timeout recovery"


@pytest.mark.rfc("5681", "3.1-10")
def test_a_second_timeout_leaves_the_threshold() -> None:
    pair, client, _ = warm()
    pair.client.cut = True
    pair.write(client, bytes(8 * MSS))
    pair.run(SECOND)
    assert (client.sender.timeouts, client.sender.recovery.episodes) == (2, 1)
    assert (client.sender.congestion.cwnd, client.sender.congestion.ssthresh) == (MSS, 4 * MSS)


@pytest.mark.rfc("6675", "5.1")
def test_losses_of_the_same_window_after_a_timeout_begin_no_other_recovery() -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", *range(at, at + 10))
    pair.drop("client", at + 11)  # and one of the repetitions
    pair.write(client, fill(10 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(10 * MSS)
    phases = [record.phase for record in pair.client.records(RecoveryChanged)]
    assert "fast recovery" not in phases


@pytest.mark.rdt("5.9-2", "5.9-3", "5.9-4")
@pytest.mark.rfc("9293", "MUST-20-2", "SHLD-11", "MUST-21")
@pytest.mark.parametrize("how", ["default", "config", "option"])
def test_the_user_timeout_ends_it_when_nothing_is_acknowledged(how: str) -> None:
    pair, client, server = warm(plain(user_timeout=30 * SECOND) if how == "config" else None)
    if how == "option":
        client.set_option("user_timeout", 30 * SECOND, pair.now)
    seconds = 100 if how == "default" else 30
    pair.client.cut = True
    start = pair.now
    pair.write(client, b"into the void")
    pair.run()
    assert client.end is not None
    assert (client.end.cause, pair.now - start) == ("timeout", seconds * SECOND)
    with pytest.raises(End, match=f"acknowledged nothing for {seconds} s"):
        client.send(b"x", pair.now)
    assert pair.client.segments()[-1].flags == RST | ACK
    assert server.end is None


def test_acknowledgements_however_slow_put_off_the_user_timeout() -> None:
    pair, client, server = warm(plain(user_timeout=5 * SECOND, congestion_control="none"))
    pair.write(client, bytes(20 * MSS))
    pair.take("client")
    for index in range(1, 20):
        pair.run(4 * SECOND)
        pair.answers("client", segment_of(server, ACK, packet_number=100 + index, ack=MSS * index))
    assert client.end is None


def test_each_sent_octet_is_forgotten_once_acknowledged() -> None:
    pair = Pair()
    client, server = pair.connect()
    for _ in range(50):
        pair.write(client, fill(50_000))
        pair.run_until(lambda: client.drained)
        pair.read(server)
    assert (len(client.sender.buffer), len(client.sender.scoreboard)) == (0, 0)
    assert len(client.sender.bursts) <= 1


def test_a_peer_that_never_tells_what_it_has_seen_costs_no_memory() -> None:
    pair, client, server = warm()
    number = server.sender.packet_number
    for index in range(1, 301):
        pair.write(client, bytes(100))
        pair.take("client")
        pair.answers("client", segment_of(server, ACK, ack=100 * index, packet_number=number + index))
    assert client.drained
    assert len(client.sender.bursts) <= 1


@pytest.mark.rdt("7.6-3")
def test_progress_ends_the_backoff_even_if_no_round_trip_was_told() -> None:
    pair, client, server = warm()
    pair.write(client, bytes(100))
    pair.take("client")
    client.sender.rtt.backoffs = 5
    pair.answers("client", segment_of(server, ACK, ack=100, packet_number=50))
    assert client.sender.rtt.backoffs == 0


def test_a_peer_that_has_all_selectively_and_never_acknowledges_is_given_up() -> None:
    pair, client, server = warm(plain(user_timeout=10 * SECOND))
    pair.write(client, bytes(100))
    pair.take("client")
    una = client.sender.snd_una
    pair.answers("client", segment_of(server, ACK, sack=((una, una + 100),), packet_number=50))
    pair.run()
    assert client.end is not None
    assert client.end.cause == "timeout"


@pytest.mark.parametrize(
    "ranges",
    [((-200, -100),), ((50, 1 << 31),), ((1 << 30, 1 << 31),), ((60, 40),), ((40, 40),)],
    ids=["before", "over the end", "beyond", "inverted", "empty"],
)
@pytest.mark.rdt("3.5-9")
def test_ranges_that_cannot_be_are_ignored(ranges: tuple[tuple[int, int], ...]) -> None:
    pair, client, server = warm()
    pair.write(client, bytes(100))
    pair.take("client")
    una = client.sender.snd_una
    liar = segment_of(server, ACK, packet_number=50)
    liar.sack = tuple((una + low, una + high) for low, high in ranges)
    client.receive(liar, pair.now)
    assert (client.sender.scoreboard.in_flight, client.sender.scoreboard.sacked) == (100, 0)


@pytest.mark.rdt("3.5-10")
def test_a_packet_number_that_was_not_sent_is_ignored() -> None:
    pair, client, server = warm()
    pair.write(client, bytes(100))
    pair.take("client")
    seen = client.sender.rack.largest_seen
    client.receive(segment_of(server, ACK, seen=(1 << 40, 0), packet_number=50), pair.now)
    assert client.sender.rack.largest_seen == seen


@pytest.mark.rdt("3.5-16")
def test_a_report_of_repetition_acknowledges_nothing() -> None:
    pair, client, server = warm()
    pair.write(client, bytes(100))
    pair.take("client")
    una = client.sender.snd_una
    client.receive(segment_of(server, ACK, dsack=(una, una + 100), packet_number=50), pair.now)
    assert (client.sender.snd_una, client.sender.scoreboard.in_flight) == (una, 100)


def test_thousands_of_ranges_are_not_cut_into_thousands_of_pieces() -> None:
    pair, client, server = warm(plain(congestion_control="none", send_buffer=1 << 20))
    pair.write(client, bytes(1 << 20))
    pair.take("client")
    una, number = client.sender.snd_una, 50
    for first in range(0, 1 << 17, 62):
        ranges = tuple((una + first + at, una + first + at + 1) for at in range(0, 62, 2))
        number += 1
        client.receive(segment_of(server, ACK, sack=ranges, packet_number=number), pair.now)
    assert len(client.sender.scoreboard) <= (1 << 14) + 1


@pytest.mark.rdt("7.7-1", "7.3-5")
@pytest.mark.rfc("2018", "5-1")
@pytest.mark.rfc("6675", "5-1")
def test_lost_octets_go_before_new_ones_lowest_first_and_what_arrived_is_not_repeated() -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", at + 1, at + 4)
    pair.write(client, fill(30 * MSS))
    pair.run_until(lambda: client.drained)
    again = [record for record in pair.client.trace.records if getattr(record, "retransmission", False)]
    base = client.sender.snd_una - 30 * MSS
    assert [(r.seq - base) // MSS for r in again] == [1, 4]
    assert pair.read(server) == fill(30 * MSS)


def test_fin_is_repeated_like_data() -> None:
    pair, client, server = warm()
    pair.drop("client", pair.number("client"))
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert server.receiver.at_end
    assert [bool(s.flags & FIN) for s in pair.client.segments()].count(True) == 2


@pytest.mark.rdt("7.3-8")
@pytest.mark.parametrize("where", [(-50, 10), (0, 101), (200, 300)])
def test_a_report_of_repetition_of_what_was_not_sent_is_ignored(where: tuple[int, int]) -> None:
    pair, client, server = warm()
    pair.write(client, bytes(100))
    pair.take("client")
    first = client.sender.iss + 1 if where[0] < 0 else client.sender.snd_una
    dsack = (first + where[0], first + where[1])
    client.receive(segment_of(server, ACK, dsack=dsack, packet_number=50), pair.now)
    assert client.stats(pair.now).dsack_dups == 0


@pytest.mark.rdt("7.4-4")
def test_an_acknowledgement_that_waits_trips_no_timer_on_an_even_path() -> None:
    pair, client, server = warm(plain(delayed_ack=True, min_rto=1))
    for _ in range(100):
        pair.write(client, b"x")
        pair.run(200 * MS)
    assert client.sender.timeouts == 0
    assert server.stats(pair.now).delayed_acks >= 100


@pytest.mark.rdt("9.1-6")
@pytest.mark.rfc("5681", "4.3", "4.3-2")
def test_losses_in_two_windows_and_of_a_repetition_reduce_twice() -> None:
    pair, client, _ = warm(plain(idle_restart=False))
    client.sender.congestion.cwnd = 32 * MSS
    for _ in range(2):
        pair.drop("client", pair.number("client"))
        pair.write(client, bytes(32 * MSS))
        pair.run_until(lambda: client.drained)
    assert client.sender.recovery.episodes == 2
    assert client.sender.congestion.ssthresh is not None
    assert client.sender.congestion.ssthresh <= 16 * MSS // 2 + MSS


@pytest.mark.rfc("9002", "7.7-3")
@pytest.mark.rdt("9.6-2")
def test_what_only_acknowledges_does_not_wait_for_the_pacer() -> None:
    pair, client, server = warm(plain(pacing=True))
    pair.write(client, bytes(100_000))
    pair.flush()
    assert client.sender.pacer.ready_at() > pair.now
    pair.answers("client", segment_of(server, ACK, payload=b"question"))
    segments = [s for s in pair.client.segments() if s.ack == server.sender.snd_nxt + 8]
    taken = pair.answers("client", segment_of(server, ACK, seq=8, payload=b"another", packet_number=60))
    assert not segments
    assert [len(s.payload) for s in taken] == [0]

"""What a connection says of itself, each figure against what has happened."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, RST
from rawproto.transport.statistics import Stats

MSS = 1440
DELAY = 10 * MS


def connected(**changes: object) -> tuple[Pair, Connection, Connection]:
    pair = Pair(plain(**changes))
    return pair, *pair.connect()


def lossy() -> tuple[Pair, Connection, Connection]:
    """100 segments from the client, of which two are lost, and 10 from the server."""
    pair, client, server = connected()
    at = pair.number("client")
    pair.drop("client", at + 5, at + 40)
    pair.write(client, fill(100 * MSS))
    pair.write(server, fill(10 * MSS))
    pair.run(5 * SECOND)
    return pair, client, server


def test_octets_and_datagrams_are_counted_as_the_wire_saw_them() -> None:
    pair, client, server = lossy()
    here, there = client.stats(pair.now), server.stats(pair.now)
    assert (here.bytes_sent, here.bytes_acked, there.bytes_received) == (100 * MSS,) * 3
    assert (there.bytes_sent, there.bytes_acked, here.bytes_received) == (10 * MSS,) * 3
    assert (here.retrans, here.bytes_retrans, there.retrans) == (2, 2 * MSS, 0)
    assert (here.segs_out, there.segs_out) == (len(pair.client.sent), len(pair.server.sent))
    assert (there.segs_in, here.segs_in) == (len(pair.client.sent) - 2, len(pair.server.sent))


def test_at_rest_nothing_is_outstanding() -> None:
    pair, client, _ = lossy()
    stats = client.stats(pair.now)
    assert (stats.unacked, stats.sacked, stats.lost, stats.in_flight, stats.notsent) == (0, 0, 0, 0, 0)
    assert (stats.state, stats.phase, stats.congestion) == ("ESTABLISHED", "open", "reno")


def test_in_the_midst_of_a_repair_the_parts_add_up() -> None:
    pair, client, server = connected()
    at = pair.number("client")
    pair.drop("client", at)
    pair.write(client, fill(100 * MSS))
    pair.run_until(lambda: client.stats(pair.now).phase == "fast recovery")
    stats = client.stats(pair.now)
    assert stats.unacked == stats.in_flight + stats.lost + stats.sacked
    assert stats.notsent == 100 * MSS - stats.unacked
    assert (stats.sacked, server.stats(pair.now).rcv_ooo) == (9 * MSS, 9 * MSS)
    assert stats.ssthresh == 5 * MSS
    assert stats.cwnd == client.sender.congestion.cwnd


def test_round_trips() -> None:
    pair, client, _ = lossy()
    stats = client.stats(pair.now)
    assert (stats.rtt, stats.min_rtt, stats.backoff) == (2 * DELAY, 2 * DELAY, 0)
    assert (stats.rttvar, stats.rto) == (client.sender.rtt.rttvar, 200 * MS)


def test_sizes_and_rates() -> None:
    pair, client, _ = connected(pacing=True)
    pair.write(client, fill(100 * MSS))
    pair.run_until(lambda: client.drained)
    stats = client.stats(pair.now)
    assert (stats.mss, stats.pmtu) == (MSS, MSS + 40)
    assert 10 * MSS * 50 <= stats.delivery_rate <= 100 * MSS * 50
    assert stats.pacing_rate == client.sender.pacer.rate > 0
    assert connected()[1].stats(0).pacing_rate == 0


def test_windows_are_those_of_the_peer_and_our_own() -> None:
    pair, client, server = connected(receive_buffer=50_000)
    pair.write(client, fill(20_000))
    pair.run(SECOND)
    assert client.stats(pair.now).snd_wnd == server.stats(pair.now).rcv_wnd == 30_000
    assert client.stats(pair.now).rcv_wnd == 50_000


def test_timeouts_and_backoff() -> None:
    pair, client, _ = connected()
    pair.client.cut = True
    pair.write(client, b"x")
    pair.run(SECOND)
    stats = client.stats(pair.now)
    assert (stats.timeouts, stats.backoff, stats.rto, stats.phase) == (2, 2, 800 * MS, "timeout recovery")


def test_probes_of_tail_and_window() -> None:
    pair = Pair(plain(tail_loss_probe=True), server_config=plain(receive_buffer=3 * MSS))
    client, _ = pair.connect()
    at = pair.number("client")
    pair.drop("client", at + 2)
    pair.write(client, fill(10 * MSS))
    pair.run(5 * SECOND)
    stats = client.stats(pair.now)
    assert stats.tail_probes == 1
    assert stats.window_probes == pair.client.reasons().count("window probe") >= 3


def test_how_long_it_was_busy_and_held_by_the_window() -> None:
    pair = Pair(plain(), server_config=plain(receive_buffer=5 * MSS))
    client, server = pair.connect()
    pair.run(SECOND)
    start = pair.now
    assert client.stats(pair.now).busy == 2 * DELAY  # of the SYN
    pair.write(client, fill(10 * MSS))
    pair.run(5 * SECOND)
    stats = client.stats(pair.now)
    assert stats.busy == 2 * DELAY + pair.now - start
    assert stats.rwnd_limited == pair.now - start
    pair.read(server)
    pair.run_until(lambda: client.drained)
    end = client.stats(pair.now)
    pair.run(100 * SECOND)
    assert client.stats(pair.now).busy == end.busy
    assert client.stats(pair.now).rwnd_limited == end.rwnd_limited
    assert stats.rwnd_limited <= end.rwnd_limited < end.busy


def test_whether_the_application_held_it_back() -> None:
    pair, client, _ = connected()
    assert client.stats(pair.now).app_limited
    pair.write(client, fill(1 << 20))
    pair.run(60 * MS)
    assert not client.stats(pair.now).app_limited


def test_marks_and_reductions() -> None:
    pair, client, server = connected(ecn=True)
    pair.mark("client", pair.number("client"))
    pair.write(client, fill(10 * MSS))
    pair.run(SECOND)
    assert (client.stats(pair.now).ecn, client.stats(pair.now).ecn_reductions) == (True, 1)
    assert (server.stats(pair.now).ecn_marks, server.stats(pair.now).ecn_reductions) == (1, 0)
    assert not connected()[1].stats(0).ecn


def test_duplicates_reordering_and_what_was_undone() -> None:
    pair, client, server = connected(idle_restart=False)
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.delay("client", pair.number("client"), 12 * MS)
    pair.write(client, fill(10 * MSS))
    pair.run(SECOND)
    stats = client.stats(pair.now)
    assert (stats.retrans, stats.undone, stats.dsack_dups) == (1, 1, 1)
    assert stats.reord_seen >= 1
    assert server.stats(pair.now).rcv_dup == MSS


def test_delayed_acknowledgements() -> None:
    pair, client, server = connected(delayed_ack=True)
    for _ in range(3):
        pair.write(client, b"x")
        pair.run(SECOND)
    assert server.stats(pair.now).delayed_acks == 3


def test_challenges() -> None:
    pair, client, server = connected()
    for _ in range(12):
        pair.answers("server", segment_of(client, RST, seq=100))
    assert (server.stats(pair.now).challenges, server.stats(pair.now).challenges_suppressed) == (10, 2)


def test_what_was_refused() -> None:
    pair, client, server = connected(receive_buffer=1000)
    pair.answers("server", segment_of(client, ACK, payload=bytes(1500)))
    assert server.stats(pair.now).rcv_refused == 500


def test_all_of_it_can_be_had_as_plain_values() -> None:
    pair, client, _ = lossy()
    plain_values = client.stats(pair.now).as_dict()
    assert set(plain_values) == set(Stats.__dataclass_fields__)
    assert all(isinstance(value, int | str | bool | None) for value in plain_values.values())


@pytest.mark.parametrize("moment", ["syn sent", "ended"])
def test_it_can_be_asked_at_any_time(moment: str) -> None:
    pair = Pair(Config())
    client = pair.client.endpoint.connect("server", 80, 0)
    if moment == "ended":
        pair.run()
    stats = client.stats(pair.now)
    assert stats.state == ("SYN-SENT" if moment == "syn sent" else "CLOSED")
    assert stats.bytes_acked == 0


def test_an_endpoint_adds_up_its_connections() -> None:
    pair, client, _ = lossy()
    client.abort(pair.now)
    pair.run(SECOND)
    totals = pair.client.endpoint.totals()
    assert (totals.sent, totals.retransmitted) == (len(pair.client.sent), 2)
    assert pair.server.endpoint.totals().received == len(pair.client.sent) - 2
    assert pair.client.endpoint.connections == {}

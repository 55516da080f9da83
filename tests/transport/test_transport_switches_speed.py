"""Each switch of Config for what serves speed and fairness, off: what it was good for.

A test is called after its switch; those that a guarantee rests on are in test_transport_switches.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, CWR, ECE
from rawproto.transport.trace import RecoveryChanged

MSS = 1440
DELAY = 10 * MS
BOTH = pytest.mark.parametrize("on", [True, False])


def connected(**changes: object) -> tuple[Pair, Connection, Connection]:
    pair = Pair(plain(**changes))
    return pair, *pair.connect()


def warm(**changes: object) -> tuple[Pair, Connection, Connection]:
    """A connection that knows its round trip, whose client may send 20 segments at once."""
    pair, client, server = connected(**{"idle_restart": False, **changes})
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.read(server)
    client.sender.congestion.cwnd = 20 * MSS
    return pair, client, server


def test_congestion_control_none_sends_all_at_once_and_goes_on_so() -> None:
    for name, datagrams in (("reno", 10), ("cubic", 10), ("none", 500)):
        pair, client, server = connected(congestion_control=name)
        at = pair.number("client")
        pair.write(client, fill(500 * MSS))
        pair.flush()
        assert len(pair.client.sent) - at == datagrams
        pair.drop("client", at + 100)
        pair.run_until(lambda client=client: client.drained)
        assert pair.read(server) == fill(500 * MSS)
    assert client.sender.congestion.ssthresh is None


@BOTH
@pytest.mark.rfc("2018", "3-1")
@pytest.mark.rfc("2883", "4-1")
def test_sack_off_reports_neither_gaps_nor_repetitions(on: bool) -> None:
    pair, client, _ = connected(sack=on)
    (gap,) = pair.answers("server", segment_of(client, ACK, seq=10, payload=b"x"))
    (twice,) = pair.answers("server", segment_of(client, ACK, seq=10, payload=b"x", packet_number=20))
    assert bool(gap.sack) is on
    assert (twice.dsack is not None) is on


@pytest.mark.rdt("7.5-7")
@BOTH
@pytest.mark.rfc("2018", "5-1")
def test_sack_off_repairs_one_loss_a_round_trip(on: bool) -> None:
    pair, client, server = warm(sack=on)
    at = pair.number("client")
    pair.drop("client", at, at + 3, at + 6)
    start = pair.now
    pair.write(client, fill(20 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(20 * MSS)
    assert (pair.now - start <= 5 * DELAY) is on


@BOTH
def test_fast_retransmit_off_waits_for_the_timer(on: bool) -> None:
    pair, client, server = warm(fast_retransmit=on)
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(10 * MSS))
    pair.run_until(lambda: client.drained)
    assert (client.sender.timeouts, len(pair.client.losses())) == ((0, 1) if on else (1, 0))
    assert pair.read(server) == fill(10 * MSS)


@BOTH
@pytest.mark.rfc("8985", "7.2-1")
def test_tail_loss_probe_off_waits_for_the_timer(on: bool) -> None:
    pair, client, _ = warm(tail_loss_probe=on)
    pair.drop("client", pair.number("client") + 4)
    pair.write(client, fill(5 * MSS))
    pair.run_until(lambda: client.drained)
    assert (client.sender.timeouts, client.stats(pair.now).tail_probes) == ((0, 1) if on else (1, 0))


@BOTH
@pytest.mark.rfc("4015", "3.2-2")
def test_undo_off_keeps_a_reduction_for_nothing(on: bool) -> None:
    pair, client, _ = warm(undo=on)
    pair.delay("client", pair.number("client"), 12 * MS)
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert (client.stats(pair.now).undone, client.sender.congestion.ssthresh) == ((1, None) if on else (0, 10 * MSS))


@BOTH
def test_proportional_rate_reduction_off_halves_the_window_at_once(on: bool) -> None:
    pair, client, _ = warm(proportional_rate_reduction=on)
    pair.drop("client", pair.number("client"))
    for _ in range(40):  # spread out, or their acknowledgements would come as one
        pair.write(client, fill(MSS))
        pair.run(MS // 2)
    windows = []
    pair.run_until(lambda: client.stats(pair.now).phase == "fast recovery")
    while client.stats(pair.now).phase == "fast recovery":
        windows.append(client.sender.congestion.cwnd)
        pair.step()
    assert (set(windows) == {client.sender.congestion.ssthresh}) is not on


@BOTH
@pytest.mark.rfc("9002", "7.7-1")
def test_pacing_off_sends_the_whole_window_in_one_burst(on: bool) -> None:
    pair, client, _ = warm(pacing=on)
    at = pair.number("client")
    pair.write(client, fill(20 * MSS))
    pair.flush()
    burst = len(pair.client.sent) - at
    assert (burst < 20) is on
    assert (client.stats(pair.now).pacing_rate > 0) is on
    pair.run(2 * DELAY)
    assert len(pair.client.sent) - at >= (15 if on else 20)


@BOTH
@pytest.mark.rfc("9293", "SHLD-18")
def test_delayed_ack_off_answers_every_segment(on: bool) -> None:
    pair, client, _ = connected(delayed_ack=on)
    answers = [
        pair.answers("server", segment_of(client, ACK, seq=at, payload=b"x", packet_number=20 + at)) for at in range(6)
    ]
    assert [len(answer) for answer in answers] == ([0, 1] * 3 if on else [1] * 6)


@BOTH
@pytest.mark.rfc("9293", "SHLD-7", "MUST-17")
def test_nagle_off_sends_each_small_write(on: bool) -> None:
    pair, client, _ = connected(nagle=on)
    at = pair.number("client")
    for _ in range(10):
        pair.write(client, b"tiny")
        pair.flush()
    assert len(pair.client.sent) - at == (1 if on else 10)


@BOTH
@pytest.mark.rfc("9293", "MUST-38", "MUST-39")
def test_silly_window_off_moves_slivers(on: bool) -> None:
    pair = Pair(plain(silly_window=on, receive_buffer=5 * MSS))
    client, server = pair.connect()
    pair.write(client, fill(10 * MSS))
    pair.run(100 * MS)
    assert client.stats(pair.now).snd_wnd == 0
    sizes = []
    for _ in range(5):
        at = pair.number("client")
        pair.read(server, 10)
        pair.run(30 * MS)
        sizes += [len(s.payload) for s in pair.client.segments()[at:] if s.payload]
    assert sizes == ([] if on else [10] * 5)


@pytest.mark.rdt("9.4-2")
@BOTH
@pytest.mark.rfc("5681", "4.1")
def test_idle_restart_off_sends_a_whole_old_window_after_a_pause(on: bool) -> None:
    pair, client, _ = connected(idle_restart=on)
    pair.write(client, b"warm up")
    pair.run(SECOND)
    client.sender.congestion.cwnd = 100 * MSS
    at = pair.number("client")
    pair.write(client, fill(100 * MSS))
    pair.flush()
    assert len(pair.client.sent) - at == (10 if on else 100)


@BOTH
@pytest.mark.rfc("3168", "6.1.1-2")
def test_ecn_off_neither_offers_nor_uses_it(on: bool) -> None:
    pair, client, server = connected(ecn=on)
    assert bool(pair.client.segments()[0].flags & (ECE | CWR)) is on
    pair.mark("client", *range(100))
    pair.write(client, fill(10 * MSS))
    pair.run(SECOND)
    assert any(pair.client.ect) is on
    assert (server.stats(pair.now).ecn_marks > 0) is on
    assert (client.stats(pair.now).ecn_reductions > 0) is on


@BOTH
@pytest.mark.rfc("8899", "4.3")
def test_path_mtu_discovery_off_never_gets_through_a_narrow_path(on: bool) -> None:
    pair, client, server = warm(path_mtu_discovery=on)
    pair.client.largest = 1300
    pair.write(client, fill(50_000))
    pair.run(50 * SECOND)
    assert (pair.read(server) == fill(50_000)) is on
    assert client.mss == (MSS if not on else client.mss)
    assert any(s.probe for s in pair.client.segments()) is on


@BOTH
@pytest.mark.rfc("9293", "MUST-24", "MUST-25")
def test_keep_alive_off_never_asks(on: bool) -> None:
    pair, client, _ = connected(keep_alive=on)
    pair.run(10_000 * SECOND)
    assert ("keep-alive probe" in pair.client.reasons()) is on
    assert client.end is None


def test_all_of_speed_and_fairness_off_still_carries_the_stream() -> None:
    kept = {
        "handshake",
        "sequencing",
        "duplicate_suppression",
        "acknowledgement",
        "retransmission",
        "flow_control",
        "persist",
    }
    switches = [field.name for field in fields(Config) if type(field.default) is bool]
    off: dict[str, Any] = {name: False for name in switches if name not in kept}
    pair = Pair(Config(**off, congestion_control="none"), server_config=Config(**off, receive_buffer=50_000))
    pair.drop("client", *range(3, 400, 17))
    client, server = pair.connect()
    left, got = fill(300_000), b""
    while len(got) < 300_000:
        left = left[client.send(left, pair.now) :]
        if not pair.step():
            break
        got += pair.read(server)
    assert got == fill(300_000)
    assert not pair.client.records(RecoveryChanged) or client.sender.timeouts

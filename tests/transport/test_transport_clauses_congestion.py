"""Congestion control, pacing and path MTU at work in a connection: what no part of them can show by itself."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport import recovery
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.prr import ProportionalRateReduction
from rawproto.transport.segment import ACK, SYN
from rawproto.transport.trace import PathChanged, RecoveryChanged, SegmentSent

MSS = 1440
LOSS_BASED = ["reno", "cubic", "cubic-classic"]


def started(config: Config | None = None, window: int = 40) -> tuple[Pair, Connection, Connection]:
    """A connection whose client may send `window` segments at once."""
    pair = Pair(config or plain())
    client, server = pair.connect()
    client.sender.congestion.cwnd = window * MSS
    return pair, client, server


def one_by_one(pair: Pair, client: Connection, segments: int) -> int:
    """Write so many segments, a ms apart, and give the number of the first datagram."""
    at = pair.number("client")
    for _ in range(segments):
        pair.write(client, bytes(MSS))
        pair.run(MS)
    return at


# -- the first window --------------------------------------------------------------------------------------------------


@pytest.mark.rdt("9.4-1")
@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize(("size", "window"), [(1480, 14_400), (1500, 14_600), (4040, 14_600), (9040, 18_000)])
def test_the_first_window_of_large_segments_is_less_than_ten_of_them(size: int, window: int) -> None:
    pair = Pair(plain(), datagram_size=size)
    client, _ = pair.connect()
    pair.write(client, bytes(100_000))
    pair.flush()
    assert client.sender.scoreboard.in_flight == window // (size - 40) * (size - 40)
    assert client.sender.congestion.cwnd == window


@pytest.mark.rdt("9.1-4")
@pytest.mark.rfc("5681", "3.1-2")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_after_a_lost_syn_no_more_than_a_segment_leaves_at_first(name: str) -> None:
    pair = Pair(plain(congestion_control=name))
    pair.drop("client", 0)
    client, _ = pair.connect()
    at = pair.number("client")
    pair.write(client, bytes(10 * MSS))
    assert pair.number("client") - at == 1


@pytest.mark.rdt("9-1")
def test_without_being_asked_a_connection_uses_cubic() -> None:
    client, server = Pair().connect()
    assert client.sender.congestion.name == server.sender.congestion.name == "cubic"


# -- episodes ----------------------------------------------------------------------------------------------------------


@pytest.mark.rdt("9.1-1")
@pytest.mark.rfc("5681", "4.3", "4.3-2")
def test_losses_of_one_window_count_once_and_those_of_the_next_once_more() -> None:
    pair, client, _ = started(window=40)
    at = one_by_one(pair, client, 5)
    pair.drop("client", at + 5, at + 9, at + 17)
    one_by_one(pair, client, 30)
    pair.run_until(lambda: client.sender.recovery.phase == "open")
    first = client.sender.congestion.ssthresh
    assert first is not None
    assert client.sender.recovery.episodes == 1
    pair.run_until(lambda: client.drained)
    pair.drop("client", pair.number("client"))
    pair.write(client, bytes(client.sender.congestion.cwnd))
    pair.run_until(lambda: client.drained)
    assert client.sender.recovery.episodes == 2
    assert client.sender.congestion.ssthresh == pytest.approx(first / 2, abs=MSS)


@pytest.mark.rdt("9.1-6")
@pytest.mark.rfc("5681", "4.3-3")
def test_a_lost_repetition_reduces_once_more() -> None:
    pair, client, _ = started(window=40)
    first, lost = client.sender.snd_nxt, 0

    def loses_it_twice(data: bytes) -> bool:
        nonlocal lost
        (segment,) = client.codec.decode([data], lambda reason, length: None)
        lost += segment.seq == first
        return segment.seq != first or lost > 2

    pair.client.accepts = loses_it_twice
    pair.write(client, bytes(200 * MSS))
    pair.run_until(lambda: client.drained)
    assert lost == 3
    assert client.sender.timeouts == 0
    assert client.sender.congestion.ssthresh is not None
    assert client.sender.congestion.ssthresh <= 10 * MSS  # twice halved


@pytest.mark.rdt("9.1-3")
def test_a_loss_after_a_mark_of_the_same_window_is_repaired_without_a_second_reduction() -> None:
    pair, client, server = started(plain(ecn=True))
    at = pair.number("client")
    pair.mark("client", at)
    pair.drop("client", at + 5)
    one_by_one(pair, client, 20)
    pair.run_until(lambda: client.sender.recovery.phase == "reducing")
    after_mark = client.sender.congestion.ssthresh
    pair.run_until(lambda: client.sender.recovery.phase == "fast recovery")
    pair.run_until(lambda: client.drained)
    assert client.sender.congestion.ssthresh == after_mark
    assert client.sender.recovery.episodes == 1
    assert client.sender.timeouts == 0
    assert pair.read(server) == bytes(20 * MSS)


@pytest.mark.rdt("7.10-3")
@pytest.mark.rfc("4015", "3.2-4")
@pytest.mark.parametrize("marked", [False, True])
def test_what_a_mark_took_stays_taken_though_nothing_was_lost(marked: bool) -> None:
    pair, client, _ = started(plain(ecn=True, idle_restart=False), window=20)
    at = pair.number("client")
    pair.delay("client", at, 12 * MS)  # it is overtaken, and taken for lost
    if marked:
        pair.mark("client", at + 10)
    pair.write(client, bytes(20 * MSS))
    pair.run(SECOND)
    assert client.sender.recovery.undone == (0 if marked else 1)
    assert (client.sender.congestion.ssthresh is None) == (not marked)


@pytest.mark.rdt("9.1-2")
@pytest.mark.rfc("5681", "3.1-11")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_a_timeout_takes_all_in_flight_for_lost_and_begins_with_one_segment(name: str) -> None:
    pair, client, _ = started(plain(congestion_control=name), window=20)
    pair.client.cut = True
    pair.write(client, bytes(20 * MSS))
    pair.run_until(lambda: client.sender.timeouts == 1)
    sender = client.sender
    assert (sender.congestion.cwnd, sender.scoreboard.in_flight) == (MSS, MSS)
    assert (sender.recovery.phase, sender.recovery.point) == ("timeout recovery", sender.snd_nxt)
    threshold = sender.congestion.ssthresh
    pair.run_until(lambda: sender.timeouts == 2)
    assert sender.congestion.ssthresh == threshold


@pytest.mark.rdt("9.2-2")
@pytest.mark.rfc("9937", "6.4")
@pytest.mark.parametrize("name", LOSS_BASED)
def test_whatever_the_control_an_episode_ends_with_the_threshold(name: str) -> None:
    """Most of the window is lost, so PRR has to begin far below that."""
    pair, client, _ = started(plain(congestion_control=name))
    at = pair.number("client")
    pair.drop("client", *range(at, at + 30))
    pair.write(client, bytes(40 * MSS))
    pair.run_until(lambda: client.sender.recovery.phase == "fast recovery")
    windows = []
    while client.sender.recovery.phase == "fast recovery":
        windows.append(client.sender.congestion.cwnd)
        pair.step()
    over = pair.client.records(RecoveryChanged)[-1]
    assert over.phase == "open"
    assert over.cwnd == over.ssthresh != windows[-1]


@pytest.mark.rfc("9937", "6.1")
def test_what_was_in_flight_leaves_out_what_sack_told_before_and_counts_what_this_one_brought(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []

    class Noted(ProportionalRateReduction):
        def __init__(self, ssthresh: int, recover_fs: int, mss: int) -> None:
            begun.append(recover_fs)
            super().__init__(ssthresh, recover_fs, mss)

    monkeypatch.setattr(recovery, "ProportionalRateReduction", Noted)
    pair, client, _ = started()
    at = one_by_one(pair, client, 2)
    pair.drop("client", at + 2)
    one_by_one(pair, client, 18)  # within a round trip, so that none of these is acknowledged
    pair.run_until(lambda: client.sender.snd_una - client.sender.iss - 1 == 2 * MSS)
    pair.run_until(lambda: client.sender.scoreboard.sacked == 3 * MSS)
    outstanding = client.sender.snd_nxt - client.sender.snd_una
    assert begun == [outstanding - 2 * MSS]  # the third of them is what this one brought


# -- pacing ------------------------------------------------------------------------------------------------------------


def held_back(config: Config) -> tuple[Pair, Connection, Connection]:
    """A connection whose client may send nothing for a day, as far as its pacer is concerned."""
    pair = Pair(config)
    client, server = pair.connect()
    pair.run(SECOND)
    client.sender.congestion.pacing_rate = client.sender.pacer.rate = 1
    client.sender.pacer.on_sent(86_400, pair.now)
    return pair, client, server


def data_sent(pair: Pair) -> list[bytes]:
    return [bytes(segment.payload) for segment in pair.client.segments() if segment.payload]


@pytest.mark.rdt("9.6-2")
@pytest.mark.rfc("9002", "7.7-3")
def test_acknowledgements_do_not_wait_for_the_pacer() -> None:
    pair, client, server = held_back(plain(pacing=True))
    start = pair.now
    pair.write(client, b"waits")
    pair.write(server, fill(2 * MSS))
    pair.run_until(lambda: server.drained)
    assert pair.now - start == 2 * pair.delay_ns
    assert data_sent(pair) == []


@pytest.mark.rdt("9.6-2")
def test_keep_alives_do_not_wait_for_the_pacer() -> None:
    pair, client, _ = held_back(plain(pacing=True))
    client.set_option("keep_alive_idle", 5 * SECOND, pair.now)
    client.set_option("keep_alive", True, pair.now)
    pair.run(6 * SECOND)
    assert "keep-alive probe" in pair.client.reasons()


@pytest.mark.rdt("9.6-2")
def test_window_probes_do_not_wait_for_the_pacer() -> None:
    pair, client, server = held_back(plain(pacing=True))
    client.sender.window.edge = client.sender.snd_nxt
    pair.server.cut = True
    pair.write(client, b"no room")
    pair.run(5 * SECOND)
    assert pair.client.reasons().count("window probe") >= 2
    assert server.receiver.ready == 0


@pytest.mark.rdt("9.6-2")
def test_tail_loss_probes_do_not_wait_for_the_pacer() -> None:
    pair = Pair(plain(pacing=True, tail_loss_probe=True))
    client, server = pair.connect()
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.drop("client", pair.number("client"))
    client.sender.congestion.pacing_rate = client.sender.pacer.rate = 1
    pair.write(client, b"the tail")
    pair.flush()
    client.sender.pacer.on_sent(86_400, pair.now)
    pair.run(SECOND)
    assert pair.read(server) == b"warm upthe tail"
    assert client.sender.timeouts == 0


@pytest.mark.rdt("9.6-2")
def test_path_probes_do_not_wait_for_the_pacer() -> None:
    pair, client, _ = held_back(plain(pacing=True, path_mtu_discovery=True))
    for now in (pair.now, pair.now + 1):
        client.sender.path.on_retransmission_timeout(True, now)
    pair.write(client, b"waits")
    pair.run(SECOND)
    assert next(segment.probe for segment in pair.client.segments() if segment.probe) == 1200
    assert data_sent(pair) == []


# -- the path's MTU ----------------------------------------------------------------------------------------------------


@pytest.mark.rdt("15-2")
@pytest.mark.rfc("8899", "3-2", "4.1")
def test_probes_take_no_octet_and_their_loss_no_window() -> None:
    pair = Pair(Config(congestion_control="reno"))
    client, server = pair.connect()
    pair.write(client, fill(50 * MSS))
    pair.run_until(lambda: client.drained)
    for now in (pair.now, pair.now + 1):
        client.sender.path.on_retransmission_timeout(True, now)
    client.sender.take_path("of the test", pair.now)
    pair.client.largest = 1200
    episodes, timeouts = client.sender.recovery.episodes, client.sender.timeouts
    for _ in range(30):
        pair.write(client, bytes(1000))
        pair.run(SECOND)
    probes = [segment for segment in pair.client.segments() if segment.probe]
    assert [len(bytes(probe.payload)) for probe in probes] == [0] * len(probes)
    assert {probe.flags for probe in probes} == {ACK}
    assert max(probe.probe for probe in probes) > 1200
    assert (client.sender.recovery.episodes, client.sender.timeouts) == (episodes, timeouts)
    assert len(pair.read(server)) == 50 * MSS + 30_000


@pytest.mark.rdt("15-2")
def test_a_probe_has_the_sequence_number_of_what_comes_next() -> None:
    pair = Pair()
    client, _ = pair.connect()
    pair.write(client, fill(3000))
    pair.run(SECOND)
    for now in (pair.now, pair.now + 1):
        client.sender.path.on_retransmission_timeout(True, now)
    pair.client.accepts = lambda data: False
    pair.write(client, b"more")
    pair.flush()
    (probe,) = [segment for segment in pair.client.segments() if segment.probe]
    assert probe.seq == client.sender.snd_nxt == client.sender.snd_una + len(b"more")


@pytest.mark.rdt("15-11", "15-1")
@pytest.mark.rfc("8899", "3-4")
def test_after_a_fall_nothing_larger_leaves_not_even_again() -> None:
    pair = Pair(plain(path_mtu_discovery=True, pacing=True))
    client, server = pair.connect()
    pair.write(client, fill(100 * MSS))
    pair.run_until(lambda: server.receiver.ready > 20 * MSS)
    pair.client.largest = 1250
    pair.run_until(lambda: bool(pair.client.records(PathChanged)))
    at = pair.number("client")
    pair.run_until(lambda: client.drained)
    assert any(record.retransmission for record in pair.client.records(SegmentSent))
    later = pair.client.sent[at:]
    sizes = [len(data) for data in later if not client.codec.decode([data], lambda reason, length: None)[0].probe]
    assert max(sizes) <= 1250
    assert pair.read(server) == fill(100 * MSS)


@pytest.mark.rdt("15-5")
@pytest.mark.rfc("4821", "7.7")
@pytest.mark.parametrize(
    ("segments", "every", "timeouts"),
    [(200, 1000, 2), (200, 5, 4), (10, 5, 2)],
    ids=["nothing lost before", "much lost before", "too little sent to tell"],
)
def test_how_many_timeouts_make_a_black_hole_depends_on_what_was_lost_before(
    segments: int, every: int, timeouts: int
) -> None:
    pair, client, server = started(plain(path_mtu_discovery=True))
    at = pair.number("client")
    pair.drop("client", *range(at + 3, at + 2 * segments, every) if every < segments else ())
    pair.write(client, fill(segments * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(segments * MSS)
    assert pair.client.records(PathChanged) == []
    before, pair.client.cut = client.sender.timeouts, True
    pair.write(client, bytes(MSS))
    pair.run_until(lambda: bool(pair.client.records(PathChanged)))
    assert client.sender.timeouts - before == timeouts


# -- challenges --------------------------------------------------------------------------------------------------------


@pytest.mark.rdt("6.3-4")
@pytest.mark.rfc("5961", "7-2")
def test_a_connection_that_is_made_to_challenge_takes_nothing_from_another() -> None:
    pair = Pair(plain())
    clients = [pair.connect()[0] for _ in range(2)]
    answers = [pair.answers("server", segment_of(clients[0], SYN)) for _ in range(12)]
    assert [len(sent) for sent in answers] == [1] * 10 + [0] * 2
    assert len(pair.answers("server", segment_of(clients[1], SYN))) == 1

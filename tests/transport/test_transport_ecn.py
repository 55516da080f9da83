"""Explicit congestion notification between two endpoints: RFC 3168 §6.1."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.ecn import Ecn
from rawproto.transport.segment import ACK, CWR, ECE, RST, SYN, Segment

MSS = 1440


def agreed(**changes: object) -> tuple[Pair, Connection, Connection]:
    """A connection with ECN, whose client may send 20 segments."""
    pair = Pair(plain(ecn=True, idle_restart=False, **changes))
    client, server = pair.connect()
    client.sender.congestion.cwnd = 20 * MSS
    return pair, client, server


def capable(pair: Pair, name: str) -> list[tuple[Segment, bool]]:
    """Each datagram that `name` sent, and whether it might be marked."""
    side = pair.side(name)
    return list(zip(side.segments(), side.ect, strict=True))


@pytest.mark.rdt("3.4-6", "9.3-1")
@pytest.mark.rfc("3168", "6.1.1-1")
@pytest.mark.rfc("9293", "SHLD-8")
@pytest.mark.parametrize("cookies", [True, False])
@pytest.mark.parametrize(("here", "there"), [(True, True), (True, False), (False, True), (False, False)])
def test_ecn_is_used_if_both_ends_agree_on_it(here: bool, there: bool, cookies: bool) -> None:
    pair = Pair(Config(ecn=here), server_config=Config(ecn=there, cookies=cookies))
    client, server = pair.connect()
    assert (client.ecn.active, server.ecn.active) == (here and there, here and there)
    syn, answer = pair.client.segments()[0], pair.server.segments()[0]
    assert syn.flags == SYN | (ECE | CWR if here else 0)
    assert answer.flags == SYN | ACK | (ECE if here and there else 0)


@pytest.mark.rfc("3168", "6.1.1-1")
@pytest.mark.parametrize("flags", [ECE, CWR])
def test_half_an_offer_is_none(flags: int) -> None:
    ecn = Ecn(enabled=True)
    ecn.on_syn(SYN | flags)
    assert not ecn.active
    ecn.on_syn(SYN | ACK | ECE | CWR)
    assert not ecn.active


@pytest.mark.rfc("3168", "6.1.1-1")
def test_both_that_open_at_once_agree_too() -> None:
    pair = Pair()
    a = pair.client.endpoint.connect("server", 70, 0, local_port=60)
    b = pair.server.endpoint.connect("client", 60, 0, local_port=70)
    pair.run_until(lambda: a.established and b.established)
    assert a.ecn.active == b.ecn.active


@pytest.mark.rdt("9.3-2")
@pytest.mark.rfc("3168", "6.1.1-2", "6.1.1-3", "6.1.4", "6.1.5")
@pytest.mark.parametrize("ecn", [True, False])
def test_only_new_data_may_be_marked(ecn: bool) -> None:
    pair = Pair(plain(ecn=ecn, tail_loss_probe=True))
    client, server = pair.connect()
    at = pair.number("client")
    pair.drop("client", at + 3, at + 9)
    pair.write(client, fill(60 * MSS))
    pair.run_until(lambda: client.drained)
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert pair.read(server) == fill(60 * MSS)
    seen: set[int] = set()
    for segment, ect in capable(pair, "client"):
        new = bool(segment.payload) and segment.seq not in seen
        assert ect == (new and ecn)
        if segment.payload:
            seen.add(segment.seq)
    assert not any(pair.server.ect)


@pytest.mark.rfc("3168", "6.1.5")
def test_a_tail_loss_probe_that_repeats_may_not_be_marked() -> None:
    pair, client, _ = agreed(tail_loss_probe=True)
    at = pair.number("client")
    pair.drop("client", at)
    pair.write(client, bytes(100))
    pair.run(SECOND)
    assert client.stats(pair.now).tail_probes == 1
    assert pair.client.ect[at:] == [True, False]


@pytest.mark.rfc("3168", "6.1.6")
def test_window_and_path_probes_may_not_be_marked() -> None:
    pair = Pair(Config(base_mtu=500), server_config=Config(receive_buffer=2000))
    client, _ = pair.connect()
    pair.client.largest = 1000
    pair.write(client, fill(4000))
    pair.run(20 * SECOND)
    reasons = pair.client.reasons()
    assert "window probe" in reasons
    assert any(reason.startswith("path probe") for reason in reasons)
    for segment, ect in capable(pair, "client"):
        assert bool(segment.payload) or not ect


@pytest.mark.rdt("9.3-3")
@pytest.mark.rfc("3168", "6.1.3-1", "6.1.3-2")
def test_a_mark_is_echoed_on_every_acknowledgement_until_the_sender_says_that_it_has_reduced() -> None:
    pair, client, server = agreed()
    pair.answers("server", segment_of(client, ACK, payload=bytes(100), marked=True))
    assert server.ecn.echo is False  # the codec took no mark of ours: the network gives it
    endpoint = pair.server.endpoint
    mark = segment_of(client, ACK, payload=bytes(100), packet_number=10)
    endpoint.receive("client", client.codec.encode(mark, MSS), pair.now, marked=True)
    assert [s.flags for s in pair.take("server")] == [ACK | ECE]
    for number in (11, 12):
        data = segment_of(client, ACK, seq=100 * (number - 10), payload=bytes(100), packet_number=number)
        assert [s.flags for s in pair.answers("server", data)] == [ACK | ECE]
    reduced = segment_of(client, ACK | CWR, seq=300, payload=bytes(100), packet_number=13)
    assert [s.flags for s in pair.answers("server", reduced)] == [ACK]
    assert server.stats(pair.now).ecn_marks == 1


@pytest.mark.rdt("9.3-3")
@pytest.mark.rfc("3168", "6.1.3-1")
def test_a_mark_that_comes_with_the_news_of_a_reduction_is_echoed_anew() -> None:
    pair, client, server = agreed()
    both = segment_of(client, ACK | CWR, payload=bytes(100))
    pair.server.endpoint.receive("client", client.codec.encode(both, MSS), pair.now, marked=True)
    assert [s.flags for s in pair.take("server")] == [ACK | ECE]
    assert server.ecn.echo


@pytest.mark.rdt("9.3-4", "9.3-5")
@pytest.mark.rfc("3168", "6.1.2-1", "6.1.2-2", "6.1.2-3")
def test_marks_of_one_window_reduce_it_once_and_the_peer_is_told_once() -> None:
    pair, client, server = agreed()
    at = pair.number("client")
    pair.mark("client", at + 2, at + 7, at + 15)
    pair.write(client, fill(30 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(30 * MSS)
    stats = client.stats(pair.now)
    assert (stats.ecn_reductions, stats.retrans, stats.ssthresh) == (1, 0, 10 * MSS)
    told = [s for s in pair.client.segments() if s.flags & CWR and not s.flags & SYN]
    assert len(told) == 1
    assert told[0].payload
    assert server.stats(pair.now).ecn_marks >= 1
    assert not server.ecn.echo


@pytest.mark.rfc("3168", "6.1.2-2")
def test_marks_of_different_windows_reduce_it_each() -> None:
    pair, client, _ = agreed()
    for _ in range(2):
        at = pair.number("client")
        pair.mark("client", at + 2)
        pair.write(client, fill(10 * MSS))
        pair.run_until(lambda: client.drained)
        pair.write(client, fill(100))  # tells of the reduction
        pair.run_until(lambda: client.drained)
    assert client.stats(pair.now).ecn_reductions == 2


@pytest.mark.rfc("3168", "6.1.3-2")
def test_a_mark_is_not_lost_with_the_acknowledgement_that_told_of_it() -> None:
    pair, client, _ = agreed()
    pair.mark("client", pair.number("client"))
    pair.drop("server", pair.number("server"))
    for _ in range(4):
        pair.write(client, bytes(MSS))
        pair.run(5 * MS)
    pair.run(SECOND)
    assert client.stats(pair.now).ecn_reductions == 1


@pytest.mark.rdt("9.1-3")
@pytest.mark.rfc("3168", "6.1.2-1")
def test_a_loss_and_a_mark_of_the_same_window_reduce_it_once() -> None:
    pair, client, server = agreed()
    at = pair.number("client")
    pair.mark("client", at + 1)
    pair.drop("client", at + 5)
    pair.write(client, fill(20 * MSS))
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(20 * MSS)
    assert client.sender.recovery.episodes == 1
    assert client.sender.timeouts == 0


@pytest.mark.rdt("3.4-6")
def test_without_agreement_the_flags_mean_nothing() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    pair.write(server, bytes(10 * MSS))
    pair.take("server")
    echo = segment_of(client, ACK | ECE, ack=5 * MSS)
    pair.answers("server", echo)
    assert server.stats(pair.now).ecn_reductions == 0
    data = segment_of(client, ACK, payload=b"x", packet_number=20)
    pair.server.endpoint.receive("client", client.codec.encode(data, MSS), pair.now, marked=True)
    assert all(not s.flags & (ECE | CWR) for s in pair.take("server"))


@pytest.mark.rdt("7.2-6", "9.3-3")
@pytest.mark.rfc("3168", "6.1.3-1")
def test_a_mark_is_acknowledged_without_delay() -> None:
    pair = Pair(plain(ecn=True, delayed_ack=True))
    client, _ = pair.connect()
    pair.run(SECOND)
    pair.mark("client", pair.number("client"))
    pair.write(client, b"x")
    pair.run(11 * MS)
    assert pair.server.segments()[-1].flags == ACK | ECE
    assert pair.server.reasons()[-1] == "ACK of a congestion mark"


def test_a_reset_may_not_be_marked() -> None:
    pair, client, _ = agreed()
    client.abort(pair.now)
    pair.flush()
    assert [(s.flags & RST, ect) for s, ect in capable(pair, "client")][-1] == (RST, False)

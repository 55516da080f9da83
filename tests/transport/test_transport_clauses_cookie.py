"""Cookies between two endpoints, statement by statement: docs/rdt.md §5.10."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Listener
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State

MSS = 1440
CODEC = RdtCodec()


def baked(pair: Pair, *, irs: int = 1000, packet_number: int = 0, port: int = 60) -> tuple[Segment, Segment]:
    """The listener's answer to a SYN, and the acknowledgement that gives its cookie back."""
    syn = Segment(port, 80, SYN, irs, mss=MSS, packet_number=packet_number)
    (answer,) = pair.answers("server", syn)
    ack = Segment(
        port, 80, ACK, irs + 1, ack=answer.seq + 1, wnd=10_000, packet_number=packet_number + 1, cookie=answer.cookie
    )
    return answer, ack


def made(pair: Pair, ack: Segment) -> tuple[Connection, list[Segment]]:
    """The connection that a cookie makes, and what is sent at once."""
    sent = pair.answers("server", ack)
    (server,) = pair.server.endpoint.connections.values()
    return server, sent


@pytest.mark.rdt("5.10-1")
def test_the_answer_is_that_of_a_connection_with_a_cookie_besides() -> None:
    pair = Pair()
    pair.listen()
    answer, _ = baked(pair, irs=1000, packet_number=7)
    assert (answer.flags, answer.ack, answer.packet_number, answer.seen) == (SYN | ACK, 1001, 0, (7, 0))
    assert answer.mss == MSS
    assert len(answer.cookie) == 36


@pytest.mark.rdt("5.10-4")
def test_each_syn_has_one_answer_and_at_once() -> None:
    pair = Pair()
    pair.listen()
    for _ in range(3):
        assert len(pair.answers("server", Segment(60, 80, SYN, 1000, mss=MSS))) == 1
    assert pair.server.endpoint.next_timeout() is None
    pair.run(1000 * SECOND)
    assert pair.server.sent == []


@pytest.mark.rdt("5.10-5")
def test_the_cookie_is_in_every_datagram_until_the_peer_has_answered() -> None:
    pair = Pair(Config(nagle=False))
    listener = pair.listen()
    pair.server.accepts = lambda data: bool(data[3] & SYN)  # nothing of the connection comes back
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: client.established)
    pair.write(client, fill(5 * MSS))
    pair.run(150 * MS)
    assert listener.queue
    (_, *sent) = pair.client.segments()
    assert len(sent) > 4
    assert all(segment.cookie for segment in sent)
    pair.server.accepts = None
    pair.run_until(lambda: client.drained)
    at = pair.number("client")
    pair.write(client, fill(5 * MSS))
    pair.run_until(lambda: client.drained)
    assert not any(segment.cookie for segment in pair.client.segments()[at:])


@pytest.mark.rdt("5.10-6")
@pytest.mark.parametrize("data", [b"", b"data with the cookie, too"], ids=["nothing", "data"])
def test_the_cookie_is_repeated_after_one_two_four_rto_up_to_64_whatever_else_is_sent(data: bytes) -> None:
    pair = Pair(Config(connect_timeout=1000 * SECOND, user_timeout=1000 * SECOND))
    pair.client.accepts = lambda data: bool(data[3] & SYN)
    pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: client.established)
    start, rto = pair.now, client.sender.rtt.rto
    pair.write(client, data)
    pair.run(260 * rto)
    times = [(at - start) // rto for timer, at in pair.client.timers() if timer == "cookie"]
    assert times == [1, 3, 7, 15, 31, 63, 127, 191, 255]


@pytest.mark.rdt("5.10-7")
def test_a_cookie_for_a_connection_in_time_wait_makes_a_new_one_if_it_begins_beyond_the_old() -> None:
    pair = Pair(plain(cookies=True))
    pair.listen()
    first, old, new = (baked(pair, irs=irs)[1] for irs in (1000, 1002, 1003))
    server, _ = made(pair, first)
    server.shutdown(pair.now)
    (fin,) = pair.take("server")
    pair.answers("server", Segment(60, 80, ACK | FIN, 1001, ack=fin.seq + 1, wnd=10_000, packet_number=2))
    assert (server.state, server.receiver.rcv_nxt) == (State.TIME_WAIT, 1002)
    pair.answers("server", old)
    assert list(pair.server.endpoint.connections.values()) == [server]
    pair.answers("server", new)
    (again,) = pair.server.endpoint.connections.values()
    assert (again.state, again.receiver.irs) == (State.ESTABLISHED, 1003)


@pytest.mark.rdt("5.10-7")
@pytest.mark.parametrize("reason", ["cookie forged", "cookie expired"])
def test_a_cookie_that_is_not_good_is_answered_with_a_reset(reason: str) -> None:
    pair = Pair()
    pair.listen()
    _, ack = baked(pair)
    if reason == "cookie forged":
        ack.cookie = bytes(36)
    else:
        pair.now += 31 * SECOND
    (reset,) = pair.answers("server", ack)
    assert (reset.flags, reset.seq) == (RST, ack.ack)
    assert pair.server.endpoint.discarded == {reason: 1}


@pytest.mark.rdt("5.10-13")
def test_a_cookie_makes_one_connection_and_is_answered_with_a_reset_when_that_is_over() -> None:
    pair = Pair()
    pair.listen()
    _, ack = baked(pair)
    server, _ = made(pair, ack)
    server.abort(pair.now)
    pair.take("server")
    assert not pair.server.endpoint.connections
    (reset,) = pair.answers("server", ack)
    assert (reset.flags, reset.seq) == (RST, ack.ack)
    assert pair.server.endpoint.discarded == {"cookie used": 1}


@pytest.mark.rdt("5.10-8")
def test_a_good_cookie_for_which_there_is_no_room_is_not_answered() -> None:
    pair = Pair()
    listener: Listener = pair.listen(backlog=1)
    acks = [baked(pair, port=port)[1] for port in (60, 61)]
    for ack in acks:
        pair.answers("server", ack)
    assert (len(listener.queue), len(pair.server.endpoint.connections)) == (1, 1)
    assert pair.answers("server", acks[1]) == []
    assert pair.server.endpoint.discarded["backlog full"] == 2


@pytest.mark.rdt("5.10-9", "5.10-11")
def test_the_connection_is_as_if_the_syn_had_just_been_answered() -> None:
    pair = Pair(plain(cookies=True))
    pair.listen()
    answer, ack = baked(pair)
    server, (first,) = made(pair, ack)
    assert (server.state, server.sender.iss, server.receiver.irs) == (State.ESTABLISHED, answer.seq, 1000)
    assert first.packet_number == 1
    assert first.ack + first.wnd == answer.ack + answer.wnd


@pytest.mark.rdt("5.10-10")
@pytest.mark.parametrize("payload", [b"", b"hello"])
def test_what_brings_the_cookie_is_acknowledged(payload: bytes) -> None:
    pair = Pair(plain(cookies=True))
    pair.listen()
    _, ack = baked(pair)
    ack.payload = payload
    server, (first,) = made(pair, ack)
    assert (first.flags, first.ack, first.seq) == (ACK, 1001 + len(payload), server.sender.snd_nxt)
    assert first.seen == (1, 0)

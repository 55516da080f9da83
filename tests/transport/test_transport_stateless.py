"""A listener that keeps nothing of a SYN: cookies from one end to the other, floods, losses, forgeries."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from rawproto.testing.pair import Pair
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Endpoint, Listener
from rawproto.transport.segment import ACK, CWR, ECE, FIN, RST, SYN, Segment
from rawproto.transport.state import State

DELAY = 10 * MS
MSS = 1440
CODEC = RdtCodec()


def answered(pair: Pair, **more: object) -> tuple[Segment, Segment]:
    """The listener's answer to a SYN from port 60, and the acknowledgement that gives its cookie back."""
    syn = Segment(60, 80, SYN, 1000, mss=MSS)
    for name, value in more.items():
        setattr(syn, name, value)
    (answer,) = pair.answers("server", syn)
    ack = Segment(60, 80, ACK, 1001, ack=answer.seq + 1, wnd=10_000, packet_number=1, cookie=answer.cookie)
    return answer, ack


def half_way(pair: Pair) -> tuple[Listener, Connection]:
    """A listener, and a client that has its answer and whose acknowledgement gets lost."""
    listener = pair.listen()
    pair.drop("client", 1)
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: client.established)
    return listener, client


@pytest.mark.rfc("4987", "3.6-1")
def test_nothing_is_kept_before_the_cookie_comes_back() -> None:
    pair = Pair()
    listener = pair.listen()
    _, ack = answered(pair)
    endpoint = pair.server.endpoint
    assert (endpoint.connections, endpoint._half_open, endpoint._deadlines) == ({}, {}, {})
    assert (listener.half_open, endpoint.next_timeout(), endpoint.port_in_use(80)) == (0, None, True)
    pair.answers("server", ack)
    assert [c.state for c in endpoint.connections.values()] == [State.ESTABLISHED]
    assert len(listener.queue) == 1


@pytest.mark.rfc("4987", "3.6-1")
@pytest.mark.rfc("9000", "8.1-1")
def test_a_flood_of_syns_costs_no_memory_and_is_answered_with_three_times_its_bytes_at_most() -> None:
    endpoint = Endpoint(Config(), Random(1), 1480)
    endpoint.listen(80, 16)
    received = sent = 0
    for number in range(100_000):
        if number == 95_000:
            tracemalloc.start()
        syn = CODEC.encode(Segment(number % 60_000 + 1, 80, SYN, number << 20, mss=MSS), MSS)
        endpoint.receive(f"10.0.{number >> 8 & 255}.{number & 255}", syn, number * 1000)
        received += len(syn[0])
        sent += sum(len(data) for _, batch, _ in endpoint.poll_transmit(number * 1000) for data in batch)
        assert sent <= 3 * received
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20_000  # by the last 5,000
    assert (endpoint.connections, endpoint.next_timeout(), endpoint.pending) == ({}, None, False)


@pytest.mark.rdt("5.7-8")
def test_a_flood_that_comes_faster_than_answers_leave_fills_the_queue_of_answers_and_no_more() -> None:
    endpoint = Endpoint(Config(max_replies=20), Random(1), 1480)
    endpoint.listen(80, 16)
    for port in range(1, 101):
        endpoint.receive("peer", CODEC.encode(Segment(port, 80, SYN, 1, mss=MSS), MSS), 0)
    assert len(endpoint._replies) == 20
    assert endpoint.discarded == {"reply queue full": 80}
    assert len(endpoint.poll_transmit(0)) == 20


@pytest.mark.rfc("9000", "8.1-1")
def test_the_shortest_syn_gets_an_answer_within_three_times_its_bytes() -> None:
    pair = Pair()
    pair.server.endpoint.listen(80, 5, records=True)
    syn = Segment(60, 80, SYN, 1000, record=1000)
    (answer,) = pair.answers("server", syn)
    assert len(CODEC.encode(answer, MSS)[0]) <= 3 * len(CODEC.encode(syn, MSS)[0])


@pytest.mark.rdt("5.10-4")
@pytest.mark.rfc("9000", "8.1-1")
def test_to_an_unproved_address_nothing_is_sent_unasked() -> None:
    pair = Pair()
    pair.listen()
    answered(pair)
    pair.now += 100 * SECOND
    pair.server.endpoint.handle_timeout(pair.now)
    assert pair.take("server") == []


@pytest.mark.rfc("4987", "3.6-3")
def test_the_options_of_the_syn_come_back_with_the_cookie() -> None:
    pair = Pair()
    listener = pair.server.endpoint.listen(80, 5, records=True)
    _, ack = answered(pair, mss=500, record=3000, flags=SYN | ECE | CWR)
    pair.answers("server", ack)
    server = listener.queue.popleft()
    assert (server.mss, server.peer_max_record, server.ecn.active, server.records) == (500, 3000, True, True)
    assert (server.receiver.irs, server.sender.snd_una) == (1000, ack.ack)


@pytest.mark.rdt("3.5-14", "5.10-5")
def test_the_cookie_rides_on_all_that_is_sent_until_the_listener_has_shown_that_it_came() -> None:
    pair = Pair()
    listener, client = half_way(pair)
    pair.write(client, bytes(3 * MSS))
    pair.run_until(lambda: client.drained)
    assert listener.queue
    first, *_ = [s for s in pair.client.segments() if s.payload]
    assert first.cookie
    pair.write(client, b"later")
    pair.run(SECOND)
    assert [s.cookie for s in pair.client.segments() if bytes(s.payload) == b"later"] == [b""]


@pytest.mark.rdt("3.5-14")
def test_a_lost_acknowledgement_is_repaired_when_the_server_speaks_first() -> None:
    """The client has nothing to send: it gives the cookie again by itself."""
    pair = Pair()
    listener, client = half_way(pair)
    pair.run_until(lambda: bool(listener.queue))
    assert pair.now == 3 * DELAY + client.config.min_rto
    server = listener.queue.popleft()
    pair.write(server, b"welcome")
    pair.run(SECOND)
    assert pair.read(client) == b"welcome"
    assert client.cookie.data == b""


@pytest.mark.rdt("5.10-6")
def test_the_cookie_is_repeated_ever_less_often() -> None:
    pair = Pair()
    pair.client.accepts = lambda data: bool(data[3] & SYN)
    pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: client.established)
    start = pair.now
    pair.run(7 * SECOND)
    repeats = [(at - start) // MS for timer, at in pair.client.timers() if timer == "cookie"]
    assert repeats == [200, 600, 1400, 3000, 6200]


@pytest.mark.rdt("5.10-10")
def test_an_idle_client_learns_of_its_cookie_though_the_first_acknowledgement_was_lost() -> None:
    pair = Pair()
    listener = pair.listen()
    pair.drop("server", 1)
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: bool(listener.queue))
    pair.run(SECOND)
    assert client.cookie.data == b""
    pair.run(1000 * SECOND)
    assert client.established


@pytest.mark.rdt("5.10-6")
def test_a_slow_round_trip_leaves_time_for_several_repeats_while_the_cookie_lives() -> None:
    """The answer to the SYN was twenty seconds late; thirty after it was made nobody takes the cookie any more."""
    pair = Pair()
    pair.client.accepts = lambda data: bool(data[3] & SYN)
    pair.listen()
    pair.delay("server", 0, 20 * SECOND)
    pair.drop("server", 1, 2, 3, 4, 5, 6)
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run_until(lambda: client.established)
    assert client.sender.rtt.rto > 10 * SECOND
    start = pair.now
    pair.run(9 * SECOND)
    assert [round((at - start) / SECOND) for timer, at in pair.client.timers() if timer == "cookie"] == [1, 3, 7]


def test_a_client_whose_listener_vanished_gives_up() -> None:
    """Nothing it sent is outstanding, and yet it waits for an answer: not without end (RFC 9293 §3.8.3)."""
    pair = Pair()
    pair.client.accepts = lambda data: bool(data[3] & SYN)
    pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run(1000 * SECOND)
    assert client.end is not None
    assert client.end.cause == "timeout"


@pytest.mark.parametrize("lost", range(4))
def test_whatever_is_lost_of_it_the_connection_comes_about(lost: int) -> None:
    for sender in ("client", "server"):
        pair = Pair()
        listener = pair.listen()
        pair.drop(sender, lost)
        client = pair.client.endpoint.connect("server", 80, 0)
        pair.run_until(lambda client=client, listener=listener: client.established and bool(listener.queue))
        server = listener.queue.popleft()
        pair.write(client, b"question")
        pair.write(server, b"answer")
        pair.run(10 * SECOND)
        assert (pair.read(server), pair.read(client)) == (b"question", b"answer")


def test_a_fin_may_bring_the_cookie() -> None:
    pair = Pair()
    listener, client = half_way(pair)
    pair.write(client, b"all")
    client.shutdown(pair.now)
    pair.run(SECOND)
    server = listener.queue.popleft()
    assert (pair.read(server), server.receiver.at_end) == (b"all", True)


@pytest.mark.rdt("5.10-7")
@pytest.mark.rfc("4987", "3.6-2")
@pytest.mark.parametrize("change", ["byte", "port", "peer", "isn", "short", "none"])
def test_a_forged_cookie_opens_nothing_and_is_reset(change: str) -> None:
    pair = Pair()
    listener = pair.listen()
    _, ack = answered(pair)
    peer = "client"
    if change == "byte":
        ack.cookie = bytes([ack.cookie[0] ^ 1]) + ack.cookie[1:]
    elif change == "port":
        ack.source_port = 61
    elif change == "peer":
        peer = "somebody else"
    elif change == "isn":
        ack.ack += 1
    else:
        ack.cookie = ack.cookie[:10] if change == "short" else b""
    pair.server.endpoint.receive(peer, CODEC.encode(ack, MSS), pair.now)
    (reset,) = pair.take("server")
    assert (reset.flags, reset.seq) == (RST, ack.ack)
    assert (pair.server.endpoint.connections, len(listener.queue)) == ({}, 0)
    reason = "no connection" if change == "none" else "cookie forged"
    assert pair.server.endpoint.discarded[reason] == 1


@pytest.mark.rdt("5.10-7")
@pytest.mark.rfc("4987", "3.6-2")
@pytest.mark.rfc("9260", "5.1.3")
def test_a_cookie_expires() -> None:
    pair = Pair(Config(cookie_lifetime=5 * SECOND))
    listener = pair.listen()
    _, ack = answered(pair)
    pair.now += 4 * SECOND
    late = Segment(60, 80, ACK, 1001, ack=ack.ack, packet_number=1, cookie=ack.cookie)
    assert pair.answers("server", ack) == []
    listener.queue.popleft().abort(pair.now)
    pair.take("server")
    pair.now += 2 * SECOND
    (reset,) = pair.answers("server", late)
    assert reset.flags == RST
    assert pair.server.endpoint.discarded["cookie expired"] == 1


def test_a_cookie_that_comes_twice_makes_one_connection() -> None:
    pair = Pair()
    listener = pair.listen()
    _, ack = answered(pair)
    pair.answers("server", ack, ack)
    assert (len(pair.server.endpoint.connections), len(listener.queue)) == (1, 1)


def test_a_repeated_syn_opens_one_connection_too() -> None:
    """The answer to the first SYN is late: the client has two answers, with two ISNs."""
    pair = Pair()
    pair.delay("server", 0, 1200 * MS)
    client, server = pair.connect()
    pair.write(server, b"hello")
    pair.run(5 * SECOND)
    assert pair.read(client) == b"hello"
    assert (client.state, server.state) == (State.ESTABLISHED, State.ESTABLISHED)
    assert len(pair.server.endpoint.connections) == 1


@pytest.mark.rdt("5.3-2")
def test_a_syn_for_a_full_backlog_gets_no_answer() -> None:
    pair = Pair()
    listener = pair.listen(backlog=1)
    _, ack = answered(pair)
    pair.answers("server", ack)
    assert pair.answers("server", Segment(61, 80, SYN, 1)) == []
    assert (listener.overflows, pair.server.endpoint.discarded["backlog full"]) == (1, 1)


@pytest.mark.rdt("5.10-8")
def test_a_cookie_for_a_full_backlog_is_tried_again_by_its_owner() -> None:
    pair = Pair()
    listener = pair.listen(backlog=1)
    clients = [pair.client.endpoint.connect("server", 80, 0) for _ in range(2)]
    pair.run_until(lambda: all(client.established for client in clients))
    pair.run(SECOND)
    assert (len(listener.queue), listener.half_open, listener.full) == (1, 0, True)
    first = listener.queue.popleft()
    pair.run_until(lambda: bool(listener.queue))
    assert listener.queue.popleft() is not first
    pair.write(clients[1], b"patient")
    pair.run(SECOND)
    assert sorted(c.receiver.ready for c in pair.server.endpoint.connections.values()) == [0, 7]


def test_a_listener_of_the_other_kind_of_stream_refuses() -> None:
    for records in (True, False):
        pair = Pair()
        pair.server.endpoint.listen(80, 5, records=records)
        client = pair.client.endpoint.connect("server", 80, 0, records=not records)
        pair.run(SECOND)
        assert client.end is not None
        assert client.end.cause == "refused"


def test_a_fin_or_syn_with_the_cookie_is_no_acknowledgement_of_it() -> None:
    pair = Pair()
    listener = pair.listen()
    _, ack = answered(pair)
    ack.flags = SYN | ACK
    assert [s.flags for s in pair.answers("server", ack)] == [RST]
    ack.flags = FIN | ACK
    pair.answers("server", ack)
    (server,) = listener.queue
    assert server.state is State.CLOSE_WAIT


@pytest.mark.rdt("5.10-1", "5.3-7")
def test_the_answer_with_a_cookie_is_packet_nought_and_knows_no_delay() -> None:
    pair = Pair()
    pair.listen()
    answer, _ = answered(pair, packet_number=7)
    assert (answer.flags, answer.packet_number, answer.seen, answer.ack) == (SYN | ACK, 0, (7, 0), 1001)
    assert len(answer.cookie) > 0


@pytest.mark.rdt("5.10-9", "5.10-11")
def test_the_connection_is_as_if_the_syn_had_just_been_answered() -> None:
    pair = Pair()
    listener = pair.listen()
    answer, ack = answered(pair)
    pair.answers("server", ack)
    server = listener.queue.popleft()
    assert server.receiver.rcv_adv == answer.ack + answer.wnd
    pair.write(server, b"first")
    (first,) = pair.take("server")
    assert (first.packet_number, first.seq) == (1, answer.seq + 1)


@pytest.mark.rdt("5.10-10")
def test_the_acknowledgement_that_brings_the_cookie_is_acknowledged() -> None:
    pair = Pair()
    client, _ = pair.connect()
    assert client.cookie.data
    pair.run(server_delay := 2 * DELAY + Config().ack_delay)
    assert client.cookie.data == b""
    assert server_delay == 60 * MS


@pytest.mark.rdt("5.10-5")
def test_all_datagrams_of_a_segment_have_the_cookie() -> None:
    """Or one that overtakes the others would come to a listener that knows nothing of it."""
    pair = Pair()
    listener, client = half_way(pair)
    at = pair.number("client")
    pair.delay("client", at, 5 * MS)
    pair.write(client, bytes(8 * MSS))
    pair.flush()
    data = [s for s in pair.client.segments()[at:] if s.payload]
    assert len(data) > 2
    assert all(s.cookie for s in data)
    pair.run_until(lambda: client.drained)
    assert listener.queue[0].receiver.ready == 8 * MSS
    assert RST not in [s.flags for s in pair.server.segments()]


@pytest.mark.rdt("5.10-6")
def test_the_time_between_cookies_has_a_cap_of_sixty_four_timeouts() -> None:
    pair = Pair()
    pair.client.accepts = lambda data: bool(data[3] & SYN)
    pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run(100 * SECOND)
    repeats = [at for timer, at in pair.client.timers() if timer == "cookie"]
    assert repeats[-1] - repeats[-2] == 64 * client.config.min_rto


@pytest.mark.rdt("5.8-5")
def test_a_connection_in_time_wait_ends_by_the_cookie_and_not_by_the_syn() -> None:
    pair = Pair()
    client, server = pair.connect()
    listener = pair.server.endpoint.listeners[80]
    server.close(pair.now)
    pair.run(SECOND)
    client.close(pair.now)
    pair.run(SECOND)
    assert server.state is State.TIME_WAIT
    syn = Segment(client.local_port, 80, SYN, client.sender.snd_nxt + 1000, mss=MSS)
    (answer,) = pair.answers("server", syn)
    assert (answer.flags, server.state) == (SYN | ACK, State.TIME_WAIT)
    assert answer.seq > server.sender.snd_nxt
    back = Segment(client.local_port, 80, ACK, syn.seq + 1, ack=answer.seq + 1, packet_number=1, cookie=answer.cookie)
    pair.answers("server", back)
    assert (server.state, len(listener.queue)) == (State.CLOSED, 1)

"""Opening a connection between two that know of each other's SYN: three ways, both at once, refusals, lost segments.

What a listener does that keeps nothing of a SYN is in test_transport_stateless.
"""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State

DELAY = 10 * MS
MSS = 1440
BOTH_WAYS = pytest.mark.parametrize("config", [Config(), plain()], ids=["cookies", "half-open"])


@BOTH_WAYS
@pytest.mark.rdt("5.3-1", "5.3-3")
def test_the_handshake_takes_one_round_trip_and_a_half(config: Config) -> None:
    pair = Pair(config)
    client, server = pair.connect()
    assert pair.now == 3 * DELAY
    assert [s.flags & (SYN | ACK | FIN | RST) for s in pair.client.segments()] == [SYN, ACK]
    assert [s.flags & (SYN | ACK | FIN | RST) for s in pair.server.segments()] == [SYN | ACK]
    assert (client.state, server.state) == (State.ESTABLISHED, State.ESTABLISHED)


@pytest.mark.rdt("5.3-1", "3.4-4", "3.2-9", "3.5-11")
@pytest.mark.rfc("9293", "MUST-14", "SHLD-5")
def test_a_syn_says_where_its_stream_begins_and_nothing_of_the_other() -> None:
    pair = Pair(plain())
    client = pair.client.endpoint.connect("server", 80, 0)
    (syn,) = pair.take("client")
    assert (syn.flags, syn.seq, syn.packet_number, syn.mss) == (SYN, client.sender.iss, 0, MSS)
    assert (syn.ack, syn.wnd, bytes(syn.payload), syn.seen) == (0, 0, b"", None)


@pytest.mark.rdt("5.3-2", "3.5-11")
@BOTH_WAYS
def test_the_answer_to_a_syn_acknowledges_it_and_has_mss_window_and_seen(config: Config) -> None:
    pair = Pair(config)
    pair.listen()
    (answer,) = pair.answers("server", Segment(60, 80, SYN, 1000, mss=1000, packet_number=4))
    assert (answer.flags, answer.ack, answer.wnd, answer.mss) == (SYN | ACK, 1001, config.receive_buffer, MSS)
    assert answer.seen is not None
    assert answer.seen[0] == 4


@BOTH_WAYS
@pytest.mark.rdt("5.3-3", "5.3-4")
def test_both_sides_may_send_once_their_syn_is_acknowledged(config: Config) -> None:
    pair = Pair(config)
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.write(client, b"from the client")
    pair.run_until(lambda: bool(listener.queue))
    server = listener.queue[0]
    pair.write(server, b"from the server")
    pair.run(SECOND)
    assert (pair.read(server), pair.read(client)) == (b"from the client", b"from the server")
    assert not pair.server.segments()[0].payload


@pytest.mark.parametrize(("sender", "number"), [("client", 0), ("server", 0)])
@BOTH_WAYS
@pytest.mark.rdt("5.3-6", "7.6-4")
@pytest.mark.rfc("6298", "2.1")
def test_a_lost_syn_is_repeated_after_a_second(config: Config, sender: str, number: int) -> None:
    pair = Pair(config)
    pair.drop(sender, number)
    client, server = pair.connect()
    assert SECOND < pair.now < SECOND + 6 * DELAY
    first, second = [s for s in pair.client.segments() if s.flags & SYN]
    assert (first.seq, second.seq) == (client.sender.iss, client.sender.iss)
    assert (first.packet_number, second.packet_number) == (0, 1)
    pair.write(client, b"hello")
    pair.run(SECOND)
    assert pair.read(server) == b"hello"


def test_a_lost_acknowledgement_of_a_half_open_listener_is_repeated_after_a_second() -> None:
    pair = Pair(plain())
    pair.drop("client", 1)
    pair.connect()
    assert SECOND < pair.now < SECOND + 6 * DELAY


@BOTH_WAYS
def test_data_completes_the_handshake_if_the_acknowledgement_is_lost(config: Config) -> None:
    pair = Pair(config)
    pair.drop("client", 1)
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, pair.now)
    pair.run_until(lambda: client.established)
    pair.write(client, b"hello")
    pair.run_until(lambda: bool(listener.queue))
    assert pair.now == 3 * DELAY
    assert pair.read(listener.queue[0]) == b"hello"


@BOTH_WAYS
@pytest.mark.rdt("5.5-1")
@pytest.mark.rfc("9293", "MUST-10")
def test_both_may_open_at_once(config: Config) -> None:
    pair = Pair(config)
    a = pair.client.endpoint.connect("server", 70, 0, local_port=60)
    b = pair.server.endpoint.connect("client", 60, 0, local_port=70)
    pair.run_until(lambda: a.established and b.established)
    way = [State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED]
    assert pair.client.states() == pair.server.states() == way
    pair.write(a, b"from a")
    pair.write(b, b"from b")
    pair.run(SECOND)
    assert (pair.read(a), pair.read(b)) == (b"from b", b"from a")


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.rdt("5.5-1")
@pytest.mark.rfc("9293", "MUST-10")
def test_a_simultaneous_open_survives_a_loss(lost: int) -> None:
    pair = Pair()
    pair.drop("server", lost)
    a = pair.client.endpoint.connect("server", 70, 0, local_port=60)
    b = pair.server.endpoint.connect("client", 60, 0, local_port=70)
    pair.run_until(lambda: a.established and b.established)
    pair.write(a, b"from a")
    pair.run(SECOND)
    assert pair.read(b) == b"from a"
    assert len(pair.client.endpoint.connections) == len(pair.server.endpoint.connections) == 1


@pytest.mark.rdt("5.5-1")
def test_the_syn_of_a_simultaneous_open_is_sent_again_with_an_acknowledgement() -> None:
    pair = Pair(plain())
    client = pair.client.endpoint.connect("server", 70, 0, local_port=60)
    pair.take("client")
    (again,) = pair.answers("client", Segment(70, 60, SYN, 500, packet_number=3))
    assert (again.flags, again.seq, again.ack, again.packet_number) == (SYN | ACK, client.sender.iss, 501, 1)
    assert client.state is State.SYN_RECEIVED


@pytest.mark.rfc("9293", "MUST-11")
def test_a_refusal_ends_an_active_open_even_in_syn_received() -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 70, 0, local_port=60)
    pair.answers("client", Segment(70, 60, SYN, 500, packet_number=3))
    pair.answers("client", Segment(70, 60, RST | ACK, 501, ack=client.sender.snd_nxt, packet_number=4))
    assert client.end is not None
    assert client.end.cause == "refused"


@pytest.mark.rdt("5.7-2", "5.7-5")
def test_nobody_listens() -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert client.end is not None
    assert (client.end.cause, pair.now) == ("refused", 2 * DELAY)


@pytest.mark.rdt("5.9-1", "7.6-3")
@pytest.mark.rfc("9293", "MUST-20-2")
@pytest.mark.rfc("6298", "5.4", "5.5")
def test_nobody_answers() -> None:
    pair = Pair(Config(connect_timeout=20 * SECOND))
    pair.client.cut = True
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert client.end is not None
    assert (client.end.cause, pair.now) == ("timeout", 20 * SECOND)
    assert [at for timer, at in pair.client.timers() if timer == "rto"] == [1e9, 3e9, 7e9, 15e9]
    assert all(s.flags & SYN for s in pair.client.segments())  # no reset to who never answered


@pytest.mark.rdt("5.9-1")
@pytest.mark.rfc("9293", "MUST-23")
def test_a_syn_is_given_up_after_three_minutes() -> None:
    pair = Pair()
    pair.client.cut = True
    pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert pair.now == 180 * SECOND


@pytest.mark.rdt("5.9-1")
def test_a_half_open_connection_is_given_up_too() -> None:
    pair = Pair(plain())
    listener = pair.listen()
    pair.answers("server", Segment(60, 80, SYN, 1000))
    pair.server.cut = True
    pair.run()
    assert (pair.now, listener.half_open, pair.server.endpoint.connections) == (180 * SECOND, 0, {})


@pytest.mark.rdt("9.1-4")
@pytest.mark.rfc("5681", "3.1-2")
def test_a_lost_syn_makes_the_first_window_one_segment() -> None:
    pair = Pair(plain())
    pair.drop("client", 0)
    pair.drop("server", 0)
    client, server = pair.connect()
    for connection in (client, server):
        assert (connection.sender.congestion.cwnd // MSS, connection.sender.congestion.ssthresh) == (1, None)


@pytest.mark.rfc("5681", "3.1-8")
@pytest.mark.rfc("6928", "2")
def test_the_first_window_is_ten_segments() -> None:
    for connection in Pair().connect():
        assert (connection.sender.congestion.cwnd, connection.sender.congestion.ssthresh) == (10 * MSS, None)


def test_the_answer_to_a_syn_gives_the_client_a_round_trip_time() -> None:
    client, _ = Pair().connect()
    assert client.sender.rtt.srtt == 2 * DELAY


@pytest.mark.parametrize("ack", [-1, 1, 1000])
@pytest.mark.rdt("5.7-4")
@pytest.mark.rfc("9293", "3.5.2-2")
def test_a_wrong_acknowledgement_of_the_syn_is_reset(ack: int) -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.take("client")
    wrong = Segment(80, client.local_port, SYN | ACK, 500, ack=client.sender.snd_nxt + ack)
    (reset,) = pair.answers("client", wrong)
    assert (reset.flags, reset.seq, client.state) == (RST, wrong.ack, State.SYN_SENT)


@pytest.mark.rdt("5.7-5", "5.7-3")
@pytest.mark.rfc("9293", "3.5.3")
@pytest.mark.parametrize(("flags", "ack"), [(RST | ACK, 1), (RST | ACK, -1), (RST, 0)])
def test_a_reset_that_does_not_acknowledge_the_syn_is_ignored(flags: int, ack: int) -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.take("client")
    assert pair.answers("client", Segment(80, client.local_port, flags, 0, ack=client.sender.snd_nxt + ack)) == []
    assert client.state is State.SYN_SENT


@pytest.mark.rdt("5.7-4")
def test_a_half_open_listener_resets_what_does_not_acknowledge_its_syn() -> None:
    pair = Pair(plain())
    listener = pair.listen()
    (syn_ack,) = pair.answers("server", Segment(60, 80, SYN, 1000))
    (reset,) = pair.answers("server", Segment(60, 80, ACK, 1001, ack=syn_ack.seq + 2, packet_number=1))
    assert (reset.flags, reset.seq) == (RST, syn_ack.seq + 2)
    assert (len(listener.queue), listener.half_open) == (0, 1)


def test_a_reset_of_a_half_open_connection_makes_room_in_the_backlog() -> None:
    pair = Pair(plain())
    listener = pair.listen(backlog=1)
    pair.answers("server", Segment(60, 80, SYN, 1000))
    pair.answers("server", Segment(60, 80, RST, 1001, packet_number=1))
    assert (listener.half_open, pair.server.endpoint.connections) == (0, {})


def test_a_repeated_syn_is_answered_at_once_with_another_syn() -> None:
    pair = Pair(plain())
    pair.listen()
    syn = Segment(50000, 80, SYN, 1000)
    (first,) = pair.answers("server", syn)
    assert first.flags == SYN | ACK
    syn.packet_number = 1
    (second,) = pair.answers("server", syn)
    assert (second.flags, second.seq, second.packet_number) == (SYN | ACK, first.seq, 1)


@pytest.mark.rdt("3.5-12", "3.5-13")
@pytest.mark.rfc("9293", "MUST-14", "MUST-16")
@pytest.mark.parametrize(("offered", "used"), [(0, 64), (10, 64), (100, 100), (1000, 1000), (9000, MSS)])
@BOTH_WAYS
def test_the_smaller_mss_is_used(config: Config, offered: int, used: int) -> None:
    pair = Pair(config)
    listener = pair.listen()
    (syn_ack,) = pair.answers("server", Segment(60, 80, SYN, 1000, mss=offered))
    ack = Segment(60, 80, ACK, 1001, ack=syn_ack.seq + 1, wnd=10_000, packet_number=1, cookie=syn_ack.cookie)
    pair.answers("server", ack)
    server = listener.queue.popleft()
    server.send(bytes(5000), pair.now)
    datagrams = [d for _, batch, _ in pair.server.endpoint.poll_transmit(pair.now) for d in batch]
    assert max(len(d) for d in datagrams) == 40 + used


@pytest.mark.rfc("9293", "MUST-65")
def test_mss_is_said_with_syn_only() -> None:
    pair = Pair()
    client, _ = pair.connect()
    pair.write(client, bytes(10_000))
    pair.run(SECOND)
    for segment in (*pair.client.segments(), *pair.server.segments()):
        assert (segment.mss is not None) == bool(segment.flags & SYN)


@BOTH_WAYS
@pytest.mark.rdt("5.3-5")
def test_what_comes_with_a_syn_is_not_taken(config: Config) -> None:
    pair = Pair(config)
    listener = pair.listen()
    (syn_ack,) = pair.answers("server", Segment(60, 80, SYN | FIN, 1000, payload=b"early"))
    assert syn_ack.ack == 1001
    ack = Segment(60, 80, ACK, 1001, ack=syn_ack.seq + 1, wnd=1000, packet_number=1, cookie=syn_ack.cookie)
    pair.answers("server", ack)
    server = listener.queue.popleft()
    assert (server.receiver.ready, server.receiver.fin, server.state) == (0, None, State.ESTABLISHED)


@pytest.mark.rdt("5.6-3")
@BOTH_WAYS
def test_a_shutdown_during_the_handshake_waits_for_its_end(config: Config) -> None:
    pair = Pair(config)
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.write(client, b"early")
    client.shutdown(0)
    assert client.state is State.SYN_SENT
    pair.run(SECOND)
    server = listener.queue.popleft()
    assert pair.read(server) == b"early"
    assert server.receiver.at_end


def half_open() -> tuple[Pair, Connection]:
    pair = Pair(plain())
    pair.listen()
    pair.answers("server", Segment(60, 80, SYN, 1000))
    (server,) = pair.server.endpoint.connections.values()
    return pair, server


def test_data_without_an_acknowledgement_does_not_establish() -> None:
    pair, server = half_open()
    assert pair.answers("server", Segment(60, 80, 0, 1001, payload=b"x", packet_number=1)) == []
    assert (server.state, server.receiver.ready) == (State.SYN_RECEIVED, 0)


def test_a_second_answer_to_the_syn_is_challenged() -> None:
    """RFC 5961 §4.2: the connection stays, and keeps its numbers."""
    pair = Pair()
    client, server = pair.connect()
    again = segment_of(server, SYN | ACK, seq=250_000)
    (challenge,) = pair.answers("client", again)
    assert (challenge.flags, challenge.ack) == (ACK, server.sender.snd_nxt)
    assert client.state is State.ESTABLISHED


@pytest.mark.rdt("3.2-6")
@BOTH_WAYS
def test_every_datagram_has_a_packet_number_of_its_own(config: Config) -> None:
    pair = Pair(config)
    pair.drop("client", 3, 5, 9)
    client, _ = pair.connect()
    pair.write(client, bytes(50 * MSS))
    client.close(pair.now)
    pair.run()
    for side in (pair.client, pair.server):
        assert [s.packet_number for s in side.segments()] == list(range(len(side.sent)))


@pytest.mark.rdt("3.2-7")
def test_rather_than_use_up_its_packet_numbers_a_connection_ends() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.sender.packet_number = (1 << 48) - 100_000
    for _ in range(100):
        pair.write(client, bytes(1 << 20))
        pair.run(SECOND)
        pair.read(server)
        if client.end is not None:
            break
    assert client.end is not None
    assert client.end.cause == "aborted"
    assert server.end is not None
    assert server.end.cause == "reset"
    assert max(s.packet_number for s in pair.client.segments()) < 1 << 48

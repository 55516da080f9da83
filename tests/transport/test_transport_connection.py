"""One connection from handshake to end, and what each mechanism does; two endpoints, virtual time."""

from __future__ import annotations

import pytest

from rawproto.errors import ProtocolError
from rawproto.testing.pair import Pair
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection, End
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State
from rawproto.transport.trace import PacketsLost, SegmentReceived, SegmentSent, StateChanged, TimerFired

DELAY = 10 * MS
MSS = 1440


def fill(length: int) -> bytes:
    return bytes(index % 251 for index in range(length))


def send(pair: Pair, connection: Connection, data: bytes) -> None:
    assert connection.send(data, pair.now) == len(data)


def read(pair: Pair, connection: Connection) -> bytes:
    return connection.recv(1 << 30, pair.now)


def from_client(pair: Pair, client: Connection, flags: int, *, seq: int = 0, ack: int = 0, **more: object) -> Segment:
    """A segment as the client would send it now, `seq` and `ack` counted from what is right."""
    segment = Segment(client.local_port, client.peer_port, flags, client.sender.snd_nxt + seq)
    segment.ack = client.receiver.rcv_nxt + ack
    segment.wnd = 1 << 20
    segment.packet_number = client.sender.packet_number
    for name, value in more.items():
        setattr(segment, name, value)
    return segment


def states(pair: Pair, name: str) -> list[State]:
    return [record.after for record in pair.side(name).trace.records if isinstance(record, StateChanged)]


def reasons(pair: Pair, name: str) -> list[str]:
    return [record.reason for record in pair.side(name).trace.records if isinstance(record, SegmentSent)]


def timers(pair: Pair, name: str) -> list[tuple[str, int]]:
    records = pair.side(name).trace.records
    return [(record.timer, record.time_ns) for record in records if isinstance(record, TimerFired)]


def losses(pair: Pair, name: str) -> list[PacketsLost]:
    return [record for record in pair.side(name).trace.records if isinstance(record, PacketsLost)]


# -- handshake -------------------------------------------------------------------------------------------------------


def test_the_handshake_takes_one_round_trip_and_a_half() -> None:
    pair = Pair()
    client, server = pair.connect()
    assert pair.now == 3 * DELAY
    assert [s.flags for s in pair.client.segments()] == [SYN, ACK]
    assert [s.flags for s in pair.server.segments()] == [SYN | ACK]
    assert (client.state, server.state) == (State.ESTABLISHED, State.ESTABLISHED)


@pytest.mark.parametrize(("sender", "number"), [("client", 0), ("server", 0), ("client", 1)])
def test_a_lost_segment_of_the_handshake_is_repeated_after_a_second(sender: str, number: int) -> None:
    pair = Pair()
    pair.drop(sender, number)
    client, server = pair.connect()
    assert SECOND < pair.now < SECOND + 6 * DELAY
    send(pair, client, b"hello")
    pair.run(SECOND)
    assert read(pair, server) == b"hello"


def test_data_completes_the_handshake_if_the_acknowledgement_is_lost() -> None:
    pair = Pair()
    pair.drop("client", 1)
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, pair.now)
    pair.run_until(lambda: client.established)
    send(pair, client, b"hello")
    pair.run_until(lambda: bool(listener.queue))
    assert pair.now == 3 * DELAY


def test_both_may_open_at_once() -> None:
    pair = Pair()
    a = pair.client.endpoint.connect("server", 70, 0, local_port=60)
    b = pair.server.endpoint.connect("client", 60, 0, local_port=70)
    pair.run_until(lambda: a.established and b.established)
    assert states(pair, "client") == states(pair, "server") == [State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED]
    send(pair, a, b"from a")
    send(pair, b, b"from b")
    pair.run(SECOND)
    assert (read(pair, a), read(pair, b)) == (b"from b", b"from a")


def test_nobody_listens() -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert client.end is not None
    assert (client.end.cause, pair.now) == ("refused", 2 * DELAY)


def test_nobody_answers() -> None:
    pair = Pair(Config(connect_timeout=20 * SECOND))
    pair.client.accepts = lambda data: False
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.run()
    assert client.end is not None
    assert (client.end.cause, pair.now) == ("timeout", 20 * SECOND)
    assert [at for _, at in timers(pair, "client")] == [SECOND, 3 * SECOND, 7 * SECOND, 15 * SECOND]


def test_a_lost_syn_makes_the_first_window_one_segment() -> None:
    pair = Pair()
    pair.drop("client", 0)
    pair.drop("server", 0)
    client, server = pair.connect()
    for connection in (client, server):
        assert (connection.sender.congestion.cwnd // MSS, connection.sender.congestion.ssthresh) == (1, None)


@pytest.mark.parametrize("ack", [-1, 1, 1000])
def test_a_wrong_acknowledgement_of_the_syn_is_reset(ack: int) -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.take("client")
    wrong = Segment(80, client.local_port, SYN | ACK, 500, ack=client.sender.snd_nxt + ack)
    (reset,) = pair.answers("client", wrong)
    assert (reset.flags, reset.seq, client.state) == (RST, wrong.ack, State.SYN_SENT)
    wrong.flags = RST | ACK
    assert pair.answers("client", wrong) == []
    assert client.state is State.SYN_SENT


def test_a_listener_resets_what_does_not_acknowledge_its_syn() -> None:
    pair = Pair()
    listener = pair.listen()
    syn = Segment(60, 80, SYN, 1000)
    (syn_ack,) = pair.answers("server", syn)
    assert (syn_ack.flags, syn_ack.ack) == (SYN | ACK, 1001)
    (reset,) = pair.answers("server", Segment(60, 80, ACK, 1001, ack=syn_ack.seq + 2, packet_number=1))
    assert (reset.flags, reset.seq) == (RST, syn_ack.seq + 2)
    assert (len(listener.queue), listener.half_open) == (0, 1)


def test_a_reset_of_a_half_open_connection_makes_room_in_the_backlog() -> None:
    pair = Pair()
    listener = pair.listen(backlog=1)
    pair.answers("server", Segment(60, 80, SYN, 1000))
    pair.answers("server", Segment(60, 80, RST, 1001, packet_number=1))
    assert (listener.half_open, pair.server.endpoint.connections) == (0, {})


@pytest.mark.parametrize(("offered", "used"), [(0, 64), (10, 64), (100, 100), (1000, 1000), (9000, MSS)])
def test_the_smaller_mss_is_used(offered: int, used: int) -> None:
    pair = Pair()
    listener = pair.listen()
    (syn_ack,) = pair.answers("server", Segment(60, 80, SYN, 1000, mss=offered))
    pair.answers("server", Segment(60, 80, ACK, 1001, ack=syn_ack.seq + 1, wnd=10_000, packet_number=1))
    server = listener.queue.popleft()
    server.send(bytes(5000), pair.now)
    datagrams = [d for _, batch in pair.server.endpoint.poll_transmit(pair.now) for d in batch]
    assert max(len(d) for d in datagrams) == 40 + used


# -- data ------------------------------------------------------------------------------------------------------------


def test_data_goes_both_ways_at_once() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, fill(200_000))
    send(pair, server, fill(100_000)[::-1])
    pair.run()
    assert read(pair, server) == fill(200_000)
    assert read(pair, client) == fill(100_000)[::-1]


def test_small_writes_arrive_as_one_stream() -> None:
    pair = Pair()
    client, server = pair.connect()
    for index in range(500):
        send(pair, client, b"%03d" % index)
        pair.flush()
    pair.run()
    assert read(pair, server) == b"".join(b"%03d" % index for index in range(500))


@pytest.mark.parametrize("number", range(2, 12))
def test_any_lost_datagram_of_a_burst_is_repaired_without_a_timeout(number: int) -> None:
    pair = Pair()
    pair.drop("client", number)
    client, server = pair.connect()
    send(pair, client, fill(100 * MSS))
    pair.run_until(lambda: client.drained)
    assert read(pair, server) == fill(100 * MSS)
    assert client.sender.timeouts == 0
    assert client.sender.retransmitted == 1


def test_three_later_packets_trigger_the_retransmission() -> None:
    pair = Pair()
    pair.drop("client", 2)
    client, _ = pair.connect()
    send(pair, client, fill(10 * MSS))
    pair.run_until(lambda: client.drained)
    assert [(loss.length, loss.rule) for loss in losses(pair, "client")] == [(MSS, "packet threshold")]
    assert any(reason.startswith("fast retransmit") for reason in reasons(pair, "client"))


def test_fewer_later_packets_trigger_it_after_an_eighth_of_a_round_trip() -> None:
    pair = Pair()
    client, _ = pair.connect()
    send(pair, client, b"warm up")
    pair.run_until(lambda: client.drained)
    pair.drop("client", len(pair.client.sent))
    send(pair, client, fill(2 * MSS))
    start = pair.now
    pair.run_until(lambda: client.drained)
    assert [loss.rule for loss in losses(pair, "client")] == ["sent long before"]
    assert pair.now - start == 2 * DELAY + 9 * 2 * DELAY // 8


def test_a_lost_retransmission_is_repaired_without_a_timeout() -> None:
    pair = Pair()
    client, server = pair.connect()
    lost: list[int] = []

    def lose_twice(data: bytes) -> bool:
        (segment,) = client.codec.decode([data], lambda reason, length: None)
        if segment.seq != first or len(lost) == 2:
            return True
        lost.append(segment.packet_number)
        return False

    first = client.sender.snd_nxt
    pair.client.accepts = lose_twice
    send(pair, client, fill(200 * MSS))
    pair.run_until(lambda: client.drained)
    assert len(lost) == 2
    assert read(pair, server) == fill(200 * MSS)
    assert client.sender.timeouts == 0


def test_a_lost_tail_is_repaired_by_the_timeout_which_doubles() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, b"warm up")
    pair.run_until(lambda: client.drained)
    read(pair, server)
    at = len(pair.client.sent)
    pair.drop("client", at, at + 1, at + 2)
    start = pair.now
    send(pair, client, b"tail")
    pair.run_until(lambda: client.drained)
    assert [when - start for _, when in timers(pair, "client")] == [200 * MS, 600 * MS, 1400 * MS]
    assert read(pair, server) == b"tail"
    assert client.sender.rtt.backoffs == 0


def test_after_a_timeout_all_that_fits_the_window_is_repeated() -> None:
    """A short answer and the FIN behind it, sent apart, don't take one timeout each."""
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, b"warm up")
    pair.run_until(lambda: client.drained)
    at = len(pair.client.sent)
    pair.drop("client", at, at + 1)
    send(pair, client, b"answer")
    pair.flush()
    client.shutdown(pair.now)
    start = pair.now
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.now - start == 200 * MS + DELAY
    assert client.sender.timeouts == 1


def test_a_lost_acknowledgement_costs_one_retransmission_at_most() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.drop("server", len(pair.server.sent))
    send(pair, client, b"once")
    pair.run_until(lambda: client.drained)
    assert read(pair, server) == b"once"
    assert server.receiver.duplicate_octets == 4


def test_duplicates_and_reordering_change_nothing() -> None:
    pair = Pair()
    pair.duplicate("client", *range(0, 40, 3))
    pair.duplicate("server", *range(0, 10, 2))
    for number in range(2, 40, 7):
        pair.delay("client", number, 7 * MS)
    client, server = pair.connect()
    send(pair, client, fill(60 * MSS))
    pair.run_until(lambda: client.drained)
    assert read(pair, server) == fill(60 * MSS)


def test_the_user_timeout_ends_it_when_nothing_is_acknowledged() -> None:
    pair = Pair(Config(user_timeout=30 * SECOND))
    client, server = pair.connect()
    pair.run(SECOND)
    pair.client.accepts = lambda data: False
    start = pair.now
    send(pair, client, b"into the void")
    pair.run()
    assert client.end is not None
    assert (client.end.cause, pair.now - start) == ("timeout", 30 * SECOND)
    with pytest.raises(End, match="acknowledged nothing for 30 s"):
        client.send(b"x", pair.now)
    assert server.end is None


def test_more_than_the_send_buffer_is_not_taken() -> None:
    pair = Pair(Config(send_buffer=1000))
    client, _ = pair.connect()
    assert client.send(bytes(1500), pair.now) == 1000
    assert not client.writable
    assert client.send(b"x", pair.now) == 0
    pair.run()
    assert client.writable


def test_each_sent_octet_is_forgotten_once_acknowledged() -> None:
    pair = Pair()
    client, server = pair.connect()
    for _ in range(50):
        send(pair, client, fill(50_000))
        pair.run_until(lambda: client.drained)
        read(pair, server)
    assert (len(client.sender.buffer), len(client.sender.scoreboard)) == (0, 0)
    assert len(client.sender._bursts) <= 1


# -- flow control ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 50, 1000, 2000, 5000, 20_000])
def test_no_more_is_in_flight_than_was_offered(size: int) -> None:
    pair = Pair(server_config=Config(receive_buffer=size))
    client, server = pair.connect()
    data = fill(min(60 * size, 60_000))
    left, got = data, b""
    while len(got) < len(data):
        left = left[client.send(left, pair.now) :]
        pair.step()
        assert client.sender.snd_nxt <= server.receiver.rcv_adv
        assert server.receiver.refused_octets == 0
        idle = not pair.client.endpoint.pending and pair.next_event() is None
        if idle or server.receiver.ready * 2 >= size:
            got += read(pair, server)
    assert got == data


def stop_at_zero(pair: Pair, client: Connection, server: Connection, size: int) -> None:
    send(pair, client, fill(2 * size))
    pair.run_until(lambda: server.receiver.ready == size and not client.sender.scoreboard)
    assert client.sender.snd_wnd == 0


def test_a_lost_window_update_is_rescued_by_a_probe() -> None:
    pair = Pair(server_config=Config(receive_buffer=10_000))
    client, server = pair.connect()
    stop_at_zero(pair, client, server, 10_000)
    pair.drop("server", len(pair.server.sent))
    assert read(pair, server) == fill(10_000)
    pair.run_until(lambda: server.receiver.ready > 0)
    assert "window probe" in reasons(pair, "client")
    pair.run(SECOND)
    assert read(pair, server) == fill(20_000)[10_000:]


def test_probes_never_give_up_while_they_are_answered() -> None:
    pair = Pair(Config(user_timeout=10 * SECOND), server_config=Config(receive_buffer=5000))
    client, server = pair.connect()
    stop_at_zero(pair, client, server, 5000)
    pair.run(3600 * SECOND)
    assert client.end is None
    probes = [at for timer, at in timers(pair, "client") if timer == "persist"]
    assert 60 < len(probes) < 80
    assert probes[-1] - probes[-2] == 60 * SECOND
    read(pair, server)
    pair.run(SECOND)
    assert server.receiver.ready == 5000


def test_probes_that_nobody_answers_give_up() -> None:
    pair = Pair(Config(user_timeout=10 * SECOND), server_config=Config(receive_buffer=5000))
    client, server = pair.connect()
    stop_at_zero(pair, client, server, 5000)
    pair.server.accepts = lambda data: False
    pair.run(60 * SECOND)
    assert client.end is not None
    assert client.end.cause == "timeout"


def test_after_a_long_closed_window_a_loss_is_repaired_as_fast_as_ever() -> None:
    pair = Pair(server_config=Config(receive_buffer=5000))
    client, server = pair.connect()
    stop_at_zero(pair, client, server, 5000)
    pair.run(600 * SECOND)
    at = len(pair.client.sent)
    pair.drop("client", *range(at, at + 4))
    read(pair, server)
    start = pair.now
    pair.run_until(lambda: server.receiver.ready == 5000)
    assert pair.now - start < SECOND


def test_a_fin_fits_into_a_closed_window() -> None:
    pair = Pair(server_config=Config(receive_buffer=5000))
    client, server = pair.connect()
    send(pair, client, fill(5000))
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert server.receiver.at_end
    assert timers(pair, "client") == []


def test_the_last_octets_and_the_fin_go_at_once_when_the_window_just_holds_them() -> None:
    pair = Pair(server_config=Config(receive_buffer=5000))
    client, server = pair.connect()
    send(pair, client, fill(4900))
    pair.run(SECOND)
    send(pair, client, fill(100))
    client.shutdown(pair.now)
    start = pair.now
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.now - start == DELAY


def test_a_small_window_is_not_filled_with_small_segments() -> None:
    """RFC 9293 §3.8.6.2.1: the sender waits for a full segment, or half of the largest window seen."""
    pair = Pair(server_config=Config(receive_buffer=10_000))
    client, server = pair.connect()
    stop_at_zero(pair, client, server, 10_000)
    before = len(pair.client.sent)
    window = Segment(80, client.local_port, ACK, server.sender.snd_nxt, ack=client.sender.snd_nxt, wnd=100)
    window.packet_number = server.sender.packet_number + 5
    assert pair.answers("client", window) == []
    pair.run(SECOND)
    sizes = [len(s.payload) for s in pair.client.segments()[before:]]
    assert sizes[0] == 100  # the override timeout
    assert timers(pair, "client")[0][0] == "persist"


def test_an_old_window_does_not_replace_a_newer_one() -> None:
    pair = Pair()
    client, server = pair.connect()
    edge = server.sender.snd_edge
    old = from_client(pair, client, ACK, wnd=1 << 30, packet_number=0)
    pair.answers("server", old)
    assert server.sender.snd_edge == edge


# -- the end ---------------------------------------------------------------------------------------------------------


def test_a_half_closed_connection_still_carries_the_other_direction() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, b"question")
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert (client.state, server.state) == (State.FIN_WAIT_2, State.CLOSE_WAIT)
    assert read(pair, server) == b"question"
    assert server.receiver.at_end
    send(pair, server, fill(100_000))
    server.shutdown(pair.now)
    pair.run(SECOND)
    assert read(pair, client) == fill(100_000)
    assert client.receiver.at_end
    assert states(pair, "server")[-2:] == [State.LAST_ACK, State.CLOSED]


def test_a_half_open_direction_may_stay_so_for_long() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.shutdown(pair.now)
    pair.run(10_000 * SECOND)
    send(pair, server, b"at last")
    pair.run(SECOND)
    assert read(pair, client) == b"at last"


def test_both_may_close_at_once() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.close(pair.now)
    server.close(pair.now)
    pair.run()
    expected = [State.FIN_WAIT_1, State.CLOSING, State.TIME_WAIT, State.CLOSED]
    assert states(pair, "client")[-4:] == states(pair, "server")[-4:] == expected
    assert 60 * SECOND < pair.now < 61 * SECOND  # TIME-WAIT lasts as long after CLOSING


def test_time_wait_lasts_twice_the_segment_lifetime() -> None:
    pair = Pair(Config(msl=30 * SECOND))
    client, server = pair.connect()
    client.close(pair.now)
    pair.run_until(lambda: client.state is State.FIN_WAIT_2)
    server.close(pair.now)
    pair.run_until(lambda: client.state is State.TIME_WAIT)
    start = pair.now
    assert pair.client.endpoint.port_in_use(client.local_port)
    pair.run()
    assert (client.state, pair.now - start) == (State.CLOSED, 60 * SECOND)
    assert client.end is not None
    assert client.end.cause == "closed"
    assert not pair.client.endpoint.port_in_use(client.local_port)


def in_time_wait() -> tuple[Pair, Connection, Connection]:
    pair = Pair()
    client, server = pair.connect()
    server.close(pair.now)
    pair.run_until(lambda: server.state is State.FIN_WAIT_2)
    client.close(pair.now)
    pair.run_until(lambda: server.state is State.TIME_WAIT)
    pair.flush()
    return pair, client, server


def test_a_repeated_fin_is_acknowledged_and_starts_time_wait_anew() -> None:
    pair, client, server = in_time_wait()
    pair.now += 40 * SECOND
    fin = from_client(pair, client, FIN | ACK, seq=-1, packet_number=9)
    (ack,) = pair.answers("server", fin)
    assert (ack.flags, ack.ack) == (ACK, fin.end)
    assert server.next_timeout() == pair.now + 60 * SECOND


def test_another_fin_does_not_prolong_time_wait() -> None:
    pair, client, server = in_time_wait()
    deadline = server.next_timeout()
    pair.now += 40 * SECOND
    pair.answers("server", from_client(pair, client, FIN | ACK, seq=-50_000, packet_number=9))
    assert server.next_timeout() == deadline


def test_a_lost_last_acknowledgement_is_asked_for_again() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.close(pair.now)
    pair.run_until(lambda: client.state is State.FIN_WAIT_2)
    pair.drop("client", len(pair.client.sent))
    server.close(pair.now)
    pair.run()
    assert states(pair, "server")[-2:] == [State.LAST_ACK, State.CLOSED]
    assert server.end is not None
    assert server.end.cause == "closed"
    assert server.sender.timeouts == 1


def test_a_fin_may_overtake_the_data_before_it() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.delay("client", len(pair.client.sent), 5 * MS)
    send(pair, client, fill(2 * MSS))
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert read(pair, server) == fill(2 * MSS)
    assert server.state is State.CLOSE_WAIT


def test_a_shutdown_during_the_handshake_waits_for_its_end() -> None:
    pair = Pair()
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    send(pair, client, b"early")
    client.shutdown(0)
    assert client.state is State.SYN_SENT
    pair.run(SECOND)
    server = listener.queue.popleft()
    assert read(pair, server) == b"early"
    assert server.receiver.at_end


def test_sending_after_a_shutdown_is_an_error() -> None:
    pair = Pair()
    client, _ = pair.connect()
    client.shutdown(pair.now)
    with pytest.raises(ProtocolError, match="shut down"):
        client.send(b"x", pair.now)


def test_closing_with_unread_data_resets() -> None:
    """RFC 2525 §2.17."""
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, b"unread")
    pair.run(SECOND)
    server.close(pair.now)
    pair.run(SECOND)
    assert client.end is not None
    assert client.end.cause == "reset"


def test_data_after_a_close_resets() -> None:
    """RFC 2525 §2.17 too: nobody is left to read it."""
    pair = Pair()
    client, server = pair.connect()
    server.close(pair.now)
    pair.run(SECOND)
    send(pair, client, b"too late")
    pair.run(SECOND)
    assert client.end is not None
    assert client.end.cause == "reset"
    assert server.end is not None
    assert pair.server.endpoint.connections == {}


def test_old_data_with_a_new_fin_after_a_close_does_not_reset() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, b"read")
    pair.run(SECOND)
    assert read(pair, server) == b"read"
    server.close(pair.now)
    pair.run(SECOND)
    again = from_client(pair, client, ACK | FIN, seq=-4, payload=b"read")
    pair.answers("server", again)
    assert server.state is State.TIME_WAIT


def test_a_closed_side_waits_for_the_peers_fin_with_a_limit() -> None:
    pair = Pair(Config(user_timeout=50 * SECOND))
    client, server = pair.connect()
    client.close(pair.now)
    pair.run()
    assert client.end is not None
    assert client.end.cause == "timeout"
    assert server.end is not None
    assert server.end.cause == "reset"


def test_closing_after_a_shutdown_waits_no_longer_either() -> None:
    pair = Pair(Config(user_timeout=50 * SECOND))
    client, _ = pair.connect()
    client.shutdown(pair.now)
    pair.run(SECOND)
    client.close(pair.now)
    pair.run()
    assert client.end is not None
    assert client.end.cause == "timeout"
    assert pair.client.endpoint.connections == {}


def test_an_abort_resets_at_once() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, fill(1000))
    client.abort(pair.now)
    pair.run()
    assert (client.state, server.state) == (State.CLOSED, State.CLOSED)
    assert server.end is not None
    assert server.end.cause == "reset"
    assert pair.client.endpoint.connections == pair.server.endpoint.connections == {}


def test_an_abort_before_the_handshake_is_done_leaves_nothing() -> None:
    pair = Pair()
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.flush()
    client.close(0)
    pair.run()
    assert pair.client.endpoint.connections == pair.server.endpoint.connections == {}
    assert (listener.half_open, len(listener.queue)) == (0, 0)


def test_an_end_leaves_no_timer() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, fill(100_000))
    client.close(pair.now)
    pair.run_until(lambda: server.receiver.at_end)
    read(pair, server)
    server.close(pair.now)
    pair.run()
    for side in (pair.client, pair.server):
        endpoint = side.endpoint
        assert (endpoint.connections, endpoint._deadlines, endpoint._half_open) == ({}, {}, {})
        assert endpoint.next_timeout() is None
        assert not endpoint._timers


# -- segments that are not as they should be -------------------------------------------------------------------------


def test_an_exact_reset_ends_the_connection() -> None:
    pair = Pair()
    client, server = pair.connect()
    assert pair.answers("server", from_client(pair, client, RST)) == []
    assert server.end is not None
    assert server.end.cause == "reset"


def test_an_inexact_reset_is_challenged() -> None:
    pair = Pair()
    client, server = pair.connect()
    (challenge,) = pair.answers("server", from_client(pair, client, RST, seq=1000))
    assert (challenge.flags, challenge.ack) == (ACK, client.sender.snd_nxt)
    assert server.end is None


@pytest.mark.parametrize("seq", [-1000, 1 << 30])
def test_a_reset_outside_the_window_is_ignored(seq: int) -> None:
    pair = Pair()
    client, server = pair.connect()
    assert pair.answers("server", from_client(pair, client, RST, seq=seq)) == []
    assert server.end is None


@pytest.mark.parametrize("seq", [-1, 0, 1000, 1 << 30])
def test_a_syn_on_an_open_connection_is_only_acknowledged(seq: int) -> None:
    pair = Pair()
    client, server = pair.connect()
    (answer,) = pair.answers("server", from_client(pair, client, SYN, seq=seq))
    assert (answer.flags, answer.ack) == (ACK, client.sender.snd_nxt)
    assert server.state is State.ESTABLISHED


@pytest.mark.parametrize("ack", [1, 1000, 1 << 40, -(1 << 30)])
def test_data_with_an_acknowledgement_that_cannot_be_is_challenged(ack: int) -> None:
    """RFC 5961 §5.2."""
    pair = Pair()
    client, server = pair.connect()
    (challenge,) = pair.answers("server", from_client(pair, client, ACK, ack=ack, payload=b"injected"))
    assert challenge.ack == client.sender.snd_nxt
    assert server.receiver.ready == 0


def test_data_without_an_acknowledgement_is_discarded() -> None:
    pair = Pair()
    client, server = pair.connect()
    assert pair.answers("server", from_client(pair, client, 0, payload=b"injected")) == []
    assert server.receiver.ready == 0


def test_challenges_are_limited() -> None:
    """RFC 5961 §7."""
    pair = Pair()
    client, _ = pair.connect()
    inexact = from_client(pair, client, RST, seq=1000)
    assert sum(len(pair.answers("server", inexact)) for _ in range(50)) == 10
    pair.now += 5 * SECOND
    assert len(pair.answers("server", inexact)) == 1


def test_two_ends_that_disagree_do_not_answer_each_other_for_ever() -> None:
    """Data that a third party puts in makes the server acknowledge what the client never sent."""
    pair = Pair()
    client, _ = pair.connect()
    for answer in pair.answers("server", from_client(pair, client, ACK, payload=b"injected")):
        pair._send(pair.server, client.codec.encode(answer, MSS)[0])
    pair.run(SECOND)
    assert len(pair.client.sent) + len(pair.server.sent) < 50


def test_a_forged_packet_number_does_not_stop_the_window_or_loss_detection() -> None:
    """Blind: neither the sequence number nor the acknowledgement is known to the forger."""
    pair = Pair(server_config=Config(receive_buffer=10_000))
    client, server = pair.connect()
    largest = (1 << 48) - 1
    for side, here, there in (("server", server, client), ("client", client, server)):
        forged = Segment(there.local_port, here.local_port, ACK, 0, ack=0, wnd=0, packet_number=largest)
        pair.answers(side, forged)
        assert here.sender.wl1 < largest
    data, got = fill(50_000), b""
    send(pair, client, data)
    while len(got) < len(data):
        pair.step()
        got += read(pair, server)
    assert got == data
    assert client.sender.rtt.srtt == 2 * DELAY
    assert client.sender.timeouts == 0


def test_an_old_segment_still_acknowledges() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, b"old")
    pair.run(SECOND)
    send(pair, server, b"not seen to arrive")
    pair.take("server")
    again = from_client(pair, client, ACK, seq=-3, ack=18, payload=b"old")
    pair.answers("server", again)
    assert server.drained


def test_a_peer_that_never_tells_what_it_has_seen_costs_no_memory() -> None:
    pair = Pair()
    client, server = pair.connect()
    number = server.sender.packet_number
    for _ in range(300):
        send(pair, client, bytes(100))
        pair.take("client")
        ack = Segment(80, client.local_port, ACK, server.sender.snd_nxt, ack=client.sender.snd_nxt, wnd=1 << 20)
        ack.packet_number = number = number + 1
        pair.answers("client", ack)
    assert client.drained
    assert len(client.sender._bursts) <= 1


def test_progress_ends_the_backoff_even_if_no_round_trip_was_told() -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, bytes(100))
    pair.take("client")
    client.sender.rtt.backoffs = 5
    ack = Segment(80, client.local_port, ACK, server.sender.snd_nxt, ack=client.sender.snd_nxt, wnd=1000)
    ack.packet_number = 50
    pair.answers("client", ack)
    assert client.sender.rtt.backoffs == 0


def test_a_peer_that_has_all_selectively_and_never_acknowledges_is_given_up() -> None:
    pair = Pair(Config(user_timeout=10 * SECOND))
    client, server = pair.connect()
    send(pair, client, bytes(100))
    pair.take("client")
    una = client.sender.snd_una
    liar = Segment(80, client.local_port, ACK, server.sender.snd_nxt, ack=una, sack=((una, una + 100),), wnd=1000)
    liar.packet_number = 50
    pair.answers("client", liar)
    pair.run()
    assert client.end is not None
    assert client.end.cause == "timeout"


@pytest.mark.parametrize(
    "ranges",
    [((-200, -100),), ((50, 1 << 31),), ((1 << 30, 1 << 31),), ((60, 40),), ((40, 40),)],
    ids=["before", "over the end", "beyond", "inverted", "empty"],
)
def test_ranges_that_cannot_be_are_ignored(ranges: tuple[tuple[int, int], ...]) -> None:
    pair = Pair()
    client, server = pair.connect()
    send(pair, client, bytes(100))
    pair.take("client")
    una = client.sender.snd_una
    liar = Segment(80, client.local_port, ACK, server.sender.snd_nxt, ack=una, wnd=1000)
    liar.sack = tuple((una + low, una + high) for low, high in ranges)
    client.receive(liar, pair.now)
    assert (client.sender.scoreboard.in_flight, client.sender.scoreboard.sacked) == (100, 0)


def test_thousands_of_ranges_are_not_cut_into_thousands_of_pieces() -> None:
    pair = Pair(Config(congestion_control="none", send_buffer=1 << 20))
    client, server = pair.connect()
    send(pair, client, bytes(1 << 20))
    pair.take("client")
    una, number = client.sender.snd_una, 50
    for first in range(0, 1 << 17, 62):
        ranges = tuple((una + first + at, una + first + at + 1) for at in range(0, 62, 2))
        liar = Segment(80, client.local_port, ACK, server.sender.snd_nxt, ack=una, wnd=1000, sack=ranges)
        liar.packet_number = number = number + 1
        client.receive(liar, pair.now)
    assert len(client.sender.scoreboard) <= (1 << 14) + 1


def test_what_a_full_list_of_ranges_does_not_reach_is_not_taken_for_lost() -> None:
    """With a small MSS the list is short: four ranges for 64 bytes."""
    pair = Pair(Config(congestion_control="none"), datagram_size=40 + 64)
    client, server = pair.connect()
    at = len(pair.client.sent)
    pair.drop("client", *range(at, at + 100, 10))
    send(pair, client, fill(100 * 64))
    pair.run_until(lambda: client.drained)
    assert read(pair, server) == fill(100 * 64)
    assert client.sender.retransmitted == 10
    assert client.sender.timeouts == 0


def test_data_behind_the_fin_is_refused() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.answers("server", from_client(pair, client, ACK | FIN))
    assert server.state is State.CLOSE_WAIT
    pair.answers("server", from_client(pair, client, ACK, seq=1, payload=b"more"))
    assert (server.state, server.receiver.ready) == (State.CLOSE_WAIT, 0)


def test_a_fin_that_contradicts_the_data_leaves_the_connection_open() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.answers("server", from_client(pair, client, ACK, seq=10, payload=bytes(10)))
    pair.answers("server", from_client(pair, client, ACK | FIN, seq=5, packet_number=9))
    pair.answers("server", from_client(pair, client, ACK, payload=bytes(10), packet_number=10))
    assert (server.state, server.receiver.at_end, server.receiver.ready) == (State.ESTABLISHED, False, 20)


def test_a_connection_that_is_over_answers_nothing() -> None:
    pair = Pair()
    client, server = pair.connect()
    server.receive(from_client(pair, client, RST), pair.now)
    server.receive(from_client(pair, client, ACK, payload=b"late"), pair.now)
    record = pair.server.trace.records[-1]
    assert isinstance(record, SegmentReceived)
    assert record.outcome == "discarded: the connection is over"
    assert server.next_timeout() is None


def test_every_segment_has_a_packet_number_of_its_own() -> None:
    pair = Pair()
    pair.drop("client", 3, 5, 9)
    client, _ = pair.connect()
    send(pair, client, fill(50 * MSS))
    client.close(pair.now)
    pair.run()
    for side in (pair.client, pair.server):
        assert [s.packet_number for s in side.segments()] == list(range(len(side.sent)))

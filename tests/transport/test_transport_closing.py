"""The end of a connection: half-close, both at once, TIME-WAIT, aborts, and what comes after a close."""

from __future__ import annotations

import pytest

from rawproto.errors import ProtocolError
from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection, End
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State

MSS = 1440


@pytest.mark.rfc("9293", "3.6-1", "3.6-2")
def test_a_half_closed_connection_still_carries_the_other_direction() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, b"question")
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert (client.state, server.state) == (State.FIN_WAIT_2, State.CLOSE_WAIT)
    assert pair.read(server) == b"question"
    assert server.receiver.at_end
    pair.write(server, fill(100_000))
    server.shutdown(pair.now)
    pair.run(SECOND)
    assert pair.read(client) == fill(100_000)
    assert client.receiver.at_end
    assert pair.server.states()[-2:] == [State.LAST_ACK, State.CLOSED]


@pytest.mark.rdt("5.6-1")
def test_nothing_is_sent_behind_the_fin() -> None:
    pair = Pair()
    client, _ = pair.connect()
    pair.write(client, fill(5000))
    client.shutdown(pair.now)
    pair.run(10 * SECOND)
    end = client.sender.iss + 1 + 5000
    assert max(s.end for s in pair.client.segments()) == end + 1
    assert [s.end for s in pair.client.segments() if s.flags & FIN] == [end + 1]


def test_a_half_open_direction_may_stay_so_for_long() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.shutdown(pair.now)
    pair.run(10_000 * SECOND)
    pair.write(server, b"at last")
    pair.run(SECOND)
    assert pair.read(client) == b"at last"


@pytest.mark.rfc("9293", "3.6-3")
def test_both_may_close_at_once() -> None:
    pair = Pair()
    client, server = pair.connect()
    client.close(pair.now)
    server.close(pair.now)
    pair.run()
    expected = [State.FIN_WAIT_1, State.CLOSING, State.TIME_WAIT, State.CLOSED]
    assert pair.client.states()[-4:] == pair.server.states()[-4:] == expected
    assert 60 * SECOND < pair.now < 61 * SECOND  # TIME-WAIT lasts as long after CLOSING


@pytest.mark.parametrize("lost", range(2, 6))
@pytest.mark.rfc("9293", "3.6-3")
def test_both_may_close_at_once_whatever_is_lost(lost: int) -> None:
    pair = Pair()
    pair.drop("client", lost)
    client, server = pair.connect()
    pair.run(SECOND)
    client.close(pair.now)
    server.close(pair.now)
    pair.run()
    for connection in (client, server):
        assert connection.end is not None
        assert connection.end.cause == "closed"


@pytest.mark.rdt("5.8-1")
@pytest.mark.rfc("9293", "MUST-13")
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


def in_time_wait(config: Config | None = None) -> tuple[Pair, Connection, Connection]:
    """The server has closed first, and waits."""
    pair = Pair(config)
    client, server = pair.connect()
    server.close(pair.now)
    pair.run_until(lambda: server.state is State.FIN_WAIT_2)
    client.close(pair.now)
    pair.run_until(lambda: server.state is State.TIME_WAIT)
    pair.flush()
    return pair, client, server


@pytest.mark.rdt("5.8-1")
@pytest.mark.rfc("9293", "3.10.7.4-3")
def test_a_repeated_fin_is_acknowledged_and_starts_time_wait_anew() -> None:
    pair, client, server = in_time_wait()
    pair.now += 40 * SECOND
    fin = segment_of(client, FIN | ACK, seq=-1, packet_number=9)
    (ack,) = pair.answers("server", fin)
    assert (ack.flags, ack.ack) == (ACK, fin.end)
    assert server.next_timeout() == pair.now + 60 * SECOND


def test_another_fin_does_not_prolong_time_wait() -> None:
    pair, client, server = in_time_wait()
    deadline = server.next_timeout()
    pair.now += 40 * SECOND
    pair.answers("server", segment_of(client, FIN | ACK, seq=-50_000, packet_number=9))
    assert server.next_timeout() == deadline


@pytest.mark.rdt("5.8-3")
@pytest.mark.rfc("1337", "3")
@pytest.mark.parametrize("seq", [0, 1000])
def test_a_reset_does_not_end_time_wait(seq: int) -> None:
    pair, client, server = in_time_wait()
    deadline = server.next_timeout()
    assert pair.answers("server", segment_of(client, RST, seq=seq)) == []
    assert (server.state, server.next_timeout()) == (State.TIME_WAIT, deadline)


@pytest.mark.rdt("5.8-4", "5.8-2")
@pytest.mark.rfc("9293", "MAY-2")
@pytest.mark.parametrize("config", [Config(), plain()], ids=["cookies", "half-open"])
def test_a_syn_from_beyond_the_old_stream_opens_a_new_connection_in_time_wait(config: Config) -> None:
    pair, client, server = in_time_wait(config)
    listener = pair.server.endpoint.listeners[80]
    pair.run_until(lambda: client.end is not None and not pair.client.endpoint.connections)
    again = pair.client.endpoint.connect("server", 80, pair.now, local_port=client.local_port)
    assert again.sender.iss > client.sender.snd_nxt
    pair.run_until(lambda: bool(listener.queue))
    new = listener.queue.popleft()
    assert (server.state, new.state) == (State.CLOSED, State.ESTABLISHED)
    assert new.sender.iss > server.sender.snd_nxt
    pair.write(again, b"new")
    pair.run(SECOND)
    assert pair.read(new) == b"new"


@pytest.mark.rdt("5.8-2")
@pytest.mark.rfc("9293", "MAY-2")
@pytest.mark.parametrize("config", [Config(), plain()], ids=["cookies", "half-open"])
def test_an_old_syn_does_not_end_time_wait(config: Config) -> None:
    pair, client, server = in_time_wait(config)
    (answer,) = pair.answers("server", Segment(client.local_port, 80, SYN, client.sender.snd_nxt - 1, packet_number=9))
    assert (answer.flags, answer.ack, server.state) == (ACK, client.sender.snd_nxt, State.TIME_WAIT)


@pytest.mark.rfc("9293", "MUST-13")
def test_a_lost_last_acknowledgement_is_asked_for_again() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    client.close(pair.now)
    pair.run_until(lambda: client.state is State.FIN_WAIT_2)
    pair.drop("client", pair.number("client"))
    server.close(pair.now)
    pair.run()
    assert pair.server.states()[-2:] == [State.LAST_ACK, State.CLOSED]
    assert server.end is not None
    assert server.end.cause == "closed"
    assert server.sender.timeouts == 1


def test_a_fin_may_overtake_the_data_before_it() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    pair.delay("client", pair.number("client"), 5 * MS)
    pair.write(client, fill(2 * MSS))
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert pair.read(server) == fill(2 * MSS)
    assert server.state is State.CLOSE_WAIT


def test_sending_after_a_shutdown_is_an_error() -> None:
    pair = Pair()
    client, _ = pair.connect()
    client.shutdown(pair.now)
    with pytest.raises(ProtocolError, match="shut down"):
        client.send(b"x", pair.now)


@pytest.mark.rdt("5.6-4")
@pytest.mark.rfc("9293", "SHLD-3", "MUST-12")
def test_closing_with_unread_data_resets() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, b"unread")
    pair.run(SECOND)
    server.close(pair.now)
    pair.run(SECOND)
    assert client.end is not None
    assert client.end.cause == "reset"


@pytest.mark.rdt("5.6-4")
@pytest.mark.rfc("9293", "SHLD-3")
def test_data_after_a_close_resets() -> None:
    """Nobody is left to read it."""
    pair = Pair()
    client, server = pair.connect()
    server.close(pair.now)
    pair.run(SECOND)
    pair.write(client, b"too late")
    pair.run(SECOND)
    assert client.end is not None
    assert client.end.cause == "reset"
    assert server.end is not None
    assert pair.server.endpoint.connections == {}


def test_old_data_with_a_new_fin_after_a_close_does_not_reset() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, b"read")
    pair.run(SECOND)
    assert pair.read(server) == b"read"
    server.close(pair.now)
    pair.run(SECOND)
    pair.answers("server", segment_of(client, ACK | FIN, seq=-4, payload=b"read"))
    assert server.state is State.TIME_WAIT


@pytest.mark.rdt("5.6-5", "5.9-3")
def test_a_closed_side_waits_for_the_peers_fin_with_a_limit() -> None:
    pair = Pair(Config(user_timeout=50 * SECOND))
    client, server = pair.connect()
    client.close(pair.now)
    pair.run_until(lambda: client.state is State.FIN_WAIT_2)
    start = pair.now
    pair.run()
    assert pair.now - start < 51 * SECOND
    assert client.end is not None
    assert client.end.cause == "timeout"
    assert server.end is not None
    assert server.end.cause == "reset"


@pytest.mark.rdt("5.6-5")
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


@pytest.mark.rdt("5.7-1", "5.7-7")
@pytest.mark.rfc("9293", "MUST-12")
def test_an_abort_resets_at_once() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, fill(1000))
    client.abort(pair.now)
    (reset,) = pair.take("client")
    assert (reset.flags, reset.seq, reset.ack) == (RST | ACK, client.sender.snd_nxt, client.receiver.rcv_nxt)
    pair.answers("server", reset)
    assert (client.state, server.state) == (State.CLOSED, State.CLOSED)
    assert server.end is not None
    assert server.end.cause == "reset"
    with pytest.raises(End, match="reset"):
        server.send(b"x", pair.now)
    assert pair.client.endpoint.connections == pair.server.endpoint.connections == {}


@pytest.mark.rdt("5.7-1")
def test_an_abort_in_time_wait_says_nothing() -> None:
    pair, _, server = in_time_wait()
    server.abort(pair.now)
    assert pair.take("server") == []
    assert pair.server.endpoint.connections == {}


@pytest.mark.rdt("5.6-4", "5.7-1")
def test_an_abort_before_the_handshake_is_done_leaves_nothing() -> None:
    pair = Pair()
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.flush()
    client.close(0)
    assert pair.take("client") == []
    pair.run()
    assert pair.client.endpoint.connections == pair.server.endpoint.connections == {}
    assert (listener.half_open, len(listener.queue)) == (0, 0)


def test_an_end_leaves_no_timer() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, fill(100_000))
    client.close(pair.now)
    pair.run_until(lambda: server.receiver.at_end)
    pair.read(server)
    server.close(pair.now)
    pair.run()
    for side in (pair.client, pair.server):
        endpoint = side.endpoint
        assert (endpoint.connections, endpoint._deadlines, endpoint._half_open) == ({}, {}, {})
        assert endpoint.next_timeout() is None
        assert not endpoint._timers


@pytest.mark.rdt("6.3-2")
def test_data_behind_the_fin_is_refused() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.answers("server", segment_of(client, ACK | FIN))
    assert server.state is State.CLOSE_WAIT
    pair.answers("server", segment_of(client, ACK, seq=1, payload=b"more"))
    assert (server.state, server.receiver.ready) == (State.CLOSE_WAIT, 0)


def test_a_fin_that_contradicts_the_data_leaves_the_connection_open() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.answers("server", segment_of(client, ACK, seq=10, payload=bytes(10)))
    pair.answers("server", segment_of(client, ACK | FIN, seq=5, packet_number=9))
    pair.answers("server", segment_of(client, ACK, payload=bytes(10), packet_number=10))
    assert (server.state, server.receiver.at_end, server.receiver.ready) == (State.ESTABLISHED, False, 20)


def test_a_connection_that_is_over_answers_nothing() -> None:
    pair = Pair()
    client, server = pair.connect()
    server.receive(segment_of(client, RST), pair.now)
    server.receive(segment_of(client, ACK, payload=b"late"), pair.now)
    assert pair.server.outcomes()[-1] == "discarded: the connection is over (RFC 9293 §3.10.7.1)"
    assert server.next_timeout() is None


@pytest.mark.rdt("5.6-2")
def test_a_fin_fits_into_a_closed_window() -> None:
    pair = Pair(plain(), server_config=plain(receive_buffer=5000))
    client, server = pair.connect()
    pair.write(client, fill(5000))
    client.shutdown(pair.now)
    pair.run(SECOND)
    assert server.receiver.at_end
    assert pair.client.timers() == []


def test_the_last_octets_and_the_fin_go_at_once_when_the_window_just_holds_them() -> None:
    pair = Pair(server_config=Config(receive_buffer=5000))
    client, server = pair.connect()
    pair.write(client, fill(4900))
    pair.run(SECOND)
    pair.write(client, fill(100))
    client.shutdown(pair.now)
    start = pair.now
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.now - start == pair.delay_ns


@pytest.mark.rdt("5.8-4")
@pytest.mark.parametrize("cookies", [True, False])
def test_the_new_stream_begins_behind_the_old_one_even_if_no_clock_drives_the_choice(cookies: bool) -> None:
    pair, client, server = in_time_wait(plain(keyed_isn=False, cookies=cookies))
    syn = Segment(client.local_port, 80, SYN, client.sender.snd_nxt + 1000, mss=MSS, packet_number=0)
    (answer,) = pair.answers("server", syn)
    assert answer.flags == SYN | ACK
    assert answer.seq > server.sender.snd_nxt

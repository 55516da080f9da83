"""Flow control: what is offered, what is sent of it, silly windows at both ends, and probes of a closed window."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, RST, Segment
from rawproto.transport.state import State

DELAY = 10 * MS
MSS = 1440


def narrow(size: int, **changes: object) -> tuple[Pair, Connection, Connection]:
    """A connection whose server has room for `size` octets."""
    pair = Pair(plain(**changes), server_config=plain(receive_buffer=size))
    return pair, *pair.connect()


def stop_at_zero(pair: Pair, client: Connection, server: Connection, size: int) -> None:
    """Fill the server's buffer, with as much again waiting."""
    pair.write(client, fill(2 * size))
    pair.run_until(lambda: server.receiver.ready == size and not client.sender.scoreboard)
    assert client.sender.window.edge == client.sender.snd_nxt


def window_of(pair: Pair, server: Connection, wnd: int, number: int) -> Segment:
    """What the server would send to offer `wnd` octets."""
    return segment_of(server, ACK, wnd=wnd, packet_number=server.sender.packet_number + number)


@pytest.mark.parametrize("size", [1, 50, 1000, 2000, 5000, 20_000])
@pytest.mark.parametrize("config", [Config(), plain()], ids=["all", "plain"])
@pytest.mark.rdt("8.1-1", "8.1-2", "8.1-3")
@pytest.mark.rfc("9293", "3.8.6", "SHLD-14")
def test_no_more_is_in_flight_than_was_offered(size: int, config: Config) -> None:
    pair = Pair(config, server_config=Config(receive_buffer=size))
    client, server = pair.connect()
    data = fill(min(20 * size, 60_000))
    left, got, edge = data, b"", 0
    while len(got) < len(data):
        left = left[client.send(left, pair.now) :]
        pair.step()
        assert client.sender.snd_nxt <= server.receiver.rcv_adv
        assert server.receiver.refused_octets == 0
        assert server.receiver.rcv_adv >= edge
        edge = server.receiver.rcv_adv
        if not client.sender.scoreboard or server.receiver.ready * 2 >= size:
            got += pair.read(server)
    assert got == data


@pytest.mark.rdt("8.1-4")
def test_before_the_first_window_nothing_but_syn_is_sent() -> None:
    pair = Pair()
    client = pair.client.endpoint.connect("server", 80, 0)
    pair.write(client, b"early")
    pair.run(5 * MS)
    assert [bytes(s.payload) for s in pair.client.segments()] == [b""]


@pytest.mark.rdt("8.2-1")
def test_a_reader_that_opens_a_closed_window_says_so_at_once() -> None:
    pair, client, server = narrow(10_000)
    stop_at_zero(pair, client, server, 10_000)
    pair.read(server)
    (update,) = pair.take("server")
    assert (update.flags, update.wnd, len(update.payload)) == (ACK, 10_000, 0)
    assert "window update" in pair.server.reasons()


@pytest.mark.rdt("8.2-1", "8.2-3")
@pytest.mark.rfc("9293", "MUST-39")
def test_a_receiver_offers_no_slivers() -> None:
    pair, client, server = narrow(10_000)
    stop_at_zero(pair, client, server, 10_000)
    pair.read(server, MSS - 1)
    assert pair.take("server") == []
    (answer,) = pair.answers("server", segment_of(client, ACK, seq=-1))  # a probe
    assert answer.wnd == 0
    pair.read(server, 1)
    (update,) = pair.take("server")
    assert update.wnd == MSS


@pytest.mark.rdt("8.2-3")
@pytest.mark.rfc("9293", "MUST-39")
def test_of_a_small_buffer_half_is_no_sliver() -> None:
    pair, client, server = narrow(100)
    stop_at_zero(pair, client, server, 100)
    pair.read(server, 49)
    assert pair.take("server") == []
    pair.read(server, 1)
    (update,) = pair.take("server")
    assert update.wnd == 50


@pytest.mark.rdt("8.2-2")
def test_a_fast_reader_does_not_answer_every_read() -> None:
    pair, client, server = narrow(100_000)
    pair.write(client, bytes(20_000))
    pair.run(SECOND)
    before = len(pair.server.sent)
    for _ in range(20):
        pair.read(server, 1000)
    pair.flush()
    assert len(pair.server.sent) == before


@pytest.mark.rdt("8.4-1")
@pytest.mark.rfc("9293", "MUST-38", "3.8.6.2.1")
def test_a_small_window_is_not_filled_before_the_override_timeout() -> None:
    """The sender waits for a full segment, or half of the largest window seen."""
    pair, client, server = narrow(10_000)
    stop_at_zero(pair, client, server, 10_000)
    before = pair.number("client")
    assert pair.answers("client", window_of(pair, server, 100, 5)) == []
    start = pair.now
    pair.run(SECOND)
    sizes = [len(s.payload) for s in pair.client.segments()[before:]]
    assert sizes[0] == 100
    name, at = pair.client.timers()[0]
    assert (name, at - start <= client.config.min_rto) == ("persist", True)


@pytest.mark.rfc("9293", "MUST-38")
@pytest.mark.parametrize(("window", "sent"), [(999, []), (1000, [1000])])
def test_half_of_the_largest_window_is_not_silly(window: int, sent: list[int]) -> None:
    pair, client, server = narrow(2000)
    stop_at_zero(pair, client, server, 2000)
    assert client.sender.window.largest == 2000
    segments = pair.answers("client", window_of(pair, server, window, 5))
    assert [len(s.payload) for s in segments] == sent


@pytest.mark.rdt("8.3-1", "8.3-2")
@pytest.mark.rfc("9293", "MUST-35", "MUST-36", "SHLD-29")
def test_a_closed_window_is_probed_after_one_timeout() -> None:
    pair, client, server = narrow(10_000)
    stop_at_zero(pair, client, server, 10_000)
    start = pair.now
    before = pair.number("client")
    pair.run_until(lambda: len(pair.client.sent) > before)
    (probe,) = pair.client.segments()[before:]
    assert pair.now - start <= client.sender.rtt.rto
    assert (probe.flags, probe.seq, len(probe.payload)) == (ACK, client.sender.snd_una - 1, 0)
    pair.run_until(lambda: len(pair.server.sent) > 0 and pair.server.reasons()[-1].startswith("ACK of a segment"))


@pytest.mark.rfc("9293", "MUST-35")
def test_a_lost_window_update_is_rescued_by_a_probe() -> None:
    pair, client, server = narrow(10_000)
    stop_at_zero(pair, client, server, 10_000)
    pair.drop("server", pair.number("server"))
    assert pair.read(server) == fill(10_000)
    pair.run_until(lambda: server.receiver.ready > 0)
    assert "window probe" in pair.client.reasons()
    pair.run(SECOND)
    assert pair.read(server) == fill(20_000)[10_000:]


@pytest.mark.rdt("5.9-2", "8.3-1")
@pytest.mark.rfc("9293", "MUST-37", "SHLD-30")
def test_probes_never_give_up_while_they_are_answered() -> None:
    pair, client, server = narrow(5000, user_timeout=10 * SECOND)
    stop_at_zero(pair, client, server, 5000)
    start = pair.now
    pair.run(3600 * SECOND)
    assert client.end is None
    probes = [at for timer, at in pair.client.timers() if timer == "persist" and at >= start]
    assert 60 < len(probes) < 80
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    rto = client.config.min_rto
    assert gaps[:4] == [2 * rto, 4 * rto, 8 * rto, 16 * rto]
    assert gaps[-1] == 60 * SECOND
    assert client.sender.rtt.backoffs == 0
    pair.read(server)
    pair.run(SECOND)
    assert server.receiver.ready == 5000


@pytest.mark.rdt("5.9-2")
@pytest.mark.rfc("9293", "MUST-20-2")
def test_probes_that_nobody_answers_give_up() -> None:
    pair, client, server = narrow(5000, user_timeout=10 * SECOND)
    stop_at_zero(pair, client, server, 5000)
    pair.server.cut = True
    start = pair.now
    pair.run_until(lambda: client.end is not None)
    assert client.end is not None
    assert client.end.cause == "timeout"
    assert 10 * SECOND <= pair.now - start < 12 * SECOND


def test_after_a_long_closed_window_a_loss_is_repaired_as_fast_as_ever() -> None:
    pair, client, server = narrow(5000)
    stop_at_zero(pair, client, server, 5000)
    pair.run(600 * SECOND)
    at = pair.number("client")
    pair.drop("client", *range(at, at + 4))
    pair.read(server)
    start = pair.now
    pair.run_until(lambda: server.receiver.ready == 5000)
    assert pair.now - start < SECOND


@pytest.mark.rdt("8.1-3")
@pytest.mark.rfc("9293", "3.8.6-2")
def test_an_old_window_does_not_replace_a_newer_one() -> None:
    pair = Pair()
    client, server = pair.connect()
    edge = server.sender.window.edge
    pair.answers("server", segment_of(client, ACK, wnd=1 << 30, packet_number=0))
    assert server.sender.window.edge == edge


@pytest.mark.rdt("8.1-3")
@pytest.mark.rfc("9293", "MUST-34")
def test_a_smaller_window_takes_nothing_back() -> None:
    pair = Pair()
    client, server = pair.connect()
    edge = server.sender.window.edge
    pair.answers("server", segment_of(client, ACK, wnd=0))
    assert server.sender.window.edge == edge


@pytest.mark.rfc("9293", "MUST-1")
def test_the_largest_window_is_large_and_not_negative() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.answers("server", segment_of(client, ACK, wnd=0xFFFF_FFFF))
    assert server.sender.window.edge == server.sender.snd_una + 0xFFFF_FFFF


@pytest.mark.rdt("6.3-3")
def test_a_forged_packet_number_does_not_stop_the_window_or_loss_detection() -> None:
    """Blind: neither the sequence number nor the acknowledgement is known to the forger."""
    pair, client, server = narrow(10_000)
    largest = (1 << 48) - 1
    for side, here, there in (("server", server, client), ("client", client, server)):
        forged = Segment(there.local_port, here.local_port, ACK, 0, ack=0, wnd=0, packet_number=largest)
        pair.answers(side, forged)
        assert here.sender.window.wl1 < largest
    data, got = fill(50_000), b""
    pair.write(client, data)
    while len(got) < len(data):
        pair.step()
        got += pair.read(server)
    assert got == data
    assert client.sender.rtt.srtt == 2 * DELAY
    assert client.sender.timeouts == 0


@pytest.mark.rfc("9293", "MUST-66")
def test_a_closed_window_takes_resets_and_acknowledgements() -> None:
    pair, client, server = narrow(5000)
    stop_at_zero(pair, client, server, 5000)
    pair.write(server, b"answer")
    pair.take("server")
    pair.answers("server", segment_of(client, ACK, ack=6))
    assert server.drained
    pair.answers("server", segment_of(client, RST, packet_number=client.sender.packet_number + 1))
    assert server.end is not None
    assert server.end.cause == "reset"


@pytest.mark.rdt("8.1-1", "7.3-4")
@pytest.mark.rfc("9293", "3.10.7.4-1")
def test_data_beyond_the_window_is_refused_and_the_part_inside_taken() -> None:
    pair, client, server = narrow(1000)
    pair.answers("server", segment_of(client, ACK, payload=bytes(1200)))
    assert (server.receiver.ready, server.receiver.refused_octets) == (1000, 200)
    pair.answers("server", segment_of(client, ACK, seq=1001, payload=b"x", packet_number=9))
    assert server.receiver.ready == 1000


def test_octets_out_of_order_do_not_count_twice_against_the_window() -> None:
    pair, client, _ = narrow(10_000)
    (ack,) = pair.answers("server", segment_of(client, ACK, seq=5000, payload=bytes(1000)))
    assert ack.wnd == 10_000


def test_a_fin_in_a_window_that_opens_again_does_not_wait() -> None:
    pair, client, server = narrow(5000)
    stop_at_zero(pair, client, server, 5000)
    client.shutdown(pair.now)
    pair.read(server)
    start = pair.now
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.now - start < 100 * MS
    assert server.state is State.CLOSE_WAIT
    assert [s.flags & FIN for s in pair.client.segments()].count(FIN) == 1


def test_more_than_the_send_buffer_is_not_taken() -> None:
    pair = Pair(Config(send_buffer=1000))
    client, _ = pair.connect()
    assert client.send(bytes(1500), pair.now) == 1000
    assert not client.writable
    assert client.send(b"x", pair.now) == 0
    pair.run()
    assert client.writable


@pytest.mark.rdt("8.4-3")
@pytest.mark.parametrize("size", [10_000, 12_345])
def test_while_more_is_waiting_segments_are_whole_datagrams(size: int) -> None:
    pair, client, server = narrow(size)
    pair.write(client, fill(100_000))
    segments = pair.take("client")
    lengths = [len(s.payload) for s in segments]
    assert sum(lengths) > 5 * MSS
    assert all(length % MSS == 0 for length in lengths)
    assert server.established


@pytest.mark.rdt("9-2")
@pytest.mark.parametrize(("window", "leave"), [(MSS - 1, 1), (3 * MSS - 1, 2), (3 * MSS, 3)])
def test_no_more_is_in_flight_than_the_congestion_window_but_one_segment(window: int, leave: int) -> None:
    pair, client, _ = narrow(1 << 20)
    client.sender.congestion.cwnd = window
    pair.write(client, fill(100_000))
    pair.take("client")
    assert client.sender.scoreboard.in_flight == leave * MSS

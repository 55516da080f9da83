"""An endpoint: who gets a segment, listeners, ports, sequence numbers, timers."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from rawproto.errors import ConfigError, ProtocolError
from rawproto.testing.pair import Pair, plain
from rawproto.transport.config import SECOND, Config
from rawproto.transport.endpoint import EPHEMERAL_PORTS, Endpoint
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.stack import Stack


@pytest.mark.rdt("5.1-1")
@pytest.mark.rfc("9293", "MUST-42")
def test_several_connections_to_one_port_are_kept_apart() -> None:
    pair = Pair()
    ends = [pair.connect() for _ in range(20)]
    for index, (client, _) in enumerate(ends):
        client.send(b"%d" % index * 1000, pair.now)
    pair.run(SECOND)
    assert [server.recv(10_000, pair.now) for _, server in ends] == [b"%d" % index * 1000 for index in range(20)]


@pytest.mark.rdt("5.1-1")
def test_the_same_ports_of_another_peer_are_another_connection() -> None:
    pair = Pair()
    client, server = pair.connect()
    data = Segment(client.local_port, 80, ACK, client.sender.snd_nxt, ack=client.receiver.rcv_nxt, payload=b"x")
    pair.server.endpoint.receive("somebody else", client.codec.encode(data, 1000), pair.now)
    assert server.receiver.ready == 0
    assert pair.server.endpoint.discarded["no connection"] == 1


@pytest.mark.rdt("5.3-2")
def test_syns_beyond_the_backlog_are_dropped_and_counted() -> None:
    pair = Pair(plain())
    listener = pair.listen(backlog=3)
    clients = [pair.client.endpoint.connect("server", 80, 0) for _ in range(5)]
    pair.run(SECOND // 2)
    assert (len(listener.queue), listener.overflows, pair.server.endpoint.discarded["backlog full"]) == (3, 2, 2)
    listener.queue.clear()
    pair.run(2 * SECOND)
    assert all(client.established for client in clients)


@pytest.mark.rdt("5.7-2", "3.2-8", "3.4-4")
@pytest.mark.rfc("9293", "3.5.2-1")
def test_no_connection_is_answered_with_a_reset() -> None:
    pair = Pair()
    (with_ack,) = pair.answers("server", Segment(5, 6, ACK, 100, ack=200, payload=b"abc"))
    assert (with_ack.flags, with_ack.seq, with_ack.source_port, with_ack.destination_port) == (RST, 200, 6, 5)
    (without,) = pair.answers("server", Segment(5, 6, SYN | FIN, 100))
    assert (without.flags, without.seq, without.ack) == (RST | ACK, 0, 102)


@pytest.mark.rdt("5.7-3")
@pytest.mark.rfc("9293", "3.5.2-1")
def test_a_reset_is_never_answered() -> None:
    pair = Pair()
    pair.listen()
    for port in (80, 81):
        assert pair.answers("server", Segment(5, port, RST, 1), Segment(5, port, RST | ACK | SYN, 1)) == []
    assert pair.server.endpoint.discarded["reset for no connection"] == 4


def test_a_listener_resets_an_acknowledgement() -> None:
    pair = Pair()
    pair.listen()
    (reset,) = pair.answers("server", Segment(5, 80, SYN | ACK, 100, ack=200))
    assert (reset.flags, reset.seq) == (RST, 200)


@pytest.mark.parametrize("seq", [2**64 - 1, 2**64 - 2, 2**64 - (1 << 17), 2**63])
@pytest.mark.parametrize("port", [80, 81])
def test_the_highest_sequence_numbers_can_be_answered(seq: int, port: int) -> None:
    pair = Pair()
    pair.listen()
    pair.answers("server", Segment(5, port, SYN, seq))
    pair.answers("server", Segment(5, port, ACK, seq, ack=2**64 - 1, payload=bytes(1000), packet_number=1))
    for connection in pair.server.endpoint.connections.values():
        pair.answers("server", Segment(5, port, ACK, seq + 1, ack=connection.sender.snd_nxt, packet_number=2))
        for at in (0, 1_000, 100_000, 120_000, 131_000):
            data = Segment(5, port, ACK, min(seq + 1 + at, 2**64 - 1), ack=connection.sender.snd_nxt, payload=bytes(99))
            data.packet_number = 3 + at
            pair.answers("server", data)


@pytest.mark.rdt("5.1-2")
def test_ephemeral_ports_are_free_and_different() -> None:
    pair = Pair()
    clients = [pair.client.endpoint.connect("server", 80, 0) for _ in range(100)]
    ports = [client.local_port for client in clients]
    assert len(set(ports)) == 100
    assert all(port in EPHEMERAL_PORTS for port in ports)
    assert all(pair.client.endpoint.port_in_use(port) for port in ports)


def test_ephemeral_ports_run_out_with_an_error() -> None:
    endpoint = Endpoint(Config(), Random(1), 1480)
    for port in EPHEMERAL_PORTS:
        endpoint.listen(port, 1)
    with pytest.raises(ProtocolError, match="all ephemeral ports"):
        endpoint.connect("peer", 80, 0)


@pytest.mark.rdt("5.1-1")
def test_a_port_in_use_is_an_error() -> None:
    pair = Pair()
    pair.listen(80)
    with pytest.raises(ProtocolError, match="port 80 is in use"):
        pair.listen(80)
    pair.client.endpoint.connect("server", 80, 0, local_port=1000)
    with pytest.raises(ProtocolError, match="port 1000 is in use"):
        pair.client.endpoint.connect("server", 80, 0, local_port=1000)
    pair.client.endpoint.connect("server", 81, 0, local_port=1000)


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_an_error_at_once(port: int) -> None:
    endpoint = Endpoint(Config(), Random(1), 1480)
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        endpoint.connect("peer", port, 0)
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        endpoint.connect("peer", 80, 0, local_port=port)
    with pytest.raises(ConfigError, match="from 0 to 65535"):
        endpoint.listen(port, 1)
    assert endpoint.connections == {}


def test_a_path_too_narrow_is_an_error() -> None:
    with pytest.raises(ConfigError, match="104"):
        Endpoint(Config(), Random(1), 103)


def test_a_path_wider_than_the_length_field_is_used_up_to_it() -> None:
    pair = Pair(datagram_size=1 << 20)
    client, server = pair.connect()
    client.send(bytes(200_000), 0)
    pair.run(SECOND)
    assert len(server.recv(1 << 20, pair.now)) == 200_000


def isns(seed: int, times: list[int]) -> list[int]:
    endpoint = Endpoint(Config(), Random(seed), 1480)
    return [endpoint.connect("peer", 80, now, local_port=7 + at).sender.iss for at, now in enumerate(times)]


@pytest.mark.rdt("5.2-1", "5.2-2")
@pytest.mark.rfc("6528", "3-1")
@pytest.mark.rfc("9293", "SHLD-1", "MUST-9")
def test_initial_sequence_numbers_depend_on_ports_and_secret() -> None:
    seen = [isn for seed in range(50) for isn in isns(seed, [0, 0, 0, 0])]
    assert len(set(seen)) == len(seen)
    assert len({isn >> 44 for isn in seen}) > 10  # spread over all of the space
    assert isns(1, [0, 0]) == isns(1, [0, 0])
    assert max(seen) < 1 << 48


@pytest.mark.rfc("6528", "3-3")
@pytest.mark.rfc("9293", "MUST-8")
def test_initial_sequence_numbers_rise_with_time_for_the_same_ports() -> None:
    """RFC 6528 §3: M ticks every 4 microseconds."""
    (first,), (later,) = isns(1, [0]), isns(1, [4_000_000])
    assert (later - first) % (1 << 48) == 1000


@pytest.mark.parametrize("config", [Config(), plain()], ids=["cookies", "half-open"])
def test_closing_a_listener_aborts_those_that_wait(config: Config) -> None:
    pair = Pair(config)
    listener = pair.listen()
    client = pair.client.endpoint.connect("server", 80, 0)
    half = pair.answers("server", Segment(9, 80, SYN, 1, mss=1440))
    assert len(half) == 1
    pair.run(SECOND // 2)
    assert client.established
    pair.server.endpoint.unlisten(listener, pair.now)
    pair.run(SECOND // 2)
    assert client.end is not None
    assert client.end.cause == "reset"
    assert (pair.server.endpoint.connections, listener.half_open, len(listener.queue)) == ({}, 0, 0)
    pair.listen()


def test_pending_says_whether_there_is_more_to_send() -> None:
    pair = Pair()
    client, _ = pair.connect()
    endpoint = pair.client.endpoint
    pair.flush()
    assert not endpoint.pending
    client.send(bytes(100), pair.now)
    assert endpoint.pending
    assert len(endpoint.poll_transmit(pair.now)) == 1
    while endpoint.pending:
        endpoint.poll_transmit(pair.now)
    assert endpoint.poll_transmit(pair.now) == []


def test_one_long_burst_does_not_hold_up_the_others() -> None:
    pair = Pair(plain(congestion_control="none"))
    ends = [pair.connect() for _ in range(3)]
    for client, _ in ends:
        client.send(bytes(1 << 20), pair.now)
    first_round = pair.client.endpoint.poll_transmit(pair.now)
    ports = [int.from_bytes(batch[0][4:6], "big") for _, batch, _ in first_round]
    assert ports == [client.local_port for client, _ in ends]
    assert all(client.octets_sent == client.config.segment_size for client, _ in ends)


def test_the_earliest_timer_of_all_connections_is_next() -> None:
    pair = Pair()
    endpoint = pair.client.endpoint
    for at in (300, 100, 200):
        endpoint.connect("server", 80, at)
        endpoint.poll_transmit(at)
        endpoint.poll_transmit(at)
    assert endpoint.next_timeout() == 100 + SECOND
    endpoint.handle_timeout(150 + SECOND)
    while endpoint.pending:
        endpoint.poll_transmit(150 + SECOND)
    assert endpoint.next_timeout() == 200 + SECOND


def test_timers_that_are_out_of_date_do_not_pile_up() -> None:
    pair = Pair()
    client, server = pair.connect()
    for _ in range(2000):
        client.send(b"x", pair.now)
        pair.run_until(lambda: client.drained)
        server.recv(10, pair.now)
    assert len(pair.client.endpoint._timers) < 100


def test_totals_outlive_their_connections() -> None:
    pair = Pair(plain())  # with cookies the first SYN belongs to no connection of the server
    client, _ = pair.connect()
    client.send(bytes(10_000), pair.now)
    pair.run(SECOND)
    client.abort(pair.now)
    pair.run()
    totals = pair.client.endpoint.totals()
    assert totals.sent == len(pair.client.sent)
    assert pair.server.endpoint.totals().received == len(pair.client.sent)
    assert pair.client.endpoint.connections == {}


class StillCarrier:
    """A carrier that loses everything."""

    datagram_size = 1480
    ecn = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.discarded: Counter[str] = Counter()

    def send(self, peer: str, datagrams: object, now: int, ect: bool = False) -> None:
        self.sent.append((peer, now))

    def receive(self, now: int) -> list[tuple[str, list[bytes | memoryview], bool]]:
        return []

    def next_timeout(self) -> int | None:
        return None

    def handle_timeout(self, now: int) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def test_each_iteration_of_a_stack_has_a_time_of_its_own() -> None:
    carrier = StillCarrier()
    stack = Stack(carrier, Endpoint(Config(), Random(1), 1480))
    stack.connect("peer", 80, 5)
    stack.connect("peer", 81, 5)
    stack.step(5)
    assert [now for _, now in carrier.sent] == [5, 6]
    assert stack.now == 7
    assert stack.next_timeout() == 5 + SECOND


def test_a_stack_says_whether_more_is_to_be_sent() -> None:
    carrier = StillCarrier()
    stack = Stack(carrier, Endpoint(Config(), Random(1), 1480))
    stack.connect("peer", 80, 0)
    stack.connect("peer", 81, 0)
    while stack.step(1):
        pass
    assert not stack.endpoint.pending
    assert len(carrier.sent) == 2


def test_a_congestion_control_that_is_not_known_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match="no congestion control is called 'cubique'"):
        Endpoint(Config(congestion_control="cubique"), Random(1), 1500)


@pytest.mark.rdt("9.3-6")
@pytest.mark.rfc("3168", "6.1.1-2")
def test_a_carrier_that_can_t_mark_offers_no_ecn() -> None:
    carrier = StillCarrier()
    carrier.ecn = False
    stack = Stack(carrier, Endpoint(Config(), Random(1), 1480))
    assert not stack.connect("peer", 80, 0).ecn.offer(SYN)

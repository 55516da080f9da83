"""Whatever arrives, in whatever state: never an exception, always an account of it, and no endless exchange."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.testing.pair import Pair
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, FIN, RST, SYN, Segment
from rawproto.transport.state import State
from rawproto.wire.rdt import datagram_crc

CONFIG = Config(receive_buffer=20_000, send_buffer=20_000, max_ranges=16)


def syn_sent() -> tuple[Pair, Connection]:
    pair = Pair(CONFIG)
    connection = pair.client.endpoint.connect("server", 80, 0, local_port=1000)
    pair.take("client")
    return pair, connection


def syn_received() -> tuple[Pair, Connection]:
    pair, connection = syn_sent()
    pair.answers("client", Segment(80, 1000, SYN, 5000, packet_number=3, mss=100))
    return pair, connection


def established() -> tuple[Pair, Connection]:
    pair, connection = syn_sent()
    syn_ack = Segment(80, 1000, SYN | ACK, 5000, ack=connection.sender.snd_nxt, wnd=5000, packet_number=3)
    pair.answers("client", syn_ack)
    connection.send(bytes(8000), pair.now)
    pair.take("client")
    return pair, connection


def then(begin: Callable[[], tuple[Pair, Connection]], *events: str) -> Callable[[], tuple[Pair, Connection]]:
    def prepare() -> tuple[Pair, Connection]:
        pair, connection = begin()
        for number, event in enumerate(events):
            if event == "shutdown":
                connection.shutdown(pair.now)
                pair.take("client")
                continue
            sender, receiver = connection.sender, connection.receiver
            flags = ACK | (FIN if event == "fin" else 0)
            ack = sender.snd_una if event == "fin" else sender.snd_nxt
            peer = Segment(80, 1000, flags, receiver.rcv_nxt, ack=ack, wnd=50_000, packet_number=100 + number)
            pair.answers("client", peer)
            if sender.unsent or sender.snd_una < sender.snd_nxt:
                peer.ack, peer.packet_number = sender.snd_nxt, 200 + number
                peer.seq, peer.flags = receiver.rcv_nxt, ACK
                if event == "ack":
                    pair.answers("client", peer)
        return pair, connection

    return prepare


STATES: dict[State, Callable[[], tuple[Pair, Connection]]] = {
    State.SYN_SENT: syn_sent,
    State.SYN_RECEIVED: syn_received,
    State.ESTABLISHED: established,
    State.FIN_WAIT_1: then(established, "ack", "shutdown"),
    State.FIN_WAIT_2: then(established, "ack", "shutdown", "ack"),
    State.CLOSE_WAIT: then(established, "fin"),
    State.CLOSING: then(established, "ack", "shutdown", "fin"),
    State.LAST_ACK: then(established, "fin", "ack", "shutdown"),
    State.TIME_WAIT: then(established, "ack", "shutdown", "ack", "fin"),
    State.CLOSED: then(established, "fin", "ack", "shutdown", "ack"),
}


@pytest.mark.parametrize("state", STATES)
def test_the_states_are_what_they_are_called(state: State) -> None:
    _, connection = STATES[state]()
    assert connection.state is state


def near(rng: Random, *values: int) -> int:
    """A number that hits an edge more often than not."""
    value = rng.choice([*values, 0, 1 << 32, 1 << 48, (1 << 63), (1 << 64) - 1, rng.randrange(1 << 64)])
    return min(max(0, value + rng.choice([0, 0, 0, 1, -1, 2, 50, -50, rng.randrange(-30_000, 30_000)])), (1 << 64) - 1)


def crafted(rng: Random, connection: Connection) -> bytes:
    """A datagram with a right CRC, whose fields are plausible or not."""
    sender, receiver = connection.sender, connection.receiver
    flags = rng.choice([ACK, ACK, ACK, ACK | FIN, SYN, SYN | ACK, RST, RST | ACK, 0, FIN, rng.randrange(1 << 16)])
    ack = near(rng, sender.snd_una, sender.snd_nxt)
    segment = Segment(80, 1000, flags, near(rng, receiver.rcv_nxt, receiver.rcv_adv, receiver.irs), ack)
    segment.wnd = rng.choice([0, 1, 100, 5000, 0xFFFF_FFFF, rng.randrange(1 << 32)])
    segment.payload = bytes(rng.choice([0, 0, 1, 10, 1400]))
    segment.packet_number = rng.choice([0, rng.randrange(1000), (1 << 48) - 1, rng.randrange(1 << 48)])
    if rng.random() < 0.5:
        largest = rng.choice([0, max(0, sender.packet_number - 1), (1 << 48) - 1, rng.randrange(50)])
        segment.seen = (largest, rng.randrange(1 << 40))
    if rng.random() < 0.5:
        edges = sorted(rng.sample(range(1, rng.choice([100, 9000, 1 << 32])), 2 * rng.randrange(1, 32)))
        segment.sack = tuple((ack + low, ack + high) for low, high in zip(edges[::2], edges[1::2], strict=True))
    if rng.random() < 0.2:
        segment.mss = rng.randrange(1 << 16)
    (datagram,) = connection.codec.encode(segment, 60_000)
    if rng.random() < 0.2:
        mutated = bytearray(datagram)
        mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        datagram = bytes(mutated)
        if rng.random() < 0.5:
            end = datagram[1] * 4 + int.from_bytes(datagram[10:12], "big")
            crc = datagram_crc(datagram[:40], datagram[40:end])
            datagram = datagram[:36] + crc.to_bytes(4, "big") + datagram[40:]
    return datagram


def consistent(connection: Connection) -> None:
    sender, receiver, board = connection.sender, connection.receiver, connection.sender.scoreboard
    chunks = board._chunks
    assert board.in_flight == sum(chunk.end - chunk.start for chunk in chunks if not chunk.lost)
    assert board.lost == sum(chunk.end - chunk.start for chunk in chunks if chunk.lost)
    assert sender.iss <= sender.snd_una <= sender.snd_nxt <= sender.snd_nxt + sender.unsent
    assert all(sender.snd_una <= chunk.start < chunk.end <= sender.snd_nxt for chunk in chunks)
    assert receiver.ready + receiver.held.total <= 20_000
    assert sum(len(piece) for piece in receiver._held.values()) == receiver.held.total
    if connection.end is None:
        waits = bool(chunks) and connection.state is not State.TIME_WAIT
        assert connection.next_timeout() is not None or not waits


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("seed", range(60))
def test_crafted_datagrams_never_raise_and_never_break_the_counters(state: State, seed: int) -> None:
    """To run one again: pytest 'tests/transport/test_transport_fuzz.py' -k 'STATE-SEED'."""
    rng = Random(f"{state} {seed}")
    pair, connection = STATES[state]()
    endpoint = pair.client.endpoint
    for _ in range(60):
        batch = [crafted(rng, connection) for _ in range(rng.choice([1, 1, 1, 4]))]
        endpoint.receive("server", batch, pair.now)
        for _ in range(200):
            if not endpoint.pending:
                break
            endpoint.poll_transmit(pair.now)
        assert not endpoint.pending
        consistent(connection)
        if rng.random() < 0.3:
            connection.recv(rng.randrange(30_000), pair.now)
        if rng.random() < 0.3:
            pair.now += rng.choice([0, 1, SECOND // 100, SECOND])
        due = endpoint.next_timeout()
        if due is not None and rng.random() < 0.3:
            pair.now = max(pair.now, due)
            endpoint.handle_timeout(pair.now)
            consistent(connection)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("seed", range(20))
def test_after_whatever_came_a_connection_without_a_peer_ends(state: State, seed: int) -> None:
    rng = Random(f"end {state} {seed}")
    pair, connection = STATES[state]()
    endpoint = pair.client.endpoint
    for _ in range(10):
        endpoint.receive("server", [crafted(rng, connection)], pair.now)
        pair.take("client")
    connection.recv(1 << 20, pair.now)
    connection.close(pair.now)
    for _ in range(2000):
        pair.take("client")
        due = endpoint.next_timeout()
        if due is None:
            break
        pair.now = max(pair.now, due)
        endpoint.handle_timeout(pair.now)
    assert endpoint.next_timeout() is None
    assert endpoint.connections == {}


@given(st.lists(st.binary(max_size=120), max_size=10))
def test_any_bytes_are_counted(datagrams: list[bytes]) -> None:
    pair, _ = established()
    endpoint = pair.client.endpoint
    before = endpoint.totals().received
    endpoint.receive("server", datagrams, pair.now)
    assert endpoint.discarded.total() + endpoint.totals().received - before == len(datagrams)


@pytest.mark.parametrize("seed", range(30))
def test_two_endpoints_come_to_rest_after_injected_segments(seed: int) -> None:
    """On a wire without delay an endless exchange would never let time pass."""
    rng = Random(seed)
    pair = Pair(CONFIG, delay_ns=0)
    client, server = pair.connect()
    client.send(bytes(5000), pair.now)
    for _ in range(20):
        for name, connection in (("client", client), ("server", server)):
            datagram = bytearray(crafted(rng, connection))
            datagram[4:8] = connection.peer_port.to_bytes(2, "big") + connection.local_port.to_bytes(2, "big")
            datagram[36:40] = datagram_crc(bytes(datagram[:40]), bytes(datagram[40:])).to_bytes(4, "big")
            pair.side(name).endpoint.receive(pair.other(name), [bytes(datagram)], pair.now)
        start, before = pair.now, len(pair.client.sent) + len(pair.server.sent)
        while (at := pair.next_event()) is not None and at <= start:
            pair.step()
            assert len(pair.client.sent) + len(pair.server.sent) - before < 300

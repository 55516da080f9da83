"""Whatever arrives, in whatever state: never an exception, always an account of it, and no endless exchange."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.testing.pair import Pair, fill
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
        segment.record = rng.choice([None, 1, rng.randrange(1 << 32)])
    if rng.random() < 0.3:
        start = near(rng, sender.snd_una, sender.iss)
        segment.dsack = (start, min(start + rng.randrange(1, 1 << 16), (1 << 64) - 1))
    if rng.random() < 0.2:
        segment.probe, segment.probed = rng.choice([0, 104, 1400]), rng.choice([0, 104, 1400, 65_535])
    if rng.random() < 0.1:
        segment.cookie = rng.randbytes(rng.randrange(1, 60))
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
        endpoint.receive("server", batch, pair.now, marked=rng.random() < 0.1)
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


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("cookies", [True, False])
def test_a_listener_survives_whatever_comes_and_keeps_no_more_than_its_backlog(seed: int, cookies: bool) -> None:
    rng = Random(f"listener {seed}")
    pair = Pair(Config(cookies=cookies, max_replies=50))
    listener = pair.server.endpoint.listen(80, 4, records=rng.random() < 0.5)
    endpoint = pair.server.endpoint
    given: list[bytes] = []
    for _ in range(100):
        segment = Segment(
            rng.randrange(1, 4), 80, rng.choice([SYN, SYN, ACK, ACK | FIN, RST, rng.randrange(1 << 16)]), 0
        )
        segment.seq = near(rng, 1000)
        segment.ack = near(rng, *(answer.seq + 1 for answer in pair.take("server")), 5)
        segment.record = rng.choice([None, 1000])
        segment.payload = bytes(rng.choice([0, 0, 100]))
        segment.cookie = rng.choice([b"", rng.randbytes(36), *given[-2:]])
        endpoint.receive(rng.choice(["a", "b"]), endpoint.codec.encode(segment, 1400), pair.now)
        for _, batch, _ in endpoint.poll_transmit(pair.now):
            given += [s.cookie for s in endpoint.codec.decode(batch, lambda reason, length: None) if s.cookie]
        pair.now += rng.choice([0, 1, SECOND])
        due = endpoint.next_timeout()
        if due is not None and due <= pair.now:
            endpoint.handle_timeout(pair.now)
        assert len(listener.queue) + listener.half_open <= 4
        assert sum(c.established for c in endpoint.connections.values()) >= len(listener.queue)


@pytest.mark.parametrize("seed", range(40))
def test_two_endpoints_on_a_bad_wire_lose_and_invent_nothing(seed: int) -> None:
    """Everything on: each octet arrives once and in order, and both sides come to an end."""
    rng = Random(f"wire {seed}")
    pair = Pair(
        Config(
            receive_buffer=rng.choice([5000, 1 << 20]), congestion_control=rng.choice(["reno", "cubic", "bbr", "none"])
        ),
        datagram_size=rng.choice([300, 1480, 9000]),
    )
    for name in ("client", "server"):
        numbers = range(3000)
        pair.drop(name, *(n for n in numbers if rng.random() < 0.1))
        pair.duplicate(name, *(n for n in numbers if rng.random() < 0.1))
        pair.mark(name, *(n for n in numbers if rng.random() < 0.1))
        for number in numbers:
            if rng.random() < 0.1:
                pair.delay(name, number, rng.randrange(SECOND // 20))
    ends = pair.connect()
    left = [fill(rng.randrange(60_000)), fill(rng.randrange(60_000))[::-1]]
    sent, got = list(left), [b"", b""]
    for _ in range(40_000):
        for index, end in enumerate(ends):
            if left[index] and rng.random() < 0.5:
                left[index] = left[index][end.send(left[index][: rng.randrange(1, 20_000)], pair.now) :]
            if not left[index]:
                end.shutdown(pair.now)
            if rng.random() < 0.5:
                got[1 - index] += pair.read(end)
        pair.step()
        if all(end.receiver.at_end and not end.receiver.ready for end in ends):
            break
    assert got == sent
    assert all(end.end is None or end.end.cause == "closed" for end in ends)

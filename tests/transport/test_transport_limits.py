"""Each bound of Config: it is filled, what is over it is counted, and it is never passed."""

from __future__ import annotations

from dataclasses import fields
from random import Random

import pytest

from rawproto.errors import ConfigError
from rawproto.testing.pair import Pair, fill, plain, segment_of
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Endpoint
from rawproto.transport.segment import ACK, SYN, Segment

MSS = 1440


def connected(**changes: object) -> tuple[Pair, Connection, Connection]:
    pair = Pair(plain(**changes))
    return pair, *pair.connect()


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_the_send_buffer_takes_no_more_than_its_size(size: int) -> None:
    pair, client, _ = connected(send_buffer=size)
    pair.client.cut = True
    taken = [client.send(bytes(700), pair.now) for _ in range(300)]
    assert sum(taken) == len(client.sender.buffer) == size
    assert not client.writable


@pytest.mark.rdt("8.1-1")
def test_the_receive_buffer_holds_no_more_than_its_size() -> None:
    pair, client, server = connected(receive_buffer=10_000)
    for at in range(5, 30):
        pair.answers("server", segment_of(client, ACK, seq=at * 1000, payload=bytes(1000), packet_number=at))
    for at in range(30):
        pair.answers("server", segment_of(client, ACK, seq=at * 1000, payload=bytes(1000), packet_number=50 + at))
        receiver = server.receiver
        assert receiver.ready + receiver.held.total <= 10_000
    assert server.receiver.ready == 10_000
    assert server.stats(pair.now).rcv_refused > 0
    assert server.stats(pair.now).rcv_wnd == 0


@pytest.mark.rdt("7.3-6")
def test_no_more_ranges_are_held_than_allowed_and_the_next_octets_are_taken_all_the_same() -> None:
    pair, client, server = connected(max_ranges=3)
    for at in range(1, 20, 2):
        pair.answers("server", segment_of(client, ACK, seq=at, payload=b"x", packet_number=20 + at))
    assert len(server.receiver.held) == 3
    assert server.stats(pair.now).rcv_refused == 7
    pair.answers("server", segment_of(client, ACK, payload=b"y", packet_number=60))
    assert server.receiver.ready == 2


@pytest.mark.parametrize("size", [1000, 5000, 64_800])
def test_no_segment_has_more_payload_than_allowed(size: int) -> None:
    pair, client, _ = connected(segment_size=size, congestion_control="none", idle_restart=False)
    lengths = []
    pair.write(client, bytes(500_000))
    while (segment := client.poll_transmit(pair.now)) is not None:
        lengths.append(len(segment.payload))
    assert max(lengths) <= size
    assert sum(lengths) == 500_000
    assert all(length % MSS == 0 for length in lengths[:-1] if size >= MSS)


@pytest.mark.parametrize("backlog", [1, 3, 16])
@pytest.mark.parametrize("cookies", [True, False])
@pytest.mark.rdt("5.3-2", "5.3-10")
def test_a_backlog_is_never_passed(backlog: int, cookies: bool) -> None:
    pair = Pair(Config(cookies=cookies))
    listener = pair.listen(backlog=backlog)
    clients = [pair.client.endpoint.connect("server", 80, 0) for _ in range(20)]
    for _ in range(300):
        assert listener.half_open + len(listener.queue) <= backlog
        if not pair.step() or pair.now > 5 * SECOND:
            break
    assert listener.overflows > 0
    assert len(pair.server.endpoint.connections) <= backlog
    assert len(clients) == 20


@pytest.mark.rdt("5.3-10")
def test_the_backlog_is_one_at_least() -> None:
    pair = Pair()
    assert pair.listen(backlog=0).backlog == 1
    pair.connect()


def test_a_half_open_backlog_that_fills_up_drops_and_counts() -> None:
    pair = Pair(plain())
    listener = pair.listen(backlog=4)
    for port in range(1, 11):
        pair.answers("server", Segment(port, 80, SYN, 1))
    assert (listener.half_open, listener.overflows) == (4, 6)
    assert pair.server.endpoint.discarded["backlog full"] == 6


@pytest.mark.rdt("5.7-8")
def test_answers_to_nobody_wait_in_a_queue_with_an_end() -> None:
    endpoint = Endpoint(plain(max_replies=5), Random(1), 1480)
    stray = endpoint.codec.encode(Segment(1, 2, ACK, 5, ack=6, payload=b"x"), MSS)
    for _ in range(8):
        endpoint.receive("peer", stray, 0)
    assert len(endpoint._replies) == 5
    assert endpoint.discarded["reply queue full"] == 3
    assert len(endpoint.poll_transmit(0)) == 5


@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize("segments", [1, 2, 4, 10])
def test_no_more_than_the_initial_window_leaves_at_first(segments: int) -> None:
    pair, client, _ = connected(initial_window=segments)
    at = pair.number("client")
    pair.write(client, bytes(100_000))
    pair.flush()
    assert len(pair.client.sent) - at == segments


@pytest.mark.rfc("6298", "2.5")
def test_the_timeout_has_a_least_and_a_most() -> None:
    pair, client, _ = connected(min_rto=300_000_000, max_rto=SECOND, user_timeout=20 * SECOND)
    pair.run(SECOND)
    pair.client.cut = True
    start = pair.now
    pair.write(client, b"x")
    pair.run()
    expiries = [at - start for timer, at in pair.client.timers() if timer == "rto"]
    assert expiries[:4] == [300_000_000, 900_000_000, 1_900_000_000, 2_900_000_000]


@pytest.mark.rdt("7.8-6")
def test_a_record_is_as_long_as_the_buffer_at_most() -> None:
    pair = Pair(plain(max_record=5000, receive_buffer=3000))
    client, _ = pair.connect()
    assert client.max_record == 3000


@pytest.mark.parametrize("octets", [1, 7])
def test_small_pieces_out_of_order_cost_no_more_than_their_share(octets: int) -> None:
    pair, client, server = connected(max_ranges=8)
    for at in range(1000):
        segment = segment_of(client, ACK, seq=1 + at * octets, payload=bytes(octets), packet_number=20 + at)
        server.receive(segment, pair.now)
    assert len(server.receiver._held) <= 8 * 16


def test_what_is_kept_does_not_grow_with_what_has_passed() -> None:
    pair, client, server = connected(tail_loss_probe=True, ecn=True, delayed_ack=True)
    for _ in range(100):
        pair.write(client, fill(20_000))
        pair.run_until(lambda: client.drained)
        pair.read(server)
    for connection in (client, server):
        sender, receiver = connection.sender, connection.receiver
        assert (len(sender.buffer), len(sender.scoreboard)) == (0, 0)
        assert len(sender.bursts) <= 1
        assert (receiver.ready, len(receiver._held), len(receiver._ready)) == (0, 0, 0)
    for side in (pair.client, pair.server):
        assert len(side.endpoint._timers) <= 70


@pytest.mark.parametrize(
    "field", [field for field in fields(Config) if type(field.default) is int], ids=lambda f: f.name
)
def test_a_bound_that_can_t_be_is_refused(field: object) -> None:
    with pytest.raises(ConfigError, match="must be at least"):
        Config(**{field.name: -1})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"checksum": "md5"}, "one of crc32, internet, none"),
        ({"segment_size": 65_536}, "at most 65535"),
        ({"receive_buffer": 1 << 32}, "holds at most 4294967295"),
        ({"ack_delay": 500_000_000}, "less than half a second"),
        ({"nagle": 1}, "True or False"),
        ({"congestion_control": 3}, "a name"),
        ({"max_rto": 100_000_000}, "must be at least 200000000"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_settings_that_can_t_work_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Config(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.5, "4096", None, True])
def test_settings_are_whole_numbers(value: object) -> None:
    with pytest.raises(ConfigError, match="must be a whole number"):
        Config(send_buffer=value)  # type: ignore[arg-type]

"""Nagle's algorithm in Minshall's form, between two endpoints: RFC 9293 §3.7.4."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair, fill, plain
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection

RTT = 20 * MS
MSS = 1440


def ready(config: Config | None = None) -> tuple[Pair, Connection, Connection]:
    pair = Pair(config or plain(nagle=True))
    client, server = pair.connect()
    pair.run(SECOND)
    return pair, client, server


def sizes(pair: Pair, client: Connection) -> list[int]:
    return [len(s.payload) for s in pair.client.segments() if s.payload]


@pytest.mark.rdt("8.4-2")
@pytest.mark.rfc("9293", "SHLD-7")
def test_a_small_segment_waits_for_the_acknowledgement_of_another_small_one() -> None:
    pair, client, server = ready()
    for _ in range(100):
        pair.write(client, b"x" * 10)
        pair.flush()
    assert sizes(pair, client) == [10]
    start = pair.now
    pair.run_until(lambda: client.drained)
    assert sizes(pair, client) == [10, 990]
    assert pair.now - start == 2 * RTT
    assert pair.read(server) == b"x" * 1000


@pytest.mark.rfc("9293", "SHLD-7")
def test_what_fills_a_segment_does_not_wait() -> None:
    pair, client, _ = ready()
    pair.write(client, b"x" * 10)
    pair.flush()
    pair.write(client, fill(MSS - 1))
    pair.flush()
    assert sizes(pair, client) == [10]
    pair.write(client, b"x")
    pair.flush()
    assert sizes(pair, client) == [10, MSS]


@pytest.mark.rfc("9293", "SHLD-7")
def test_the_last_piece_of_a_large_write_does_not_wait() -> None:
    """Minshall: only a small segment makes another one wait, not full ones."""
    pair, client, _ = ready()
    pair.write(client, fill(2 * MSS + 100))
    pair.flush()
    assert sizes(pair, client) == [MSS, MSS, 100]


@pytest.mark.rdt("8.4-2")
def test_a_fin_lets_everything_go() -> None:
    pair, client, server = ready()
    pair.write(client, b"one")
    pair.flush()
    pair.write(client, b"two")
    pair.flush()
    client.shutdown(pair.now)
    pair.run(11 * MS)
    assert pair.read(server) == b"onetwo"
    assert server.receiver.at_end


@pytest.mark.rdt("8.4-4")
@pytest.mark.rfc("9293", "MUST-17")
def test_an_application_can_switch_it_off_and_what_waits_goes_at_once() -> None:
    pair, client, _ = ready()
    for _ in range(3):
        pair.write(client, b"x" * 10)
        pair.flush()
    client.set_option("nagle", False, pair.now)
    pair.flush()
    assert sizes(pair, client) == [10, 20]
    pair.write(client, b"y")
    pair.flush()
    assert sizes(pair, client) == [10, 20, 1]
    client.set_option("nagle", True, pair.now)
    pair.write(client, b"z")
    pair.flush()
    assert sizes(pair, client) == [10, 20, 1]


def test_with_delayed_acknowledgements_nothing_hangs() -> None:
    """The peer's delay ends by itself: the second write takes 40 ms longer, and no more."""
    pair, client, server = ready(Config())
    start = pair.now
    pair.write(client, b"head")
    pair.flush()
    pair.write(client, b"body")
    pair.run_until(lambda: server.receiver.ready == 8)
    assert pair.now - start == RTT + RTT // 2 + server.config.ack_delay


def test_small_writes_arrive_as_one_stream() -> None:
    pair, client, server = ready(Config())
    for index in range(500):
        pair.write(client, b"%03d" % index)
        pair.flush()
    pair.run()
    assert pair.read(server) == b"".join(b"%03d" % index for index in range(500))
    assert len(sizes(pair, client)) < 5


@pytest.mark.rdt("8.4-2")
def test_records_do_not_wait_for_what_can_never_join_them() -> None:
    """A datagram holds the end of one record at most: to wait would fill nothing."""
    pair = Pair(Config())
    listener = pair.server.endpoint.listen(80, 5, records=True)
    client = pair.client.endpoint.connect("server", 80, 0, records=True)
    pair.run_until(lambda: client.established and bool(listener.queue))
    start = pair.now
    for _ in range(8):
        pair.write(client, b"r" * 100)
    pair.run_until(lambda: listener.queue[0].receiver.ready == 800)
    assert pair.now - start <= RTT


@pytest.mark.rfc("9293", "SHLD-7")
def test_a_small_segment_does_not_wait_for_full_ones() -> None:
    pair, client, _ = ready()
    pair.write(client, fill(2 * MSS))
    pair.flush()
    pair.write(client, fill(100))
    pair.flush()
    assert sizes(pair, client) == [MSS, MSS, 100]

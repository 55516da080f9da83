"""Records cost memory beside their octets: so many wait in one direction, and no more."""

from __future__ import annotations

import pytest

from rawproto.testing.pair import Pair
from rawproto.transport import arrival, connection
from rawproto.transport.connection import Connection

pytestmark = pytest.mark.rdt("7.8-8")


def opened() -> tuple[Pair, Connection, Connection]:
    pair = Pair()
    listener = pair.server.endpoint.listen(80, 1, records=True)
    client = pair.client.endpoint.connect("server", 80, 0, records=True)
    pair.run_until(lambda: client.established and bool(listener.queue))
    return pair, client, listener.queue.popleft()


def test_a_receiver_keeps_so_many_and_takes_the_rest_once_some_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "MAX_RECORDS", 3)
    pair, client, server = opened()
    for number in range(5):
        client.send(bytes([number]), pair.now)
    pair.run(100_000_000)
    assert (len(server.receiver.records), server.receiver.refused_octets > 0) == (3, True)
    got = []
    for _ in range(50):
        while (record := server.recv_record(10, pair.now))[1] >= 0:
            got.append(record[0])
        pair.run(200_000_000)
    assert got == [bytes([number]) for number in range(5)]


def test_a_sender_takes_so_many_and_more_once_some_are_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_RECORDS", 2)
    pair, client, _ = opened()
    assert [client.send(b"r", pair.now) for _ in range(3)] == [1, 1, 0]
    pair.run(500_000_000)
    assert client.send(b"r", pair.now) == 1

"""Which applications of a simulated host are asked again whether they can go on."""

from __future__ import annotations

import pytest

from rawproto.sim.lan import Lan
from rawproto.sim.network import Host, HostCondition, Task
from rawproto.sim.stream import Stream, accept, connect, listen, sleep
from rawproto.transport.config import SECOND


def serve(host: Host, taken: list[Stream]) -> Task:
    listener = listen(host, 7)
    while True:
        taken.append((yield from accept(host, listener)))


@pytest.fixture
def lan() -> Lan:
    return Lan(1)


@pytest.fixture
def streams(lan: Lan) -> list[Stream]:
    """Two connections of one host."""
    client, server = lan.host("a", "10.0.0.1"), lan.host("b", "10.0.0.2")
    opened: list[Stream] = []

    def open_two() -> Task:
        one = yield from connect(client, "10.0.0.2", 7)
        other = yield from connect(client, "10.0.0.2", 7)
        opened.extend((one, other))

    server.spawn(serve(server, []))
    client.spawn(open_two())
    lan.simulation.run(done=lambda: len(opened) == 2)
    lan.simulation.run_idle(SECOND)
    return opened


def test_who_waits_for_one_connection_is_not_asked_when_another_has_changed(lan: Lan, streams: list[Stream]) -> None:
    first, second = streams
    asked: list[int] = []
    counts: list[int] = []

    def never() -> bool:
        asked.append(lan.simulation.now)
        return False

    def wait() -> Task:
        yield HostCondition(never, first.connection)

    def talk() -> Task:
        yield from sleep(first.host, SECOND)
        counts.append(len(asked))
        for _ in range(5):
            yield from second.sendall(bytes(100))
            yield HostCondition(lambda: second.connection.drained, second.connection)
        counts.append(len(asked))
        first.abort()

    first.host.spawn(wait())
    first.host.spawn(talk())
    lan.simulation.run(10 * SECOND, done=lambda: first.connection.end is not None)
    assert counts[0] == counts[1] < len(asked)


def test_who_waits_for_a_connection_is_asked_after_an_action_whatever_that_did(lan: Lan, streams: list[Stream]) -> None:
    stream = streams[0]
    open_now: list[bool] = []
    went_on: list[int] = []

    def wait() -> Task:
        yield HostCondition(lambda: bool(open_now), stream.connection)
        went_on.append(lan.simulation.now)

    stream.host.spawn(wait())
    lan.simulation.at(5 * SECOND, lambda: open_now.append(True))
    lan.simulation.run(10 * SECOND, done=lambda: bool(went_on))
    assert went_on == [5 * SECOND]

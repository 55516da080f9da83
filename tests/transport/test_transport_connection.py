"""A connection as its application sees it: data both ways, what can be asked of it, and what is refused."""

from __future__ import annotations

import pytest

from rawproto.errors import ConfigError
from rawproto.testing.pair import Pair, fill, plain
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import OPTIONS, End
from rawproto.transport.state import State

ALL_AND_PLAIN = pytest.mark.parametrize("config", [Config(), plain()], ids=["all", "plain"])


@ALL_AND_PLAIN
@pytest.mark.parametrize("control", ["reno", "cubic", "bbr", "none"])
def test_data_goes_both_ways_at_once(config: Config, control: str) -> None:
    pair = Pair(Config(congestion_control=control, pacing=config.pacing, nagle=config.nagle))
    client, server = pair.connect()
    pair.write(client, fill(200_000))
    pair.write(server, fill(100_000)[::-1])
    pair.run(20 * SECOND)
    assert pair.read(server) == fill(200_000)
    assert pair.read(client) == fill(100_000)[::-1]
    assert client.drained
    assert server.drained


@ALL_AND_PLAIN
@pytest.mark.parametrize("length", [1, 1439, 1440, 1441, 64_800, 64_801, 65_536, 1 << 20])
def test_any_length_arrives_whole(config: Config, length: int) -> None:
    pair = Pair(config)
    client, server = pair.connect()
    pair.write(client, fill(length))
    client.shutdown(pair.now)
    pair.run_until(lambda: server.receiver.at_end)
    assert pair.read(server) == fill(length)


@ALL_AND_PLAIN
def test_questions_and_answers_take_turns(config: Config) -> None:
    pair = Pair(config)
    client, server = pair.connect()
    for index in range(30):
        pair.write(client, b"question %d" % index)
        pair.run_until(lambda: server.readable)
        assert pair.read(server) == b"question %d" % index
        pair.write(server, b"answer %d" % index)
        pair.run_until(lambda: client.readable)
        assert pair.read(client) == b"answer %d" % index
    assert client.sender.timeouts == server.sender.timeouts == 0
    assert client.stats(pair.now).retrans == 0


def test_what_it_has_to_say_is_told() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    assert (client.readable, client.readable_data, client.writable, client.drained) == (False, False, True, True)
    pair.write(client, b"x")
    assert not client.drained
    pair.run(SECOND)
    assert (server.readable, server.readable_data, client.drained) == (True, True, True)
    client.shutdown(pair.now)
    assert (client.shut_down, client.writable) == (True, False)
    pair.run(SECOND)
    pair.read(server)
    assert (server.readable, server.readable_data) == (True, False)  # the end of the stream
    server.shutdown(pair.now)
    pair.run(SECOND)
    assert (client.state, server.state) == (State.TIME_WAIT, State.CLOSED)
    assert (server.established, server.readable, server.writable) == (False, True, True)


def test_after_the_end_the_reason_is_raised() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    server.abort(pair.now)
    pair.run(SECOND)
    with pytest.raises(End, match="the peer reset the connection") as raised:
        client.send(b"x", pair.now)
    assert raised.value.cause == "reset"
    with pytest.raises(End, match="aborted by this side"):
        server.send(b"x", pair.now)
    client.shutdown(pair.now)
    client.close(pair.now)
    client.abort(pair.now)
    assert client.next_timeout() is None


def test_what_came_before_the_end_can_still_be_read() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    pair.write(client, b"last words")
    pair.run(SECOND)
    client.abort(pair.now)
    pair.run(SECOND)
    assert server.end is not None
    assert pair.read(server) == b"last words"


def test_reading_by_pieces_gives_all() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, fill(10_000))
    pair.run(SECOND)
    out = b""
    while piece := server.recv(77, pair.now):
        out += piece
    assert out == fill(10_000)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_is_taken_and_not_kept_by_reference(kind: type) -> None:
    pair = Pair()
    client, server = pair.connect()
    source = bytearray(b"before")
    client.send(kind(source), pair.now)
    source[:] = b"after!"
    pair.run(SECOND)
    assert pair.read(server) == b"before"


def test_options_can_be_changed_and_others_not() -> None:
    pair = Pair(plain())
    client, _ = pair.connect()
    for name in OPTIONS:
        client.set_option(name, getattr(Config(), name), pair.now)
    with pytest.raises(ConfigError, match="'mss' can't be changed"):
        client.set_option("mss", 500, pair.now)
    with pytest.raises(ConfigError, match="True or False"):
        client.set_option("nagle", 1, pair.now)


def test_a_congestion_control_can_be_changed_in_mid_flight() -> None:
    pair = Pair()
    client, server = pair.connect()
    pair.write(client, fill(500_000))
    pair.run_until(lambda: server.receiver.ready > 100_000)
    for name in ("reno", "bbr", "none", "cubic"):
        client.set_option("congestion_control", name, pair.now)
        assert client.stats(pair.now).congestion == name
        pair.run(20_000_000)
    pair.run_until(lambda: client.drained)
    assert pair.read(server) == fill(500_000)


@pytest.mark.parametrize("seed", range(10))
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    def transfer() -> tuple[list[bytes], list[bytes]]:
        pair = Pair(seed=seed)
        client, _ = pair.connect()
        pair.drop("client", 5, 9 + seed)
        pair.write(client, fill(100_000))
        client.close(pair.now)
        pair.run(10 * SECOND)
        return pair.client.sent, pair.server.sent

    assert transfer() == transfer()

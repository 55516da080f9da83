"""Keep-alives between two endpoints: RFC 9293 §3.8.4."""

from __future__ import annotations

import pytest

from rawproto.errors import ConfigError
from rawproto.testing.pair import Pair, plain
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.segment import ACK, RST

ASKING = plain(
    keep_alive=True, keep_alive_idle=60 * SECOND, keep_alive_interval=5 * SECOND, keep_alive_count=3
)  # fmt: skip


def asking(config: Config = ASKING) -> tuple[Pair, Connection, Connection]:
    pair = Pair(config, server_config=plain())
    return pair, *pair.connect()


def questions(pair: Pair) -> int:
    return pair.client.reasons().count("keep-alive probe")


@pytest.mark.rdt("5.11-1")
@pytest.mark.rfc("9293", "MUST-25")
def test_nobody_asks_unless_told_to() -> None:
    pair = Pair(plain())
    client, server = pair.connect()
    pair.run(100_000 * SECOND)
    assert (questions(pair), client.end, server.end) == (0, None, None)


@pytest.mark.rdt("5.11-2")
@pytest.mark.rfc("9293", "MUST-28")
def test_unless_told_otherwise_the_first_question_comes_after_two_hours() -> None:
    pair, client, _ = asking(plain(keep_alive=True))
    heard = client.keep_alive.next_timeout(owed=False)
    assert heard is not None
    pair.run(7199 * SECOND)
    assert questions(pair) == 0
    pair.run(2 * SECOND)
    assert questions(pair) == 1


@pytest.mark.rdt("5.11-3")
@pytest.mark.rfc("9293", "MUST-26", "MUST-27", "SHLD-12")
def test_an_idle_peer_is_asked_without_data_and_answers() -> None:
    pair, client, _ = asking()
    at = pair.number("client")
    pair.run(61 * SECOND)
    (probe,) = pair.client.segments()[at:]
    assert (probe.flags, probe.seq, len(probe.payload)) == (ACK, client.sender.snd_nxt - 1, 0)
    pair.run(300 * SECOND)
    assert questions(pair) == 6
    assert client.end is None
    assert client.keep_alive.unanswered == 0


@pytest.mark.rdt("5.11-4")
@pytest.mark.rfc("9293", "MUST-29")
def test_a_peer_that_answers_none_of_several_is_given_up() -> None:
    pair, client, server = asking()
    heard = 20 * MS  # when the answer to the SYN came
    pair.run(SECOND)
    pair.client.cut = True
    pair.run_until(lambda: client.end is not None)
    assert client.end is not None
    assert client.end.cause == "timeout"
    assert "answered none of 3 keep-alive probes" in str(client.end)
    assert questions(pair) == 3
    assert pair.now == heard + 60 * SECOND + 3 * 5 * SECOND
    pair.flush()
    assert pair.client.segments()[-1].flags == RST | ACK
    assert server.end is None


@pytest.mark.rfc("9293", "MUST-29")
def test_one_lost_answer_ends_nothing() -> None:
    pair, client, _ = asking()
    pair.run(SECOND)
    pair.drop("server", pair.number("server"), pair.number("server") + 1)
    pair.run(80 * SECOND)
    assert questions(pair) >= 3
    assert client.end is None


def test_a_peer_that_forgot_the_connection_says_so() -> None:
    pair, client, server = asking()
    pair.run(SECOND)
    pair.server.cut = True
    server.abort(pair.now)
    pair.flush()
    pair.server.cut = False
    pair.run(61 * SECOND)
    assert client.end is not None
    assert client.end.cause == "reset"


@pytest.mark.rdt("5.11-2")
@pytest.mark.rfc("9293", "MUST-26")
def test_a_busy_connection_is_not_asked() -> None:
    pair, client, server = asking()
    for _ in range(20):
        pair.write(server, b"tick")
        pair.run(30 * SECOND)
    assert questions(pair) == 0
    pair.client.cut = True
    pair.write(client, b"outstanding")
    pair.run(80 * SECOND)
    assert questions(pair) == 0


@pytest.mark.rdt("5.11-1")
@pytest.mark.rfc("9293", "MUST-24")
def test_an_application_can_switch_it_on_and_off() -> None:
    pair, client, _ = asking(plain())
    client.set_option("keep_alive_idle", 60 * SECOND, pair.now)
    client.set_option("keep_alive", True, pair.now)
    pair.run(61 * SECOND)
    assert questions(pair) == 1
    client.set_option("keep_alive", False, pair.now)
    pair.run(600 * SECOND)
    assert questions(pair) == 1


def test_an_option_that_is_none_is_refused() -> None:
    pair, client, _ = asking()
    with pytest.raises(ConfigError, match="can't be changed while a connection lives"):
        client.set_option("sack", False, pair.now)
    with pytest.raises(ConfigError, match="must be a whole number"):
        client.set_option("user_timeout", "soon", pair.now)  # type: ignore[arg-type]
    assert pair.now == 3 * 10 * MS

"""Reductions that were for nothing, taken back: RFC 4015, by packet numbers and by reports of repetition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rawproto.testing.pair import Pair, fill, plain
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection
from rawproto.transport.trace import RecoveryChanged

MSS = 1440


def warm(config: Config | None = None, window: int = 20) -> tuple[Pair, Connection, Connection]:
    """A connection that knows its round trip, and whose client may send `window` segments."""
    pair = Pair(replace(config or plain(), idle_restart=False))
    client, server = pair.connect()
    pair.write(client, b"warm up")
    pair.run(SECOND)
    pair.read(server)
    client.sender.congestion.cwnd = window * MSS
    return pair, client, server


@pytest.mark.rdt("7.10-1")
@pytest.mark.rfc("4015", "3.2-1", "3.2-2")
@pytest.mark.parametrize("control", ["reno", "cubic"])
def test_a_needless_fast_retransmit_is_taken_back(control: str) -> None:
    pair, client, server = warm(plain(congestion_control=control))
    pair.delay("client", pair.number("client"), 12 * MS)
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).retrans == 1
    assert (client.stats(pair.now).undone, client.sender.congestion.ssthresh) == (1, None)
    assert client.sender.congestion.cwnd >= 20 * MSS
    assert "nothing had been lost: undone (RFC 4015)" in [r.why for r in pair.client.records(RecoveryChanged)]
    assert pair.read(server) == fill(20 * MSS)


@pytest.mark.rdt("7.10-3")
@pytest.mark.rfc("4015", "3.2-2")
@pytest.mark.rfc("9438", "4.9.1")
@pytest.mark.parametrize("control", ["reno", "cubic"])
def test_a_timeout_that_a_delay_caused_is_taken_back(control: str) -> None:
    """For a quarter of a second the path stands still: nothing is lost, and nothing overtakes anything."""
    pair, client, server = warm(plain(congestion_control=control))
    pair.client.slower_ns = 300 * MS
    pair.write(client, fill(10 * MSS))
    pair.run(250 * MS)
    pair.client.slower_ns = 60 * MS
    pair.run(2 * SECOND)
    assert client.sender.timeouts == 1
    assert (client.stats(pair.now).undone, client.sender.congestion.ssthresh) == (1, None)
    assert client.sender.congestion.cwnd >= 20 * MSS
    assert client.stats(pair.now).phase == "open"
    assert pair.read(server) == fill(10 * MSS)


@pytest.mark.rfc("4015", "3.2-2")
def test_late_acknowledgements_are_no_loss_either() -> None:
    pair, client, server = warm()
    pair.server.slower_ns = 300 * MS
    pair.write(client, fill(10 * MSS))
    pair.run(100 * MS)
    pair.server.slower_ns = 0
    pair.run(2 * SECOND)
    assert client.sender.timeouts == 1
    assert (client.stats(pair.now).undone, client.sender.congestion.ssthresh) == (1, None)
    assert pair.read(server) == fill(10 * MSS)


def test_a_true_loss_is_not_taken_back() -> None:
    pair, client, _ = warm()
    pair.drop("client", pair.number("client"))
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).undone == 0
    assert client.sender.congestion.ssthresh is not None


def test_one_true_loss_among_several_suspects_keeps_the_reduction() -> None:
    pair, client, _ = warm()
    at = pair.number("client")
    pair.delay("client", at, 12 * MS)
    pair.drop("client", at + 2)
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).undone == 0
    assert client.sender.congestion.ssthresh is not None


def test_a_true_timeout_is_not_taken_back() -> None:
    pair, client, server = warm()
    at = pair.number("client")
    pair.drop("client", *range(at, at + 10))
    pair.write(client, fill(10 * MSS))
    pair.run(3 * SECOND)
    assert client.sender.timeouts == 1
    assert client.stats(pair.now).undone == 0
    assert client.sender.congestion.ssthresh is not None
    assert pair.read(server) == fill(10 * MSS)


@pytest.mark.rdt("7.10-1")
def test_a_lost_acknowledgement_proves_the_timeout_needless_by_the_report_of_repetition() -> None:
    pair, client, server = warm()
    pair.drop("server", pair.number("server"))
    pair.write(client, b"once")
    pair.run(SECOND)
    assert client.sender.timeouts == 1
    assert client.stats(pair.now).dsack_dups == 1
    assert pair.read(server) == b"once"


def test_what_is_undone_is_not_repeated() -> None:
    """The first of 20 is late, by less than it takes to repeat more than that one."""
    pair, client, _ = warm(window=40)
    pair.delay("client", pair.number("client"), 12 * MS)
    pair.write(client, fill(40 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).retrans <= 1
    assert client.stats(pair.now).lost == 0


def test_without_undo_a_reduction_stays() -> None:
    pair, client, _ = warm(plain(undo=False))
    pair.delay("client", pair.number("client"), 12 * MS)
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).undone == 0
    assert client.sender.congestion.ssthresh is not None


@pytest.mark.rdt("7.10-3")
def test_a_reduction_for_a_mark_alone_is_not_taken_back() -> None:
    pair, client, _ = warm(plain(ecn=True))
    at = pair.number("client")
    pair.mark("client", at)
    pair.duplicate("client", *range(at, at + 20))
    pair.write(client, fill(20 * MSS))
    pair.run(SECOND)
    assert client.stats(pair.now).ecn_reductions == 1
    assert client.stats(pair.now).undone == 0
    assert client.sender.congestion.ssthresh is not None


def test_two_timeouts_in_a_row_that_a_delay_caused_are_taken_back_at_once() -> None:
    pair, client, server = warm()
    pair.client.slower_ns = SECOND
    pair.write(client, fill(10 * MSS))
    pair.run(950 * MS)
    pair.client.slower_ns = 100 * MS
    pair.run(3 * SECOND)
    assert client.sender.timeouts == 2
    assert (client.stats(pair.now).undone, client.sender.congestion.ssthresh) == (1, None)
    assert pair.read(server) == fill(10 * MSS)

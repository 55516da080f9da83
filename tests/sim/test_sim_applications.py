"""Applications of a scenario: what each of them notes of its connection, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rawproto.link.script import Event
from rawproto.sim.applications import PORT, RETRY_NS, Account, content
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import Run, run_scenario
from rawproto.transport.config import SECOND

MS = 1_000_000
DELAY = 10 * MS
SOON = MS
"""Calls of one moment are a few ns apart."""


def play(*talks: Talk, events: tuple[Event, ...] = (), seed: int = 1, **settings: object) -> Run:
    return run_scenario(Scenario("s", talks, events, settings), seed)


def accounts(run: Run, talk: int = 0) -> tuple[Account, Account]:
    client, server = sorted((one for one in run.accounts if one.talk == talk), key=lambda one: one.side)
    return client, server


def about(time_ns: int) -> object:
    return pytest.approx(time_ns, abs=SOON)


# -- a plain connection ------------------------------------------------------------------------------------------------


def test_each_call_is_noted_when_it_returned() -> None:
    client, server = accounts(play(Talk(Party(("send 500", "wait 100 ms", "send 20")), Party(("send 300",)))))
    assert (client.began_ns, client.open_ns) == (0, about(2 * DELAY))
    assert (server.began_ns, server.open_ns) == (about(3 * DELAY), about(3 * DELAY))
    assert [at for at, _ in client.sent] == [about(2 * DELAY), about(2 * DELAY + 100 * MS)]
    assert [at for at, _ in server.got] == [about(3 * DELAY), about(3 * DELAY + 100 * MS)]
    assert client.shutdown_ns == about(2 * DELAY + 100 * MS)
    assert server.eof_ns == about(3 * DELAY + 100 * MS)
    assert client.flushed_ns == about(4 * DELAY + 100 * MS)
    assert client.eof_ns == about(4 * DELAY)


def test_what_was_sent_was_read() -> None:
    client, server = accounts(play(Talk(Party(("send 5000",)), Party(("send 300",)))))
    assert client.all_sent() == server.all_got() == content(1, "client", 0, 5000)
    assert server.all_sent() == client.all_got() == content(1, "server", 0, 300)
    assert (client.read, server.read) == (300, 5000)


def test_who_has_done_all_has_closed_and_waits_for_nothing() -> None:
    for account in accounts(play(Talk(Party(("send 500",))))):
        assert account.closed_ns == max(account.eof_ns, account.flushed_ns)
        assert (account.waits_for, account.error, account.over) == ("", "", True)


def test_pieces_are_handed_over_one_by_one() -> None:
    client, _ = accounts(play(Talk(Party(("send 50 by 20",)))))
    assert [len(data) for _, data in client.sent] == [20, 20, 10]


def test_records_come_out_as_they_went_in() -> None:
    client, server = accounts(play(Talk(Party(("send 50 by 20", "send 7")), kind="records")))
    assert [data for _, data in client.sent] == [data for _, data in server.got]
    assert [len(data) for _, data in server.got] == [20, 20, 10, 7]


def test_who_awaits_something_writes_only_then() -> None:
    client, server = accounts(play(Talk(Party(("send 200", "wait 1 s", "send 1")), Party(("await 201", "send 9")))))
    assert server.sent[0][0] == server.got[-1][0] == about(3 * DELAY + SECOND)
    assert client.read == 9


def test_who_awaits_the_end_writes_behind_it() -> None:
    _, server = accounts(play(Talk(Party(("send 200", "wait 1 s")), Party(("await end", "send 9")))))
    assert server.sent[0][0] == server.eof_ns


def test_a_reader_that_sleeps_reads_later() -> None:
    _, server = accounts(play(Talk(Party(("send 200",)), Party((), ("wait 3 s", "read all")))))
    assert server.got[0][0] == about(3 * DELAY + 3 * SECOND)


def test_who_wants_little_reads_no_more() -> None:
    _, server = accounts(play(Talk(Party(("send 200",)), Party((), ("read 50",)))))
    assert (server.read, server.eof_ns) == (50, -1)
    assert server.closed_ns >= 0


# -- ends by force, and of hosts ---------------------------------------------------------------------------------------


def test_an_end_by_force_is_noted_at_both_ends() -> None:
    client, server = accounts(play(Talk(Party(("send 100", "wait 1 s", "abort")))))
    assert client.aborted_ns == about(2 * DELAY + SECOND)
    assert client.shutdown_ns == -1
    assert (server.error, server.error_ns) == ("reset", about(3 * DELAY + SECOND))
    assert server.error_text
    assert client.over
    assert server.over


def test_the_first_error_is_what_is_noted() -> None:
    account = Account("client", 0)
    account.fail(5, "reset", "first")
    account.fail(6, "timeout", "second")
    assert (account.error_ns, account.error, account.error_text) == (5, "reset", "first")


def test_who_gives_up_is_told_why() -> None:
    dark = tuple(Event("outage", side, start_ns=SECOND, for_ns=1000 * SECOND) for side in ("client", "server"))
    client, server = accounts(
        play(Talk(Party(("send 100", "wait 1 s", "send 100"))), events=dark, user_timeout=10 * SECOND)
    )
    assert client.error == "timeout"
    assert client.waits_for == "flush"
    assert (server.over, server.waits_for) == (False, "read")


def test_a_call_that_nobody_answers_ends_in_an_error() -> None:
    run = play(Talk(), events=(Event("outage", for_ns=1000 * SECOND),), connect_timeout=10 * SECOND)
    (client,) = run.accounts
    assert (client.error, client.open_ns, client.waits_for) == ("timeout", -1, "connect")
    assert client.began_ns == 0


def test_applications_go_with_the_memory_of_their_host() -> None:
    client, server = accounts(
        play(Talk(Party(("send 100", "wait 9 s", "send 100"))), events=(Event("restart", "server", start_ns=SECOND),))
    )
    assert server.gone_ns == SECOND
    assert (client.error, client.gone_ns) == ("reset", -1)


def test_what_was_over_is_not_gone_with_its_host() -> None:
    run = play(Talk(Party(("send 100",))), events=(Event("restart", "server", start_ns=2 * SECOND),))
    assert [account.gone_ns for account in run.accounts] == [-1, -1]


def test_a_server_that_lost_its_memory_listens_again() -> None:
    run = play(Talk(), Talk(Party(("send 9",)), start_ns=2 * SECOND), events=(Event("restart", "server"),))
    _, server = accounts(run, 1)
    assert server.read == 9


# -- several connections -----------------------------------------------------------------------------------------------


def test_a_talk_begins_when_it_is_to() -> None:
    run = play(Talk(), Talk(start_ns=3 * SECOND))
    assert [account.began_ns for account in run.accounts if account.side == "client"] == [0, 3 * SECOND]


def test_what_comes_again_begins_when_the_one_before_is_over_for_both() -> None:
    run = play(Talk(Party(), Party(("wait 2 s", "send 5"))), Talk(start_ns=MS, again=True))
    first, second = accounts(run, 0), accounts(run, 1)
    assert second[0].began_ns == about(max(account.closed_ns for account in first) + MS)


def test_a_port_in_use_is_asked_for_again() -> None:
    same = Talk(Party(("send 100",)), client_port=50_000)
    run = play(same, Talk(Party(("send 100",)), client_port=50_000, again=True), time_wait=True, msl=2 * SECOND)
    first, second = accounts(run, 0), accounts(run, 1)
    assert first[0].port == second[0].port == second[1].port == 50_000
    waited = second[0].began_ns - max(account.closed_ns for account in first)
    assert waited >= RETRY_NS
    assert waited % RETRY_NS == about(0)
    assert second[1].read == 100


def test_each_connection_is_known_at_the_server() -> None:
    run = play(*(Talk(Party((f"send {100 + number}",)), start_ns=number * MS) for number in range(3)))
    assert [accounts(run, number)[1].read for number in range(3)] == [100, 101, 102]


def test_streams_and_records_have_ports_of_their_own() -> None:
    run = play(Talk(Party(("send 10",))), Talk(Party(("send 20",)), kind="records"))
    assert [(one.kind, one.read) for one in run.accounts if one.side == "server"] == [("stream", 10), ("records", 20)]


def test_a_connection_that_nobody_opened_is_a_ghost() -> None:
    old = Event("duplicate", "client", 1, for_ns=5 * SECOND)
    run = play(Talk(Party(("send 100",))), events=(old,), handshake=False, cookies=False, time_wait=False)
    ghosts = [account for account in run.accounts if account.talk < 0]
    assert [(ghost.side, ghost.began_ns) for ghost in ghosts] == [("server", about(5 * SECOND + DELAY))]
    assert ghosts[0].port == accounts(run)[0].port


def test_two_with_the_same_number_are_told_apart_by_who_is_connected() -> None:
    """The first is ended by force before the server has it, and the clock of the client stands still."""
    first = Talk(Party(("send 100", "abort")), client_port=50_000)
    second = Talk(Party(("send 20",)), client_port=50_000, again=True)
    back = Event("jump", "client", start_ns=1, for_ns=-SECOND)
    run = play(first, replace(second, start_ns=MS), events=(back, Event("drop", "client", 4)))
    ours = [(account.talk, account.read) for account in run.accounts if account.side == "server"]
    assert ours == [(0, 100), (1, 20)]


# -- datagrams ---------------------------------------------------------------------------------------------------------


def test_datagrams_are_noted_one_by_one() -> None:
    client, server = accounts(play(Talk(Party(("send 50 by 20", "wait 1 s", "send 7")), kind="datagrams")))
    assert [len(data) for _, data in client.sent] == [20, 20, 10, 7]
    assert [data for _, data in server.got] == [data for _, data in client.sent]
    assert server.got[-1][0] == about(SECOND + DELAY)
    assert client.port == server.port == PORT + 100


def test_a_datagram_that_is_lost_is_not_read() -> None:
    run = play(Talk(Party(("send 60 by 20",)), kind="datagrams"), events=(Event("drop", "client", 2),))
    client, server = accounts(run)
    assert len(client.sent) == 3
    assert [data for _, data in server.got] == [client.sent[0][1], client.sent[2][1]]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_content_depends_on_seed_side_and_talk() -> None:
    made = {content(seed, side, talk, 300) for seed in (1, 2) for side in ("client", "server") for talk in (0, 1)}
    assert len(made) == 8


def test_content_begins_with_octets_that_are_all_different() -> None:
    for talk in range(3):
        data = content(1, "client", talk, 1000)
        assert len(set(data[:256])) == 256
        assert content(1, "client", talk, 10) == data[:10]


def test_pairs_of_octets_are_others_in_each_stream() -> None:
    streams = [content(1, side, talk, 256) for side in ("client", "server") for talk in range(3)]
    pairs = [{stream[at : at + 2] for at in range(255)} for stream in streams]
    assert all(not one & other for number, one in enumerate(pairs) for other in pairs[:number])


def test_a_narrow_road_is_no_other_matter() -> None:
    run = run_scenario(Scenario("s", (Talk(Party(("send 3000",))),), road=Road(mtu=400)), 1)
    assert accounts(run)[1].read == 3000

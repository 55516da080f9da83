"""Playing a scenario: on every topology, with all that may befall its hosts, and to the same end each time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from rawproto.link.impairment import Impairment
from rawproto.link.script import Event
from rawproto.sim.scenario import TOPOLOGIES, Party, Road, Scenario, Talk
from rawproto.sim.world import AFTERWARDS_NS, Run, run_scenario
from rawproto.transport.config import SECOND

MS = 1_000_000
ASKS = Talk(Party(("send 2000",)), Party(("send 1000",)))
SLOW = Talk(Party(("send 100", "wait 3 s", "send 100")), Party(("send 100",)))


def play(*events: Event, talks: tuple[Talk, ...] = (ASKS,), seed: int = 1, **options: Any) -> Run:
    return run_scenario(Scenario("s", talks, events, **options), seed)


def reads(run: Run) -> list[int]:
    return [account.read for account in run.accounts]


# -- the road ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_topology_carries_a_connection(topology: str) -> None:
    assert reads(play(road=Road(topology))) == [1000, 2000]


def test_the_road_is_as_long_as_it_is_said_to_be() -> None:
    for delay in (0, 7 * MS, 300 * MS):
        client = play(road=Road(delay_ns=delay)).accounts[0]
        assert client.open_ns == pytest.approx(2 * delay, abs=1000)


def test_nothing_longer_than_the_road_takes_is_sent() -> None:
    for mtu in (400, 1500, 9000):
        run = play(talks=(Talk(Party(("send 30000",))),), road=Road(mtu=mtu))
        longest = max(len(sent.frame) for sent in run.log.sent)
        assert mtu - 60 < longest <= mtu


@pytest.mark.parametrize("queue", ["droptail", "codel"])
def test_a_queue_that_is_too_short_drops_and_is_told_of(queue: str) -> None:
    road = Road(rate_bps=1_000_000, queue=queue, queue_bytes=3000)
    run = play(talks=(Talk(Party(("send 40000",))),), road=road)
    assert reads(run) == [0, 40_000]
    assert sum(run.fired.values()) > 0


def test_random_faults_are_counted_and_those_that_never_struck_are_named() -> None:
    road = Road(impairment=Impairment(loss=0.2, swap=1e-9))
    run = play(talks=(Talk(Party(("send 30000 by 300",))),), road=road)
    assert run.fired["loss"] > 0
    assert run.fired["swap"] == 0
    assert "swap" in run.fired


# -- events on the wire ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_events_strike_on_every_topology(topology: str) -> None:
    event = Event("drop", "server", 2)
    run = play(event, road=Road(topology))
    assert run.struck == {event: 1}
    assert run.fired["drop"] == 1
    assert [sent.number for sent in run.log.sent if sent.fate] == [2]


def test_what_never_happened_is_idle() -> None:
    never, happens = Event("drop", packet=5000), Event("drop", packet=2)
    assert play(never, happens).idle == [never]


def test_an_event_after_the_end_still_happens() -> None:
    run = play(Event("restart", "server", start_ns=60 * SECOND))
    assert run.idle == []
    assert run.end_ns >= 60 * SECOND


def test_an_event_after_the_scenarios_time_does_not() -> None:
    late = Event("restart", "server", start_ns=60 * SECOND)
    assert play(late, until_ns=50 * SECOND).idle == [late]


@pytest.mark.parametrize("checksum", ["crc32", "internet", "none"])
def test_a_forgery_has_the_checksum_that_the_hosts_look_at(checksum: str) -> None:
    killer = Event("forge", "client", 3, for_ns=MS, what="near-reset")
    run = play(killer, talks=(SLOW,), settings={"checksum": checksum, "challenge_ack": False})
    assert "reset" in {account.error for account in run.accounts}


def test_a_forgery_counts_in_as_many_bits_as_the_hosts_do() -> None:
    forgery = Event("forge", "client", 3, at=5000, what="near-reset")
    settings = {"sequence_bits": 12, "receive_buffer": 2048, "max_record": 2048}
    forged = next(sent for sent in play(forgery, settings=settings).log.sent if not sent.number)
    assert int.from_bytes(forged.frame[36:44]) < 1 << 12


# -- what befalls hosts ------------------------------------------------------------------------------------------------


def test_a_host_that_restarts_knows_nothing_of_its_connections() -> None:
    run = play(Event("restart", "server", start_ns=SECOND), talks=(SLOW,))
    client, server = run.accounts
    assert client.error == "reset"
    assert server.gone_ns == SECOND


def test_a_clock_that_is_put_forward_lets_time_out_at_once() -> None:
    dark = Event("outage", "client", start_ns=SECOND, for_ns=100 * SECOND)
    jump = Event("jump", "client", start_ns=5 * SECOND, for_ns=200 * SECOND)
    talks = (Talk(Party(("send 100", "wait 2 s", "send 100")), Party(("wait 300 s",))),)
    assert play(dark, jump, talks=talks).accounts[0].error_ns == pytest.approx(5 * SECOND, abs=MS)


def test_the_wire_does_not_notice_a_clock_that_is_put_back() -> None:
    run = play(Event("jump", "server", start_ns=25 * MS, for_ns=-5 * SECOND))
    assert reads(run) == [1000, 2000]
    times = [sent.time_ns for sent in run.log.sent]
    assert times == sorted(times)


def test_an_outage_is_in_the_networks_time_whatever_the_clock_says() -> None:
    jump = Event("jump", "client", start_ns=SECOND, for_ns=30 * SECOND)
    dark = Event("outage", "client", start_ns=3500 * MS, for_ns=SECOND)
    assert play(jump, dark, talks=(SLOW,)).idle == [dark]


def test_behind_a_translator_an_address_changes() -> None:
    run = play(Event("rebind", start_ns=SECOND), talks=(SLOW,), road=Road("nat"))
    sources = {arrived.frame[26:30] for arrived in run.log.arrived if arrived.side == "server"}
    assert len(sources) == 2
    assert run.idle == []


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_it_ends_a_while_after_everybody_is_done() -> None:
    run = play()
    done = max(account.closed_ns for account in run.accounts)
    assert done <= run.end_ns <= done + AFTERWARDS_NS


def test_it_ends_when_its_time_is_over() -> None:
    run = play(talks=(Talk(Party(("send 5", "wait 99 s", "send 5"))),), until_ns=2 * SECOND)
    assert run.end_ns == 2 * SECOND
    assert not run.accounts[0].over


def test_who_waits_for_what_can_never_happen_ends_it_too() -> None:
    run = play(
        *(Event("drop", "client", number) for number in (1, 2, 3)), settings={"retransmission": False}, talks=(ASKS,)
    )
    assert run.accounts[0].waits_for == "connect"


def test_what_is_held_back_comes_before_the_end() -> None:
    late = Event("duplicate", "client", 2, for_ns=25 * SECOND)
    run = play(late)
    assert run.log.arrived[-1].time_ns >= 25 * SECOND


# -- again, and elsewhere ----------------------------------------------------------------------------------------------

MIXED = Scenario(
    "mixed",
    (ASKS, replace(ASKS, again=True)),
    (Event("flip", "client", 3, at=77), Event("restart", "server", start_ns=60 * MS)),
    road=Road("dumbbell", impairment=Impairment(loss=0.1, duplicate=0.1)),
)


def test_the_same_scenario_and_seed_come_to_the_same() -> None:
    assert run_scenario(MIXED, 3).fingerprint() == run_scenario(MIXED, 3).fingerprint()


def test_another_process_with_another_hash_seed_comes_to_the_same() -> None:
    code = (
        "from rawproto.sim.scenario_toml import load; from rawproto.sim.world import run_scenario; import sys;"
        "print(run_scenario(load(sys.stdin.read()), 3).fingerprint())"
    )
    from rawproto.sim.scenario_toml import dump

    wanted = run_scenario(MIXED, 3).fingerprint()
    for hash_seed in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code], input=dump(MIXED), env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == wanted


@pytest.mark.parametrize(
    "other",
    [
        replace(MIXED, events=MIXED.events[:1]),
        replace(MIXED, settings={"keyed_isn": False}),
        replace(MIXED, talks=(ASKS, ASKS)),
        replace(MIXED, road=replace(MIXED.road, delay_ns=11 * MS)),
    ],
)
def test_another_scenario_comes_to_something_else(other: Scenario) -> None:
    assert run_scenario(MIXED, 3).fingerprint() != run_scenario(other, 3).fingerprint()


def test_another_seed_comes_to_something_else() -> None:
    assert run_scenario(MIXED, 3).fingerprint() != run_scenario(MIXED, 4).fingerprint()


def test_the_fingerprint_tells_what_applications_saw() -> None:
    run = play()
    before = run.fingerprint()
    run.accounts[1].got[0] = (run.accounts[1].got[0][0] + 1, run.accounts[1].got[0][1])
    assert run.fingerprint() != before


def test_traces_are_kept_if_they_are_asked_for_and_change_nothing() -> None:
    traced = run_scenario(MIXED, 3, traced=True)
    assert set(traced.traces) == {"client", "server"}
    assert run_scenario(MIXED, 3).traces == {}
    assert traced.fingerprint() == run_scenario(MIXED, 3).fingerprint()

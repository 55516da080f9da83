"""Scenarios as values: what applications do is read from text, and what can't be is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.errors import ConfigError
from rawproto.link.script import Event
from rawproto.sim.scenario import ALL, QUEUES, TOPOLOGIES, Party, Road, Scenario, Step, Talk, parse_step

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("send 1000", Step("send", 1000, 1000)),
        ("send 16 by 1", Step("send", 16, 1)),
        ("send 5 by 10", Step("send", 5, 10)),
        ("read 100", Step("read", 100, 100)),
        ("read all", Step("read", ALL)),
        ("await 100", Step("await", 100, 100)),
        ("await end", Step("await", ALL)),
        ("wait 250 ms", Step("wait", for_ns=250 * MS)),
        ("wait 1.5 s", Step("wait", for_ns=1500 * MS)),
        ("wait 0 s", Step("wait")),
        ("shutdown", Step("shutdown")),
        ("abort", Step("abort")),
        ("  send   7 ", Step("send", 7, 7)),
    ],
)
def test_a_step_is_read(text: str, step: Step) -> None:
    assert parse_step(text) == step


NO_STEPS = (
    *("", "send", "send 0", "send -1", "send 1.5", "send x", "send 5 by 0", "send 5 in 2", "read end", "await all"),
    *("wait 5", "wait -5 s", "wait 5 hours", "shutdown now", "close", "SEND 5"),
)


@pytest.mark.parametrize("text", NO_STEPS)
def test_what_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no step; those are: send N, .+ \(or ms, us, ns\)$"):
        parse_step(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"writes": ("read all",)}, "'read all' can't stand among the writes"),
        ({"reads": ("send 5",)}, "'send 5' can't stand among the reads"),
        ({"reads": ("shutdown",)}, "'shutdown' can't stand among the reads"),
    ],
)
def test_a_party_reads_and_writes_each_in_its_place(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Party(**options)


def test_a_party_knows_how_much_it_sends() -> None:
    party = Party(("send 100", "await 50", "send 16 by 4", "shutdown"), ("read 30", "read all"))
    assert party.sends == 116
    assert [step.verb for step in party.steps] == ["send", "await", "send", "shutdown", "read", "read"]


@pytest.mark.parametrize(("writes", "aborts"), [(("send 5", "abort"), True), (("send 5",), False)])
def test_a_party_knows_whether_it_ends_by_force(writes: tuple[str, ...], aborts: bool) -> None:
    assert Party(writes).aborts == aborts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "voice"}, "kind is 'voice'; it must be one of: stream, records, datagrams"),
        ({"client_port": 65536}, "client_port is 65536, start_ns 0: give 0 or more, and a port to 65535"),
        ({"client_port": -1}, "client_port is -1"),
        ({"start_ns": -1}, "start_ns -1"),
    ],
)
def test_a_talk_that_cant_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Talk(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "ring"}, "topology is 'ring'; it must be one of: direct, dumbbell, chain, nat"),
        ({"queue": "red"}, "queue is 'red'; it must be one of droptail, codel, codel-ecn, or left out"),
        ({"delay_ns": -1}, "delay_ns of the road is -1: give 0 or more"),
        ({"mtu": 123}, "mtu of the road is 123: give 124 or more"),
        ({"rate_bps": 0}, "rate_bps of the road is 0: give 1 or more"),
        ({"queue_bytes": 0}, "queue_bytes of the road is 0: give 1 or more"),
        ({"queue": "codel"}, "a queue without rate_bps never fills: give the bits a second that it is emptied with"),
    ],
)
def test_a_road_that_cant_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Road(**options)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("queue", QUEUES)
def test_every_road_can_be_had(topology: str, queue: str) -> None:
    assert Road(topology, queue=queue, rate_bps=1).topology == topology


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"talks": ()}, "s: there is no connection: give one or more"),
        ({"settings": {"speed": 3}}, "s: settings: .*speed"),
        ({"settings": {"sequence_bits": 3}}, "sequence_bits is 3; it must be from 4 to 64"),
        ({"events": (Event("rebind"),)}, "s: rebind needs the topology nat"),
    ],
)
def test_a_scenario_that_cant_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Scenario("s", **options)


def test_behind_a_translator_an_address_may_change() -> None:
    Scenario("s", events=(Event("rebind"),), road=Road("nat"))


def test_settings_change_what_they_name_and_nothing_else() -> None:
    changed, default = Scenario("s", settings={"sack": False}).config(), Scenario("s").config()
    assert (changed.sack, default.sack) == (False, True)
    assert changed.nagle == default.nagle

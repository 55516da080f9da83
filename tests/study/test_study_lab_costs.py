"""What each mechanism costs or saves: the sign that theory says, in worlds in which all arrives."""

from __future__ import annotations

import json

import pytest

from rawproto.errors import ConfigError
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import World
from rawproto.study.checker import check
from rawproto.study.lab.costs import TRIALS, Cost, cost_of
from rawproto.study.lab.mechanisms import MECHANISMS, settings_on

SPEED = [name for name, mechanism in MECHANISMS.items() if not mechanism.breaks]
GUARANTEES = [name for name, mechanism in MECHANISMS.items() if mechanism.breaks]
FREE = {"duplicate_suppression", "isn", "path_mtu_discovery"}
"""What costs nothing that could be seen from outside."""


def test_every_mechanism_has_a_trial() -> None:
    assert set(TRIALS) == set(MECHANISMS)


@pytest.mark.parametrize("name", SPEED)
def test_what_serves_speed_helps(name: str) -> None:
    cost = cost_of(name)
    assert cost.helps, cost.sentence()


@pytest.mark.parametrize("name", GUARANTEES)
def test_what_carries_a_guarantee_has_its_price_or_none(name: str) -> None:
    cost = cost_of(name)
    assert not cost.helps, cost.sentence()
    assert (cost.on == cost.off) is (name in FREE)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", SPEED)
def test_all_arrives_with_and_without_what_serves_speed(name: str, on: bool) -> None:
    off = MECHANISMS[name].off
    for seed in range(1, TRIALS[name].runs + 1):
        verdict = check(TRIALS[name].play(settings_on(off) if on else off, seed).run)
        assert verdict.passed, verdict


@pytest.mark.parametrize("name", GUARANTEES)
def test_nothing_breaks_but_what_the_missing_mechanism_carries(name: str) -> None:
    mechanism = MECHANISMS[name]
    assert check(TRIALS[name].play(settings_on(mechanism.off), 1).run).passed
    without = check(TRIALS[name].play(mechanism.off, 1).run)
    assert not without.idle
    assert not without.broken or without.broken & set(mechanism.breaks), without.broken


@pytest.mark.parametrize("name", ["fast_retransmit", "sack"])
def test_the_same_seed_gives_the_same_figures(name: str) -> None:
    assert cost_of(name, 3) == cost_of(name, 3)


def test_another_seed_loses_other_datagrams() -> None:
    assert cost_of("fast_retransmit", 1).off != cost_of("fast_retransmit", 2).off


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no mechanism 'magic'; there are: checksum, "):
        cost_of("magic")


# -- how it is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "sentence"),
    [
        (
            Cost("time to deliver, ms", 412, 1240, "less", "."),
            "without it 1,240 ms instead of 412 ms: 3.0 times as long",
        ),
        (
            Cost("sent, datagrams", 36, 72.5, "less", "."),
            "without it 72.5 datagrams instead of 36 datagrams: 2.0 times as many",
        ),
        (Cost("payload, octets", 500, 50, "more", "."), "without it 50 octets instead of 500 octets: 10.0 times fewer"),
        (Cost("lost, datagrams", 0, 1, "less", "."), "without it 1 datagram instead of none"),
        (Cost("accept, ms", 30, 10, "less", "."), "without it 10 ms instead of 30 ms: having it costs 20 ms"),
        (Cost("held, s", 60, 0, "less", "."), "without it 0 s instead of 60 s: having it costs 60 s"),
        (
            Cost("rate, octets", 10, 30, "more", "."),
            "without it 30 octets instead of 10 octets: having it takes away 20 octets",
        ),
        (Cost("sent, octets", 7, 7, "less", "."), "no measurable difference: 7 octets with it and without it"),
    ],
    ids=lambda value: value.metric if isinstance(value, Cost) else "",
)
def test_a_cost_is_a_sentence(cost: Cost, sentence: str) -> None:
    assert cost.sentence() == sentence


def test_a_cost_is_a_dictionary_for_json() -> None:
    cost = cost_of("handshake")
    assert Cost(**json.loads(json.dumps(cost.as_dict()))) == cost
    assert cost.unit == "ms"


# -- the queue that marks ----------------------------------------------------------------------------------------------


def _bottleneck(queue: str, queue_bytes: int = 200_000) -> World:
    road = Road(rate_bps=10_000_000, queue=queue, queue_bytes=queue_bytes)
    world = World(Scenario("bottleneck", (Talk(Party(("send 300000",))),), road=road), 1)
    world.play()
    return world


@pytest.mark.parametrize(("queue", "marks"), [("codel", False), ("codel-ecn", True)])
def test_codel_marks_only_where_the_road_says_so(queue: str, marks: bool) -> None:
    meter = _bottleneck(queue).ports["client->server"].meter
    assert (meter.marked > 0) is marks
    assert (meter.dropped["codel"] > 0) is not marks


def test_codel_has_the_room_that_the_road_says() -> None:
    meter = _bottleneck("codel", 20_000).ports["client->server"].meter
    assert meter.longest_bytes <= 20_000
    assert meter.dropped["tail"] > 0


def test_a_queue_of_no_such_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="queue is 'red'; it must be one of droptail, codel, codel-ecn, or left out"):
        Road(rate_bps=1, queue="red")

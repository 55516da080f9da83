"""Scenarios of the simulator over a real veth: the same guarantees hold, and the same ones break."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rawproto.errors import ConfigError
from rawproto.link.netns import Lab
from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import run_scenario
from rawproto.study.checker import check
from rawproto.study.onwire.applications import Applications
from rawproto.study.onwire.figures import compare
from rawproto.study.onwire.realtime import brief
from rawproto.study.onwire.run import lab_for, run_on_wire
from rawproto.study.onwire.stories import STORIES, Story, clean_scenarios

pytestmark = pytest.mark.root

COMMAND = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "studies" / "onwire.py")]
CLEAN = {scenario.name: scenario for scenario in clean_scenarios()}
OFF = {story.off: story for story in STORIES}
SENDS = Party(("send 3000",))
PLAIN = CLEAN["both at once"]
SOON_NS = 50_000_000


@pytest.fixture(scope="module")
def wire_lab() -> Iterator[Lab]:
    with lab_for(PLAIN) as lab:
        yield lab


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


# -- everything on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "both at once",
        "records",
        "datagrams",
        "drop of client 3",
        "delay of client 3",
        "duplicate of client 3",
        "flip of client 3",
        "a reader that sleeps",
        "a slow road with a short queue",
    ],
)
def test_with_everything_on_all_guarantees_hold(wire_lab: Lab, name: str) -> None:
    verdict = check(run_on_wire(CLEAN[name], 1, lab=wire_lab, afterwards_ns=SOON_NS))
    assert verdict.violations == ()
    assert verdict.passed


def test_over_ipv6_too(wire_lab: Lab) -> None:
    run = run_on_wire(CLEAN["drop of client 3"], 1, lab=wire_lab, ipv6=True, afterwards_ns=SOON_NS)
    assert check(run).passed
    assert {sent.frame[12:14] for sent in run.log.sent} == {b"\x86\xdd"}


def test_random_faults_of_the_road_strike_and_harm_nothing(wire_lab: Lab) -> None:
    impairment = replace(Road().impairment, loss=0.2, duplicate=0.2)
    road = Road(delay_ns=2_000_000, impairment=impairment)
    run = run_on_wire(
        brief(Scenario("bad road", (Talk(SENDS, SENDS),), road=road)), 1, lab=wire_lab, afterwards_ns=SOON_NS
    )
    assert check(run).passed
    assert run.fired["loss"] > 0
    assert run.fired["duplicate"] > 0


# -- one mechanism off -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", ["sequencing", "checksum", "handshake", "duplicate_suppression", "flow_control"])
def test_with_one_mechanism_off_its_guarantee_breaks(wire_lab: Lab, off: str) -> None:
    story = OFF[off]
    verdict = check(run_on_wire(story.scenario, 1, lab=wire_lab, afterwards_ns=SOON_NS))
    assert verdict.idle == ()
    assert story.guarantee in verdict.broken


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_what_is_sent_to_nobody_leaves_all_the_same(wire_lab: Lab, ipv6: bool) -> None:
    story = OFF["cookies"]
    verdict = check(run_on_wire(story.scenario, 1, lab=wire_lab, ipv6=ipv6))
    assert story.guarantee in verdict.broken


# -- beside the simulator --------------------------------------------------------------------------------------------


def test_an_event_strikes_the_same_datagram_as_in_the_simulator(wire_lab: Lab) -> None:
    comparison = compare(CLEAN["drop of client 3"], 1, lab=wire_lab)
    simulated, real = comparison.figures
    assert comparison.agree
    assert simulated.struck == real.struck == ("client 3 (ACK, 1400 octets at 1): drop",)
    assert simulated.repeated["client"] == 1
    assert real.completion_ns > 0
    assert "guarantees broken: none, both" in comparison.lines()


def test_the_applications_read_the_same_octets_as_in_the_simulator(wire_lab: Lab) -> None:
    comparison = compare(CLEAN["question and answer"], 3, lab=wire_lab)
    read = [
        sorted((account.side, account.talk, account.all_got()) for account in run.accounts)
        for run in (comparison.simulated, comparison.real)
    ]
    assert read[0] == read[1]
    assert all(data for _, _, data in read[0])


# -- what can't be, and what is left behind --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        (replace(PLAIN, events=(Event("restart", start_ns=1),)), "no restart"),
        (replace(PLAIN, road=Road("chain")), "topology 'chain'"),
        (replace(PLAIN, road=Road(rate_bps=1_000_000, queue="codel")), "not CoDel"),
    ],
)
def test_what_a_wire_can_not_do_is_refused(scenario: Scenario, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        run_on_wire(scenario, 1)


def test_a_wire_of_another_mtu_is_refused(wire_lab: Lab) -> None:
    with pytest.raises(ConfigError, match="the MTU of veth0 is 1500; both at once needs 1400"):
        run_on_wire(replace(PLAIN, road=Road(mtu=1400)), 1, lab=wire_lab, afterwards_ns=SOON_NS)


def test_a_run_leaves_no_thread_and_no_descriptor(wire_lab: Lab) -> None:
    threads, open_before = threading.active_count(), descriptors()
    run_on_wire(PLAIN, 1, lab=wire_lab, afterwards_ns=SOON_NS)
    assert threading.active_count() == threads
    assert descriptors() == open_before


def test_who_waits_in_vain_is_stopped_and_told_nothing(wire_lab: Lab) -> None:
    waits = Scenario("waits", (Talk(Party(("await end",)), Party(("await end",))),), until_ns=300_000_000)
    threads = threading.active_count()
    run = run_on_wire(waits, 1, lab=wire_lab, afterwards_ns=SOON_NS)
    assert [(account.waits_for, account.error, account.over) for account in run.accounts] == [("read", "", False)] * 2
    assert threading.active_count() == threads


def test_a_run_that_fails_leaves_nothing_either(wire_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Applications, "_talk_of", fail)
    threads, open_before = threading.active_count(), descriptors()
    with pytest.raises(RuntimeError, match="a fault of ours"):
        run_on_wire(PLAIN, 1, lab=wire_lab, afterwards_ns=SOON_NS)
    assert threading.active_count() == threads
    assert descriptors() == open_before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_and_leaves_no_process(number: signal.Signals) -> None:
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("both at once"):
            assert process.poll() is None
        process.send_signal(number)
        _, complaints = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (130 if number is signal.SIGINT else -signal.SIGTERM)
    assert complaints == ""
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


# -- stories are what they say, in the simulator too -----------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.off)
def test_each_story_breaks_its_guarantee_and_only_without_the_mechanism(story: Story) -> None:
    assert story.guarantee in check(run_scenario(story.scenario, 1)).broken
    assert check(run_scenario(story.mended(), 1)).violations == ()


def test_a_brief_scenario_waits_for_nothing_long() -> None:
    slow = Scenario(
        "slow",
        (Talk(Party(("wait 60 s", "send 1")), Party(reads=("wait 3 s", "read all"))),),
        (Event("duplicate", packet=1, for_ns=20_000_000_000), Event("outage", start_ns=5, for_ns=20_000_000_000)),
        {"keep_alive_idle": 20_000_000_000, "msl": 500_000_000},
    )
    short = brief(slow)
    assert short.talks[0].client.writes == ("wait 1 s", "send 1")
    assert short.talks[0].server.reads == ("wait 1 s", "read all")
    assert [event.for_ns for event in short.events] == [900_000_000, 1_900_000_000]
    config = short.config()
    assert (config.msl, config.keep_alive_idle, config.user_timeout) == (500_000_000, 1_500_000_000, 4_000_000_000)
    assert brief(short) == short

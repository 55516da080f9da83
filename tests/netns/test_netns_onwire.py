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


def test_a_slow_road_delays_each_datagram_and_drops_what_its_queue_can_not_hold(wire_lab: Lab) -> None:
    scenario = CLEAN["a slow road with a short queue"]
    run = run_on_wire(scenario, 1, lab=wire_lab, afterwards_ns=SOON_NS)
    assert check(run).passed
    assert run.fired["queue_drop"] > 0
    left = {sent.frame: sent.time_ns for sent in reversed(run.log.sent)}
    assert all(arrived.time_ns >= left[arrived.frame] + scenario.road.delay_ns for arrived in run.log.arrived)


# -- what applications do --------------------------------------------------------------------------------------------


def test_a_reader_that_sleeps_reads_all_of_it_later(wire_lab: Lab) -> None:
    sleeps = Party(("await end",), ("wait 200 ms", "read all"))
    talks = (Talk(Party(("send 9000",)), sleeps),)
    run = run_on_wire(Scenario("slow", talks, (), {"receive_buffer": 4096}), 1, lab=wire_lab, afterwards_ns=SOON_NS)
    server = run.accounts[1]
    assert check(run).passed
    assert server.got[0][0] >= server.open_ns + 200_000_000
    assert server.shutdown_ns >= server.eof_ns


def test_who_awaits_a_question_answers_behind_it(wire_lab: Lab) -> None:
    answers = Party(("await 200", "send 100", "await end"))
    asks = Party(("send 150", "wait 50 ms", "send 50"))
    run = run_on_wire(Scenario("asked", (Talk(asks, answers),)), 1, lab=wire_lab, afterwards_ns=SOON_NS)
    client, server = run.accounts
    assert check(run).passed
    assert server.sent[0][0] >= server.got[-1][0] >= client.sent[-1][0] >= client.open_ns + 50_000_000


def test_who_is_told_that_all_has_arrived_is_told_a_round_trip_later(wire_lab: Lab) -> None:
    run = run_on_wire(PLAIN, 1, lab=wire_lab, afterwards_ns=SOON_NS)
    assert all(account.flushed_ns >= account.shutdown_ns + 2 * PLAIN.road.delay_ns for account in run.accounts)


def test_an_abort_is_a_reset_for_the_other_side(wire_lab: Lab) -> None:
    talks = (Talk(Party(("send 100", "await 10", "abort")), Party(("send 10", "await end"))),)
    run = run_on_wire(Scenario("abort", talks), 1, lab=wire_lab, afterwards_ns=SOON_NS)
    assert [(account.side, account.error) for account in run.accounts] == [("client", "aborted"), ("server", "reset")]
    assert run.accounts[0].aborted_ns >= 0


def test_the_next_talk_waits_for_the_one_before(wire_lab: Lab) -> None:
    talk = Talk(Party(("send 300",)), Party(("await end", "send 100")))
    run = run_on_wire(Scenario("again", (talk, replace(talk, again=True))), 1, lab=wire_lab, afterwards_ns=SOON_NS)
    first, second, server, _ = run.accounts
    assert check(run).passed
    assert second.began_ns >= max(first.closed_ns, server.closed_ns)


def test_a_port_in_time_wait_is_asked_for_again(wire_lab: Lab) -> None:
    talk = Talk(Party(("send 300",)), Party(("await end", "send 100")), client_port=50_000)
    again = Scenario("again", (talk, replace(talk, again=True)), settings={"msl": 20_000_000})
    run = run_on_wire(again, 1, lab=wire_lab, afterwards_ns=SOON_NS)
    first, second = run.accounts[:2]
    assert check(run).passed
    assert first.port == second.port == 50_000
    assert second.began_ns >= first.closed_ns + 2 * 20_000_000


# -- one mechanism off -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", ["sequencing", "checksum", "handshake", "duplicate_suppression", "flow_control"])
def test_with_one_mechanism_off_its_guarantee_breaks(wire_lab: Lab, off: str) -> None:
    story = OFF[off]
    scenario = replace(story.scenario, until_ns=600_000_000)  # it is broken by then, whatever comes of the rest
    verdict = check(run_on_wire(scenario, 1, lab=wire_lab, afterwards_ns=SOON_NS))
    assert verdict.idle == ()
    assert story.guarantee in verdict.broken


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_what_is_sent_to_nobody_leaves_all_the_same(wire_lab: Lab, ipv6: bool) -> None:
    story = OFF["cookies"]
    scenario = replace(story.scenario, until_ns=600_000_000)
    verdict = check(run_on_wire(scenario, 1, lab=wire_lab, ipv6=ipv6))
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
    ports = [[account.port for account in run.accounts] for run in (comparison.simulated, comparison.real)]
    assert read[0] == read[1]
    assert ports[0] == ports[1]
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


def test_an_interrupted_command_ends_and_leaves_no_process() -> None:
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("both at once"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
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


def test_a_road_with_faults_of_its_own_keeps_its_user_timeout() -> None:
    bad = Scenario("bad", road=Road(impairment=replace(Road().impairment, loss=0.1)))
    assert brief(bad).config().user_timeout == bad.config().user_timeout
    assert brief(bad).config().msl < bad.config().msl

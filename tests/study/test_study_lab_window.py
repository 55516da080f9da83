"""The sliding window's law: half of the numbers are safe, and one more octet is not; found by search."""

from __future__ import annotations

import json

import pytest

from rawproto.cli import main
from rawproto.errors import ConfigError
from rawproto.link.script import Event
from rawproto.sim.world import run_scenario
from rawproto.study.checker import check
from rawproto.study.lab import window as module
from rawproto.study.lab.window import Law, Tried, find_law
from rawproto.transport.sequence import SequenceSpace


@pytest.fixture(scope="module")
def four() -> Law:
    return find_law(4, scan=False)


def test_with_four_bits_eight_are_safe_and_nine_are_not(four: Law) -> None:
    assert (four.largest_clean, four.first_broken.window) == (8, 9)


def test_with_five_bits_it_is_sixteen() -> None:
    law = find_law(5)
    assert (law.largest_clean, law.first_broken.window) == (16, 17)


def test_the_search_does_not_know_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    init = SequenceSpace.__init__
    monkeypatch.setattr(SequenceSpace, "__init__", lambda self, bits: init(self, bits - 1))
    assert find_law(4, scan=False).first_broken.window == 5, "the numbers have 3 bits, whatever was said"


def test_one_outage_of_the_acknowledgements_breaks_it(four: Law) -> None:
    (event,) = four.first_broken.events
    assert (event.kind, event.side) == ("outage", "server")
    assert four.first_broken.guarantee == "no_duplication"


def test_the_same_losses_do_no_harm_to_a_window_of_eight(four: Law) -> None:
    scenario = module._scenario(4, 8, four.first_broken.events)
    verdict = check(run_scenario(scenario, four.seed))
    assert not verdict.broken - module.ONLOOKERS
    assert verdict.delivered == 20


def test_single_losses_do_the_same_and_none_of_them_can_be_spared(four: Law) -> None:
    assert {event.kind for event in four.singly} == {"drop"}
    assert len(four.singly) <= four.first_broken.lost
    assert "no_duplication" in _broken(four.singly)
    for spared in four.singly:
        assert "no_duplication" not in _broken(tuple(event for event in four.singly if event != spared))


def _broken(events: tuple[Event, ...]) -> frozenset[str]:
    return check(run_scenario(module._scenario(4, 9, events), 1)).broken


def test_the_story_shows_the_old_octet_kept_as_a_new_one(four: Law) -> None:
    told = four.ladder().plain
    fatal = next(line for line in told.splitlines() if "FATAL" in line)
    assert "data 0:1 again" in fatal
    assert "ack 9, has 16:17" in told


def test_windows_of_few_bits_are_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_try", lambda bits, window, seed: Tried(window, 1))
    seen: list[int] = []
    with pytest.raises(ConfigError, match="no window broke"):
        find_law(4, on_window=lambda tried: seen.append(tried.window))
    assert seen == list(range(1, 16))


@pytest.mark.parametrize("bits", [3, 9])
def test_widths_that_can_not_be_drawn_are_refused(bits: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="4 to 8"):
        find_law(bits)
    assert main(["lab", "window", "--seq-bits", str(bits)]) == 2
    assert "--seq-bits is" in capsys.readouterr().err


@pytest.fixture
def _found(four: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_law", lambda bits, seed: four)


@pytest.mark.usefixtures("_found")
def test_the_command_prints_the_table_and_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "window"]) == 0
    told = capsys.readouterr().out
    assert "The first window that breaks is 9, of 16 numbers; 8 was clean." in told
    assert "octet 16" in told


@pytest.mark.usefixtures("_found")
def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "window", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seq_bits"], told["largest_clean"], told["first_broken"]) == (4, 8, 9)
    broken = next(tried for tried in told["windows"] if tried["window"] == 9)
    assert broken["events"][0]["kind"] == "outage"

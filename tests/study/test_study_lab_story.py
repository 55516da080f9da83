"""A finding told as a story: its words, its capture, and a test file that shows it again and can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rawproto.capture.pcapng import PcapngReader
from rawproto.errors import ConfigError
from rawproto.link.script import Event
from rawproto.sim import scenario_toml
from rawproto.study.lab import story as module
from rawproto.study.lab.finding import Finding
from rawproto.study.lab.grounds import GROUNDS
from rawproto.study.lab.mechanisms import ALL_OFF, MECHANISMS, settings_on
from rawproto.study.lab.story import Story, tell

MS = 1_000_000
WORLDS = {ground.name: ground for ground in GROUNDS}


def finding(off: str, guarantee: str, world: str, *events: Event) -> Finding:
    changed = ALL_OFF if off == "all" else MECHANISMS[off].off
    return Finding(off, guarantee, WORLDS[world].scenario(changed, events), 1, settings_on(changed))


SEQUENCING = finding("sequencing", "order", "both at once", Event("delay", "client", 3, for_ns=15 * MS))
CONGESTION = finding("congestion_control", "restraint", "more than the road holds")
PERSIST = finding("persist", "complete", "a reader that sleeps", Event("drop", "server", 3))
ALL = finding("all", "order", "both at once", Event("delay", "client", 3, for_ns=15 * MS))
FINDINGS = [SEQUENCING, CONGESTION, PERSIST, ALL]


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(SEQUENCING)


def run_pytest(directory: Path, source: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("found", FINDINGS, ids=lambda found: found.off)
def test_its_test_file_is_green(found: Finding, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, tell(found).pytest_source())
    assert "2 passed" in done.stdout, done.stdout


def test_its_test_file_fails_where_the_mechanism_is_on(story: Story, tmp_path: Path) -> None:
    mended = story.pytest_source().replace("sequencing = false", "sequencing = true")
    done = run_pytest(tmp_path, mended)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "it holds" in done.stdout


def test_its_test_file_fails_where_switching_on_mends_nothing(story: Story, tmp_path: Path) -> None:
    useless = story.pytest_source().replace('"sequencing": True', '"pacing": True')
    done = run_pytest(tmp_path, useless)
    assert "1 failed, 1 passed" in done.stdout, done.stdout


def test_the_title_says_what_breaks_and_what_it_takes() -> None:
    assert [tell(found).title for found in FINDINGS] == [
        "Without sequencing: order breaks after 1 event",
        "Without congestion control: restraint breaks though nothing goes wrong",
        "Without the persist timer: completeness breaks after 1 event",
        "With nothing but ports: order breaks after 1 event",
    ]


def test_the_text_has_schedule_ladder_reasons_and_source(story: Story) -> None:
    text = " ".join(story.text().split())
    mechanism = MECHANISMS["sequencing"]
    wanted = ("The client's datagram 3 is kept for 15 ms.", "◀ FATAL", mechanism.does, mechanism.without)
    for part in (*wanted, story.violation.text, mechanism.clause):
        assert part in text


@pytest.mark.parametrize("width", [90, 100])
def test_the_text_keeps_to_its_width(story: Story, width: int) -> None:
    assert max(len(line.plain) for line in story.lines(width)) <= width


def test_the_scenario_is_written_so_that_it_can_be_read_again(story: Story) -> None:
    assert scenario_toml.load(story.scenario_source()) == SEQUENCING.scenario


def test_in_the_capture_a_comment_marks_the_datagram_to_blame(story: Story, tmp_path: Path) -> None:
    story.write_capture(tmp_path / "it.pcapng")
    with PcapngReader(tmp_path / "it.pcapng") as reader:
        marked = [
            (frame.data, comments) for frame, comments in reader.records() if any("FATAL" in text for text in comments)
        ]
    assert story.violation.packet is not None
    assert [data for data, _ in marked] == [story.violation.packet.frame]
    assert story.violation.text in marked[0][1][0]


def test_saving_writes_all_four_files(story: Story, tmp_path: Path) -> None:
    paths = story.save(tmp_path / "new" / "place")
    assert sorted(path.name for path in paths) == [
        "test_without_sequencing_order.py",
        "without-sequencing-order.pcapng",
        "without-sequencing-order.toml",
        "without-sequencing-order.txt",
    ]
    assert sorted((tmp_path / "new" / "place").iterdir()) == sorted(paths)
    assert scenario_toml.load_file(paths[2]) == SEQUENCING.scenario


def test_a_file_that_cannot_be_written_leaves_nothing_behind(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(module, "capture_records", fail)
    with pytest.raises(OSError, match="no space left"):
        story.save(tmp_path / "new" / "place")
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_put_in_place_are_taken_back(story: Story, tmp_path: Path) -> None:
    # A directory stands where the third file belongs.
    (tmp_path / f"{story.name}.toml").mkdir()
    with pytest.raises(OSError, match="directory"):
        story.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{story.name}.toml"]


def test_a_finding_that_no_longer_breaks_is_refused() -> None:
    holds = Finding("sequencing", "order", SEQUENCING.mended(), 1, {})
    with pytest.raises(ConfigError, match="order does not break without sequencing"):
        tell(holds)


def test_a_story_is_the_same_each_time(story: Story) -> None:
    again = tell(SEQUENCING)
    assert (again.text(), again.svg(), again.pytest_source()) == (story.text(), story.svg(), story.pytest_source())

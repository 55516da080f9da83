"""`rawproto lab`: the shape of what it prints, the files of a story, and wrong calls told in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rawproto.capture import PcapngReader
from rawproto.cli import main
from rawproto.sim.scenario_toml import load_file
from rawproto.study.checker import GUARANTEES
from rawproto.study.lab.mechanisms import MECHANISMS, ROWS

SEED = "8"


def told(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["lab", *words]) == status
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


# -- the matrix --------------------------------------------------------------------------------------------------------


def test_the_matrix_as_json_has_every_row_and_its_stories(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lab", "--json", "--runs", "11", "--seed", SEED])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["seed"] == int(SEED)
    assert [row["off"] for row in found["rows"]] == list(ROWS)
    for row in found["rows"]:
        assert set(row) >= {"off", "violations", "cost"}
        assert isinstance(row["cost"], dict)
        assert bool(row["cost"]) == (row["off"] in MECHANISMS)
        for violation in row["violations"]:
            assert set(violation) >= {"guarantee", "events", "seed", "story"}
            assert violation["guarantee"] in GUARANTEES
            assert all({"kind", "side"} <= set(event) for event in violation["events"])
            assert violation["seed"] == int(SEED)
            assert violation["story"]
    assert found["rows"][0]["violations"] == []


def test_the_rows_have_the_names_of_the_mechanisms() -> None:
    names = "checksum sequencing duplicate_suppression acknowledgement retransmission backoff handshake isn cookies "
    names += "flow_control persist challenge_ack time_wait congestion_control"
    assert ROWS[0] == "none"
    assert ROWS[-1] == "all"
    assert set(names.split()) < set(ROWS)


def test_the_matrix_for_people_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "lab.html"
    main(["lab", "--runs", "2", "--seed", SEED, "--html", str(page)])
    lines = capsys.readouterr().out.splitlines()
    names = {"none": "(nothing)", "all": "(everything)"}
    assert [row for row in ROWS if not any(line.startswith(f"{names.get(row, row)} ") for line in lines)] == []
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_with_too_few_schedules_it_does_not_claim_to_have_found_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "--runs", "1", "--seed", SEED]) == 1
    assert "no story was found of complete without persist" in capsys.readouterr().err


def test_a_congestion_control_that_raises_is_told_of_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boom.py").write_text(
        "from rawproto.transport.congestion.reno import Reno\n"
        "class Boom(Reno):\n"
        "    def on_ack(self, ack):\n"
        "        1 / 0\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "--congestion", "boom:Boom", "--runs", "5", "--jobs", "1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("rawproto: boom:Boom broke its contract: ZeroDivisionError")
    assert error.count("\n") == 1


def test_a_congestion_control_is_graded_alone(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "--congestion", "reno", "--runs", "22", "--seed", SEED).splitlines()
    assert lines[0].startswith("reno: 22 schedules")
    assert [line.split("  ")[0] for line in lines[1:]] == [name.replace("_", " ") for name in GUARANTEES]
    assert all(line.endswith("pass") for line in lines[1:])


# -- one story ---------------------------------------------------------------------------------------------------------


def test_a_story_is_written_down_and_its_test_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "story"
    words = told(capsys, "off", "sequencing", "--runs", "22", "--seed", SEED, "--out", str(out))
    files = sorted(out.iterdir())
    assert all(f"written: {path}" in words for path in files)
    by_suffix = {path.suffix: path for path in files}
    assert set(by_suffix) >= {".pcapng", ".toml", ".py"}
    assert load_file(by_suffix[".toml"]).settings["sequencing"] is False
    with PcapngReader(by_suffix[".pcapng"]) as reader:
        assert len(list(reader)) > 3
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", by_suffix[".py"].name]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout


def test_a_story_as_json_is_the_row(capsys: pytest.CaptureFixture[str]) -> None:
    row = json.loads(told(capsys, "off", "flow_control", "--runs", "11", "--seed", SEED, "--json"))
    assert row["off"] == "flow_control"
    assert [violation["events"] for violation in row["violations"] if violation["guarantee"] == "flow_control"] == [[]]


def test_the_story_that_is_asked_for_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    words = told(capsys, "off", "retransmission", "--runs", "33", "--seed", SEED, "--guarantee", "connection")
    assert "Also broken: complete" in words


def test_what_serves_speed_alone_is_told_by_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    words = told(capsys, "off", "delayed_ack", "--runs", "11", "--seed", SEED)
    assert "no guarantee broke in 11 schedules" in words


def test_where_nothing_breaks_and_nothing_was_predicted_the_status_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    words = told(capsys, "off", "none", "--runs", "11", "--seed", SEED, status=1)
    assert words == "With everything on: no guarantee broke in 11 schedules.\n"


# -- wrong calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["off", "gravity"], "there is no mechanism 'gravity'; there are: none, checksum, "),
        (["off", "sack", "--guarantee", "speed"], "there is no guarantee 'speed'; there are: integrity, "),
        (["--seq-bits", "3"], "--seq-bits is 3; it must be from 4 to 64"),
        (["--seq-bits", "65"], "--seq-bits is 65; it must be from 4 to 64"),
        (["off", "sack", "--seq-bits", "3"], "--seq-bits is 3; it must be from 4 to 64"),
        (["--checksum", "md5"], "md5"),
        (["--runs", "0"], "--runs is 0; it must be 1 or more"),
        (["--jobs", "0"], "--jobs is 0; it must be 1 or more"),
        (["--seed", "x"], "seed"),
        (["--congestion", "gut_feeling"], "--congestion: "),
        (["--congestion", "no_such_module:Mine"], "--congestion: "),
        (["--sender", "StopAndWait"], "StopAndWait"),
        (["--sender", "no_such_module:Sender"], "no_such_module"),
        (["--receiver", "json:NoSuchClass"], "NoSuchClass"),
        (["--html", "{nowhere}/lab.html", "--runs", "1"], "--html: can't write {nowhere}/lab.html: "),
        (["off", "sequencing", "--runs", "22", "--seed", SEED, "--out", "{file}"], "can't write to {file}: "),
        (["off"], "mechanism"),
        (["no-such-verb"], "no-such-verb"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    places = {"nowhere": str(tmp_path / "nowhere"), "file": str(tmp_path / "file")}
    assert main(["lab", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message.format(**places).lower() in error.lower()
    assert error.count("\n") == 1
    assert "Traceback" not in error

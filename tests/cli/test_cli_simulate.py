from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rawproto.capture import PcapngReader
from rawproto.cli import main
from rawproto.sim.scenario_toml import load_file
from rawproto.sim.world import run_scenario
from rawproto.study.checker import GUARANTEES
from rawproto.study.wirecapture import write_capture
from rawproto.wire.frame import Direction, LinkType

EXAMPLES = Path(__file__).parents[2] / "docs" / "scenarios"
ONE_LOSS = str(EXAMPLES / "one_loss.toml")
NO_CHECKSUM = str(EXAMPLES / "no_checksum.toml")
BAD_WIFI = str(EXAMPLES / "bad_wifi.toml")
FINGERPRINT = re.compile(r"[0-9a-f]{32}")
SENDS = '[[connection]]\nclient = { writes = ["send 3000", "shutdown"] }\n'


def scenario(tmp_path: Path, text: str) -> str:
    path = tmp_path / "scenario.toml"
    path.write_text('name = "n"\n' + text)
    return str(path)


# -- what is told ------------------------------------------------------------------------------------------------------


def test_people_are_told_of_applications_faults_guarantees_and_the_fingerprint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["simulate", ONE_LOSS]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert re.search(r"1 stream +client +20,000 +32 +connected at 0\.020000 s", captured.out)
    assert re.search(r"^ +drop +1 *$", captured.out, re.MULTILINE)
    assert [name for name in GUARANTEES if not re.search(rf"^ +{name} +held", captured.out, re.MULTILINE)] == []
    fingerprint = run_scenario(load_file(ONE_LOSS), 1).fingerprint()
    assert f"Fingerprint (trace hash): {fingerprint}\n" in captured.out


def test_a_broken_guarantee_is_status_1_with_the_moment_and_the_datagram(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", NO_CHECKSUM]) == 1
    captured = capsys.readouterr()
    assert re.search(r"^ +integrity +BROKEN +0\.030000 s +client 3 +the server read 3000", captured.out, re.MULTILINE)
    assert re.fullmatch(
        r"rawproto: integrity was broken at 0\.030000 s by datagram 3 of the client: .+\n", captured.err
    )


def test_a_run_that_delivers_nothing_is_status_3_and_shows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", scenario(tmp_path, "[[connection]]")]) == 3
    captured = capsys.readouterr()
    assert captured.err == "rawproto: the run shows nothing: not one octet was delivered\n"
    assert re.search(r"^ +integrity +not shown *$", captured.out, re.MULTILINE)


def test_an_event_that_never_happens_is_status_3_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = '[[event]]\nkind = "delay"\npacket = 900\nfor = "1 s"\n[[event]]\nkind = "drop"\npacket = 3\n'
    assert main(["simulate", scenario(tmp_path, SENDS + events)]) == 3
    captured = capsys.readouterr()
    assert re.search(r"^ +delay +never struck: this run shows nothing of it *$", captured.out, re.MULTILINE)
    said = "the run shows nothing: it never came to this: delay, side client, packet 900, for 1 s"
    assert captured.err == f"rawproto: {said}\n"


def test_one_of_two_events_of_a_kind_that_never_happens_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = '[[event]]\nkind = "drop"\npacket = 900\n[[event]]\nkind = "drop"\npacket = 3\n'
    assert main(["simulate", scenario(tmp_path, SENDS + events)]) == 3
    out = capsys.readouterr().out
    assert re.search(r"^ +drop +1 *$", out, re.MULTILINE)
    assert "drop, side client, packet 900: never struck: this run shows nothing of it" in out


def test_a_random_fault_that_never_struck_is_said_and_does_not_fail_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", scenario(tmp_path, SENDS + "[road]\nloss = 1e-9")]) == 0
    assert re.search(r"^ +loss +never struck: this run", capsys.readouterr().out, re.MULTILINE)


def test_what_still_waits_and_who_is_unknown_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (EXAMPLES / "new_address.toml").read_text(encoding="utf-8")
    (tmp_path / "silent.toml").write_text(text.replace("keep_alive = true", "keep_alive = false"))
    assert main(["simulate", str(tmp_path / "silent.toml")]) == 1
    assert "still waits to read" in capsys.readouterr().out
    off = "[settings]\nhandshake = false\ncookies = false\ntime_wait = false\n[[connection]]"
    text = (EXAMPLES / "old_syn.toml").read_text(encoding="utf-8")
    (tmp_path / "ghost.toml").write_text(text.replace("[[connection]]", off, 1))
    assert main(["simulate", str(tmp_path / "ghost.toml")]) == 1
    assert re.search(r"^ +\? stream +server", capsys.readouterr().out, re.MULTILINE)


def test_json_is_one_object_with_all_there_is_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", NO_CHECKSUM, "--json", "--seed", "5"]) == 1
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["seed"], told["passed"], told["delivered"]) == (5, False, 3000)
    assert told["faults"] == {"flip": 1}
    assert told["events"] == [{"kind": "flip", "side": "client", "packet": 3, "at": 5000, "struck": 1}]
    assert list(told["guarantees"]) == list(GUARANTEES)
    assert [name for name, found in told["guarantees"].items() if not found["held"]] == ["integrity"]
    first = told["guarantees"]["integrity"]["first"]
    assert first == told["violations"][0]
    assert first["datagram"] == {"side": "client", "number": 3, "fate": ["flip"]}
    assert [(one["side"], one["sent"], one["read"]) for one in told["applications"]] == [
        ("client", 3000, 0),
        ("server", 0, 3000),
    ]
    assert FINGERPRINT.fullmatch(told["fingerprint"])
    assert "trace" not in told


def test_the_trace_is_told_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", ONE_LOSS, "--trace"]) == 0
    lines = capsys.readouterr().out.split("\n\n", 1)[0].splitlines()
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    assert re.fullmatch(r" +0\.000000000 client #0 sent: flags=SYN\S* seq=\d+ length=0 .*", lines[1])
    assert any(" server #0 received: " in line for line in lines)
    assert main(["simulate", ONE_LOSS, "--trace", "--json"]) == 0
    trace = json.loads(capsys.readouterr().out)["trace"]
    assert len(trace) == len(lines)
    assert trace[0] | {"kind": "state", "side": "client", "before": "CLOSED"} == trace[0]


def test_a_trace_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for more in ([], ["--trace"]):
        assert main(["simulate", BAD_WIFI, "--json", *more]) == 0
        told.append(json.loads(capsys.readouterr().out)["fingerprint"])
    assert told[0] == told[1]


# -- many seeds --------------------------------------------------------------------------------------------------------


def test_each_seed_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", ONE_LOSS, "--seeds", "5:7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["seed 5", "seed 6", "seed 7"]
    for line in lines:
        assert re.fullmatch(r"seed \d: held; 20032 octets; delay 1, drop 1; [0-9a-f]{32}", line)


def test_seeds_that_break_a_guarantee_are_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", NO_CHECKSUM, "--seeds", "2", "--json"]) == 1
    captured = capsys.readouterr()
    assert [json.loads(line)["seed"] for line in captured.out.splitlines()] == [1, 2]
    assert captured.err == "rawproto: 2 of 2 runs broke a guarantee; look at one with --seed 1\n"


def test_seeds_that_show_nothing_are_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", scenario(tmp_path, "[[connection]]"), "--seeds", "3:4"]) == 3
    captured = capsys.readouterr()
    assert captured.out.count(": shows nothing; 0 octets; no faults; ") == 2
    assert captured.err == "rawproto: 2 of 2 runs show nothing; look at one with --seed 3\n"


def test_a_broken_guarantee_weighs_more_than_a_run_that_shows_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scenario(tmp_path, "[settings]\nretransmission = false\n[road]\nloss = 0.25\n" + SENDS)
    assert main(["simulate", path, "--seeds", "12"]) == 1
    captured = capsys.readouterr()
    assert ": shows nothing" in captured.out
    broken = re.findall(r"^seed (\d+): BROKEN", captured.out, re.MULTILINE)
    assert (
        captured.err == f"rawproto: {len(broken)} of 12 runs broke a guarantee; look at one with --seed {broken[0]}\n"
    )


# -- the capture -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", [path.stem for path in sorted(EXAMPLES.glob("*.toml"))])
def test_the_capture_has_what_both_hosts_saw(example: str, tmp_path: Path) -> None:
    run = run_scenario(load_file(EXAMPLES / f"{example}.toml"), 1)
    write_capture(run, tmp_path / "x.pcapng")
    with PcapngReader(tmp_path / "x.pcapng") as reader:
        records = list(reader.records())
        assert reader.comment == f"{run.scenario.name}, seed 1, fingerprint {run.fingerprint()}"
    times = [record.frame.time_ns for record in records]
    assert times == sorted(times)
    assert {record.frame.linktype for record in records} == {LinkType.RAW}
    for side in ("client", "server"):
        mine = [record.frame for record in records if record.frame.interface == side]
        sent = [frame.data for frame in mine if frame.direction is Direction.OUTBOUND]
        arrived = [frame.data for frame in mine if frame.direction is Direction.INBOUND]
        assert sorted(sent) == sorted(one.frame for one in run.log.sent if one.side == side)
        assert sorted(arrived) == sorted(one.frame for one in run.log.arrived if one.side == side)
    struck = [one for one in run.log.sent if one.fate]
    assert len([record for record in records if record.comments]) == len(struck)


def test_what_an_event_struck_has_a_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.pcapng"
    for example, comments in {
        ONE_LOSS: ["datagram 3 of the client: drop", "datagram 6 of the client: delay"],
        str(EXAMPLES / "forger.toml"): [
            *["forged in the name of the client, which did not send it"] * 2,
            "forged in the name of the server, which did not send it",
            *["forged in the name of the client, which did not send it"] * 2,
        ],
    }.items():
        assert main(["simulate", example, "--capture", str(path)]) == 0
        assert f"Capture: {path}\n" in capsys.readouterr().out
        with PcapngReader(path) as reader:
            assert [comment for record in reader.records() for comment in record.comments] == comments


# -- wrong calls -------------------------------------------------------------------------------------------------------

WRONG = {
    "nothing": ([], "nothing was given: give one scenario in TOML"),
    "two": ([ONE_LOSS, ONE_LOSS], "2 files were given: give one scenario in TOML"),
    "missing": (["nowhere.toml"], "nowhere.toml: can't read it: No such file or directory; give a scenario in TOML"),
    "option": ([ONE_LOSS, "--bogus"], "unknown option: --bogus."),
    "seed": ([ONE_LOSS, "--seed", "x"], "--seed: 'x' is not a seed"),
    "seeds": ([ONE_LOSS, "--seeds", "9:5"], "--seeds: '9:5' are no seeds"),
    "no seeds": ([ONE_LOSS, "--seeds", "0"], "--seeds: '0' are no seeds"),
    "seeds and seed": ([ONE_LOSS, "--seeds", "2", "--seed", "2"], "--seeds and --seed exclude each other"),
    "seeds and trace": ([ONE_LOSS, "--seeds", "2", "--trace"], "--seeds and --trace exclude each other"),
    "seeds and capture": ([ONE_LOSS, "--seeds", "2", "--capture", "x"], "--seeds and --capture exclude each other"),
    "capture": ([ONE_LOSS, "--capture", "/nonexistent/x"], "--capture: can't write /nonexistent/x: No such file"),
    "pcap": ([ONE_LOSS, "--capture", "x.pcap"], "--capture x.pcap: it is written as pcapng"),
    "stdout": ([ONE_LOSS, "--capture", "-"], "--capture -: it is written as pcapng: give a file"),
    "itself": ([ONE_LOSS, "--capture", ONE_LOSS], f"--capture {ONE_LOSS}: that is the scenario: give another name"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_calls_are_status_2_with_one_line(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(ONE_LOSS).read_bytes()
    arguments, text = WRONG[wrong]
    assert main(["simulate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"rawproto: {text}")
    assert captured.err.count("\n") == 1
    assert Path(ONE_LOSS).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[connection]]\nkidn = 5", "[[connection]] 1: there is no key 'kidn'; did you mean kind?"),
        (
            "[road]\nmtu = 60\n[[connection]]",
            "mtu of the road is 60: give 124 or more",
        ),
        ("[road]\nmtu = 0\n[[connection]]", "mtu of the road is 0: give 124 or more"),
        (
            '[settings]\nmax_record = 100\n[[connection]]\nkind = "records"\nclient = { writes = ["send 3000"] }',
            "n: records of 3000 octets can't be sent here, 100 at most",
        ),
    ],
)
def test_wrong_files_are_status_2_with_one_line(
    text: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", scenario(tmp_path, text)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert problem in captured.err
    assert captured.err.count("\n") == 1

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rawproto.cli import main

FAST = ["demo", "--size", "32k"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from rawproto.cli import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_json_is_one_object_with_all_there_is_to_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--json", "--seed", "3", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert report["seed"] == 3
    assert report["bytes"] == 32_000
    assert report["sha256_sent"] == report["sha256_received"]
    assert set(report["faults"]) >= {"loss", "reorder", "duplicate", "corrupt"}
    assert set(report["segments"]) == {"sent", "retransmitted", "received", "discarded"}
    assert report["guarantees"] == dict.fromkeys(
        ("sequenced", "no_duplication", "no_creation", "nothing_missing", "two_way", "connection_based"), True
    )
    assert isinstance(report["virtual_time_ns"], int)
    assert isinstance(report["wall_time_s"], float)
    assert report["captures"] == [str(tmp_path / "client.pcapng"), str(tmp_path / "server.pcapng")]
    assert (report["mode"], report["carrier"], report["error"]) == ("simulated", "packet", "")
    assert all(Path(path).stat().st_size > 1000 for path in report["captures"])


@pytest.mark.parametrize(("fault", "other"), [("swap", "truncate"), ("truncate", "swap")])
def test_words_are_swapped_and_ends_lost_if_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, other: str
) -> None:
    assert main([*FAST, "--json", f"--{fault}", "20%", "--out", str(tmp_path)]) == 0
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert faults[fault] > 0
    assert other not in faults


def test_people_are_shown_two_ladders_the_guarantees_and_the_captures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for part in ("The opening handshake", "The first loss", "Guarantees", "Connection-based", "client.pcapng"):
        assert part in captured.out
    assert max(map(len, captured.out.splitlines())) <= max(100, len(str(tmp_path)) + 60)


def test_a_file_is_carried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zeros"
    file.write_bytes(bytes(50_000))
    assert main(["demo", "--file", str(file), "--json", "--out", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["sha256_received"] == hashlib.sha256(bytes(50_000)).hexdigest()


def test_a_transfer_that_fails_is_status_1_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--json", "--loss", "100%", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["guarantees"]["nothing_missing"] is False
    assert captured.err.startswith("rawproto: the client failed: the peer did not answer")
    assert captured.err.count("\n") == 1


WRONG = {
    "--size": ("--size", "many"),
    "range of --size": ("--size", "0"),
    "--loss": ("--loss", "5"),
    "--reorder": ("--reorder", "-1%"),
    "--duplicate": ("--duplicate", "x"),
    "--corrupt": ("--corrupt", "101%"),
    "--swap": ("--swap", "2"),
    "--truncate": ("--truncate", "most"),
    "--burst-loss": ("--burst-loss", "nan"),
    "--delay": ("--delay", "20"),
    "--jitter": ("--jitter", "1h"),
    "--rate": ("--rate", "fast"),
    "--seed": ("--seed", "1.5"),
    "--carrier": ("--raw", "--carrier", "pigeon"),
    "--carrier without --raw": ("--carrier", "udp"),
    "--file": ("--file", "/nonexistent/file"),
    "a directory as --file": ("--file", "/"),
    "an empty --file": ("--file", "/dev/null"),
    "--size with --file": ("--file", "README.md", "--size", "1k"),
    "--out": ("--out", "/dev/null/out"),
    "an unknown option": ("--lost", "5%"),
    "an argument": ("extra",),
    "a missing value": ("--seed",),
    "an option twice": ("--seed", "1", "--seed", "2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *WRONG[case]]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    named = next(part for part in WRONG[case] if part != "--raw")
    assert named in captured.err


@pytest.mark.parametrize("arguments", [("demonstrate",), ("--nope",)])
def test_an_unknown_command_is_status_2_and_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_gives_the_bound_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "10 seconds" in text
    assert "rawproto demo --json | jq .guarantees" in text


def test_version_and_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"
    assert main(["--help"]) == 0
    assert "Carry a file" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_captures_whatever_the_hash_seed(tmp_path: Path) -> None:
    for number, hash_seed in enumerate(("0", "4242")):
        done = run(*FAST, "--json", "--loss", "10%", "--out", str(tmp_path / str(number)), PYTHONHASHSEED=hash_seed)
        assert (done.returncode, done.stderr) == (0, "")
    for name in ("client.pcapng", "server.pcapng"):
        first, second = ((tmp_path / number / name).read_bytes() for number in ("0", "1"))
        assert first == second


def test_another_seed_gives_another_capture(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        assert main([*FAST, "--json", "--seed", seed, "--out", str(tmp_path / seed)]) == 0
    assert (tmp_path / "1/client.pcapng").read_bytes() != (tmp_path / "2/client.pcapng").read_bytes()


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rawproto.cli.demo.run_simulated", interrupt)
    assert main(FAST) == 130
    assert capsys.readouterr().err == "rawproto: interrupted\n"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_reader_that_goes_away_gives_no_traceback(arguments: tuple[str, ...], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from rawproto.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *FAST, "--out", str(tmp_path), *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == 1

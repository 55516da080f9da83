"""`rawproto demo --raw` as a user runs it: each road, what it leaves behind, and what happens when a side is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rawproto.testing.replay import replay

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("raw demo")]

COMMAND = [sys.executable, "-m", "rawproto", "demo", "--raw"]
TSHARK = shutil.which("tshark")
BAD = '_ws.malformed || ip.checksum.status == "Bad" || udp.checksum.status == "Bad" || icmpv6.checksum.status == "Bad"'
PATIENCE = 20.0


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children(parent: int) -> dict[str, int]:
    """The two processes of a running demo, by name."""
    found = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
            ppid = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has gone meanwhile
        if ppid == parent and b"rawproto.cli.realhost" in words:
            found[words[words.index(b"rawproto.cli.realhost") + 1].decode()] = int(directory.name)
    return found


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE} s"
        time.sleep(0.02)


def in_mid_transfer(demo: subprocess.Popen[str], out: Path) -> dict[str, int]:
    """Wait until both processes run and the server's capture grows."""
    capture = out / "server.pcapng"
    wait_for(lambda: len(children(demo.pid)) == 2, "the start of both processes")
    wait_for(lambda: capture.exists() and capture.stat().st_size > 100_000, "the transfer")
    return children(demo.pid)


def gone(processes: dict[str, int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in processes.values())


def namespace_of(pid: int) -> str:
    """The network namespace that a process is in; "" if it has gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def namespaces() -> set[str]:
    """The network namespaces that any process is in."""
    return {namespace_of(int(directory.name)) for directory in Path("/proc").iterdir() if directory.name.isdigit()}


@pytest.mark.parametrize("version", ["4", "6"])
@pytest.mark.parametrize("carrier", ["packet", "rawip", "udp"])
def test_each_road_carries_the_file_whole_and_leaves_clean_captures(tmp_path: Path, carrier: str, version: str) -> None:
    options = ["--carrier", carrier, "--size", "200KiB", "--loss", "2%", "--reorder", "0", "--duplicate", "0"]
    options += ["--corrupt", "0", "--delay", "1ms", "--json", *(["-6"] if version == "6" else [])]
    demo = start(tmp_path, *options)
    output, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors) == (0, "")
    result = json.loads(output)
    assert result["sha256_sent"] == result["sha256_received"]
    assert all(result["guarantees"].values())
    assert result["faults"]["loss"] > 0
    for capture in result["captures"]:
        assert replay(capture).counts.sent > 0
        if TSHARK is not None:
            checks = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y", BAD]
            done = subprocess.run([TSHARK, "-r", capture, *checks], capture_output=True, text=True, check=True)
            assert done.stdout == ""


@pytest.mark.parametrize("victim", ["server", "client"])
def test_a_side_whose_peer_is_killed_gives_up_in_time_and_says_why(tmp_path: Path, victim: str) -> None:
    demo = start(tmp_path, "--size", "20MiB", "--json")
    os.kill(in_mid_transfer(demo, tmp_path)[victim], signal.SIGKILL)
    output, errors = demo.communicate(timeout=15)  # the bound that --help states
    assert demo.returncode == 1
    assert len(errors.splitlines()) == 1
    assert "TimeoutError" in errors or "ConnectionResetError" in errors
    assert f"the {victim} failed: the process ended before the transfer did, by signal 9" in errors
    assert json.loads(output)["guarantees"]["connection_based"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    demo = start(tmp_path, "--size", "20MiB")
    processes = in_mid_transfer(demo, tmp_path)
    inside = {namespace_of(pid) for pid in processes.values()}
    assert len(inside) == 2
    assert namespace_of(os.getpid()) not in inside
    os.killpg(demo.pid, number)
    _, errors = demo.communicate(timeout=PATIENCE)
    assert demo.returncode != 0
    assert "Traceback" not in errors
    wait_for(lambda: gone(processes), "the end of both processes")
    # The kernel gives their numbers to new ones at once, so another process may be in one of that number for a while.
    wait_for(lambda: not namespaces() & inside, "the end of both namespaces")


def test_an_out_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    demo = start(path)
    _, errors = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 2
    assert len(errors.splitlines()) == 1
    assert str(path) in errors

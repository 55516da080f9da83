"""`rawproto scan` on real wires: the kernel on the other side answers, or is kept from it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rawproto.cli import main
from rawproto.link.guard import Flow, Guard
from rawproto.link.netns import Lab

pytestmark = pytest.mark.root

CODE = "import sys; from rawproto.cli import main; sys.exit(main())"
ADDRESSES = [("10.0.0.1/24", "10.0.0.2/24"), ("fd00::1/64", "fd00::2/64")]
HERE, THERE = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.0.0.2", 6: "fd00::2"}
LEFT_MAC, RIGHT_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
FAST = ["--timeout", "200ms", "--rate", "1000"]
OPEN, CLOSED, DROPPED = 80, 81, 82
SYN_RECEIVED = "03"


@pytest.fixture
def wire() -> Iterator[Lab]:
    """Addresses on both sides, ARP and neighbour discovery on."""
    with Lab(addresses=ADDRESSES, silent=False) as lab:
        yield lab


def scan(lab: Lab, *arguments: str) -> int:
    with lab.left.entered():
        return main(["scan", *arguments])


def found(lab: Lab, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """The hosts that a scan found, by address."""
    assert scan(lab, *arguments, "--json", *FAST) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return {host["address"]: host for host in json.loads(captured.out)["hosts"]}


@contextlib.contextmanager
def ports(lab: Lab, version: int) -> Iterator[None]:
    """On the right side one port is open, one closed, and of one nothing is ever heard."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with lab.right.entered(), socket.socket(family) as server:
        server.bind((THERE[version], OPEN))
        server.listen()
        with Guard([Flow(local=THERE[version], local_port=DROPPED, protocol=6)]):
            yield


@pytest.mark.parametrize(("version", "targets"), [(4, "10.0.0.0/29"), (6, "fd00::/125")])
def test_neighbours_are_found_with_their_macs(
    version: int, targets: str, wire: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = found(wire, capsys, targets, "--arp")
    assert {address: host["macs"][0]["mac"] for address, host in hosts.items()} == {
        HERE[version]: LEFT_MAC,
        THERE[version]: RIGHT_MAC,
    }
    assert hosts[HERE[version]]["reason"] == "this host"
    assert hosts[THERE[version]]["rtt_ns"] > 0


def test_arp_is_what_happens_by_default(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(wire, "10.0.0.0/29", *FAST) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["10.0.0.1", "this", "host", LEFT_MAC]
    assert lines[1].startswith("10.0.0.2  ARP reply in ")
    assert lines[1].endswith(RIGHT_MAC)
    assert lines[3].startswith("2 of 6 addresses answered, in ")


@pytest.mark.parametrize(("version", "targets"), [(4, "10.0.0.0/29"), (6, "fd00::/125")])
def test_an_echo_finds_hosts(version: int, targets: str, wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = found(wire, capsys, targets, "--icmp")
    assert set(hosts) == {HERE[version], THERE[version]}
    assert hosts[THERE[version]]["reason"] == "echo reply"


@pytest.mark.parametrize("version", [4, 6])
def test_a_port_is_open_closed_or_filtered(version: int, wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with ports(wire, version):
        hosts = found(wire, capsys, THERE[version], "--syn", "80-82")
    states = {port["port"]: (port["state"], port["reason"]) for port in hosts[THERE[version]]["ports"]}
    assert states == {OPEN: ("open", "SYN-ACK"), CLOSED: ("closed", "RST"), DROPPED: ("filtered", "no answer")}


@pytest.mark.parametrize("version", [4, 6])
def test_what_was_half_opened_is_closed_by_our_kernel(
    version: int, wire: Lab, until: Callable[[Callable[[], bool]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    table = Path("/proc/thread-self/net") / ("tcp" if version == 4 else "tcp6")

    def half_open() -> list[str]:
        with wire.right.entered():
            return [row for row in table.read_text().splitlines()[1:] if row.split()[3] == SYN_RECEIVED]

    with ports(wire, version):
        found(wire, capsys, THERE[version], "--syn", str(OPEN))
        until(lambda: not half_open())


@pytest.mark.parametrize("method", [["--icmp"], ["--syn", "81"]])
def test_a_broadcast_address_in_a_range_is_left_out(
    method: list[str], wire: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(found(wire, capsys, "10.0.0.2", "10.0.0.254-10.0.0.255", *method)) == {"10.0.0.2"}
    assert scan(wire, "10.0.0.255", *method) == 2
    assert capsys.readouterr().err == "rawproto: no way to 10.0.0.255: that is a broadcast address\n"


def test_ports_are_asked_of_hosts_that_were_found(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with ports(wire, 4):
        assert scan(wire, "10.0.0.0/29", "--arp", "--syn", "80,81", *FAST) == 0
    out = capsys.readouterr().out
    assert "  80/tcp  open    http  SYN-ACK in " in out
    assert out.endswith("Ports: 1 open, 3 closed, 0 filtered.\n")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_host_can_be_scanned(address: str, wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with wire.left.entered(), socket.socket(family) as server:
        server.bind((address, OPEN))
        server.listen()
        hosts = found(wire, capsys, address, "--syn", "80,81")
    assert [port["state"] for port in hosts[address]["ports"]] == ["open", "closed"]


def test_nobody_is_status_1(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(wire, "10.0.0.9", "--arp", *FAST) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("10.0.0.9  no answer\n")
    assert captured.err == "rawproto: no host answered\n"


def test_beyond_the_wire_it_takes_permission(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(wire, "10.0.1.1", "--icmp") == 2
    assert "--i-am-allowed" in capsys.readouterr().err
    assert scan(wire, "10.0.1.1", "--icmp", "--i-am-allowed") == 2
    assert capsys.readouterr().err == "rawproto: no way to 10.0.1.1: Network is unreachable\n"


@pytest.mark.parametrize("options", [["--arp"], ["--icmp", "--json"], ["--syn", "80"]])
def test_ctrl_c_shows_what_was_found_so_far(options: list[str], wire: Lab) -> None:
    # The first of these is this host, or the right one, and answers at once; the rest takes a minute.
    targets = ["10.0.0.2", "10.0.0.9-100"]
    code = f"""
import os, signal, sys
from rawproto.cli import main
from rawproto.sockets import sweep
class Interrupted(sweep.Sweep):
    def poll_events(self):
        events = super().poll_events()
        if events:
            os.kill(os.getpid(), signal.SIGINT)
        return events
import rawproto.cli._sweeping
rawproto.cli._sweeping.Sweep = Interrupted
sys.exit(main({["scan", *targets, *options, "--rate", "2"]!r}))
"""
    done = wire.left.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "rawproto: interrupted\n")
    assert "10.0.0.2" in done.stdout
    assert '"interrupted": true' in done.stdout or "Interrupted: that is not all." in done.stdout


def test_a_progress_bar_is_for_terminals_only(wire: Lab) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done = wire.left.run([sys.executable, "-c", CODE, "scan", "10.0.0.2", *FAST], **pipes)
    assert (done.returncode, done.stderr) == (0, "")

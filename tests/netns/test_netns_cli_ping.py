"""`rawproto ping` on real wires: the kernel on the other side answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from rawproto.cli import main
from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.wire.frame import Frame
from rawproto.wire.icmp import ICMPEcho
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
CODE = "import sys; from rawproto.cli import main; sys.exit(main())"
WITHOUT_PRIVILEGE = """
import contextlib, io, os, sys
from rawproto.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["ping", "127.0.0.1", "-c", "1"])
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(main(["ping", "127.0.0.1", "-c", "1"]))
"""
"""All is imported before: the interpreter may be where only root can read."""
FAST = ["-i", "1ms", "-W", "200ms"]
THERE = {"IPv4": "10.0.0.2", "IPv6": "fd00::2", "link-local": "fe80::2%veth0"}
ADDRESSES = [("10.0.0.1/24", "10.0.0.2/24"), ("fd00::1/64", "fd00::2/64"), ("fe80::1/64", "fe80::2/64")]


@pytest.fixture
def wire() -> Iterator[Lab]:
    with Lab(addresses=ADDRESSES) as lab:
        yield lab


def ping(lab: Lab, *arguments: str) -> int:
    with lab.left.entered():
        return main(["ping", *arguments])


@pytest.mark.parametrize("kind", THERE)
def test_each_request_has_its_reply(kind: str, wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert ping(wire, THERE[kind], "-c", "3", *FAST) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0].startswith(f"PING {THERE[kind]} from ")
    sender = THERE[kind].partition("%")[0]
    assert all(line.startswith(f"64 bytes from {sender}: icmp_seq=") for line in lines[1:4])
    assert lines[6].startswith("3 packets transmitted, 3 received, 0% packet loss")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1"])
def test_this_host_answers_itself(address: str, wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert ping(wire, address, "-c", "2", "--json", *FAST) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["transmitted"], report["received"], report["duplicates"]) == (2, 2, 0)


def test_the_round_trip_is_the_kernel_s(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    ping(wire, "10.0.0.2", "-c", "20", "--json", *FAST)
    times = json.loads(capsys.readouterr().out)["rtt_ns"]
    assert 0 < times["min"] <= times["avg"] <= times["max"]


def test_nobody_at_the_address_is_status_1(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert ping(wire, "10.0.0.9", "-c", "2", *FAST) == 1
    captured = capsys.readouterr()
    assert captured.out.count("no answer within 200 ms") == 2
    assert captured.err == "rawproto: 10.0.0.9 did not answer\n"


@pytest.mark.parametrize(("address", "why"), [("10.9.9.9", "Network is unreachable"), ("10.0.0.255", "broadcast")])
def test_no_way_to_the_address_is_status_2(
    address: str, why: str, wire: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ping(wire, address, "-c", "1") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"rawproto: no way to {address}: ")
    assert why in captured.err
    assert captured.err.count("\n") == 1


def test_a_router_s_error_is_told(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with wire.left.entered(), IPRoute() as netlink:
        netlink.route("add", dst="10.9.0.0/16", gateway="10.0.0.2")
    with wire.right.entered():
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    assert ping(wire, "10.9.9.9", "-c", "1", *FAST) == 1
    with wire.right.entered(), IPRoute() as netlink:
        netlink.route("add", dst="10.9.0.0/16", gateway="10.0.0.77")
    assert ping(wire, "10.9.9.9", "-c", "1", "--ttl", "1", *FAST) == 1
    out = capsys.readouterr().out
    assert "10.0.0.2: net unreachable (icmp_seq=1)\n" in out
    assert "10.0.0.2: TTL exceeded in transit (icmp_seq=1)\n" in out


def test_what_is_asked_for_is_on_the_wire(wire: Lab, gather: Gather) -> None:
    with wire.right.entered():
        link = PacketLink("veth0")
    with link:
        assert ping(wire, "10.0.0.2", "-c", "1", "--ttl", "9", "--dscp", "CS1", "--df", "-s", "100", *FAST) == 0
        packet = Packet.parse(gather(link, 1)[0])
    ip = packet[IPv4]
    assert (ip.ttl, ip.dscp, ip.flags, len(packet.payload)) == (9, 8, 2, 100)
    assert packet[ICMPEcho].type == 8
    assert packet.problems == ()


@pytest.mark.parametrize("kind", ["IPv4", "IPv6"])
def test_more_than_the_mtu_goes_in_fragments(
    kind: str, wire: Lab, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    with wire.right.entered():
        link = PacketLink("veth0")
    with link:
        assert ping(wire, THERE[kind], "-c", "1", "--size", "4000", *FAST) == 0
        frames = gather(link, 3)
    assert all(len(frame.data) <= 1514 for frame in frames)
    assert "4008 bytes from " in capsys.readouterr().out


def test_more_than_the_mtu_with_df_is_refused(wire: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert ping(wire, "10.0.0.2", "-c", "1", "--size", "4000", "--df", *FAST) == 1
    assert "a packet of 4028 bytes is over the MTU of veth0, 1500 bytes" in capsys.readouterr().out


@pytest.mark.parametrize(("address", "status"), [("10.0.0.2", 0), ("10.0.0.9", 1)])
def test_ctrl_c_ends_it_with_the_sum(address: str, status: int, wire: Lab) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", CODE, "ping", address, "-i", "1ms", "-W", "50ms"]
    with wire.left.popen(command, **pipes) as process:
        for _ in range(3):  # the head and two answers, or what was said of two that were lost
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert "packets transmitted" in out
    assert err == ("" if status == 0 else "rawproto: 10.0.0.9 did not answer\n")


def test_without_privilege_it_says_how_to_get_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PRIVILEGE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rawproto: a raw IP socket at 127.0.0.1 needs CAP_NET_RAW: run as root (sudo), or ")
    assert done.stderr.count("\n") == 1

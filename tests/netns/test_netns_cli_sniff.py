"""`rawproto sniff` on a real veth: each frame as it comes, the filter before the first, an end that loses nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rawproto.capture import open_capture
from rawproto.cli import main
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Direction
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

COMMAND = [sys.executable, "-W", "error", "-m", "rawproto", "sniff"]
HEADER = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
IP = IPv4(src="10.0.0.1", dst="10.0.0.2")
PATIENCE = 20


class Sniffer:
    """The command in the right namespace, once it listens, and a link on the left to send to it."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self.lab = lab
        self.stack = stack
        with lab.left.entered():
            self.link = stack.enter_context(PacketLink("veth0"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = self.lab.right.popen(
            [*COMMAND, "--iface", "veth0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
        self.stack.callback(self.end, process)
        assert process.stderr is not None
        assert "listening on veth0" in process.stderr.readline()
        return process

    def send(self, *packets: Packet) -> None:
        self.link.send([bytes(packet) for packet in packets], 0)

    @staticmethod
    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()


@pytest.fixture
def sniffer() -> Iterator[Sniffer]:
    with Lab() as lab, ExitStack() as stack:
        yield Sniffer(lab, stack)


def packet(number: int, **fields: Any) -> Packet:
    return HEADER / IP / UDP(sport=number, dport=9, **fields) / b"hello"


def finish(process: subprocess.Popen[str]) -> tuple[list[str], list[str]]:
    """What is left of its output and of its errors when it has ended by itself."""
    # Not `communicate`, which passes over what a `readline` has read ahead.
    assert process.stdout is not None
    assert process.stderr is not None
    lines, errors = process.stdout.read().splitlines(), process.stderr.read().splitlines()
    process.wait(PATIENCE)
    return lines, errors


def test_each_line_comes_at_once(sniffer: Sniffer) -> None:
    process = sniffer.start()
    assert process.stdout is not None
    for number in range(1, 4):
        sniffer.send(packet(number))
        assert select.select([process.stdout], [], [], PATIENCE)[0], "the line lies in a buffer"
        line = process.stdout.readline()
        assert line.partition("Z  ")[2] == f"IP 10.0.0.1.{number} > 10.0.0.2.9: UDP, length 5\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: signal.Signals, sniffer: Sniffer, tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    process = sniffer.start("-w", str(out))
    sniffer.send(*map(packet, range(1, 101)))
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(number)
    lines, errors = finish(process)
    assert process.returncode == 0
    assert len([first, *lines]) == 100
    assert errors == [f"rawproto: 100 packets, 100 written to {out}, 0 dropped by the kernel"]
    with open_capture(out) as reader:
        frames = list(reader)
    assert [frame.data for frame in frames] == [bytes(packet(number)) for number in range(1, 101)]
    assert {(frame.interface, frame.direction) for frame in frames} == {("veth0", Direction.INBOUND)}
    assert all(abs(frame.time_ns - time.time_ns()) < 60 * 10**9 for frame in frames)


def test_the_filter_is_in_force_before_the_first_frame(sniffer: Sniffer) -> None:
    process = sniffer.start("--filter", "udp dst port 53", "--count", "2", "--json")
    sniffer.send(*map(packet, range(50)), packet(1).replace(UDP, dport=53), *map(packet, range(50)))
    sniffer.send(packet(2).replace(UDP, dport=53))
    lines, errors = finish(process)
    assert [json.loads(line)["layers"][2]["sport"] for line in lines] == [1, 2]
    assert errors == ["rawproto: 2 packets, 0 dropped by the kernel"]


def test_a_vlan_tag_that_the_kernel_takes_out_is_there(sniffer: Sniffer) -> None:
    process = sniffer.start("--filter", "vlan 5 and udp", "--count", "1", "--json")
    sniffer.send(packet(1), HEADER / VLAN(vid=6) / packet(2).layers[1] / UDP(sport=2) / b"")
    sniffer.send(HEADER / VLAN(vid=5, pcp=3) / IP / UDP(sport=3, dport=9) / b"tagged")
    lines, _ = finish(process)
    found = json.loads(lines[0])
    assert [layer["name"] for layer in found["layers"]] == ["ethernet", "vlan", "ipv4", "udp"]
    assert (found["layers"][1]["vid"], found["layers"][1]["pcp"]) == (5, 3)
    assert found["checksums"] == {"ipv4": "ok", "udp": "ok"}


def test_a_filter_that_the_kernel_can_not_run_holds_as_well(sniffer: Sniffer) -> None:
    process = sniffer.start("--filter", "ether[11:2] = 0x0108", "--count", "1", "--time", "none")
    sniffer.send(packet(1).replace(Ethernet, src="02:00:00:00:00:07"), packet(2))
    lines, _ = finish(process)
    assert lines == ["     1  IP 10.0.0.1.2 > 10.0.0.2.9: UDP, length 5"]


def test_what_this_host_sends_is_told_too(sniffer: Sniffer) -> None:
    process = sniffer.start("--count", "1", "-v")
    with sniffer.lab.right.entered(), PacketLink("veth0") as link:
        link.send([bytes(packet(1))], 0)
    lines, _ = finish(process)
    assert lines[1] == "        frame: 47 bytes, ethernet, veth0, outbound"


def test_frames_for_others_are_seen_unless_it_is_not_promiscuous(
    sniffer: Sniffer, until: Callable[[Callable[[], bool]], None]
) -> None:
    def flags() -> int:
        text = sniffer.lab.right.run([sys.executable, "-c", FLAGS], capture_output=True, text=True, check=True).stdout
        return int(text, 16)

    process = sniffer.start("--count", "1")
    assert flags() & IFF_PROMISC
    sniffer.send(packet(1))
    finish(process)
    until(lambda: not flags() & IFF_PROMISC)
    process = sniffer.start("--count", "1", "--no-promiscuous")
    assert not flags() & IFF_PROMISC
    sniffer.send(packet(1))
    finish(process)


IFF_PROMISC = 0x100
FLAGS = """


from pyroute2 import IPRoute
with IPRoute() as netlink:
    print(hex(0x100 * bool(netlink.get_links(ifname="veth0")[0].get_attr("IFLA_PROMISCUITY"))))
"""


def test_a_burst_while_it_prints_is_not_lost(sniffer: Sniffer) -> None:
    process = sniffer.start("--count", "50000", "--json")
    for start in range(0, 50_000, 1000):
        sniffer.send(*[packet(start % 60_000)] * 1000)
    lines, errors = finish(process)
    assert len(lines) == 50_000
    assert errors == ["rawproto: 50000 packets, 0 dropped by the kernel"]


def test_a_reader_that_goes_away_ends_it(sniffer: Sniffer, tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    process = sniffer.start("-w", str(out))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    sniffer.send(packet(1))
    sniffer.send(packet(2))
    assert process.wait(PATIENCE) == 1
    assert process.stderr.read().count("\n") == 1
    with open_capture(out) as reader:
        assert len(list(reader)) >= 1


def test_an_interface_that_goes_down_is_status_1(sniffer: Sniffer) -> None:
    process = sniffer.start("--quiet")
    code = "from pyroute2 import IPRoute\nwith IPRoute() as n: n.link('set', ifname='veth0', state='down')"
    sniffer.lab.right.run([sys.executable, "-c", code], check=True)
    _, errors = finish(process)
    assert process.returncode == 1
    assert errors[0] == "rawproto: 0 packets, 0 dropped by the kernel"
    assert errors[1].startswith("rawproto: interface veth0 went down")


def test_on_the_loopback_each_packet_is_told_once() -> None:
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 9))"
    command = [*COMMAND, "--filter", "udp", "--seconds", "1", "--time", "none"]
    with (
        Namespace() as namespace,
        namespace.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert "listening on lo, udp" in process.stderr.readline()  # no route there: the loopback is chosen
        namespace.run([sys.executable, "-c", code], check=True)
        lines, _ = finish(process)
    assert len(lines) == 1
    assert lines[0].endswith("> 127.0.0.1.9: UDP, length 1")


def test_an_interface_without_ethernet_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from rawproto.link.tun import TunLink

    with Namespace() as namespace, namespace.entered(), TunLink("tun7"):
        assert main(["sniff", "--iface", "tun7"]) == 2
    assert "tun7 has no Ethernet frames" in capsys.readouterr().err


def test_without_the_capability_it_says_what_is_missing() -> None:
    command = ["setpriv", "--bounding-set", "-net_raw", *COMMAND, "--iface", "lo"]
    with Namespace() as namespace:
        done = namespace.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rawproto: ")
    assert "CAP_NET_RAW" in done.stderr
    assert done.stderr.count("\n") == 1


def test_tcp_is_told_with_its_flags(sniffer: Sniffer) -> None:
    process = sniffer.start("--count", "1", "--time", "none")
    sniffer.send(HEADER / IP / TCP(sport=1, dport=80, flags=0x02) / b"")
    assert finish(process)[0] == ["     1  IP 10.0.0.1.1 > 10.0.0.2.80: Flags [S], seq 0, win 65535, length 0"]

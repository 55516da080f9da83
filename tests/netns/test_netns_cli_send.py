"""`rawproto send` on a real veth: what leaves is what was asked for, by each of the roads."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rawproto.capture import PcapWriter
from rawproto.cli import main
from rawproto.cli._outgoing import PacketStream, Target, open_link
from rawproto.link.base import Link
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.wire.expression import parse_expression
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.reassembly import Reassembler
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
IP = 'IPv4(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=1, dport=9) / b"hello"'
EXPRESSION = f'Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / {IP}'


@pytest.fixture
def right(lab: Lab) -> Iterator[PacketLink]:
    """The far end of the wire; the tests' own thread is in the left namespace."""
    with ExitStack() as stack:
        with lab.right.entered():
            link = stack.enter_context(PacketLink("veth0"))
        stack.enter_context(lab.left.entered())
        yield link


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["send", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found: dict[str, Any] = json.loads(captured.out)
    return found


def test_frames_leave_as_they_were_written(
    right: PacketLink, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, EXPRESSION, "--iface", "veth0", "--count", "3")
    assert [frame.data for frame in gather(right, 3)] == [bytes(parse_expression(EXPRESSION))] * 3
    assert (found["frames"], found["interface"]) == (3, "veth0")


def test_many_frames_leave_in_order_with_right_checksums(
    right: PacketLink, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    report(capsys, EXPRESSION, "--iface", "veth0", "--vary", "udp.sport=0-4999")
    packets = [Packet.parse(frame) for frame in gather(right, 5000)]
    assert [packet[UDP].sport for packet in packets] == list(range(5000))
    assert all(packet.checksums["UDP"] == "ok" for packet in packets)


def test_the_kernel_routes_and_resolves_ip_packets(
    right: PacketLink, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    report(capsys, IP, "--link", "rawip", "--vary", "udp.dport=9-11")
    packets = [Packet.parse(frame) for frame in gather(right, 3)]
    assert [packet[UDP].dport for packet in packets] == [9, 10, 11]
    assert {(packet[IPv4].src, packet[IPv4].id) for packet in packets} == {("10.0.0.1", 7)}


def test_ipv6_packets_are_routed_too(right: PacketLink, gather: Gather, capsys: pytest.CaptureFixture[str]) -> None:
    report(capsys, 'IPv6(src="fd00::1", dst="fd00::2", hop_limit=9) / UDP(dport=9)', "--link", "rawip")
    packet = Packet.parse(gather(right, 1)[0])
    assert (packet[IPv6].dst, packet[IPv6].hop_limit) == ("fd00::2", 9)


def test_a_dry_run_says_what_the_kernel_will_change(right: PacketLink, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, 'IPv4(dst="10.0.0.2") / UDP()', "--link", "rawip", "--dry-run")
    assert {change["field"] for change in found["kernel"]["changes"]} == {"id", "checksum"}
    assert right.receive(0) == []


def test_datagrams_by_udp(right: PacketLink, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with lab.right.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind(("10.0.0.2", 9))
        receiver.settimeout(5)
        report(capsys, 'IPv4(dst="10.0.0.2") / UDP(sport=1, dport=9) / b"hello"', "--link", "udp", "--count", "2")
        assert [receiver.recvfrom(100) for _ in range(2)] == [(b"hello", ("10.0.0.1", 1))] * 2


def test_a_capture_leaves_in_its_rhythm(
    right: PacketLink, gather: Gather, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "three.pcap"
    data = bytes(parse_expression(EXPRESSION))
    with PcapWriter(path) as writer:
        for time_ns in (0, 20_000_000, 60_000_000):
            writer.write(Frame(data, 10**18 + time_ns))
    found = report(capsys, str(path), "--iface", "veth0")
    frames = gather(right, 3)
    assert [frame.data for frame in frames] == [data] * 3
    assert (found["unit"], found["requested"]) == ("x", 1.0)


def test_a_capture_of_ip_packets_is_routed(
    right: PacketLink, gather: Gather, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "raw.pcap"
    with PcapWriter(path, LinkType.RAW) as writer:
        for number in range(3):
            packet = parse_expression(IP).replace(UDP, dport=number)
            writer.write(Frame(bytes(packet), number * 1_000_000, LinkType.RAW))
    report(capsys, str(path), "--link", "rawip", "--loop", "2", "--topspeed")
    assert [Packet.parse(frame)[UDP].dport for frame in gather(right, 6)] == [0, 1, 2] * 2


def test_what_is_over_the_mtu_goes_out_in_fragments_if_asked(
    right: PacketLink, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    large = EXPRESSION + " * 1000"
    assert main(["send", large, "--iface", "veth0"]) == 2
    assert "over the MTU" in capsys.readouterr().err
    found = report(capsys, large, "--iface", "veth0", "--oversize", "fragment")
    assert found["wire_frames"] == 4
    reassembler = Reassembler()
    whole = [packet for frame in gather(right, 4) if (packet := reassembler.add(frame, 0)) is not None]
    assert [Packet.parse(one).payload for one in whole] == [b"hello" * 1000]


def test_what_comes_in_meanwhile_costs_nothing(right: PacketLink) -> None:
    stream = PacketStream(parse_expression(EXPRESSION), (), 1, "packet")
    with open_link("packet", "veth0", stream, Target()) as link:
        right.send([bytes(parse_expression(EXPRESSION))] * 10, 0)
        assert link.receive(0) == []


def test_ctrl_c_ends_an_endless_run_with_its_report(gather: Gather) -> None:
    command = [sys.executable, "-m", "rawproto", "send", EXPRESSION, "--iface", "veth0", "--json"]
    command += ["--count", "0", "--rate", "2k/s"]
    with Lab() as lab, ExitStack() as stack:
        with lab.right.entered():
            link = stack.enter_context(PacketLink("veth0"))
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = stack.enter_context(lab.left.popen(command, start_new_session=True, **pipes))
        stack.callback(process.kill)
        count = len(gather(link, 20))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert errors == "rawproto: interrupted\n"
        found = json.loads(output)
        assert found["stopped"] is True
        while frames := link.receive(0):
            count += len(frames)
        assert found["frames"] == count


def test_without_the_capability_it_says_what_is_missing() -> None:
    command = ["setpriv", "--bounding-set", "-net_raw", sys.executable, "-m", "rawproto", "send", EXPRESSION]
    with Namespace() as namespace:
        done = namespace.run([*command, "--iface", "lo"], capture_output=True, text=True, check=False)
        dry = namespace.run([*command, "--iface", "lo", "--dry-run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "CAP_NET_RAW" in done.stderr
    assert done.stderr.count("\n") == 1
    assert dry.returncode == 0
    assert "would send 1 frame" in dry.stdout


def test_what_the_kernel_would_write_itself_is_refused_with_udp(
    right: PacketLink, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", 'Ethernet() / IPv4(dst="10.0.0.2", ttl=3) / UDP(dport=9, checksum=1)', "--link", "udp"]) == 2
    told = capsys.readouterr().err
    assert "Ethernet, IPv4(ttl=3), UDP(checksum=0x0001) would be lost" in told
    assert right.receive(0) == []


@pytest.mark.parametrize(
    "packet", ['IPv4(dst="10.0.0.2") / UDP(dport=9) / b"hi"', 'IPv6(dst="fd00::2") / UDP(dport=9) / b"hi"']
)
def test_a_source_left_out_is_the_routes_and_the_checksum_covers_it(
    packet: str, right: PacketLink, gather: Gather, capsys: pytest.CaptureFixture[str]
) -> None:
    report(capsys, packet, "--link", "rawip")
    arrived = Packet.parse(gather(right, 1)[0])
    network = arrived.get(IPv4) or arrived[IPv6]
    assert network.src in ("10.0.0.1", "fd00::1")
    assert arrived.checksums["UDP"] == "ok"

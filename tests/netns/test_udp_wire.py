"""UdpLink on a real veth: what the offloads must not change, and what ICMP brings back."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.udp import UdpLink
from rawproto.wire.frame import Frame

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
ENDS = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}


def pair(lab: Lab, version: int) -> tuple[UdpLink, UdpLink]:
    left, right = ENDS[version]
    with lab.left.entered():
        sender = UdpLink(left)
    with lab.right.entered():
        return sender, UdpLink(right)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("offloads", [True, False])
def test_datagrams_keep_their_boundaries(gather: Gather, version: int, offloads: bool) -> None:
    sizes = [1400] * 100 + [900, 1400, 1400, 0, 5, 5, 5, 6, 1452, 1] + [100] * 65
    sent = [bytes([number & 0xFF]) * size for number, size in enumerate(sizes)]
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24"), ("fd00::1/64", "fd00::2/64")], offloads=offloads) as lab:
        sender, receiver = pair(lab, version)
        with sender, receiver:
            sender.send(sent, 0, peer=receiver.host)
            frames = gather(receiver, len(sent))
    assert [frame.data for frame in frames] == sent
    host = ENDS[version][0]
    assert {frame.peer for frame in frames} == {f"[{host}]:25300" if version == 6 else f"{host}:25300"}


@pytest.mark.parametrize("version", [4, 6])
def test_a_run_crosses_as_one_super_frame_where_the_device_cuts_it(lab: Lab, gather: Gather, version: int) -> None:
    sender, receiver = pair(lab, version)
    with lab.right.entered():
        wire = PacketLink("veth0")
    with sender, receiver, wire:
        sender.send([bytes(1000)] * 40, 0, peer=receiver.host)
        assert len(gather(receiver, 40)) == 40
        assert len(wire.receive(0)) == 1


@pytest.mark.rdt("4-8")
@pytest.mark.parametrize("version", [4, 6])
def test_a_port_that_nobody_holds_is_counted_and_breaks_nothing(
    lab: Lab, gather: Gather, until: Callable[[Callable[[], bool]], None], version: int
) -> None:
    sender, receiver = pair(lab, version)
    there = f"[{receiver.host}]:" if version == 6 else f"{receiver.host}:"
    with sender, receiver:
        sender.send([b"nobody"], 0, peer=there + "9")
        sender.send([b"a", b"bb", b"bb"], 0, peer=receiver.host)
        assert [frame.data for frame in gather(receiver, 3)] == [b"a", b"bb", b"bb"]
        sender.send([b"nobody"], 0, peer=there + "9")
        receiver.send([b"answer"], 0, peer=sender.host)
        assert [frame.data for frame in gather(sender, 1)] == [b"answer"]
        until(lambda: not sender.receive(0) and sender.refused == 2)
        assert sender.unreachable == 0


@pytest.mark.rdt("4-2", "4-5")
@pytest.mark.parametrize("version", [4, 6])
def test_on_wire_gives_the_packet_that_the_wire_had(gather: Gather, version: int) -> None:
    ends = ENDS[version]
    prefix = 24 if version == 4 else 64
    with Lab(addresses=[(f"{ends[0]}/{prefix}", f"{ends[1]}/{prefix}")], offloads=False) as lab:
        sender, receiver = pair(lab, version)
        with lab.right.entered():
            wire = PacketLink("veth0")
        with sender, receiver, wire:
            sender.send([b"odd"], 0, peer=receiver.host)
            real = bytearray(gather(wire, 1)[0].data[14:])
            out, _ = sender.on_wire(b"odd", peer=receiver.host, outbound=True)
            back, _ = receiver.on_wire(b"odd", peer=gather(receiver, 1)[0].peer, outbound=False)
    if version == 6:
        real[1:4] = bytes(3)  # the kernel invents a flow label
    else:
        real[4:6], real[10:12] = out[4:6], out[10:12]  # and an identification, which the checksum covers
    assert out == back == bytes(real)


@pytest.mark.tshark
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("version", [4, 6])
def test_tshark_finds_the_rebuilt_headers_right(lab: Lab, tmp_path: Path, version: int) -> None:
    sender, receiver = pair(lab, version)
    with sender, receiver:
        packet, linktype = sender.on_wire(b"hello", peer=receiver.host, outbound=True)
    capture = tmp_path / "one.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, linktype)
    capture.write_bytes(header + struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
    options = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    fields = ["udp.srcport", "udp.dstport", "udp.length", "udp.checksum.status", "_ws.expert"]
    command = ["tshark", "-r", str(capture), *options, "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n").split("\t")
    assert told[:4] == ["25300", "25300", "13", "1"]
    assert "ad" not in told[4]

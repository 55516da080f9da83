"""`transmit` over a real wire: all of it arrives, in order, whatever the pace; the user may interrupt."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from rawproto.link.base import Link
from rawproto.link.netns import Lab
from rawproto.link.pacer import Pacer
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.sockets.transmit import transmit
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame
from rawproto.wire.ipv4 import IPv4

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
HEADER = bytes(Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"))
MILLISECOND = 1_000_000


@pytest.fixture
def ends(lab: Lab) -> Iterator[tuple[PacketLink, PacketLink]]:
    with ExitStack() as stack:
        with lab.left.entered():
            left = stack.enter_context(PacketLink("veth0"))
        with lab.right.entered():
            right = stack.enter_context(PacketLink("veth0"))
        yield left, right


def numbered(count: int) -> list[bytes]:
    return [HEADER + number.to_bytes(46) for number in range(count)]


@pytest.mark.parametrize("pacer", [lambda: Pacer.rate(100_000), lambda: Pacer.bits(10**8), lambda: None])
def test_all_frames_arrive_in_order(
    ends: tuple[PacketLink, PacketLink], gather: Gather, pacer: Callable[[], Pacer | None]
) -> None:
    left, right = ends
    frames = numbered(5000)
    report = transmit(left, iter(frames), pacer())
    assert (report.frames, report.bytes, report.stopped) == (5000, 300_000, False)
    assert [frame.data for frame in gather(right, 5000)] == frames
    assert right.drops() == 0


def test_no_frame_leaves_before_its_time(ends: tuple[PacketLink, PacketLink], gather: Gather) -> None:
    """By the kernel's clock at the other end, against the gaps of a capture at double speed; one goes backwards."""
    left, right = ends
    times = [0, 4 * MILLISECOND, 3 * MILLISECOND, 30 * MILLISECOND, 30 * MILLISECOND]
    begin = 0

    def frames() -> Iterator[bytes]:
        nonlocal begin
        (probe,) = gather(right, 1)  # so that the clock is the receiver's
        begin = probe.time_ns
        yield from numbered(5)

    left.send(numbered(1), 0)
    report = transmit(left, frames(), Pacer.times(times, 2))
    due = [
        0,
        2 * MILLISECOND,
        2 * MILLISECOND,
        15 * MILLISECOND + MILLISECOND // 2,
        15 * MILLISECOND + MILLISECOND // 2,
    ]
    arrived = [frame.time_ns - begin for frame in gather(right, 5)]
    assert all(came >= wanted for came, wanted in zip(arrived, due, strict=True))
    assert report.backward_times == 1
    assert report.elapsed_ns >= due[-1]


def test_an_endless_stream_is_ended_by_stop(ends: tuple[PacketLink, PacketLink]) -> None:
    left, _ = ends
    told: list[int] = []

    def stop() -> bool:
        return len(told) == 2

    endless = (HEADER + number.to_bytes(46) for number in itertools.count())
    report = transmit(left, endless, Pacer.rate(2000), stop=stop, on_progress=lambda report: told.append(report.frames))
    assert report.stopped
    assert 0 < told[0] < told[1] == report.frames


def test_raw_ip_and_udp_links_are_paced_alike(lab: Lab, gather: Gather) -> None:
    with ExitStack() as stack:
        with lab.left.entered():
            raw, udp = stack.enter_context(RawIpLink("10.0.0.1")), stack.enter_context(UdpLink("10.0.0.1", 7))
        with lab.right.entered():
            raw_end, udp_end = stack.enter_context(RawIpLink("10.0.0.2")), stack.enter_context(UdpLink("10.0.0.2", 7))
        packets = [
            bytes(IPv4(src="10.0.0.1", dst="10.0.0.2", id=number + 1, protocol=253) / b"data") for number in range(99)
        ]
        assert transmit(raw, packets, Pacer.rate(50_000)).frames == 99
        assert [frame.data for frame in gather(raw_end, 99)] == packets
        assert transmit(udp, packets, Pacer.rate(50_000), peer="10.0.0.2:7").frames == 99
        assert [frame.data for frame in gather(udp_end, 99)] == packets


def test_the_user_interrupts_and_gets_the_report(lab: Lab) -> None:
    program = """
import itertools
from rawproto.link.packet import PacketLink
from rawproto.link.pacer import Pacer
from rawproto.sockets.transmit import TransmitInterrupted, transmit
def frames():
    for number in itertools.count():
        if number == 50:
            print("going", flush=True)
        yield bytes(60)
with PacketLink("veth0") as link:
    try:
        transmit(link, frames(), Pacer.rate(1000))
    except TransmitInterrupted as interrupted:
        print(interrupted.report.frames >= 40, interrupted.report.stopped)
"""
    command = [sys.executable, "-W", "error", "-c", program]
    with lab.left.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGINT)
        out, complaint = process.communicate()
    assert (out, complaint) == ("True True\n", "")

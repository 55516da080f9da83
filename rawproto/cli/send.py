"""`rawproto send`: put a packet or a capture on the wire, at a rate, with fields that vary."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from fractions import Fraction
from typing import Annotated

from rawproto.cli import FailedError, UsageError
from rawproto.cli._material import CaptureFile, packet_of, understand
from rawproto.cli._options import flag, interface, parse_count_or_endless, plain_words, several, unit, words
from rawproto.cli._outgoing import CaptureStream, CountingLink, Outgoing, PacketStream, Road, Target, open_link, shaped
from rawproto.cli._quantities import time_within
from rawproto.cli._rates import Rate, parse_pace, parse_speed
from rawproto.cli._sent import show_plan, show_report
from rawproto.cli._signals import stop_signals
from rawproto.cli._vary import Variation, parse_variation
from rawproto.errors import LinkError, PrivilegeError
from rawproto.link.base import Link
from rawproto.link.fitting import FittingLink, Oversize
from rawproto.link.pacer import Pacer, PacerReport
from rawproto.sockets.transmit import TransmitInterrupted, transmit
from rawproto.wire.packet import Packet

__all__ = ["send"]

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
REDRAW_CALLS = 5
"""`transmit` reports ten times a second. Drawing takes milliseconds, in which nothing is sent: at twice a second, less
than one frame in a hundred waits for it."""


def send(
    *what: Annotated[str, words("WHAT")],
    iface: Annotated[str | None, interface()] = None,
    link: Road = "packet",
    to: Annotated[str | None, unit(str, "HOST:PORT")] = None,
    count: Annotated[int | None, unit(parse_count_or_endless, "N", "--count", "-c")] = None,
    vary: Annotated[tuple[Variation, ...], several(parse_variation, "FIELD=VALUES")] = (),
    rate: Annotated[Rate | None, unit(parse_pace, "RATE")] = None,
    interval: Annotated[int | None, unit(time_within(1000, HOUR), "TIME")] = None,
    speed: Annotated[Fraction | None, unit(parse_speed, "FACTOR")] = None,
    topspeed: Annotated[bool, flag()] = False,
    loop: Annotated[int | None, unit(parse_count_or_endless, "N")] = None,
    oversize: Oversize = "error",
    dry_run: Annotated[bool, flag()] = False,
    as_object: Annotated[bool, flag("--json")] = False,
) -> int:
    """Put a packet on the wire, as often and as fast as asked, or the frames of a capture in their own rhythm.

    WHAT is a packet written out as in Python, bytes in hexadecimal, or a capture. Lengths, checksums and types that are
    left out of a packet are worked out; numbers are sent exactly as they are given. At the end it is said how many
    frames were sent, at which rate, and how late. If anything is wrong with the call, nothing is sent.

    Packets go as fast as the link takes them unless --rate or --interval is given, those of a capture at its own times.
    Ctrl-C ends it.

    Exit status: 0, 1 if sending failed, 2 for a wrong call or without the privilege, 130 after Ctrl-C.

    Examples:

    ```
    sudo rawproto send 'Ethernet(dst="02:00:00:00:00:02") / IPv4(dst="10.0.0.2") / UDP(dport=9) / b"hi"' --iface veth0
    sudo rawproto send 'IPv4(dst="10.0.0.2") / TCP(dport=80, flags=SYN)' --link rawip --vary tcp.sport=1000-2000
    sudo rawproto send 'Ethernet() / ARP(target_ip="10.0.0.9")' --iface eth0 --count 10 --interval 100ms
    sudo rawproto send trace.pcapng --iface veth0 --speed 2x --loop 3
    rawproto send 'IPv4(dst="127.0.0.1") / UDP(dport=9) / b"no root needed"' --link udp --rate 1000/s --count 5000
    sudo rawproto send trace.pcap --iface eth0 --topspeed --oversize skip --dry-run
    ```

    Parameters
    ----------
    what
        A packet, as `rawproto explain` takes it; FILE for a capture; - for one of these on standard input.
    iface
        The interface to send through, with --link packet.
    link
        The road: packet for whole Ethernet frames (AF_PACKET), rawip for IP packets that the kernel routes (SOCK_RAW),
        udp for datagrams of an ordinary socket, which need no privilege.
    to
        With --link udp, where bytes go that have no IP and UDP header of their own.
    count
        Stop after this many frames; 0 goes on until Ctrl-C. By default 1, with --vary each combination once.
    vary
        A field and the values that it takes in turn: tcp.sport=1000-2000, ipv4.src=10.0.0.0/24, udp.dport=53,123,
        ipv4.id=0-60000/7 (a step), payload[0:4]=0-99. Several give all combinations, the last one changing fastest.
    rate
        Frames a second, 1000/s or 10k/s, or bits a second, 10mbit.
    interval
        Time from frame to frame: 1ms, 0.5 (seconds).
    speed
        Of a capture, how many times as fast as it was recorded: 2x, 0.5x.
    topspeed
        As fast as the link takes them.
    loop
        Send a capture this often; 0 goes on until Ctrl-C.
    oversize
        What becomes of a frame over the MTU: nothing is sent at all, it is skipped, or goes out in IP fragments.
    dry_run
        Send nothing: show the first packets, and what the kernel would change.
    as_object
        Print the report as a JSON object.
    """
    stream, target = _stream(what, link, to or "", count, vary, loop)
    if isinstance(stream, PacketStream) and speed is not None:
        raise UsageError(f"--speed {float(speed):g}x is for a capture, which has times of its own: give --rate")
    pacer = _pacer(stream, rate, interval, speed, topspeed=topspeed)
    with ExitStack() as stack:
        try:
            road: Link | None = stack.enter_context(open_link(link, iface, stream, target))
        except PrivilegeError as error:
            if not dry_run:
                raise UsageError(error.strerror) from None
            road = None
        except LinkError as error:
            raise UsageError(error.strerror or str(error)) from None
        wrong = stream.fits(road.mtu) if road is not None and oversize == "error" else ""
        if wrong:
            raise UsageError(wrong)
        if dry_run or road is None:
            show_plan(stream, road, pacer, as_object=as_object)
            return 0
        counting = CountingLink(road)
        fitting = FittingLink(counting, oversize, identification=random.randrange(1, 1 << 16))
        _run(fitting, counting, stream, pacer, target.peer, as_object=as_object)
    return 0


def _stream(
    what: Sequence[str], road: Road, to: str, count: int | None, vary: Sequence[Variation], loop: int | None
) -> tuple[Outgoing, Target]:
    """What is to be sent, and for UDP where to."""
    found = understand(plain_words(what, "send"))
    if isinstance(found, CaptureFile):
        if found.number is None:
            if vary or to:
                raise UsageError(f"{'--vary' if vary else '--to'} is for a packet, and {found.name} is a capture")
            return CaptureStream(found, road, loop=1 if loop is None else loop, count=count or None), Target()
        found = _captured(found, found.number)
    if loop is not None:
        raise UsageError(f"--loop {loop} is for a capture, and this is a packet: give --count")
    packet, target = shaped(found, road, to)
    return PacketStream(packet, vary, count, road), target


def _captured(file: CaptureFile, number: int) -> Packet | bytes:
    """One packet of a capture."""
    frame = packet_of(file, number)
    if len(frame.data) < frame.wire_length:
        raise UsageError(f"{file.name}:{number} was cut by the recorder: give a whole packet")
    packet = Packet.parse(frame)
    return packet if packet.layers else frame.data


def _pacer(
    stream: Outgoing, rate: Rate | None, interval: int | None, speed: Fraction | None, *, topspeed: bool
) -> Pacer | None:
    """When each frame leaves; None for as fast as they go."""
    if sum(option is not None for option in (rate, interval, speed)) + topspeed > 1:
        raise UsageError("--rate, --interval, --speed and --topspeed exclude each other: give one of them")
    if topspeed:
        return None
    if interval is not None:
        return Pacer.rate(Fraction(SECOND, interval))
    if rate is not None:
        return Pacer.rate(rate.value) if rate.unit == "frames" else Pacer.bits(rate.value)
    return stream.rhythm(speed or Fraction(1))


def _run(
    link: FittingLink, wire: CountingLink, stream: Outgoing, pacer: Pacer | None, peer: str, *, as_object: bool
) -> None:
    """Send it, and report. Raises FailedError where that fails, and KeyboardInterrupt after the report."""
    watched = not as_object and sys.stderr.isatty()
    with _progress(stream.total) if watched else nullcontext() as on_progress, stop_signals() as stop:
        try:
            report = transmit(link, stream, pacer, peer=peer, on_progress=on_progress, stop=lambda: stop.asked)
        except TransmitInterrupted as interrupt:  # it had to be asked twice
            report = interrupt.report
        except (LinkError, FailedError) as error:
            text = error.strerror if isinstance(error, LinkError) else str(error)
            raise FailedError("; ".join([text or str(error), *getattr(error, "__notes__", ())])) from None
        if on_progress is not None:
            on_progress(report)
    show_report(report, link, wire, stream, as_object=as_object)
    if report.stopped:
        sys.stdout.flush()
        raise KeyboardInterrupt


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[PacerReport], object]]:
    """A bar on standard error, drawn between two calls of the link."""
    from rich.console import Console  # noqa: PLC0415 - a quarter of the start-up time, for terminals only
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    calls = 0
    # Drawn by itself it would be a second thread, which keeps this one waiting.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("frames", total=total)

        def redraw(report: PacerReport) -> None:
            nonlocal calls
            calls += 1
            rate = report.frames_per_second or 0.0
            bar.update(task, completed=report.frames, description=f"frames, {rate:,.0f}/s")
            if calls % REDRAW_CALLS == 0:
                bar.refresh()

        yield redraw
        bar.refresh()

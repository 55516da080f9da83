"""A packet as text: the line that tells it, much as tcpdump does, the block that tells all of it, its JSON object."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from rawproto.capture.journal import read_call
from rawproto.errors import CaptureError
from rawproto.interop.upper import Upper, scapy_summary, upper_of
from rawproto.wire.frame import Direction, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT
from rawproto.wire.record import record
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["Lines", "Style", "TimeStyle", "told_above"]

TimeStyle = Literal["relative", "absolute", "delta", "none"]
SECOND = 1_000_000_000
INDENT = "        "
NUMBER_WIDTH = 6
LONGEST_OPTION = 120
encode = json.JSONEncoder(separators=(",", ":")).encode


class Style(NamedTuple):
    """How packets are to be told."""

    time: TimeStyle = "relative"
    verbose: bool = False
    as_object: bool = False
    scapy: bool = False
    """Have scapy tell what we can't read, without `verbose` too."""


class Lines:
    """Writes the text for one packet after another of one source.

    `name` is put before the numbers, where there are several sources.
    """

    def __init__(self, style: Style, name: str = "") -> None:
        self.style = style
        self.name = name
        self.begin: int | None = None
        """The time of the source's first packet in ns, from which relative times count."""
        self._previous: int | None = None
        self._second = -1
        self._second_text = ""

    def of(self, frame: Frame, number: int) -> str:
        """The text, without a line end behind it."""
        packet = Packet.parse(frame)
        return self._object(packet, frame, number) if self.style.as_object else self._text(packet, frame, number)

    def _object(self, packet: Packet, frame: Frame, number: int) -> str:
        found = record(packet, frame, number)
        above = told_above(packet, frame)
        if above is not None:
            found["upper"] = above._asdict()
        if self.style.scapy and not _is_spoken(packet, above):
            found["scapy"] = scapy_summary(frame) or None
        if self.name:
            found["file"] = self.name
        return encode(found)

    def _text(self, packet: Packet, frame: Frame, number: int) -> str:
        style = self.style
        above = told_above(packet, frame)
        told = self._summary(packet, frame, above)
        foreign = scapy_summary(frame) if (style.scapy or style.verbose) and not _is_spoken(packet, above) else ""
        if foreign and not style.verbose:
            told += f" (scapy: {foreign})"
        where = f"{self.name}:{number}" if self.name else f"{number:{NUMBER_WIDTH}}"
        line = f"{where}  {self._time(frame.time_ns)}{told}"
        if not style.verbose:
            return line
        block = list(_block(packet, frame))
        if foreign:
            block.append(f"scapy: {foreign}")
        return f"\n{INDENT}".join([line, *block])

    def _summary(self, packet: Packet, frame: Frame, above: Upper | None) -> str:
        problems = packet.problems
        if problems and problems[0].rule == "unsupported":
            name = frame.linktype.name.lower().replace("_", " ")
            return f"{above.protocol}: {above.summary}" if above is not None else f"{name}, length {frame.wire_length}"
        told = packet.summary()
        if above is not None:
            told = f"{told}: {above.protocol.upper()} {above.summary}"
        if problems:
            told += " [cut]" if problems[0].by_capture else f" [{problems[0].layer}: {problems[0].text}]"
        return told

    def _time(self, now: int) -> str:
        kind = self.style.time
        if kind == "none":
            return ""
        if kind == "absolute":
            return self._absolute(now)
        if self.begin is None:
            self.begin = now
        before = now if self._previous is None else self._previous
        self._previous = now
        since = now - (self.begin if kind == "relative" else before)
        seconds, ns = divmod(abs(since), SECOND)
        return f"{'-' if since < 0 else ''}{seconds}.{ns:09}  "

    def _absolute(self, now: int) -> str:
        """In UTC, as ISO 8601 has it."""
        second, ns = divmod(now, SECOND)
        if second != self._second:
            self._second = second
            try:
                self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            except (OverflowError, ValueError, OSError):  # years of five digits and more
                self._second_text = f"{second} s after 1970 "
        return f"{self._second_text}.{ns:09}Z  "


def told_above(packet: Packet, frame: Frame) -> Upper | None:
    """What rides above the transport; in a recording of ours, the application's call that stands among the frames."""
    if frame.linktype is LinkType.WIRESHARK_UPPER_PDU:
        try:
            call = read_call(frame)
        except CaptureError:
            return None
        return None if call is None else Upper("app", f"{call.name}({', '.join(_arguments(call.arguments))})")
    return upper_of(packet)


def _arguments(arguments: dict[str, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        yield f"{name}={len(value)} bytes" if isinstance(value, bytes) else f"{name}={value!r}"[:LONGEST_OPTION]


def _is_spoken(packet: Packet, above: Upper | None) -> bool:
    """Whether nothing is left that another program may know better."""
    if not packet.layers or packet.layout.payload_start >= packet.layout.payload_end:
        return bool(packet.layers)
    last = packet.layers[-1]
    if isinstance(last, (TCP, UDP)):
        return above is not None
    return isinstance(last, RDT) or last.family in ("ICMP", "ICMPv6", "ARP")


def _block(packet: Packet, frame: Frame) -> Iterator[str]:
    """All there is to say, a line a layer."""
    yield _about_frame(frame)
    layout = packet.layout
    for header in layout.layers:
        yield f"{type(header).__name__}: {', '.join(_fields(header))}"
    if layout.payload_end > layout.payload_start:
        yield f"payload: {_size(layout.payload_end - layout.payload_start)}"
    trailer = len(layout.data) - max(layout.payload_start, layout.payload_end)
    if trailer:
        yield f"trailer: {_size(trailer)}"
    checksums = packet.checksums
    if checksums:
        yield f"checksums: {', '.join(f'{name} {verdict}' for name, verdict in checksums.items())}"
    for problem in packet.problems:
        kind = "cut" if problem.by_capture else "problem"
        yield f"{kind} at byte {problem.offset}: {problem.layer} {problem.field} [{problem.rule}]: {problem.text}"
    quoted = packet.quoted
    if quoted is not None and quoted.layers:
        yield f"quotes: {quoted.summary()}"


def _about_frame(frame: Frame) -> str:
    kept = "" if len(frame.data) >= frame.wire_length else f", {len(frame.data)} of them captured"
    parts = [f"frame: {_size(frame.wire_length)}{kept}", frame.linktype.name.lower().replace("_", " ")]
    if frame.interface:
        parts.append("".join(char if char.isprintable() else "?" for char in frame.interface))
    if frame.direction is not Direction.UNKNOWN:
        parts.append(frame.direction.name.lower())
    return ", ".join(parts)


def _fields(header: Header) -> Iterator[str]:
    for row in header.fields:
        value = header.raw(row.name)
        if row.is_tail:
            yield from (f"{row.name} {text[:LONGEST_OPTION]}" for text in _tail(header, value))
            continue
        shown = row.show(value).strip("'")
        called = row.name_of(value)
        yield f"{row.name} {shown} ({called})" if called else f"{row.name} {shown}"


def _tail(header: Header, value: bytes) -> Iterator[str]:
    rows = header.tail_rows()
    if rows:
        yield "[" + "; ".join(f"{item.name} {item.value}".strip() for item in rows) + "]"
    elif value:
        yield value.hex()


def _size(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"

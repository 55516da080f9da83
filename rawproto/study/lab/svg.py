"""Draws a timeline as an SVG picture, to scale in time: two lines of life, and each datagram as a slanted arrow.

Where nothing happens for long the lines of life are broken by a zigzag that says how much is left out. What is written
stands in a column at either side, fanned out where it would overlap. Nothing is fetched from anywhere, and colours go
with light and dark paper: whatever has no meaning is drawn in the colour of the text around.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise

from rawproto.sim.quantities import time_text
from rawproto.study.lab.calls import Note
from rawproto.study.lab.drawing import FATAL, broken
from rawproto.study.lab.timeline import Flight, Landing, Row, Timeline

__all__ = ["draw_svg"]

WIDTH = 980
CLIENT, SERVER = 360, 620
"""Where the lines of life stand, in pixels."""
FAN = 34
"""Between a line of life and what is written beside it."""
TOP, BOTTOM = 44, 24
SIZE, LINE = 12, 17
"""Of the letters and of the lines, in pixels."""
LETTER = 0.602 * SIZE
LONGEST = int((CLIENT - FAN - 8) / LETTER)
TRANSIT = 62
"""How much lower an arrow ends, if its datagram takes as long as the quickest."""
LULL = 2.5
"""So many times that long may nothing happen, before the lines of life are broken."""
BREAK = 44
CROSS = "✗"
RED, AMBER, VIOLET = "#d9363e", "#c27c0e", "#9b51e0"
COLOURS = {"told": RED, "violation": RED, "waits": AMBER, "event": AMBER, "call": "currentColor"}


@dataclass(frozen=True, slots=True)
class Label:
    """Something to write beside a line of life, at the height of a time."""

    time_ns: int
    at_client: bool
    text: str
    colour: str = "currentColor"
    bold: bool = False
    call: bool = False

    def joins(self, other: Label) -> bool:
        """Both are calls of one moment at one side."""
        return self.call and other.call and other.time_ns - self.time_ns < 1000


class Scale:
    """Heights of times, with breaks where nothing happens."""

    def __init__(self, times: Sequence[int], transit_ns: int) -> None:
        self.breaks: list[tuple[float, int]] = []
        """Height of the middle, and ns that are left out."""
        self._starts: list[int] = [times[0]]
        self._heights: list[float] = [0.0]
        self._ends: list[int] = []
        self._per_ns = TRANSIT / transit_ns
        for before, after in pairwise(times):
            if after - before > LULL * transit_ns:
                height = self._heights[-1] + (before - self._starts[-1]) * self._per_ns
                self._ends.append(before)
                self._starts.append(after)
                self._heights.append(height + BREAK)
                self.breaks.append((height + BREAK / 2, after - before))
        self._ends.append(times[-1])

    def shows(self, time_ns: int) -> bool:
        """It is not left out."""
        piece = max(0, bisect_right(self._starts, time_ns) - 1)
        return self._starts[piece] <= time_ns <= self._ends[piece]

    def __call__(self, time_ns: int) -> float:
        """In pixels, from the first time on."""
        piece = max(0, bisect_right(self._starts, time_ns) - 1)
        return self._heights[piece] + (time_ns - self._starts[piece]) * self._per_ns


def draw_svg(line: Timeline, name: str = "", title: str = "") -> str:
    """An `<svg>` element of 980 pixels width. `name` is what the guarantee is called."""
    return Picture(line, name).draw(title)


class Picture:
    """The picture of one timeline."""

    def __init__(self, line: Timeline, name: str) -> None:
        self._line, self._name = line, name
        shown = [row for row in line.rows if isinstance(row, Flight)]
        quickest = min((min(f.datagram.arrivals) - f.time_ns for f in shown if f.datagram.arrivals), default=0)
        self._transit = max(quickest, 1)
        times = {0, *(row.time_ns for row in line.rows)}
        for flight in shown:
            times.update(flight.datagram.arrivals or (flight.time_ns + self._transit,))
        self._scale = Scale(sorted(times), self._transit)
        self._shown = {id(flight) for flight in shown}
        self._labels = list(self._collect())
        self._places = self._fan_out(True) | self._fan_out(False)
        # What is fanned out upwards must not leave the picture.
        self._top = TOP + max(0.0, LINE / 2 - min(self._places.values(), default=LINE))
        depth = max([self._scale(max(times)), *self._places.values()])
        self.height = round(self._top + depth + BOTTOM)

    def draw(self, title: str) -> str:
        """The element."""
        what = escape(title or "The datagrams of both sides, to scale in time")
        told = escape(self._line.violation.text if self._line.violation else "")
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}"'
            f' height="{self.height}" font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace"'
            f' font-size="{SIZE}" fill="currentColor" stroke-linecap="round">',
            f"<title>{what}</title><desc>{told}</desc>",
            *self._frame(),
            *(part for flight in self._by_weight() for part in self._arrow(flight)),
            *self._verdict_line(),
            *self._write(),
            "</svg>",
        ]
        return "\n".join(parts)

    def _y(self, time_ns: int) -> float:
        return round(self._top + self._scale(time_ns), 1)

    # -- what is written -----------------------------------------------------------------------------------------------

    def _collect(self) -> Iterator[Label]:
        """In the order of the rows; calls of one moment in as few lines as they fit."""
        kept: list[Label] = []
        for row in self._line.rows:
            for label in self._labels_of(row):
                parts = broken(label.text, LONGEST - 8)
                last = next((other for other in reversed(kept) if other.at_client == label.at_client), None)
                if last is not None and last.joins(label) and len(last.text) + len(label.text) + 2 < LONGEST - 7:
                    kept[kept.index(last)] = replace(last, text=f"{last.text}, {label.text}")
                else:
                    kept += [replace(label, text=part) for part in parts]
        return iter(kept)

    def _labels_of(self, row: Row) -> Iterator[Label]:
        if isinstance(row, Note):
            yield self._note(row)
        elif isinstance(row, Flight):
            yield _departure(row)
        elif isinstance(row, Landing):
            words = "the copy arrives" if row.copy else "arrives late"
            text = f"{FATAL}: {words}" if row.flight.fatal else words
            yield Label(row.time_ns, row.side == "client", text, _colour(row.flight), row.flight.fatal)

    def _note(self, note: Note) -> Label:
        if note.kind != "violation":
            return Label(
                note.time_ns,
                note.side == "client",
                note.text,
                COLOURS[note.kind],
                note.kind in ("told", "waits"),
                note.kind == "call",
            )
        fatal = self._line.fatal
        at_client = fatal is not None and fatal.side == "server" and not fatal.lost
        return Label(note.time_ns, at_client, f"{CROSS} {self._name or 'guarantee'} broken".upper(), RED, True)

    def _fan_out(self, at_client: bool) -> dict[int, float]:
        """Heights of one column, as near as possible to where each belongs, and a line apart."""
        mine = [index for index, label in enumerate(self._labels) if label.at_client == at_client]
        mine.sort(key=lambda index: self._labels[index].time_ns)
        heights = _apart([self._scale(self._labels[index].time_ns) for index in mine])
        return dict(zip(mine, heights, strict=True))

    def _write(self) -> Iterator[str]:
        told = {True: "", False: ""}
        for index, label in sorted(enumerate(self._labels), key=lambda entry: entry[1].time_ns):
            time = f"{label.time_ns / 1e6:.3f}".rstrip("0").rstrip(".")
            yield from self._label(label, self._places[index], time, time != told[label.at_client])
            told[label.at_client] = time

    def _label(self, label: Label, height: float, time: str, first: bool) -> Iterator[str]:
        """A line that leads to it, the time if that is a new one, and the words."""
        y, at = round(self._top + height, 1), self._y(label.time_ns)
        near, way, anchor = (CLIENT, -1, "end") if label.at_client else (SERVER, 1, "start")
        far = near + way * FAN
        path = f"M{near} {at}L{near + way * 6} {at}L{far - way * 6} {y}L{far} {y}"
        yield f'<path d="{path}" fill="none" stroke="{label.colour}" stroke-opacity="0.45"/>'
        words = f'y="{y + 4:.1f}" text-anchor="{anchor}"'
        if first:
            yield f'<text x="{far + way * 4}" {words} fill-opacity="0.6">{time}</text>'
        x = far + way * (4 + round((len(time) + 1) * LETTER))
        weight = ' font-weight="bold"' if label.bold else ""
        yield f'<text x="{x}" {words} fill="{label.colour}"{weight}>{escape(label.text)}</text>'

    # -- what is drawn -------------------------------------------------------------------------------------------------

    def _frame(self) -> Iterator[str]:
        """Both lines of life with their breaks."""
        bottom = self.height - BOTTOM + 8
        for x, name, anchor in ((CLIENT, "client", "end"), (SERVER, "server", "start")):
            shift = 10 if anchor == "end" else -10
            yield f'<text x="{x + shift}" y="18" text-anchor="{anchor}" font-weight="bold" font-size="14">{name}</text>'
            unit = x + (FAN + 12) * (-1 if anchor == "end" else 1)
            yield f'<text x="{unit}" y="18" text-anchor="{anchor}" fill-opacity="0.6">ms</text>'
            path = f"M{x} 26"
            for middle, _ in self._scale.breaks:
                y = self._top + middle
                path += f"V{y - 9:.1f}l6 4.5l-12 4.5l12 4.5l-6 4.5"
            line = 'fill="none" stroke="currentColor" stroke-opacity="0.7" stroke-width="1.5"'
            yield f'<path d="{path}V{bottom}" {line}/>'
        for middle, left_out in self._scale.breaks:
            place = f'x="{(CLIENT + SERVER) // 2}" y="{self._top + middle + 4:.1f}" text-anchor="middle"'
            text = f"{time_text(_rounded(left_out))} later"
            yield f'<text {place} font-style="italic" fill-opacity="0.7">{text}</text>'

    def _by_weight(self) -> list[Flight]:
        """What matters is drawn last, over the rest."""
        return sorted(self._line.flights, key=lambda flight: (flight.fatal, flight.struck, id(flight) in self._shown))

    def _arrow(self, flight: Flight) -> Iterator[str]:
        shown, scale = id(flight) in self._shown, self._scale
        arrivals = flight.datagram.arrivals
        ends = arrivals or (flight.time_ns + self._transit,)
        if not shown and not all(map(scale.shows, (flight.time_ns, *ends))):
            return
        colour, strength = _colour(flight), 1.0 if flight.struck or flight.fatal else 0.75 if shown else 0.2
        width = 2.5 if flight.fatal else 1.25
        there = SERVER if flight.side == "client" else CLIENT
        here = CLIENT + SERVER - there
        if flight.datagram.forged:
            here = round(here + (there - here) * 0.14)
            y = self._y(flight.time_ns)
            yield f'<path d="M{here - 5} {y}l5 -5l5 5l-5 5z" fill="{colour}"/>'
        for index, end in enumerate(ends):
            kept = (index > 0 or flight.late) and bool(arrivals)
            style = f'stroke="{colour}" stroke-width="{width}" opacity="{strength}"'
            style += ' stroke-dasharray="5 4"' if kept else ""
            yield from self._stroke((here, self._y(flight.time_ns)), (there, self._y(end)), style, bool(arrivals))

    def _stroke(self, start: tuple[float, float], end: tuple[float, float], style: str, arrives: bool) -> Iterator[str]:
        if not arrives:
            x, y = (round(a + (b - a) * 0.6, 1) for a, b in zip(start, end, strict=True))
            yield f'<path d="M{start[0]} {start[1]}L{x} {y}" fill="none" {style}/>'
            yield f'<path d="M{x - 5} {y - 5}l10 10m0 -10l-10 10" fill="none" {style} stroke-linejoin="round"/>'
            return
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = (dx * dx + dy * dy) ** 0.5 or 1.0
        ux, uy = dx / length * 9, dy / length * 9
        wings = [(end[0] - ux + s * uy * 0.45, end[1] - uy - s * ux * 0.45) for s in (1, -1)]
        solid = style.replace(' stroke-dasharray="5 4"', "")
        yield f'<path d="M{start[0]} {start[1]}L{end[0]} {end[1]}" fill="none" {style}/>'
        yield (
            f'<path d="M{wings[0][0]:.1f} {wings[0][1]:.1f}L{end[0]} {end[1]}L{wings[1][0]:.1f} {wings[1][1]:.1f}"'
            f' fill="none" {solid}/>'
        )

    def _verdict_line(self) -> Iterator[str]:
        for label in self._labels:
            if label.text.startswith(CROSS):
                y = self._y(label.time_ns)
                yield f'<path d="M{CLIENT} {y}H{SERVER}" stroke="{RED}" stroke-width="1.5" stroke-dasharray="2 5"/>'


def _departure(flight: Flight) -> Label:
    at_client, colour = flight.side == "client", _colour(flight)
    words = ", ".join(flight.datagram.struck)
    if flight.datagram.forged and flight.struck:
        words = "forged"
    text = " ".join(part for part in (flight.name if not flight.datagram.forged else "", flight.datagram.text) if part)
    text += f", {words}" if words else ""
    return Label(flight.time_ns, at_client, f"{FATAL}: {text}" if flight.fatal else text, colour, flight.fatal)


def _colour(flight: Flight) -> str:
    if flight.fatal or (flight.lost and flight.struck):
        return RED
    return VIOLET if flight.datagram.forged else AMBER if flight.struck else "currentColor"


def _apart(wanted: Sequence[float]) -> list[float]:
    """Heights in the same order, `LINE` apart, that differ from `wanted` as little as that allows."""
    blocks: list[list[float]] = []  # sum of what is wanted, count
    for index, height in enumerate(wanted):
        blocks.append([height - index * LINE, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    flat = [total / count for total, count in blocks for _ in range(int(count))]
    return [height + index * LINE for index, height in enumerate(flat)]


def _rounded(time_ns: int) -> int:
    """To three digits: more of a pause is noise."""
    unit = int("1".ljust(max(1, len(str(time_ns)) - 2), "0"))
    return round(time_ns / unit) * unit

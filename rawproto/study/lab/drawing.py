"""Draws a timeline as text: the time, what the client's application sees, the datagrams, and the server's.

       ms                    client                                        server
   20.000              writes 0:3000 ├─ #3 data 0:1400 ───────────────✗         │ lost

An arrow stands where its datagram was sent; what is kept on the way has another one where it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from re import sub
from textwrap import wrap

from rich.text import Text

from rawproto.sim.quantities import time_text
from rawproto.study.lab.calls import Note
from rawproto.study.lab.timeline import Flight, Fold, Landing, Row, Timeline

__all__ = ["FATAL", "LEAST_WIDTH", "broken", "draw_timeline"]

FATAL = "FATAL"
TIME = 10
LEAST_WIDTH = 90
SILENCE_NS = 1_000_000_000
"""A pause that is worth a line of its own."""
STYLES = {
    "lost": "red",
    "struck": "yellow",
    "forged": "magenta",
    "fatal": "bold red",
    "told": "bold red",
    "waits": "bold yellow",
    "event": "yellow",
    "violation": "bold red",
    "call": "",
}


@dataclass(slots=True)
class Line:
    """One line: `lane` is the part between both ends, lines of life included; an empty one is drawn as such."""

    time: str = ""
    left: str = ""
    right: str = ""
    lane: str = ""
    across: str = ""
    """Something that is written over all of it."""
    styles: dict[str, str] = field(default_factory=dict)
    """By part."""


def draw_timeline(line: Timeline, width: int = 100, name: str = "") -> Text:
    """The rows in lines of `width` columns, 90 at least. `name` is what the guarantee is called."""
    return Drawing(max(width, LEAST_WIDTH), name).draw(line)


class Drawing:
    """Lines as they are added, one row after the other."""

    def __init__(self, width: int, name: str) -> None:
        self.width, self._name = width, name
        self.side = (width - TIME - 2) * 2 // 7
        self.lane = width - TIME - 2 - 2 * self.side
        self.lines: list[Line] = []
        self._now = -1

    def draw(self, line: Timeline) -> Text:
        """Everything, under a head."""
        for row in line.rows:
            self._pause(row.time_ns)
            self._add(row)
            self._now = row.end_ns if isinstance(row, Fold) else row.time_ns
        head = f"{'ms':>{TIME}} {'client':>{self.side}} {'':{self.lane}}{'server'}"
        return Text("\n").join([Text(head, style="bold"), *self._rendered()])

    def _rendered(self) -> Iterator[Text]:
        shown = ""
        for line in self.lines:
            yield self._render(line, "" if line.time == shown else line.time)
            shown = line.time or shown

    def _pause(self, until: int) -> None:
        if self._now >= 0 and until - self._now >= SILENCE_NS:
            text = f"⋮ {time_text(round(until - self._now, -6))} ⋮"
            self.lines.append(Line(lane=f"┊{text:^{self.lane - 2}}┊", styles={"lane": "dim"}))

    def _add(self, row: Row) -> None:
        time = f"{row.time_ns / 1e6:.3f}"
        if isinstance(row, Note):
            if row.kind == "violation":
                self._verdict(time, row)
            else:
                self._beside(time, row.side, row.text, row.kind, share=True)
        elif isinstance(row, Fold):
            self.lines.append(Line(time, across=row.text, styles={"across": "dim"}))
        else:
            self._arrow(time, row)

    def _verdict(self, time: str, note: Note) -> None:
        text = f"✗ {self._name.upper()} BROKEN: {note.text}" if self._name else f"✗ {note.text}"
        for index, part in enumerate(broken(text, self.width - TIME - 5)):
            line = Line("" if index else time, across=f"{'  ' if index else ''}{part}", styles={"across": "violation"})
            self.lines.append(line)

    def _beside(self, time: str, side: str, text: str, kind: str, *, share: bool) -> Line:
        """Write at one side, on the last line if there is room; gives the first line that was written on."""
        column = "left" if side == "client" else "right"
        first = None
        for index, part in enumerate(broken(text, self.side - 1)):
            last = self.lines[-1] if self.lines else None
            if index or not (share and last and last.time == time and self._is_free(last, column)):
                last = Line("" if index else time)
                self.lines.append(last)
            setattr(last, column, part)
            last.styles[column] = kind
            first = first or last
        return first or Line()

    def _is_free(self, line: Line, column: str) -> bool:
        return not (line.lane or line.across or getattr(line, column))

    def _arrow(self, time: str, row: Flight | Landing) -> None:
        """On the line of what its sender has just done, if that is the last one."""
        flight = row if isinstance(row, Flight) else row.flight
        to_server = flight.side == "client"
        mine, theirs = ("left", "right") if to_server else ("right", "left")
        last = self.lines[-1] if self.lines else None
        shared = isinstance(row, Flight) and last and last.time == time and self._is_free(last, theirs)
        if last is None or not shared or last.styles.get(mine) == "told":
            last = Line(time)
            self.lines.append(last)
        last.lane = self._body(row, flight, to_server)
        last.styles["lane"] = kind = _kind(flight)
        words = broken(_aside(row, flight, to_server), self.side - 1)
        for index, part in enumerate(words):
            if index:
                last = Line()
                self.lines.append(last)
            setattr(last, theirs, part)
            last.styles[theirs] = kind

    def _body(self, row: Flight | Landing, flight: Flight, to_server: bool) -> str:
        """The arrow, drawn from left to right and turned round if it goes the other way."""
        room = self.lane - 2
        label = f" {flight.name} {flight.datagram.text} "
        label = label if len(label) <= room - 6 else f"{label[: room - 8]}… "
        start, stroke, end = "─", "─", "▶"
        if isinstance(row, Landing):
            start, stroke = "⋯╌", "╌"
        elif flight.late:
            stroke, end = "╌", "⋯"
        elif flight.datagram.forged:
            start = "  ◆─"
        elif flight.lost and flight.struck and "way" not in flight.datagram.struck[0]:
            end = "✗"
        reach = room - len(start) - len(label) - len(end)
        short = min(reach - 2, 6) if end in "✗⋯" else 0
        stop = " " * short
        line = stroke * (reach - short)
        if any(event.kind in ("flip", "swap", "truncate") for event in flight.datagram.events) and line:
            line = line[: len(line) // 2] + "≈" + line[len(line) // 2 + 1 :]
        parts = [start, label, line, end, stop]
        if not to_server:
            parts = [part.replace("▶", "◀") if part is not label else part for part in reversed(parts)]
            parts[-1] = parts[-1][::-1]
        inner = "".join(parts)
        leaves = isinstance(row, Flight) and not flight.datagram.forged
        arrives = not short
        left, right = (leaves, arrives) if to_server else (arrives, leaves)
        tail, head = ("├" if leaves and to_server else "│"), ("┤" if leaves and not to_server else "│")
        return (tail if left else "│") + inner + (head if right else "│")

    def _render(self, line: Line, time: str) -> Text:
        drawn = Text(f"{time:>{TIME}} ")
        if line.across:
            body = f"{line.left:>{self.side}} │{'':{self.lane - 2}}│{line.right}"
            if line.styles["across"] == "dim":
                at = max(0, self.side + 1 + (self.lane - len(line.across)) // 2)
                body = body[:at] + line.across + body[at + len(line.across) :]
            else:
                body = f" {line.across}"
            return drawn.append(body, style=STYLES.get(line.styles["across"], "dim"))
        drawn.append(f"{line.left:>{self.side}} ", style=STYLES.get(line.styles.get("left", ""), ""))
        style = line.styles.get("lane", "")
        drawn.append(line.lane or f"│{'':{self.lane - 2}}│", style=STYLES.get(style, style))
        if line.right:
            drawn.append(f" {line.right}", style=STYLES.get(line.styles.get("right", ""), ""))
        return drawn


def broken(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width`, but no time is parted from its unit."""
    glued = sub(r"(?<=\d) (?=(ns|us|ms|s)\b)", "\N{NO-BREAK SPACE}", text)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in wrap(glued, width)]


def _kind(flight: Flight) -> str:
    if flight.fatal:
        return "fatal"
    if flight.datagram.forged:
        return "forged"
    return "lost" if flight.lost else "struck" if flight.struck else ""


def _aside(row: Flight | Landing, flight: Flight, to_server: bool) -> str:
    """What is written where the arrow points to."""
    words = ", ".join(flight.datagram.struck)
    if isinstance(row, Landing):
        words = "the copy arrives" if row.copy else "arrives late"
    if not flight.fatal:
        return words
    if to_server:
        return f"◀ {FATAL}" + (f": {words}" if words else "")
    return (f"{words}: " if words else "") + f"{FATAL} ▶"

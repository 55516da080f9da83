"""Draws a ladder as text of a given width: the time, a lane between the two ends, and why.

time ms  client                                      server  why
  0.000  ├─ #0 SYN 0 ───────────────────────────────────▶│   handshake
 60.192  │                                    #0 arrives ●   SYN to a listener: answered
 60.192  │◀───────────────────────────── #0 SYN 0 ack 1 ─┤   handshake
"""

from __future__ import annotations

from rich.text import Text

from rawproto.study.flights import Flight
from rawproto.study.ladder import Fold, Ladder, Note, numbers_of
from rawproto.wire.rdt_format import Flags

__all__ = ["draw_ladder"]

TIME = 12
GAP = 2
LEAST_WIDTH = 72

STYLES = {
    "lost": "bold red",
    "damaged": "magenta",
    "late": "yellow",
    "twice": "cyan",
    "arrived": "dim",
    "discarded": "magenta",
    "timer": "yellow",
    "state": "blue",
    "again": "bold green",
}


def draw_ladder(ladder: Ladder, width: int = 100) -> Text:
    """The ladder in lines of at most `width` columns, 72 at least; styles are rich's and can be left out."""
    width = max(width, LEAST_WIDTH)
    lane = (width - TIME - 2 * GAP) * 5 // 8
    why = width - TIME - 2 * GAP - lane
    lines = [Text(ladder.title, style="bold")]
    lines += [Text(part, style="dim") for part in _wrap(ladder.caption, width)]
    lines.append(Text())
    ends = ladder.client + ladder.server.rjust(lane - len(ladder.client))
    head = f"{'time ms':>{TIME}}{'':{GAP}}{ends}{'':{GAP}}why"
    lines.append(Text(head, style="bold"))
    shown = ""
    for row in ladder.rows:
        if isinstance(row, Fold):
            lines.append(_draw_fold(row, lane))
            continue
        since = (row.time_ns if isinstance(row, Note) else row.sent_ns) - ladder.origin_ns
        time = f"{since / 1e6:,.3f}".replace(",", " ")
        lines += _draw_row(row, "" if time == shown else time, lane, why)
        shown = time
    return Text("\n").join(lines)


def _draw_fold(fold: Fold, lane: int) -> Text:
    return _line("", Text(f"│{_cut(_fold_text(fold), lane - 2).center(lane - 2)}│", style="dim"), "", "")


def _draw_row(row: Flight | Note, time: str, lane: int, why: int) -> list[Text]:
    """One row, with its explanation wrapped onto further lines."""
    if isinstance(row, Note):
        drawn, explanation, style = _draw_note(row, lane), row.why, "dim"
    else:
        drawn, explanation, style = _draw_flight(row, lane), row.reason, ""
        if row.fate.damaged and not row.arrivals:
            explanation += f"; {row.fate.outcome}"  # nobody saw it come, so no note of its own can say so
    parts = _wrap(explanation, why) or [""]
    first = _line(time, drawn, parts[0], style)
    empty = Text("│" + " " * (lane - 2) + "│")
    return [first, *(_line("", empty, part, style) for part in parts[1:])]


def _line(time: str, lane: Text, why: str, style: str) -> Text:
    line = Text(f"{time:>{TIME}}{'':{GAP}}")
    line.append_text(lane)
    if why:
        line.append(" " * GAP)
        line.append(why, style=style)
    return line


def _fold_text(fold: Fold) -> str:
    parts = [f"{fold.from_client} →"] * bool(fold.from_client) + [f"{fold.from_server} ←"] * bool(fold.from_server)
    total = fold.from_client + fold.from_server
    return f"… {total} more segment{'s' if total != 1 else ''}: {', '.join(parts)} …"


def _draw_note(note: Note, lane: int) -> Text:
    """A dot on the bar of the side where it happened, and what it was."""
    text = _cut(note.text, lane - 6)
    inner = f" {text}".ljust(lane - 2) if note.at_client else f"{text} ".rjust(lane - 2)
    bars = ("●", "│") if note.at_client else ("│", "●")
    drawn = Text(bars[0])
    drawn.append(inner, style=STYLES.get(note.kind, "dim"))
    drawn.append(bars[1])
    return drawn


def _draw_flight(flight: Flight, lane: int) -> Text:
    """An arrow that starts where the segment was sent, says what it holds, and ends where it got to."""
    fate = flight.fate
    inner = lane - 2
    stroke = "╌" if fate.late else "─"
    words = ", ".join(_words(flight))
    if fate.lost_by:
        end = [" ", "✗", f" {words} "]
    else:
        head = "?" if not flight.arrivals else "✗" if not fate.arrived else "▶▶" if fate.duplicated else "▶"
        end = [f" {words} " + stroke if words else "", head]
    room = inner - sum(map(len, end)) - 2
    label = f" {_cut(_label(flight), room - 2)} "
    # What is lost ends in mid-air, three quarters of the way to the other side if its label leaves room.
    length = room - len(label)
    reach = min(length, max(0, inner * 3 // 4 - len(label) - 4)) if fate.lost_by else length
    return _coloured(flight, [stroke, label, stroke * (reach + 1), *end, " " * (length - reach)])


def _coloured(flight: Flight, body: list[str]) -> Text:
    fate = flight.fate
    kind = (
        "lost" if fate.lost_by else "damaged" if fate.damaged else "late" if fate.late
        else "twice" if fate.duplicated else "again" if flight.again else ""
    )  # fmt: skip
    if not flight.from_client:
        body = [part.replace("▶", "◀") for part in reversed(body)]  # words and label read the same both ways
    drawn = Text("├" if flight.from_client else "│")
    for part in body:
        drawn.append(part, style=STYLES.get(kind, ""))
    drawn.append("│" if flight.from_client else "┤")
    return drawn


def _words(flight: Flight) -> list[str]:
    """What happened on the way, in words."""
    fate = flight.fate
    words = []
    if fate.lost_by:
        return [{"loss": "lost", "burst_loss": "lost in a burst", "queue_drop": "queue full"}[fate.lost_by]]
    if fate.damaged:
        words.append("damaged")
    if fate.late:
        words.append("overtaken")
    if fate.duplicated:
        words.append("twice")
    return words


def _label(flight: Flight) -> str:
    """Packet numbers, flags, offsets with the length in bytes, acknowledgement."""
    names = [flag.name for flag in Flags if flight.flags & flag and flag is not Flags.ACK and flag.name]
    parts = [numbers_of(flight), *names]
    if flight.length:
        parts.append(f"{flight.start}:{flight.end}({flight.length})")
    elif names:
        parts.append(str(flight.start))
    if flight.ack is not None:
        parts.append(f"ack {flight.ack}")
    return " ".join(parts)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width`, broken at spaces; a word that is longer is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_cut(word, width))
    return lines

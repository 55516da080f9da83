"""The annotated hex dump as HTML, for a notebook: `explain` to point at.

Each byte says in its tooltip which fields it holds, and pointing at a byte or at a row of the table lights up both. One
self-contained `<div>` with its own CSS: no script, nothing fetched, colours that are mixed into whatever background
there is. The same packet gives the same text.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from rawproto.wire.field import Field
from rawproto.wire.header import Header
from rawproto.wire.packet import Packet, Problem

__all__ = ["explain_html"]

BYTES_A_ROW = 16
BARE_LIMIT = 1024
"""Of the bytes behind the last field (payload, trailer) so many are shown."""
HUES = (210, 140, 30, 280, 350, 180, 60)
"""One a layer, around again if there are more."""

CSS = """
.rawproto{font:13px/1.5 ui-monospace,monospace;color:inherit}
.rawproto pre{font:inherit;margin:.5em 0;padding:0;background:none;color:inherit;overflow-x:auto}
.rawproto table{border-collapse:collapse;margin:.5em 0;color:inherit}
.rawproto td,.rawproto th{padding:0 .7em;text-align:left;border:0;color:inherit;background:none;vertical-align:top}
.rawproto th{padding-top:.5em}
.rawproto i{opacity:.65;font-style:normal}
.rawproto pre span{padding:0 .25em}
.rawproto .bad{outline:2px solid hsl(0 85% 55%)}
.rawproto .cut{outline:2px dashed hsl(40 90% 50%)}
.rawproto tr:hover td{background:hsl(45 100% 50%/.4)}
"""
LIT = "background:hsl(45 100% 50%/.55)"


class Mark(NamedTuple):
    """A field, or an option, where it lies."""

    layer: int
    start: int
    """In bytes from the start of the packet."""
    stop: int
    name: str
    value: str
    meaning: str
    source: str

    def tooltip(self, layer: str) -> str:
        """What its bytes say of themselves."""
        return f"{layer} {self.name} = {self.value}\n{self.meaning} [{self.source}]"


class Layer(NamedTuple):
    """A header, and the name it goes by."""

    header: Header
    start: int
    title: str


def explain_html(packet: Packet) -> str:
    """The packet's bytes, fields, checksums and problems as one HTML element.

    Of a payload, 1024 bytes are shown. The packet that an ICMP error quotes is explained with it.
    """
    layers = list(_layers(packet, 0, ""))
    marks = [mark for at, layer in enumerate(layers) for mark in _marks(at, layer)]
    hues = (f".rawproto .l{at}{{background:hsl({HUES[at % len(HUES)]} 80% 50%/.2)}}" for at in range(len(layers)))
    lit = (f".rawproto:has(.f{n}:hover) .f{n}{{{LIT}}}" for n in range(len(marks)))
    checksums = (f"<div>checksum {escape(name)}: {escape(verdict)}</div>" for name, verdict in packet.checksums.items())
    problems = (
        f'<div><span class="{_kind(problem)}">{"cut" if problem.by_capture else "problem"}</span> '
        f"at {problem.offset:#06x} {escape(_told(problem))}</div>"
        for problem in packet.problems
    )
    return (
        f'<div class="rawproto"><style>{CSS}{"".join(hues)}{"".join(lit)}</style><div>{escape(packet.summary())}</div>'
        f"<pre>{_dump(packet, layers, marks)}</pre><table>{''.join(_rows(packet.layout.data, layers, marks))}</table>"
        f"{''.join(checksums)}{''.join(problems)}</div>"
    )


def _layers(packet: Packet, base: int, prefix: str) -> Iterator[Layer]:
    """The headers, with those of the packet that an ICMP error quotes."""
    layout = packet.layout
    for header, offset in zip(layout.layers, layout.offsets, strict=True):
        yield Layer(header, base + offset, prefix + type(header).__name__)
    if packet.quoted is not None:
        yield from _layers(packet.quoted, base + layout.payload_start, f"{prefix}quoted ")


def _marks(at: int, layer: Layer) -> Iterator[Mark]:
    for row in layer.header.fields:
        start = layer.start + row.offset // 8
        value = layer.header.raw(row.name)
        if not row.is_tail:
            called = layer.header.called(row)
            text = row.show(value).strip("'") + (f" ({called})" if called else "")
            stop = layer.start + (row.offset + row.bits + 7) // 8
            yield Mark(at, start, stop, row.name + _bits(row), text, row.meaning, row.source)
            continue
        items = layer.header.tail_rows()
        for item in items:
            stop = start + item.offset + item.length
            yield Mark(at, start + item.offset, stop, item.name, item.value, row.meaning, item.source or row.source)
        if value and not items:
            yield Mark(at, start, start + len(value), row.name, f"{len(value)} bytes", row.meaning, row.source)


def _bits(row: Field) -> str:
    """Which bits of its bytes the field has, counted from the left; empty if it has them all."""
    if row.offset % 8 == 0 and row.bits % 8 == 0:
        return ""
    first = row.offset % 8
    return f":{first}" if row.bits == 1 else f":{first}-{first + row.bits - 1}"


def _kind(problem: Problem) -> str:
    return "cut" if problem.by_capture else "bad"


def _told(problem: Problem) -> str:
    return f"{problem.layer} {problem.field} [{problem.rule}]: {problem.text}"


def _dump(packet: Packet, layers: list[Layer], marks: list[Mark]) -> str:
    """The bytes, 16 a line."""
    layout = packet.layout
    data = layout.data
    covering: dict[int, list[int]] = {}
    for n, mark in enumerate(marks):
        for at in range(mark.start, mark.stop):
            covering.setdefault(at, []).append(n)
    wrong: dict[int, list[Problem]] = {}
    for problem in packet.problems:
        wrong.setdefault(problem.offset, []).append(problem)

    def cell(at: int) -> str:
        if at >= len(data):
            return "<span>  </span>"
        found = covering.get(at, [])
        classes = [f"l{marks[found[0]].layer}", *(f"f{n}" for n in found)] if found else []
        says = [marks[n].tooltip(layers[marks[n].layer].title) for n in found]
        if not found:
            is_payload = at < layout.payload_end
            start = layout.payload_start if is_payload else max(layout.payload_start, layout.payload_end)
            says = [f"{'payload' if is_payload else 'trailer'}, byte {at - start}"]
        classes += dict.fromkeys(map(_kind, wrong.get(at, [])))
        says += map(_told, wrong.get(at, []))
        title = "&#10;".join(escape(line) for text in says for line in text.split("\n"))
        return f'<span class="{" ".join(classes)}" title="{title}">{data[at]:02x}</span>'

    limit = max(covering, default=-1) + 1 + BARE_LIMIT
    shown = min(limit + -limit % BYTES_A_ROW, len(data))
    lines = []
    for row in range(0, shown, BYTES_A_ROW):
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[row : row + BYTES_A_ROW])
        cells = " ".join(map(cell, range(row, row + BYTES_A_ROW)))
        lines.append(f"<i>{row:04x}</i>  {cells}  <i>{escape(text)}</i>")
    if shown < len(data):
        lines.append(f"<i>and {len(data) - shown} bytes more</i>")
    return "\n".join(lines)


def _rows(data: bytes, layers: list[Layer], marks: list[Mark]) -> Iterator[str]:
    """The table: a row a layer, under it a row a field."""
    of_layer: dict[int, list[tuple[int, Mark]]] = {}
    for n, mark in enumerate(marks):
        of_layer.setdefault(mark.layer, []).append((n, mark))
    for at, layer in enumerate(layers):
        title = f"{layer.title}, {layer.header.size} bytes at {layer.start} ({layer.header.source})"
        yield f'<tr><th colspan="5">{escape(title)}</th></tr>'
        for n, mark in of_layer.get(at, ()):
            held = data[mark.start : mark.stop]
            shown = held[:8].hex(" ", -2) + (" .." if len(held) > 8 else "")
            yield (
                f'<tr class="f{n}"><td class="l{at}">{mark.start:04x}</td><td>{shown}</td>'
                f"<td>{escape(mark.name)}</td><td>{escape(mark.value)}</td>"
                f"<td>{escape(mark.meaning)} <i>[{escape(mark.source)}]</i></td></tr>"
            )

"""Says what bytes mean: the annotated hex dump and the reference page, both from the tables of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rawproto.wire.dissect import Layout, Problem
from rawproto.wire.field import Field
from rawproto.wire.header import Header

__all__ = ["explain_layout", "reference"]

NAME_WIDTH = 20
BYTES_WIDTH = 23
VALUE_WIDTH = 26
BYTES_A_ROW = 16


def explain_layout(layout: Layout, checksums: Mapping[str, str], problems: Sequence[Problem]) -> str:
    """The dump: one block a layer, one row a field, then payload, trailer, checksums and problems."""
    lines: list[str] = []
    for header, offset in zip(layout.layers, layout.offsets, strict=True):
        lines.append(f"{type(header).__name__}, {header.size} bytes at {offset} ({header.source})")
        lines += _header_rows(header, layout.data, offset, header.fields)
    start = layout.payload_start
    partial = layout.partial
    if partial is not None and partial.offset >= start:
        header = partial.header
        lines.append(
            f"{type(header).__name__}, {partial.length} of {header.SIZE} bytes at {partial.offset} ({header.source})"
        )
        lines += _header_rows(header, layout.data, partial.offset, partial.fields)
        start += partial.length
    end = max(start, layout.payload_end)
    lines += _dump("payload", layout.data[start:end], start)
    lines += _dump("trailer", layout.data[end:], end)
    lines += [f"checksum {name}: {verdict}" for name, verdict in checksums.items()]
    lines += [
        f"{'cut' if problem.by_capture else 'problem'} at {problem.offset:#06x} "
        f"{problem.layer} {problem.field} [{problem.rule}]: {problem.text}"
        for problem in problems
    ]
    return "\n".join(lines)


def reference(kind: type[Header]) -> str:
    """The header's table in Markdown, for the reference page."""
    rows = [
        "| field | bits | at byte | default | meaning | source |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.name} | {_width(row)} | {row.offset // 8} | {_default(row)} | {row.meaning} | {row.source} |"
            for row in kind.fields
        ),
    ]
    return f"### {kind.__name__} ({kind.source})\n\n" + "\n".join(rows)


def _width(row: Field) -> str:
    return f"up to {row.bits}" if row.is_tail else str(row.bits)


def _default(row: Field) -> str:
    return "computed" if row.default is None else row.show(row.default)


def _header_rows(header: Header, data: bytes, offset: int, rows: Sequence[Field]) -> Iterator[str]:
    for row in rows:
        value = header.raw(row.name)
        start = offset + row.offset // 8
        if row.is_tail:
            yield from _tail_rows(header, row, data, start)
            continue
        stop = offset + (row.offset + row.bits + 7) // 8
        shown = row.show(value).strip("'")
        called = header.called(row)
        text = f"{shown} ({called})" if called else shown
        yield _row(start, data[start:stop], row.name + _bits(row), text, row.meaning, row.source)


def _tail_rows(header: Header, row: Field, data: bytes, start: int) -> Iterator[str]:
    tail = header.raw(row.name)
    rows = header.tail_rows()
    if not rows and tail:
        yield from _dump(row.name, tail, start)
    for item in rows:
        at = start + item.offset
        yield _row(at, data[at : at + item.length], item.name, item.value, row.meaning, item.source)


def _bits(row: Field) -> str:
    """Which bits of its bytes the field has, counted from the left as RFCs do; empty if it has them all."""
    if row.offset % 8 == 0 and row.bits % 8 == 0:
        return ""
    first = row.offset % 8
    return f":{first}" if row.bits == 1 else f":{first}-{first + row.bits - 1}"


def _row(offset: int, data: bytes, name: str, value: str, meaning: str, source: str) -> str:
    shown = data.hex(" ", -2) if len(data) <= 8 else data[:8].hex(" ", -2) + " .."
    return f"  {offset:04x}  {shown:<{BYTES_WIDTH}}  {name:<{NAME_WIDTH}}  {value:<{VALUE_WIDTH}}  {meaning} [{source}]"


def _dump(name: str, data: bytes, offset: int) -> Iterator[str]:
    if data:
        yield f"{name}, {len(data)} bytes at {offset}"
    for at in range(0, len(data), BYTES_A_ROW):
        row = data[at : at + BYTES_A_ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"  {offset + at:04x}  {row.hex(' ', -2):<39}  {text}"

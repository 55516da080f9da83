"""Turns a table of fields into the functions that pack and unpack it.

Like `dataclasses` and `namedtuple`, it writes a few lines of Python for each header class, once, because a loop
over the table at each packet would cost several times as much. `source_of(table)` shows what it writes. For
version:4, ihl:4, total_length:16 and an options tail it is, in essence:

    def __init__(self, *, version=4, ihl=None, ...):
        if (version | ...) >> 4 or ihl is not None and ihl >> 4 ...: raise reject(...)    # negative ones too
        store(self, (version, ihl, ...))

    def pack(self, total_length=0):                    # what to use for the fields that are None
        _version, _ihl, _total_length, _options = self._values
        ...
        return packer(_version << 4 | _ihl, _total_length) + _options

    def decode(cls, data, offset, end):
        u0, u1 = unpacker(data, offset)
        ...
        store(self, (u0 >> 4, u0 & 0xf, u1, data[offset + 4:stop]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any

from rawproto.wire.field import Field

__all__ = ["compile_table", "place", "size_of", "source_of"]

LETTER = {64: "Q", 32: "I", 16: "H", 8: "B"}


def place(table: Sequence[Field]) -> tuple[Field, ...]:
    """The table with each field's offset filled in."""
    placed: list[Field] = []
    at = 0
    for row in table:
        placed.append(row._replace(offset=at))
        at += row.bits
    return tuple(placed)


def size_of(table: Sequence[Field]) -> int:
    """Bytes of the fixed part."""
    return sum(row.bits for row in table if not row.is_tail) // 8


def compile_table(
    table: Sequence[Field], store: Callable[..., None], reject: Callable[..., Exception]
) -> dict[str, Any]:
    """The functions `__init__`, `pack`, `decode` (to be made a classmethod) and a getter for each field.

    `store(header, values)` keeps the tuple of values; `reject(header, given)` makes the
    exception for what does not fit.
    """
    layout = Struct(">" + "".join(letters for _, letters in _units(table)))
    scope: dict[str, Any] = {
        "packer": layout.pack,
        "unpacker": layout.unpack_from,
        "StructError": StructError,
        "store": store,
        "reject": reject,
        "new": object.__new__,
    }
    for row in table:
        scope[f"default_{row.name}"] = row.default
        scope[f"pack_{row.name}"] = row.pack
        scope[f"text_{row.name}"] = row.text
    made: dict[str, Any] = {}
    exec(source_of(table), scope, made)  # the text comes from the table alone, as in namedtuple
    return made


def source_of(table: Sequence[Field]) -> str:
    """The Python that `compile_table` runs."""
    return "\n".join([_init(table), _pack(table), _decode(table), *_getters(table)])


def _units(table: Sequence[Field]) -> list[tuple[list[Field], str]]:
    """Runs of fields that end on a byte boundary, each with its struct letters."""
    units: list[tuple[list[Field], str]] = []
    run: list[Field] = []
    for row in table:
        if row.is_tail:
            continue
        run.append(row)
        bits = sum(field.bits for field in run)
        if bits % 8 == 0:
            units.append((run, f"{bits // 8}s" if row.pack else _letters(bits)))
            run = []
    return units


def _letters(bits: int) -> str:
    letters = ""
    for size in (64, 32, 16, 8):
        letters += LETTER[size] * (bits // size)
        bits %= size
    return letters


def _init(table: Sequence[Field]) -> str:
    lines = [f"def __init__(self, *, {', '.join(f'{row.name}=default_{row.name}' for row in table)}):", " try:"]
    checks = []
    plain: dict[int, list[str]] = {}
    for row in table:
        if row.pack:
            given = f"{row.name} is not default_{row.name}"
            lines.append(f"  if {given}: {row.name} = pack_{row.name}({row.name})")
            checks += [f"len({row.name}) > {row.bits // 8}"] if row.is_tail else []
        elif row.default is None:
            checks.append(f"({row.name} is not None and {row.name} >> {row.bits})")
        elif isinstance(row.names, type):
            checks.append(f"{row.name} >> {row.bits}")  # apart: `|` of an IntFlag would make another one
        else:
            plain.setdefault(row.bits, []).append(row.name)
    checks += [f"({' | '.join(names)}) >> {bits}" for bits, names in plain.items()]
    names = ", ".join(row.name for row in table)
    given = ", ".join(f"{row.name!r}: {row.name}" for row in table)
    lines += [
        f"  wrong = {' or '.join(checks) or 'False'}",
        " except (TypeError, ValueError):",
        "  wrong = True",
        " if wrong:",
        f"  raise reject(self, {{{given}}})",
        f" store(self, ({names},))",
    ]
    return "\n".join(lines)


def _pack(table: Sequence[Field]) -> str:
    size = size_of(table)
    last = table[-1]
    words = last.words if last.is_tail else None
    open_rows = [row for row in table if row.default is None and row.name != words]
    lines = [f"def pack(self{''.join(f', {row.name}=0' for row in open_rows)}):"]
    lines.append(f" {', '.join('_' + row.name for row in table)}, = self._values")
    if words:
        over, unit = size - last.extra, last.unit
        lines += [
            f" if _{words} is None:",
            f"  counted = {over} + len(_{last.name})",
            f"  if counted < 0: _{last.name} += bytes(-counted)",
            f"  elif counted % {unit}: _{last.name} += bytes(-counted % {unit})",
            f"  _{words} = ({over} + len(_{last.name})) // {unit}",
        ]
    lines += [f" if _{row.name} is None: _{row.name} = {row.name}" for row in open_rows]
    arguments = []
    for run, letters in _units(table):
        whole = " | ".join(_shifted(row, run) for row in run)
        if len(letters) == 1 or run[0].pack:
            arguments.append(whole)
            continue
        below = sum(row.bits for row in run)
        for letter in letters:
            width = next(bits for bits, code in LETTER.items() if code == letter)
            below -= width
            arguments.append(f"({whole}) >> {below} & {(1 << width) - 1}")
    given = ", ".join(f"{row.name!r}: _{row.name}" for row in table)
    lines += [
        " try:",
        f"  return packer({', '.join(arguments)})" + (f" + _{last.name}" if last.is_tail else ""),
        " except StructError:",
        f"  raise reject(self, {{{given}}}) from None",
    ]
    return "\n".join(lines)


def _shifted(row: Field, run: Sequence[Field]) -> str:
    below = sum(other.bits for other in run[run.index(row) + 1 :])
    return f"_{row.name} << {below}" if below else f"_{row.name}"


def _decode(table: Sequence[Field]) -> str:
    count = 0
    values: dict[str, str] = {}
    for run, letters in _units(table):
        widths = [0] if run[0].pack else [b for letter in letters for b, code in LETTER.items() if code == letter]
        total = below = sum(widths)
        pieces = []
        for width in widths:
            below -= width
            pieces.append(f"u{count} << {below}" if below else f"u{count}")
            count += 1
        whole = pieces[0] if len(pieces) == 1 else f"({' | '.join(pieces)})"
        below = total
        for row in run:
            below -= row.bits
            expression = f"{whole} >> {below}" if below > 0 else whole
            masked = row is not run[0]
            values[row.name] = f"{expression} & {row.limit}" if masked else expression
    lines = ["def decode(cls, data, offset, end):"]
    lines.append(f" {', '.join(f'u{n}' for n in range(count))}, = unpacker(data, offset)")
    last = table[-1]
    if last.is_tail:
        start = f"offset + {size_of(table)}"
        stop = "end"
        if last.words:
            stop = "stop"
            lines += [
                f" stop = offset + ({values[last.words]}) * {last.unit} + {last.extra}",
                " if stop > end: stop = end",
            ]
        values[last.name] = f"data[{start}:{stop}]"
    lines += [
        " self = new(cls)",
        f" store(self, ({', '.join(values[row.name] for row in table)},))",
        " return self",
    ]
    return "\n".join(lines)


def _getters(table: Sequence[Field]) -> list[str]:
    return [
        f"def get_{row.name}(self): return "
        + (f"text_{row.name}(self._values[{at}])" if row.text else f"self._values[{at}]")
        for at, row in enumerate(table)
    ]

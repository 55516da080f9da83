"""Turns a table of fields into the functions that pack and unpack it.

Like `dataclasses` and `namedtuple`, it writes a few lines of Python for each header class, once, because a loop
over the table at each packet would cost several times as much. `source_of(table)` shows what it writes.

A header keeps its values as `struct` gives and takes them, one *unit* for each field, or for each run of fields that
share bytes; what is never asked for is never taken apart. A computed field that is left open is None; one that shares
its unit makes that unit negative: the complement of what the others hold. For version:4, ihl:4, total_length:16 and
an options tail it is, in essence:

    def __init__(self, *, version=4, ihl=None, ...):
        if (version | ...) >> 4 or ihl is not None and ihl >> 4 ...: raise reject(...)    # negative ones too
        self._values = version << 4 | ihl if ihl is not None else ~(version << 4), total_length, options

    def pack(self, total_length=0):                    # what to use for the fields that are None
        u0, u1, u2 = self._values
        ...
        return packer(u0, u1) + u2

    def decode(data, offset, end):
        values = unpacker(data, offset)
        ...

    def get_version(self): return self._values[0] >> 4
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any, NamedTuple

from rawproto.wire.field import Field

__all__ = ["compile_table", "place", "size_of", "source_of", "units_of"]

LETTERS = {64: "Q", 32: "I", 16: "H", 8: "B"}


class Unit(NamedTuple):
    """Fields that are packed together: whole bytes of them, and no fewer fields than that takes."""

    rows: tuple[Field, ...]
    bits: int

    @property
    def is_bytes(self) -> bool:
        """Whether `struct` sees bytes: an address, or an integer that it has no letter for."""
        return self.rows[0].pack is not None or self.bits not in LETTERS

    @property
    def letters(self) -> str:
        """What `struct` calls it."""
        return f"{self.bits // 8}s" if self.is_bytes else LETTERS[self.bits]

    @property
    def open_row(self) -> Field | None:
        """The computed field among others."""
        found = [row for row in self.rows if row.default is None]
        if len(self.rows) == 1 or not found:
            return None
        if len(found) > 1 or self.is_bytes:
            raise TypeError(f"{found[0].name}: a computed field needs a unit of 8, 16, 32 or 64 bits for itself")
        return found[0]

    def shift_of(self, row: Field) -> int:
        """How far to the left of the unit's end the field stands."""
        return sum(other.bits for other in self.rows[self.rows.index(row) + 1 :])

    def taken(self, value: str, row: Field) -> str:
        """The source of a field's part of the whole `value`."""
        below = self.shift_of(row)
        shifted = f"{value} >> {below}" if below else value
        return shifted if row is self.rows[0] else f"{shifted} & {row.limit}"


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


def compile_table(table: Sequence[Field], kind: type, reject: Callable[..., Exception]) -> dict[str, Any]:
    """The functions `__init__`, `pack`, `decode` (to be made a staticmethod), and for each field `get_` and `raw_`.

    `kind` is the class that they are for; `reject(header, given)` makes the exception for what does not fit.
    """
    tail = "0s" if table and table[-1].is_tail else ""
    letters = "".join(unit.letters for unit in units_of(table))
    scope: dict[str, Any] = {
        "packer": Struct(f">{letters}").pack,
        "unpacker": Struct(f">{letters}{tail}").unpack_from,  # with an empty tail, which most headers have
        "StructError": StructError,
        "kind": kind,
        "reject": reject,
        "new": object.__new__,
        "from_bytes": int.from_bytes,
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
    return "\n".join([_init(table), _pack(table), *_seal(table), _decode(table), *_getters(table)])


def units_of(table: Sequence[Field]) -> list[Unit]:
    """The fixed part, unit by unit."""
    units: list[Unit] = []
    run: list[Field] = []
    for row in table:
        if row.is_tail:
            continue
        run.append(row)
        bits = sum(field.bits for field in run)
        shared_and_open = len(run) > 1 and any(field.default is None for field in run)
        if bits % 8 == 0 and (bits in LETTERS or not shared_and_open):
            units.append(Unit(tuple(run), bits))
            run = []
    return units


def _init(table: Sequence[Field]) -> str:
    lines = [f"def __init__(self, *, {', '.join(f'{row.name}=default_{row.name}' for row in table)}):", " try:"]
    checks = []
    plain: dict[int, list[str]] = {}
    for row in table:
        if row.pack:
            given = f"{row.name} is not default_{row.name}"
            packed = f"pack_{row.name}({row.name})"
            if isinstance(row.pack, dict):
                packed = f"pack_{row.name}[{row.name}] if {row.name}.__class__ is str else {packed}"
            lines.append(f"  if {given}: {row.name} = {packed}")
            checks += [f"len({row.name}) > {row.bits // 8}"] if row.is_tail else []
        elif row.default is None:
            checks.append(f"({row.name} is not None and {row.name} >> {row.bits})")
        elif isinstance(row.names, type):
            checks.append(f"{row.name} >> {row.bits}")  # apart: `|` of an IntFlag would make another one
        else:
            plain.setdefault(row.bits, []).append(row.name)
    checks += [f"({' | '.join(names)}) >> {bits}" for bits, names in plain.items()]
    given = ", ".join(f"{row.name!r}: {row.name}" for row in table)
    values = [_value(unit) for unit in units_of(table)] + [row.name for row in table if row.is_tail]
    lines += [
        f"  if {' or '.join(checks) or 'False'}: raise ValueError",
        f"  self._values = ({', '.join(values)},)",
        " except (TypeError, ValueError, OverflowError):",
        f"  raise reject(self, {{{given}}}) from None",
    ]
    return "\n".join(lines)


def _value(unit: Unit) -> str:
    """What to store for the fields of a unit."""
    if len(unit.rows) == 1:
        name = unit.rows[0].name
        return f"{name}.to_bytes({unit.bits // 8})" if unit.is_bytes and not unit.rows[0].pack else name
    closed = " | ".join(_shifted(unit, row) for row in unit.rows)
    if unit.is_bytes:
        return f"({closed}).to_bytes({unit.bits // 8})"
    row = unit.open_row
    if row is None:
        return closed
    others = " | ".join(_shifted(unit, other) for other in unit.rows if other is not row)
    return f"{closed} if {row.name} is not None else ~({others})"


def _shifted(unit: Unit, row: Field) -> str:
    below = unit.shift_of(row)
    return f"{row.name} << {below}" if below else row.name


def _pack(table: Sequence[Field]) -> str:
    open_rows = _open_rows(table)
    lines = [f"def pack(self{''.join(f', {row.name}=0' for row in open_rows)}):"]
    return "\n".join(lines + _filled(table, open_rows) + _packed(table, open_rows))


def _seal(table: Sequence[Field]) -> list[str]:
    """As `pack`, for a header whose checksum is open and covers `payload` too."""
    if not any(row.name == "checksum" and row.bits == 16 for row in table):
        return []
    open_rows = [row for row in _open_rows(table) if row.name != "checksum"]
    lines = [f"def seal(self, number, payload{''.join(f', {row.name}=0' for row in open_rows)}):"]
    lines += _filled(table, open_rows)
    units = units_of(table)
    at = next(number for number, unit in enumerate(units) if unit.rows[0].name == "checksum")
    names = [f"u{number}" for number in range(len(units))]
    tail = " + tail" if table[-1].is_tail else ""
    computed = ", ".join(f"{row.name!r}: {row.name}" for row in open_rows)
    lines += [
        " try:",
        f"  data = packer({', '.join([*names[:at], '0', *names[at + 1 :]])}){tail} + payload",
        "  sum = from_bytes(data)",
        "  if len(data) & 1: sum <<= 8",
        "  sum += number",
        f"  u{at} = sum % 0xFFFF ^ 0xFFFF",
        f"  if u{at} == 0xFFFF and sum: u{at} = 0",
        f"  return packer({', '.join(names)}){tail}",  # cheaper than cutting the bytes open
        " except StructError:",
        f"  raise reject(self, {{{computed}}}) from None",
    ]
    return ["\n".join(lines)]


def _open_rows(table: Sequence[Field]) -> list[Field]:
    """The computed fields that the header's length does not settle."""
    words = table[-1].words if table[-1].is_tail else None
    return [row for row in table if row.default is None and row.name != words]


def _filled(table: Sequence[Field], open_rows: Sequence[Field]) -> list[str]:
    """The units, with what is open put in."""
    size = size_of(table)
    units = units_of(table)
    last = table[-1]
    words = last.words if last.is_tail else None
    names = [f"u{at}" for at in range(len(units))]
    lines = [f" {', '.join(names + ['tail'] * last.is_tail)}, = self._values"]
    for at, unit in enumerate(units):
        row = unit.open_row or (unit.rows[0] if unit.rows[0].default is None and len(unit.rows) == 1 else None)
        if row is None or (row not in open_rows and row.name != words):
            continue
        is_open = f"u{at} < 0" if unit.open_row else f"u{at} is None"
        name = row.name
        if name == words:
            over, step, name = size - last.extra, last.unit, "count"
            lines += [
                f" if {is_open}:",
                f"  count = {over} + len(tail)",
                f"  if count < 0 or count % {step}:",
                f"   tail += bytes(-count if count < 0 else -count % {step})",
                f"  count = ({over} + len(tail)) // {step}",
                f"  u{at} = {f'~u{at} | count << {unit.shift_of(row)}' if unit.open_row else 'count'}",
            ]
        else:
            closed = f"~u{at} | {name} << {unit.shift_of(row)}" if unit.open_row else name
            lines.append(f" if {is_open}: u{at} = {closed}")
    return lines


def _packed(table: Sequence[Field], open_rows: Sequence[Field]) -> list[str]:
    """The units as bytes."""
    names = [f"u{at}" for at in range(len(units_of(table)))]
    computed = ", ".join(f"{row.name!r}: {row.name}" for row in open_rows)
    return [
        " try:",
        f"  return packer({', '.join(names)})" + (" + tail" if table[-1].is_tail else ""),
        " except StructError:",
        f"  raise reject(self, {{{computed}}}) from None",
    ]


def _decode(table: Sequence[Field]) -> str:
    lines = ["def decode(data, offset, end):", " values = unpacker(data, offset)"]
    last = table[-1]
    if last.is_tail:
        start = f"offset + {size_of(table)}"
        if last.words:
            places = ((at, unit, row) for at, unit in enumerate(units_of(table)) for row in unit.rows)
            at, unit, row = next(place for place in places if place[2].name == last.words)
            count = unit.taken(f"values[{at}]", row)
            more = (size_of(table) - last.extra) // last.unit  # a header with a tail counts more than that
            lines += [
                f" if ({count}) > {more}:",
                f"  stop = offset + ({count}) * {last.unit} + {last.extra}",
                "  if stop > end: stop = end",
                f"  values = (*values[:-1], data[{start}:stop])",
            ]
        else:
            lines.append(f" if end > {start}: values = (*values[:-1], data[{start}:end])")
    lines += [" self = new(kind)", " self._values = values", " return self"]
    return "\n".join(lines)


def _getters(table: Sequence[Field]) -> list[str]:
    lines = []
    for at, unit in enumerate(units_of(table)):
        for row in unit.rows:
            value = f"self._values[{at}]"
            if unit.is_bytes and not row.pack:
                value = unit.taken(f"from_bytes({value})", row)
            elif unit.open_row is row:
                value = f"None if {value} < 0 else {unit.taken(value, row)}"
            elif unit.open_row:
                whole = f"({value} if {value} >= 0 else ~{value})"
                value = unit.taken(whole, row)
            elif len(unit.rows) > 1:
                value = unit.taken(value, row)
            lines += _getter(row, value)
    return lines + (_getter(table[-1], "self._values[-1]") if table[-1].is_tail else [])


def _getter(row: Field, value: str) -> list[str]:
    shown = value
    if row.text is not None:
        shown = f"text_{row.name}[{value}]" if isinstance(row.text, dict) else f"text_{row.name}({value})"
    return [f"def get_{row.name}(self): return {shown}", f"def raw_{row.name}(self): return {value}"]

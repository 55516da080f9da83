"""Templates: one packet sent many times, with a few fields that change from one to the next.

    syn = template(packet, "ipv4.src", "tcp.sport")
    syn.render("10.0.0.7", 4000)                    # one packet, checksums right
    syn.block([("10.0.0.7", p) for p in ports])     # many, back to back

The bytes are those of building the packet anew with these values, and cost a fraction of it. The Internet checksum
is linear in every field: modulo 65535 it is a constant less, for each field, its value times a weight. That is
RFC 1624's equation 3, HC' = ~(~HC + ~m + m'), for all the fields at once, pseudo headers and checksums over
checksums included. The weights are not written down anywhere: the packet is built with each field at 0 and at 1,
and the weight read off. RDT's CRC-32 is summed again from the first byte that can change.

Like `codec`, this writes a few lines of Python for each template, once; `Template.source` shows them. In them x0 is
the first field's value as a number, b0 as bytes; c2 is the checksum of layer 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from struct import pack as struct_pack
from typing import Any, NamedTuple
from zlib import crc32

from rawproto.errors import WireError
from rawproto.wire.field import Field
from rawproto.wire.packet import Packet

__all__ = ["Template", "template"]

NAME = re.compile(
    r"(?:(?P<layer>\w+)(?:#(?P<nth>[1-9]\d*))?\.(?P<field>\w+)|payload)(?:\[(?P<start>\d+):(?P<stop>\d+)\])?"
)
LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
ZERO_IS_SENT_AS_ONES = ("UDP", "UDPLite")
"""A checksum of 0 would say that there is none (RFC 768, RFC 3828 §3.1)."""
BATCH = 120_000
"""Bytes that `block` works on at once: they stay in the processor's cache, and malloc fetches no pages for them."""


class Slot(NamedTuple):
    """One thing that changes: a field, or a run of bytes in one."""

    name: str
    layer: int
    row: Field | None
    """None for the payload."""
    offset: int
    """In bits from the start of the packet."""
    bits: int
    start: int | None = None
    """For a slice, where in the field's bytes it starts."""

    @property
    def takes_bytes(self) -> bool:
        """Whether the field holds bytes: an address, a slice."""
        return self.row is None or self.row.pack is not None


class Check(NamedTuple):
    """A checksum that is worked out for each packet."""

    slot: Slot
    expression: str = ""
    """Empty for a CRC."""
    start: int = 0
    """A CRC covers all from here to `end`, in bytes, but itself."""
    end: int = 0

    @property
    def name(self) -> str:
        """What the generated code calls it."""
        return f"c{self.slot.layer}"

    @property
    def at(self) -> int:
        """Its byte in the packet."""
        return self.slot.offset // 8


class Part(NamedTuple):
    """A run of whole bytes that changes: all the slots that share them, or a checksum."""

    offset: int
    size: int
    expression: str
    is_bytes: bool = False


class Template:
    """A packet with open places. Made by `template`."""

    __slots__ = ("_plan", "fields", "render", "size", "source")

    size: int
    """Bytes of each packet."""
    fields: tuple[str, ...]
    """The names that it was made with, in the order of the values."""
    render: Callable[..., bytes]
    """`render(*values) -> bytes`: the packet with these values, one for each field, as the field takes them; addresses
    and slices take an int too. Raises WireError for a value that does not fit. (A function of its own, because looking
    up a method would cost a fifth of what it does.)"""
    source: str
    """The Python that was written for it."""

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self.size = len(plan.data)
        self.fields = tuple(slot.name for slot in plan.slots)
        self.render = plan.scope["render"]
        self.source = plan.source

    def block(self, rows: Iterable[Any]) -> bytes:
        """Many packets, back to back: packet n starts at byte n * `size`.

        A row is a value, or a tuple of values if there are several fields. Some hundred rows at a time cost least: the
        memory for a block of many megabytes costs more than what is written into it. Raises WireError for a value that
        does not fit, or a row of another length.
        """
        if not isinstance(rows, (list, tuple, range)):
            rows = list(rows)
        step = max(BATCH // self.size, 1)
        try:
            return b"".join(self._plan.fill(rows[at : at + step]) for at in range(0, len(rows), step))
        except (StructError, TypeError, ValueError) as error:
            for row in rows:
                self._plan.refuse(row if isinstance(row, (tuple, list)) else (row,))
            raise WireError(f"template: these rows do not fit {self.fields}: {error}") from None

    def frames(self, *columns: Iterable[Any]) -> Iterator[bytes]:
        """A packet for each value of `columns`, one iterable for each field, until the shortest ends."""
        if len(columns) != len(self.fields):
            raise WireError(f"template: {len(columns)} iterables for {len(self.fields)} fields: {self.fields}")
        return map(self.render, *columns)

    def __repr__(self) -> str:
        return f"<Template of {self.size} bytes: {', '.join(self.fields)}>"


def template(packet: Packet, *fields: str) -> Template:
    """Compile `packet` with `fields` open.

    A field is called by its layer in lower case and its own name: "ipv4.id", "tcp.sport", "vlan.vid"; "ipv4#2.ttl" is
    in the second IPv4 header, "payload[4:8]" is a part of the payload, "ethernet.src[3:6]" of a field that holds
    bytes. The messages of a family go by its name ("icmp.seq").

    Checksums that are None in the packet follow, those that are ints stay, and one that is itself open is set to what
    is given. Of a parsed packet all are ints: `packet.recompute()` opens them. Raises WireError for a name that is not
    there, for lengths, which can't change, and for a field that others depend on otherwise than by a checksum.
    """
    if not fields:
        raise WireError("template: name at least one field, as in template(packet, 'ipv4.id')")
    slots = [_resolve(packet, name) for name in fields]
    made = Template(_Plan(packet, slots))
    for numbers in _trials(slots):
        if made.render(*numbers) != bytes(_filled(packet, slots, numbers)):
            changed = ", ".join(slot.name for slot, number in zip(slots, numbers, strict=True) if number)
            raise WireError(f"template: {changed} can't change: more than checksums depends on it")
    return made


def _trials(slots: Sequence[Slot]) -> Iterator[list[int]]:
    """Values that show whether a template is right: single bits of each slot, all of its bits, all bits of all."""
    zeros = [0] * len(slots)
    ones = [(1 << slot.bits) - 1 for slot in slots]
    for n, slot in enumerate(slots):
        bits = range(0, slot.bits, slot.bits // 32 + 1)
        for number in (*(1 << bit for bit in bits), ones[n]):
            yield [*zeros[:n], number, *zeros[n + 1 :]]
    yield ones


# What the names mean


def _resolve(packet: Packet, name: str) -> Slot:
    match = NAME.fullmatch(name)
    if match is None:
        raise WireError(f"template: {name!r} is not of the form 'layer.field', 'layer#2.field' or 'payload[4:8]'")
    layout, layer = packet.layout, match["layer"]
    if layer is None:
        return _slice(match, Slot(name, -1, None, layout.payload_start * 8, 0), len(packet.payload))
    found = [at for at, header in enumerate(packet.layers) if header.family.lower() == layer]
    nth = int(match["nth"] or 1)
    if len(found) < nth:
        known = ", ".join(header.family.lower() for header in packet.layers)
        raise WireError(f"template: {name}: no layer {layer} of that number is in the packet; it has {known}")
    at = found[nth - 1]
    header = packet.layers[at]
    row = next((row for row in header.fields if row.name == match["field"]), None)
    if row is None:
        known = ", ".join(row.name for row in header.fields)
        raise WireError(f"template: {type(header).__name__} has no field {match['field']}; it has {known}")
    slot = Slot(name, at, row, layout.offsets[at] * 8 + row.offset, row.bits)
    if row.pack and (match["start"] is not None or row.is_tail):
        return _slice(match, slot, len(header.raw(row.name)))
    if match["start"] is not None:
        raise WireError(f"template: {name}: the field holds a number, so it has no parts")
    # An EtherType is in the place of a length, and is none.
    is_length = row.name == header.length_field and row.name != "ethertype"
    if is_length or row.name == header.fields[-1].words:
        raise WireError(f"template: {name}: lengths can't change")
    return slot


def _slice(match: re.Match[str], slot: Slot, length: int) -> Slot:
    if match["start"] is None:
        raise WireError(f"template: {slot.name}: lengths can't change: name a part of it, as in '{slot.name}[0:4]'")
    start, stop = int(match["start"]), int(match["stop"])
    if not start < stop <= length:
        raise WireError(f"template: {slot.name}: a part lies within its {length} bytes and is not empty")
    return slot._replace(offset=slot.offset + 8 * start, bits=8 * (stop - start), start=start)


def _filled(packet: Packet, slots: Sequence[Slot], numbers: Sequence[int]) -> Packet:
    """The packet with these values, to be built by the headers themselves."""
    layers = list(packet.layers)
    payload = packet.payload
    for slot, number in zip(slots, numbers, strict=True):
        value: Any = number.to_bytes(slot.bits // 8) if slot.takes_bytes else number
        held = payload if slot.row is None else layers[slot.layer].raw(slot.row.name)
        if slot.start is not None:
            value = held[: slot.start] + value + held[slot.start + len(value) :]
        if slot.row is None:
            payload = value
        else:
            layers[slot.layer] = layers[slot.layer].replace(**{slot.row.name: value})
    return Packet(layers, payload, trailer=packet.trailer, linktype=packet.linktype)


# What follows from what


def _checks(packet: Packet, slots: Sequence[Slot]) -> list[Check]:
    """The checksums that may change, innermost first; those that are sums without their expressions yet."""
    layout = packet.layout
    taken = {(slot.layer, slot.row.name) for slot in slots if slot.row}
    found: list[Check] = []
    for at, header in reversed(list(enumerate(packet.layers))):
        for row in header.fields:
            if row.name not in ("checksum", "crc") or header.raw(row.name) is not None or (at, row.name) in taken:
                continue
            start, end = layout.offsets[at], layout.ends[at]
            slot = Slot(row.name, at, row, start * 8 + row.offset, row.bits)
            if row.name == "checksum" or found or any(start * 8 <= other.offset < end * 8 for other in slots):
                found.append(Check(slot, "", start, end))
    return found


def _weighed(packet: Packet, slots: Sequence[Slot], checks: Sequence[Check]) -> tuple[list[Check], bytes]:
    """The checks that do change, with their expressions, and the packet's bytes with 0 in all that changes.

    A CRC is not linear. It is held still meanwhile, and is one more field to the sums that cover it.
    """
    crcs = [check for check in checks if check.slot.name == "crc"]
    movable = [*slots, *(check.slot for check in crcs)]
    names = [*(f"x{n}" for n in range(len(slots))), *(check.name for check in crcs)]
    zeros = [0] * len(movable)
    lowest = bytes(_filled(packet, movable, zeros))
    raised = [bytes(_filled(packet, movable, [*zeros[:n], 1, *zeros[n + 1 :]])) for n in range(len(movable))]
    found = []
    for check in checks:
        if check in crcs:
            found.append(check)
            continue
        constant, *sums = (int.from_bytes(data[check.at : check.at + 2]) for data in (lowest, *raised))
        weights = {name: (constant - value) % 0xFFFF for name, value in zip(names, sums, strict=True)}
        as_ones = packet.layers[check.slot.layer].family in ZERO_IS_SENT_AS_ONES
        if any(weights.values()):
            found.append(check._replace(expression=_expression(constant, weights, as_ones)))
    return found, lowest


def _expression(constant: int, weights: dict[str, int], as_ones: bool) -> str:
    terms = "".join(f" - {name}" + f" * {weight}" * (weight > 1) for name, weight in weights.items() if weight)
    value = f"({constant % 0xFFFF}{terms}) % 65535"
    if as_ones:
        return f"({value} or 65535)"
    if constant == 0xFFFF:  # all is zero when the fields are, and one's complement has another sum for that
        return f"({value} or (0 if {' or '.join(name for name in weights if weights[name])} else 65535))"
    return value


def _parts(slots: Sequence[Slot], data: bytes) -> list[Part]:
    """The slots by the bytes that they lie in, in the order of the packet."""
    runs: list[list[int]] = []
    end = 0
    for n in sorted(range(len(slots)), key=lambda n: slots[n].offset):
        if slots[n].offset < end:
            raise WireError(f"template: {slots[runs[-1][-1]].name} and {slots[n].name} overlap")
        if slots[n].offset // 8 < (end + 7) // 8:
            runs[-1].append(n)
        else:
            runs.append([n])
        end = slots[n].offset + slots[n].bits
    found = []
    for run in runs:
        last = slots[run[-1]]
        offset, stop = slots[run[0]].offset // 8, (last.offset + last.bits + 7) // 8
        if last.takes_bytes:
            found.append(Part(offset, stop - offset, f"b{run[0]}", is_bytes=True))
            continue
        fixed = int.from_bytes(data[offset:stop])
        shifts = ((n, stop * 8 - slots[n].offset - slots[n].bits) for n in run)
        terms = [*([f"{fixed}"] if fixed else []), *(f"x{n}" + f" << {by}" * (by > 0) for n, by in shifts)]
        found.append(Part(offset, stop - offset, " | ".join(terms)))
    return found


class _Plan:
    """All that is known of a template: what changes, how, and the functions that do it."""

    def __init__(self, packet: Packet, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self.checks, self.data = _weighed(packet, slots, _checks(packet, slots))
        self.parts = _parts(slots, self.data)
        every = sorted([*self.parts, *(Part(c.at, c.slot.bits // 8, c.name) for c in self.checks)])
        self.first = {c.name: min((p.offset for p in every if c.start <= p.offset), default=c.at) for c in self.checks}
        self.scope: dict[str, Any] = {"crc32": crc32, "from_bytes": int.from_bytes, "refuse": self.refuse}
        self.scope |= {f"pack{n}": self._converter(slot) for n, slot in enumerate(slots) if slot.takes_bytes}
        self.scope |= {f"{c.name}_before": crc32(self.data[c.start : self.first[c.name]]) for c in self.checks}
        self.source = "\n".join([*self._render(self._assembly(every)), *self._columns()])
        exec(self.source, self.scope)  # the text is made of offsets and weights alone

    def _assembly(self, every: Sequence[Part]) -> str:
        """The call that joins all parts with the bytes between them, which are put into the scope."""
        letters, texts, end = ">", [], 0
        for part in [*every, Part(len(self.data), 0, "")]:
            self.scope[f"s{end}"] = self.data[end : part.offset]
            letters += f"{part.offset - end}s"
            texts.append(f"s{end}")
            if part.size in LETTERS and not part.is_bytes:
                letters += LETTERS[part.size]
                texts.append(part.expression)
            elif part.size:
                letters += f"{part.size}s"
                texts.append(part.expression if part.is_bytes else f"({part.expression}).to_bytes({part.size})")
            end = part.offset + part.size
        self.scope["pack"] = Struct(letters).pack
        return f"pack({', '.join(texts)})"

    def _render(self, whole: str) -> list[str]:
        names = [f"b{n}" if slot.takes_bytes else f"x{n}" for n, slot in enumerate(self.slots)]
        lines = [f"def render({', '.join(names)}):"]
        limits = [f"x{n} >> {slot.bits}" for n, slot in enumerate(self.slots) if not slot.takes_bytes]
        if limits:
            lines += [f" try: wrong = {' or '.join(limits)}", " except TypeError: wrong = True"]
            lines.append(f" if wrong: refuse(({', '.join(names)},))")
        for n, slot in enumerate(self.slots):
            if slot.takes_bytes:
                lines.append(f" b{n} = pack{n}(b{n})")
                if any(re.search(rf"\bx{n}\b", check.expression) for check in self.checks):
                    lines.append(f" x{n} = from_bytes(b{n})")
        if not all(check.expression for check in self.checks):
            lines.append(f" {' = '.join(check.name for check in self.checks)} = 0")
        for check in self.checks:
            if check.expression:
                lines.append(f" {check.name} = {check.expression}")
            else:
                before = f"crc32(data[{self.first[check.name]}:{check.at}], {check.name}_before)"
                lines.append(f" data = {whole}; {check.name} = crc32(data[{check.at + 4}:{check.end}], {before})")
        return [*lines, f" return {whole}"]

    def _columns(self) -> Iterator[str]:
        """A function for each column of numbers that is worked out."""
        worked_out = {part.offset: part.expression for part in self.parts if not part.is_bytes}
        for at, expression in (worked_out | {c.at: c.expression for c in self.checks if c.expression}).items():
            names = ", ".join(dict.fromkeys(re.findall(r"\b[xc]\d+", expression)))
            rows = f"zip({names})" if "," in names else names
            yield f"def column{at}({names}, **others): return [{expression} for {names} in {rows}]"

    def fill(self, rows: Sequence[Any]) -> bytearray:
        """The packets of these rows, made column by column, each laid into all packets at once."""
        size = len(self.data)
        buffer = bytearray(self.data) * len(rows)
        found = self._given(rows)
        for part in self.parts:
            cells = found.get(part.expression) or self.scope[f"column{part.offset}"](**found)
            self._lay(buffer, part.offset, part.size, cells)
        for check in self.checks:
            if check.expression:
                found[check.name] = self.scope[f"column{check.at}"](**found)
            else:
                first, after, before = self.first[check.name], check.at + 4, self.scope[f"{check.name}_before"]
                with memoryview(buffer) as view:
                    found[check.name] = [
                        crc32(view[n + after : n + check.end], crc32(view[n + first : n + check.at], before))
                        for n in range(0, len(buffer), size)
                    ]
            self._lay(buffer, check.at, check.slot.bits // 8, found[check.name])
        return buffer

    def _given(self, rows: Sequence[Any]) -> dict[str, Sequence[Any]]:
        """The columns of values: xN as numbers, and bN, for fields that hold bytes, as either."""
        columns = list(zip(*rows, strict=True)) if len(self.slots) > 1 else [rows]
        found: dict[str, Sequence[Any]] = {}
        for n, (slot, column) in enumerate(zip(self.slots, columns, strict=True)):
            if slot.takes_bytes and (slot.bits > 64 or set(map(type, column)) != {int}):
                found[f"b{n}"] = list(map(self.scope[f"pack{n}"], column))
                found[f"x{n}"] = list(map(int.from_bytes, found[f"b{n}"]))
                continue
            # what struct can't tell when it packs the number with its neighbours, or in a wider letter
            if slot.bits not in (8, 16, 32, 64) and max(column) >> slot.bits:
                raise ValueError(slot.name)
            found[f"x{n}"] = column
            if slot.takes_bytes:
                found[f"b{n}"] = column
        return found

    def _lay(self, buffer: bytearray, offset: int, width: int, cells: Sequence[Any]) -> None:
        if isinstance(cells[0], bytes):
            laid, each = b"".join(cells), width
        else:
            each = next(size for size in LETTERS if size >= width)
            laid = struct_pack(f">{len(cells)}{LETTERS[each]}", *cells)
        for at in range(width):
            buffer[offset + at :: len(self.data)] = laid[each - width + at :: each]

    def refuse(self, values: Sequence[Any]) -> None:
        """Raise the WireError for values that do not fit; nothing for those that do."""
        if len(values) != len(self.slots):
            raise WireError(f"template: a row has {len(values)} values, not {len(self.slots)}: {values!r}")
        for n, (slot, value) in enumerate(zip(self.slots, values, strict=True)):
            limit = (1 << slot.bits) - 1
            if slot.takes_bytes:
                self.scope[f"pack{n}"](value)
            elif not isinstance(value, int) or not 0 <= value <= limit:
                raise WireError(f"template: {slot.name}: {value!r} is not in 0..{limit}")

    @staticmethod
    def _converter(slot: Slot) -> Callable[[Any], bytes]:
        size = slot.bits // 8
        pack: Callable[[Any], bytes] = b"".__add__
        if slot.start is None and slot.row is not None and slot.row.pack is not None:
            pack = slot.row.pack

        def convert(value: Any) -> bytes:
            if type(value) is bytes and len(value) == size:
                return value
            try:
                data = value.to_bytes(size) if isinstance(value, int) else pack(value)
            except (OverflowError, TypeError, WireError) as error:
                raise WireError(f"template: {slot.name}: {value!r} does not fit: {error}") from None
            if len(data) != size:
                raise WireError(f"template: {slot.name}: {len(data)} bytes, not {size}")
            return data

        return convert

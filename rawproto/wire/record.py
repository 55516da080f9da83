"""One packet as a dict of plain values, for JSON: what `rawproto dump --json` writes, a line a packet.

    json.dumps(record(Packet.parse(frame), frame, number))

Each layer has its name and every field of its table by the field's name: numbers as numbers, addresses as text, other
bytes in hexadecimal. What a packet means in a sentence is `summary`, what its bytes mean is `explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeAlias

from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.packet import Packet

__all__ = ["record"]

LINKTYPES = {int(member): name.lower() for name, member in LinkType.__members__.items()}


def record(packet: Packet, frame: Frame, number: int) -> dict[str, Any]:
    """The packet, which was parsed from `frame`, the `number`th of its capture.

    - `number`, `time_ns`, `caplen` and `origlen` (bytes captured and on the wire), `interface`
    - `linktype`: the name as in "ethernet", or the number of one without a name
    - `direction`: "inbound", "outbound" or "unknown"; `vlan_tci`: the tag that the kernel took out, or null
    - `layers`: lowest first, each with its `name` ("ipv4", "tcp"; messages go by their family) and its fields. Beside a
      field of flags stands its `..._names`, beside the type of a message `message`, beside `options` (records,
      addresses, ...) what is in them, as `parsed_options`. A header that is cut or too short has the fields that are
      there as a whole, and `incomplete` true. Those of the packet that an ICMP error quotes come last, with `quoted`
      true.
    - `payload_len`: bytes behind the last header
    - `checksums`: "ok", "bad", "offloaded" or "unverifiable" by layer; a second one is called "ipv4#2"
    - `problems`: what a parser finds wrong; offsets count from the packet's first byte
    """
    layout = packet.layout
    return {
        "number": number,
        "time_ns": frame.time_ns,
        "caplen": len(frame.data),
        "origlen": frame.wire_length,
        "linktype": LINKTYPES.get(frame.linktype, int(frame.linktype)),
        "interface": frame.interface,
        "direction": frame.direction.name.lower(),
        "vlan_tci": frame.vlan_tci,
        "layers": _layers(packet),
        "payload_len": max(layout.payload_end - layout.payload_start, 0),
        "checksums": {name.lower(): str(verdict) for name, verdict in packet.checksums.items()},
        "problems": [{**problem._asdict(), "layer": problem.layer.lower()} for problem in packet.problems],
    }


def _layers(packet: Packet) -> list[dict[str, Any]]:
    layout = packet.layout
    layers = [_layer(header) for header in layout.layers]
    partial = layout.partial
    if partial is not None:
        found = _layer(partial.header)
        whole = {row.name for row in partial.fields}
        for row in partial.header.fields:
            if row.name not in whole:
                for key in (row.name, f"{row.name}_names", f"parsed_{row.name}"):
                    found.pop(key, None)
        if layout.offsets and layout.offsets[-1] == partial.offset:
            found = {**layers.pop(), **found}
        layers.append({**found, "incomplete": True})
    quoted = packet.quoted
    if quoted is not None:
        layers += [{**layer, "quoted": True} for layer in _layers(quoted)]
    return layers


def _layer(header: Header) -> dict[str, Any]:
    kind = type(header)
    plan = _plans.get(kind)
    if plan is None:
        plan = _plans[kind] = _plan(kind)
    name, names, conversions, parsed = plan
    raw = header.raw
    found: dict[str, Any] = {"name": name}
    for field in names:
        found[field] = raw(field)
    for field, key, convert in conversions:
        value = convert(raw(field))
        if value is not None:
            found[key] = value
    for key in parsed:
        values = getattr(header, key)
        found[key] = [_option(value) if key == "parsed_options" else _plain(value) for value in values]
    return found


Plan: TypeAlias = tuple[str, tuple[str, ...], tuple[tuple[str, str, Callable[[Any], Any]], ...], tuple[str, ...]]
"""A header's name, its fields, (field, key, conversion) for values that are not taken as they are, and what it has as
objects. A conversion that gives None leaves its key out."""
_plans: dict[type[Header], Plan] = {}


def _plan(kind: type[Header]) -> Plan:
    conversions: list[tuple[str, str, Callable[[Any], Any]]] = []
    for row in kind.fields:
        if row.pack is not None:
            conversions.append((row.name, row.name, bytes.hex if row.text is None else row.text))
        elif isinstance(row.names, type):
            conversions.append((row.name, row.name, int))
            flags = [(int(flag), str(flag.name)) for flag in row.names]
            conversions.append((row.name, f"{row.name}_names", _flag_names(flags)))
        elif row.name == "type" and isinstance(row.names, Mapping):
            conversions.append((row.name, "message", row.names.get))
    parsed = tuple(
        name for name in dir(kind) if name.startswith("parsed_") and isinstance(getattr(kind, name), property)
    )
    return kind.family.lower(), tuple(row.name for row in kind.fields), tuple(conversions), parsed


def _flag_names(known: list[tuple[int, str]]) -> Callable[[int], list[str]]:
    return lambda value: [name for flag, name in known if flag & value]


def _option(option: Any) -> dict[str, Any]:
    """An option with its type number, its class's name and its values."""
    kind = type(option)
    plan = _option_plans.get(kind)
    if plan is None:
        names = tuple(row.name for row in fields(kind)) if is_dataclass(kind) else ()
        plan = _option_plans[kind] = names, isinstance(getattr(kind, "code", None), property)
    names, has_code = plan
    found: dict[str, Any] = {"kind": option.code if has_code else bytes(option)[0], "name": kind.__name__}
    for name in names:
        value = getattr(option, name)
        found[name] = value if type(value) is int else _plain(value)
    return found


_option_plans: dict[type[Any], tuple[tuple[str, ...], bool]] = {}
"""The names of an option's values, and whether it knows its type number without being packed."""


def _plain(value: Any) -> Any:
    """Numbers and text as they are, bytes in hexadecimal, sequences as lists."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value.hex()
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {row.name: _plain(getattr(value, row.name)) for row in fields(value)}
    return value if isinstance(value, (int, str, type(None))) else str(value)

"""Where two frames differ, said field by field."""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.packet import Packet

__all__ = ["difference"]


def difference(recorded: bytes, replayed: bytes, linktype: LinkType) -> str:
    """Describe how `replayed` differs from `recorded`, a line for each field; "" if they are equal."""
    if recorded == replayed:
        return ""
    before, after = Packet.parse(recorded, linktype), Packet.parse(replayed, linktype)
    lines = [f"recorded: {before.summary()}", f"replayed: {after.summary()}"]
    if [type(layer) for layer in before.layers] != [type(layer) for layer in after.layers]:
        return "\n".join(lines)
    for one, other in zip(before.layers, after.layers, strict=True):
        lines.extend(_fields(one, other))
    if before.payload != after.payload:
        at = next(
            (index for index, (a, b) in enumerate(zip(before.payload, after.payload, strict=False)) if a != b),
            min(len(before.payload), len(after.payload)),
        )
        lines.append(f"  payload: {len(before.payload)} and {len(after.payload)} bytes, first different at byte {at}")
    return "\n".join(lines)


def _fields(one: Header, other: Header) -> Iterator[str]:
    for row in one.fields:
        before, after = getattr(one, row.name), getattr(other, row.name)
        if before != after:
            yield f"  {type(one).__name__}.{row.name}: recorded {before!r}, replayed {after!r}"

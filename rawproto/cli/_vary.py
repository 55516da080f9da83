"""Fields that change from packet to packet, as people type them: "tcp.sport=1000-2000", "ipv4.src=10.0.0.0/30"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import starmap
from math import prod

from rawproto.cli import UsageError
from rawproto.errors import WireError
from rawproto.wire.address import pack_mac
from rawproto.wire.dissect import ChecksumVerdict
from rawproto.wire.packet import Packet
from rawproto.wire.template import Template, template

__all__ = ["Variation", "Varied", "parse_variation"]

NAME = re.compile(r"[\w#.\[\]:]+")
NUMBER = re.compile(r"[0-9]{1,40}|0[xX][0-9a-fA-F]{1,32}", re.ASCII)
MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
RANGE = re.compile(r"([^-/]+)-([^-/]+)(?:/([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Variation:
    """One field, and the values that it takes in turn, as numbers."""

    field: str
    values: tuple[range, ...]

    def __iter__(self) -> Iterator[int]:
        for part in self.values:
            yield from part

    @property
    def count(self) -> int:
        """How many values there are."""
        # Not by `len`, which has no room for all IPv6 addresses.
        return sum((part.stop - part.start + part.step - 1) // part.step for part in self.values)

    @property
    def extremes(self) -> tuple[int, int]:
        """The least and the greatest of them."""
        ends = [end for part in self.values for end in (part[0], part[-1])]
        return min(ends), max(ends)


def parse_variation(text: str) -> Variation:
    """A variation from FIELD=VALUES: values and ranges with commas between; a range may have a step, 1000-2000/10.

    Values are numbers, IP and MAC addresses; a network stands for all of its addresses. Raises ValueError.
    """
    field, equals, values = text.partition("=")
    if not equals or not NAME.fullmatch(field.strip()) or not values.strip():
        raise ValueError(f"{text!r} varies nothing: give a field and its values, such as tcp.sport=1000-2000")
    return Variation(field.strip(), tuple(_values(part.strip()) for part in values.split(",")))


def _values(text: str) -> range:
    match = RANGE.fullmatch(text)
    if match is not None:
        first, last, step = _number(match[1].strip()), _number(match[2].strip()), int(match[3] or 1)
        if first > last or not step:
            raise ValueError(f"{text!r} is no range: it goes from the smaller to the greater, in steps of 1 or more")
        return range(first, last + 1, step)
    if "/" in text:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is no network: give one such as 10.0.0.0/24, or a range") from None
        return range(int(network[0]), int(network[-1]) + 1)
    value = _number(text)
    return range(value, value + 1)


def _number(text: str) -> int:
    if NUMBER.fullmatch(text):
        return int(text, 16 if text[:2].lower() == "0x" else 10)
    if MAC.fullmatch(text):
        return int.from_bytes(pack_mac(":".join(part.rjust(2, "0") for part in text.split(":"))))
    try:
        return int(ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no number and no address") from None


class Varied:
    """A packet whose fields vary: every combination of their values, that of the last one changing fastest.

    Checksums follow: those that are open, and of a parsed packet those that are right. Raises UsageError for a field
    that is not there or can't hold a value.
    """

    def __init__(self, packet: Packet, variations: Sequence[Variation]) -> None:
        self.variations = variations
        self.count = prod(variation.count for variation in variations)
        """How many packets there are before they come round again."""
        try:
            self.template: Template = template(_reopened(packet), *(variation.field for variation in variations))
            for variation in variations:
                self._check(variation)
        except WireError as error:
            raise UsageError(f"--vary: {str(error).removeprefix('template: ')}") from None

    def _check(self, variation: Variation) -> None:
        for value in variation.extremes:
            self.template.render(*(value if other is variation else other.extremes[0] for other in self.variations))

    def __iter__(self) -> Iterator[bytes]:
        """Each packet once."""
        render = self.template.render
        if len(self.variations) == 1:
            return map(render, self.variations[0])
        return starmap(render, _rows(self.variations))


def _rows(variations: Sequence[Variation]) -> Iterator[tuple[int, ...]]:
    """As itertools.product, which would keep all values of each in memory."""
    if not variations:
        yield ()
        return
    for value in variations[0]:
        for row in _rows(variations[1:]):
            yield (value, *row)


def _reopened(packet: Packet) -> Packet:
    """The packet with those checksums open that are numbers, and right."""
    verdicts, seen = packet.checksums, dict[str, int]()
    layers = list(packet.layers)
    for at, header in enumerate(layers):
        seen[header.family] = seen.get(header.family, 0) + 1
        name = header.family if seen[header.family] == 1 else f"{header.family}#{seen[header.family]}"
        field = next((row.name for row in header.fields if row.name in ("checksum", "crc")), "")
        if field and header.raw(field) is not None and verdicts.get(name) is ChecksumVerdict.OK:
            layers[at] = header.replace(**{field: None})
    return Packet(layers, packet.payload, trailer=packet.trailer, linktype=packet.linktype)

"""`rawproto explain`: say what each byte of a packet means."""

from __future__ import annotations

import json
from typing import Annotated, NamedTuple

from rawproto.cli import UsageError
from rawproto.cli._material import CaptureFile, packet_of, understand
from rawproto.cli._options import flag, parse_count, parse_linktype, plain_words, unit, words
from rawproto.interop.upper import upper_of
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.html import explain_html
from rawproto.wire.packet import Packet
from rawproto.wire.record import record

__all__ = ["explain"]


def explain(
    *what: Annotated[str, words("WHAT")],
    number: Annotated[int | None, unit(parse_count, "N")] = None,
    linktype: Annotated[LinkType | None, unit(parse_linktype, "TYPE")] = None,
    as_object: Annotated[bool, flag("--json")] = False,
    as_html: Annotated[bool, flag("--html")] = False,
) -> int:
    """Say what each byte of a packet means: its field, its value, its meaning, and the RFC that says so.

    WHAT is bytes in hexadecimal, a packet of a capture, or a packet written out as in Python, with headers, options and
    flags by the names of rawproto.wire. What is left out of such a packet (lengths, checksums, types) is worked out.

    Exit status: 0, 1 if a capture is damaged before the packet, 2 for a wrong call.

    Examples:

    ```
    rawproto explain 45 00 00 1c 00 00 00 00 40 11 7c cf 7f 00 00 01 7f 00 00 01 00 35 00 35 00 08 00 00 --linktype raw
    rawproto explain 'Ethernet() / IPv4(dst="10.0.0.2") / TCP(dport=80, flags=SYN, options=[MaximumSegmentSize(1460)])'
    rawproto explain pcaps/reset.pcapng:3
    rawproto explain pcaps/reset.pcapng --number 3 --json | jq .layers
    rawproto explain 'IPv6(dst="::1") / UDP(dport="domain", checksum=1) / b"x" * 32' --html > packet.html
    xxd -p frame.bin | rawproto explain -
    ```

    Parameters
    ----------
    what
        Hexadecimal digits, with or without spaces, colons and 0x; FILE or FILE:NUMBER; a packet; - for one of these on
        standard input.
    number
        Which packet of the capture, from 1.
    linktype
        What the first byte belongs to: ethernet (of bytes the default), raw (an IP packet), or another name or number
        of a capture's link types.
    as_object
        Print the packet as a JSON object, in the form that `rawproto dump --json` writes.
    as_html
        Print it as HTML, for a page or a notebook: point at a byte to see its field.
    """
    if as_object and as_html:
        raise UsageError("--json and --html exclude each other")
    found = understand(plain_words(what, "explain"))
    if number is not None and not isinstance(found, CaptureFile):
        raise UsageError("--number says which packet of a capture, and this is none")
    if isinstance(found, CaptureFile):
        if number is not None and found.number is not None:
            raise UsageError(f"--number {number} and {found.name}:{found.number} exclude each other")
        wanted = found.number if number is None else number
        material = _from_capture(found, 1 if wanted is None else wanted, linktype)
    elif isinstance(found, bytes):
        frame = Frame(found, 0, LinkType.ETHERNET if linktype is None else linktype)
        material = Material(Packet.parse(frame), frame)
    else:
        material = _composed(found, linktype)
    if as_object:
        print(json.dumps(record(material.packet, material.frame, material.number), indent=2))
    elif as_html:
        print(explain_html(material.packet))
    else:
        _show(material)
    return 0


class Material(NamedTuple):
    """A packet, the frame that it is read from, and its number."""

    packet: Packet
    frame: Frame
    number: int = 1


def _from_capture(file: CaptureFile, number: int, linktype: LinkType | None) -> Material:
    frame = packet_of(file, number)
    if linktype is not None:
        frame = frame._replace(linktype=linktype)
    return Material(Packet.parse(frame), frame, number)


def _composed(packet: Packet, linktype: LinkType | None) -> Material:
    if linktype is not None:
        packet = Packet(packet.layers, packet.payload, trailer=packet.trailer, linktype=linktype)
    return Material(packet, Frame(bytes(packet), 0, packet.linktype))


def _show(material: Material) -> None:
    packet = material.packet
    print(packet.summary(), end="\n\n")
    print(packet.explain())
    upper = upper_of(packet)
    if upper is not None:
        print(f"{upper.protocol}: {upper.summary}")
    quoted = packet.quoted
    if quoted is not None and quoted.layers:
        print(f"\nThe packet that it quotes: {quoted.summary()}\n\n{quoted.explain()}")

"""Names of mechanisms, guarantees and events, as a story calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rawproto.link.forgery import FORGERIES, NEAR
from rawproto.link.script import Event
from rawproto.sim.quantities import time_text
from rawproto.study.lab.mechanisms import ALL_OFF, MECHANISMS, Mechanism
from rawproto.study.lab.packets import plural

__all__ = ["MEANINGS", "event_text", "guarantee_name", "mechanism_name", "mechanism_of", "title_of"]

GUARANTEES = {
    "complete": "completeness",
    "honest_end": "the honest end",
    "two_way": "two-way traffic",
    "connection": "the connection",
}
MEANINGS = {
    "integrity": "What is read is what was written, octet for octet.",
    "order": "Octets are read in the order in which they were written.",
    "no_duplication": "No octet is read twice.",
    "no_creation": "No octet is read that nobody has written.",
    "complete": "All that is written is read in the end, or both sides learn that it was not.",
    "honest_end": "The end of the stream, and success, are told only when they are true.",
    "freshness": "Nothing from an earlier connection is taken for this one's.",
    "two_way": "Each direction flows and ends by itself.",
    "connection": "A connection is what both sides agreed on, and ends only when one of them ends it.",
    "boundaries": "Records and datagrams come whole, each by itself.",
    "flow_control": "Nobody sends more than the receiver has room for.",
    "restraint": "Nobody sends more than the network bears, or to those who never asked.",
}
"""What each guarantee is, in a sentence; docs/guarantees.md says it exactly."""

MECHANISM_NAMES = {
    "none": "everything on",
    "all": "everything off",
    "isn": "keyed initial numbers",
    "challenge_ack": "challenge ACKs",
    "time_wait": "TIME-WAIT",
    "sack": "SACK",
    "ecn": "ECN",
    "path_mtu_discovery": "path MTU discovery",
    "delayed_ack": "delayed ACKs",
    "nagle": "Nagle's rule",
    "silly_window": "silly window avoidance",
    "persist": "the persist timer",
    "handshake": "the handshake",
}
WHOLE = {
    "all": Mechanism(
        "all",
        ALL_OFF,
        "RFC 768",
        "All that is left is what UDP has: ports. The headers are RDT's still; nobody acts on most of what they say.",
        "Whatever happens to a datagram happens to the application; a sender sends all that it has, and a reader whose "
        "buffer is full loses the rest.",
    ),
    "none": Mechanism(
        "none",
        {},
        "docs/guarantees.md",
        "Every mechanism is on.",
        "This must never happen: either the transport is at fault, or the checker.",
    ),
}
"""Rows that switch off all, or nothing."""
WEAK_SUM = Mechanism(
    "none",
    {},
    "RFC 1071; docs/rdt.md §3.3",
    "Every mechanism is on, but damage is looked for with the Internet's checksum, as TCP does: the 16-bit words of "
    "the datagram are added up.",
    "A sum does not know the order of what is added. Two words that change places leave it as it was, and so the "
    "datagram passes; a CRC would have told.",
)
FEW_BITS = Mechanism(
    "none",
    {},
    "RFC 9293 §3.4.3; RFC 7323 §5",
    "Every mechanism is on, but sequence numbers have few bits, and come round while datagrams are still alive.",
    "An old datagram turns up when its number is in the window again, and is taken for a new one. That is why numbers "
    "must not come round within the maximum segment lifetime, and why TCP got timestamps when links became fast.",
)


def guarantee_name(guarantee: str) -> str:
    """ "no_duplication" as "no duplication"."""
    return GUARANTEES.get(guarantee, guarantee.replace("_", " "))


def mechanism_name(off: str) -> str:
    """ "flow_control" as "flow control"."""
    return MECHANISM_NAMES.get(off, off.replace("_", " "))


def mechanism_of(off: str, settings: Mapping[str, object]) -> Mechanism:
    """The mechanism of that name; "all" and "none" are such names, too. With everything on, `settings` may be weak."""
    if off == "none" and settings.get("checksum") == "internet":
        return WEAK_SUM
    if off == "none" and "sequence_bits" in settings:
        return FEW_BITS
    return WHOLE[off] if off in WHOLE else MECHANISMS[off]


def title_of(off: str, guarantee: str, events: Sequence[Event]) -> str:
    """ "Without sequencing: order breaks after 1 event"."""
    where = {"all": "With nothing but ports", "none": "With everything on"}.get(off, f"Without {mechanism_name(off)}")
    after = f"after {plural(len(events), 'event')}" if events else "though nothing goes wrong"
    return f"{where}: {guarantee_name(guarantee)} breaks {after}"


def event_text(event: Event) -> str:
    """One thing that goes wrong, as a sentence."""
    which = f"the {event.side}'s datagram {event.packet}"
    lasts = time_text(event.for_ns)
    start = time_text(event.start_ns) if event.start_ns >= 1_000 else "the beginning"
    forgery = _forgery(event) if event.what else ""
    text = {
        "drop": f"{which} is lost",
        "duplicate": f"{which} comes twice" + (f", the copy {lasts} later" if event.for_ns else ""),
        "delay": f"{which} is kept for {lasts}",
        "flip": f"in {which} bit {event.at} flips",
        "swap": f"in {which} the 16-bit words {event.at} and {event.to} change places",
        "truncate": f"{which} is cut to {event.at} bytes",
        "forge": f"{lasts} after {which} comes a forgery in its name: {forgery}",
        "outage": f"from {start} on nothing that the {event.side} sends arrives, for {lasts}",
        "shrink_mtu": f"from {start} on whatever the {event.side} sends in more than {event.at} bytes is lost",
        "restart": f"at {start} the {event.side}'s host loses its memory",
        "jump": f"at {start} the {event.side}'s clock jumps by {lasts}",
        "rebind": f"at {start} the {event.side}'s address changes",
    }[event.kind]
    return f"{text[0].upper()}{text[1:]}."


def _forgery(event: Event) -> str:
    forged = FORGERIES[event.what]
    if forged.from_nobody:
        return forged.text
    return (
        f"{forged.text}, {f'number {event.at}' if forged.blind else f'{NEAR + event.at} past the number that is next'}"
    )

"""The mechanisms of the transport that the lab takes out, what each is for, and what theory says happens without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rawproto.errors import ConfigError
from rawproto.transport.config import SWITCHES, Config

__all__ = ["ALL_OFF", "MECHANISMS", "ROWS", "Mechanism", "off_settings", "settings_on"]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One row of the matrix. `off` are the settings without it."""

    name: str
    off: Mapping[str, Any]
    clause: str
    """The text that asks for it."""
    does: str
    """What it does, in a paragraph."""
    without: str
    """What goes wrong without it, in a paragraph."""
    attacker: bool = False
    """It is there against forgeries, so a story with one is the one to tell."""
    breaks: Mapping[str, int] = field(default_factory=dict)
    """The guarantees that theory says it carries, and the most events that a counterexample needs. Empty for what
    serves speed alone."""


MECHANISMS: dict[str, Mechanism] = {}
AGAINST_FORGERIES = ("isn", "cookies", "challenge_ack")


def _add(name: str, off: Mapping[str, Any], clause: str, does: str, without: str, **breaks: int) -> None:
    MECHANISMS[name] = Mechanism(name, off, clause, does, without, name in AGAINST_FORGERIES, breaks)


def _switch(name: str) -> Mapping[str, Any]:
    return {name: False}


_add(
    "checksum", {"checksum": "none"}, "RFC 9293 §3.1 (Checksum); docs/rdt.md §3.3",
    "A CRC-32 over header and payload of each datagram tells damage from data: the receiver drops what does not fit, "
    "and it is repeated like anything else that was lost.",
    "Bits that flip on the way and words that change places, in the memory of a switch as likely as on a cable, reach "
    "the application, and nobody ever notices.",
    integrity=1,
)  # fmt: skip
_add(
    "sequencing", _switch("sequencing"), "RFC 9293 §3.10.7.4, seventh; §3.4",
    "Each octet has a number, and what comes before its turn waits in the receiver's buffer until the gap is filled.",
    "The network owes nobody any order: one datagram takes a longer way, or is lost and repeated, and those behind it "
    "are read first.",
    order=1,
)  # fmt: skip
_add(
    "duplicate_suppression", _switch("duplicate_suppression"), "RFC 9293 §3.10.7.4, first",
    "Octets whose numbers the receiver has passed are dropped, and acknowledged once more.",
    "A datagram that the network doubles, or that is repeated because its acknowledgement was lost, is read twice.",
    no_duplication=1,
)  # fmt: skip
_add(
    "acknowledgement", _switch("acknowledgement"), "RFC 9293 §3.4, §3.10.7.4, fifth",
    "The receiver says what it has; the sender keeps all octets until it has heard that, and knows what arrived.",
    "The sender takes what left for what arrived. One loss, and it reports success for octets that nobody got.",
    honest_end=1, complete=1,
)  # fmt: skip
_add(
    "retransmission", _switch("retransmission"), "RFC 9293 §3.8; RFC 6298 §5; RFC 8985 §6",
    "What is not acknowledged in time, or is passed over by what was sent later, is sent again.",
    "One lost datagram is a gap for ever: both ends wait until the sender gives up.",
    complete=1,
)  # fmt: skip
_add(
    "backoff", _switch("backoff"), "RFC 6298 §5.5; RFC 9293 §3.8.1",
    "Each timeout doubles the next one, because silence may mean that the network is overloaded.",
    "The sender repeats itself at the same pace for as long as nobody answers: all senders together keep a congested "
    "network congested, which is how the Internet collapsed in 1986.",
    restraint=1,
)  # fmt: skip
_add(
    "handshake", _switch("handshake"), "RFC 9293 §3.5, figure 8",
    "Nobody takes data before each side has heard its own number back: a third message proves that the first was no "
    "old one.",
    "The listener believes the first SYN that it gets. An old one, which the network had kept, opens a connection that "
    "nobody wants: a ghost.",
    connection=1,
)  # fmt: skip
_add(
    "isn", _switch("keyed_isn"), "RFC 6528; RFC 9293 §3.4.1",
    "Each connection begins at a number that depends on a secret and on the clock: nobody can guess it, and what is "
    "still on its way from an earlier connection does not fit.",
    "Numbers begin at 0. Who knows the addresses and ports can put data into a connection without seeing a single one "
    "of its packets, and an old datagram fits a new connection as if it were made for it.",
    no_creation=1,
)  # fmt: skip
_add(
    "cookies", _switch("cookies"), "RFC 4987 §3.6; RFC 9000 §8.1",
    "The listener answers a SYN with all that it would have to remember, sealed with a secret, and forgets it. Only "
    "who gets what is sent to its address can bring that back.",
    "For each forged SYN the listener keeps a half-open connection and sends its answer again and again, to somebody "
    "who never asked: more bytes go out than came in.",
    restraint=1,
)  # fmt: skip
_add(
    "flow_control", _switch("flow_control"), "RFC 9293 §3.8.6",
    "The receiver says how much room it has, and the sender sends no more than that.",
    "A fast sender runs over a slow reader: what does not fit is dropped and sent again, and dropped again.",
    flow_control=0,
)  # fmt: skip
_add(
    "persist", _switch("persist"), "RFC 9293 §3.8.6.1",
    "While the window is closed the sender asks from time to time whether it is open again.",
    "The receiver says once that there is room, and that datagram is lost. It waits for data, the sender for room: a "
    "deadlock that no timer ends.",
    complete=1,
)  # fmt: skip
_add(
    "challenge_ack", _switch("challenge_ack"), "RFC 5961 §3-§5",
    "A reset counts only if it has exactly the number that is next; one that merely lies in the window, and any SYN, "
    "is answered with a question that only the real peer can answer.",
    "Any number in the window will do, so an attacker beside the path needs a few thousand guesses instead of billions "
    "to cut a connection.",
    connection=1,
)  # fmt: skip
_add(
    "time_wait", _switch("time_wait"), "RFC 9293 §3.6.1; RFC 1337",
    "Who closes first remembers the connection for twice the longest life of a datagram: long enough to answer a "
    "repeated FIN, and for the last old datagram to die.",
    "The same ports are used again at once. RFC 1337's hazards: old data are taken for new, an old datagram throws the "
    "new connection out of step, or kills it; and a lost last acknowledgement turns a good end into a reset.",
    connection=1, freshness=2, complete=2,
)  # fmt: skip
_add(
    "congestion_control", {"congestion_control": "none"}, "RFC 5681 §3; RFC 9438",
    "The sender begins with little, asks for more while all goes well, and halves what it has in flight when something "
    "is lost.",
    "Everything that the peer's window allows leaves at once, and whatever the slowest router can't keep is lost, "
    "other people's packets too.",
    restraint=0,
)  # fmt: skip
_add(
    "keep_alive", _switch("keep_alive"), "RFC 9293 §3.8.4",
    "An idle connection is asked after some time whether there is anybody.",
    "A peer that has lost its memory or its road says nothing, and who only waits for it waits for ever.",
    connection=1,
)  # fmt: skip
_add(
    "path_mtu_discovery", _switch("path_mtu_discovery"), "RFC 8899",
    "Datagrams grow and shrink to what the path carries, found out with probes whose loss costs nothing.",
    "If some router on the way takes only shorter datagrams, everything larger vanishes without a word.",
    complete=1,
)  # fmt: skip

for _name, _clause, _does, _without in (
    ("sack", "RFC 2018; RFC 2883", "The receiver reports what came out of order.",
     "The sender knows of one gap only, and repeats what has long arrived."),
    ("fast_retransmit", "RFC 8985 §6; RFC 5681 §3.2", "A loss is found from what was sent later and has arrived.",
     "Each loss waits for the retransmission timeout."),
    ("tail_loss_probe", "RFC 8985 §7", "The last packet is sent once more early, when nothing comes back.",
     "A loss at the end, which nothing later points to, waits for the timeout."),
    ("undo", "RFC 4015; RFC 2883", "A reduction of the window for a loss that was none is taken back.",
     "Each packet that is only late halves the sender's speed."),
    ("proportional_rate_reduction", "RFC 9937", "While a loss is repaired, sending goes on as packets arrive.",
     "The window falls at once: sending stops for half a round trip, then comes in a burst."),
    ("pacing", "RFC 9002 §7.7", "Packets leave spread over the round-trip time.",
     "Packets leave in bursts, and stand in queues that need not be there."),
    ("delayed_ack", "RFC 9293 §3.8.6.3; RFC 5681 §4.2", "Every second segment is acknowledged, or after a short wait.",
     "Each segment brings an acknowledgement of its own."),
    ("nagle", "RFC 9293 §3.7.4", "A small segment waits while another small one is on its way.",
     "Each octet that is typed costs a datagram of its own."),
    ("silly_window", "RFC 9293 §3.8.6.2", "Neither end moves slivers of the window.",
     "A reader that takes little by little is sent little by little: mostly headers."),
    ("idle_restart", "RFC 5681 §4.1", "After a pause the window is small again.",
     "A window that was measured long ago is sent as one burst."),
    ("ecn", "RFC 3168", "Routers mark what they would otherwise drop.", "A queue can only speak by dropping."),
):  # fmt: skip
    _add(_name, _switch(_name), _clause, _does, _without)

ALL_OFF: Mapping[str, Any] = {**dict.fromkeys(SWITCHES, False), "checksum": "none", "congestion_control": "none"}
"""What UDP has: ports, and nothing else."""


ROWS = ("none", *MECHANISMS, "all")
"""The rows of the matrix: everything on, one mechanism off, everything off."""


def off_settings(off: str) -> Mapping[str, Any]:
    """The settings of a row. Raises ConfigError for a mechanism that there is not."""
    if off == "none":
        return {}
    if off == "all":
        return ALL_OFF
    if off not in MECHANISMS:
        raise ConfigError(f"there is no mechanism {off!r}; there are: {', '.join(ROWS)}")
    return MECHANISMS[off].off


def settings_on(off: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that switch the mechanisms of `off` on again."""
    default = Config()
    return {name: True if value is False else getattr(default, name) for name, value in off.items()}

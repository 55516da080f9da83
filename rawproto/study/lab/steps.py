"""The eleven steps of the lesson, as a table: what each adds, what it then looks for, and what there is to say."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STEPS", "Step", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something to look for in a step: that `guarantee` breaks in `world`, for want of `mechanism`."""

    guarantee: str
    mechanism: str
    """A name of `rawproto.study.lab.mechanisms`, which the next step adds."""
    world: str
    """A name of `rawproto.study.lab.grounds`."""
    kind: str = ""
    """What is to happen there, an event or a forgery: whatever may, if it is left out."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `wants` is what the next one mends; the first of them is the story that is told."""

    title: str
    adds: tuple[str, ...]
    """Mechanisms, by their names in `rawproto.study.lab.mechanisms`."""
    gains: str
    """What they do, and what is better now."""
    lacks: str
    """Why the story breaks."""
    clause: str
    """The text that asks for what is added."""
    wants: tuple[Wanted, ...] = ()


ATTACKER = "an attacker beside the path"
ASKS = "question and answer"

STEPS = (
    Step(
        "Bare datagrams",
        (),
        "This is what UDP gives: ports, so that a datagram finds its program, and nothing else. An end says SYN and "
        "FIN, but nobody waits for an answer, and nobody looks at numbers.",
        "A bit flips on the way, as it does in the memory of a switch, where no frame check looks. The application "
        "reads what nobody wrote, and has no means of telling.",
        "RFC 768",
        (Wanted("integrity", "checksum", "both at once", "flip"),),
    ),
    Step(
        "A checksum",
        ("checksum",),
        "A CRC-32 over header and payload tells damage from data. What is damaged is dropped: an error is turned "
        "into a loss, which is the one fault that the rest knows how to mend.",
        "The network owes nobody any order. A datagram that is held up on its way comes behind those that were sent "
        "later, and its octets are read there.",
        "RFC 9293 §3.1 (Checksum); docs/rdt.md §3.3",
        (Wanted("order", "sequencing", "both at once", "delay"),),
    ),
    Step(
        "Sequence numbers",
        ("sequencing",),
        "Each octet has a number. What comes before its turn waits in the receiver's buffer until the gap in front "
        "of it is filled, so octets are read in the order in which they were written.",
        "A number says where an octet belongs, but nothing keeps the receiver from taking it twice. The network "
        "doubles a datagram, and both copies are read.",
        "RFC 9293 §3.4",
        (Wanted("no_duplication", "duplicate_suppression", ASKS, "duplicate"),),
    ),
    Step(
        "Old numbers are thrown away",
        ("duplicate_suppression",),
        "Octets whose numbers have been passed are dropped. Now the same datagram may come as often as it likes: "
        "that is what will make it safe to repeat one.",
        "A datagram is lost. The sender can't know, takes what has left for what has arrived, and reports success: "
        "the worst thing that a transport can do is to lie.",
        "RFC 9293 §3.10.7.4, first (check sequence number)",
        (Wanted("honest_end", "acknowledgement", ASKS, "drop"),),
    ),
    Step(
        "Acknowledgements",
        ("acknowledgement",),
        "The receiver says up to which octet it has everything, and the sender reports success only when it has "
        "heard so. There are no lies any more: what was lost is known to be lost, if only by a timeout.",
        "To know of a loss is not to mend it. One lost datagram leaves a gap for ever, and both ends wait until one "
        "of them gives up.",
        "RFC 9293 §3.4; §3.10.7.4, fifth (check the ACK field)",
        (Wanted("complete", "retransmission", ASKS, "drop"),),
    ),
    Step(
        "Retransmission",
        ("retransmission", "backoff", "fast_retransmit", "sack", "tail_loss_probe"),
        "What is not acknowledged in time is sent again, and each timeout doubles the next one, because silence may "
        "mean that the network is overloaded. Selective acknowledgements show a loss before the clock does.",
        "The listener believes the first SYN that comes. An old one that the network had kept, from a connection "
        "that has long ended, opens another that nobody wants: a ghost, which waits for data that will never come.",
        "RFC 9293 §3.8.1; RFC 6298 §5; RFC 2018; RFC 8985",
        (Wanted("connection", "handshake", "the same ports again", "replay"),),
    ),
    Step(
        "The handshake",
        ("handshake",),
        "Each side names the number that it begins with, and waits until it hears that number back. An old SYN can "
        "be repeated, but it can't be answered for: the third message is missing, and nothing is opened.",
        "All numbers begin at 0, as everybody knows. Who knows the addresses and ports, which are no secret either, "
        "puts octets into the stream without seeing a single datagram of it; and who forges the source of a SYN "
        "makes the listener send to somebody who never asked.",
        "RFC 9293 §3.5, figure 8",
        (
            Wanted("no_creation", "isn", ATTACKER, "blind-data"),
            Wanted("restraint", "cookies", ATTACKER, "syn-from-nobody"),
        ),
    ),
    Step(
        "Numbers that nobody can guess",
        ("isn", "cookies"),
        "Initial numbers come from a secret and the clock: a forger must hit one of 2^64, and what is left of an "
        "earlier connection does not fit. The listener keeps nothing of a client, and sends next to nothing, before "
        "that has shown that it gets what is sent to its address.",
        "The sender sends as fast as it likes. A reader that is busy elsewhere has a buffer of some size; what does "
        "not fit is thrown away and sent again, and thrown away again.",
        "RFC 6528 §3; RFC 4987 §3.6; RFC 9293 §3.4.1",
        (Wanted("flow_control", "flow_control", "a reader that sleeps"),),
    ),
    Step(
        "The window",
        ("flow_control", "persist", "silly_window", "nagle", "delayed_ack"),
        "With each acknowledgement the receiver says how much room it has left. A closed window is probed from time "
        "to time: if the one datagram is lost that opens it, both would wait for each other for ever. (The persist "
        "timer has its sense here only: without windows there is nothing to be closed.)",
        "The window speaks for the other end, and for no one in between. All that it allows leaves at once, and the "
        "slowest router on the way has to throw away what it can't keep, other people's packets too. And a road may "
        "take only smaller datagrams than one expects: the larger ones vanish without a word.",
        "RFC 9293 §3.8.6; §3.8.6.1 (zero-window probing); §3.8.6.2",
        (
            Wanted("restraint", "congestion_control", "more than the road holds"),
            Wanted("complete", "path_mtu_discovery", "a road that narrows", "shrink_mtu"),
        ),
    ),
    Step(
        "Regard for the road",
        (
            "congestion_control",
            "path_mtu_discovery",
            "pacing",
            "idle_restart",
            "undo",
            "proportional_rate_reduction",
            "ecn",
        ),
        "The sender begins with ten segments, asks for more while all goes well, and takes back when something is "
        "lost or marked. Probes whose loss costs nothing find out how large a datagram may be.",
        "What is left is malice and memory. A forged reset that merely lies in the window is obeyed, and cuts the "
        "connection. Who forgets a connection as soon as it is closed may open it again between the same ports, and "
        "take an old datagram for a new one. And who waits for a peer that has lost its memory waits for ever.",
        "RFC 5681 §3; RFC 9438; RFC 8899; RFC 3168",
        (
            Wanted("connection", "challenge_ack", ATTACKER, "near-reset"),
            Wanted("freshness", "time_wait", "the same numbers again", "replay"),
            Wanted("connection", "keep_alive", "a peer that forgets", "restart"),
        ),
    ),
    Step(
        "Memory and doubt",
        ("time_wait", "challenge_ack", "keep_alive"),
        "A reset counts only with exactly the number that is next; anything near it is answered with a question that "
        "only the real peer can answer. Who closes first remembers the connection for twice the longest life of a "
        "datagram. An idle peer is asked whether it is still there. This is TCP, in all that it promises.",
        "",
        "RFC 5961 §3-§5; RFC 9293 §3.6.1, §3.8.4; RFC 1337",
    ),
)

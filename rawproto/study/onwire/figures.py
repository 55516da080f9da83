"""What a run comes to in figures, and how far those of a real wire are from those of the simulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from rawproto.link.netns import Lab
from rawproto.link.script import Sent
from rawproto.sim.scenario import Scenario
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import Verdict, check
from rawproto.study.onlink import Header, read_header
from rawproto.study.onwire.run import run_on_wire
from rawproto.wire.rdt_format import DGM, FIN, SYN, Flags

__all__ = ["Comparison", "Figures", "compare", "figures_of"]

SIDES = ("client", "server")


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, up to the last close if there was one: how long it is watched after that differs. Times in ns."""

    sent: Mapping[str, int]
    """Datagrams of each side."""
    repeated: Mapping[str, int]
    """Those of them whose octets, SYN or FIN had all been sent before."""
    octets: int
    """RDT octets of both sides, headers included."""
    completion_ns: int
    """From the first connect to the last close; -1 if a side never closed."""
    trip_ns: int
    """From the call that sent a datagram to the one that received it: the median, of those that nothing struck."""
    struck: tuple[str, ...]
    """What happened to which datagram, by side and number."""


def figures_of(run: Run) -> Figures:
    """Count what `run` shows on its link and in its accounts."""
    whole = list(_noted(run))
    closed = [account.closed_ns for account in run.accounts if account.talk >= 0]
    began = [account.began_ns for account in run.accounts if account.began_ns >= 0]
    completed = bool(began) and min(closed) >= 0
    until_ns = max(closed) if completed else run.end_ns
    noted = [each for each in whole if each.sent.time_ns <= until_ns]
    return Figures(
        {side: sum(each.sent.side == side for each in noted) for side in SIDES},
        {side: sum(each.repeats for each in noted if each.sent.side == side) for side in SIDES},
        sum(each.header.size for each in noted),
        until_ns - min(began) if completed else -1,
        _trip_ns(run),
        tuple(sorted(each.text for each in whole if each.sent.fate)),
    )


def _trip_ns(run: Run) -> int:
    arrived: dict[bytes, int] = {}
    for each in run.log.arrived:
        arrived.setdefault(each.frame, each.time_ns)
    plain = [sent for sent in run.log.sent if not sent.fate and sent.frame in arrived]
    return round(median(arrived[sent.frame] - sent.time_ns for sent in plain)) if plain else -1


@dataclass(frozen=True, slots=True)
class Noted:
    """A datagram that a side has really sent."""

    sent: Sent
    header: Header
    at: int
    """Where its octets stand in the stream; the SYN stands at 0."""
    repeats: bool

    @property
    def text(self) -> str:
        """What it was, and what became of it."""
        names = "+".join(flag.name or "" for flag in Flags if self.header.flags & flag and flag.name in SHOWN) or "data"
        what = f"{names}, {self.header.length} octets at {self.at}" if self.header.length else names
        return f"{self.sent.side} {self.sent.number} ({what}): {', '.join(self.sent.fate)}"


SHOWN = ("SYN", "ACK", "FIN", "RST", "DGM")


def _noted(run: Run) -> Iterator[Noted]:
    mask = (1 << run.scenario.config().sequence_bits) - 1
    firsts: dict[tuple[str, object], int] = {}
    ends: dict[tuple[str, object], int] = {}
    for sent in run.log.sent:
        if not sent.number:
            continue
        header = read_header(sent.frame, sent.side == "client")
        flow = (sent.side, header.peer)
        if flow not in firsts or (header.flags & SYN and firsts[flow] != header.seq):
            firsts[flow], ends[flow] = header.seq, 0
        at = header.seq - firsts[flow] & mask
        size = header.length + bool(header.flags & SYN) + bool(header.flags & FIN)
        repeats = bool(size) and not header.flags & DGM and at + size <= ends[flow]
        if at <= mask // 2:
            ends[flow] = max(ends[flow], at + size)
        yield Noted(sent, header, at, repeats)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same scenario and seed, in the simulator and on a real wire."""

    simulated: Run
    real: Run
    verdicts: tuple[Verdict, Verdict]
    figures: tuple[Figures, Figures]

    @property
    def agree(self) -> bool:
        """The same guarantees were broken, or none, and the same events have happened."""
        ours, theirs = self.verdicts
        return ours.broken == theirs.broken and ours.idle == theirs.idle

    @property
    def delay_ns(self) -> int | None:
        """How much longer it took in real time; None if one of the two was never done."""
        ours, theirs = (each.completion_ns for each in self.figures)
        return None if min(ours, theirs) < 0 else theirs - ours

    def lines(self) -> Iterator[str]:
        """The differences, for people, one a line."""
        yield _pair("guarantees broken", *(_names(verdict.broken) for verdict in self.verdicts))
        yield _pair("events that did not happen", *(str(len(verdict.idle)) for verdict in self.verdicts))
        ours, theirs = self.figures
        yield _times("completion", ours.completion_ns, theirs.completion_ns)
        yield _times("one way", ours.trip_ns, theirs.trip_ns)
        for side in SIDES:
            yield _counts(f"datagrams of the {side}", ours.sent[side], theirs.sent[side])
            yield _counts(f"repeated by the {side}", ours.repeated[side], theirs.repeated[side])
        yield _counts("octets", ours.octets, theirs.octets)
        for text in sorted({*ours.struck, *theirs.struck}):
            where = [name for name, each in (("simulated", ours), ("real", theirs)) if text in each.struck]
            yield f"{text}, {'both' if len(where) == 2 else f'{where[0]} only'}"


def compare(scenario: Scenario, seed: int = 0, *, lab: Lab | None = None, ipv6: bool = False) -> Comparison:
    """Run `scenario` in the simulator and on a real wire, that of `lab` if there is one. Raises as `run_on_wire`."""
    simulated = run_scenario(scenario, seed)
    real = run_on_wire(scenario, seed, lab=lab, ipv6=ipv6)
    return Comparison(simulated, real, (check(simulated), check(real)), (figures_of(simulated), figures_of(real)))


def _names(broken: frozenset[str]) -> str:
    return ", ".join(sorted(broken)) or "none"


def _pair(name: str, ours: str, theirs: str) -> str:
    return f"{name}: {ours}, both" if ours == theirs else f"{name}: {ours} simulated, {theirs} real"


def _counts(name: str, ours: int, theirs: int) -> str:
    share = f" ({(theirs - ours) / ours:+.0%})" if ours and ours != theirs else ""
    return _pair(name, str(ours), str(theirs)) + share


def _times(name: str, ours: int, theirs: int) -> str:
    texts = [f"{value / 1e6:.1f} ms" if value >= 0 else "never" for value in (ours, theirs)]
    share = f" ({(theirs - ours) / ours:+.0%})" if min(ours, theirs) > 0 else ""
    return f"{name} {texts[0]} simulated, {texts[1]} real{share}"

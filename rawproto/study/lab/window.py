"""The sliding window's own law: with numbers of w bits, how large may a window be? Found by search, not by arithmetic.

The path keeps the order and only loses. An octet stands in a datagram of its own, as in a textbook's drawing; a stream
a little longer than the numbers goes over it, with more and more room for what is on its way, under schedule after
schedule of losses. The first window under which something wrong is read is one more than half the space, 2^(w-1) + 1.

Textbooks have two laws. In **go-back-N** the receiver takes nothing but the octet that is next, so its own window is 1,
and a sender's window of up to 2^w - 1 is safe. In **selective repeat** the receiver keeps what comes early, as ours
does: its window is as large as the sender's. All of the sender's window may have come and its acknowledgements be lost;
then the sender repeats the window before, while the receiver looks out for the one behind it. The two must not share a
number, so both fit the space: 2^(w-1) at most. Ours is the second law, in octets (docs/rdt.md §5; RFC 9293 §3.4 has 32
bits, and RFC 7323 §2.3 keeps windows below 2^30).

The least that breaks it is one event: an outage of the receiver's way, just long enough to take the acknowledgements of
a whole window. An acknowledgement speaks for all before it, so the last one would save the stream if it came through;
told as single losses it takes nearly all of them, and none of the single losses that are tried does any harm alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from rawproto.errors import ConfigError
from rawproto.link.chance import derive_rng
from rawproto.link.script import Event, Sent
from rawproto.sim.scenario import Party, Scenario, Talk
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import Verdict, check
from rawproto.study.lab.drawing import draw_timeline
from rawproto.study.lab.timeline import timeline
from rawproto.study.lab.wording import event_text, guarantee_name
from rawproto.study.onlink import read_header
from rawproto.study.shrink import shrink
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["FEWEST_BITS", "MOST_BITS", "Law", "Tried", "find_law"]

FEWEST_BITS, MOST_BITS = 4, 8
SCANNED_BITS = 4
"""Up to this width each window is tried."""
DRAWN = 24
"""Schedules that are left to chance, for each window."""
SINGLE = 15
"""Of the first so many datagrams of each side, each is lost alone once."""
SINGLY_BITS = 5
"""Up to this width a schedule is also told as single losses: to find the fewest takes one run for each datagram."""
STEP_NS = 10 * MILLISECOND
"""The path's delay: in between nothing happens."""
STARTS, LENGTHS = 6, (2, 5, 20)
"""When an outage begins, and how long it lasts, in delays."""
SIDES = ("client", "server")
ONLOOKERS = frozenset({"flow_control", "restraint"})
"""Judged by who reads the numbers on the link, and is as confused by them as the receiver: no evidence here."""
ROWS = 60
UNTIL_NS = 40 * SECOND
"""No schedule here keeps an octet for so long."""

PLAIN: dict[str, Any] = {
    "segment_size": 1,
    "nagle": False,
    "congestion_control": "none",
    "tail_loss_probe": False,
    "path_mtu_discovery": False,
}
"""What serves speed, and would only crowd the picture."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one window: `scenario` is None if no schedule broke anything."""

    window: int
    schedules: int
    scenario: Scenario | None = None
    guarantee: str = ""
    text: str = ""
    lost: int = 0
    """How many datagrams the events of `scenario` take."""

    @property
    def clean(self) -> bool:
        """Nothing wrong was read."""
        return self.scenario is None

    @property
    def events(self) -> tuple[Event, ...]:
        """What must happen."""
        return () if self.scenario is None else self.scenario.events

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"window": self.window, "clean": self.clean, "schedules": self.schedules}
        if self.scenario is not None:
            found |= {
                "guarantee": self.guarantee,
                "violation": self.text,
                "events": [event.as_dict() for event in self.events],
                "lost": self.lost,
            }
        return found


@dataclass(frozen=True, slots=True)
class Law:
    """All windows that were tried, in order. `singly` is, of few bits, the first broken schedule as single losses."""

    bits: int
    seed: int
    tried: tuple[Tried, ...]
    singly: tuple[Event, ...] = ()

    @property
    def first_broken(self) -> Tried:
        """The smallest window that broke. Raises ConfigError if none did."""
        for tried in self.tried:
            if not tried.clean:
                return tried
        raise ConfigError(f"with {self.bits} bits no window broke: that can't be, the search must have missed it")

    @property
    def largest_clean(self) -> int:
        """The window before it."""
        return max(tried.window for tried in self.tried if tried.clean)

    def ladder(self, width: int = 100, most: int = ROWS) -> Text:
        """The story of the first broken window, datagram by datagram."""
        guarantee = self.first_broken.guarantee
        run, verdict = _play(_scenario_of(self.first_broken), self.seed)
        verdict = _blaming(verdict, _first_repeated(run))
        return draw_timeline(timeline(run, verdict, guarantee, most), width, guarantee_name(guarantee))

    def explanation(self) -> str:
        """Why it broke, in a paragraph."""
        window, space = self.first_broken.window, 1 << self.bits
        return (
            f"All {window} octets of the window came, and none of the acknowledgements. The receiver has {window} and "
            f"waits for octets {window} to {2 * window - 1}; the sender, which knows nothing, repeats octet 0. On the "
            f"wire that is number 0 of {space}, and so would be octet {space}, which is in the receiver's window: it "
            f"keeps the old octet as the new one. With a window of {window - 1} it waits for {window - 1} to "
            f"{2 * window - 3}, octet {space} is not among them, and octet 0 is old. (The drawing has octets by their "
            f"numbers on the wire: there octet {space} is 0 again.)"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        first = self.first_broken
        return {
            "seq_bits": self.bits,
            "seed": self.seed,
            "largest_clean": self.largest_clean,
            "first_broken": first.window,
            "windows": [tried.as_dict() for tried in self.tried],
            "singly": [event.as_dict() for event in self.singly],
            "story": [*map(event_text, first.events), self.explanation()],
            "ladder": self.ladder().plain,
        }


def find_law(
    bits: int = 4, seed: int = 1, *, scan: bool | None = None, on_window: Callable[[Tried], object] | None = None
) -> Law:
    """Try windows from 1 to 2^bits - 1: each of them with `scan`, which few bits have if it is left out.

    Otherwise half of those that are left are ruled out each time, as larger windows break if smaller ones do. Raises
    ConfigError for `bits` that are not 4 to 8.
    """
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise ConfigError(f"sequence numbers of {bits} bits are not for drawing: take {FEWEST_BITS} to {MOST_BITS}")
    found: dict[int, Tried] = {}

    def is_clean(window: int) -> bool:
        found[window] = _try(bits, window, seed)
        if on_window is not None:
            on_window(found[window])
        return found[window].clean

    low, high = 0, 1 << bits
    if bits <= SCANNED_BITS if scan is None else scan:
        for window in range(1, high):
            is_clean(window)
    else:
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_clean(middle) else (low, middle)
    first = Law(bits, seed, tuple(found[window] for window in sorted(found))).first_broken
    found[first.window] = first = _shortened(first, seed)
    singly = _singly(first, seed) if bits <= SINGLY_BITS else ()
    return Law(bits, seed, tuple(found[window] for window in sorted(found)), singly)


def _try(bits: int, window: int, seed: int) -> Tried:
    """One window under all schedules, until one breaks something."""
    count = 0
    for count, events in enumerate(_schedules(window, seed), 1):
        scenario = _scenario(bits, window, events)
        broken = _wrong(_play(scenario, seed)[1])
        if broken:
            return _told(Tried(window, count, scenario, broken[0]), seed)
    return Tried(window, count)


def _told(tried: Tried, seed: int) -> Tried:
    """With what its schedule does."""
    run, verdict = _play(_scenario_of(tried), seed)
    text = next(found.text for found in verdict.violations if found.guarantee == tried.guarantee)
    return replace(tried, text=text, lost=sum(bool(sent.fate) for sent in run.log.sent))


def _shortened(tried: Tried, seed: int) -> Tried:
    """With as little as will do."""
    scenario = _scenario_of(tried)
    events = shrink(scenario.events, _breaking(scenario, seed, tried.guarantee))
    return _told(replace(tried, scenario=replace(scenario, events=events)), seed)


def _schedules(window: int, seed: int) -> Iterator[tuple[Event, ...]]:
    """No loss; each outage there can be in the first round trips; then a few runs of losses, left to chance."""
    yield ()
    for length in LENGTHS:
        for start in range(STARTS):
            for side in SIDES:
                # Half a delay off the beat: what is sent at a moment is lost as a whole or not at all.
                yield (Event("outage", side, start_ns=start * STEP_NS + STEP_NS // 2, for_ns=length * STEP_NS),)
    rng = derive_rng(seed, "window", str(window))
    for packet in range(1, SINGLE + 1):
        yield from ((Event("drop", side, packet=packet),) for side in SIDES)
    for _ in range(DRAWN):
        drops: dict[Event, None] = {}
        for _ in range(2):
            side, first = rng.choice(SIDES), rng.randrange(1, 4 * window + 4)
            # Four at most: a long run of losses takes longer than there is time, whatever the window.
            drops |= {Event("drop", side, packet=first + number): None for number in range(rng.randrange(1, 3))}
        yield tuple(drops)


def _scenario(bits: int, window: int, events: tuple[Event, ...]) -> Scenario:
    """A stream that is a quarter longer than the numbers, so that some of them come again."""
    size = (1 << bits) * 5 // 4
    settings = {
        **PLAIN,
        "sequence_bits": bits,
        "send_buffer": window,
        "receive_buffer": window,
        "max_record": window,
    }
    talk = Talk(Party((f"send {size} by 1",)))
    return Scenario(f"a window of {window} among {1 << bits} numbers", (talk,), events, settings, until_ns=UNTIL_NS)


def _scenario_of(tried: Tried) -> Scenario:
    if tried.scenario is None:
        raise ConfigError(f"a window of {tried.window} broke nothing: there is no story to tell")
    return tried.scenario


def _play(scenario: Scenario, seed: int) -> tuple[Run, Verdict]:
    run = run_scenario(scenario, seed)
    return run, check(run)


def _wrong(verdict: Verdict) -> list[str]:
    """What the applications saw break, the first one first."""
    return list(dict.fromkeys(found.guarantee for found in verdict.violations if found.guarantee not in ONLOOKERS))


def _first_repeated(run: Run) -> Sent | None:
    """The first datagram that arrived with an octet that had been sent before: the old one that is taken for new."""
    seen = set()
    for sent in run.log.sent:
        header = read_header(sent.frame, sent.side == "client")
        if sent.side == "client" and header.length:
            if header.seq in seen and not sent.fate:
                return sent
            seen.add(header.seq)
    return None


def _blaming(verdict: Verdict, packet: Sent | None) -> Verdict:
    return replace(verdict, violations=tuple(replace(found, packet=packet) for found in verdict.violations))


def _breaking(scenario: Scenario, seed: int, guarantee: str) -> Callable[[tuple[Event, ...]], bool]:
    return lambda events: guarantee in _play(replace(scenario, events=events), seed)[1].broken


def _singly(tried: Tried, seed: int) -> tuple[Event, ...]:
    """The same as single losses, as few of them as will do."""
    scenario = _scenario_of(tried)
    run, _ = _play(scenario, seed)
    drops = tuple(Event("drop", sent.side, packet=sent.number) for sent in run.log.sent if sent.fate)
    breaks = _breaking(scenario, seed, tried.guarantee)
    return shrink(drops, breaks) if breaks(drops) else drops

"""A scenario: two hosts, the way between them, what their applications do, and what goes wrong. A value.

Together with a seed it is all that a run depends on. `rawproto.sim.world` runs it in virtual time, and
`rawproto.sim.scenario_toml` reads and writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rawproto.errors import ConfigError
from rawproto.link.impairment import Impairment
from rawproto.link.script import Event
from rawproto.sim.quantities import parse_time
from rawproto.transport.config import SECOND, Config

__all__ = ["LEAST_MTU", "QUEUES", "TOPOLOGIES", "Party", "Road", "Scenario", "Step", "Talk", "parse_step"]

TOPOLOGIES = ("direct", "dumbbell", "chain", "nat")
QUEUES = ("", "droptail", "codel", "codel-ecn")
KINDS = ("stream", "records", "datagrams")
WRITES = ("send", "wait", "await", "shutdown", "abort")
READS = ("read", "wait")
ALL = 1 << 62
MOST_OCTETS = 1 << 27
"""That one side sends in a talk: they are all made beforehand."""
DATAGRAM_HEADERS = 60
"""IPv4's and RDT's."""
LEAST_MTU = 124
"""An IPv4 header and the shortest datagram that a connection needs room for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an application does: `size` octets (`ALL` until the end), `piece` at a time, or `for_ns`."""

    verb: str
    size: int = 0
    piece: int = 0
    for_ns: int = 0


@lru_cache(maxsize=4096)
def parse_step(text: str) -> Step:
    """Read "send 1000", "send 16 by 1", "read all", "read 100", "wait 250 ms", "shutdown" or "abort".

    "await 100" and "await end" let what is written wait until so much, or the end, has been read. Raises ConfigError.
    """
    words = text.split()
    try:
        match words:
            case ["shutdown" | "abort" as verb]:
                return Step(verb)
            case ["read", "all"] | ["await", "end"]:
                return Step(words[0], ALL)
            case ["send" | "read" | "await" as verb, size]:
                return Step(verb, _number(size), _number(size))
            case ["send" as verb, size, "by", piece]:
                return Step(verb, _number(size), _number(piece))
            case ["wait", number, unit] if not number.startswith("-"):
                return Step("wait", for_ns=parse_time(f"{number} {unit}"))
    except ValueError:
        pass
    raise ConfigError(
        f"{text!r} is no step; those are: send N, send N by PIECE, await N, await end, shutdown, abort, read N, "
        "read all, wait N s (or ms, us, ns)"
    )


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


@dataclass(frozen=True, slots=True)
class Party:
    """What the application at one end does: it writes and reads at the same time, and closes when both are done."""

    writes: tuple[str, ...] = ("shutdown",)
    reads: tuple[str, ...] = ("read all",)

    def __post_init__(self) -> None:
        for name, verbs in (("writes", WRITES), ("reads", READS)):
            for text in getattr(self, name):
                if parse_step(text).verb not in verbs:
                    raise ConfigError(f"{text!r} can't stand among the {name}")

    @property
    def steps(self) -> tuple[Step, ...]:
        """All that it does."""
        return tuple(map(parse_step, (*self.writes, *self.reads)))

    @property
    def sends(self) -> int:
        """The octets that it hands over if nothing keeps it."""
        return sum(step.size for step in self.steps if step.verb == "send")

    @property
    def aborts(self) -> bool:
        """It ends the connection with a reset."""
        return "abort" in self.writes


@dataclass(frozen=True, slots=True)
class Talk:
    """One connection, which the client opens at `start_ns`; or, of "datagrams", none.

    `client_port` 0 is any free one. With `again`, `start_ns` counts from when the talk before it is over for both.
    """

    client: Party = Party()
    server: Party = Party()
    kind: str = "stream"
    start_ns: int = 0
    client_port: int = 0
    again: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind is {self.kind!r}; it must be one of: {', '.join(KINDS)}")
        if not 0 <= self.client_port <= 0xFFFF or self.start_ns < 0:
            raise ConfigError(
                f"client_port is {self.client_port}, start_ns {self.start_ns}: give 0 or more, and a port to 65535"
            )


@dataclass(frozen=True, slots=True)
class Road:
    """The way between the hosts, the same in both directions. `queue` is one of `QUEUES`, "" for one without a limit.

    "codel-ecn" marks datagrams where "codel" drops them, if their sender understands marks.
    """

    topology: str = "direct"
    delay_ns: int = 10_000_000
    mtu: int = 1500
    rate_bps: int | None = None
    queue: str = ""
    queue_bytes: int = 64_000
    impairment: Impairment = Impairment.none

    def __post_init__(self) -> None:
        if self.topology not in TOPOLOGIES:
            raise ConfigError(f"topology is {self.topology!r}; it must be one of: {', '.join(TOPOLOGIES)}")
        if self.queue not in QUEUES:
            raise ConfigError(f"queue is {self.queue!r}; it must be one of {', '.join(QUEUES[1:])}, or left out")
        for name, least in (("delay_ns", 0), ("mtu", LEAST_MTU), ("rate_bps", 1), ("queue_bytes", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} of the road is {value}: give {least} or more")
        if self.queue and self.rate_bps is None:
            raise ConfigError("a queue without rate_bps never fills: give the bits a second that it is emptied with")


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a run depends on, but for the seed. `settings` are fields of Config, for both sides.

    `until_ns` is when everything that a transport promises must have come true. Raises ConfigError.
    """

    name: str
    talks: tuple[Talk, ...] = (Talk(),)
    events: tuple[Event, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    road: Road = Road()
    until_ns: int = 200 * SECOND
    text: str = ""

    def __post_init__(self) -> None:
        if not self.talks:
            raise ConfigError(f"{self.name}: there is no connection: give one or more")
        self._check_pieces()
        if any(event.kind == "rebind" for event in self.events) and self.road.topology != "nat":
            raise ConfigError(f"{self.name}: rebind needs the topology nat")

    def _check_pieces(self) -> None:
        """Refuse records and datagrams that nobody would take."""
        config = self.config()
        most = {
            "records": min(config.max_record, config.receive_buffer, config.send_buffer),
            "datagrams": self.road.mtu - DATAGRAM_HEADERS,
        }
        for talk in self.talks:
            limit = most.get(talk.kind, MOST_OCTETS)
            for party in (talk.client, talk.server):
                longest = max((step.piece for step in party.steps if step.verb == "send"), default=0)
                if longest > limit and talk.kind in most:
                    what = f"{talk.kind} of {longest} octets can't be sent here, {limit} at most"
                    raise ConfigError(f"{self.name}: {what}: say send N by PIECE")
                if party.sends > MOST_OCTETS:
                    raise ConfigError(f"{self.name}: one side sends {party.sends} octets; {MOST_OCTETS} at most")

    def config(self) -> Config:
        """The settings, with the defaults of all others. Raises ConfigError."""
        try:
            return _config(tuple((name, type(value), value) for name, value in self.settings.items()))
        except TypeError as error:
            raise ConfigError(f"{self.name}: settings: {error}") from None


@lru_cache(maxsize=256)
def _config(settings: tuple[tuple[str, type, Any], ...]) -> Config:
    """A value that runs by the thousand ask for again and again; with the types, since True equals 1."""
    return Config(**{name: value for name, _, value in settings})

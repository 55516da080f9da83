"""Draws a scenario from a seed: some road, one to five connections on it, and whatever may befall them.

Everything that `rawproto.sim.scenario` and `rawproto.link.script` can say is drawn sooner or later, and together with
everything else; all mechanisms are on. Only what no transport could get over is kept apart: what is dark or kept from
its clock for longer than a connection lasts is drawn on purpose or not at all, never by sums of smaller spells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from rawproto.link.chance import derive_rng
from rawproto.link.forgery import FORGERIES
from rawproto.link.impairment import Impairment
from rawproto.link.script import HOST_KINDS, WIRE_KINDS, Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.study.lab.grounds import WATCHFUL
from rawproto.study.prove.meeting import Meeting
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["draw_scenario"]

SIDES = ("client", "server")
DELAYS = tuple(number * MILLISECOND for number in (1, 5, 10, 10, 20, 50, 150, 300))
KEPT = tuple(number * MILLISECOND for number in (2, 15, 35, 150, 600, 1000, 5000, 20_000, 29_000))
"""How long a datagram may be kept: less than the maximum segment lifetime of 30 s (Config.msl)."""
DARK = tuple(number * MILLISECOND for number in (100, 500, 2000, 8000))
FOR_GOOD = 4000 * SECOND
"""Longer than any connection waits: who was cut off must be told."""
NARROWED = (300, 600, 1000, 1230, 1300, 1400)
"""What a road narrows to: above and below the base of RFC 8899 §5.1.2."""
UNTIL = 3000 * SECOND
PATIENT: Mapping[str, Any] = {**WATCHFUL, "keep_alive_count": 12, "msl": 60 * SECOND}
"""TIME-WAIT then lasts longer than anybody waits for the acknowledgement of a FIN (user_timeout); and twelve questions
are not all lost by chance."""
CONTROLS = ("cubic", "cubic", "reno", "bbr")
MTUS = (1500, 1500, 1500, 1280, 576, 400, 9000)
BUFFERS = (None, None, None, 700, 2048, 4096, 20_000, 65_536)
RATES = (200_000, 1_000_000, 5_000_000, 50_000_000)
BESIDE = (70_000, 100_003)
"""Octets from where a stream is: further than any stream here goes, and within the larger windows."""
FIRST_PORT = 50_000
QUESTIONS = 3


def draw_scenario(seed: int) -> Scenario:
    """The scenario of `seed`: the same in every process."""
    rng = derive_rng(seed, "prove")
    road = _road(rng)
    settings = _settings(rng)
    talks = _talks(rng, settings)
    events = _events(rng, road, talks)
    name = f"mixed faults {seed}"
    if rng.random() < 0.04 and road.topology != "nat" and talks[0].kind == "stream":
        talks = (replace(talks[0], client_port=FIRST_PORT - 1), *talks[1:])
        events = tuple(event for event in events if event.what != "near-syn")
        return Meeting(name, talks, events, settings, road, UNTIL, crossing=(0,))
    return Scenario(name, talks, events, settings, road, UNTIL)


def _settings(rng: Random) -> dict[str, Any]:
    settings: dict[str, Any] = {**PATIENT, "congestion_control": rng.choice(CONTROLS)}
    for name in ("send_buffer", "receive_buffer"):
        size = rng.choice(BUFFERS)
        if size is not None:
            settings[name] = size
    if "receive_buffer" in settings:
        settings["max_record"] = min(settings["receive_buffer"], 64 << 10)
    return settings


def _road(rng: Random) -> Road:
    topology = rng.choice(("direct",) * 7 + ("dumbbell", "chain", "nat"))
    mtu = rng.choice(MTUS)
    rate = rng.choice(RATES) if rng.random() < 0.35 else None
    queue = rng.choice(("", "droptail", "codel", "codel-ecn")) if rate is not None else ""
    queue_bytes = rng.choice((2, 4, 12, 40)) * mtu
    return Road(topology, rng.choice(DELAYS), mtu, rate, queue, queue_bytes, _impairment(rng))


def _impairment(rng: Random) -> Impairment:
    """Nothing random at all, a little of one thing, or some of everything.

    Never so much of it that a dozen datagrams in a row are lost by chance, and a connection given up rightly.
    """
    if rng.random() < 0.4:
        return Impairment.none
    most = rng.choice((0.01, 0.03, 0.06))
    switches: dict[str, Callable[[], Mapping[str, Any]]] = {
        "loss": lambda: {"loss": rng.uniform(0, most)},
        "burst": lambda: {"burst_start": rng.uniform(0, most / 2), "burst_stop": rng.uniform(0.6, 0.9)},
        "corrupt": lambda: {"corrupt": rng.uniform(0, most), "corrupt_bits": rng.choice((1, 2, 5, 32))},
        "swap": lambda: {"swap": rng.uniform(0, most)},
        "truncate": lambda: {"truncate": rng.uniform(0, most)},
        "duplicate": lambda: {"duplicate": rng.uniform(0, 0.2), "duplicate_delay_ns": rng.choice((0, *KEPT[:5]))},
        "reorder": lambda: {"reorder": rng.uniform(0, 0.3), "reorder_delay_ns": rng.choice(KEPT[:4])},
        "jitter": lambda: {"jitter_ns": rng.choice(KEPT[:3]), "jitter_keeps_order": rng.random() < 0.5},
    }
    chosen = [name for name in switches if rng.random() < 0.3] or [rng.choice(tuple(switches))]
    values: dict[str, Any] = {}
    for name in chosen:
        values.update(switches[name]())
    return Impairment(**values)


# -- what the applications do -----------------------------------------------------------------------------------------


def _talks(rng: Random, settings: Mapping[str, Any]) -> tuple[Talk, ...]:
    """One connection, several at once, or one after the other on the same ports."""
    count = rng.choice((1, 1, 2, 2, 3, 4, 5))
    together = rng.random() < 0.6
    talks = []
    for number in range(count):
        kind = rng.choice(("stream",) * 5 + ("records",))
        make = rng.choice(HABITS)
        client, server = make(rng)
        if kind == "records":
            longest = min(settings.get("max_record", 1 << 16), settings.get("send_buffer", 1 << 16))
            client, server = _in_records(rng, client, longest), _in_records(rng, server, longest)
        if together:
            talks.append(Talk(client, server, kind, start_ns=rng.choice((0, 0, 3, 40, 500)) * MILLISECOND))
        else:
            wait = rng.choice((0, 0, 1, 5000)) * MILLISECOND
            talks.append(Talk(client, server, kind, wait, FIRST_PORT, again=number > 0))
    if rng.random() < 0.1:
        size = rng.choice((1, 100, 300))
        talks.append(Talk(Party((f"send {size * 4} by {size}",)), Party(), "datagrams"))
    return tuple(talks)


def _in_records(rng: Random, party: Party, longest: int) -> Party:
    """The same octets as records, of up to `longest` octets; those that are awaited one by one stay whole."""

    def cut(step: str) -> str:
        words = step.split()
        if words[0] != "send":
            return step
        size = int(words[1])
        return f"send {size} by {min(size, rng.choice((100, 700, longest)), longest)}"

    return replace(party, writes=tuple(map(cut, party.writes)))


def _size(rng: Random) -> int:
    return rng.choice((1, 30, 200, 200, 1500, 3000, 3000, 9000 if rng.random() < 0.9 else 60_000))


def _upload(rng: Random) -> tuple[Party, Party]:
    return Party((f"send {_size(rng)}",)), Party()


def _download(rng: Random) -> tuple[Party, Party]:
    return Party(), Party((f"send {_size(rng)}",))


def _both(rng: Random) -> tuple[Party, Party]:
    return Party((f"send {_size(rng)}",)), Party((f"send {_size(rng)}",))


def _questions(rng: Random) -> tuple[Party, Party]:
    """Request and response, a few times."""
    client: list[str] = []
    server: list[str] = []
    asked = answered = 0
    for _ in range(rng.randrange(QUESTIONS) + 1):
        question, answer = rng.choice((1, 40, 200)), rng.choice((1, 200, 3000))
        asked, answered = asked + question, answered + answer
        client += [f"send {question}", f"await {answered}"]
        server += [f"await {asked}", f"send {answer}"]
    return Party(tuple(client)), Party((*server, "await end"))


def _half_closed(rng: Random) -> tuple[Party, Party]:
    """The client ends its direction; all that the server has to say comes after that."""
    return Party((f"send {_size(rng)}",)), Party(("await end", f"send {_size(rng)}"))


def _both_close(rng: Random) -> tuple[Party, Party]:
    """Both end at the same moment."""
    wait = f"wait {rng.choice((400, 1000))} ms"
    return Party(("send 100", wait)), Party(("send 100", wait))


def _abort(rng: Random) -> tuple[Party, Party]:
    """One of the two ends it by force, at some time."""
    wait = f"wait {rng.choice((1, 30, 300, 3000))} ms"
    aborter, other = Party((f"send {_size(rng)}", wait, "abort")), Party((f"send {_size(rng)}",))
    return (aborter, other) if rng.random() < 0.5 else (other, aborter)


def _sleepers(rng: Random) -> tuple[Party, Party]:
    """Readers that don't read for a while: small windows close."""
    nap = f"wait {rng.choice((300, 2000, 12_000))} ms"
    client = Party((f"send {rng.choice((3000, 9000, 20_000))}",))
    server = Party(("send 300",), (nap, "read 500", nap, "read all"))
    return client, server


def _trickle(rng: Random) -> tuple[Party, Party]:
    wait = f"wait {rng.choice((5, 50, 300))} ms"
    writes = tuple(step for _ in range(4) for step in (f"send {rng.choice((1, 50, 1400))}", wait))
    return Party(writes), Party(writes if rng.random() < 0.5 else ())


def _slivers(rng: Random) -> tuple[Party, Party]:
    return Party((f"send {rng.choice((40, 300))} by {rng.choice((1, 7))}",)), Party(("send 20 by 1",))


def _leaves(rng: Random) -> tuple[Party, Party]:
    """One side reads what it wants, and closes without waiting for the other's end, which comes late."""
    server = Party(("send 50", f"wait {rng.choice((1, 150))} s", f"send {rng.choice((1, 3000))}"))
    return Party(("send 10",), ("read 50",)), server


def _silence(rng: Random) -> tuple[Party, Party]:
    """Nobody says anything for long enough that somebody asks."""
    return Party(("send 50", f"wait {rng.choice((25, 100))} s", "send 50")), Party(("send 50",))


HABITS = (
    _upload, _upload, _download, _both, _both, _questions, _questions, _half_closed, _both_close, _abort, _sleepers,
    _trickle, _slivers, _silence, _leaves,
)  # fmt: skip


# -- what goes wrong --------------------------------------------------------------------------------------------------


def _events(rng: Random, road: Road, talks: tuple[Talk, ...]) -> tuple[Event, ...]:
    """None to eight events; one kind of them that befalls the hosts or the road as a whole, if any."""
    datagrams = 3 + 2 * len(talks)
    events = [_strike(rng, datagrams) for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 7)))]
    if rng.random() < 0.4:
        events += _misfortune(rng, road, talks)
    return tuple(dict.fromkeys(events))


def _strike(rng: Random, datagrams: int) -> Event:
    """What happens to one datagram."""
    kind = rng.choice(STRIKES)
    side, packet = rng.choice(SIDES), min(rng.randrange(datagrams), rng.randrange(datagrams)) + 1
    match kind:
        case "duplicate" | "delay":
            return Event(kind, side, packet, for_ns=rng.choice(KEPT[:6] if kind == "delay" else (0, *KEPT)))
        case "flip" | "truncate":
            return Event(kind, side, packet, at=rng.randrange(1, 800))
        case "swap":
            at = rng.choice((1, 2, rng.randrange(1, 40)))
            return Event(kind, side, packet, at=at, to=at + rng.randrange(1, 40))
        case "forge":
            return _forgery(rng, side, packet)
    return Event(kind, side, packet)


def _forgery(rng: Random, side: str, packet: int) -> Event:
    """Nobody who forges hits the exact number that is next: nobody could tell such a reset from a true one."""
    what = rng.choice(tuple(FORGERIES))
    if what == "near-syn":
        # Towards who is still waiting for the answer to a SYN it would be a simultaneous open (RFC 9293 §3.5), and the
        # forger, in the peer's name, the peer.
        side = "client"
    at = rng.choice((1, 201, 401) if FORGERIES[what].blind else BESIDE)
    return Event("forge", side, packet, for_ns=rng.choice((0, 30, 60, 3000)) * MILLISECOND, at=at, what=what)


def _misfortune(rng: Random, road: Road, talks: tuple[Talk, ...]) -> list[Event]:
    """What happens to a host, or to the road."""
    large = any(max(talk.client.sends, talk.server.sends) > road.mtu and talk.kind == "stream" for talk in talks)
    possible = {"rebind": road.topology == "nat", "shrink_mtu": large and road.mtu > max(NARROWED)}
    kinds = [kind for kind in MISFORTUNES if possible.get(kind, True)]
    kind, side = rng.choice(kinds), rng.choice(SIDES)
    start = round(rng.uniform(0, 4) * (road.delay_ns + MILLISECOND))
    match kind:
        case "outage":
            dark = max(rng.choice(DARK), 2 * road.delay_ns)
            if rng.random() < 0.15:
                start, dark = rng.choice((start, 4 * SECOND)), FOR_GOOD
            sides = SIDES if rng.random() < 0.5 else (side,)
            return [Event(kind, side, start_ns=start, for_ns=dark) for side in sides]
        case "shrink_mtu":
            return [Event(kind, side, start_ns=start, at=rng.choice(NARROWED))]
        case "jump":
            far = rng.choice((1, 300, 3000, 15_000, 15_000, 120_000)) * MILLISECOND
            return [Event(kind, side, start_ns=start, for_ns=rng.choice((far, -far)))]
    return [Event(kind, side, start_ns=start)]


STRIKES = (*(kind for kind, words in WIRE_KINDS.items() if "packet" in words), "drop", "duplicate", "forge", "forge")
MISFORTUNES = (*(kind for kind, words in WIRE_KINDS.items() if "packet" not in words), "outage", *HOST_KINDS, "rebind")

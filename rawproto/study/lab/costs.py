"""What each mechanism costs or saves, as one figure with it and one without it, measured in a small world of its own.

For what serves speed alone this takes the place of a counterexample; what carries a guarantee is shown with its price,
where there is one. All is read off the link, the bottleneck and the applications' accounts, in virtual time: what a
mechanism costs the processor is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from rawproto.errors import ConfigError
from rawproto.link.impairment import Impairment
from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import World
from rawproto.study.lab import gauges
from rawproto.study.lab.gauges import Gauge
from rawproto.study.lab.mechanisms import MECHANISMS, settings_on
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["TRIALS", "Cost", "Trial", "cost_of"]

TIMES = ("ms", "s")
PLAIN = Road()
"""No limits, 20 ms there and back."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One figure with a mechanism `on` and `off`, each the mean of `runs` runs. `better` is "less" or "more"."""

    metric: str
    """What is measured; its unit stands behind the last comma."""
    on: float
    off: float
    better: str
    scenario: str
    """What happens, in a sentence."""
    runs: int = 1

    @property
    def unit(self) -> str:
        """Such as "ms" or "datagrams"."""
        return self.metric.rpartition(", ")[2]

    @property
    def helps(self) -> bool:
        """The figure is worse without the mechanism."""
        return self.off > self.on if self.better == "less" else self.off < self.on

    def as_dict(self) -> dict[str, int | float | str]:
        """All of it, for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """What it comes to, for people."""
        on, off = self._amount(self.on), self._amount(self.off)
        if self.on == self.off:
            return f"no measurable difference: {on} with it and without it"
        if not self.helps:
            more = "costs" if self.better == "less" else "takes away"
            return f"without it {off} instead of {on}: having it {more} {self._amount(abs(self.on - self.off))}"
        if not self.on or not self.off:
            return f"without it {off} instead of {on}"
        if self.better == "more":
            return f"without it {off} instead of {on}: {self.on / self.off:.1f} times fewer"
        return f"without it {off} instead of {on}: {self.off / self.on:.1f} times as {self._much()}"

    def _much(self) -> str:
        return "long" if self.unit in TIMES else "many"

    def _amount(self, value: float) -> str:
        if not value:
            return "none" if self.unit not in TIMES else f"0 {self.unit}"
        number = f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"
        one = value == 1 and self.unit not in TIMES
        return f"{number} {self.unit.removesuffix('s') if one else self.unit}"


@dataclass(frozen=True, slots=True)
class Trial:
    """A small world in which a mechanism shows. `runs` is how many seeds are averaged, where chance matters."""

    metric: str
    text: str
    gauge: Gauge
    talks: tuple[Talk, ...]
    better: str = "less"
    events: tuple[Event, ...] = ()
    road: Road = PLAIN
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 1

    def play(self, settings: Mapping[str, Any], seed: int) -> World:
        """Run it with `settings` besides its own."""
        world = World(Scenario(self.metric, self.talks, self.events, {**self.settings, **settings}, self.road), seed)
        world.play()
        return world

    def mean(self, settings: Mapping[str, Any], seed: int) -> float:
        """The figure: the mean over seeds from `seed` on, to three decimals."""
        figures = [self.gauge(self.play(settings, seed + number)) for number in range(self.runs)]
        mean = round(fmean(figures), 3)
        return int(mean) if mean == int(mean) else mean


def cost_of(name: str, seed: int = 1) -> Cost:
    """What the mechanism `name` costs or saves. Raises ConfigError if there is none of that name."""
    if name not in TRIALS:
        raise ConfigError(f"there is no mechanism {name!r}; there are: {', '.join(TRIALS)}")
    trial, off = TRIALS[name], MECHANISMS[name].off
    on = trial.mean(settings_on(off), seed)
    return Cost(trial.metric, on, trial.mean(off, seed), trial.better, trial.text, trial.runs)


def _file(size: int) -> tuple[Talk, ...]:
    return (Talk(Party((f"send {size}",))),)


ASKS = Talk(Party(("send 200", "wait 100 ms", "send 200")), Party(("await 200", "send 200", "await end")))
AGAIN = Talk(Party(("send 300",)), Party(("await end", "send 100")), client_port=50_000)
SLOW = Road(rate_bps=10_000_000, delay_ns=20 * MILLISECOND)
"""10 Mbit/s, 40 ms there and back."""


def _drops(*packets: int) -> tuple[Event, ...]:
    return tuple(Event("drop", packet=packet) for packet in packets)


TRIALS: Mapping[str, Trial] = {
    "checksum": Trial(
        "octets sent again when one bit of a datagram flips on the way, octets",
        "100 kB are sent, and one bit of one datagram flips: it is dropped as if it had been lost.",
        gauges.sent_again,
        _file(100_000),
        events=(Event("flip", packet=30, at=4000),),
    ),
    "sequencing": Trial(
        "time until an octet is read, mean over 100 kB of which one datagram is lost, ms",
        "100 kB are sent and one datagram is lost: what comes behind it has to wait for it.",
        gauges.mean_reading_ms,
        _file(100_000),
        events=_drops(20),
    ),
    "duplicate_suppression": Trial(
        "octets on the link to deliver 100 kB, octets",
        "100 kB are sent and nothing goes wrong: to put octets in order, the receiver must know what it has anyway.",
        gauges.octets,
        _file(100_000),
    ),
    "acknowledgement": Trial(
        "datagrams that go back while 12 kB are delivered, datagrams",
        "12 kB, less than the first window, cross a road of 10 Mbit/s, and nothing goes wrong.",
        gauges.server_datagrams,
        _file(12_000),
        road=SLOW,
    ),
    "retransmission": Trial(
        "octets sent again when one datagram of 100 kB is lost, octets",
        "100 kB are sent, and one datagram is lost.",
        gauges.sent_again,
        _file(100_000),
        events=_drops(30),
    ),
    "backoff": Trial(
        "time from the end of an outage of 5 s until data arrive again, ms",
        "The client's way out is cut for 5 s: the longer it was, the longer it takes until the next try.",
        gauges.until_resumed_ms,
        _file(100_000),
        events=(Event("outage", start_ns=40 * MILLISECOND, for_ns=5 * SECOND),),
    ),
    "handshake": Trial(
        "time from connect until the server's application is given the connection, ms",
        "A client connects, 20 ms there and back: the server waits until it knows that this was no old SYN.",
        gauges.accepted_ms,
        (ASKS,),
    ),
    "isn": Trial(
        "octets on the link to deliver 100 kB, octets",
        "100 kB are sent and nothing goes wrong: any number is as long as 0, and the hash is made once a connection.",
        gauges.octets,
        _file(100_000),
    ),
    "cookies": Trial(
        "length of the listener's answer to a SYN, octets",
        "A client connects, and the answer carries all that the listener would have to remember.",
        gauges.greeting_octets,
        (ASKS,),
    ),
    "flow_control": Trial(
        "time to deliver 300 kB, 100 ms there and back, into a buffer of 20 kB, ms",
        "300 kB go a long way to a fast reader with a small buffer: each round trip carries no more than that.",
        gauges.delivery_ms,
        _file(300_000),
        road=Road(delay_ns=50 * MILLISECOND),
        settings={"receive_buffer": 20_000},
    ),
    "persist": Trial(
        "datagrams in a minute in which the reader sleeps, datagrams",
        "9 kB are sent to a reader that has room for 4 kB and sleeps for a minute: the sender asks now and then.",
        gauges.sent_in_silence,
        (Talk(Party(("send 9000",)), Party(reads=("wait 60 s", "read all"))),),
        settings={"receive_buffer": 4096},
    ),
    "challenge_ack": Trial(
        "datagrams that a forged reset draws from the server, datagrams",
        "An attacker sends a reset that is in the window, but not exact: the server asks whether it was meant.",
        gauges.answers_to_forgery,
        (ASKS,),
        events=(Event("forge", packet=3, for_ns=50 * MILLISECOND, at=100, what="near-reset"),),
    ),
    "time_wait": Trial(
        "time for which the ports of a connection that is over are held, s",
        "A connection is opened from the same port as the one before, as soon as that is allowed.",
        gauges.ports_held_s,
        (AGAIN, replace(AGAIN, again=True)),
    ),
    "congestion_control": Trial(
        "time to deliver 300 kB over an empty road without limits, ms",
        "300 kB cross a road that could carry them at once: the sender can't know, and begins with little.",
        gauges.delivery_ms,
        _file(300_000),
    ),
    "keep_alive": Trial(
        "datagrams in 150 s in which nobody has anything to say, datagrams",
        "A connection is idle for 150 s; it asks after 20 s, and every 5 s if nobody answered.",
        gauges.sent_in_silence,
        (Talk(Party(("send 100", "wait 150 s", "send 100"))),),
        settings={"keep_alive_idle": 20 * SECOND, "keep_alive_interval": 5 * SECOND},
    ),
    "path_mtu_discovery": Trial(
        "octets on the link to deliver 100 kB, octets",
        "100 kB are sent over a path that takes all that the link does: the data themselves show it.",
        gauges.octets,
        _file(100_000),
    ),
    "sack": Trial(
        "octets sent again when nine datagrams of a window are lost, octets",
        "Of 100 kB at 10 Mbit/s, every second datagram of a part is lost: nine in all.",
        gauges.sent_again,
        _file(100_000),
        events=_drops(*range(40, 57, 2)),
        road=SLOW,
    ),
    "fast_retransmit": Trial(
        "time to deliver 100 kB over a road that loses 2 %, ms",
        "100 kB cross a road that loses 2 % of all datagrams, 20 ms there and back.",
        gauges.delivery_ms,
        _file(100_000),
        road=Road(impairment=Impairment(loss=0.02)),
        runs=8,
    ),
    "tail_loss_probe": Trial(
        "time to deliver 10 kB whose last datagram is lost, ms",
        "10 kB are sent, and the last datagram with data is lost: nothing comes later that could show it.",
        gauges.delivery_ms,
        _file(10_000),
        events=_drops(10),
    ),
    "undo": Trial(
        "time to deliver 1 MB of which one datagram comes 15 ms late, ms",
        "1 MB is sent, and one datagram is overtaken by others for so long that it is taken for lost.",
        gauges.delivery_ms,
        _file(1_000_000),
        events=(Event("delay", packet=100, for_ns=15 * MILLISECOND),),
    ),
    "proportional_rate_reduction": Trial(
        "longest pause of the sender while it repairs a loss, ms",
        "300 kB cross a road of 10 Mbit/s and 40 ms there and back, and one datagram is lost.",
        gauges.pause_in_repair_ms,
        _file(300_000),
        events=_drops(60),
        road=SLOW,
    ),
    "pacing": Trial(
        "longest queue at the bottleneck while 120 kB are delivered, octets",
        "120 kB, less than the path itself holds, cross a road of 10 Mbit/s and 100 ms there and back.",
        gauges.longest_queue,
        _file(120_000),
        road=replace(SLOW, delay_ns=50 * MILLISECOND, queue="droptail", queue_bytes=1_000_000),
    ),
    "delayed_ack": Trial(
        "datagrams that go back while 100 kB are delivered, datagrams",
        "100 kB cross a road of 10 Mbit/s, and nothing goes wrong.",
        gauges.server_datagrams,
        _file(100_000),
        road=SLOW,
    ),
    "nagle": Trial(
        "datagrams with data for 200 octets that are written one by one, datagrams",
        "An application writes 200 times one octet, 1 ms apart, over a road of 20 ms there and back.",
        gauges.client_datagrams,
        (Talk(Party(("send 1", "wait 1 ms") * 200)),),
    ),
    "silly_window": Trial(
        "payload of a datagram, mean, to a reader that takes 50 octets at a time, octets",
        "5 kB are sent to a reader with room for 1 kB that takes 50 octets every 5 ms.",
        gauges.mean_payload,
        (Talk(Party(("send 5000",)), Party(reads=(*("read 50", "wait 5 ms") * 100, "read all"))),),
        better="more",
        settings={"receive_buffer": 1000},
    ),
    "idle_restart": Trial(
        "datagrams in the first round trip after a pause of 5 s, datagrams",
        "300 kB are sent, and 200 kB more after 5 s, over a road of 40 ms there and back.",
        gauges.burst_after_pause,
        (Talk(Party(("send 300000", "wait 5 s", "send 200000"))),),
        road=replace(SLOW, rate_bps=50_000_000),
    ),
    "ecn": Trial(
        "datagrams that the bottleneck drops while 500 kB are delivered, datagrams",
        "500 kB cross a road of 10 Mbit/s whose queue is held short by CoDel, which marks those that understand it.",
        gauges.lost_in_queue,
        _file(500_000),
        road=replace(SLOW, delay_ns=10 * MILLISECOND, queue="codel-ecn", queue_bytes=200_000),
    ),
}
"""A trial for each mechanism."""

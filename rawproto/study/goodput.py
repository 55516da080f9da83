"""Goodput over buffer size, loss and congestion control, in virtual time: the table that shows what a change did.

10 MiB cross one bottleneck. Each cell is a run of its own and a function of what the cell says and of the seed; all
figures are whole numbers, so they are the same on every machine. What theory says of a cell is in `limit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import isqrt

from rawproto.link.impairment import Impairment
from rawproto.link.queue import DropTail
from rawproto.sim.topology import dumbbell
from rawproto.study.flow import Flow
from rawproto.transport.config import MILLISECOND, SECOND, Config

__all__ = [
    "BUFFERS",
    "CONTROLS",
    "LOSSES",
    "PAYLOAD_KBIT",
    "RATE_BPS",
    "ROUND_TRIP_NS",
    "SIZE",
    "Cell",
    "Goodput",
    "grid",
    "limit",
    "mathis",
    "run_cell",
    "sample",
]

RATE_BPS = 50_000_000
ROUND_TRIP_NS = 20 * MILLISECOND
QUEUE_BYTES = RATE_BPS // 8 * ROUND_TRIP_NS // SECOND
"""One bandwidth-delay product."""
MTU = 1500
MSS = 1440
"""Payload of a full datagram: the MTU less 20 octets for IPv4 and 40 for RDT."""
PAYLOAD_KBIT = RATE_BPS * MSS // MTU // 1000
"""What is left of the bottleneck for payload, in kbit/s."""
SIZE = 10 << 20
SEED = 1

CONTROLS = ("none", "reno", "cubic", "bbr")
LOSSES = (0, 1, 3, 10, 30, 100, 300)
"""Of what leaves the bottleneck for the receiver, per mille."""
BUFFERS = (4096, 8192, 16384, 32768, 65536, 131072, 262144, 1 << 20, 4 << 20)
"""Of sender and receiver alike, in bytes."""

PATIENCE = 24 * 3600 * SECOND
"""A cell that has not ended after so much virtual time has a goodput of 0."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is different from run to run."""

    control: str
    loss_permille: int
    buffer: int

    def __str__(self) -> str:
        return f"{self.control}, loss {self.loss_permille / 10:g} %, buffer {self.buffer >> 10} KiB"


@dataclass(frozen=True, slots=True)
class Goodput:
    """What came of it."""

    kbit_s: int
    """Payload that arrived, from the first SYN to when the receiver has read the end of the stream; 0: it never has."""
    retransmitted_permille: int
    """Octets that were sent again, against those that there were."""
    timeouts: int
    """How often the retransmission timer expired."""
    needless: int
    """Octets that the receiver got once more than it needed."""


def grid() -> list[Cell]:
    """All cells."""
    return [Cell(control, loss, buffer) for control in CONTROLS for loss in LOSSES for buffer in BUFFERS]


def sample(step: int = 17) -> list[Cell]:
    """Every `step`th cell: a step without a factor in common with the sides of the grid meets all rows and columns."""
    return grid()[::step]


def run_cell(cell: Cell) -> Goodput:
    """Run one cell from beginning to end."""
    config = Config(
        congestion_control=cell.control,
        send_buffer=cell.buffer,
        receive_buffer=cell.buffer,
        user_timeout=PATIENCE,
        connect_timeout=PATIENCE,
    )
    network = dumbbell(
        SEED,
        1,
        rate_bps=RATE_BPS,
        delay_ns=ROUND_TRIP_NS // 2,
        queue=partial(DropTail, QUEUE_BYTES),
        mtu=MTU,
        impairment=Impairment(loss=cell.loss_permille / 1000),
        configs=[config],
    )
    flow = Flow(network.clients[0], network.servers[0], SEED, size=SIZE, peer="10.1.0.1")
    network.simulation.run(until=PATIENCE)
    near, far = flow.stats()
    return Goodput(
        kbit_s=SIZE * 8 * (SECOND // 1000) // flow.arrived.time_ns if flow.whole else 0,
        retransmitted_permille=near.bytes_retrans * 1000 // SIZE,
        timeouts=near.timeouts,
        needless=far.rcv_dup,
    )


def limit(cell: Cell) -> int:
    """The most that bottleneck and buffer allow without loss, in kbit/s: whole segments, once for each round trip."""
    whole = max(cell.buffer // MSS * MSS, min(cell.buffer, MSS))
    return min(PAYLOAD_KBIT, whole * 8 * (SECOND // 1000) // ROUND_TRIP_NS)


def mathis(loss_permille: int) -> int:
    """What Reno reaches at random loss, in kbit/s: MSS / RTT * sqrt(3 / 2p).

    Mathis, Semke, Mahdavi, Ott: The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm (1997), (3).
    """
    thousandths = isqrt(1500 * 1_000_000 // loss_permille)
    return MSS * 8 * (SECOND // 1000) // ROUND_TRIP_NS * thousandths // 1000

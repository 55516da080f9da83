"""What can go wrong on a wire, as one value: `Impairment`. The link that does it is `rawproto.link.impair`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rawproto.errors import ConfigError

__all__ = ["DAMAGES", "Impairment"]

DAMAGES = ("corrupt", "swap", "truncate")
"""The faults after which a frame arrives, but not as it was sent; by the names they are counted under."""

PROBABILITIES = (
    "loss", "burst_start", "burst_stop", "burst_loss", "duplicate", "corrupt", "swap", "truncate", "reorder"
)  # fmt: skip
DURATIONS = ("delay_ns", "jitter_ns", "reorder_delay_ns", "duplicate_delay_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairment:
    """The faults of one direction of a link. Probabilities are per frame, 0.0 to 1.0; times are ns.

    Raises ConfigError for a value that can't work.
    """

    none: ClassVar[Impairment]
    """No fault at all: everything passes straight through."""

    loss: float = 0.0
    """A frame is lost."""
    burst_start: float = 0.0
    """Burst loss after Gilbert and Elliott: the link goes bad before this frame."""
    burst_stop: float = 0.25
    """It recovers before this frame: a bad spell lasts 1 / burst_stop frames on average."""
    burst_loss: float = 1.0
    """A frame is lost while the link is bad."""
    corrupt: float = 0.0
    """A frame has bits flipped."""
    corrupt_bits: int = 1
    """How many different bits of it."""
    swap: float = 0.0
    """Two different 16-bit words of a frame change places, which the Internet checksum (RFC 1071) can't see."""
    truncate: float = 0.0
    """A frame loses its end: any number of bytes, but one behind the link header stays."""
    duplicate: float = 0.0
    """A frame arrives twice."""
    duplicate_delay_ns: int = 0
    """How much later the copy is; with 0 it follows at once."""
    reorder: float = 0.0
    """A frame is held back, so that later ones overtake it."""
    reorder_delay_ns: int = 0
    """For how long."""
    delay_ns: int = 0
    """Every frame takes this long."""
    jitter_ns: int = 0
    """And up to this much longer, evenly distributed."""
    jitter_keeps_order: bool = True
    """A frame waits for those before it, as in a queue; otherwise jitter lets frames overtake each other."""
    rate_bps: int | None = None
    """The bits a second that the link carries; None for no limit."""
    queue_bytes: int | None = None
    """How much may wait for its turn at that rate, without the frame being sent; None for no limit."""

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            _check_probability(name, getattr(self, name))
        for name in DURATIONS:
            _check_whole(name, getattr(self, name), "ns", least=0)
        _check_whole("corrupt_bits", self.corrupt_bits, "bits", least=1)
        if self.rate_bps is not None:
            _check_whole("rate_bps", self.rate_bps, "bits a second", least=1)
        if self.queue_bytes is not None:
            _check_whole("queue_bytes", self.queue_bytes, "bytes", least=0)
        self._check_company()

    def _check_company(self) -> None:
        """Refuse options that do nothing, or never end, without another one."""
        if self.queue_bytes is not None and self.rate_bps is None:
            raise ConfigError(f"queue_bytes is {self.queue_bytes} but rate_bps is None: give 1 bit a second or more")
        if self.burst_start and not self.burst_stop:
            raise ConfigError("burst_stop is 0: a burst would never end; give more than 0.0, at most 1.0")
        if self.reorder and not self.reorder_delay_ns:
            raise ConfigError(f"reorder is {self.reorder} but reorder_delay_ns is 0: give 1 ns or more")

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that are switched on and that strike single frames, by the names they are counted under.

        Delay, jitter and rate are not among them: they touch every frame.
        """
        switches = (
            ("queue_drop", self.queue_bytes is not None),
            ("loss", self.loss > 0),
            ("burst_loss", self.burst_start > 0),
            ("corrupt", self.corrupt > 0),
            ("swap", self.swap > 0),
            ("truncate", self.truncate > 0),
            ("duplicate", self.duplicate > 0),
            ("reorder", self.reorder > 0),
        )
        return tuple(name for name, on in switches if on)


def _check_probability(name: str, value: object) -> None:
    # The comparison is written so that NaN fails it.
    if not (isinstance(value, (int, float)) and 0 <= value <= 1):
        raise ConfigError(f"{name} is {value!r}: give a probability from 0.0 to 1.0")


def _check_whole(name: str, value: object, unit: str, *, least: int) -> None:
    if not (isinstance(value, int) and value >= least):
        raise ConfigError(f"{name} is {value!r}: give an int of {unit}, {least} or more")


Impairment.none = Impairment()

"""The interface of congestion control and the registry of its names."""

from __future__ import annotations

from abc import ABC, abstractmethod

from rawproto.errors import ConfigError

__all__ = ["CongestionControl", "create", "names", "register"]

_REGISTRY: dict[str, type[CongestionControl]] = {}


class CongestionControl(ABC):
    """Decides how many octets may be in flight. Sizes in octets, times in ns."""

    def __init__(self, mss: int, initial_window: int) -> None:
        self.mss = mss
        self.cwnd = initial_window
        self.ssthresh: int | None = None
        """None until the first loss: as high as possible (RFC 5681 §3.1)."""

    @abstractmethod
    def on_acknowledged(self, octets: int, in_flight: int, now: int) -> None:
        """`octets` were newly acknowledged; before that, `in_flight` were outstanding."""

    @abstractmethod
    def on_lost(self, sent_ns: int, flight_size: int, now: int) -> None:
        """A packet sent at `sent_ns` was lost; `flight_size` octets lay between SND.UNA and SND.NXT."""

    @abstractmethod
    def on_timeout(self, flight_size: int, again: bool, now: int) -> None:
        """The retransmission timer expired with `flight_size` unacknowledged; `again`: no progress since the last."""


def register(name: str, kind: type[CongestionControl]) -> None:
    """Make `kind` known as `name`."""
    _REGISTRY[name] = kind


def names() -> list[str]:
    """The names that `create` knows, sorted."""
    return sorted(_REGISTRY)


def create(name: str, mss: int, initial_window: int) -> CongestionControl:
    """Make the congestion control called `name`. Raises ConfigError for a name that is not registered."""
    try:
        kind = _REGISTRY[name]
    except KeyError:
        raise ConfigError(f"no congestion control is called {name!r}; there are: {', '.join(names())}") from None
    return kind(mss, initial_window)

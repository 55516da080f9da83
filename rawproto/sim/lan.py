"""A simulated Ethernet: hosts on one segment, each with faults on what it sends, a trace and a recording."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Protocol

from rawproto.capture.journal import JournalWriter
from rawproto.capture.recording import Setup
from rawproto.link.base import Link
from rawproto.link.carrier import IpCarrier
from rawproto.link.chance import derive_rng
from rawproto.link.impair import FaultObserver, ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.memory import Segment
from rawproto.link.tap import RecordingLink
from rawproto.sim.network import Host, Simulation
from rawproto.transport.config import Config
from rawproto.transport.endpoint import Endpoint
from rawproto.transport.stack import Stack
from rawproto.transport.trace import Trace
from rawproto.wire.frame import Frame

__all__ = ["Lan"]


class Sink(Protocol):
    """Where a recording goes: any capture writer."""

    def write(self, frame: Frame) -> None:
        """Append `frame`."""


class Lan:
    """One Ethernet segment in virtual time. All chance on it comes from `seed`, for each host and fault by name."""

    def __init__(self, seed: int, *, simulation: Simulation | None = None, mtu: int = 1500) -> None:
        self.seed = seed
        self.simulation = Simulation() if simulation is None else simulation
        self.segment = Segment(mtu=mtu)
        self.impaired: dict[str, ImpairedLink] = {}
        """The link of each host that counts the faults on what it sent."""

    def setup(self, name: str, address: str, config: Config) -> Setup:
        """What a recording of the host that will be added next as `name` must say of it, to be replayed."""
        linktype, mtu = self.segment.linktype, self.segment.mtu
        return Setup(name, address, self._mac(), mtu, linktype, self.seed, asdict(config))

    def host(
        self,
        name: str,
        address: str,
        *,
        config: Config | None = None,
        impairment: Impairment = Impairment.none,
        on_fault: FaultObserver | None = None,
        recording: Sink | None = None,
        trace: Trace | None = None,
    ) -> Host:
        """Put a host on the segment. `recording` gets all its frames and the calls of its applications."""
        config = Config() if config is None else config
        mac = self._mac()
        wire = self.segment.attach(name)
        impaired = ImpairedLink(wire, impairment, partial(derive_rng, self.seed, name), on_fault)
        self.impaired[name] = impaired
        link: Link = impaired if recording is None else RecordingLink(impaired, recording.write)
        carrier = IpCarrier(link, address, mac)
        endpoint = Endpoint(config, derive_rng(self.seed, name, "endpoint"), carrier.datagram_size, trace)
        journal = None if recording is None else JournalWriter(recording)
        return self.simulation.add(name, Stack(carrier, endpoint, journal), wire)

    def _mac(self) -> str:
        """A locally administered address for the next host."""
        return f"02:00:00:00:00:{len(self.segment.links) + 1:02x}"

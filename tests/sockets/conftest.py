"""Pairs of hosts in one process, over several roads; whatever a test does, no thread and no descriptor may be left."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from select import poll
from typing import Any

import pytest

from rawproto.capture import PcapngWriter
from rawproto.capture.recording import Setup
from rawproto.errors import LinkError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink, Impairment
from rawproto.link.memory import memory_pair
from rawproto.link.udp import UdpLink
from rawproto.link.unix import UnixLink
from rawproto.sockets.datagram_socket import DatagramSocket
from rawproto.sockets.host import Host
from rawproto.transport.config import MILLISECOND, Config
from rawproto.wire.frame import Frame

PATIENCE = 10.0
QUICK = Config(initial_rto=50 * MILLISECOND, min_rto=20 * MILLISECOND)
"""So that what is lost is not waited for."""
BAD = Impairment(
    loss=0.05, reorder=0.05, duplicate=0.05, corrupt=0.02, delay_ns=MILLISECOND // 2, reorder_delay_ns=MILLISECOND
)


class FaultyLink(LinkWrapper):
    """Loses the next `lose` frames longer than `over` bytes; raises `failure` from then on when it is set."""

    lose = 0
    over = 0
    failure: LinkError | None = None

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        kept = []
        for frame in frames:
            if self.lose and len(frame) > self.over:
                self.lose -= 1
            else:
                kept.append(frame)
        self.inner.send(kept, now, peer)

    def receive(self, now: int) -> list[Frame]:
        if self.failure is not None:
            raise self.failure
        return super().receive(now)


@dataclass
class Pair:
    """A client and a server on one wire, and what makes and unmakes sockets on them."""

    client: Host
    server: Host
    client_link: FaultyLink
    server_link: FaultyLink
    threads: list[threading.Thread] = field(default_factory=list)
    recordings: list[PcapngWriter] = field(default_factory=list)
    type: int = socket.SOCK_STREAM
    """Of the sockets that `listen` and `connect` make."""

    def listen(self, port: int = 7, backlog: int = 128) -> Any:
        listener: Any = self.server.socket(self.type)
        listener.bind(("", port))
        listener.listen(backlog)
        listener.settimeout(PATIENCE)
        return listener

    def connect(self, port: int = 7) -> Any:
        connection = self.client.socket(self.type)
        connection.settimeout(PATIENCE)
        connection.connect((self.server.address, port))
        return connection

    def connected(self, port: int = 7) -> tuple[Any, Any]:
        """A connection: the client's end and the server's."""
        listener = self.listen(port)
        near = self.connect(port)
        far, _ = listener.accept()
        far.settimeout(PATIENCE)
        listener.close()
        return near, far

    def datagrams(self, port: int = 7) -> tuple[DatagramSocket, DatagramSocket]:
        """A socket for datagrams at the client, connected to one at the server."""
        near, far = (host.socket(socket.SOCK_DGRAM) for host in (self.client, self.server))
        far.bind(("", port))
        near.connect((self.server.address, port))
        for each in (near, far):
            each.settimeout(PATIENCE)
        return near, far

    @staticmethod
    def in_a_call(host: Host, count: int = 1) -> Callable[[], bool]:
        """So many threads wait in calls on `host`, one of them as the one that polls."""
        driver = host.driver
        return lambda: driver._waiting == count and driver._polling not in (None, driver._thread)

    def close(self, linger: float = 0) -> None:
        """Close the hosts, then what they were recorded in."""
        self.client.close(linger)
        self.server.close(linger)
        for writer in self.recordings:
            writer.close()
        self.recordings.clear()

    def start(self, work: Callable[[], object]) -> Task:
        """Do `work` in a thread of its own."""
        task = Task(work)
        self.threads.append(task)
        task.start()
        return task


class Task(threading.Thread):
    """A call in a thread of its own; `result` waits for what it gives or raises."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._value: object = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> object:
        self.join(PATIENCE)
        if self.is_alive():
            pytest.fail("the call did not end")
        if self._error is not None:
            raise self._error
        return self._value


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so, looking once a millisecond, outside of all calls on sockets."""

    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(int(PATIENCE * 1000)):
            if condition():
                return
            poll().poll(1)
        pytest.fail("it never became so")

    return wait


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    yield
    assert set(threading.enumerate()) == threads
    assert set(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def links(road: str) -> tuple[Link, Link]:
    if road == "udp":
        return UdpLink("127.0.0.1", 0), UdpLink("127.0.0.1", 0)
    if road == "unix":
        return UnixLink(), UnixLink()
    pair = memory_pair()
    if road == "memory":
        return pair
    first, second = (ImpairedLink(link, BAD, partial(derive_rng, 1, link.interface)) for link in pair)
    return first, second


@pytest.fixture
def make(nothing_is_left: None) -> Iterator[Callable[..., Pair]]:
    """Make pairs of hosts; they are closed at the end."""
    made: list[Pair] = []

    def build(
        road: str = "memory",
        config: Config = QUICK,
        *,
        server_config: Config | None = None,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - as in socket.socket
        recorded: Path | None = None,
    ) -> Pair:
        first, second = (FaultyLink(link) for link in links(road))
        here, there = "10.0.0.1", "10.0.0.2"
        if road in ("udp", "unix"):
            here, there = (str(getattr(link.inner, "address", "")) for link in (first, second))
        recordings: list[PcapngWriter] = []

        def host(name: str, link: Link, address: str, settings: Config) -> Host:
            if recorded is None:
                return Host(link, address, config=settings)
            mac = "02:00:00:00:00:01" if name == "client" else "02:00:00:00:00:02"
            setup = Setup(name, address, mac, link.mtu, link.linktype, 1, asdict(settings))
            recordings.append(PcapngWriter(recorded / f"{name}.pcapng", comment=setup.comment()))
            return Host(link, address, mac=mac, name=name, config=settings, seed=1, recording=recordings[-1])

        client, server = host("client", first, here, config), host("server", second, there, server_config or config)
        made.append(Pair(client, server, first, second, recordings=recordings, type=type))
        return made[-1]

    yield build
    for pair in made:
        pair.close()
        for thread in pair.threads:
            thread.join(PATIENCE)


@pytest.fixture(params=["memory", "bad wire", "udp", "unix"])
def pair(request: pytest.FixtureRequest, make: Callable[..., Pair]) -> Pair:
    """Two hosts, on each road."""
    return make(request.param)

"""Pairs of hosts in one process, over several roads; whatever a test does, no thread and no descriptor may be left."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from select import poll

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink, Impairment
from rawproto.link.memory import memory_pair
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket
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

    def listen(self, port: int = 7, backlog: int = 128) -> Socket:
        listener = self.server.socket()
        listener.bind(("", port))
        listener.listen(backlog)
        listener.settimeout(PATIENCE)
        return listener

    def connect(self, port: int = 7) -> Socket:
        connection = self.client.socket()
        connection.settimeout(PATIENCE)
        connection.connect((self.server.address, port))
        return connection

    def connected(self, port: int = 7) -> tuple[Socket, Socket]:
        """A connection: the client's end and the server's."""
        listener = self.listen(port)
        near = self.connect(port)
        far, _ = listener.accept()
        far.settimeout(PATIENCE)
        listener.close()
        return near, far

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
    pair = memory_pair()
    if road == "memory":
        return pair
    first, second = (ImpairedLink(link, BAD, partial(derive_rng, 1, link.interface)) for link in pair)
    return first, second


@pytest.fixture
def make(nothing_is_left: None) -> Iterator[Callable[..., Pair]]:
    """Make pairs of hosts; they are closed at the end."""
    made: list[Pair] = []

    def build(road: str = "memory", config: Config = QUICK) -> Pair:
        first, second = (FaultyLink(link) for link in links(road))
        here, there = ("", "") if road == "udp" else ("10.0.0.1", "10.0.0.2")
        if road == "udp":
            here, there = (str(getattr(link.inner, "address", "")) for link in (first, second))
        made.append(Pair(Host(first, here, config=config), Host(second, there, config=config), first, second))
        return made[-1]

    yield build
    for pair in made:
        pair.client.close(linger=0)
        pair.server.close(linger=0)
        for thread in pair.threads:
            thread.join(PATIENCE)


@pytest.fixture(params=["memory", "bad wire", "udp"])
def pair(request: pytest.FixtureRequest, make: Callable[..., Pair]) -> Pair:
    """Two hosts, on each road."""
    return make(request.param)

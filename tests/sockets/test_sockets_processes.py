"""Two processes, one the server and one the client, over UDP and over AF_UNIX: streams, records and datagrams."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rawproto.link.base import Link
from rawproto.link.udp import UdpLink
from rawproto.link.unix import UnixLink
from rawproto.sockets.host import Host

PATIENCE = 30.0
SERVER = """
import socket, sys
from rawproto.link.udp import UdpLink
from rawproto.link.unix import UnixLink
from rawproto.sockets.host import Host

def serve(host, kind):
    here = host.socket(kind)
    here.settimeout(30)
    here.bind(("", 7))
    if kind != socket.SOCK_DGRAM:
        here.listen()
    print(host.address, flush=True)
    if kind == socket.SOCK_DGRAM:
        while (got := here.recvfrom(1 << 16))[0] != b"enough":
            here.sendto(got[0][::-1], got[1])
        return
    with here.accept()[0] as there:
        there.settimeout(30)
        while data := there.recv(1 << 16):
            there.sendall(data[::-1])

with Host(UdpLink(port=0) if sys.argv[1] == "udp" else UnixLink()) as host:
    serve(host, socket.SocketKind(int(sys.argv[2])))
"""


def link(road: str) -> Link:
    return UdpLink(port=0) if road == "udp" else UnixLink()


@pytest.fixture(params=["udp", "unix"])
def road(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Server:
    """A server of sockets of one kind in a process of its own, which sends everything back, each piece reversed."""

    def __init__(self, road: str, kind: socket.SocketKind) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, road, str(int(kind))], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip(), 7

    def ended_well(self) -> bool:
        return self.process.wait(PATIENCE) == 0

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def servers(road: str) -> Iterator[dict[socket.SocketKind, Server]]:
    """Made when they are first asked for."""

    class Servers(dict[socket.SocketKind, Server]):
        def __missing__(self, kind: socket.SocketKind) -> Server:
            self[kind] = Server(road, kind)
            return self[kind]

    made = Servers()
    yield made
    for server in made.values():
        server.stop()


def test_a_stream_between_two_processes(road: str, servers: dict[socket.SocketKind, Server]) -> None:
    server = servers[socket.SOCK_STREAM]
    with Host(link(road)) as host, host.socket(socket.SOCK_STREAM) as near:
        near.settimeout(PATIENCE)
        near.connect(server.address)
        for size in (1, 1000):
            near.sendall(b"a" * size)
            received = b""
            while len(received) < size:
                received += near.recv(size)
            assert received == b"a" * size
        near.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
        assert server.ended_well()


def test_records_between_two_processes(road: str, servers: dict[socket.SocketKind, Server]) -> None:
    server = servers[socket.SOCK_SEQPACKET]
    with Host(link(road)) as host, host.socket(socket.SOCK_SEQPACKET) as near:
        near.settimeout(PATIENCE)
        near.connect(server.address)
        records = [bytes([index % 251 for index in range(size)]) for size in (1, 7, 1500, 65_000)]
        for record in records:
            near.send(record)
        assert [near.recv(1 << 16) for _ in records] == [record[::-1] for record in records]
        near.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
        assert server.ended_well()


def test_datagrams_between_two_processes(road: str, servers: dict[socket.SocketKind, Server]) -> None:
    server = servers[socket.SOCK_DGRAM]
    with Host(link(road)) as host, host.socket(socket.SOCK_DGRAM) as near:
        near.settimeout(PATIENCE)
        for data in (b"x", b"hello", bytes(range(256)) * 4):
            near.sendto(data, server.address)
            assert near.recvfrom(2000) == (data[::-1], server.address)
        near.sendto(b"enough", server.address)
        assert server.ended_well()

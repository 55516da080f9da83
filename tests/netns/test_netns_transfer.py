"""Fifty connections at once to one listener, each with its own file, over real wires."""

from __future__ import annotations

import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rawproto.link.base import Link
from rawproto.link.chance import derive_rng
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket

pytestmark = pytest.mark.root

ADDRESSES = ("10.0.0.1", "10.0.0.2")


def link_in(namespace: Namespace, road: str, address: str) -> Link:
    with namespace.entered():
        if road == "packet":
            return PacketLink("veth0")
        return RawIpLink(address) if road == "rawip" else UdpLink(address)


def answer_with_digest(connection: Socket) -> None:
    digest = hashlib.sha256()
    while block := connection.recv(1 << 16):
        digest.update(block)
    connection.sendall(digest.digest())
    connection.close()


def serve(listener: Socket, count: int) -> None:
    threads = []
    for _ in range(count):
        connection, _ = listener.accept()
        connection.settimeout(20)
        threads.append(threading.Thread(target=answer_with_digest, args=(connection,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def send_file(host: Host, index: int, start: threading.Barrier) -> bool:
    rng = derive_rng(index, "file")
    data = rng.randbytes(rng.randrange(100_000, 200_000))
    connection = host.socket()
    connection.settimeout(20)
    connection.connect((ADDRESSES[1], 7))
    start.wait(20)  # none sends before all are connected
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while block := connection.recv(100):
        answer += block
    connection.close()
    return answer == hashlib.sha256(data).digest()


@pytest.mark.parametrize(("road", "count"), [("packet", 50), ("rawip", 10), ("udp", 10)])
def test_many_connections_at_once_each_with_its_own_file(road: str, count: int) -> None:
    owned = [] if road == "packet" else [(f"{ADDRESSES[0]}/24", f"{ADDRESSES[1]}/24")]
    with (
        Lab(addresses=owned, offloads=False) as lab,
        Host(link_in(lab.left, road, ADDRESSES[0]), ADDRESSES[0]) as client,
        Host(link_in(lab.right, road, ADDRESSES[1]), ADDRESSES[1]) as server,
        ThreadPoolExecutor(count) as pool,
    ):
        listener = server.socket()
        listener.bind(("", 7))
        listener.listen(count)
        listener.settimeout(20)
        acceptor = threading.Thread(target=serve, args=(listener, count))
        acceptor.start()
        start = threading.Barrier(count)
        whole = list(pool.map(lambda index: send_file(client, index, start), range(count)))
        acceptor.join()
        listener.close()
        assert whole == [True] * count
        assert server.discarded() == {}

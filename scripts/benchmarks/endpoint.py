"""One end of one measured transfer, as a process of its own: `endpoint.py ROAD ROLE ADDRESS PEER BYTES`.

ROAD is `tcp` (the kernel's, with cubic), `packet` (RDT over AF_PACKET), `udp` or `rawip`; ROLE is `send` or
`receive`. The receiver prints one line of JSON: bytes and seconds from the first byte to the end of the stream.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host

PORT = 5001
CALL = 1 << 16
TIMEOUT = 30.0


def open_host(road: str, address: str) -> AbstractContextManager[Any]:
    if road == "tcp":
        return nullcontext()
    if road == "packet":
        # A hardware address that the kernel does not own: it then drops our frames at once instead of routing them.
        return Host(PacketLink("veth0"), address, mac=f"02:00:00:00:01:{address.rpartition('.')[2]:0>2}")
    if road == "rawip":
        return Host(RawIpLink(address), address)
    return Host(UdpLink(address))


def new_socket(road: str, host: Host) -> Any:
    if road != "tcp":
        return host.socket()
    kernel = socket.socket()
    kernel.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    return kernel


def receive(road: str, host: Host, address: str) -> None:
    listener = new_socket(road, host)
    listener.bind((address if road == "tcp" else "", PORT))
    listener.listen()
    listener.settimeout(TIMEOUT)
    print("ready", flush=True)
    connection, _ = listener.accept()
    connection.settimeout(TIMEOUT)
    buffer = bytearray(CALL)
    count = connection.recv_into(buffer)
    begin = time.perf_counter()
    total = count
    while count := connection.recv_into(buffer):
        total += count
    seconds = time.perf_counter() - begin
    connection.close()
    listener.close()
    print(json.dumps({"bytes": total, "seconds": seconds}), flush=True)


def send(road: str, host: Host, peer: str, size: int) -> None:
    connection = new_socket(road, host)
    connection.settimeout(TIMEOUT)
    connection.connect((peer, PORT))
    block = bytes(range(256)) * (CALL // 256)
    sent = 0
    while sent < size:
        connection.sendall(block)
        sent += len(block)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    connection.close()


def main() -> None:
    road, role, address, peer, size = sys.argv[1:]
    with open_host(road, address) as host:
        if role == "receive":
            receive(road, host, address)
        else:
            send(road, host, peer, int(size))


if __name__ == "__main__":
    main()

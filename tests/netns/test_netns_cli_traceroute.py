"""`rawproto traceroute` over a chain of namespaces: a host, three routers, a target."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from rawproto.cli import main
from rawproto.link.netns import Namespace, veth_pair

pytestmark = pytest.mark.root

CODE = "import sys; from rawproto.cli import main; sys.exit(main())"
ROUTERS = 3
TARGET = {4: "10.0.3.2", 6: "fd00:3::2"}
WAY = {4: ["10.0.0.2", "10.0.1.2", "10.0.2.2", "10.0.3.2"], 6: ["fd00::2", "fd00:1::2", "fd00:2::2", "fd00:3::2"]}
NO_DAD = 2
SYSCTL = Path("/proc/sys/net")
SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/icmp_ratelimit": "0",
    "ipv6/icmp/ratelimit": "0",
}


@pytest.fixture
def chain() -> Iterator[list[Namespace]]:
    """Wire number n has the networks 10.0.n.0/24 and fd00:n::/64; the side towards the host is .1, the other .2."""
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(Namespace()) for _ in range(ROUTERS + 2)]
        for number, (left, right) in enumerate(pairwise(places)):
            macs = (f"02:00:00:00:{number:02x}:01", f"02:00:00:00:{number:02x}:02")
            veth_pair(left, right, names=("down", "up"), macs=macs, silent=False)
        for place, namespace in enumerate(places):
            with namespace.entered(), IPRoute() as netlink:
                for name, value in SETTINGS.items():
                    (SYSCTL / name).write_text(value)
                _set_up(netlink, place)
        yield places


def _set_up(netlink: IPRoute, place: int) -> None:
    """Addresses on both wires of the namespace number `place`, and routes to all others."""
    for name, wire, side in (("up", place - 1, 2), ("down", place, 1)):
        if 0 <= wire <= ROUTERS:
            index = netlink.link_lookup(ifname=name)[0]
            netlink.addr("add", index=index, address=f"10.0.{wire}.{side}", prefixlen=24)
            for address in (f"fd00:{wire:x}::{side}", f"fe80::{side}"):  # routers ask neighbours from a link-local one
                options = {"family": socket.AF_INET6, "prefixlen": 64, "flags": NO_DAD}
                netlink.addr("add", index=index, address=address, **options)
    if place <= ROUTERS:
        netlink.route("add", dst="10.0.0.0/16", gateway=f"10.0.{place}.2")
        netlink.route("add", dst="fd00::/16", gateway=f"fd00:{place:x}::2", family=socket.AF_INET6)
    for wire in range(place - 1):
        netlink.route("add", dst=f"10.0.{wire}.0/24", gateway=f"10.0.{place - 1}.1")
        netlink.route("add", dst=f"fd00:{wire:x}::/64", gateway=f"fd00:{place - 1:x}::1", family=socket.AF_INET6)


def trace(chain: list[Namespace], *arguments: str) -> int:
    with chain[0].entered():
        return main(["traceroute", *arguments])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
def test_each_router_has_its_line(
    method: str, version: int, chain: list[Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert trace(chain, TARGET[version], "--method", method, "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert (report["address"], report["method"], report["reached"]) == (TARGET[version], method, True)
    assert [hop["ttl"] for hop in report["hops"]] == [1, 2, 3, 4]
    assert [{answer["address"] for answer in hop["answers"]} for hop in report["hops"]] == [
        {address} for address in WAY[version]
    ]
    assert all(len(hop["answers"]) == 3 for hop in report["hops"])
    assert [answer["reached"] for answer in report["hops"][-1]["answers"]] == [True] * 3


def test_people_see_a_line_a_hop(chain: list[Namespace], capsys: pytest.CaptureFixture[str]) -> None:
    assert trace(chain, "10.0.3.2", "-q", "2") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "traceroute to 10.0.3.2 from 10.0.0.1, UDP port 33434, 30 hops at most"
    for number, (line, address) in enumerate(zip(lines, WAY[4], strict=True), 1):
        assert line.startswith(f"{number:2d}   {address}  ")
        assert line.count(" ms") == 2


@pytest.mark.parametrize(("listening", "note"), [(True, "[open]"), (False, "[closed]")])
def test_tcp_says_whether_the_port_is_open(
    listening: bool, note: str, chain: list[Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    with chain[-1].entered(), socket.socket() as server:
        server.bind(("10.0.3.2", 80))
        if listening:
            server.listen()
        assert trace(chain, "10.0.3.2", "--method", "tcp") == 0
    assert capsys.readouterr().out.splitlines()[-1].count(note) == 3


@pytest.mark.parametrize(
    ("kind", "mark", "words"),
    [("unreachable", "!H", "host unreachable"), ("prohibit", "!X", "communication prohibited")],
)
def test_a_router_that_refuses_ends_it_with_its_mark(
    kind: str, mark: str, words: str, chain: list[Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    with chain[2].entered(), IPRoute() as netlink:
        netlink.route("add", dst="10.0.3.9/32", type=kind)
    assert trace(chain, "10.0.3.9") == 1
    captured = capsys.readouterr()
    last = captured.out.splitlines()[-1]
    assert last.startswith(" 2   10.0.1.2  ")
    assert last.count(f" ms {mark}") == 3
    assert captured.err == f"rawproto: 10.0.3.9 was not reached: 10.0.1.2 says {words}\n"


def test_a_router_without_a_route_is_marked(chain: list[Namespace], capsys: pytest.CaptureFixture[str]) -> None:
    assert trace(chain, "10.0.99.9") == 1
    assert capsys.readouterr().out.splitlines()[-1].count(" ms !N") == 3


def test_what_is_lost_without_a_word_goes_on_to_the_last_hop(
    chain: list[Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    with chain[2].entered(), IPRoute() as netlink:
        netlink.route("add", dst="10.0.3.9/32", type="blackhole")
    assert trace(chain, "10.0.3.9", "-m", "4", "-w", "100ms") == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[2:] == [" 2   *  *  *", " 3   *  *  *", " 4   *  *  *"]
    assert captured.err == "rawproto: 10.0.3.9 was not reached within 4 hops\n"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1"])
def test_this_host_is_one_hop_away(address: str, chain: list[Namespace], capsys: pytest.CaptureFixture[str]) -> None:
    assert trace(chain, address, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [[answer["address"] for answer in hop["answers"]] for hop in report["hops"]] == [[address] * 3]


def test_no_way_to_the_address_is_status_2(chain: list[Namespace], capsys: pytest.CaptureFixture[str]) -> None:
    assert trace(chain, "192.0.2.1") == 2
    assert capsys.readouterr() == ("", "rawproto: no way to 192.0.2.1: Network is unreachable\n")


def test_ctrl_c_shows_what_is_known(chain: list[Namespace]) -> None:
    with chain[1].entered(), IPRoute() as netlink:
        netlink.route("add", dst="10.0.3.9/32", type="blackhole")
    command = [sys.executable, "-c", CODE, "traceroute", "10.0.3.9", "-w", "60"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with chain[0].popen(command, **pipes) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "rawproto: interrupted\n")
    assert "Traceback" not in out

"""What an import brings with it: nothing that was not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("scapy", "dpkt", "netaddr", "rich", "cyclopts", "pyroute2")


def loaded_by(statement: str) -> set[str]:
    """The top-level names of all modules after `statement`, in an interpreter of its own."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import rawproto",
        "import rawproto.wire.packet",
        "import rawproto.interop",
        "from rawproto import Packet, Ethernet, IPv4, IPv6, TCP, UDP, RDT",
    ],
)
def test_an_import_loads_no_library(statement: str) -> None:
    assert loaded_by(statement).isdisjoint(HEAVY)


def test_the_package_alone_loads_none_of_its_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import rawproto, sys; print(*[n for n in sys.modules if n.startswith('rawproto')])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["rawproto"]


def test_asking_for_a_bridge_loads_no_scapy_yet() -> None:
    assert "scapy" not in loaded_by("from rawproto.interop import from_scapy, to_scapy")
    assert "scapy" not in loaded_by("from rawproto.interop import from_dpkt, to_dpkt")


def test_dpkt_comes_with_its_bridge_alone() -> None:
    assert "dpkt" not in loaded_by("from rawproto.interop import to_scapy")
    assert "dpkt" in loaded_by("from rawproto.interop import to_dpkt")

"""Tests on real wires, in network namespaces that they make; without the privilege to, they say why they don't run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from select import POLLIN, poll

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.netns import Lab, Namespace
from rawproto.wire.frame import Frame

PATIENCE_MS = 3000
NOBODY = 65534
BECOME_NOBODY = f"""
import ctypes, os
from rawproto.link.netns import Lab, Namespace, enter_user_namespace
from rawproto.link.packet import PacketLink
Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], offloads=False).close()  # all is imported now that will be
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: as after an exec; /proc/self belongs to root otherwise
"""
"""Not `subprocess`'s `user`: the interpreter may be where only root can read, in /root/.pyenv for one."""


def _refusal() -> str:
    try:
        Namespace().close()
    except LinkError as error:
        return str(error)
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if any(item.get_closest_marker("root") for item in items) and (reason := _refusal()):
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A wire with addresses on both sides."""
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24"), ("fd00::1/64", "fd00::2/64")]) as lab:
        yield lab


@pytest.fixture
def gather() -> Callable[[Link, int], list[Frame]]:
    """Wait until a link has received so many frames, and give them."""

    def wait(link: Link, count: int) -> list[Frame]:
        poller = poll()
        poller.register(link.fileno(), POLLIN)
        frames: list[Frame] = []
        idle = 0
        while len(frames) < count:
            if not poller.poll(PATIENCE_MS) or idle > 100:
                pytest.fail(f"{len(frames)} of {count} frames came")
            got = link.receive(0)
            idle = 0 if got else idle + 1
            frames += got
        return frames

    return wait


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so; the kernel may take a moment to carry frames across."""

    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(PATIENCE_MS):
            if condition():
                return
            poll().poll(1)
        pytest.fail("it never became so")

    return wait


@pytest.fixture
def run_as_nobody() -> Callable[[str], str]:
    """Run a program without any privilege, and give what it prints."""

    def run(program: str) -> str:
        command = [sys.executable, "-W", "error", "-c", BECOME_NOBODY + program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run

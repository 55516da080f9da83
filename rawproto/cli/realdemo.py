"""`rawproto demo --raw`: two processes in two network namespaces joined by a veth pair.

The namespaces are anonymous and the processes end with their standard input, so nothing is left behind however this
process ends. Without root it works in a user namespace of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType

from rawproto.cli.realhost import Job
from rawproto.errors import LinkError
from rawproto.link.netns import Lab, Namespace, enter_user_namespace
from rawproto.study.options import DemoOptions
from rawproto.study.transfer import Outcome, Side

__all__ = ["run_real"]

ADDRESSES = {False: ("10.0.0.1", "10.0.0.2"), True: ("fd00::1", "fd00::2")}
NAMES = ("client", "server")
START_TIMEOUT = 20.0
"""Seconds that a process may take to open its link."""


def run_real(options: DemoOptions, progress: Callable[[int, int], None]) -> Outcome:
    """Carry `options.data` over a veth pair and give what both processes noted.

    Raises PrivilegeError or LinkError if the namespaces or the links can't be made. A transfer that fails, or a
    process that is killed, is an Outcome whose side says why.
    """
    if os.geteuid() != 0:
        enter_user_namespace()
    left, right = ADDRESSES[options.ipv6]
    length = 64 if options.ipv6 else 24
    # Over AF_PACKET the addresses are ours alone: a kernel that owned them would answer as well.
    owned = [] if options.carrier == "packet" else [(f"{left}/{length}", f"{right}/{length}")]
    begin = time.perf_counter()
    with _terminable(), tempfile.TemporaryDirectory(prefix="rawproto-") as work, contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(addresses=owned, offloads=False))
        offset = time.time_ns() - time.monotonic_ns()
        plan = {"client": (lab.left, left, right), "server": (lab.right, right, left)}
        processes: dict[str, Process] = {}
        for name in reversed(NAMES):  # the server must listen before the client calls
            namespace, address, peer = plan[name]
            job = Job(options, lab.interface, address, peer, Path(work) / name, offset)
            process = Process(name, namespace, job)
            processes[name] = stack.enter_context(process)
            if name == "server":
                process.wait_ready()
        _watch(processes, options.size, progress)
        sides = {name: process.side() for name, process in processes.items()}
    elapsed = time.perf_counter() - begin
    duration = _duration(sides.values())
    return Outcome(options.seed, sides["client"], sides["server"], elapsed, duration)


class Process:
    """One of the two processes. Leaving the `with` block ends it."""

    def __init__(self, name: str, namespace: Namespace, job: Job) -> None:
        self.name = name
        self.job = job
        self.finished = False
        self._child = namespace.popen(
            [sys.executable, "-m", "rawproto.cli.realhost", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A session of its own: Ctrl-C is for this process alone, which then ends both.
            start_new_session=True,
        )
        if self._child.stdin is None or self._child.stdout is None:
            raise LinkError(0, f"the {name} process could not be given its job")
        self.input, self.output = self._child.stdin, self._child.stdout
        with contextlib.suppress(BrokenPipeError):  # it died at once; wait_ready or side will say so
            self.input.write(pickle.dumps(job))
            self.input.flush()

    def next_report(self) -> dict[str, object] | None:
        """The next report of the process; None when it has ended without one. Waits for it."""
        line = self.output.readline()
        if not line:
            return None
        report: dict[str, object] = json.loads(line)
        if report["event"] == "failed":
            raise LinkError(0, f"the {self.name} could not open its link: {report['error']}")
        return report

    def wait_ready(self) -> None:
        """Wait until the server listens."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            if selector.select(START_TIMEOUT) and self.next_report() is not None:
                return
        raise LinkError(0, f"the {self.name} process did not start within {START_TIMEOUT:g} s")

    def side(self) -> Side:
        """What the process noted, or that it was killed."""
        if self.finished:
            side = pickle.loads(self.job.result.read_bytes())
            if isinstance(side, Side):
                return side
        status = self._child.wait()
        reason = f"signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"exit status {status}"
        return Side(self.name, error=f"the process ended before the transfer did, by {reason}")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        self.output.close()
        try:
            self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _watch(processes: dict[str, Process], size: int, progress: Callable[[int, int], None]) -> None:
    """Pass the server's progress on until both processes are done or gone.

    A process that is gone does not end the wait for the other: how that one finds out is what people want to see.
    """
    with selectors.DefaultSelector() as selector:
        for each in processes.values():
            selector.register(each.output, selectors.EVENT_READ, each)
        while selector.get_map():
            for key, _ in selector.select():
                process: Process = key.data
                report = process.next_report()
                if report is None:
                    selector.unregister(process.output)
                elif report["event"] == "progress" and process.name == "server":
                    progress(int(str(report["bytes"])), size)
                elif report["event"] == "done":
                    process.finished = True
                    selector.unregister(process.output)


def _duration(sides: Iterable[Side]) -> int:
    """From the first record of either side to the last, in ns."""
    times = [record.time_ns for side in sides for record in side.trace]
    return max(times) - min(times) if times else 0


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM unwind the stack like Ctrl-C, so that all is given back."""

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""`rawproto demo --raw`: two processes in two network namespaces joined by a veth pair.

The namespaces are anonymous, the processes end with their standard input and leave what they noted in files in memory:
nothing is left behind however this process ends. Without root it works in a user namespace of its own.
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
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import IO, cast

from rawproto.cli.realhost import Job
from rawproto.errors import LinkError, PrivilegeError
from rawproto.link.netns import Lab, Namespace, enter_user_namespace
from rawproto.study.options import DemoOptions
from rawproto.study.transfer import Outcome, Side

__all__ = ["prepare_privileges", "run_real"]

ADDRESSES = {False: ("10.0.0.1", "10.0.0.2"), True: ("fd00::1", "fd00::2")}
NAMES = ("client", "server")
GRACE = 14.0
"""Seconds that a process may take to end when the other one has: longer than its own timeouts."""
SHORT_GRACE = 3.0
"""The same, if the other one ended because this one was silent."""
START_TIMEOUT = 20.0
"""Seconds that a process may take to open its link."""


def run_real(options: DemoOptions, progress: Callable[[int, int], None]) -> Outcome:
    """Carry `options.data` over a veth pair and give what both processes noted.

    Raises PrivilegeError or LinkError if the namespaces or the links can't be made. A transfer that fails, or a
    process that is killed, is an Outcome whose side says why.
    """
    left, right = ADDRESSES[options.ipv6]
    length = 64 if options.ipv6 else 24
    # Over AF_PACKET the addresses are ours alone: a kernel that owned them would answer as well.
    owned = [] if options.carrier == "packet" else [(f"{left}/{length}", f"{right}/{length}")]
    begin = time.perf_counter()
    with _terminable(), contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(addresses=owned, offloads=False))
        offset = time.time_ns() - time.monotonic_ns()
        plan = {"client": (lab.left, left, right), "server": (lab.right, right, left)}
        processes: dict[str, Process] = {}
        for name in reversed(NAMES):  # the server must listen before the client calls
            namespace, address, peer = plan[name]
            process = processes[name] = stack.enter_context(Process(name))
            process.start(namespace, Job(options, lab.interface, address, peer, process.result, offset))
            if name == "server":
                process.wait_ready()
        _watch(processes, options.size, progress)
        sides = {name: process.side() for name, process in processes.items()}
    elapsed = time.perf_counter() - begin
    duration = _duration(sides.values())
    return Outcome(options.seed, sides["client"], sides["server"], elapsed, duration)


def prepare_privileges() -> None:
    """Where namespaces may not be made, become root of a user namespace. To be called before any thread starts.

    Raises PrivilegeError or LinkError if the host forbids that too.
    """
    if os.geteuid() != 0 or not _may_make_namespaces():
        enter_user_namespace()


def _may_make_namespaces() -> bool:
    """Root of a user namespace that does not own its network namespace may make one, and can't come back from it."""
    try:
        Namespace().close()
    except PrivilegeError:
        return True  # no use to try otherwise: the Lab will say what is missing
    except OSError:
        return False
    return True


class Process:
    """One of the two processes. Leaving the `with` block ends it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.finished = False
        self.failed = False
        self.gone = False
        self.result = os.memfd_create(f"rawproto {name}")
        self._child: subprocess.Popen[bytes] | None = None
        self._partial = b""

    def start(self, namespace: Namespace, job: Job) -> None:
        """Start it inside `namespace` and give it its job."""
        # -P: what lies in the current directory is not to be taken for a module.
        command = [sys.executable, "-P", "-m", "rawproto.cli.realhost", self.name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        # A session of its own: Ctrl-C is for this process alone, which then ends both.
        self._child = namespace.popen(command, **pipes, pass_fds=[self.result], start_new_session=True)
        with contextlib.suppress(BrokenPipeError):  # it died at once; wait_ready or side will say so
            pickle.dump(job, self._pipe("stdin"))
            self._pipe("stdin").flush()

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] | None = getattr(self._child, name)
        if pipe is None:
            raise LinkError(0, f"the {self.name} process was not started")
        return pipe

    def fileno(self) -> int:
        """Readable when it has reported something, or has ended."""
        return self._pipe("stdout").fileno()

    def reports(self) -> list[dict[str, object]] | None:
        """What it has reported meanwhile; None when it has ended. Waits for it."""
        # Not line by line from a file object: what that holds back in its buffer no selector sees.
        data = os.read(self.fileno(), 1 << 16)
        self.gone = not data
        *lines, self._partial = (self._partial + data).split(b"\n")
        reports: list[dict[str, object]] = [json.loads(line) for line in lines]
        for report in reports:
            if report["event"] == "failed":
                raise LinkError(0, f"the {self.name} could not start: {report['error']}")
            self.finished = self.finished or report["event"] == "done"
        return reports if data else None

    def wait_ready(self) -> None:
        """Wait until the server listens."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            reports: list[dict[str, object]] | None = []
            while reports == []:  # a report may come in two pieces
                if not selector.select(START_TIMEOUT):
                    raise LinkError(0, f"the {self.name} process did not start within {START_TIMEOUT:g} s")
                reports = self.reports()
        if reports is None:
            raise LinkError(0, f"the {self.name} process ended before it had started, by {self._fate()}")

    def side(self) -> Side:
        """What the process noted, or how it ended before it had."""
        if self.finished:
            with os.fdopen(self.result, "rb", closefd=False) as file:
                file.seek(0)
                try:
                    side: Side = pickle.load(file)
                except (EOFError, pickle.UnpicklingError):
                    return Side(self.name, error="the process left no result")
                return side
        return Side(self.name, error=f"the process ended before the transfer did, by {self._fate()}")

    def _fate(self) -> str:
        try:
            status = self._child.wait(timeout=2) if self._child is not None else 0
        except subprocess.TimeoutExpired:
            return "closing its output" if self.gone else "not answering: it is stopped or hangs"
        return f"exit status {status}" if status >= 0 else f"signal {-status} ({signal.strsignal(-status)})"

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.result)
        if self._child is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self._pipe("stdin").close()
        self._pipe("stdout").close()
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
            if not each.finished:
                selector.register(each, selectors.EVENT_READ)
        deadline: float | None = None
        while selector.get_map():
            over = [process for process in processes.values() if process.finished or process.gone]
            if over and deadline is None:
                # One that failed has waited for the other already; a good one may be waited for, for as long as that.
                deadline = time.monotonic() + (SHORT_GRACE if any(each.failed for each in over) else GRACE)
            ready = selector.select(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if not ready and deadline is not None and time.monotonic() >= deadline:
                return  # what is left does not answer: it is stopped, or hangs
            for key, _ in ready:
                process = cast(Process, key.fileobj)
                reports = process.reports()
                if process.gone or process.finished:
                    selector.unregister(process)
                process.failed |= any(report.get("failed", False) is True for report in reports or ())
                for report in reports or ():
                    if report["event"] == "progress" and process.name == "server":
                        progress(int(str(report["bytes"])), size)


def _duration(sides: Iterable[Side]) -> int:
    """From the first record of either side to the last, in ns."""
    times = [record.time_ns for side in sides for record in side.trace]
    return max(times) - min(times) if times else 0


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM unwind the stack like Ctrl-C, so that all is given back, and say so in a line."""

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        os.write(2, b"rawproto: terminated\n")
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""`rawproto demo --raw` where something is missing, fails or is slow: one clear line, and nothing left behind.

What it does when all is well, and when it is killed, is in test_netns_raw_demo.py.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from select import poll

import pytest

import rawproto
from rawproto.cli import main, realdemo
from rawproto.cli.realdemo import run_real
from rawproto.link.netns import Lab
from rawproto.study.options import DemoOptions, data_from_seed

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("raw demo")]

PATIENCE = 20.0
CODE = "import sys; from rawproto.cli import main; sys.exit(main())"
SMALL = ["demo", "--raw", "--size", "50KiB", "--delay", "1ms", "--json"]
BIG = ["demo", "--raw", "--size", "20MiB", "--json"]
FORBID = """
import ctypes, os, sys
from pathlib import Path
ready, go = os.pipe(), os.pipe()
child = os.fork()
if not child:
    ctypes.CDLL(None).unshare(0x10000000)  # CLONE_NEWUSER
    os.write(ready[1], b"1")
    os.read(go[0], 1)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(ready[0], 1)
for name in ("uid_map", "gid_map"):
    Path(f"/proc/{child}/{name}").write_text("0 0 65536")
os.write(go[1], b"1")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
"""Runs a command in a user namespace, with all users in it, in which no more of them may be made."""
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE} s"
        poll().poll(10)


def children(parent: int) -> list[int]:
    """The processes of a demo that runs as process `parent`."""
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []


def started(parent: int, count: int) -> list[int]:
    """Wait until so many of its processes run."""
    wait_for(lambda: len(children(parent)) >= count, "the start of the processes")
    return children(parent)


def await_end(pids: list[int]) -> None:
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the end of the processes")


def shorten(monkeypatch: pytest.MonkeyPatch, seconds: float = 1.0) -> None:
    """Have both sides give up sooner than after ten seconds."""
    patient = partial(DemoOptions, timeout_ns=int(seconds * 1e9))
    monkeypatch.setattr("rawproto.cli.demo.DemoOptions", patient)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr()
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert children(os.getpid()) == []
    assert "veth" not in Path("/proc/net/dev").read_text()


# -- a process that does not start -------------------------------------------------------------------------------------


def replace_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Have a shell script run in place of Python; "$4" is the name of the process."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_link_that_can_not_be_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Elsewhere(Lab):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)  # type: ignore[arg-type]
            self.interface = "nowhere0"

    monkeypatch.setattr(realdemo, "Lab", Elsewhere)
    assert main([*SMALL, "--out", str(tmp_path)]) == 2
    assert "the server could not start: no interface 'nowhere0'" in told(capsys)


def test_a_server_that_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_process(monkeypatch, tmp_path, "exit 3")
    assert main([*SMALL, "--out", str(tmp_path)]) == 2
    assert "the server process ended before it had started, by exit status 3" in told(capsys)


def test_a_server_that_closes_its_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_process(monkeypatch, tmp_path, "exec cat >/dev/null")
    assert main([*SMALL, "--out", str(tmp_path)]) == 2
    assert "the server process ended before it had started, by " in told(capsys)


def test_a_server_that_never_says_that_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_process(monkeypatch, tmp_path, "cat >/dev/null")
    monkeypatch.setattr(realdemo, "START_TIMEOUT", 0.2)
    assert main([*SMALL, "--out", str(tmp_path)]) == 2
    assert "the server process did not start within 0.2 s" in told(capsys)


def test_a_client_that_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = shlex.quote(sys.executable)
    replace_process(monkeypatch, tmp_path, f'if [ "$4" = client ]; then kill -KILL $$; fi\nexec {python} "$@"')
    shorten(monkeypatch)
    assert main([*SMALL, "--out", str(tmp_path)]) == 1
    line = told(capsys)
    assert "the client failed: the process ended before the transfer did, by signal 9 (Killed)" in line
    assert "the server failed: TimeoutError: timed out: no connection came" in line


def test_processes_that_leave_no_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = '{"event": "ready"}\\n{"event": "progress", "bytes": 1}\\n{"event": "done"}\\n'
    replace_process(monkeypatch, tmp_path, f"printf '{reports}'\ncat >/dev/null")
    assert main([*SMALL, "--out", str(tmp_path)]) == 1
    assert "the server failed: the process left no result" in told(capsys)


def test_modules_in_the_current_directory_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('somebody else in /tmp wrote this')")
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--out", str(tmp_path / "out")]) == 0


# -- captures that can't be written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["client", "server"])
def test_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / f"{name}.pcapng").symlink_to("/dev/full")
    shorten(monkeypatch)
    assert main(["demo", "--raw", "--size", "300KiB", "--json", "--out", str(tmp_path)]) == 1
    line = told(capsys)
    assert f"the {name} failed: OSError: No space left on device" in line
    assert "TimeoutError" in line


def test_an_out_that_vanishes_before_the_processes_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    class Late(Lab):
        def __init__(self, **options: object) -> None:
            shutil.rmtree(out)
            super().__init__(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(realdemo, "Lab", Late)
    assert main([*SMALL, "--out", str(out)]) == 2
    assert f"the server could not start: {out}/server.pcapng: No such file or directory" in told(capsys)


def test_an_out_that_vanishes_in_mid_transfer_harms_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    options = DemoOptions(data=data_from_seed(1, 300_000), seed=1, out=out)
    outcome = run_real(options, lambda *_: shutil.rmtree(out, ignore_errors=True))
    assert outcome.server.received == options.data
    assert not out.exists()


# -- a parent that is slow, and one that goes --------------------------------------------------------------------------


def test_a_slow_parent_slows_the_display_and_not_the_transfer(tmp_path: Path) -> None:
    seen = []

    def look(done: int, total: int) -> None:
        seen.append((done, total))
        poll().poll(200)

    options = DemoOptions(data=data_from_seed(1, 4_000_000), seed=1, out=tmp_path)
    outcome = run_real(options, look)
    assert outcome.server.received == options.data
    assert all(done <= total == 4_000_000 for done, total in seen)
    assert seen == sorted(seen)
    assert 1 <= len(seen) <= outcome.time_ns // 50_000_000 + 1  # however many blocks were read


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_not_even_a_temporary_file_is_left(tmp_path: Path, number: signal.Signals) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", CODE, *BIG, "--out", str(tmp_path / "out")]
    demo = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    capture = tmp_path / "out/server.pcapng"
    wait_for(lambda: capture.exists() and capture.stat().st_size > 100_000, "the transfer")
    processes = started(demo.pid, 2)
    os.killpg(demo.pid, number)
    _, errors = demo.communicate(timeout=PATIENCE)
    await_end(processes)
    assert list(temporary.iterdir()) == []
    lines = {signal.SIGINT: "rawproto: interrupted\n", signal.SIGTERM: "rawproto: terminated\n", signal.SIGKILL: ""}
    assert errors == lines[number]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_ended_at_any_moment_of_its_start(tmp_path: Path, number: signal.Signals) -> None:
    for count in (1, 2):
        command = [sys.executable, "-c", CODE, *BIG, "--out", str(tmp_path)]
        demo = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        processes = started(demo.pid, count)
        os.killpg(demo.pid, number)
        _, errors = demo.communicate(timeout=PATIENCE)
        assert demo.returncode in (130, 143)
        assert errors.count("\n") == 1
        await_end(processes)


# -- without root ------------------------------------------------------------------------------------------------------


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the user nobody may write to; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="rawproto-test-") as directory:
        home = Path(directory)
        home.chmod(0o777)
        yield home


def as_nobody(home: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command line as the user nobody, by a Python that he may run."""
    path = os.pathsep.join((str(Path(rawproto.__file__).parents[1]), *site.getsitepackages()))
    environment = [f"HOME={home}", f"TMPDIR={home}", f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [*prefix, *NOBODY, "env", *environment, python]
        probe = subprocess.run([*command, "-c", "import rawproto.cli.demo"], capture_output=True, check=False)
        if probe.returncode == 0:
            return subprocess.run([*command, "-c", CODE, *arguments], capture_output=True, text=True, check=False)
    pytest.skip("no Python here that the user nobody may run")


def test_an_unprivileged_user_has_it_in_a_user_namespace(home: Path) -> None:
    done = as_nobody(home, *SMALL, "--out", str(home / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (home / "out").iterdir()} == {"client.pcapng", "server.pcapng"}


def test_a_host_that_permits_no_user_namespace_is_one_clear_line(home: Path) -> None:
    prefix = (sys.executable, "-c", FORBID)
    done = as_nobody(home, *SMALL, "--out", str(home / "out"), prefix=prefix)
    assert done.returncode == 2
    assert done.stderr.startswith("rawproto: ")
    assert "user.max_user_namespaces" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--out", "--file"])
def test_what_may_not_be_read_or_written_is_one_clear_line(home: Path, option: str) -> None:
    secret = home / "secret"
    secret.mkdir(mode=0o700)
    (secret / "file").write_bytes(b"x")
    done = as_nobody(home, "demo", "--raw", option, str(secret / "file"))
    assert done.returncode == 2
    assert option in done.stderr
    assert "Permission denied" in done.stderr
    assert done.stderr.count("\n") == 1

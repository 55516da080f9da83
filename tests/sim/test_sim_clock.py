"""Inside a simulation nobody gets at the clock or the chance of the machine; outside everybody does."""

# ruff: noqa: PLW0108 -- a lambda looks the name up inside the simulation, where another thing stands for it.

from __future__ import annotations

import copy
import datetime as module_of_dates
import importlib
import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from random import randint
from time import monotonic as imported_by_name
from typing import TypeVar

import pytest

from rawproto.link.chance import derive_rng
from rawproto.sim.guard import RealClockError
from rawproto.sim.lan import Lan
from rawproto.sim.network import Simulation, StalledError, Task
from rawproto.sim.stream import sleep
from rawproto.sockets.driver import wall_clock

T = TypeVar("T")
REAL = {name: vars(time)[name] for name in ("time", "monotonic", "monotonic_ns", "sleep")}


def inside(call: Callable[[], T]) -> T:
    """What `call` gives to an application in a simulation."""
    lan, got = Lan(1), []
    host = lan.host("a", "10.0.0.1")

    def application() -> Task:
        got.append(call())
        yield from sleep(host, 1)

    host.spawn(application())
    lan.simulation.run()
    return got[0]


def nothing_is_left() -> bool:
    return all(vars(time)[name] is real for name, real in REAL.items()) and imported_by_name is REAL["monotonic"]


@pytest.mark.parametrize("name", [
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "thread_time_ns", "localtime", "gmtime", "ctime", "asctime",
])  # fmt: skip
def test_each_clock_says_what_to_use_instead(name: str) -> None:
    with pytest.raises(RealClockError) as caught:
        inside(lambda: getattr(time, name)())
    assert str(caught.value) == f"time.{name}() was called inside a simulation: take the time from host.now"
    assert nothing_is_left()


@pytest.mark.filterwarnings("ignore:datetime.*utcnow:DeprecationWarning")
@pytest.mark.parametrize(
    ("called", "call"),
    [
        ("time.clock_gettime", lambda: time.clock_gettime(time.CLOCK_MONOTONIC)),
        ("time.clock_gettime_ns", lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC)),
        ("time.localtime", lambda: time.localtime(None)),
        ("time.strftime", lambda: time.strftime("%H")),
        ("time.sleep", lambda: time.sleep(0)),
        ("time.monotonic", lambda: imported_by_name()),
        ("datetime.now", lambda: datetime.now()),
        ("datetime.now", lambda: datetime.now(module_of_dates.UTC)),
        ("datetime.utcnow", lambda: datetime.utcnow()),
        ("datetime.today", lambda: datetime.today()),
        ("date.today", lambda: date.today()),
        ("datetime.now", lambda: module_of_dates.datetime.now()),
        ("random.random", lambda: random.random()),
        ("random.randint", lambda: random.randint(1, 6)),
        ("random.randint", lambda: randint(1, 6)),
        ("random.shuffle", lambda: random.shuffle([1, 2])),
        ("random.getrandbits", lambda: random.getrandbits(8)),
        ("os.urandom", lambda: os.urandom(1)),
        ("os.getrandom", lambda: os.getrandom(1)),
        ("secrets.token_bytes", lambda: secrets.token_bytes(4)),
        ("secrets.randbelow", lambda: secrets.randbelow(4)),
        ("uuid.uuid4", lambda: uuid.uuid4()),
    ],
)
def test_whatever_way_it_is_asked_for(called: str, call: Callable[[], object]) -> None:
    with pytest.raises(RealClockError, match=rf"^{called}\(\) was called inside a simulation: "):
        inside(call)
    call()


def test_rawproto_itself_is_covered() -> None:
    with pytest.raises(RealClockError, match="monotonic_ns"):
        inside(wall_clock)
    assert wall_clock() > 0


def test_what_asks_no_clock_and_draws_from_a_seed_is_allowed() -> None:
    assert inside(lambda: time.gmtime(0).tm_year) == 1970
    assert inside(lambda: time.strftime("%Y", time.gmtime(0))) == "1970"
    assert inside(lambda: derive_rng(1, "x").random()) == derive_rng(1, "x").random()


def test_dates_are_dates_inside() -> None:
    outside = datetime(2020, 1, 2)

    def use() -> bool:
        class Own(datetime):
            pass

        made = datetime(2020, 1, 2)
        assert isinstance(Own(2020, 1, 2), Own)
        assert not isinstance(made, Own)
        assert issubclass(Own, datetime)
        return (
            isinstance(outside, datetime) and isinstance(outside, date) and made == outside == copy.deepcopy(made)
            and type(made) is type(outside) and datetime.fromtimestamp(0, module_of_dates.UTC).year == 1970
        )  # fmt: skip

    assert inside(use)


def test_an_action_is_covered_and_so_is_what_runs_until_idle() -> None:
    simulation = Simulation()
    simulation.at(5, time.time_ns)  # a clock kept from before the run, which nothing can see
    simulation.at(6, lambda: time.time_ns())
    with pytest.raises(RealClockError):
        simulation.run_idle()
    assert simulation.now == 6
    assert nothing_is_left()


def test_other_threads_are_not_affected() -> None:
    got: list[float] = []

    def ask() -> None:
        got.extend((time.monotonic(), imported_by_name(), random.random(), datetime.now().timestamp()))
        time.sleep(0)

    def start() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    inside(start)
    assert len(got) == 4


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/usr/lib/python3/dist-packages/bar.py", "bar"),
        ("/home/me/.venv/lib/python3/site-packages/bar/__init__.py", "bar"),
        (os.__file__, "timer"),
        ("<frozen importlib._bootstrap>", "importlib._bootstrap"),
    ],
)
def test_the_standard_library_and_what_is_installed_are_not_affected(file: str, name: str) -> None:
    names: dict[str, object] = {"__name__": name}
    exec(compile("import time\ndef ask(): return time.time(), time.sleep(0)", file, "exec"), names)
    ask = names["ask"]
    assert callable(ask)
    assert inside(ask)


def test_rawproto_is_covered_when_it_is_installed() -> None:
    names: dict[str, object] = {"__name__": "rawproto.some.part"}
    exec(compile("import time\ndef ask(): return time.time()", "/x/site-packages/rawproto/some/part.py", "exec"), names)
    with pytest.raises(RealClockError):
        inside(names["ask"])  # type: ignore[arg-type]


def test_observers_may_look_at_the_clock_and_the_guard_is_back_afterwards() -> None:
    lan, seen = Lan(1), []
    host = lan.host("a", "10.0.0.1")
    lan.simulation.observers.append(lambda _: seen.append(time.monotonic()))

    def application() -> Task:
        yield from sleep(host, 5)
        time.monotonic()

    host.spawn(application())
    with pytest.raises(RealClockError):
        lan.simulation.run()
    assert len(seen) == 1


def test_a_simulation_within_a_simulation_takes_nothing_from_the_outer_one() -> None:
    def nested() -> None:
        inside(lambda: None)
        time.time()

    with pytest.raises(RealClockError):
        inside(nested)
    assert nothing_is_left()
    time.time()


def test_whatever_is_raised_the_clocks_are_given_back() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inside(fail)
    assert nothing_is_left()
    lan = Lan(1)
    host = lan.host("a", "10.0.0.1")

    def wait() -> Task:
        yield lambda: False

    host.spawn(wait())
    with pytest.raises(StalledError):
        lan.simulation.run()
    assert nothing_is_left()


def test_two_threads_that_simulate_at_once_do_not_disturb_each_other() -> None:
    inner, refused = threading.Event(), []

    def other() -> None:
        with pytest.raises(RealClockError):
            inside(lambda: time.time())
        refused.append(time.time())  # its own run is over
        inner.set()

    def outer() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        inner.wait()
        thread.join()
        time.time()

    with pytest.raises(RealClockError):
        inside(outer)
    assert len(refused) == 1
    assert nothing_is_left()


def test_a_fake_that_a_test_has_put_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 42.0)
    assert inside(lambda: time.time()) == 42.0
    assert time.time() == 42.0
    with pytest.raises(RealClockError):
        inside(lambda: time.monotonic())
    monkeypatch.undo()
    assert nothing_is_left()


def test_a_module_imported_after_the_first_run_is_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside(lambda: None)
    (tmp_path / "late_application.py").write_text("from time import monotonic as tell\ndef ask(): return tell()\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("late_application")
    try:
        with pytest.raises(RealClockError):
            inside(module.ask)
        assert module.tell is REAL["monotonic"]
    finally:
        del sys.modules["late_application"]


def test_a_name_that_main_has_got_after_the_first_run_is_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    inside(lambda: None)
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "script.py", raising=False)
    monkeypatch.setattr(main, "tell_the_time", time.monotonic, raising=False)
    with pytest.raises(RealClockError):
        inside(lambda: vars(main)["tell_the_time"]())
